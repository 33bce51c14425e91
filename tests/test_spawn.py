"""Spawning a shipper: one, orphaned, with nothing of the host's, and only where one can be."""

from __future__ import annotations

import hashlib
import json
import os
import posix
import re
import shutil
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
from standin import ENDPOINT, PRODUCT, eventually, host, local_transport, rendezvous, stand_in, write_catalog

from telemetry import Client, ShipperSettings, consent, freeze_support, frozen, paths
from telemetry.cli.status import gather
from telemetry.files import private_dir
from telemetry.producer import spawn
from telemetry.producer.start import GUARD, CanNotStartError, plan_start
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.rendezvous.lock import LOCK_FILE, shipper_runs
from telemetry.rendezvous.refusal import REFUSED_FILE, START_LOG_FILE, forget_refusal, read_refusal, refuse

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


def shipper_of(catalog: Path, settings: ShipperSettings = ShipperSettings()) -> psutil.Process:  # noqa: B008 a value
    """The one that holds the lock."""
    directory = rendezvous(catalog, settings)
    eventually(lambda: shipper_runs(directory) and (directory / LOCK_FILE).read_text())
    return psutil.Process(int((directory / LOCK_FILE).read_text()))


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


EMITS = """
import time
while True:
    telemetry.emit("started")
    time.sleep(0.01)
"""
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
import os, sys, telemetry, telemetry.names, telemetry.producer.link, telemetry.producer.local, telemetry.producer.site
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
    directory = rendezvous(catalog, settings)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as storm:
        assert line_of(storm) == "go\n"
        eventually(lambda: gather(PRODUCT)["ledger"]["emitted"] == 500, 90)
        eventually(lambda: len(shippers_in(directory)) == 1)
        assert shippers_in(directory) == [shipper_of(catalog, settings)]
        eventually(lambda: gather(PRODUCT)["shipper"].get("producers") == 50)
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
    assert [part for part in argv[1:] if part != "-B"] == [
        "-P",
        "-s",
        "-S",
        "-m",
        "telemetry",
        "ship",
        "--spawned",
        str(directory),
    ]
    file = directory / CONFIG_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert "token-4711" not in file.read_text()


def test_the_configuration_is_the_hosts(catalog: Path) -> None:
    with host(catalog, shipper=ShipperSettings(segment_seconds=1.5, node="meta")) as client:
        client.emit("started")
        assert client.flush(60)
    settings = ShipperSettings(segment_seconds=1.5, node="meta")
    config = json.loads((rendezvous(catalog, settings) / CONFIG_FILE).read_text())
    started_by = config.pop("started_by")
    assert started_by[0] == sys.executable
    assert config.pop("catalog_digest") == hashlib.sha256(catalog.read_bytes()).hexdigest()
    assert config.pop("sources") == {}
    assert config == {"product": PRODUCT, "catalog": str(catalog), "endpoint": ENDPOINT} | settings._asdict()


def test_a_killed_shipper_is_replaced_while_events_come(
    start: Callable[..., subprocess.Popen[str]], catalog: Path
) -> None:
    start(after=EMITS)
    first = shipper_of(catalog)
    first.kill()
    directory = rendezvous(catalog)
    eventually(lambda: shipper_runs(directory) and shipper_of(catalog).pid != first.pid)


