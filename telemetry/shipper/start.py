"""How a shipper's process begins: lock, sockets, and only then the imports that take their time.

    telemetry ship --config FILE       in the foreground, for systemd or a sidecar; logs to stderr; never leaves
    telemetry ship --spawned DIR       by a producer; logs to a file; leaves when nobody needs it

A shipper that can't start says why in the file `refused` of its rendezvous: producers leave it in peace for a
minute, and `telemetry status` shows it.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.handover import DOOR_DESCRIPTOR
from telemetry.paths import CONFIG_FILE, REFUSED_FILE, private_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry.shipper.place import Place
    from telemetry.shipper.shipper import Shipper

USAGE = """usage: telemetry ship --config FILE

Runs a shipper in the foreground, until SIGINT or SIGTERM.
TELEMETRY_DEBUG is for the program that emits; where it is set, a shipper does not start.
`telemetry preview` shows what a shipper sends."""
MAX_DESCRIPTORS = 65_536
"""What a shipper may open. So many are closed where a system does not list them: it may claim to allow 2^30."""
COLLECT_ALLOCATIONS = 20_000
"""After so many more new objects than freed ones, cycles are looked for."""
M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
"""From glibc's malloc.h."""
OWN_PAGES_BYTES = 2 << 20
"""What is larger gets pages of its own, which go back at once; the smallest for which that costs next to nothing."""
EXIT_CONFIG = 2
EXIT_RUNNING = 3
EXIT_MEMORY = 4


def main(arguments: Sequence[str]) -> int:
    """Run a shipper; returns the exit code: 0, 2 for a fault in the configuration, 3 when another one has the lock.

    4 when it ended because of its `memory_limit_bytes`: to be started anew (`Restart=on-failure`).
    """
    os.umask(0o077)
    match list(arguments):
        case ["--spawned", directory]:
            return _spawned(Path(directory))
        case ["--config", file]:
            return _foreground(Path(file))
        case ["--help"]:
            print(USAGE)
            return 0
        case _:
            print(USAGE, file=sys.stderr)
            return EXIT_CONFIG


def _spawned(directory: Path) -> int:
    door = inherit_door(directory)
    _close_inherited(door.fileno() if door else -1)
    with suppress(PermissionError):  # we lead a session already
        os.setsid()
    return _run(directory, directory / CONFIG_FILE, door, spawned=True)


def inherit_door(directory: Path) -> socket.socket | None:
    """The door to `directory` that a producer has opened for us; None when this process was started without one."""
    try:
        door = socket.socket(fileno=os.dup(DOOR_DESCRIPTOR))
    except OSError:
        return None
    # Who starts a shipper by hand may have anything there.
    with suppress(OSError, ValueError):
        listens = door.family == socket.AF_UNIX and door.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens and Path(door.getsockname()).parent == directory:
            door.settimeout(0)
            return door
    door.close()
    return None


def _close_inherited(kept: int) -> None:
    """What the host had open is not ours to keep: a listening socket would stay taken after the host is gone."""
    try:
        inherited = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208 names are numbers
    except OSError:
        inherited = list(range(MAX_DESCRIPTORS))
    for descriptor in inherited:
        # Standard error is the last of the three that are the null device.
        if descriptor > 2 and descriptor != kept:  # noqa: PLR2004
            with suppress(OSError):
                os.close(descriptor)  # all but the one that listed them, which is closed


