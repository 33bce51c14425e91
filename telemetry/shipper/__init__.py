"""The separate process: two loops, what starts and ends them, and how they are asked."""
