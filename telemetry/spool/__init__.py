"""The disk buffer, and the ledger of what became of every event. The two loops of a shipper share nothing else."""
