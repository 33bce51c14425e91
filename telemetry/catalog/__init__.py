"""The catalog: the one list of what may leave, read, checked and compiled."""
