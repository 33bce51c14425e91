"""Support for frozen programs, which are their own shippers: they have no interpreter that could be started.

import telemetry

if __name__ == "__main__":
    telemetry.freeze_support()
"""

from __future__ import annotations

import sys

from telemetry.frozen import SHIP, allow_own_shipper, is_frozen


def freeze_support() -> None:
    """Run the shipper in a process that was started as one, and do not return; elsewhere allow this program to be one.

    Call it first in a frozen program, as `multiprocessing.freeze_support`. In a program that is not frozen it does
    nothing.
    """
    if is_frozen() and sys.argv[1:2] == [SHIP]:
        from telemetry.shipper.start import main  # noqa: PLC0415 the program itself has no use for it

        sys.exit(main(["--spawned", *sys.argv[2:]]))
    allow_own_shipper()
