"""Thousands of simulated shippers against collectors, over links that fail, while servers are killed on a schedule."""
