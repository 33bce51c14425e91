"""Interpreters in which telemetry can't run: one sentence says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from standin import ENDPOINT, PRODUCT, write_catalog

import telemetry

ROOT = Path(telemetry.__file__).parents[1]


def python(minor: int) -> str:
    """An interpreter of this machine, or the test is skipped."""
    found = shutil.which(f"python3.{minor}")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"no python3.{minor} here")
    return found


@pytest.mark.parametrize("minor", [7, 8, 9, 10])
def test_an_interpreter_that_is_too_old_is_told_so_in_one_sentence(minor: int) -> None:
    result = subprocess.run(
        [python(minor), "-c", "import telemetry"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: telemetry needs Python 3.11 or newer; this is 3.{minor}.")


SAID = {
    **{library: f"sys.modules[{library!r}] = None" for library in ("zmq", "msgspec", "_ctypes")},
    "PYTHON_GIL=1": "sys._is_gil_enabled = lambda: False",
}


@pytest.mark.parametrize("said", SAID)
def test_what_an_interpreter_lacks_is_a_config_error(home: Path, tmp_path: Path, said: str) -> None:
    assert home.exists()
    code = f"""
import sys
{SAID[said]}
import telemetry
try:
    telemetry.init(product={PRODUCT!r}, catalog={str(write_catalog(tmp_path))!r}, endpoint={ENDPOINT!r}, consent="on")
except telemetry.ConfigError as fault:
    assert {said!r} in str(fault), fault
    telemetry.emit("started")
else:
    raise SystemExit("no error")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("strict", [False, True])
def test_in_a_subinterpreter_nothing_but_a_config_error_is_raised(home: Path, tmp_path: Path, *, strict: bool) -> None:
    """Where pyzmq loads in one, as under Python 3.11, it works there."""
    assert home.exists()
    catalog = str(write_catalog(tmp_path))
    inner = f"""
import telemetry
try:
    telemetry.init(product={PRODUCT!r}, catalog={catalog!r}, endpoint={ENDPOINT!r}, consent="on", strict={strict})
except telemetry.ConfigError as fault:
    assert "None" not in str(fault), fault
telemetry.emit("started")
telemetry.close()
"""
    code = f"""
import importlib
for name in ("_interpreters", "_xxsubinterpreters"):
    try:
        interpreters = importlib.import_module(name)
        break
    except ImportError:
        pass
fault = interpreters.run_string(interpreters.create(), {inner!r})
assert fault is None, fault
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("module", ["zmq", "msgspec", "json", "fcntl", "uuid"])
def test_a_file_found_in_the_place_of_a_module_is_named(home: Path, tmp_path: Path, module: str) -> None:
    shadow = tmp_path / f"{module}.py"
    shadow.write_text("")
    script = tmp_path / "host.py"
    script.write_text(f"""
import telemetry
try:
    telemetry.init(product={PRODUCT!r}, catalog={str(write_catalog(tmp_path))!r}, endpoint={ENDPOINT!r}, consent="on")
except telemetry.ConfigError as fault:
    assert {str(shadow)!r} in str(fault) and "rename" in str(fault), fault
else:
    raise SystemExit("no error")
""")
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert not list(home.glob("state/*/*/*.sock")), "no shipper was started"
