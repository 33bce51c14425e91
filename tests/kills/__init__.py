"""Kills a loaded shipper at random instants, again and again, and holds what arrives against what was emitted.

`tools/kills` is the long version, tests/test_kills.py a short one.
"""
