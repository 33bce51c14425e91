"""Text about libraries that come with an extra of the distribution."""

from __future__ import annotations


def not_installed(fault: ImportError, extras: str = "collector") -> str:
    """Return the text about a missing library of the receiving side, with the command that installs it."""
    return f"{fault.name} is not installed; run: pip install 'telemetry-shipper[{extras}]'"