def _allow_descriptors() -> None:
    """The host's limit is not ours: each producer takes a descriptor, and there may be thousands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _foreground(file: Path) -> int:
    import hashlib

    from telemetry.errors import ConfigError
    from telemetry.paths import rendezvous_dir
    from telemetry.settings import DEBUG, is_debugging
    from telemetry.shipper.config import read_config

    if is_debugging():  # it means that nothing is sent, so nobody may find out that something was
        print(
            f"telemetry ship: {DEBUG} has the program that emits print, and needs no shipper: unset it here; "
            "`telemetry preview` shows what a shipper sends",
            file=sys.stderr,
        )
        return EXIT_CONFIG
    try:
        config = read_config(file)
        digest = hashlib.sha256(config.catalog.read_bytes()).hexdigest()
        directory = rendezvous_dir(config.product, digest, config.endpoint)
    except (ConfigError, OSError) as fault:
        print(f"telemetry ship: {fault}", file=sys.stderr)
        return EXIT_CONFIG
    return _run(directory, file, None, spawned=False)


def _run(directory: Path, config_file: Path, door: socket.socket | None, *, spawned: bool) -> int:
    told = _hear_signals()
    _calm_the_allocator()
    from telemetry.errors import TelemetryError
    from telemetry.paths import private_dir
    from telemetry.shipper.place import Place

    _allow_descriptors()
    try:
        private_dir(directory)
    except OSError as fault:  # where others could have made it, nothing is written, not even why
        print(f"telemetry ship: {directory} can't be used ({fault}): mend or remove it", file=sys.stderr)
        return EXIT_CONFIG
    try:
        place = Place.take(directory)
    except OSError as fault:  # a file system without locks among them
        return _refuse(
            directory, f"{directory} can't be used ({fault.strerror}): mend it, or move it by TELEMETRY_HOME"
        )
    if place is None:
        if door:
            _pass_on(door, directory)
        if not spawned:
            print(f"telemetry ship: another shipper holds {directory}; stop it first", file=sys.stderr)
        return 0 if spawned else EXIT_RUNNING
    if door:
        place.sockets.doors.insert(0, door)
    try:
        shipper = _prepare(place, config_file, spawned=spawned)
    except TelemetryError as fault:
        why = str(fault)
    except Exception as fault:  # noqa: BLE001 a mistake of ours, or a machine we did not think of; its text is not known
        why = f"the shipper can't start: {type(fault).__name__}; run it in the foreground to see why"
    else:
        return _serve(directory, place, shipper, told)
    code = _refuse(directory, why)
    place.leave()
    return code


def _pass_on(door: socket.socket, directory: Path) -> None:
    """Of several that are spawned at once one gets the place, and the others may have been left something."""
    from telemetry.shipper.intake.handovers import Handovers

    Handovers([door]).pass_on(directory)


def _calm_the_allocator() -> None:
    """Have all threads allocate from one heap, and bodies from none: glibc's mallopt(3), where there is one.

    Left to itself it takes a heap for each thread, and keeps in them what was a body once, with small things in between
    that hold it there: memory at full rate grew by a tenth in ten minutes. Call before there are threads.
    """
    import ctypes

    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES)


def _calm_the_collector() -> None:
    """Look for cycles less often, and not among what lives as long as we do.

    Values flow forward here and make next to no cycles; looking for them took 3 % of the time at full rate.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_ALLOCATIONS)


def _serve(directory: Path, place: Place, shipper: Shipper, told: list[int]) -> int:
    (directory / REFUSED_FILE).unlink(missing_ok=True)
    for number in _stop_signals():
        signal.signal(number, lambda *_: shipper.stop())
    if told:
        shipper.stop()
    _calm_the_collector()
    shipper.run()
    # Producers may have a new shipper while this one still uploads; the spool has a lock of its own for that.
    place.leave()
    shipper.finish()
    return EXIT_MEMORY if shipper.made_way else 0


def _hear_signals() -> list[int]:
    """From now on keep a signal that ends us until there is a shipper to end: half-way it would leave files behind."""
    told: list[int] = []
    for number in _stop_signals():
        signal.signal(number, lambda number, _: told.append(number))
    return told


def _stop_signals() -> list[signal.Signals]:
    """A terminal that is closed ends us too, unless we were started to outlive it (nohup)."""
    outlives = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if outlives else [signal.SIGHUP])]


def _prepare(place: Place, config_file: Path, *, spawned: bool) -> Shipper:
    # Producers meet us while this is imported.
    from telemetry.shipper.config import read_config
    from telemetry.shipper.log import open_log
    from telemetry.shipper.shipper import Shipper

    config = read_config(config_file)
    open_log(config, spawned=spawned)
    shipper = Shipper(config, place.sockets, spawned=spawned, keeps_place=place.keep)
    if config.listen:
        from telemetry.shipper.remote import Remote

        place.sockets.remote = Remote(place.sockets.context, config.listen)
    if spawned:
        os.nice(config.settings.niceness)  # not before: a short-lived host on a busy machine waits for us to begin
    return shipper


def _refuse(directory: Path, why: str) -> int:
    with suppress(OSError):  # on a full disk nobody can be told, and producers try again each second
        file = private_file(directory / REFUSED_FILE, os.O_WRONLY | os.O_CREAT)
        with os.fdopen(file, "w") as opened:
            opened.truncate()
            opened.write(f"{why}\n")
    print(f"telemetry ship: {why}", file=sys.stderr)
    return EXIT_CONFIG
