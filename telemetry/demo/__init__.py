"""The command `telemetry demo`: real data of this machine goes from producers through a shipper to a collector."""
