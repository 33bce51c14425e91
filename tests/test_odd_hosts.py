"""Hosts in odd places: nothing raises, prints or blocks; events arrive, or are counted where no shipper can be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from conftest import wait_until
from standin import CATALOG, ENDPOINT, PRODUCT

import telemetry
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.rendezvous.lock import shipper_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

SOMEBODY = 54_322
ARRIVED, COUNTED = 10, 11
LIMIT_SECONDS = 60.0
"""Far above what a host may take; a shipper that has to start on a busy machine is waited for."""

PACKAGE = Path(telemetry.__file__).parent

# Emits, waits for the shipper if one can be, and says by its exit code what became of the events.
HOST = f"""
import os, resource, sys
{{before}}
import telemetry
settings = telemetry.ShipperSettings(linger_seconds=0.2)
client = telemetry.init(
    product={PRODUCT!r}, catalog={{catalog!r}}, endpoint={ENDPOINT!r}, consent="on", queue_bytes=8 << 20,
    shipper=settings,
)
{{after}}
for number in range({{events}}):
    telemetry.emit("query_finished", number=number, engine="x" * 1000)
if telemetry.flush({{patience}}):
    os._exit({ARRIVED})
dropped = dict(client._link._outbox.dropped)
telemetry.close()
os._exit({COUNTED} if dropped.keys() == {{{{"no_shipper"}}}} else 1)
"""


class Case(NamedTuple):
    """A host that is somewhere else.

    Attributes:
        before: what it does before it imports us.
        after: what it does when `init` is done.
        options: of its interpreter.
        start: how it is started; "$@" is the interpreter and its arguments.
        environment: names and values, or None for what is not to be set; `{home}` is a directory of its own.
        arrives: whether a shipper can be.
    """

    before: str = ""
    after: str = ""
    options: tuple[str, ...] = ()
    start: str = 'exec "$@"'
    environment: dict[str, str | None] = {}  # noqa: RUF012 never written to
    arrives: bool = True


# All that the host needs is loaded before: the interpreter's own files may be root's alone.
LOAD = """
import fcntl, hashlib, json, site
import telemetry.names, telemetry.producer.link, telemetry.producer.local, telemetry.producer.site, telemetry.settings
"""

BE_SOMEBODY = f"{LOAD}os.setgroups([]); os.setgid({SOMEBODY}); os.setuid({SOMEBODY})"

FULL_PROCESS_TABLE = f"{BE_SOMEBODY}; resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))"

TAKE_DESCRIPTORS = f"""
{LOAD}
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
try:
    while True:
        taken.append(os.dup(2))
except OSError:
    os.close(taken.pop())  # `init` reads the catalog
"""

FREE_DESCRIPTORS = """
telemetry.emit("started")
assert not telemetry.flush(0.1)
for descriptor in taken:
    os.close(descriptor)
"""

KILL_SHIPPER = """
import signal, time
from telemetry.rendezvous.lock import shipper_runs
telemetry.emit("started")
assert telemetry.flush(60)
directory = client._link.transport.site.directory
os.kill(int((directory / "lock").read_text()), signal.SIGKILL)
while shipper_runs(directory):
    time.sleep(0.01)
"""

NO_PROCESS = """
import posix
spawn = posix.posix_spawn
def refuse(*_, **__):
    raise BlockingIOError(11, "Resource temporarily unavailable")
