"""Redaction of a catalog's `text`, `sql`, `path`, `error` and `version` fields before they reach the disk."""
