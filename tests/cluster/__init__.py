"""Servers that a fleet of collectors needs, on loopback: three of NATS as one cluster, S3 and PostgreSQL."""
