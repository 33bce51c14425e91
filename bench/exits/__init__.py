"""How hosts end, and what arrives then: `python -m bench.exits`, and the same rows in tests/test_exit_table.py."""
