"""A program that was frozen, by PyInstaller as it is, starts itself as its shipper."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import CATALOG, wait_until

from telemetry.cli.status import gather
from telemetry.rendezvous.lock import shipper_runs

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("PyInstaller", reason="PyInstaller is not installed")

PROGRAM = """
import sys
import telemetry

if __name__ == "__main__":
    {support}
    settings = telemetry.ShipperSettings(linger_seconds=0.2)
    telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on", shipper=settings)
    for number in range(100):
        telemetry.emit("query_finished", duration_ms=1.5)
    print(telemetry.flush(float(sys.argv[3])), flush=True)
"""

# One analysis, which is what takes long, for a folder and for a single file that unpacks itself.
SPEC = """
a = Analysis(["acme.py"], excludes=["IPython", "_pytest", "duckdb", "hypothesis", "pygments", "tkinter", "uvicorn"])
pyz = PYZ(a.pure)
EXE(pyz, a.scripts, a.binaries, a.datas, name="single", console=True)
COLLECT(EXE(pyz, a.scripts, exclude_binaries=True, name="acme", console=True), a.binaries, a.datas, name="folder")
"""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("frozen")
    (directory / "acme.py").write_text(PROGRAM.format(support="telemetry.freeze_support()"))
    (directory / "acme.spec").write_text(SPEC)
    command = [sys.executable, "-m", "PyInstaller", "--log-level", "WARN", "acme.spec"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=600)
    return directory / "dist"


@pytest.mark.timeout(700)
@pytest.mark.parametrize("program", ["folder/acme", "single"])
def test_a_frozen_program_is_its_own_shipper(
    frozen: Path, program: str, home: Path, tmp_path: Path, refusing: str
) -> None:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    command = [str(frozen / program), str(catalog), refusing, "60"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "True\n", "")
    report = gather("acme-db")
    assert (report["ledger"]["emitted"], report["ledger"]["dropped"]) == (100, {})
    wait_until(lambda: not any(map(shipper_runs, home.glob("run/*"))))


FROZEN = "import sys; sys.frozen = True"


def test_one_that_does_not_say_so_runs_once_and_status_says_what_to_write(
    home: Path, tmp_path: Path, refusing: str
) -> None:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    program = FROZEN + PROGRAM.format(support="pass")
    command = [sys.executable, "-c", program, str(catalog), refusing, "0.1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=os.environ)
    assert (result.stdout, result.stderr) == ("False\n", "")
    assert "telemetry.freeze_support()" in gather("acme-db")["shipper"]["refused"]
    assert not any(map(shipper_runs, home.glob("run/*")))
