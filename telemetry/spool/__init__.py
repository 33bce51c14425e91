"""The disk buffer with its ledger, which accounts for every event. A shipper's two loops share nothing else."""
