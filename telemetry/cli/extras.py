"""Libraries that come with an extra of the distribution."""

from __future__ import annotations


def not_installed(fault: ImportError) -> str:
    """Write the text for a library of the receiving side that is missing, and how it is installed."""
    return f"{fault.name} is not installed; run: pip install 'telemetry-shipper[collector]'"