def test_a_program_that_imports_from_a_relative_path_still_gets_a_shipper(
    start: Callable[..., subprocess.Popen[str]], catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(spawn.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", "", "telemetry"]))
    assert line_of(start(after=FLUSH)) == "True\n"
    found = shipper_of(catalog).environ()["PYTHONPATH"].split(os.pathsep)
    assert all(Path(entry).is_absolute() for entry in found)


# Where none can be.


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that no interpreter belongs to."""
    for prefix in ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, prefix, "/opt/acme")


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("executable", ["", None, "/usr/sbin/uwsgi", "/opt/acme/acme-db", "/gone/python3"])
def test_where_there_is_no_interpreter_nothing_is_spawned_losses_say_so_and_status_says_why(
    catalog: Path, executable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with host(catalog, queue_bytes=8 << 20) as client:
        for number in range(12_000):
            client.emit("query_finished", number=number, engine="x" * 1000)
        client.flush(0.0)
        assert client._link
        assert client._link._outbox.dropped["no_shipper"] > 0
    refused = gather(PRODUCT)["shipper"]["refused"]
    assert repr(executable) in refused
    assert "command=" in refused
    assert shippers_in(rendezvous(catalog)) == []


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("command", ["{python}", "{python} -P -m telemetry", "'{python}' -m telemetry"])
def test_a_setting_names_what_a_shipper_is_started_with(
    catalog: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = sys.executable
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    settings = ShipperSettings(command=command.format(python=python), linger_seconds=0.1)
    with host(catalog, shipper=settings) as client:
        client.emit("started")
        assert client.flush(60)
    assert gather(PRODUCT)["shipper"]["refused"] is None


SYSTEM_PYTHON = "/usr/bin/python3"


def _is_another_build() -> bool:
    """Whether the system's interpreter is another one than ours, of the same minor version."""
    told = f"import sys; sys.exit({sys.version_info[:2]!r} != sys.version_info[:2])"
    return (
        Path(SYSTEM_PYTHON).exists()
        and not Path(SYSTEM_PYTHON).samefile(sys.executable)
        and subprocess.run([SYSTEM_PYTHON, "-c", told], check=False).returncode == 0
    )


@pytest.mark.skipif(not _is_another_build(), reason=f"{SYSTEM_PYTHON} is no other build of this Python's minor version")
def test_another_build_of_the_hosts_interpreter_is_a_shipper(catalog: Path) -> None:
    with host(catalog, shipper=ShipperSettings(command=SYSTEM_PYTHON, linger_seconds=0.1)) as client:
        client.emit("started")
        flushed = client.flush(30)
    assert gather(PRODUCT)["shipper"]["refused"] is None
    assert flushed


HELD = """
import os, sys, time
from pathlib import Path
from telemetry.rendezvous.lock import acquire
acquire(Path(sys.argv[-1]))
time.sleep(0.7)
os._exit(1)
"""


@pytest.mark.parametrize("otherwise", ["exit 1", "kill -9 $$", f"exec {sys.executable} -c '{HELD}' $*"])
def test_that_no_shipper_came_up_is_said_until_one_serves(
    start: Callable[..., subprocess.Popen[str]], catalog: Path, tmp_path: Path, otherwise: str
) -> None:
    command = tmp_path / "shipper"
    started = f"[ -e {tmp_path}/go ] && exec {sys.executable} -m telemetry $*"
    command.write_text(f"#!/bin/sh\n{started}\n{otherwise}\n")
    command.chmod(0o700)
    settings = ShipperSettings(command=str(command))
    start("from telemetry import ShipperSettings", EMITS, shipper=settings)
    refused = ""

    def is_said() -> bool:  # not while one holds the lock
        nonlocal refused
        refused = gather(PRODUCT)["shipper"]["refused"] or ""
        return bool(refused)

    eventually(is_said)
    assert re.match(r"\d+ shippers were started here in the last \d+ seconds and none came up; run ", refused)
    assert f"`{command} ship --config {rendezvous(catalog, settings) / CONFIG_FILE}`" in refused
    (tmp_path / "go").touch()
    eventually(lambda: gather(PRODUCT)["shipper"]["running"])
    eventually(lambda: gather(PRODUCT)["shipper"]["refused"] is None)


def test_what_a_shipper_said_of_itself_is_not_written_over(tmp_path: Path) -> None:
    spawner, start = spawn.Spawner({"command": ""}), plan_start("")
    refuse(tmp_path, "no catalog", CONFIG)
    spawner.say_none_came(tmp_path, start, 3, 5.0)
    assert _said(tmp_path) == "no catalog"
    os.utime(tmp_path / REFUSED_FILE, (0, 0))  # it speaks of another time
    spawner.say_none_came(tmp_path, start, 3, 5.0)
    spawner.say_none_came(tmp_path, start, 4, 7.0)
    assert _said(tmp_path).startswith("4 shippers")


def _said(directory: Path) -> str:
    refusal = read_refusal(directory)
    return refusal.why if refusal else ""


def test_a_module_that_can_not_be_imported_is_named_with_what_shows_more(
    start: Callable[..., subprocess.Popen[str]], catalog: Path, tmp_path: Path
) -> None:
    (tmp_path / "zstandard.py").write_text("raise ImportError('undefined symbol: hi', name='_zstd')\n")
    start(f"import zstandard; sys.path.insert(0, {str(tmp_path)!r})")
    eventually(lambda: gather(PRODUCT)["shipper"]["refused"])
    refused = gather(PRODUCT)["shipper"]["refused"]
    assert "ImportError (_zstd: undefined symbol: hi)" in refused
    assert str(rendezvous(catalog) / CONFIG_FILE) in refused
    command = ["sh", "-c", refused.split("`")[1]]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert shown.returncode == 2
    assert "import zstandard" in shown.stderr


@pytest.mark.parametrize("command", ["python3", "/gone/python3", "/gone/telemetry --here", "'", " "])
def test_a_setting_that_names_nothing_is_said(catalog: Path, command: str) -> None:
    with host(catalog, shipper=ShipperSettings(command=command)) as client:
        client.emit("started")
        client.close(0.0)
    assert f"command={command!r}" in gather(PRODUCT)["shipper"]["refused"]


def test_where_the_executable_is_the_host_the_interpreter_of_its_prefix_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    interpreter = plan_start("").command[0]
    assert (
        subprocess.check_output([interpreter, "-c", "import sys; print(sys.version)"], text=True) == f"{sys.version}\n"
    )


def test_a_frozen_program_is_its_own_shipper_only_if_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "_supported", False)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(CanNotStartError, match="freeze_support"):
        plan_start("")
    freeze_support()
    assert plan_start("").command == [sys.executable, frozen.SHIP]
    assert plan_start("").environment["PYINSTALLER_RESET_ENVIRONMENT"] == "1"


def test_in_a_program_that_is_not_frozen_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "_supported", False)
    before = plan_start("")
    freeze_support()
    assert plan_start("") == before


