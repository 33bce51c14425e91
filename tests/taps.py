"""Taps: what stands between a sink and its server, hears every byte, and can refuse as other servers would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import struct
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_PIECE_BYTES = 1 << 16


class Line:
    """A connection that came through a tap.

    Attributes:
        heard: what the client has said, after TLS.
        ended: set once the client has hung up.
    """

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ended = Event()


class Tap:
    """A port of the loopback behind which a server answers.

    Attributes:
        port: the port.
        lines: the connections, in the order in which they came.
    """

    def __init__(self, server_port: int, tls: ssl.SSLContext | None = None) -> None:
        self._server_port = server_port
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lines: list[Line] = []
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self.lines.append(Line())
                Thread(target=self._serve, args=(client, self.lines[-1]), daemon=True).start()

    def _serve(self, client: socket.socket, line: Line) -> None:
        try:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
                self._connect(client, server, line)
        except OSError:
            pass
        finally:
            line.ended.set()

    def _connect(self, client: socket.socket, server: socket.socket, line: Line) -> None:
        back = Thread(target=_pump, args=(server, client, lambda data: data), daemon=True)
        back.start()

        def hear(data: bytes) -> bytes:
            line.heard += data
            return data

        _pump(client, server, hear)


def _pump(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with suppress(OSError):
        while data := source.recv(_PIECE_BYTES):
            target.sendall(change(data))
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class KafkaTap(Tap):
    """A tap of Kafka's protocol in front of one of librdkafka's brokers, which knows neither TLS, login nor limit.

    Args:
        server_port: the broker's, which is advertised as the tap's.
        tls: the server's side of TLS; None for none.
        login: user and password that are asked for, by SASL; None for none.
        mechanism: how they are asked for.
        most_bytes: the size of a request beyond which its message is too large.
    """

    def __init__(
        self,
        server_port: int,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        mechanism: str = "PLAIN",
        most_bytes: int = 1 << 30,
    ) -> None:
        self._login = login
        self._mechanism = mechanism
        self._most_bytes = most_bytes
        super().__init__(server_port, tls)

    def _connect(self, client: socket.socket, server: socket.socket, line: Line) -> None:
        is_known = self._login is None
        login = _Login(self._mechanism, *(self._login or ("", "")))
        saying = Lock()
        back = Thread(target=self._answer, args=(server, client, saying), daemon=True)
        versions = _versions(self._server_port)
        back.start()
        while (frame := _read_frame(client)) is not None:
            line.heard += frame
            key, version, number = struct.unpack_from(">hhi", frame)
            said: bytes | None = None
            if key == _API_VERSIONS:
                said = versions if version == 0 else struct.pack(">hihhh", _UNSUPPORTED_VERSION, 1, _API_VERSIONS, 0, 0)
            elif key == _SASL_HANDSHAKE:
                fault = 0 if frame.endswith(_text(self._mechanism)) else _UNSUPPORTED_MECHANISM
                said = struct.pack(">hi", fault, 1) + _text(self._mechanism)
            elif key == _SASL_AUTHENTICATE:
                answered = login.answer(_proof(frame))
                is_known = login.is_known
                fault = 0 if answered is not None else _AUTHENTICATION_FAILED
                said = struct.pack(">hhi", fault, -1, len(answered or b"")) + (answered or b"")
            elif not is_known:
                return
            elif key == _PRODUCE and len(frame) > self._most_bytes:
                said = _too_large(frame)
            if said is None:
                server.sendall(struct.pack(">i", len(frame)) + frame)
            else:
                with saying:
                    client.sendall(struct.pack(">ii", 4 + len(said), number) + said)

    def _answer(self, server: socket.socket, client: socket.socket, saying: Lock) -> None:
        own = b"127.0.0.1" + struct.pack(">i", self._server_port)
        with suppress(OSError):
            while (frame := _read_frame(server)) is not None:
                frame = frame.replace(own, b"127.0.0.1" + struct.pack(">i", self.port))
                with saying:
                    client.sendall(struct.pack(">i", len(frame)) + frame)


_PRODUCE, _SASL_HANDSHAKE, _API_VERSIONS, _SASL_AUTHENTICATE = 0, 17, 18, 36
_MESSAGE_TOO_LARGE, _UNSUPPORTED_MECHANISM, _UNSUPPORTED_VERSION, _AUTHENTICATION_FAILED = 10, 33, 35, 58
_LAST_PLAIN_PRODUCE = 7  # the version of a request without tagged fields


class _Login:
    """The server's side of PLAIN (RFC 4616) and SCRAM (RFC 5802)."""

    def __init__(self, mechanism: str, user: str, password: str) -> None:
        self.is_known = False
        self._hash = {"PLAIN": "", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism]
        self._user, self._password = user, password
        self._first = ""

    def answer(self, said: bytes) -> bytes | None:
        """What is to be said next; None where the client is not who it says it is."""
        if not self._hash:
            self.is_known = said == f"\0{self._user}\0{self._password}".encode()
            return b"" if self.is_known else None
        if not self._first:
            self._bare = said.decode().removeprefix("n,,")
            name, nonce = self._bare.split(",r=")
            if name != f"n={self._user}":
                return None
            self._salt = os.urandom(16)
            salt = base64.b64encode(self._salt).decode()
            self._first = f"r={nonce}{os.urandom(8).hex()},s={salt},i={_ITERATIONS}"
            return self._first.encode()
        without_proof, _, proof = said.decode().rpartition(",p=")
        salted = hashlib.pbkdf2_hmac(self._hash, self._password.encode(), self._salt, _ITERATIONS)
        all_said = f"{self._bare},{self._first},{without_proof}".encode()
        key = hmac.digest(salted, b"Client Key", self._hash)
        signature = hmac.digest(hashlib.new(self._hash, key).digest(), all_said, self._hash)
        expected = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        self.is_known = base64.b64decode(proof) == expected
        server = hmac.digest(hmac.digest(salted, b"Server Key", self._hash), all_said, self._hash)
        return b"v=" + base64.b64encode(server) if self.is_known else None


