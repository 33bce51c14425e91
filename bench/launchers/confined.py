"""Starts in places that are narrow: other users, containers, denied system calls, limits, odd names, odd clocks."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.launchers.place import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.launchers.place import Place

SOMEBODY = 65_534
UNKNOWN = 54_321
"""A uid without an entry in the table of users, as containers have them."""


@cache
def public_python() -> str | None:
    """An interpreter that every user may run, with all that the application needs; None where there is none."""
    candidates = [sys.executable, shutil.which("python3", path="/usr/bin")]
    return next(filter(_serves_everybody, filter(None, candidates)), None)


def _serves_everybody(python: str) -> bool:
    probe = [python, "-c", "import telemetry, zmq, msgspec, zstandard"]
    environment = {"PYTHONPATH": PACKAGES}
    try:
        done = subprocess.run(
            probe, env=environment, user=SOMEBODY, group=SOMEBODY, cwd="/", capture_output=True, check=False
        )
    except OSError:  # we are no root, or nobody else may even look at it
        return False
    return done.returncode == 0


def another_user_after_init(place: Place) -> None:
    """A server that begins as root and goes on as somebody else, whose home is another."""
    _be_public(place)
    place.environment.pop("TELEMETRY_HOME")
    become = f"os.setgroups([]); os.setgid({SOMEBODY}); os.setuid({SOMEBODY})"
    _run_text(place, f"import app, os\napp.init()\n{become}\napp.work()\n")
    place.uid = SOMEBODY


def without_home(home: str | None, uid: int = SOMEBODY) -> Callable[[Place], None]:
    """No home, or one that can't be written, and a user of which the machine may know nothing."""

    def launch(place: Place) -> None:
        _be_public(place)
        del place.environment["TELEMETRY_HOME"], place.environment["HOME"]
        place.environment |= {"HOME": home} if home else {}
        _run_text(place, "import app\napp.main()\n", uid)

    return launch


def read_only_root(place: Place) -> None:
    """A container whose root can't be written; only the directory for temporary files can."""
    del place.environment["TELEMETRY_HOME"]
    place.environment |= {"HOME": "/root", "TMPDIR": "/var/tmp", "LAUNCH_FLUSH_SECONDS": "60"}  # noqa: S108 a tmpfs
    read_only = "mount --make-rprivate / && mount -o remount,bind,ro / && mount -t tmpfs none /var/tmp"
    place.run("unshare", "-m", "sh", "-c", f"{read_only} && exec {shlex.join([place.python, str(place.app)])}")


def first_process(place: Place) -> None:
    """A container whose first process is the program: when it ends, all do."""
    place.environment["LAUNCH_FLUSH_SECONDS"] = "60"
    place.run("unshare", "--pid", "--fork", "--mount-proc", place.python, place.app)


def two_namespaces(place: Place) -> None:
    """Two containers that share a volume, side by side."""
    place.environment["LAUNCH_FLUSH_SECONDS"] = "60"
    one = "unshare --pid --fork --mount-proc " + shlex.join([place.python, str(place.app)])
    place.run("sh", "-c", f"{one} & sleep 1; {one}; wait")


def denied(call: str) -> Callable[[Place], None]:
    """A system call that answers EPERM, in the host and in the shipper, as systemd and container engines do it."""

    def launch(place: Place) -> None:
        _run_text(
            place,
            "import errno, os, sys, pyseccomp\n"
            "allow = pyseccomp.SyscallFilter(pyseccomp.ALLOW)\n"
            f"allow.add_rule(pyseccomp.ERRNO(errno.EPERM), {call!r})\n"
            "allow.load()\n"
            f"os.execv(sys.executable, [sys.executable, {str(place.app)!r}])\n",
        )

    return launch


def limited(before: str) -> Callable[[Place], None]:
    """By a shell that has said something before."""
    return lambda place: place.run("sh", "-c", f"{before}\nexec {shlex.join([place.python, str(place.app)])}")


def in_background(place: Place) -> None:
    """By a shell that does not wait for it."""
    place.run("sh", "-c", f"{shlex.join([place.python, str(place.app)])} &")


def bare(place: Place) -> None:
    """With the variables of the application, and no other: no PATH, no HOME."""
    place.environment = {name: value for name, value in place.environment.items() if "_" in name}
    place.run(place.python, place.app)


def variables(**said: str) -> Callable[[Place], None]:
    """With more in the environment."""

    def launch(place: Place) -> None:
        place.environment |= said
        place.run(place.python, place.app)

    return launch


def odd_path(place: Place) -> None:
    """In a directory whose name is no UTF-8."""
    directory = Path(os.fsdecode(bytes(place.directory) + b"/caf\xe9 \xff"))
    directory.mkdir()
    app = Path(shutil.copy(place.app, directory))
    place.environment["LAUNCH_CATALOG"] = str(directory / "catalog.toml")
    shutil.copy(place.directory / "catalog.toml", directory)
    place.environment["TELEMETRY_HOME"] = str(directory / "home")
    place.run(place.python, app, cwd=directory)


def clock(offset: str, *, only_host: bool = False) -> Callable[[Place], None]:
    """With a clock of its own; its shipper gets another, or the same."""

    def launch(place: Place) -> None:
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        told = {"LD_PRELOAD": str(library), "FAKETIME": offset}
        if only_host:
            place.environment |= told
            place.run(place.python, place.app)
            return
        # A shipper gets none of these variables, so it is started by a program that sets them.
        start = place.directory / "python3"
        start.write_text(
            f'#!/bin/sh\n{shlex.join(["export", *map("=".join, told.items())])}\nexec {place.python} "$@"\n'
        )
        start.chmod(0o755)
        place.run(start, "-c", f"import sys; sys.executable = {str(start)!r}; import app; app.main()")

    return launch


def _be_public(place: Place) -> None:
    place.python = public_python() or ""
    place.environment["PYTHONPATH"] = PACKAGES


def _run_text(place: Place, text: str, uid: int | None = None) -> None:
    file = place.directory / "start.py"
    file.write_text(text)
    place.run(place.python, file, uid=uid)
