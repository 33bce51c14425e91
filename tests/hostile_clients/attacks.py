"""Each way in which a client is hostile, for as long as it is told, held to half a core."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import sys
import time
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from hostile_clients.bodies import BOMBS, fit, forged, head

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Step = Callable[["Target"], Coroutine[None, None, None]]

SHARE_OF_A_CORE = 0.5
_ANSWER_SECONDS = 3.0


class Target(NamedTuple):
    """Where a collector listens, and a token of it that is not the shipper's."""

    host: str
    port: int
    token: str


async def connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, without TLS."""
    return await asyncio.open_connection(target.host, target.port)


async def ask(target: Target, request: bytes) -> None:
    """Send a request by a new connection, and wait for what comes."""
    await answer_to(target, request)


async def answer_to(target: Target, request: bytes, patience_seconds: float = _ANSWER_SECONDS) -> bytes:
    """Send a request by a new connection; all that comes."""
    reader, writer = await connect(target)
    answer = b""
    try:
        writer.write(request)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                while piece := await reader.read(65_536):
                    answer += piece
    finally:
        writer.transport.abort()
    return answer


async def throw(target: Target, request: bytes) -> None:
    """Send a request by a new connection, and go."""
    _, writer = await connect(target)
    try:
        writer.write(request)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    finally:
        writer.transport.abort()


async def hold(target: Target, begin: bytes, drop: bytes, every_seconds: float) -> None:
    """Keep a connection as long as it lasts, with a byte now and then."""
    reader, writer = await connect(target)
    try:
        writer.write(begin)
        while not reader.at_eof() and not writer.is_closing():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_seconds):
                    await reader.read(1000)
            writer.write(drop)
    finally:
        writer.transport.abort()


async def keep_asking(target: Target, request: Callable[[], bytes]) -> None:
    """Send one request after the other by one connection."""
    reader, writer = await connect(target)
    try:
        while not writer.is_closing():
            writer.write(request())
            answer = b""
            while not answer.endswith(b"}"):
                piece = await reader.read(65_536)
                if not piece:
                    return
                answer += piece
    finally:
        writer.transport.abort()


def _hello() -> bytes:
    """The first bytes of TLS, with which a server has the dear part of the work to do."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
    return outgoing.read()


_HELLO = _hello()
_FIT = fit(1000)
_SMALL = fit(10)
_MANY_LINES = b"".join(b"a:\r\n" for _ in range(4500))


def attacks(token: str) -> dict[str, tuple[int, Step]]:
    """By name: how many clients at one time, and what each does over and over."""
    forgeries = cycle(forged(token))
    every = _bombs(token)
    same = "0" * 32
    return {
        "idle": (1200, lambda target: hold(target, b"", b"", 60.0)),
        "hello": (50, lambda target: throw(target, _HELLO)),
        "hello and wait": (600, lambda target: hold(target, _HELLO, b"", 60.0)),
        "slow heads": (600, lambda target: hold(target, b"POST /", b"x", 1.0)),
        "slow bodies": (300, lambda target: hold(target, head(1 << 20, token), b"x", 0.5)),
        "slow bodies without a token": (300, lambda target: hold(target, head(1 << 20, "none"), b"x", 0.5)),
        "huge heads": (50, lambda target: ask(target, b"POST / HTTP/1.1\r\nX: " + b"x" * 100_000)),
        "many lines": (50, lambda target: ask(target, b"POST / HTTP/1.1\r\n" + _MANY_LINES + b"\r\n")),
        "many lines behind": (
            50,
            lambda target: ask(target, head(0, token) + b"POST / HTTP/1.1\r\n" + _MANY_LINES * 10),
        ),
        "tiny chunks": (
            50,
            lambda target: ask(target, head(-1, token, "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 20_000),
        ),
        "forged framing": (50, lambda target: ask(target, next(forgeries))),
        "flood of connections": (50, lambda target: throw(target, b"")),
        "flood without a token": (50, lambda target: throw(target, head(len(_SMALL), "none") + _SMALL)),
        "flood with a token": (50, lambda target: keep_asking(target, lambda: head(len(_SMALL), token) + _SMALL)),
        "flood of batches": (50, lambda target: keep_asking(target, lambda: head(len(_FIT), token) + _FIT)),
        "flood of repeats": (
            50,
            lambda target: keep_asking(target, lambda: head(len(_SMALL), token, batch=same) + _SMALL),
        ),
        "flood of health": (50, lambda target: throw(target, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")),
        "bombs": (50, lambda target: ask(target, next(every))),
        **{f"bomb: {name}": (20, _bomb(name, token)) for name in BOMBS},
        "cut bodies": (50, lambda target: throw(target, head(len(_FIT), token) + _FIT[: random.randrange(len(_FIT))])),
    }


def _bombs(token: str) -> Iterator[bytes]:
    for name in cycle(BOMBS):
        yield head(len(_body(name)), token) + _body(name)


def _bomb(name: str, token: str) -> Step:
    return lambda target: ask(target, head(len(_body(name)), token) + _body(name))


_body = cache(lambda name: BOMBS[name]())


async def run(name: str, target: Target, seconds: float, most_clients: int = 10_000) -> int:
    """Attack for so long; how often."""
    clients, step = attacks(target.token)[name]
    begun = time.monotonic()
    count = 0

    async def client() -> None:
        nonlocal count
        while time.monotonic() - begun < seconds:
            with contextlib.suppress(OSError):
                await step(target)
            count += 1
            ahead_seconds = (time.process_time() - started) / SHARE_OF_A_CORE - (time.monotonic() - begun)
            if ahead_seconds > 0:
                await asyncio.sleep(ahead_seconds)

    started = time.process_time()
    tasks = [asyncio.create_task(client()) for _ in range(min(clients, most_clients))]
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # what was aborted is closed in the next turn
    return count


if __name__ == "__main__":
    name, host, port, token, seconds = sys.argv[1:]
    print(asyncio.run(run(name, Target(host, int(port), token), float(seconds))))
