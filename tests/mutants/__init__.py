"""Are there tests that fail when the code is wrong? `tools/mutants` changes one thing after the other and asks them."""
