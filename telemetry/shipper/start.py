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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry.shipper.shipper import Shipper
    from telemetry.shipper.sockets import Sockets

USAGE = """usage: telemetry ship --config FILE

Runs a shipper in the foreground, until SIGINT or SIGTERM.
TELEMETRY_DEBUG is for the program that emits; where it is set, a shipper does not start.
`telemetry preview` shows what a shipper sends."""
MAX_DESCRIPTORS = 65_536
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
    # What the host had open is not ours to keep: a listening socket would stay taken after the host is gone.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    with suppress(PermissionError):  # we lead a session already
        os.setsid()
    return _run(directory, directory / CONFIG_FILE, spawned=True)


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
    return _run(directory, file, spawned=False)


def _run(directory: Path, config_file: Path, *, spawned: bool) -> int:
    from telemetry.paths import private_dir
    from telemetry.shipper.lock import acquire

    _take_descriptors()
    try:
        private_dir(directory)
        lock = acquire(directory)
    except OSError as fault:
        print(f"telemetry ship: {directory} can't be used ({fault}): mend or remove it", file=sys.stderr)
        return EXIT_CONFIG
    if lock is None:
        if not spawned:
            print(f"telemetry ship: another shipper holds {directory}; stop it first", file=sys.stderr)
        return 0 if spawned else EXIT_RUNNING
    from telemetry.errors import TelemetryError

    try:
        sockets, shipper = _prepare(directory, config_file, spawned=spawned)
    except TelemetryError as fault:
        return _refuse(directory, str(fault))
    except Exception as fault:  # noqa: BLE001 a mistake of ours, or a machine we did not think of; its text is not known
        return _refuse(
            directory, f"the shipper can't start: {type(fault).__name__}; run it in the foreground to see why"
        )
    (directory / REFUSED_FILE).unlink(missing_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: shipper.stop())
    shipper.run()
    # Producers may have a new shipper while this one still uploads; the spool has a lock of its own for that.
    sockets.close()
    os.close(lock)  # after the sockets' names are gone: the next shipper binds its own
    shipper.finish()
    return EXIT_MEMORY if shipper.made_way else 0


def _take_descriptors() -> None:
    """As many as this user may have: a crowd of connections must not take those that the spool needs."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS takes no more than a limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most if 0 < most < MAX_DESCRIPTORS else MAX_DESCRIPTORS, most))


def _prepare(directory: Path, config_file: Path, *, spawned: bool) -> tuple[Sockets, Shipper]:
    from telemetry.shipper.sockets import bind

    sockets = bind(directory)
    # Producers meet us while the rest is imported.
    from telemetry.shipper.config import read_config
    from telemetry.shipper.log import open_log
    from telemetry.shipper.shipper import Shipper

    config = read_config(config_file)
    open_log(config, spawned=spawned)
    if config.listen:
        from telemetry.shipper.remote import Remote

        sockets = sockets._replace(remote=Remote(sockets.context, config.listen))
    shipper = Shipper(config, sockets, spawned=spawned)
    if spawned:
        os.nice(config.settings.niceness)  # not before: a short-lived host on a busy machine waits for us to begin
    return sockets, shipper


def _refuse(directory: Path, why: str) -> int:
    with suppress(OSError):  # on a full disk nobody can be told, and producers try again each second
        file = private_file(directory / REFUSED_FILE, os.O_WRONLY | os.O_CREAT)
        with os.fdopen(file, "w") as opened:
            opened.truncate()
            opened.write(f"{why}\n")
    print(f"telemetry ship: {why}", file=sys.stderr)
    return EXIT_CONFIG
