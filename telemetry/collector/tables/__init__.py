"""Typed tables: what a collector took in, loaded from its store or a stream into Iceberg."""
