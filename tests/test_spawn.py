"""Spawning a shipper: one, orphaned, with nothing of the host's, and only where one can be."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from standin import ENDPOINT, PRODUCT, eventually, host, rendezvous, stand_in, write_catalog

from telemetry import Client, ShipperSettings, consent, paths
from telemetry.cli.status import gather
from telemetry.producer import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    return write_catalog(tmp_path)


@pytest.fixture
def start(catalog: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts programs that have called `init`; those that still run at the end are killed."""
    started = []

    def start_one(before: str = "", after: str = "", **options: object) -> subprocess.Popen[str]:
        arguments = {"product": PRODUCT, "catalog": str(catalog), "endpoint": ENDPOINT, "consent": "on"} | options
        code = f"import os, sys, telemetry\n{before}\ntelemetry.init(**{arguments!r})\n{after}\nsys.stdin.readline()\n"
        pipe = subprocess.PIPE
        started.append(subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def shipper_of(catalog: Path) -> psutil.Process:
    """The one that holds the lock."""
    directory = rendezvous(catalog)
    eventually(lambda: spawn.shipper_runs(directory) and (directory / paths.LOCK_FILE).read_text())
    return psutil.Process(int((directory / paths.LOCK_FILE).read_text()))


def shippers_in(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(directory) in process.cmdline() and "ship" in process.cmdline():
                found.append(process)
    return found


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


FLUSH = 'telemetry.emit("started"); print(telemetry.flush(60), flush=True)'


def test_a_host_never_sees_a_child_that_it_did_not_start(start: Callable[..., subprocess.Popen[str]]) -> None:
    code = """
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child", flush=True)
"""
    assert line_of(start(after=code)) == "no child\n"


def test_a_host_that_ignores_its_children_spawns_as_well(
    start: Callable[..., subprocess.Popen[str]], catalog: Path
) -> None:
    process = start("import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)", FLUSH)
    assert line_of(process) == "True\n"
    assert shipper_of(catalog).is_running()


STORM = """
import os, sys, telemetry, telemetry.names, telemetry.producer.link
arguments, hosts = eval(sys.argv[1]), int(sys.argv[2])
gate, opened = os.pipe()
children = []
for _ in range(hosts):
    child = os.fork()
    if not child:
        os.close(opened)
        os.read(gate, 1)  # until all are there
        telemetry.init(**arguments)
        for _ in range(10):
            telemetry.emit("started")
        flushed = telemetry.flush(90)
        sys.stdin.readline()
        telemetry.close(30)
        os._exit(0 if flushed else 1)
    children.append(child)
os.close(gate)
os.close(opened)
print("go", flush=True)
print(sum(os.waitpid(child, 0)[1] != 0 for child in children), flush=True)
try:
    print(os.waitpid(-1, 0))
except ChildProcessError:
    print("no child", flush=True)
"""


def test_fifty_hosts_that_start_at_once_have_one_shipper_and_lose_nothing(catalog: Path) -> None:
    settings = ShipperSettings(linger_seconds=0.2)
    arguments = {"product": PRODUCT, "catalog": str(catalog), "endpoint": ENDPOINT, "consent": "on"}
    code = STORM.replace("telemetry.init(**arguments)", f"telemetry.init(**arguments, shipper=telemetry.{settings!r})")
    command = [sys.executable, "-c", code, repr(arguments), "50"]
    directory = rendezvous(catalog)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as storm:
        assert line_of(storm) == "go\n"
        eventually(lambda: gather(PRODUCT)["ledger"]["emitted"] == 500, 90)
        eventually(lambda: len(shippers_in(directory)) == 1)
        assert shippers_in(directory) == [shipper_of(catalog)]
        assert gather(PRODUCT)["shipper"]["producers"] == 50
        output, _ = storm.communicate("\n" * 50, timeout=90)
    assert output == "0\nno child\n"
    eventually(lambda: not shippers_in(directory))
    assert gather(PRODUCT)["ledger"]["emitted"] == 500
    assert gather(PRODUCT)["ledger"]["dropped"] == {}


def test_a_shipper_is_an_orphan_in_a_session_of_its_own_at_the_root(
    start: Callable[..., subprocess.Popen[str]], catalog: Path
) -> None:
    process = start(after=FLUSH)
    assert line_of(process) == "True\n"
    shipper = shipper_of(catalog)
    assert shipper.ppid() != process.pid
    assert os.getsid(shipper.pid) == shipper.pid
    assert shipper.cwd() == "/"
    assert psutil.Process(process.pid).children(recursive=True) == []


LISTENING = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (128, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
listening = socket.create_server(("127.0.0.1", 0))
listening.set_inheritable(True)
os.dup2(listening.fileno(), 77, inheritable=True)
print(os.readlink("/proc/self/fd/77"), flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_shipper_inherits_no_descriptor_of_the_host_and_not_its_limit(
    start: Callable[..., subprocess.Popen[str]], catalog: Path
) -> None:
    process = start(LISTENING, FLUSH)
    inode = line_of(process).strip()
    assert inode.startswith("socket:")
    assert line_of(process) == "True\n"
    assert shipper_of(catalog).rlimit(psutil.RLIMIT_NOFILE)[0] > 128, "nor the host's limit"
    table = Path(f"/proc/{shipper_of(catalog).pid}/fd")
    for entry in table.iterdir():
        with suppress(FileNotFoundError):  # one of its own, closed by now
            assert str(entry.readlink()) != inode
    assert [str((table / str(descriptor)).readlink()) for descriptor in range(3)] == ["/dev/null"] * 3


def test_a_shippers_argv_says_nothing_but_where_to_find_its_configuration(
    start: Callable[..., subprocess.Popen[str]], catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEMETRY_TOKEN", "token-4711")
    assert line_of(start(after=FLUSH)) == "True\n"
    argv = shipper_of(catalog).cmdline()
    directory = rendezvous(catalog)
    assert argv[1:] == ["-P", "-m", "telemetry", "ship", "--spawned", str(directory)]
    file = directory / paths.CONFIG_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert "token-4711" not in file.read_text()


def test_the_configuration_is_the_hosts(catalog: Path) -> None:
    with host(catalog, shipper=ShipperSettings(segment_seconds=1.5, node="meta")) as client:
        client.emit("started")
        assert client.flush(60)
    config = json.loads((rendezvous(catalog) / paths.CONFIG_FILE).read_text())
    expected = {"product": PRODUCT, "catalog": str(catalog), "endpoint": ENDPOINT}
    assert config == expected | ShipperSettings(segment_seconds=1.5, node="meta")._asdict()


def test_a_killed_shipper_is_replaced_while_events_come(
    start: Callable[..., subprocess.Popen[str]], catalog: Path
) -> None:
    code = """
import time
while True:
    telemetry.emit("started")
    time.sleep(0.01)
"""
    start(after=code)
    first = shipper_of(catalog)
    first.kill()
    directory = rendezvous(catalog)
    eventually(lambda: spawn.shipper_runs(directory) and shipper_of(catalog).pid != first.pid)


def test_a_program_that_imports_from_a_relative_path_still_gets_a_shipper(
    start: Callable[..., subprocess.Popen[str]], catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(spawn.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", "", "telemetry"]))
    assert line_of(start(after=FLUSH)) == "True\n"
    found = shipper_of(catalog).environ()["PYTHONPATH"].split(os.pathsep)
    assert all(Path(entry).is_absolute() for entry in found)


# Where none can be.


@pytest.mark.parametrize("executable", ["", None, "/usr/sbin/uwsgi", "/opt/acme/acme-db"])
def test_where_sys_executable_is_no_python_nothing_is_spawned_and_losses_say_so(
    catalog: Path, executable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with host(catalog, queue_bytes=8 << 20) as client:
        for number in range(12_000):
            client.emit("query_finished", number=number, engine="x" * 1000)
        client.flush(0.0)
        assert client._link
        assert client._link._outbox.dropped["no_shipper"] > 0
        assert not (rendezvous(catalog) / paths.CONFIG_FILE).exists()


def test_a_frozen_program_spawns_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spawn.can_spawn(tmp_path)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not spawn.can_spawn(tmp_path)


@pytest.mark.parametrize(
    ("age_seconds", "may"),
    [(0, False), (50, False), (70, True), (-100, True)],
    ids=["just now", "50 s ago", "70 s ago", "in the future: the clock was set"],
)
def test_a_shipper_that_refused_is_left_in_peace_for_a_minute(tmp_path: Path, age_seconds: float, *, may: bool) -> None:
    refused = tmp_path / paths.REFUSED_FILE
    refused.write_text("no")
    at = time.time() - age_seconds
    os.utime(refused, (at, at))
    assert spawn.can_spawn(tmp_path) is may


def test_a_faulty_catalog_is_refused_by_the_shipper_and_not_tried_again(
    start: Callable[..., subprocess.Popen[str]], catalog: Path
) -> None:
    catalog.write_text("[catalog]\nproduct = 5\n")
    code = """
import time
while True:
    telemetry.emit("started")
    time.sleep(0.01)
"""
    start(after=code)
    directory = rendezvous(catalog)
    eventually(lambda: (directory / paths.REFUSED_FILE).exists() and not shippers_in(directory))
    written = (directory / paths.CONFIG_FILE).stat().st_mtime_ns
    # Long enough for two looks after the shipper, one a second.
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        assert shippers_in(directory) == []
        time.sleep(0.1)
    assert (directory / paths.CONFIG_FILE).stat().st_mtime_ns == written


def test_in_a_shipper_nothing_is_spawned(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(spawn.GUARD, "1")
    with host(catalog) as client:
        client.emit("started")
        assert client.flush(0.0)
    assert not rendezvous(catalog).exists()


def test_no_process_to_be_had_is_no_error(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "posix_spawn", refuse)
    with host(catalog) as client:
        client.emit("started")
        assert client._link
        assert client._link._outbox.shipper_missing
        client.close(0.0)


# Off while it runs.


def test_when_the_user_says_off_nothing_is_spawned_sent_or_written_until_the_user_says_on(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        client = Client(product=PRODUCT, catalog=catalog, endpoint=ENDPOINT, consent="on")
        client.emit("query_finished", number=1)
        assert client.flush(30)
    link = client._link
    assert link
    outbox = link._outbox
    consent.store_choice(PRODUCT, consent.State.OFF, time.time())
    link._supervise()
    for _ in range(1_000):
        client.emit("query_finished", number=2)
    assert client.flush(0.0)
    assert not outbox.events
    assert outbox._backlog.socket is None
    assert not (rendezvous(catalog) / paths.CONFIG_FILE).exists()
    consent.store_choice(PRODUCT, consent.State.ON, time.time())
    with stand_in(catalog) as shipper:
        link._supervise()
        client.emit("query_finished", number=3)
        assert client.flush(30)
        assert shipper.values("number") == [3]
        consent.store_choice(PRODUCT, consent.State.OFF, time.time())
        link._supervise()
        client.emit("query_finished", number=4)
        client.close(0.0)
        assert shipper.values("number") == [3]
    assert not (paths.spool_dir(PRODUCT, ENDPOINT) / paths.TOMBSTONES).exists()


# The lock.


def test_two_probes_do_not_take_each_other_for_a_shipper(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from telemetry.producer.spawn import shipper_runs
print(any(shipper_runs(Path({str(tmp_path)!r})) for _ in range(3000)))
"""
    probes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [probe.communicate(timeout=60)[0] for probe in probes] == ["False\n"] * 4


def test_a_lock_left_by_a_dead_shipper_holds_nothing(catalog: Path) -> None:
    directory = rendezvous(catalog)
    paths.private_dir(directory)
    code = f"""
import os, signal
from pathlib import Path
from telemetry.shipper.lock import acquire
assert acquire(Path({str(directory)!r})) is not None
print("held", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert line_of(holder) == "held\n"
        assert spawn.shipper_runs(directory)
        holder.send_signal(signal.SIGKILL)
    assert (directory / paths.LOCK_FILE).exists()
    assert not spawn.shipper_runs(directory)
