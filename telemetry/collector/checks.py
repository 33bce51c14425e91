"""Examination of bodies in separate processes, so that no body keeps the server from answering the next request.

Most bodies cost some milliseconds and go first, on all cores. A dear one is recognised at that price and then waits for
the single process that examines dear ones, which runs when the others leave it time. Holders of tokens take turns.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from telemetry.collector.body import Finding, Grant, grant_for
from telemetry.collector.examiner import Question, Told
from telemetry.collector.judge import Refusal
from telemetry.collector.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry.collector.store import Incoming

_PROCESSES = 1 + 2 * (os.cpu_count() or 1)  # each waits for the disk, too
_CHEAP = Grant(cost_seconds=0.02, cpu_seconds=0.06)
_MOST_WAITING = 16  # dear bodies of one holder
_NICENESS = 1  # whoever answers requests goes first; with more, everything else on a busy machine would too
_DEAR_NICENESS = 10
_BUSY = Refusal(503, "too many bodies that cost much to check are waiting", 30.0)
_KILLED = Finding(Refusal(503, "the process that checks bodies was killed", 30.0), is_finished=True, events=0)
_GONE = Finding(Refusal(408, "the client has gone"), is_finished=True, events=0)
_TOO_DEAR = Refusal(413, "the body costs too much to check; send half of it")
_ANSWER_BYTES = 64 << 10

_decode = msgspec.json.Decoder(Told).decode


class Checks:
    """The processes that examine bodies.

    Args:
        max_unpacked_bytes: a body larger than this after decompression is refused with 413.
        store: the directory of the store whose catalogs tell the known names; None to look for no others.
        refuses_unknown: whether a body with another name is refused with 400.
    """

    def __init__(self, max_unpacked_bytes: int, store: Path | None = None, *, refuses_unknown: bool = False) -> None:
        self._max_unpacked_bytes = max_unpacked_bytes
        self._store = str(store or "")
        self._refuses_unknown = refuses_unknown
        self._cheap = _Examiners(_PROCESSES, _NICENESS)
        self._dear = _Examiners(1, _DEAR_NICENESS)

    async def examine(self, incoming: Incoming, product: str, holder: str, is_awaited: Callable[[], bool]) -> Finding:
        """Examine a body of a product that has arrived and, if it is fit, make it and its record safe on disk.

        A dear body whose client has gone by the time its turn comes is not examined.

        Raises:
            OSError: the disk refuses.
        """
        incoming.flush()
        about = (self._store, product, self._refuses_unknown)
        question = Question(str(incoming.path), incoming.suffix, self._max_unpacked_bytes, _CHEAP, *about)
        finding = await self._cheap.ask(question, holder, lambda: True)
        if finding.is_finished:
            return finding
        if self._dear.waiting(holder) >= _MOST_WAITING:
            return finding._replace(refusal=_BUSY)
        question.grant = grant_for(incoming.bytes)
        finding = await self._dear.ask(question, holder, is_awaited)
        return finding if finding.is_finished else finding._replace(refusal=_TOO_DEAR)


class _Examiners:
    """A pool of examining processes of one kind, started as they are needed."""

    def __init__(self, most: int, niceness: int) -> None:
        self._niceness = niceness
        self._turns = Turns(most, time.monotonic)
        self._idle: list[_Examiner] = []

    def waiting(self, holder: str) -> int:
        return self._turns.waiting(holder)

    async def ask(self, question: Question, holder: str, is_awaited: Callable[[], bool]) -> Finding:
        async with self._turns.turn(holder):
            if not is_awaited():
                return _GONE
            for _ in range(2):
                examiner = self._take()
                try:
                    told = await examiner.ask(question)
                except _GoneError:  # somebody killed it
                    continue
                except BaseException:
                    examiner.end()
                    raise
                self._idle.append(examiner)
                if isinstance(told, int):
                    raise OSError(told, os.strerror(told))
                return told
        return _KILLED

    def _take(self) -> _Examiner:
        while self._idle:
            if not (examiner := self._idle.pop()).is_gone:
                return examiner
        return _Examiner(self._niceness)


class _GoneError(Exception):
    """Raised when the examining process has ended."""


class _Examiner:
    """One examining process, which answers one question at a time."""

    def __init__(self, niceness: int) -> None:
        self.is_gone = False
        self._loop = asyncio.get_running_loop()
        self._line, theirs = socket.socketpair()
        program = f"import sys; sys.path[:] = {sys.path!r}; from telemetry.collector.examiner import work"
        with theirs:
            # Of a group of its own: what is typed at a terminal is meant for us.
            self._process = subprocess.Popen(  # noqa: S603 our own interpreter
                [sys.executable, "-c", f"{program}; work({niceness})"],
                stdin=theirs.fileno(),
                process_group=0,
            )
        self._line.settimeout(0)
        self._heard = bytearray()
        self._answer: asyncio.Future[Told] | None = None
        self._loop.add_reader(self._line, self._hear)

    async def ask(self, question: Question) -> Told:
        self._answer = self._loop.create_future()
        try:
            self._line.sendall(msgspec.json.encode(question) + b"\n")
        except OSError:
            self.end()
            raise _GoneError from None
        return await self._answer

    def end(self) -> None:
        self.is_gone = True
        self._loop.remove_reader(self._line)
        self._line.close()
        self._process.kill()
        self._process.wait()

    def _hear(self) -> None:
        try:
            piece = self._line.recv(_ANSWER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._heard += piece
        if not piece:
            self.end()
            if self._answer and not self._answer.done():
                self._answer.set_exception(_GoneError())
        elif piece.endswith(b"\n"):
            told = _decode(self._heard)
            self._heard.clear()
            if self._answer and not self._answer.done():
                self._answer.set_result(told)
