"""An endpoint that keeps what it is sent: `python -m bench.peers.keep FILE` prints its port, and appends each body."""

from __future__ import annotations

import socket
import sys
import threading
from typing import IO

LOCK = threading.Lock()


def main(path: str) -> None:
    """Serve on a free port of the loopback until killed."""
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(server.getsockname()[1], flush=True)
    with open(path, "ab", buffering=0) as file:  # noqa: PTH123 it is given as text
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection, file), daemon=True).start()


def serve(connection: socket.socket, file: IO[bytes]) -> None:
    """Answer the requests of one connection; their bodies are announced by Content-Length."""
    with connection, connection.makefile("rb") as stream:
        while stream.readline():
            length, waits = 0, False
            while line := stream.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
                waits = waits or line == b"expect: 100-continue"
            if waits:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = stream.read(length)
            with LOCK:
                file.write(body.rstrip(b"\n") + b"\n")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


if __name__ == "__main__":
    main(sys.argv[1])
