"""Port for hosts on other machines: one TCP port, CURVE, and only peers whose public key is in a file.

Frames come in, and the questions of `REMOTE_OPERATIONS` are answered. A peer without a known key is refused before a
byte of a message is read.

ZeroMQ asks about each peer over a socket of its own, ZAP (RFC 27). It is answered from the shipper's loop, with the
file read anew: a key that was taken out opens no further connection. Nobody gets in while nobody answers.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import zmq
from zmq.utils import z85

from telemetry.errors import ConfigError
from telemetry.rendezvous.control import REMOTE_OPERATIONS, answer
from telemetry.rendezvous.keys import SILENCE_MILLISECONDS, check_curve, read_key, read_public_keys
from telemetry.shipper.intake.receiver import drain
from telemetry.shipper.limits import MAX_MESSAGE_BYTES, RECEIVE_FRAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.rendezvous.control import Answer
    from telemetry.shipper.config import Listen

ZAP_ADDRESS = "inproc://zeromq.zap.01"
_DOMAIN = b"telemetry"
_ZAP_PARTS = 7  # version, request, domain, address, identity, mechanism, key

HANDSHAKE_MILLISECONDS = 5_000
"""The time for a peer to identify itself before it is cut off: a port scanner must not hold our descriptors."""

MAX_PEERS_AT_ONCE = 64
"""The number of peers judged in one go: a storm of connections must not keep the shipper from its frames."""

log = logging.getLogger("telemetry.shipper")


class Message(NamedTuple):
    """A peer's message, and the peer that an answer goes to."""

    peer: bytes
    body: bytes

    @property
    def is_frame(self) -> bool:
        """Whether it is an array, as frames are; questions are maps."""
        return self.body[:1] in _ARRAYS


_ARRAYS = frozenset(bytes([first]) for first in (*range(0x90, 0xA0), 0xDC, 0xDD))


class Remote:
    """The port, and the peers that may use it.

    Attributes:
        socket: a ROUTER; readable when messages wait.
        zap: the ZAP socket; readable when a peer waits to be judged, see `let_in`.
        address: the address, with the port that the system chose if it was left to it.
        refused: the number of peers refused.

    Raises:
        ConfigError: no CURVE, a key file that can't be used, or an address that can't be listened at.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], listen: Listen) -> None:
        check_curve()
        self._clients_file = listen.clients_file
        self.refused = 0
        self._asked: list[Message] = []
        key = read_key(listen.key_file, "key_file")
        known = read_public_keys(listen.clients_file, "clients_file")
        self.zap = context.socket(zmq.REP)
        self.zap.bind(ZAP_ADDRESS)
        self.socket = context.socket(zmq.ROUTER)
        try:
            _listen(self.socket, listen.address, key)
        except zmq.ZMQError as fault:
            self.close()
            raise ConfigError(f"listen={listen.address!r}: {fault.strerror}; choose another address") from None
        self.address = self.socket.get_string(zmq.LAST_ENDPOINT)
        log.info("listening at %s for %d known keys", self.address, len(known))

    def let_in(self) -> None:
        """Judge the peers that wait; never blocks."""
        for _ in range(MAX_PEERS_AT_ONCE):
            try:
                question = self.zap.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            is_known = self._knows(question)
            self.refused += not is_known
            status = (b"200", b"OK") if is_known else (b"400", b"no known key")
            self.zap.send_multipart([b"1.0", question[1], *status, b"", b""])

    def receive_frames(self) -> list[bytes]:
        """Receive the frames that wait, up to a drain's worth; never blocks.

        Questions among them are kept for `answer_all`, because each concerns the frames before it. A message of many
        parts is none of ours.
        """
        messages = drain(self._receive, lambda message: len(message.body))
        self._asked += [message for message in messages if not message.is_frame]
        return [message.body for message in messages if message.is_frame]

    def answer_all(self, answers: Mapping[str, Answer]) -> None:
        """Answer the questions that have arrived, once the frames that came with them are taken in."""
        asked, self._asked = self._asked, []
        allowed = {name: answers[name] for name in REMOTE_OPERATIONS}
        for message in asked:
            answer(self.socket, message.peer, message.body, allowed)

    @property
    def state(self) -> dict[str, str | int]:
        """The state of the port, for `telemetry status`."""
        return {"address": self.address, "refused_peers": self.refused}

    def close(self) -> None:
        """Close the port, then the ZAP socket."""
        self.socket.close(linger=100)
        self.zap.close(linger=0)

    def _receive(self) -> Message:
        peer, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
        return Message(peer, parts[0] if len(parts) == 1 else b"")

    def _knows(self, question: list[bytes]) -> bool:
        if len(question) != _ZAP_PARTS or question[2] != _DOMAIN or question[5] != b"CURVE":
            return False
        try:
            return z85.encode(question[6]) in read_public_keys(self._clients_file, "clients_file")
        except (ConfigError, ValueError):
            return False


def _listen(socket: zmq.Socket[bytes], address: str, key: bytes) -> None:
    socket.rcvhwm = RECEIVE_FRAMES
    socket.maxmsgsize = MAX_MESSAGE_BYTES
    socket.handshake_ivl = HANDSHAKE_MILLISECONDS
    socket.tcp_maxrt = SILENCE_MILLISECONDS
    socket.tcp_keepalive = 1
    socket.ipv6 = "[" in address or "*" in address
    socket.zap_domain = _DOMAIN
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without it, a ZAP socket that is not answered lets everybody in
    socket.curve_server = True
    socket.curve_secretkey = key
    socket.bind(address)
