"""The demo: real data of this machine, from producers through a shipper to a collector, with the account."""
