"""A process that looks at bodies: by a socket a question a line, and its answer, until nobody asks.

What is fit is safe on disk when the answer comes, the record beside it, so that nobody else has to wait for the disk.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import msgspec

from telemetry.collector.body import Finding, Grant, find_fault
from telemetry.collector.store import make_safe


class Question(msgspec.Struct, array_like=True):
    """What is asked of one body.

    Attributes:
        path: where it lies.
        suffix: of the name that it would get.
        max_unpacked_bytes: a larger one, decompressed, is refused with 413.
        grant: what the look may cost.
    """

    path: str
    suffix: str
    max_unpacked_bytes: int
    grant: Grant


Told = Finding | int
"""The answer: what was found, or the number of the disk's fault."""


def work(niceness: int) -> None:
    """Answer until nobody asks any more. Who asks ends this process, and not the signal that asks for an end."""
    os.nice(niceness)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    decode = msgspec.json.Decoder(Question).decode
    with suppress(ConnectionError), socket.socket(fileno=0) as line:  # who asked was killed, which is no fault of ours
        for question in line.makefile("rb"):
            line.sendall(msgspec.json.encode(_answer(decode(question))) + b"\n")


def _answer(question: Question) -> Told:
    path = Path(question.path)
    try:
        with path.open("rb") as body:
            finding = find_fault(body, question.suffix, question.max_unpacked_bytes, question.grant)
            if finding.is_finished and finding.refusal is None:
                make_safe(path, body.fileno())
    except OSError as fault:
        return fault.errno or errno.EIO
    return finding
