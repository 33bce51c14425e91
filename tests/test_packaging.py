"""What is distributed: a wheel and an sdist that install bare, the public interface, and files to deploy by."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import telemetry
from telemetry.cli.documentation import documentation
from telemetry.shipper.config import read_config

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "tools/deploy"

PUBLIC = {
    "bind": "(**fields)",
    "close": "(timeout=0.3)",
    "count": "(name, n=1, /, **fields)",
    "emit": "(name, /, **fields)",
    "flush": "(timeout=2.0, until='disk')",
    "freeze_support": "()",
    "init": (
        "(*, product, catalog, endpoint, deployment=None, consent=None, fields=None, strict=False, notice=None, "
        "packages=(), flush_interval_seconds=0.05, queue_bytes=33554432, handle_sigterm=False, shipper=None)"
    ),
    "observe": "(name, value, /, **fields)",
    "timer": "(name, /, **fields)",
}
"""The functions that programs call: an argument may come, at the end or by name; none may go or change its default but
by a release that says so."""

TYPES = {
    *("CatalogError", "Client", "ConfigError", "InvalidValueError", "RemoteShipper", "ShipperSettings"),
    *("TelemetryError", "Timer", "UndeclaredError"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the sdist, built of the sources alone."""
    place = tmp_path_factory.mktemp("built")
    code = f"from hatchling import build; build.build_wheel({str(place)!r}); build.build_sdist({str(place)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    return place


def test_the_public_interface_is_this() -> None:
    told = {name: str(re.sub(r": '[^']*'| -> '[^']*'", "", _signature(name))) for name in PUBLIC}
    assert told == PUBLIC
    assert {*telemetry.__all__} == {*PUBLIC, *TYPES}


def _signature(name: str) -> str:
    signature = inspect.signature(getattr(telemetry, name))
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def test_the_version_is_that_of_the_distribution() -> None:
    assert telemetry.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_wheel_holds_the_package_and_all_that_it_opens(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {f"telemetry/view/page/{file.name}" for file in (ROOT / "telemetry/view/page").iterdir()}
    assert inside | {"telemetry/py.typed", "telemetry/catalog/risingwave.toml"} <= names
    assert {name.split("/")[0] for name in names} == {
        "telemetry",
        next(n for n in names if "METADATA" in n).split("/")[0],
    }
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "telemetry").rglob("*.py")}
    shown = {chapter.place for chapter in documentation() if chapter.place.endswith(".md")}
    assert len(shown) > 5
    assert ours | shown <= names


def test_the_sdist_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    code = "from hatchling import build; build.build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (again,), (wheel,) = source.glob("*.whl"), built.glob("*.whl")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_wheel_installs_bare_and_works(built: Path, tmp_path: Path) -> None:
    """In an environment of its own, which takes the libraries from this one: no index is asked."""
    (wheel,) = built.glob("*.whl")
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    python = str(bare / "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    (site,) = bare.glob("lib/python*/site-packages")
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment |= {"TELEMETRY_HOME": str(tmp_path / "home")}
    alone = [python, "-c", "import telemetry; print(telemetry.__file__, telemetry.__version__)"]
    told = subprocess.run(alone, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert told.startswith(str(site))

    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "libraries.pth").write_text(here)  # behind its own
    command = [str(bare / "bin/telemetry"), "off", "--product", "acme-db"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "acme-db: off since" in done.stdout


def test_each_library_that_a_program_loads_is_asked_for() -> None:
    """By the wheel or one of its extras; integrations import what they are for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for name, listed in project["optional-dependencies"].items() if name != "dev" for each in listed]
    asked = {re.split(r"[^a-z0-9-]", each)[0].replace("-", "_") for each in [*project["dependencies"], *extras]}
    asked |= {"zmq", "google", "nats"}  # of pyzmq, protobuf and nats-py
    asked |= {"urllib3", "_sha2"}  # beneath requests, and the interpreter's own
    loaded = set()
    for file in (ROOT / "telemetry").rglob("*.py"):
        if "integrations" not in file.parts and file.name != "pytest_plugin.py":
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    loaded |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    loaded.add(node.module.split(".")[0])
    assert loaded - sys.stdlib_module_names - asked - {"telemetry"} <= {"pytest"}


# Files to deploy by.


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("there is no systemd-analyze here")
    text = (DEPLOY / "telemetry-shipper.service").read_text()
    unit = tmp_path / "telemetry-shipper.service"
    unit.write_text(text.replace("/opt/acme/bin/telemetry", f"{Path(sys.executable).parent}/telemetry"))
    done = subprocess.run([verify, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "telemetry-shipper" in line] == []


OF_A_SHIPPER = ("compose.yaml", "kubernetes.yaml", "supervisord.conf", "telemetry-shipper.service")


@pytest.mark.parametrize("file", [DEPLOY / name for name in OF_A_SHIPPER], ids=OF_A_SHIPPER)
def test_program_and_shipper_meet_in_one_place(file: Path) -> None:
    text = file.read_text()
    homes = re.findall(r"TELEMETRY_HOME(?:=|: |, value: )\"?([^\s}\"]+)", text)
    assert len(homes) >= 2
    assert len({*homes}) == 1
    assert re.search(r"telemetry\W+ship\W+--config\W+/etc/acme/ship.toml", text)


def test_the_sidecar_s_settings_are_ones_that_a_shipper_takes(tmp_path: Path) -> None:
    text = (DEPLOY / "kubernetes.yaml").read_text()
    for name in ("ship.toml", "acme.toml"):
        found = re.search(rf"  {name}: \|\n((?:    .*\n)+)", text)
        assert found
        (tmp_path / name).write_text(found[1].replace("    ", ""))
    assert read_config(tmp_path / "ship.toml").product == "acme-db"
    check = [sys.executable, "-m", "telemetry", "catalog", "check", str(tmp_path / "acme.toml")]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
