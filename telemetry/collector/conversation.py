"""Conversation with one client over one connection: requests in turn, in HTTP/1.1, with a bound on all it may send.

Nothing here asks for a client's address, so nobody can come to see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from typing import TYPE_CHECKING

import msgspec

from telemetry.collector.answers import GO_ON, answer, refuse, without_body
from telemetry.collector.head import MAX_HEAD_BYTES
from telemetry.collector.judge import Refusal
from telemetry.collector.keeper import Arrival
from telemetry.collector.limits import LEAST_BYTES_PER_SECOND, Limits
from telemetry.collector.metrics import CONTENT_TYPE
from telemetry.collector.newcomer import LINGER_BYTES, LINGER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from telemetry.collector.answers import Answers
    from telemetry.collector.connections import Connections
    from telemetry.collector.head import Head
    from telemetry.collector.health import Health
    from telemetry.collector.keeper import Kept
    from telemetry.collector.less import Less
    from telemetry.collector.metrics import Metrics
    from telemetry.collector.pace import Pace
    from telemetry.collector.reception import Reception

_KEEP_ALIVE_SECONDS = 75.0  # whoever waits costs nothing: it makes room for others
_MOST_HELD_BYTES = 64 << 10  # of what comes before it is its turn
_CRUMB_BYTES = 1024  # a packet of the net holds more
_REST_SECONDS = 0.05  # after a crumb: what comes meanwhile, the kernel puts together
_UPLOAD_SECONDS = 300.0  # 16 MiB at half a megabit a second
_CUT_SHORT = Refusal(408, "the body did not arrive whole, or too slowly")
_TOO_MANY = Refusal(503, "too many uploads are on their way", 5.0)


class Desk(msgspec.Struct):
    """The parts of the collector that every conversation uses.

    Attributes:
        connections: the set of connections, which decides which of them makes room.
        reception: takes uploads in.
        answers: the responses that depend on a head alone.
        health: the answer to `/healthz`.
        metrics: the counters behind `/metrics`.
        limits: the bounds on a client's requests.
        pace: decides whose turn it is.
        less: asks for less with each batch that is taken.
        talking: the conversations that have not ended.
    """

    connections: Connections
    reception: Reception
    answers: Answers
    health: Health
    metrics: Metrics
    limits: Limits
    pace: Pace
    less: Less
    talking: set[Conversation]


class Conversation(asyncio.Protocol):
    """The asyncio protocol of one connection.

    Args:
        accepted: its socket.
        desk: the parts of the collector it uses; `desk.connections` knows the conversation already.

    Attributes:
        received_bytes: how much has arrived of the body in progress.
    """

    received_bytes = 0
    _transport: asyncio.Transport

    def __init__(self, accepted: socket.socket, desk: Desk) -> None:
        self._accepted = accepted
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._is_begun = False
        self._held = bytearray()
        self._left_bytes = 0  # of the body
        self._arrival: Arrival | None = None
        self._begun = 0.0
        self._answer = b""  # for a body that is thrown away, when it has come
        self._held_back_seconds = 0.0  # the answer, when it is the last one
        self._work: asyncio.Task[None] | None = None
        self._who = ""  # the holder whose token the last request bore
        self._is_waiting = False
        self._is_reading_head = False
        self._is_retiring = False
        self._is_last = False
        self._is_deaf = False  # nothing more will come
        self._thrown_away_bytes = -1  # 0 or more: nothing is read any more
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None

    # Called by asyncio.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # it is no pipe
        """Begin to listen to the client."""
        self._transport = transport
        self._is_begun = True
        self._desk.talking.add(self)
        self._allow(self._desk.limits.stall_seconds)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client, and handle each request that they complete."""
        if self._thrown_away_bytes >= 0:
            self._thrown_away_bytes += len(data)
            if self._thrown_away_bytes > LINGER_BYTES:
                self._transport.abort()
            elif len(data) < _CRUMB_BYTES:
                self._rest()
            return
        self._held += data
        if self._is_waiting:
            return
        if len(self._held) < min(self._left_bytes, _CRUMB_BYTES):
            self._rest()
            return
        if self._who and not self._desk.pace.may(self._who, self._take_turn):
            self._is_waiting = True
            self._transport.pause_reading()
            return
        self._go_on()
        if self._is_reading_head and len(data) < _CRUMB_BYTES:
            self._rest()
        elif len(self._held) > _MOST_HELD_BYTES:
            self._transport.pause_reading()

    def _rest(self) -> None:
        """Stop listening for a moment: otherwise each crumb of a slow sender would cost as much as a whole piece."""
        if not self._transport.is_closing():
            self._transport.pause_reading()
            self._loop.call_later(_REST_SECONDS, self._listen)

    def _listen(self) -> None:
        if not self._is_waiting and not self._transport.is_closing():
            self._transport.resume_reading()

    def _take_turn(self) -> None:
        self._is_waiting = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._go_on()

    def eof_received(self) -> bool:
        """Note that the client will send no more; return whether it may still wait for an answer."""
        self._is_deaf = True
        return (self._work is not None or self._is_waiting) and self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's
        """Clean up after the connection. A body that has arrived whole is kept all the same."""
        self._desk.talking.discard(self)
        self._desk.connections.leave(self)
        self._allow(math.inf)
        if self._arrival is not None:
            self._desk.reception.give_up(self._arrival, _CUT_SHORT)
            self._arrival = None

    # Called by the collector.

    def cut(self) -> None:
        """End the connection at once."""
        if self._is_begun:
            self._transport.abort()
        else:  # in the beginning of TLS, which sees that its client has gone
            with contextlib.suppress(OSError):
                self._accepted.shutdown(socket.SHUT_RDWR)

    def retire(self) -> None:
        """Answer the request in progress, then end the connection."""
        self._is_retiring = True
        if self._work is None and self._arrival is None and not self._left_bytes:
            self.cut()

    # Reading requests.

    def _go_on(self) -> None:
        while self._work is None and self._thrown_away_bytes < 0:
            if self._left_bytes:
                if not self._held:
                    return
                self._take_piece()
            elif not self._held or not self._take_head():
                return

    def _take_head(self) -> bool:
        """Read the next head; return False if none is complete."""
        head = self._desk.answers.hear(bytes(self._held[: MAX_HEAD_BYTES + 1]))
        if head is None:
            if self._is_deaf:
                self.cut()
            elif not self._is_reading_head:
                self._is_reading_head = True
                self._allow(self._desk.limits.stall_seconds)
            return False
        self._is_reading_head = False
        if isinstance(head, bytes):
            self._end_with(head)
            return False
        self._begin(head)
        return True

    def _begin(self, head: Head) -> None:
        del self._held[: head.head_bytes]
        self._is_last = head.is_last
        self._who = self._desk.answers.name_of(head)
        if head.method != "POST":
            self._do(self._tell(head))
            return
        came = self._desk.reception.let_in(head)
        if isinstance(came, Arrival) and not self._desk.connections.upload(self):
            came = self._desk.reception.give_up(came, _TOO_MANY)
        waits = head.expects_word and not self._held
        if isinstance(came, Arrival):
            self._arrival = came
            self._begun = self._loop.time()
            self.received_bytes = 0
            self._allow(self._desk.limits.stall_seconds)
            if waits:
                self._transport.write(GO_ON)
        else:
            is_unread = waits or head.body_bytes > LINGER_BYTES
            self._is_last |= is_unread
            self._answer = self._answer_of(came)
            if is_unread:
                self._end_with(self._answer)
                return
            self._allow(LINGER_SECONDS)
        self._left_bytes = head.body_bytes
        if not self._left_bytes:
            self._end_body()

    def _take_piece(self) -> None:
        piece = bytes(self._held[: self._left_bytes])
        del self._held[: self._left_bytes]
        self._left_bytes -= len(piece)
        if self._arrival is not None:
            self.received_bytes += len(piece)
            refusal = self._desk.reception.take(self._arrival, piece)
            if refusal is not None:
                self._arrival = None
                self._answer = self._answer_of(refusal)
                self._allow(LINGER_SECONDS)
            else:
                earned_seconds = self._desk.limits.stall_seconds + self.received_bytes / LEAST_BYTES_PER_SECOND
                self._until = self._begun + min(earned_seconds, _UPLOAD_SECONDS)
        if not self._left_bytes:
            self._end_body()

    def _end_body(self) -> None:
        if self._arrival is None:
            self._say(self._answer)
            return
        arrival, self._arrival = self._arrival, None
        self._desk.connections.work(self)
        self._do(self._finish(arrival))

    # Tasks.

    def _do(self, work: Coroutine[None, None, None]) -> None:
        self._allow(math.inf)
        self._work = self._loop.create_task(work)

    async def _finish(self, arrival: Arrival) -> None:
        try:
            came = await self._desk.reception.finish(arrival, lambda: not self._transport.is_closing())
        except BaseException:
            self.cut()
            raise
        self._work = None
        self._say(self._answer_of(came))
        self._go_on()

    async def _tell(self, head: Head) -> None:
        if head.path == "/metrics":
            told = answer(200, self._desk.metrics.page(), CONTENT_TYPE)
        else:
            told = answer(*await asyncio.to_thread(self._desk.health.look))
        self._work = None
        self._end_with(told if head.method == "GET" else without_body(told))

    # Answering.

    def _answer_of(self, came: Kept | Refusal) -> bytes:
        if isinstance(came, Refusal):
            self._is_last = True
            self._held_back_seconds = came.held_back_seconds
            return refuse(came)
        self._is_last |= self._is_retiring
        kept = msgspec.json.encode(came._asdict())
        return answer(200, kept, more=self._desk.less.header, is_last=self._is_last)

    def _say(self, said: bytes) -> None:
        if self._is_last or (self._is_deaf and not self._held):
            self._end_with(said)
        elif not self._transport.is_closing():
            self._transport.write(said)
            self._transport.resume_reading()
            self._desk.connections.rest(self)
            self._allow(_KEEP_ALIVE_SECONDS)

    def _end_with(self, said: bytes) -> None:
        """Send the last answer and discard further input: a client cut off at once would see a reset and no answer."""
        if self._transport.is_closing():
            return
        self._held.clear()
        self._left_bytes = 0
        self._thrown_away_bytes = 0
        self._desk.connections.dismiss(self)
        if self._held_back_seconds:
            self._is_waiting = True
            self._transport.pause_reading()
            self._allow(math.inf)
            self._loop.call_later(self._held_back_seconds, self._say_last, said)
        else:
            self._say_last(said)

    def _say_last(self, said: bytes) -> None:
        self._is_waiting = False
        if self._transport.is_closing():
            return
        self._transport.write(said)
        if self._is_deaf:
            self._transport.close()
            return
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError:  # it was cut off from the other end
            self._transport.abort()
            return
        self._transport.resume_reading()
        self._allow(LINGER_SECONDS)

    # Deadlines.

    def _allow(self, seconds: float) -> None:
        self._until = self._loop.time() + seconds
        if self._timer is not None and (self._timer.when() > self._until or math.isinf(seconds)):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and not math.isinf(seconds):
            self._timer = self._loop.call_at(self._until, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._look_at_clock)
        elif self._arrival is not None:
            arrival, self._arrival = self._arrival, None
            self._end_with(self._answer_of(self._desk.reception.give_up(arrival, _CUT_SHORT)))
        elif self._left_bytes:
            self._end_with(self._answer)
        else:
            self._transport.abort()
