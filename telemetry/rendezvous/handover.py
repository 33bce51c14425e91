"""Handover of the last frames of a host that ends unconfirmed: the kernel holds them for its shipper, no disk does.

A first shipper takes longer to start than many a program to run. So the producer that spawns it opens its *handover
socket*, which listens in the rendezvous and which the shipper inherits: whatever hosts pass in before the shipper is up
waits in the kernel, even after they are gone. A running shipper that is too busy to confirm in time has one as well.

A host passes a sealed memory file through that socket, as ancillary data of one byte on a connection of its own
(memfd_create(2), SCM_RIGHTS in unix(7)). The file holds frames (telemetry/wire.py), each behind its length:

    file = (length: 4 bytes, big-endian; frame: `length` bytes) ...

All are of one producer, which sends nothing more. Their numbers tell which of them had also arrived the ordinary way.

Linux only; elsewhere `hand_over` raises OSError, and unconfirmed events count as lost. Standard library only: the host
imports it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
from errno import ENOSYS
from typing import TYPE_CHECKING

from telemetry.native import open_file
from telemetry.rendezvous.unix import listen_at
from telemetry.wire import HANDOVER_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HANDOVER_DESCRIPTOR = 3
"""The descriptor of a spawned shipper's handover socket: the first after the standard ones, as with systemd."""

LENGTH = struct.Struct(">I")

SEALS = 0
if hasattr(os, "memfd_create"):
    SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


def open_listener(directory: Path) -> socket:
    """Open the handover socket of a rendezvous, for the shipper that is about to be spawned. Raises OSError."""
    listener, _ = listen_at(directory / HANDOVER_SOCKET)
    try:
        # In a host that has closed its standard files it is one of them, where it can't be handed on.
        return socket(fileno=fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, HANDOVER_DESCRIPTOR + 1))
    finally:
        listener.close()


def hand_over(directory: Path, frames: Iterable[bytes]) -> None:
    """Leave frames to the shipper of a rendezvous, even to one that is only starting; never waits for it.

    Raises:
        OSError: no shipper is there to take them, or this system has no way.
    """
    if not hasattr(os, "memfd_create"):
        raise OSError(ENOSYS, "this system has no memory files")
    memory = os.memfd_create("telemetry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open_file(memory, "wb", closefd=False) as file:
            for frame in frames:
                file.write(LENGTH.pack(len(frame)))
                file.write(frame)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
        pass_in(directory, memory)
    finally:
        os.close(memory)


def pass_in(directory: Path, memory: int) -> None:
    """Pass a memory file through the handover socket of a rendezvous. Raises OSError if no process holds one open."""
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.settimeout(0)
        connection.connect(str(directory / HANDOVER_SOCKET))
        connection.sendmsg([b"\0"], [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", memory))])
    finally:
        connection.close()
