"""What may be on the other end of a connection."""

from __future__ import annotations

import socket
import zlib
from contextlib import suppress
from functools import cache, partial
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING

from spools import decompress

from endpoint_faults.server import OK, Line, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from endpoint_faults.server import Behaviour

DRIP_SECONDS = 0.02
SLOW_BYTES = 32 << 10
BOMB_BYTES = 256 << 20
MOST_BYTES = 100 << 20
"""Where what is called endless ends: nobody may have read so much."""
HTML = b"<!DOCTYPE html><html><body>Please log in.</body></html>"


def reply(status: int | str, *headers: str, body: bytes = b"", length: int | None = None) -> bytes:
    """The bytes of a reply."""
    lines = [f"HTTP/1.1 {status} Said", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answers(answer: bytes | Callable[[Request], bytes]) -> Behaviour:
    """Reads each request whole, and answers it, until the fault is over."""

    def behave(line: Line) -> None:
        while request := line.read_request():
            is_over = line.server.over.is_set()
            line.send(OK if is_over else answer if isinstance(answer, bytes) else answer(request))

    return behave


def in_turn(*replies: bytes) -> Behaviour:
    """Answers with each in turn, over and over, on whichever connection."""
    numbers = count()
    return answers(lambda _: replies[next(numbers) % len(replies)])


def refuses(status: int, *guilty: int) -> Behaviour:
    """Refuses what holds an event of these numbers."""
    return answers(lambda request: reply(status) if guilty_in(request, guilty) else OK)


def guilty_in(request: Request, guilty: Iterable[int]) -> bool:
    """Whether a request's batch holds an event of these numbers."""
    numbers = {int(line.rpartition(b":")[2].rstrip(b"}")) for line in decompress(request.body).splitlines()}
    return not numbers.isdisjoint(guilty)


def silent(line: Line) -> None:
    """Takes a request and never answers."""
    line.read_request()
    line.server.over.wait()


def deaf(line: Line) -> None:
    """Takes nothing in."""
    line.server.over.wait()


def reads_slowly(line: Line) -> None:
    """Takes an upload in piece by piece, as behind a slow link."""
    head = line.read_head()
    left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    while left > 0 and not line.server.over.wait(DRIP_SECONDS):
        left -= len(line.read(min(left, SLOW_BYTES)))
    line.send(OK)


def resets(line: Line) -> None:
    """Resets the connection instead of a reply."""
    line.read_request()
    line.reset()


def resets_mid_body(line: Line) -> None:
    """Resets the connection in the middle of an upload."""
    line.read_head()
    line.read(1000)
    line.reset()


def closes(line: Line) -> None:
    """Closes the connection instead of a reply."""
    line.read_request()


def closes_at_once(line: Line) -> None:
    """Hangs up on whoever calls."""
    line.reset()


def closes_after(answer: bytes) -> Behaviour:
    """Answers one request, and hangs up."""

    def behave(line: Line) -> None:
        line.read_request()
        line.send(answer)

    return behave


def speaks_first(answer: bytes) -> Behaviour:
    """Does not wait for a request."""

    def behave(line: Line) -> None:
        line.send(answer)
        line.read(1)

    return behave


def resets_the_second(line: Line) -> None:
    """Answers a connection's first request, and resets it at the next."""
    line.read_request()
    line.send(OK)
    line.read_request()
    line.reset()


def answers_early(answer: bytes) -> Behaviour:
    """Answers by the head alone, and hangs up on the body."""

    def behave(line: Line) -> None:
        line.read_head()
        line.send(answer)  # and then a reset: what is closed with bytes unread is

    return behave


def drips(beginning: bytes, drop: bytes = b"x") -> Behaviour:
    """Answers a byte at a time: no silence is ever long."""

    def behave(line: Line) -> None:
        line.read_request()
        line.send(beginning)
        while not line.server.over.wait(DRIP_SECONDS):
            line.send(drop)

    return behave


def goes_on(beginning: bytes, more: bytes) -> Behaviour:
    """Answers, and does not come to an end."""

    def behave(line: Line) -> None:
        line.read_request()
        line.send(beginning)
        for _ in range(MOST_BYTES // len(more)):
            line.send(more)

    return behave


def goes_on_for_ever(more: bytes) -> Behaviour:
    """Says the same until the client hangs up, or the fault is over."""

    def behave(line: Line) -> None:
        line.read_request()
        while not line.server.over.is_set():
            line.send(more)

    return behave


def bomb(status: int, *headers: str) -> Behaviour:
    """Answers with little that unpacks to much."""
    return answers(lambda _: reply(status, *headers, "Content-Encoding: gzip", body=_bomb()))


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(BOMB_BYTES // len(block))) + packer.flush()


def tunnels(line: Line) -> None:
    """A proxy that knows of this machine alone: passes on what comes after a CONNECT."""
    _, target, *_ = line.read_head().split(b" ")
    with socket.create_connection(("127.0.0.1", int(target.rpartition(b":")[2]))) as far:
        line.send(reply(200, length=0))
        back = Thread(target=_pump, args=(far, line.socket), daemon=True)
        back.start()
        _pump(line.socket, far)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        for data in iter(partial(source.recv, 1 << 16), b""):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
