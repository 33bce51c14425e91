"""Start of a shipper's process: the lock, everything it needs to keep what it takes in, and only then its sockets.

    telemetry ship --config FILE       in the foreground, for systemd or a sidecar; logs to stderr; never leaves;
                                       SIGHUP has it read its configuration again
    telemetry ship --spawned DIR       by a producer; logs to a file; leaves when nobody needs it

Frames that hosts leave meanwhile wait in the kernel (telemetry/rendezvous/handover.py). A shipper that can't start
records the reason in its rendezvous (telemetry/rendezvous/refusal.py): nobody tries the same for a minute, and
`telemetry status` shows it.

If one in the foreground serves a product and endpoint, a spawned one gives way. The former starts after all of those:
they must have sealed what they took in before it reads how far the producers have come.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.files import write_private
from telemetry.frozen import is_frozen
from telemetry.rendezvous.directory import CONFIG_FILE, foreground_dir
from telemetry.rendezvous.lanes import is_served
from telemetry.rendezvous.refusal import foreground_command, forget_refusal, refuse
from telemetry.shipper.process import (
    allow_descriptors,
    be_nice,
    be_silent,
    calm_the_allocator,
    calm_the_collector,
    close_inherited,
    inherit_listener,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

    from telemetry.shipper.config import ShipperConfig
    from telemetry.shipper.place import Place
    from telemetry.shipper.shipper import Shipper

USAGE = """usage: telemetry ship --config FILE [--lane NUMBER]

