"""Process that examines bodies: it reads one question a line from a socket and answers each, until the socket closes.

A fit body is safe on disk with its record before the answer is given, so that no other process waits for the disk.
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
from telemetry.collector.declared import names_in_store
from telemetry.collector.store import make_safe


class Question(msgspec.Struct, array_like=True):
    """Request to examine one body.

    Attributes:
        path: the body's file.
        suffix: the end of the name that the body would get in the store.
        max_unpacked_bytes: a body larger than this after decompression is refused with 413.
        grant: the bounds on the cost of the examination.
        store: the directory of the store whose catalogs tell the known names; empty to look for no others.
        product: the product of the batch.
        refuses_unknown: whether another name is a fault.
    """

    path: str
    suffix: str
    max_unpacked_bytes: int
    grant: Grant
    store: str = ""
    product: str = ""
    refuses_unknown: bool = False


Told = Finding | int
"""An answer: the finding, or the disk's error number."""


def work(niceness: int) -> None:
    """Answer questions until the parent closes the socket; SIGINT and SIGTERM are ignored, as the parent ends it."""
    os.nice(niceness)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    decode = msgspec.json.Decoder(Question).decode
    with suppress(ConnectionError), socket.socket(fileno=0) as line:  # the parent was killed: not an error here
        for question in line.makefile("rb"):
            line.sendall(msgspec.json.encode(_answer(decode(question))) + b"\n")


def _answer(question: Question) -> Told:
    path = Path(question.path)
    try:
        with path.open("rb") as body:
            finding = find_fault(
                body,
                question.suffix,
                question.max_unpacked_bytes,
                question.grant,
                declared=names_in_store(Path(question.store), question.product) if question.store else None,
                refuses_unknown=question.refuses_unknown,
            )
            if finding.is_finished and finding.refusal is None:
                make_safe(path, body.fileno())
    except OSError as fault:
        return fault.errno or errno.EIO
    return finding
