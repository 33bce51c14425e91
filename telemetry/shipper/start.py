"""How a shipper's process begins: lock, sockets, and only then the imports that take their time.

    telemetry ship --config FILE       in the foreground, for systemd or a sidecar; logs to stderr; never leaves
    telemetry ship --spawned DIR       by a producer; logs to a file; leaves when nobody needs it

A shipper that can't start says why in the file `refused` of its rendezvous: producers leave it in peace for a
minute, and `telemetry status` shows it.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.paths import CONFIG_FILE, REFUSED_FILE, private_file
from telemetry.shipper.process import (
    allow_descriptors,
    calm_the_allocator,
    calm_the_collector,
    close_inherited,
    inherit_door,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from telemetry.shipper.place import Place
    from telemetry.shipper.shipper import Shipper

USAGE = """usage: telemetry ship --config FILE

Runs a shipper in the foreground, until SIGINT or SIGTERM.
TELEMETRY_DEBUG is for the program that emits; where it is set, a shipper does not start.
`telemetry preview` shows what a shipper sends."""
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
    close_inherited(door.fileno() if door else -1)
    with suppress(PermissionError):  # we lead a session already
        os.setsid()
    return _run(directory, directory / CONFIG_FILE, door, spawned=True)


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
    calm_the_allocator()
    from telemetry.errors import TelemetryError
    from telemetry.paths import private_dir
    from telemetry.shipper.place import Place

    allow_descriptors()
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


def _serve(directory: Path, place: Place, shipper: Shipper, told: list[int]) -> int:
    (directory / REFUSED_FILE).unlink(missing_ok=True)
    for number in _stop_signals():
        signal.signal(number, lambda *_: shipper.stop())
    if told:
        shipper.stop()
    calm_the_collector()
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
