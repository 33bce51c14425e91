"""Where the peers ship to: counts the events that arrive, and answers 200 to each request.

It prints its port, and, for each line of its input, how often the event's name has come. Compressed bodies are read
as their `Content-Encoding` says.
"""

from __future__ import annotations

import gzip
import socket
import sys
import threading
from typing import BinaryIO

NAME = b"query_finished"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Count:
    """How many events have arrived; each thread adds to it under a lock."""

    def __init__(self) -> None:
        self.events = 0
        self._lock = threading.Lock()

    def add(self, body: bytes) -> None:
        """Count the events of a body."""
        with self._lock:
            self.events += body.count(NAME)


def main(protocol: str) -> None:
    """Serve on a free port of the loopback until the input ends."""
    count = Count()
    if protocol == "udp":
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        datagrams.bind(("127.0.0.1", 0))
        port = datagrams.getsockname()[1]
        threading.Thread(target=_datagrams, args=(datagrams, count), daemon=True).start()
    else:
        server = socket.create_server(("127.0.0.1", 0), backlog=128)
        port = server.getsockname()[1]
        speak = _requests if protocol == "http" else _stream
        threading.Thread(target=_accept, args=(server, speak, count), daemon=True).start()
    print(port, flush=True)
    for _ in sys.stdin:
        print(count.events, flush=True)


def _accept(server: socket.socket, speak: object, count: Count) -> None:
    assert callable(speak)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=speak, args=(connection, count), daemon=True).start()


def _datagrams(server: socket.socket, count: Count) -> None:
    while True:
        count.add(server.recv(1 << 16))


def _stream(connection: socket.socket, count: Count) -> None:
    """The forward protocol without acknowledgement: a name may lie across two reads."""
    rest = b""
    while chunk := connection.recv(1 << 16):
        whole = rest + chunk
        count.add(whole)
        rest = whole[-(len(NAME) - 1) :]


def _requests(connection: socket.socket, count: Count) -> None:
    with connection, connection.makefile("rb") as stream:
        while stream.readline():
            headers = {}
            while line := stream.readline().strip().lower():
                name, _, value = line.partition(b":")
                headers[name] = value.strip()
            body = (
                _chunked(stream)
                if b"transfer-encoding" in headers
                else stream.read(int(headers.get(b"content-length", b"0")))
            )
            count.add(gzip.decompress(body) if headers.get(b"content-encoding") == b"gzip" else body)
            connection.sendall(ANSWER)


def _chunked(stream: BinaryIO) -> bytes:
    parts = []
    while size := int(stream.readline(), 16):
        parts.append(stream.read(size))
        stream.readline()
    stream.readline()
    return b"".join(parts)


if __name__ == "__main__":
    main(sys.argv[1])
