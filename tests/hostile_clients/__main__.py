"""Tries every hostile client, or those whose names hold one of the words, and prints a line for each.

tools/hostile-clients [--seconds S] [--tls] [--json] [WORD ...]
"""

from __future__ import annotations

import argparse
import json
import sys

from hostile_clients.attacks import attacks
from hostile_clients.trial import try_out

LEAST_RATIO = 0.5
MOST_MEMORY_MB = 600
MOST_LOG_LINES = 30


def main() -> None:
    """Exit with 1 when one of them had its way."""
    parser = argparse.ArgumentParser(prog="tools/hostile-clients", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--seconds", type=float, default=5.0, help="of uploads alone, and again beside the attack (5)")
    parser.add_argument("--tls", action="store_true", help="speak TLS; the attacks that don't are cut off by it")
    parser.add_argument("--json", action="store_true", help="an object a line")
    options = parser.parse_args()
    names = [name for name in attacks("") if not options.words or any(word in name for word in options.words)]
    bad = 0
    for name in names:
        result = try_out(name, options.seconds, tls=options.tls or name.startswith("hello"))
        ratio = result.beside / result.alone if result.alone else 0.0
        good = ratio >= LEAST_RATIO and result.memory_mb < MOST_MEMORY_MB and result.log_lines < MOST_LOG_LINES
        bad += not good
        if options.json:
            print(json.dumps({**result._asdict(), "ratio": round(ratio, 2), "good": good}), flush=True)
        else:
            print(
                f"{'good' if good else 'BAD ':<5}{name:<30}{result.alone:>7.1f}/s alone{result.beside:>7.1f}/s beside "
                f"{ratio:>5.0%}{result.memory_mb:>6.0f} MB{result.log_lines:>4} lines{result.attempts:>8} attempts",
                flush=True,
            )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
