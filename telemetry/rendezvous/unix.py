"""A Unix socket that listens under a name put in place by us, in one step, over whatever has that name.

Standard library only, and of it the bare module: the host imports it, and gevent's sockets switch to other greenlets.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_DGRAM, SOCK_STREAM, socket
from errno import EPROTOTYPE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 1024
"""Peers that may connect at the same moment; the kernel may allow fewer, and the rest try again."""


def listen_at(path: Path) -> tuple[socket, os.stat_result]:
    """Listen at `path`, without blocking.

    Returns:
        The socket, and what lies at `path` now: it lasts as long as the socket, and so names it.

    Raises:
        OSError: the directory is gone, or its disk refuses.
    """
    new = path.with_name(f".{os.urandom(3).hex()}")  # no longer than the name itself, whose length is limited
    listening = socket(AF_UNIX, SOCK_STREAM)
    try:
        listening.settimeout(0)
        listening.bind(str(new))
        new.chmod(0o600)  # its directory is private; a host may have any umask
        listening.listen(BACKLOG)
        found = new.lstat()
        new.replace(path)
    except BaseException:
        listening.close()
        new.unlink(missing_ok=True)
        raise
    return listening, found


def is_listened_at(path: Path) -> bool:
    """Whether somebody listens at `path`, who is not disturbed: a connection of another type is refused by its type."""
    probe = socket(AF_UNIX, SOCK_DGRAM)
    try:
        probe.settimeout(0)
        probe.connect(str(path))
    except OSError as fault:
        return fault.errno == EPROTOTYPE
    finally:
        probe.close()
    return False
