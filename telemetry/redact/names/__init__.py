"""This machine's own names: how they are gathered, how far each reaches, and the stage that takes them out of texts."""
