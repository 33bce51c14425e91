"""How hosts are started, and whether a shipper comes up: `python -m bench.launchers`, and tests/test_launchers.py.

What must hold of each row: all that it emits and counts arrives, or `telemetry status` names the reason and the ledger
the number; and the host neither hangs nor dies nor prints anything by us.
"""
