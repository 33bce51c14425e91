"""What comes with an extra, and how to have it."""

from __future__ import annotations


def not_installed(fault: ImportError) -> str:
    """Say what a command of the receiving side misses, which comes with an extra, and how it is installed."""
    return f"{fault.name} is not installed; run: pip install 'telemetry[collector]'"