_ITERATIONS = 4096


def _proof(frame: bytes) -> bytes:
    """What a request to authenticate holds, behind its head."""
    (size,) = struct.unpack_from(">h", frame, 8)  # of the client's id
    (length,) = struct.unpack_from(">i", frame, 10 + max(size, 0))
    return frame[-length:]


def _read_frame(source: socket.socket) -> bytes | None:
    head = _read(source, 4)
    return _read(source, struct.unpack(">i", head)[0]) if head else None


def _read(source: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        if not (piece := source.recv(min(size - len(data), _PIECE_BYTES))):
            return None
        data += piece
    return bytes(data)


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _versions(port: int) -> bytes:
    """What the broker's protocol knows, without the newest way to produce, and with SASL."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        asked = struct.pack(">hhi", _API_VERSIONS, 0, 1) + _text("tap")
        server.sendall(struct.pack(">i", len(asked)) + asked)
        answer = _read_frame(server)
    assert answer is not None
    _, _, count = struct.unpack_from(">ihi", answer)
    known = {key: (least, most) for key, least, most in struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count])}
    known[_PRODUCE] = (known[_PRODUCE][0], _LAST_PLAIN_PRODUCE)
    known |= {_SASL_HANDSHAKE: (0, 1), _SASL_AUTHENTICATE: (0, 0)}
    return struct.pack(">hi", 0, len(known)) + b"".join(struct.pack(">hhh", key, *each) for key, each in known.items())


def _too_large(frame: bytes) -> bytes:
    """The answer to a request of one topic and one partition."""
    at = 8
    for _ in range(2):  # the client's id, the transaction's
        (size,) = struct.unpack_from(">h", frame, at)
        at += 2 + max(size, 0)
    at += 2 + 4 + 4  # acks, timeout, one topic
    (size,) = struct.unpack_from(">h", frame, at)
    topic = frame[at : at + 2 + size]
    at += 2 + size + 4  # one partition
    partition = frame[at : at + 4]
    fault = struct.pack(">hqqq", _MESSAGE_TOO_LARGE, -1, -1, -1)
    return struct.pack(">i", 1) + topic + struct.pack(">i", 1) + partition + fault + struct.pack(">i", 0)
