"""The directory of a spool: the names of all that lies in it, made and checked.

active/      being written by a shipper
sealed/      waiting for the upload: <name><suffix> and its Seal, <name>.json
sent/        copies of the last segments delivered, for the user to read; the first to go when the disk is full
quarantine/  rejected by the endpoint, or not what was written
local/       collected under a consent that does not let it leave: for this machine's owner, never uploaded
tripwire/    records of the segments that the tripwire has held back, and of those that a person has cleared
tombstones/  the last numbers of producers that left unconfirmed
living/      a file of each producer, locked while it lives
ledger.log   the fate of every event; ledger.spare is room for lines that must be recorded though the disk is full
delivery.lock  held by the shipper that uploads; inside, how that goes
hurry        touched by another shipper, one of whose hosts waits for the delivery
format       the version of all this
"""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from time import time_ns
from typing import TYPE_CHECKING

from telemetry import files
from telemetry.errors import SpoolError
from telemetry.files import private_dir
from telemetry.paths import LIVING, TOMBSTONES
from telemetry.spool.ledger import LOCK_FILE, LOG_FILE, SPARE_FILE, LedgerLog

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_FILE = "format"
FORMAT_VERSION = "1"
DELIVERY_LOCK_FILE = "delivery.lock"
HURRY_FILE = "hurry"
FILES = (
    FORMAT_FILE,
    LOG_FILE,
    LOCK_FILE,
    SPARE_FILE,
    DELIVERY_LOCK_FILE,
    HURRY_FILE,
    *map(files.new_name, (FORMAT_FILE, LOG_FILE)),
)
FOLDERS = ("active", "sealed", "sent", "quarantine", "local", TOMBSTONES, LIVING)

log = logging.getLogger("telemetry.shipper")


def prepare(directory: Path) -> None:
    """Make a directory a spool, unless it is one; anything in it that is not ours is put aside.

    Raises:
        SpoolError: it is not ours alone, can't be written, or is of another format.
    """
    made = [path for path in directory.parents if not path.exists()]
    try:
        private_dir(directory)
        for folder in FOLDERS:
            if (directory / folder).is_file() or (directory / folder).is_fifo():
                _put_aside(directory / folder)
            private_dir(directory / folder)
        files.sync_directory(directory)
        for path in (directory.parent, *(path.parent for path in made)):
            with suppress(PermissionError):  # one that we may enter and not list
                files.sync_directory(path)
        for name in FILES:
            _clear(directory / name)
        with LedgerLog(directory).locked():
            file = directory / FORMAT_FILE
            if not file.exists():
                files.write_durably(file, FORMAT_VERSION.encode())
            version = files.read_file(file)
        with suppress(OSError):  # on a disk that is full already, uploads may go on
            LedgerLog(directory).keep_room()
    except (OSError, ValueError) as fault:
        raise SpoolError(
            f"{directory} can't be used as a spool: {fault}; free the disk, fix its mode, or move it"
        ) from None
    check_format(directory, version)


def check_format(directory: Path, version: bytes) -> None:
    """Raise SpoolError if a spool's file `format` has another version than this code's."""
    if version != FORMAT_VERSION.encode():
        raise SpoolError(
            f"{directory} is a spool of format {version[:20]!r}, this version knows {FORMAT_VERSION}: "
            "use the version that made it, move it away, or erase it with `telemetry purge`"
        )


def _clear(path: Path) -> None:
    """Put aside anything that has the name of one of our files but is no file that we can read and write."""
    try:
        is_ours = stat.S_ISREG(path.lstat().st_mode) and os.access(path, os.R_OK | os.W_OK)
    except FileNotFoundError:
        return
    if not is_ours:
        _put_aside(path)


def _put_aside(path: Path) -> None:
    aside = path.with_name(f"aside-{time_ns()}-{path.name}")
    log.warning("%s is not a file of a spool: it is set aside as %s", path, aside.name)
    path.replace(aside)
