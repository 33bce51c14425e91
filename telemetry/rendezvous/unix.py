"""Unix sockets that listen under names of our own, put in place in one step, over whatever has that name.

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
"""The number of peers that may connect at the same moment; the kernel may allow fewer, and the rest try again."""


def listen_at(path: Path) -> tuple[socket, os.stat_result]:
    """Listen at `path`, without blocking.

    Returns:
        The socket, and the state of the file at `path`, which lasts as long as the socket and so identifies it.

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
    """Tell whether a process listens at `path`, without disturbing it.

    A connection of another type is refused for its type.
    """
    probe = socket(AF_UNIX, SOCK_DGRAM)
    try:
        probe.settimeout(0)
        probe.connect(str(path))
    except OSError as fault:
        return fault.errno == EPROTOTYPE
    finally:
        probe.close()
    return False
