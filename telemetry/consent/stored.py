"""The user's stored choice, and the notice that was shown, in one small JSON file for each product.

    {"version": 1, "choice": "technical", "since": "2027-01-31T08:00:00.000Z", "notice": 1, "unbroken": [...]}

`choice` is a `State`, or null for none. `since` is when it was made or, without a choice, when the notice was shown:
nothing collected earlier may leave, except technical events from the times in `unbroken`. Those are the dates of
earlier consents, from the first of which on technical events could leave without a break. `unbroken` is left out if
there are none.

The file is 0600, and replaced as a whole. A host that stores its notice must not overwrite a choice that the user makes
at that moment, so writers take turns by a lock file beside it.

A product's name must have passed `check_product` before it comes here.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from telemetry import files, paths
from telemetry.consent.decide import State
from telemetry.errors import TelemetryError
from telemetry.files import private_dir, private_file
from telemetry.native import monotonic, pause, posix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = 1
_MAX_BYTES = 4096  # the file has about 100; more is not ours
_END_UNIX_SECONDS = 2**63 / 1e9  # in the year 2262, as for the times of events
_MAX_UNBROKEN = 32  # changes between `on` and `technical` in a row; older events than that stay here
_LOCK_SECONDS = 0.5  # a writer holds the lock for milliseconds; `init` may wait for it
_LOCK_POLL_SECONDS = 0.01


class ConsentError(TelemetryError):
    """Raised when the user's choice can't be stored."""


class Stored(NamedTuple):
    """The contents of the file.

    Attributes:
        choice: the user's choice; None for none; `off` if the file can't be read or makes no sense.
        since_unix_seconds: when the choice was made, or the notice shown; 0.0 if neither was.
        notice: the version of the notice that was shown, 0 for none.
        fault: the reason why the file can't be read, for `telemetry status`; empty if it can.
        unbroken: the dates of earlier consents from the first of which on technical events could leave at any time.
    """

    choice: State | None = None
    since_unix_seconds: float = 0.0
    notice: int = 0
    fault: str = ""
    unbroken: tuple[float, ...] = ()

    def continues(self, since_unix_seconds: float) -> bool:
        """Tell whether technical events could leave at any time since the consent of that date was stored."""
        return since_unix_seconds in {self.since_unix_seconds, *self.unbroken}


def read_stored(product: str) -> Stored:
    """Read the user's choice. Never raises and writes nothing.

    A missing file means that nothing was said. A file that can't be read may hold a no, so it counts as one.
    """
    try:
        return _read(paths.consent_file(product))
    except RuntimeError:  # this user has no home directory, so nothing can lie there
        return Stored()


def store_choice(product: str, choice: State, now: float) -> Stored:
    """Store the user's choice, keeping the notice. The same choice again keeps its date.

    Args:
        product: a checked name.
        choice: on, technical, local or off.
        now: Unix seconds.

    Returns:
        The new contents of the file.

    Raises:
        ConsentError: the file can't be written; its old contents still hold.
    """
    with _sole_writer(product) as file:
        old = _read(file)
        stands = old.choice == choice and not old.fault
        new = old if stands else Stored(choice, now, old.notice, unbroken=_unbroken(old, choice))
        _replace(file, new)
    return new


def _unbroken(old: Stored, choice: State) -> tuple[float, ...]:
    """Return the dates of the consents that a choice continues with regard to technical events.

    Where the user had said nothing, events left by the word of others, and a "technical" lets that go on; but an "on"
    is a beginning there, as it is after every choice stricter than "technical".
    """
    continued = {State.ON: (State.TECHNICAL,), State.TECHNICAL: (State.ON, None)}
    return (*old.unbroken, old.since_unix_seconds)[-_MAX_UNBROKEN:] if old.choice in continued.get(choice, ()) else ()


def store_notice(product: str, version: int, now: float) -> Stored:
    """Store that the notice was shown, keeping the user's choice, with its date if there is one.

    The same version again keeps its date too.

    Args:
        product: a checked name.
        version: the notice's version.
        now: Unix seconds.

    Returns:
        The new contents of the file, with a choice that may have been made meanwhile.

    Raises:
        ConsentError: the file can't be written; its old contents still hold.
    """
    with _sole_writer(product) as file:
        old = _read(file)
        if old.fault:
            raise ConsentError(f"{file} {old.fault}: say `telemetry on` or `off --product {product}`")
        dates = old.choice is None and old.notice != version
        new = old._replace(since_unix_seconds=now if dates else old.since_unix_seconds, notice=version)
        _replace(file, new)
    return new


def _read(file: Path) -> Stored:
    try:
        raw = _first_bytes(file)
    except (FileNotFoundError, NotADirectoryError):  # the latter: HOME=/dev/null, as service accounts have it
        return Stored()
    except OSError as error:
        return Stored(State.OFF, fault=f"can't be read ({error.strerror})")
    try:
        return _parse(raw)
    except (ValueError, RecursionError):
        return Stored(State.OFF, fault="is damaged or of a later version")


def _first_bytes(file: Path) -> bytes:
    # O_NONBLOCK: a FIFO in the file's place must not hang `init`.
    descriptor = posix.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if paths.is_open_to_others(os.fstat(descriptor)):
            raise PermissionError(errno.EPERM, "others may write it")
        return posix.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)


def _parse(raw: bytes) -> Stored:
    import json  # noqa: PLC0415 a host without a stored choice does not pay for it

    match json.loads(raw):
        case {
            "version": int(version),
            "choice": str() | None as choice,
            "since": str(since),
            "notice": int(notice),
            **others,
        }:
            unbroken = others.get("unbroken", [])
        case _:
            raise ValueError
    if version != _VERSION or notice < 0 or not isinstance(unbroken, list):
        raise ValueError
    began, *before = map(_parse_time, (since, *unbroken))
    return Stored(None if choice is None else State(choice), began, int(notice), unbroken=tuple(before))


def _parse_time(text: object) -> float:
    from datetime import datetime  # noqa: PLC0415 as above

    moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    if moment is None or moment.tzinfo is None or not 0 <= moment.timestamp() < _END_UNIX_SECONDS:
        raise ValueError
    return moment.timestamp()


def _format(stored: Stored) -> bytes:
    import json  # noqa: PLC0415 as above

    from telemetry.times import iso_time  # noqa: PLC0415 as above

    document = {
        "version": _VERSION,
        "choice": stored.choice,
        "since": iso_time(stored.since_unix_seconds),
        "notice": stored.notice,
        **({"unbroken": [*map(iso_time, stored.unbroken)]} if stored.unbroken else {}),
    }
    return json.dumps(document).encode() + b"\n"


@contextmanager
def sole_teller(product: str) -> Iterator[bool]:
    """Yield whether it is this process's turn to show the notice; another may be at it. Waits for no other process.

    Where no lock can be made, every process shows it: twice is better than never.
    """
    try:
        lock = _open_lock(paths.consent_file(product).with_name("notice.lock"))
    except (OSError, RuntimeError):
        yield True
        return
    is_ours = True
    with suppress(OSError):  # a file system without locks
        is_ours = _try(lock)
    try:
        yield is_ours
    finally:
        _let_go(lock)


def _try(lock: int) -> bool:
    try:
        files.lock(lock)
    except BlockingIOError:
        return False
    return True


def _let_go(lock: int) -> None:
    """Unlock and close a lock: closing alone would leave it to a child that the host has forked meanwhile."""
    with suppress(OSError):  # no locks here
        files.unlock(lock)
    os.close(lock)


def _open_lock(file: Path) -> int:
    private_dir(file.parent)
    return private_file(file, os.O_RDWR | os.O_CREAT)


@contextmanager
def _sole_writer(product: str) -> Iterator[Path]:
    """Make the file's directory, hold the lock beside the file, and name whatever goes wrong."""
    try:
        file = paths.consent_file(product)
        lock = _open_lock(file.with_suffix(".lock"))
        try:
            _wait_for(lock)
            yield file
        finally:
            _let_go(lock)
    except (OSError, RuntimeError) as error:
        raise ConsentError(
            f"the choice for {product} can't be stored: {error}; fix that, or set DO_NOT_TRACK=1 to say no"
        ) from None


def _wait_for(lock: int) -> None:
    deadline = monotonic() + _LOCK_SECONDS
    while not _try(lock):
        if monotonic() > deadline:
            raise TimeoutError("another process is storing one right now")
        pause(_LOCK_POLL_SECONDS)


def _replace(file: Path, stored: Stored) -> None:
    """Write the file anew, so that a reader or a power cut meets either the old one or the new one, whole."""
    file.with_suffix(".new").unlink(missing_ok=True)  # of an older version that was killed as it wrote
    files.write_durably(file, _format(stored))  # by us alone, while we hold the lock
    files.sync_directory(file.parent)
