"""A host that hands events to a syslog daemon: `python -m bench.peers.sender KIND SOCKET LOAD NUMBER`.

`handler` is the standard library's SysLogHandler over a datagram socket, as most programs log; `raw` writes lines to a
stream socket, the least that a host can do. Each line is the event as JSON, with its running number.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import socket
import sys
from contextlib import suppress
from itertools import count
from time import monotonic, process_time, sleep
from typing import TYPE_CHECKING

from bench.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN_SECONDS = 0.01
"""How soon a stream is opened again that the daemon's end has closed."""


def main(kind: str, address: str, load: Load, number: str) -> None:
    """Emit; print when it began and what it cost, as JSON."""
    send = {"handler": by_handler, "raw": by_stream}[kind](address)
    emissions = load.emissions()
    running = count()
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = monotonic(), process_time()
    for _ in range(load.chunks):
        for name, fields in emissions:
            send(json.dumps({"n": f"{number}-{next(running)}", "event": name, **fields}))
    print(json.dumps({"began": began, "cpu": process_time() - cpu}), flush=True)
    sys.stdin.readline()


def by_handler(address: str) -> Callable[[str], None]:
    """Log each line."""
    logging.raiseExceptions = False
    handler = logging.handlers.SysLogHandler(address)
    handler.append_nul = False
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return logger.info


def by_stream(address: str) -> Callable[[str], None]:
    """Write each line; a stream that breaks is opened again, and the line written to that."""
    stream = _connected(address)

    def send(line: str) -> None:
        nonlocal stream
        data = line.encode() + b"\n"
        while True:
            try:
                stream.sendall(data)
            except OSError:
                stream.close()
                stream = _connected(address)
            else:
                return

    return send


def _connected(address: str) -> socket.socket:
    while True:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(OSError):
            stream.connect(address)
            return stream
        stream.close()
        sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Load(*json.loads(sys.argv[3])), sys.argv[4])
