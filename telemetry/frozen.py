"""A frozen program (PyInstaller, cx_Freeze, Nuitka) as its own shipper: it has no interpreter that could be started.

import telemetry

if __name__ == "__main__":
    telemetry.freeze_support()

Standard library only: the host imports it.
"""

from __future__ import annotations

import sys

SHIP = "--telemetry-ship"
"""A frozen program's first argument when it is started as a shipper."""

_supported = False


def freeze_support() -> None:
    """Be the shipper, and not return, in a process that was started as one; elsewhere allow this program to be.

    The first thing that a frozen program does, like `multiprocessing.freeze_support`. It does nothing in a program that
    is not frozen.
    """
    global _supported  # noqa: PLW0603 a property of the process
    if is_frozen() and sys.argv[1:2] == [SHIP]:
        from telemetry.shipper.start import main  # noqa: PLC0415 the program itself has no use for it

        sys.exit(main(["--spawned", *sys.argv[2:]]))
    _supported = True


def is_frozen() -> bool:
    """Whether this program was frozen: `sys.executable` is the program itself."""
    return bool(getattr(sys, "frozen", False)) or "__compiled__" in vars(sys.modules["__main__"])


def is_own_shipper() -> bool:
    """Whether this program was frozen, and can be started as a shipper."""
    return _supported and is_frozen()