Runs a shipper in the foreground, until SIGINT or SIGTERM. SIGHUP has it read FILE again, unless it
comes from a terminal that is closed: then it ends.
With `shippers = N` in FILE it is N of them, each in a process of its own, which is started anew if it ends;
with --lane only that one, from 0, to have it watched by itself.
TELEMETRY_DEBUG is for the program that emits; where it is set, a shipper does not start.
`telemetry preview` shows what a shipper sends."""
EXIT_CONFIG = 2
EXIT_RUNNING = 3
EXIT_MEMORY = 4

OTHERS_SECONDS = 10.0
"""The time that a shipper in the foreground waits for spawned ones to give way."""


def main(arguments: Sequence[str]) -> int:
    """Run a shipper and return the exit code: 0, 2 for a fault in the configuration, 3 if another one has the lock.

    4 means that it ended because of its `memory_limit_bytes`, and is to be started anew (`Restart=on-failure`).
    """
    os.umask(0o077)
    match list(arguments):
        case ["--spawned", directory]:
            return _spawned(Path(directory))
        case ["--config", file]:
            return _foreground(Path(file))
        case ["--config", file, "--lane", lane] if lane.isdecimal():
            return _foreground(Path(file), int(lane))
        case ["--help"]:
            print(USAGE)
            return 0
        case _:
            print(USAGE, file=sys.stderr)
            return EXIT_CONFIG


def _spawned(directory: Path) -> int:
    listener = inherit_listener(directory)
    close_inherited(listener.fileno() if listener else -1)
    with suppress(PermissionError):  # we lead a session already
        os.setsid()
    return _run(directory, directory / CONFIG_FILE, listener, spawned=True)


def _foreground(file: Path, lane: int | None = None) -> int:
    from telemetry.catalog.load import load
    from telemetry.errors import ConfigError
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
        load(config.catalog)  # before those that were spawned give way
        lanes = config.settings.lanes
        places = [foreground_dir(config.product, config.endpoint, number) for number in range(lanes)]
    except ConfigError as fault:
        print(f"telemetry ship: {fault}", file=sys.stderr)
        return EXIT_CONFIG
    if lane is not None and lane >= lanes:
        print(f"telemetry ship: {file} has shippers = {config.settings.shippers!r}: no lane {lane}", file=sys.stderr)
        return EXIT_CONFIG
    if lane is None and lanes > 1:
        return _run_all(places, file)
    return _run(places[lane or 0], file, None, spawned=False, lane=lane or 0)


def _run_all(places: list[Path], config_file: Path) -> int:
    """Run the shippers of all lanes in the foreground, each in a process of its own."""
    from telemetry.shipper.lanes import Lanes

    reloads = not _has_terminal()
    lanes = Lanes(
        lambda lane: _run(places[lane], config_file, None, spawned=False, lane=lane),
        is_final=lambda code: code in {EXIT_CONFIG, EXIT_RUNNING},
    )
    told: list[int] = []
    _heed(lanes.stop, told, config_file, reloads=reloads)
    code = lanes.run(len(places))
    if not code and reloads and {*told} == {signal.SIGHUP}:
        _start_anew()
    return code


def _run(directory: Path, config_file: Path, listener: socket | None, *, spawned: bool, lane: int = 0) -> int:
    reloads = not spawned and not _has_terminal()
    told = _hear_signals(reloads=reloads)
    calm_the_allocator()
    from telemetry.files import private_dir
    from telemetry.shipper.place import Place

    allow_descriptors()
    try:
        private_dir(directory)
    except OSError as fault:  # where others could have made it, nothing is written, not even why
        print(f"telemetry ship: {directory} can't be used ({fault}): fix or remove it", file=sys.stderr)
        return EXIT_CONFIG
    try:
        place = Place.take(directory)
    except OSError as fault:  # a file system without locks among them
        why = f"{directory} can't be used ({fault.strerror}): fix it, or move it with TELEMETRY_HOME"
        return _refuse(directory, config_file, why)
    if place is None:
        if listener:
            _pass_on([listener], directory)
        if not spawned:
            print(f"telemetry ship: another shipper holds {directory}; stop it first", file=sys.stderr)
        return 0 if spawned else EXIT_RUNNING
    if listener:
        place.inherit(listener)
    return _begin(directory, place, config_file, told, spawned=spawned, lane=lane)


def _begin(directory: Path, place: Place, config_file: Path, told: list[int], *, spawned: bool, lane: int) -> int:
    from telemetry.errors import TelemetryError

    try:
        config = _read(config_file, directory, spawned=spawned, lane=lane)
        if spawned and is_served(config.product, config.endpoint, config.lane.number):
            _pass_on(place.listeners, foreground_dir(config.product, config.endpoint, config.lane.number))
            place.leave()
            return 0
        shipper = _prepare(directory, place, config, spawned=spawned)
    except TelemetryError as fault:
        why = str(fault)
    except Exception as fault:  # noqa: BLE001 a mistake of ours, or a machine we did not think of; its text is not known
        why = f"the shipper can't start: {_named(fault)}; {_see_more(config_file)}"
        if not spawned:
            print("".join(traceback.format_tb(fault.__traceback__)), file=sys.stderr)
    else:
        return _serve(directory, place, shipper, told, config_file, spawned=spawned)
    code = _refuse(directory, config_file, why)
    place.leave()
    return code


def _pass_on(listeners: list[socket], directory: Path) -> None:
    """Pass on what hosts have left here to the one shipper, of several spawned at once, that got the place."""
    from telemetry.shipper.intake.handovers import Handovers

    Handovers(listeners).pass_on(directory)


def _serve(
    directory: Path, place: Place, shipper: Shipper, told: list[int], config_file: Path, *, spawned: bool
) -> int:
    forget_refusal(directory)
    if spawned:
        be_silent()

    reloads = not spawned and not _has_terminal()
    _heed(shipper.stop, told, config_file, reloads=reloads)
    if told:
        shipper.stop()
    calm_the_collector()
    from telemetry.shipper.delivery.http_sink import USER_AGENT

    log = logging.getLogger("telemetry.shipper")
    log.info("start: %s, process %d, %s", USER_AGENT, os.getpid(), directory)
    shipper.run()
    # Producers may have a new shipper while this one still uploads; the spool has a lock of its own for that.
    place.leave()
    shipper.finish()
    if reloads and told and {*told} == {signal.SIGHUP}:
        log.info("start anew, with %s as it is now: process %d", config_file, os.getpid())
        _start_anew()
    log.info("end: process %d", os.getpid())
    return EXIT_MEMORY if shipper.made_way else 0


def _can_start_with(config_file: Path) -> bool:
    """Tell whether a configuration can be read, with its catalog; if not, the log says why, and all stays as it is."""
    from telemetry.catalog.load import load
    from telemetry.errors import ConfigError
    from telemetry.shipper.config import read_config

    why = None
    try:
        load(read_config(config_file).catalog)
    except ConfigError as fault:
        why = str(fault)
    if why:
        logging.getLogger("telemetry.shipper").error("SIGHUP changes nothing: %s", why)
    return not why


def _heed(stop: Callable[[], None], told: list[int], config_file: Path, *, reloads: bool) -> None:
    """Stop at a signal, and note it in `told`; where SIGHUP `reloads`, only if the configuration can be read."""

    def hear(number: int, _: object) -> None:
        if number != signal.SIGHUP or not reloads or _can_start_with(config_file):
            told.append(number)
            stop()

    for number in _heard():
        signal.signal(number, hear)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])


def _start_anew() -> None:
    """Start this process anew; does not return."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])  # another one waits until it is heard
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 what we were started with, by no shell


