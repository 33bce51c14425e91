"""Clients that try to take a collector down, each beside a shipper that must not notice: tools/hostile-clients."""
