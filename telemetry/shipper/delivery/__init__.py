"""The delivery loop: from sealed segments to an endpoint; it never touches ZeroMQ."""
