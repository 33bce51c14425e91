"""The command line: `telemetry …` and `python -m telemetry …`. Commands that must start fast do without click."""

from __future__ import annotations

import sys


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

            commands(prog_name="telemetry")  # whatever it was started as: completion goes by it


if __name__ == "__main__":
    main()
