"""Calls to the system that are denied: what is courtesy is done without, what is needed is named."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import CATALOG, wait_until

from telemetry.cli.status import gather

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the numbers of calls are those of Linux on x86-64",
)

# seccomp(2): a filter that a process lays on itself and all that it starts, as systemd's SystemCallFilter= does.
DENY = """
import ctypes, json, os, struct, sys
number, action, command = json.loads(sys.argv[1])
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, action), (0x06, 0, 0, 0x7FFF0000)]
filter_ = b"".join(struct.pack("HBBI", *line) for line in code)
kept = ctypes.create_string_buffer(filter_)
program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(kept))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program) == 0
os.execv(command[0], command)
"""

EPERM, DIE = 0x00050001, 0x80000000

HOST = """
import sys, telemetry
settings = telemetry.ShipperSettings(linger_seconds=0.2)
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on", shipper=settings)
for _ in range(10):
    telemetry.emit("query_finished", duration_ms=1.5)
print(telemetry.flush(float(sys.argv[3])))
"""


def _run(tmp_path: Path, command: list[str], endpoint: str, patience_seconds: float) -> str:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    host = [*command, sys.executable, "-c", HOST, str(catalog), endpoint, str(patience_seconds)]
    result = subprocess.run(host, capture_output=True, text=True, timeout=110, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def _denied(call: int, action: int, tmp_path: Path, endpoint: str, patience_seconds: float) -> str:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    host = [sys.executable, "-c", HOST, str(catalog), endpoint, str(patience_seconds)]
    said = json.dumps([call, action, host])
    result = subprocess.run(
        [sys.executable, "-c", DENY, said], capture_output=True, text=True, timeout=110, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("call", "action"),
    [
        pytest.param(141, EPERM, id="setpriority"),
        pytest.param(141, DIE, id="setpriority, by death"),
        pytest.param(302, EPERM, id="prlimit64"),
        pytest.param(319, EPERM, id="memfd_create"),
    ],
)
def test_a_shipper_does_without_what_is_courtesy(call: int, action: int, tmp_path: Path, refusing: str) -> None:
    assert _denied(call, action, tmp_path, refusing, 90) == "True\n"
    assert gather("acme-db")["ledger"]["emitted"] == 10


@pytest.mark.usefixtures("home")
def test_what_is_needed_is_named_and_no_host_dies_of_it(tmp_path: Path, refusing: str) -> None:
    assert _denied(290, EPERM, tmp_path, refusing, 5) == "False\n"
    wait_until(lambda: "eventfd2" in (gather("acme-db")["shipper"]["refused"] or ""))
    wait_until(lambda: gather("acme-db")["ledger"]["emitted"] == 10)
    assert gather("acme-db")["ledger"]["dropped"] == {"exit_unconfirmed": 10}


@pytest.mark.usefixtures("home")
def test_a_shipper_does_without_proc(tmp_path: Path, refusing: str) -> None:
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs tmpfs /proc && exec "$@"', "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine lets nobody mount in a namespace of their own")
    assert _run(tmp_path, hidden, refusing, 90) == "True\n"
    assert gather("acme-db")["ledger"]["emitted"] == 10
