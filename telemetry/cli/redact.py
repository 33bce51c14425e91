"""The command `telemetry redact`: a filter by the code that redacts `text` fields, a line out for each line in.

It reads what is there and flushes its output at once, so it works on a pipe that is never closed, in bounded memory.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from telemetry.paths import cache_dir
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.machine import names_of_this_machine
from telemetry.redact.names.name import names_to_find
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.redact.text import MAX_TEXT_BYTES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DROPPED = "[dropped]"
UNAVAILABLE = 3  # the exit code
_CHUNK_BYTES = 1 << 18


def main(arguments: Sequence[str]) -> int:
    """Run the filter from stdin to stdout.

    Args:
        arguments: the command line after `telemetry redact`.

    Returns:
        The exit code: 0, or 3 if free text can't be redacted on this machine.
    """
    parser = argparse.ArgumentParser(
        "telemetry redact", description="Redact each line, as `text` fields are on this machine."
    )
    parser.add_argument(
        "--json", action="store_true", help='print {"text", "rules"} for each line; text is null if dropped'
    )
    as_json = parser.parse_args(arguments).json
    # Like any filter: a reader that left, or ctrl-C, ends it without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        redactor = FreeTextRedactor(names_to_find(names_of_this_machine()), cache_dir())
    except ScannerUnavailableError as error:
        print(f"telemetry redact: {error}", file=sys.stderr)
        return UNAVAILABLE
    for lines in _read_lines(sys.stdin.fileno()):
        texts = [line.decode("utf-8", "replace") for line in lines]
        findings = redactor.redact(texts)
        _write(_format(findings.get(index, Finding(text, ())), as_json=as_json) for index, text in enumerate(texts))
    return 0


def _format(finding: Finding, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"text": finding.text, "rules": finding.rules}, ensure_ascii=False)
    return DROPPED if finding.text is None else finding.text


def _write(lines: Iterator[str]) -> None:
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())
    sys.stdout.buffer.flush()


def _read_lines(descriptor: int) -> Iterator[list[bytes]]:
    """Yield the whole lines of each read; the last line may have no newline."""
    rest = b""
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        # A line that is too long is dropped anyway: of one without an end, just enough is kept to tell.
        rest = rest[: MAX_TEXT_BYTES + 1]
        if lines:
            yield lines
    if rest:
        yield [rest]
