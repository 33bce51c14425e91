"""Links between shippers and collectors, good, slow and lossy, as a process: `python -m fleet.links PORT...`.

It prints the port of each kind as JSON. A connection goes to one of the collectors that live, in turn, as by a load
balancer. A slow link takes its time with each piece; a lossy one breaks off in every third connection: in the middle of
an upload, or before its answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import suppress
from functools import partial
from itertools import count
from math import inf
from typing import NamedTuple

_PIECE_BYTES = 2048
_SLOW_SECONDS = 0.03
_BREAK_CHANCE = 1 / 6  # of either kind
_turns = count()


class Kind(NamedTuple):
    """A kind of link."""

    piece_seconds: float = 0.0
    break_chance: float = 0.0


KINDS = {"good": Kind(), "slow": Kind(piece_seconds=_SLOW_SECONDS), "lossy": Kind(break_chance=_BREAK_CHANCE)}


async def _serve(kind: Kind, ports: list[int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    chance = random.random()
    up_bytes = random.randrange(100, 3000) if chance < kind.break_chance else inf
    down_bytes = 0.0 if kind.break_chance <= chance < 2 * kind.break_chance else inf
    far_writer = None
    try:
        far_reader, far_writer = await _connect(ports)
        up = asyncio.ensure_future(_pump(reader, far_writer, kind.piece_seconds, up_bytes))
        down = asyncio.ensure_future(_pump(far_reader, writer, 0.0, down_bytes))
        await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
    except OSError:
        pass  # no collector lives: as if nobody listened
    finally:
        for each in (writer, far_writer):
            if each is not None:
                with suppress(OSError):
                    await each.drain()
                each.transport.abort() if up_bytes + down_bytes < inf else each.close()


async def _connect(ports: list[int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    first = next(_turns)
    for number in range(len(ports)):
        with suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", ports[(first + number) % len(ports)])
    raise ConnectionRefusedError


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float, left_bytes: float) -> None:
    with suppress(OSError):
        while data := await source.read(_PIECE_BYTES if seconds else 1 << 16):
            left_bytes -= len(data)
            if left_bytes < 0:
                return
            await asyncio.sleep(seconds)
            target.write(data)
            await target.drain()


async def _main(ports: list[int]) -> None:
    listening = {}
    for name, kind in KINDS.items():
        server = await asyncio.start_server(partial(_serve, kind, ports), "127.0.0.1", 0, backlog=1000)
        listening[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(listening), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main([int(port) for port in sys.argv[1:]]))
