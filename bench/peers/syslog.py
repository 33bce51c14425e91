"""The whole way through syslog-ng, beside ours: the same events, into the same kind of endpoint.

It gets what it offers for the same: a reliable disk buffer, batches over HTTP, flow control, and rewrite rules for five
kinds that redaction knows too (IPv4, IPv6, e-mail, home directories, passwords).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psutil

from bench.load import CHUNK_EVENTS
from bench.site import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Load

PLANTED = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b2001:db8:[0-9a-f:]+|[\w+]+@[\w.]+\.com|/home/\w+|password=\w+", re.ASCII
)
"""What the dirty texts of the mix hold of the five kinds."""

QUIET_SECONDS = 3.0
"""How long nothing has to arrive before what is missing is lost."""

KINDS = {"SysLogHandler": "handler", "raw socket": "raw"}
"""The ways into it, and the name of the socket of each."""

PRODUCERS = 2

Figures = dict[tuple[str, str], float]

_RULES = {
    r"\\b\\d{1,3}(\\.\\d{1,3}){3}\\b": "[ip]",
    r"\\b[0-9a-f]{1,4}(:[0-9a-f]{0,4}){2,7}": "[ip]",
    r"[\\w.+-]+@[\\w-]+(\\.[\\w-]+)+": "[email]",
    r"/home/[^/\\s]+": "[path]",
    r"password=\\S+?([,\\s\"])": "password=[secret]$1",
}
_CONFIGURATION = """@version: 3.35
options {{ stats-freq(0); keep-hostname(yes); use-dns(no); log-msg-size(65536); }};
source handler {{ unix-dgram("{home}/handler" flags(no-parse) so-rcvbuf(8388608)); }};
source raw {{ unix-stream("{home}/raw" flags(no-parse) log-iw-size(20000) log-fetch-limit(1000)); }};
rewrite redact {{ {rules} }};
destination endpoint {{ http(
    url("{endpoint}") method("POST") body("$MESSAGE") delimiter("\\n")
    batch-lines(5000) batch-bytes(4194304) batch-timeout(1000) workers(1) log-fifo-size(200000)
    disk-buffer(reliable(yes) disk-buf-size(2147483648) mem-buf-size(67108864) dir("{home}"))
); }};
log {{ source(handler); source(raw); rewrite(redact); destination(endpoint); flags(flow-control); }};
"""


def one_run(kind: str, load: Load) -> Figures:
    """Emit the load from the producers through syslog-ng; `kind` is one of `KINDS`."""
    with _place() as (home, arrived):
        daemon = _start(home)
        reports = _emit(kind, home, load)
        expected = len(reports) * load.chunks * CHUNK_EVENTS
        ended = _settled(arrived, expected)
        process = psutil.Process(daemon.pid)
        times, memory_bytes = process.cpu_times(), process.memory_info().rss
        daemon.kill()
        daemon.wait()
        numbers, left = _read(arrived)
    planted = sum(len(PLANTED.findall(str(fields))) for _, fields in load.emissions()) * load.chunks * len(reports)
    return {
        ("emit to arrived", "events/s"): len(numbers) / (ended - min(report["began"] for report in reports)),
        ("host CPU per event", "us"): sum(report["cpu"] for report in reports) / expected * 1e6,
        ("shipper CPU per event", "us"): (times.user + times.system) / expected * 1e6,
        ("shipper memory", "MB"): memory_bytes / 1e6,
        ("arrives", "%"): 100 * len(numbers) / expected,
        ("planted values left", "%"): 100 * left / planted,
    }


def killed_run(kind: str, load: Load) -> Figures:
    """Emit as `one_run` does; kill syslog-ng in the middle, and start another one at once on the same files."""
    expected = PRODUCERS * load.chunks * CHUNK_EVENTS
    with _place() as (home, arrived), ThreadPoolExecutor(1) as other:
        daemon = _start(home)
        emitting = other.submit(_emit, kind, home, load)
        while arrived.read_bytes().count(b"\n") < expected // 4:
            sleep(0.01)
        daemon.kill()
        daemon.wait()
        for address in KINDS.values():
            (home / address).unlink(missing_ok=True)
        daemon = _start(home)
        emitting.result()
        _settled(arrived, expected)
        daemon.kill()
        daemon.wait()
        numbers, _ = _read(arrived)
    return {
        ("lost by a kill", "events"): expected - len(numbers),
        ("doubled by a kill", "events"): sum(numbers.values()) - len(numbers),
    }


def _emit(kind: str, home: Path, load: Load) -> list[dict[str, Any]]:
    """Have the producers emit; return their reports."""
    address = str(home / KINDS[kind])
    hosts = [_spawn("bench.peers.sender", KINDS[kind], address, json.dumps(load), str(n)) for n in range(PRODUCERS)]
    for host in hosts:
        _line(host)
    for host in hosts:
        _tell(host)
    reports = [json.loads(_line(host)) for host in hosts]
    for host in hosts:
        host.communicate("\n")
    return reports


def _read(arrived: Path) -> tuple[Counter[str], int]:
    """Return how often each event arrived, by its number, and how many planted values are left."""
    text = arrived.read_text(errors="replace")
    return Counter(re.findall(r'"n": "([0-9]+-[0-9]+)"', text)), len(PLANTED.findall(text))


@contextmanager
def _place() -> Iterator[tuple[Path, Path]]:
    """A home with a configuration, and the file where all that arrives is kept; both are gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="telemetry-bench-"))
    arrived = home / "arrived"
    arrived.touch()
    rules = " ".join(f'subst("{what}", "{mark}", value("MESSAGE") flags("global"));' for what, mark in _RULES.items())
    with _spawn("bench.peers.keep", str(arrived)) as sink:
        try:
            endpoint = f"http://127.0.0.1:{_line(sink).strip()}/"
            (home / "syslog-ng.conf").write_text(_CONFIGURATION.format(home=home, endpoint=endpoint, rules=rules))
            yield home, arrived
        finally:
            sink.kill()
            shutil.rmtree(home, ignore_errors=True)


def _start(home: Path) -> subprocess.Popen[bytes]:
    program = shutil.which("syslog-ng")
    if program is None:
        raise SystemExit("bench: there is no syslog-ng here; install syslog-ng-core and syslog-ng-mod-http")
    files = {"cfgfile": "syslog-ng.conf", "persist-file": "persist", "control": "control", "pidfile": "pid"}
    options = [f"--{name}={home / file}" for name, file in files.items()]
    daemon = subprocess.Popen([program, "--foreground", "--no-caps", *options], stderr=subprocess.DEVNULL)
    while not all((home / address).exists() for address in KINDS.values()):
        if daemon.poll() is not None:
            raise SystemExit(f"bench: syslog-ng ended with exit code {daemon.returncode}; is its http module there?")
        sleep(0.01)
    return daemon


def _spawn(module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _settled(arrived: Path, expected: int) -> float:
    """Wait until all has arrived, or nothing more does; return when the last did."""
    changed, size, lines = monotonic(), -1, 0
    while lines < expected and monotonic() - changed < QUIET_SECONDS:
        if (now := arrived.stat().st_size) != size:
            changed, size, lines = monotonic(), now, arrived.read_bytes().count(b"\n")
        sleep(0.05)
    return changed