posix.posix_spawn = refuse
"""

A_PROCESS = """
telemetry.emit("started")
assert not telemetry.flush(0.1)
assert client._link.transport.is_missing
posix.posix_spawn = spawn
"""

SITE = f"sys.path[:0] = [{str(PACKAGE.parent)!r}, {sysconfig.get_path('purelib')!r}]"

NOWHERE: dict[str, str | None] = dict.fromkeys(
    ("TELEMETRY_HOME", "HOME", "TMPDIR", *(f"XDG_{kind}" for kind in ("RUNTIME_DIR", "STATE_HOME", "CACHE_HOME")))
)

IN_NAMESPACE = """exec unshare -m sh -c 'mount -t tmpfs tmpfs /dev/shm && {mount} && exec "$@"' sh "$@" """
READ_ONLY = IN_NAMESPACE.format(mount="mount -o remount,bind,ro /")
READ_ONLY_BUT_PLACE = IN_NAMESPACE.format(mount="mount --bind . . && mount -o remount,bind,ro /")


def lets_mount() -> bool:
    command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /dev/shm && mount -o remount,bind,ro /"]
    return (
        shutil.which("unshare") is not None and not subprocess.run(command, capture_output=True, check=False).returncode
    )


in_namespace = pytest.mark.skipif(not lets_mount(), reason="this machine lets nobody mount in a namespace of their own")

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")

CASES = [
    pytest.param(Case(SITE, options=("-I", "-S"), environment={"PYTHONPATH": "/nowhere"}), id="isolated, no site"),
    pytest.param(Case(start='exec "$@" <&- >&- 2>&-'), id="no stdin, stdout or stderr"),
    pytest.param(
        Case("os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')", environment={"PYTHONPATH": "."}),
        id="working directory gone",
    ),
    pytest.param(
        Case(environment={"TELEMETRY_HOME": "{home}/\udcff/" + "long/" * 30}), id="TELEMETRY_HOME long and no UTF-8"
    ),
    pytest.param(
        Case(environment={"TELEMETRY_HOME": None, "HOME": "none", "XDG_RUNTIME_DIR": None, "TMPDIR": "{home}"}),
        id="no home",
    ),
    pytest.param(
        Case(environment=NOWHERE | {"HOME": "/", "TMPDIR": "{home}"}, start=READ_ONLY_BUT_PLACE),
        id="home is a read-only root",
        marks=in_namespace,
    ),
    pytest.param(
        Case(environment=NOWHERE | {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"}, start=READ_ONLY),
        id="nothing can be written but /dev/shm",
        marks=in_namespace,
    ),
    pytest.param(
        Case(environment=NOWHERE | {"XDG_STATE_HOME": "/usr/x", "XDG_RUNTIME_DIR": "/usr"}, start=READ_ONLY),
        id="XDG directories on a read-only disk",
        marks=in_namespace,
    ),
    pytest.param(Case(before="sys.executable = ''"), id="no executable"),
    pytest.param(
        Case(
            "sys.executable = ''; sys.prefix = sys.exec_prefix = sys.base_prefix = sys.base_exec_prefix = '/none'",
            arrives=False,
        ),
        id="no interpreter",
    ),
    pytest.param(
        Case(BE_SOMEBODY, environment={"TELEMETRY_HOME": "/usr/lib/telemetry"}, arrives=False),
        id="read-only home",
        marks=as_root,
    ),
    pytest.param(Case(TAKE_DESCRIPTORS, FREE_DESCRIPTORS), id="no descriptors at init"),
    pytest.param(
        Case(after=KILL_SHIPPER + TAKE_DESCRIPTORS + FREE_DESCRIPTORS), id="no descriptors when the shipper dies"
    ),
    pytest.param(Case(FULL_PROCESS_TABLE, arrives=False), id="process table full", marks=as_root),
    pytest.param(Case(NO_PROCESS, A_PROCESS), id="process table full for a while"),
]


@pytest.fixture
def place(home: Path) -> Iterator[Path]:
    """A directory of everybody's, with the catalog; away with what was made outside it too."""
    home.chmod(0o1777)
    (home / "acme.toml").write_text(CATALOG)
    shared = Path(f"/tmp/telemetry-{os.getuid()}")  # noqa: S108 where long names fall back to
    before = {*shared.glob("*")}
    yield home
    for made in {*shared.glob("*")} - before:
        if CONFIG_FILE in (path.name for path in made.iterdir()) and str(home) in (made / CONFIG_FILE).read_text():
            wait_until(lambda made=made: not shipper_runs(made))  # type: ignore[misc]
            shutil.rmtree(made)


