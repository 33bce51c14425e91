"""The command line: `telemetry …` and `python -m telemetry …`. Commands that must start fast do without click."""

from __future__ import annotations

import errno
import os
import sys

_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> None:
    """Run the command that argv names; does not return."""
    match sys.argv[1:]:
        case ["ship", *rest]:
            from telemetry.shipper.start import main as ship  # noqa: PLC0415 each command pays for itself only

            sys.exit(ship(rest))
        case ["redact", *rest]:
            from telemetry.cli.redact import main as redact  # noqa: PLC0415 as above

            sys.exit(redact(rest))
        case _:
            from telemetry.cli.commands import commands  # noqa: PLC0415 as above

            try:
                try:
                    commands(prog_name="telemetry")  # whatever it was started as: completion goes by it
                finally:
                    if sys.stdout:
                        sys.stdout.flush()
            except OSError as fault:
                if fault.errno not in _REFUSED:
                    raise
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what waits to be written would fail again
                sys.exit(f"telemetry: {fault.strerror}: make room where the output goes, or in the temporary directory")


if __name__ == "__main__":
    main()
