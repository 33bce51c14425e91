"""Redaction: what a catalog's `text`, `sql`, `path`, `error` and `version` fields become before they reach disk."""
