"""Fuzzing of whatever reads bytes that somebody else wrote; `tools/fuzz` runs it, `tests/test_fuzz.py` a short form."""
