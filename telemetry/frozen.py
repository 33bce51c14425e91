"""State of this program: whether it is frozen (PyInstaller, cx_Freeze, Nuitka), and may be its own shipper.

Standard library only: the host imports it.
"""

from __future__ import annotations

import sys

SHIP = "--telemetry-ship"
"""The first argument of a frozen program that is started as a shipper."""

_supported = False


def allow_own_shipper() -> None:
    """Allow this program, if it was frozen, to be started as its own shipper."""
    global _supported  # noqa: PLW0603 a property of the process
    _supported = True


def is_frozen() -> bool:
    """Tell whether this program was frozen, so that `sys.executable` is the program itself."""
    return bool(getattr(sys, "frozen", False)) or "__compiled__" in vars(sys.modules["__main__"])


def is_own_shipper() -> bool:
    """Tell whether this program was frozen, and can be started as a shipper."""
    return _supported and is_frozen()