def _hear_signals(*, reloads: bool) -> list[int]:
    """Hold back signals that end us until there is a shipper to end: stopping halfway would leave files behind.

    Where SIGHUP `reloads`, one that comes meanwhile asks for what is being done.
    """
    told: list[int] = []
    for number in _heard():
        signal.signal(number, lambda number, _: None if reloads and number == signal.SIGHUP else told.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    return told


def _heard() -> list[signal.Signals]:
    """Return the signals that we heed; SIGHUP among them, unless we were started to outlive the terminal (nohup)."""
    outlives = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if outlives else [signal.SIGHUP])]


@cache
def _has_terminal() -> bool:
    """Tell whether there was a terminal at the start, which would send SIGHUP when it is closed, and is none then."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _read(file: Path, directory: Path, *, spawned: bool, lane: int) -> ShipperConfig:
    """Read the configuration; in the foreground, also write it down for the commands."""
    from telemetry.shipper.config import read_config

    config = read_config(file, lane)
    if not spawned:
        said = {"product": config.product, "catalog": str(config.catalog.absolute()), "endpoint": config.endpoint}
        settings = {**config.settings._asdict(), "shippers": config.lane.of}
        with suppress(OSError):
            write_private(directory / CONFIG_FILE, json.dumps({**said, **settings, "lane": lane}).encode())
        _await_spawned(config)
    return config


def _await_spawned(config: ShipperConfig) -> None:
    """Wait until the shippers spawned for this product and endpoint, in this lane, take nothing in any more."""
    from telemetry.rendezvous.find import find_rendezvous

    lane = config.lane.number
    served = foreground_dir(config.product, config.endpoint, lane)
    deadline = time.monotonic() + OTHERS_SECONDS
    others = [place for place in find_rendezvous(config.product, lane) if place.endpoint == config.endpoint]
    while any(place.runs for place in others if place.directory != served) and time.monotonic() < deadline:
        time.sleep(0.02)


def _prepare(directory: Path, place: Place, config: ShipperConfig, *, spawned: bool) -> Shipper:
    from telemetry.shipper.log import open_log
    from telemetry.shipper.shipper import Shipper
    from telemetry.shipper.sockets import Sockets

    open_log(config, spawned=spawned)
    _check_system()
    sockets = Sockets(place.listeners)
    served = config.product, config.endpoint, config.lane.number
    shipper = Shipper(
        config,
        sockets,
        directory,
        spawned=spawned,
        keeps_place=lambda: place.keep() and not (spawned and is_served(*served)),
    )
    if config.listen and not config.lane.number:
        from telemetry.shipper.remote import Remote

        sockets.remote = Remote(sockets.context, config.listen)
    if spawned:
        be_nice(config.settings.niceness)  # not before: on a busy machine hosts wait for us to begin
    place.open(sockets)
    return shipper


def _check_system() -> None:
    """Raise ConfigError if a system call is denied that is indispensable."""
    from telemetry.errors import ConfigError
    from telemetry.system_calls import check_system_calls

    try:
        check_system_calls()
    except OSError as fault:
        raise ConfigError(fault.strerror or str(fault)) from None


def _named(fault: Exception) -> str:
    """Name a fault without its text, which may hold anything, except for errors of the system or of an import."""
    text = ""
    match fault:
        case OSError():
            text = fault.strerror or ""
        case ImportError():
            said = " ".join(str(fault).split())
            text = said if fault.name is None or fault.name in said else f"{fault.name}: {said}"
    return f"{type(fault).__name__}{f' ({text})' if text else ''}"


def _see_more(config_file: Path) -> str:
    """Return advice with the command that shows more, with this process's interpreter and path."""
    path = None if is_frozen() else os.environ.get("PYTHONPATH")
    program = ["telemetry"] if path is None else [sys.executable, "-PsS", "-m", "telemetry"]
    return f"run `{foreground_command(program, path, config_file)}` in the foreground to see more"


def _refuse(directory: Path, config_file: Path, why: str) -> int:
    try:
        config = config_file.read_bytes()
    except OSError:
        config = b""
    refuse(directory, why, config)
    print(f"telemetry ship: {why}", file=sys.stderr)
    return EXIT_CONFIG