def run(case: Case, place: Path, program: tuple[str, ...] | None = None) -> None:
    """Run a host in `place`, silently and in time; its events are where they should be."""
    told = {name: value and value.format(home=place) for name, value in case.environment.items()}
    environment = {name: value for name, value in {**os.environ, **told}.items() if value is not None}
    command = [sys.executable, *case.options, *(program or ("-c", source(case, place)))]
    began = time.monotonic()
    result = subprocess.run(
        ["sh", "-c", case.start, "sh", *command],
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS * 2,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (ARRIVED if case.arrives else COUNTED, "", "")
    assert time.monotonic() - began < LIMIT_SECONDS


def source(case: Case, place: Path) -> str:
    """The host's program. Where no shipper can be it emits more than fits the queue."""
    events, patience = (10, LIMIT_SECONDS) if case.arrives else (20_000, 0.1)
    return HOST.format(
        before=case.before, after=case.after, catalog=str(place / "acme.toml"), events=events, patience=patience
    )


@pytest.mark.parametrize("case", CASES)
def test_a_host_in_an_odd_place_is_not_disturbed(case: Case, place: Path) -> None:
    run(case, place)


def test_a_zipped_program_has_a_shipper(place: Path) -> None:
    case = Case()
    with zipfile.ZipFile(place / "acme.pyz", "w") as archive:
        archive.writestr("__main__.py", source(case, place))
        for path in PACKAGE.rglob("*"):
            if path.suffix not in {".pyc", ""}:
                archive.write(path, path.relative_to(PACKAGE.parent))
    run(case, place, (str(place / "acme.pyz"),))


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@as_root
def test_a_host_whose_home_is_on_a_full_disk_is_not_disturbed(place: Path) -> None:
    disk = place / "disk"
    disk.mkdir(0o700)
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(disk)]
    if subprocess.run(mounting, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        with pytest.raises(OSError, match="No space"):
            fill(disk / "filler")
        run(Case(environment={"TELEMETRY_HOME": str(disk)}, arrives=False), place)
        assert not list(disk.glob("run/*/*"))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


DROP_PRIVILEGES = f"""
import json, os, sys
{LOAD}
sys.executable = ""  # a shipper would need an interpreter that anybody may run
client = telemetry.init(product={PRODUCT!r}, catalog={{catalog!r}}, endpoint={ENDPOINT!r}, consent="on")
{{before}}
os.setgroups([]); os.setgid({SOMEBODY}); os.setuid({SOMEBODY})
for number in range(100):
    telemetry.emit("query_finished", number=number)
assert not telemetry.flush(0.1)
telemetry.close(0.1)
"""


@as_root
@pytest.mark.parametrize("before", ["", "telemetry.emit('started')"])
def test_what_a_host_emits_after_it_has_dropped_its_privileges_is_at_its_new_users_place(
    place: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "root").mkdir(0o700)
    monkeypatch.delenv("TELEMETRY_HOME")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(place / "root"))
    monkeypatch.setenv("TMPDIR", str(place))
    code = DROP_PRIVILEGES.format(catalog=str(place / "acme.toml"), before=before)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    found = list((place / f"telemetry-{SOMEBODY}" / "state" / PRODUCT).glob("spool-*/tombstones/*.json"))
    assert len(found) == 1
    assert json.loads(found[0].read_text())["dropped"] == {"exit_unconfirmed": 0}
    assert json.loads(found[0].read_text())["accepted"] == 100 + bool(before)


CLOSE_STANDARD_FILES = "[os.close(descriptor) for descriptor in (0, 1, 2)]"

WRITE_TO_THEM = """
for descriptor in (1, 2):
    os.write(descriptor, b"8 bytes!")
assert all("null" in os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in (0, 1, 2))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_of_ours_is_where_standard_files_were_closed(place: Path, when: str) -> None:
    if when == "before":
        run(Case(CLOSE_STANDARD_FILES, WRITE_TO_THEM), place)
    else:
        flush = "telemetry.emit('started'); telemetry.flush(0.1)"
        run(Case(after=f"{CLOSE_STANDARD_FILES}\n{flush}\n{WRITE_TO_THEM}"), place)
