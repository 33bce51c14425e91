"""Off, proven: with consent off by each way there is, a whole run leaves no trace that an auditor or the kernel sees.

The same program is run twice: with Python's audit hook, which sees what the interpreter is asked for, and under strace,
which sees what reaches the kernel. What the same program does without telemetry is the interpreter's own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from conftest import CATALOG

from telemetry.consent import NOTICE_VERSION, State, store_choice, store_notice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENDPOINT = "http://127.0.0.1:9/v1/batches"


class Way(NamedTuple):
    """One way to say no."""

    name: str
    environ: dict[str, str] = {}  # noqa: RUF012 never changed
    init: dict[str, str] = {}  # noqa: RUF012 the same
    prepare: Callable[[], object] = lambda: None


def _damage() -> None:
    from telemetry.paths import consent_file  # noqa: PLC0415 here alone

    consent_file("acme-db").parent.mkdir(parents=True, mode=0o700)
    consent_file("acme-db").write_bytes(b"{")


NOTIFIED: Callable[[], object] = lambda: store_notice("acme-db", NOTICE_VERSION, time.time())  # noqa: E731 one of many

WAYS = [
    Way("DO_NOT_TRACK", {"DO_NOT_TRACK": "1"}, {"consent": "on"}),
    Way("DO_NOT_TRACK, whatever it says", {"DO_NOT_TRACK": "false"}, {"consent": "on"}),
    Way("TELEMETRY_DISABLED", {"TELEMETRY_DISABLED": "1"}, {"consent": "on"}),
    Way("the product's variable", {"ACME_DB_TELEMETRY": "off"}, {"consent": "on"}),
    Way("the stored choice", {}, {"consent": "on"}, lambda: store_choice("acme-db", State.OFF, time.time())),
    Way("a stored choice that can't be read", {}, {"consent": "on"}, _damage),
    Way("the host", {}, {"consent": "off"}),
    Way("CI", {"CI": "true"}, {"deployment": "cloud"}, NOTIFIED),
    Way("pytest", {"PYTEST_VERSION": "9.2.0"}, {"deployment": "cloud"}, NOTIFIED),
    Way("self-hosted", {}, {"deployment": "self-hosted"}, NOTIFIED),
    Way("enterprise", {}, {"deployment": "enterprise"}, NOTIFIED),
    Way("nothing said", {}, {}, NOTIFIED),
]

# Everything a host can do, in the parent and in a forked child; `telemetry` may be a stand-in that does nothing.
LIFE = """
def live(telemetry, init):
    telemetry.emit("query_finished", duration_ms=1.0)
    telemetry.init(**init)
    for _ in range(1000):
        telemetry.emit("query_finished", duration_ms=1.5, engine="batch")
        telemetry.count("queries", engine="batch")
    with telemetry.timer("query_finished", engine="batch"):
        pass
    telemetry.flush()
    child = os.fork()
    telemetry.emit("query_finished", duration_ms=2.5)
    telemetry.flush()
    if not child:
        sys.exit(0)
    os.waitpid(child, 0)
    telemetry.close()
    telemetry.emit("query_finished", duration_ms=3.5)
"""

AUDITED = (
    """