# What was refused.


CONFIG = json.dumps({"catalog": "/none.toml"}).encode()


@pytest.mark.parametrize(
    ("age_seconds", "holds"),
    [(0, True), (50, True), (70, False), (-100, False)],
    ids=["just now", "50 s ago", "70 s ago", "in the future: the clock was set"],
)
def test_what_was_refused_is_left_in_peace_for_a_minute(tmp_path: Path, age_seconds: float, *, holds: bool) -> None:
    refuse(tmp_path, "no", CONFIG)
    at = time.time() - age_seconds
    os.utime(tmp_path / REFUSED_FILE, (at, at))
    refusal = read_refusal(tmp_path)
    assert refusal
    assert refusal.holds(CONFIG) is holds


def test_a_refusal_holds_for_the_very_configuration_and_the_files_that_it_names(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a")
    config = json.dumps({"catalog": str(tmp_path / "none.toml"), "token_file": str(token)}).encode()
    refuse(tmp_path, "no", config)
    refusal = read_refusal(tmp_path)
    assert refusal
    assert refusal.holds(config)
    assert not refusal.holds(config + b" ")
    token.chmod(0o600)
    assert not refusal.holds(config)


def test_what_a_host_says_holds_nobody_back_and_all_is_forgotten_when_one_serves(tmp_path: Path) -> None:
    refuse(tmp_path, "no interpreter", None)
    (tmp_path / START_LOG_FILE).write_text("Traceback\nImportError: no\n")
    refusal = read_refusal(tmp_path)
    assert refusal
    assert not refusal.holds(CONFIG)
    (tmp_path / REFUSED_FILE).unlink()
    refusal = read_refusal(tmp_path)
    assert refusal
    assert "ImportError: no" in refusal.why
    forget_refusal(tmp_path)
    assert read_refusal(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"why": 1}', "\0", "[" * 5000])
def test_a_refusal_that_is_none_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / REFUSED_FILE).write_text(content)
    assert read_refusal(tmp_path) is None


