"""The part of telemetry in the host: from `emit` to the socket, and the spawning of a shipper."""
