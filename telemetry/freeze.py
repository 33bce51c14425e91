"""`freeze_support`: a frozen program as its own shipper, since it has no interpreter that could be started.

import telemetry

if __name__ == "__main__":
    telemetry.freeze_support()
"""

from __future__ import annotations

import sys

from telemetry.frozen import SHIP, allow_own_shipper, is_frozen


def freeze_support() -> None:
    """Be the shipper, and not return, in a process that was started as one; elsewhere allow this program to be.

    The first thing that a frozen program does, like `multiprocessing.freeze_support`. It does nothing in a program that
    is not frozen.
    """
    if is_frozen() and sys.argv[1:2] == [SHIP]:
        from telemetry.shipper.start import main  # noqa: PLC0415 the program itself has no use for it

        sys.exit(main(["--spawned", *sys.argv[2:]]))
    allow_own_shipper()