import json, os, sys
seen = []
QUIET = {"import", "compile", "exec", "os.listdir", "os.scandir", "marshal.loads", "sys._getframe",
         "sys._current_frames", "code.__new__", "builtins.id",
         "object.__getattr__", "object.__setattr__", "object.__delattr__"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

def audit(event, arguments):
    reads = event == "open" and not (arguments[2] or 0) & WRITES
    if event not in QUIET and not reads:
        seen.append(event)
"""
    + LIFE
    + """
import telemetry
sys.addaudithook(audit)
live(telemetry, json.loads(sys.argv[1]))
names = {name.partition(".")[0] for name in sys.modules}
HEAVY = {"zmq", "msgpack", "msgspec", "psutil", "requests", "urllib3", "zstandard", "hyperscan", "click", "ssl"}
ours = {name for name in sys.modules if name.startswith(("telemetry.shipper", "telemetry.spool", "telemetry.redact"))}
print(json.dumps([seen, sorted(names & HEAVY | ours), len(sys._current_frames())]))
"""
)

STRACED = (
    """
import json, os, sys
"""
    + LIFE
    + """
class Nothing:
    def __getattr__(self, name):
        return lambda *_, **__: self
    def __enter__(self):
        return self
    def __exit__(self, *_):
        return None

if sys.argv[2] == "with":
    import telemetry
else:
    telemetry = Nothing()
live(telemetry, json.loads(sys.argv[1]))
"""
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="telemetry is not for Windows")


@pytest.fixture
def init(home: Path, tmp_path: Path) -> dict[str, str]:
    assert home.exists()
    file = tmp_path / "acme.toml"
    file.write_text(CATALOG)
    return {"product": "acme-db", "catalog": str(file), "endpoint": ENDPOINT}


def _tree(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in home.rglob("*")}


def _run(code: str, *arguments: str, environ: dict[str, str], tracer: tuple[str, ...] = ()) -> str:
    result = subprocess.run(
        [*tracer, sys.executable, "-B", "-c", code, *arguments],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_off_asks_the_interpreter_for_nothing(way: Way, home: Path, init: dict[str, str]) -> None:
    way.prepare()
    before = _tree(home)
    seen, loaded, threads = json.loads(_run(AUDITED, json.dumps(init | way.init), environ=way.environ))

    # The program's own: it forks and waits. The hook is not told of reading a file.
    assert set(seen) <= {"os.fork"}
    assert seen.count("os.fork") == 1
    assert (loaded, threads) == ([], 1)
    assert _tree(home) == before


@pytest.mark.parametrize("consent", ["on", "local"])
def test_the_hook_of_the_test_above_sees_what_happens_with_consent(consent: str, init: dict[str, str]) -> None:
    seen, loaded, _ = json.loads(_run(AUDITED, json.dumps(init | {"consent": consent}), environ={}))

    assert {"open", "os.posix_spawn", "os.mkdir", "os.rename"} <= set(seen)
    assert loaded == ["msgspec", "zmq"]


# What the kernel sees.

CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
STARTS = {"clone", "clone3", "fork", "vfork"}
RUNS = {"execve", "execveat"}
OPENS = {"open", "openat", "openat2", "creat"}
CHANGES = {
    *(
        "mkdir",
        "mkdirat",
        "unlink",
        "unlinkat",
        "rmdir",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
    ),
    *("symlinkat", "truncate", "ftruncate", "chmod", "fchmod", "fchmodat", "chown", "mknod", "mknodat", "flock"),
    *("inotify_init", "inotify_init1", "eventfd", "eventfd2", "epoll_create", "epoll_create1", "memfd_create", "kill"),
}
WRITES = {"write", "writev", "pwrite64", "sendfile", "splice"}
NETWORK = {"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "recvfrom"}
WATCHED = STARTS | RUNS | OPENS | CHANGES | WRITES | NETWORK


def _can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "-o", os.devnull, "true"], check=False, capture_output=True).returncode == 0


needs_strace = pytest.mark.skipif(
    not _can_trace(), reason="strace is not installed (tools/test does it for root with apt-get), or may not trace here"
)


def _calls(init: dict[str, str], environ: dict[str, str], program: str, log: Path) -> dict[str, int]:
    """How often a run makes each call that is watched, in all its processes; opens count when they may write."""
    tracer = ("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join('?' + call for call in sorted(WATCHED))}")
    assert _run(STRACED, json.dumps(init), program, environ=environ, tracer=tracer) == ""
    found: dict[str, int] = {}
    for line in log.read_text().splitlines():
        call = CALL.match(line)
        if call and not (call[1] in OPENS and not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND", call[2])):
            found[call[1]] = found.get(call[1], 0) + 1
    return found


@pytest.fixture(scope="module")
def without_telemetry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the interpreter does for the same program when there is no telemetry in it."""
    return _calls({}, {}, "without", tmp_path_factory.mktemp("trace") / "log")


@needs_strace
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_off_asks_the_kernel_for_nothing(
    way: Way, home: Path, tmp_path: Path, init: dict[str, str], without_telemetry: dict[str, int]
) -> None:
    way.prepare()
    before = _tree(home)
    with_ = _calls(init | way.init, way.environ, "with", tmp_path / "with")

    assert with_ == without_telemetry
    assert sum(with_.get(call, 0) for call in STARTS) == 1, "the program's own fork"
    assert with_.keys() <= STARTS | RUNS
    assert _tree(home) == before


@needs_strace
def test_the_trace_of_the_test_above_sees_what_happens_with_consent(tmp_path: Path, init: dict[str, str]) -> None:
    found = _calls(init | {"consent": "local"}, {}, "with", tmp_path / "with")

    assert {"socket", "connect", "mkdir", "write", "flock", "execve"} <= found.keys()
    assert found.keys() & OPENS
    assert sum(found.get(call, 0) for call in STARTS) > 1