def test_a_faulty_catalog_is_refused_by_the_shipper_and_not_tried_again(
    start: Callable[..., subprocess.Popen[str]], catalog: Path
) -> None:
    catalog.write_text("[catalog]\nproduct = 5\n")
    start(after=EMITS)
    directory = rendezvous(catalog)
    eventually(lambda: (directory / REFUSED_FILE).exists() and not shippers_in(directory))
    written = (directory / CONFIG_FILE).stat().st_mtime_ns
    # Long enough for two looks after the shipper, one a second.
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        assert shippers_in(directory) == []
        time.sleep(0.1)
    assert (directory / CONFIG_FILE).stat().st_mtime_ns == written


def test_in_a_shipper_nothing_is_spawned(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GUARD, "1")
    with host(catalog) as client:
        client.emit("started")
        assert client.flush(0.0)
    assert not rendezvous(catalog).exists()


def test_no_process_to_be_had_is_no_error(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(posix, "posix_spawn", refuse)
    with host(catalog) as client:
        client.emit("started")
        assert client._link
        assert client._link.transport.is_missing
        client.close(0.0)


# Off while it runs.


def test_when_the_user_says_off_nothing_is_spawned_sent_or_written_until_the_user_says_on(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        client = Client(product=PRODUCT, catalog=catalog, endpoint=ENDPOINT, consent="on")
        client.emit("query_finished", number=1)
        assert client.flush(60)
    link = client._link
    assert link
    outbox = link._outbox
    consent.store_choice(PRODUCT, consent.State.OFF, time.time())
    link._supervise()
    for _ in range(1_000):
        client.emit("query_finished", number=2)
    assert client.flush(0.0)
    assert not outbox.events
    assert local_transport(client).channel.socket is None
    assert not (rendezvous(catalog) / CONFIG_FILE).exists()
    consent.store_choice(PRODUCT, consent.State.ON, time.time())
    with stand_in(catalog) as shipper:
        link._supervise()
        client.emit("query_finished", number=3)
        assert client.flush(60)
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
from telemetry.rendezvous.lock import shipper_runs
print(any(shipper_runs(Path({str(tmp_path)!r})) for _ in range(3000)))
"""
    probes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [probe.communicate(timeout=60)[0] for probe in probes] == ["False\n"] * 4


def test_a_lock_left_by_a_dead_shipper_holds_nothing(catalog: Path) -> None:
    directory = rendezvous(catalog)
    private_dir(directory)
    code = f"""
import os, signal
from pathlib import Path
from telemetry.rendezvous.lock import acquire
assert acquire(Path({str(directory)!r})) is not None
print("held", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert line_of(holder) == "held\n"
        assert shipper_runs(directory)
        holder.send_signal(signal.SIGKILL)
    assert (directory / LOCK_FILE).exists()
    assert not shipper_runs(directory)


# A host that is pid 1, as in a container; it says whether a shipper that was killed has left a zombie.
FIRST = """
import json, os, signal, sys, time, telemetry
from pathlib import Path
client = telemetry.init(**json.loads(sys.argv[1]))
assert os.getpid() == 1
telemetry.emit("query_finished")
assert telemetry.flush(60.0)
shipper = int((client._link.transport.site.directory / "lock").read_text())
assert int(Path(f"/proc/{shipper}/stat").read_text().rpartition(")")[2].split()[1]) == 1, "it is an orphan"
os.kill(shipper, signal.SIGKILL)
until = time.monotonic() + 30.0
while Path(f"/proc/{shipper}").exists() and time.monotonic() < until:
    time.sleep(0.01)
print(Path(f"/proc/{shipper}").exists())
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="a pid namespace takes root and unshare")
def test_under_a_host_that_is_pid_1_no_shipper_is_left_as_a_zombie(catalog: Path, refusing: str) -> None:
    init = {"product": PRODUCT, "catalog": str(catalog), "endpoint": refusing, "consent": "on"}
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        sys.executable,
        "-c",
        FIRST,
        json.dumps(init),
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (output.stdout, output.stderr) == ("False\n", "")
