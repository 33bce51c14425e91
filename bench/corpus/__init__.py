"""What redaction is measured on: planted private values, the texts that carry them, and sentences without any.

All of it is made while measuring, from a seed and from the well-kept libraries that serve as oracles.
"""
