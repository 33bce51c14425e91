"""This machine's own names: which are looked for and where they count, and the stage that takes them out of texts."""
