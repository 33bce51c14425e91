"""Keys for the way over TCP.

CURVE, ZeroMQ's encryption, between a host and a shipper that know each other's public keys.

A pair of keys is two files, as with ssh: `NAME` is 0600 and holds `curve-secret KEY`, `NAME.pub` holds `curve-public
KEY`. A file of public keys has one such line for each, optionally with a comment behind it; lines that begin with `#`
are comments.

    host      its own pair, and the shipper's public key
    shipper   its own pair, and the public keys of the hosts that may send

There is no TCP without it. Standard library and pyzmq only: the host imports it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from telemetry.errors import ConfigError
from telemetry.files import private_file, read_secret
from telemetry.native import open_file
from telemetry.paths import is_open_to_others

if TYPE_CHECKING:
    from telemetry.settings import RemoteShipper

_Z85 = rb"([0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40})"  # 32 bytes
_SECRET = re.compile(rb"curve-secret " + _Z85 + rb"\s*")
_PUBLIC = re.compile(rb"curve-public " + _Z85 + rb"(\s.*)?")
_MAX_BYTES = 4 << 20  # some 80,000 hosts

CONNECT_MILLISECONDS = 5_000
"""The time until a connection is tried anew: a firewall that drops packets would hold it for two minutes."""

SILENCE_MILLISECONDS = 30_000
"""The time after which a peer that acknowledges nothing is taken for gone, and the connection made anew."""


class Peer:
    """A shipper on another machine, and the keys that lead to it. Shows no key of its own.

    Raises:
        ConfigError: a key file can't be read, or this libzmq has no CURVE.
    """

    def __init__(self, remote: RemoteShipper) -> None:
        check_curve()
        self.address = remote.address
        self._secret = read_key(Path(remote.key_file), "key_file")
        self._public = zmq.curve_public(self._secret)
        known = read_public_keys(Path(remote.shipper_key_file), "shipper_key_file")
        if len(known) != 1:
            raise ConfigError(f"shipper_key_file={remote.shipper_key_file!r}: must hold the shipper's public key alone")
        (self._shipper,) = known

    def connect(self, socket: zmq.Socket[bytes]) -> None:
        """Connect a socket; an address that does not answer is tried for ever, less and less often."""
        socket.curve_secretkey = self._secret
        socket.curve_publickey = self._public
        socket.curve_serverkey = self._shipper
        socket.ipv6 = True
        socket.connect_timeout = CONNECT_MILLISECONDS
        socket.tcp_maxrt = SILENCE_MILLISECONDS
        socket.tcp_keepalive = 1
        socket.reconnect_ivl = 100
        socket.reconnect_ivl_max = 5_000
        socket.connect(self.address)

    def __str__(self) -> str:
        return self.address


def check_curve() -> None:
    """Raise ConfigError if this libzmq was built without CURVE."""
    if not zmq.has("curve"):
        raise ConfigError("this libzmq has no CURVE, and there is no TCP without it: install pyzmq from a wheel")


def make_keys(path: Path) -> str:
    """Make a pair of keys, `path` and `path.pub`, and return the line that holds the public one.

    Raises:
        ConfigError: this libzmq has no CURVE, or a file can't be made; an existing one is left as it is.
    """
    check_curve()
    public, secret = zmq.curve_keypair()
    public_path = path.with_name(f"{path.name}.pub")
    try:
        _write(path, _line("secret", secret))
        try:
            _write(public_path, _line("public", public))
        except OSError:
            path.unlink()  # half a pair is none
            raise
    except OSError as fault:
        raise ConfigError(f"{fault.filename}: {fault.strerror}; name a file that does not exist yet") from None
    return _line("public", public).decode()


def read_key(path: Path, name: str) -> bytes:
    """Return the secret key in a file; `name` is the setting's, for the error. Raises ConfigError."""
    found = _SECRET.fullmatch(read_secret(path, name))
    if found is None:
        raise ConfigError(f"{name}={str(path)!r}: holds no secret key; make one with `telemetry keys FILE`")
    return found[1]


def read_public_keys(path: Path, name: str) -> frozenset[bytes]:
    """Return the public keys in a file.

    Raises:
        ConfigError: the file can't be read, others may write it, or a line holds no key.
    """
    try:
        with path.open("rb") as opened:
            found = os.fstat(opened.fileno())
            lines = opened.read(_MAX_BYTES).splitlines()
    except OSError as fault:
        reason = os.strerror(fault.errno or 0)
        raise ConfigError(f"{name}={str(path)!r}: {reason}; name a file of public keys") from None
    if is_open_to_others(found):
        raise ConfigError(f"{name}={str(path)!r}: others may write it; chmod 644 it, as a file of user {os.getuid()}")
    keys = set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        if (key := _PUBLIC.fullmatch(line)) is None:
            raise ConfigError(f"{name}={str(path)!r}: line {number} must be `curve-public KEY`, from a file `NAME.pub`")
        keys.add(key[1])
    return frozenset(keys)


def _line(kind: str, key: bytes) -> bytes:
    return b"curve-%b %b" % (kind.encode(), key)


def _write(path: Path, key: bytes) -> None:
    file = private_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with open_file(file, "wb") as opened:
        opened.write(key + b"\n")
