"""What an extra brings is asked for by the name of the extra where it is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from telemetry.shipper.delivery.sink import _SINKS

ROOT = Path(__file__).parents[1]

WITHOUT = """
import sys
missing, *sys.argv[1:] = sys.argv[1:]
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == missing:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing())
from telemetry.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("rich", ["demo"]),
        ("duckdb", ["query", "SELECT 1", "--store", "store"]),
        ("prometheus_client", ["collect", "--listen", "127.0.0.1:0", "--store", "store"]),
    ],
)
def test_a_command_names_what_is_not_installed_and_how_to_install_it(missing: str, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing, *command], capture_output=True, text=True, timeout=60, check=False
    )

    assert (bool(done.returncode), done.stdout) == (True, "")
    assert f"{missing} is not installed; run: pip install 'telemetry-shipper[collector]'" in done.stderr


def test_the_format_of_risingwave_names_its_extra() -> None:
    code = "import sys; sys.modules['google.protobuf'] = None\n"
    code += "from telemetry.shipper.encode import open_format\nopen_format('risingwave', 'meta')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (
        "ConfigError: the format 'risingwave' needs protobuf; run: pip install 'telemetry-shipper[risingwave]'"
        in done.stderr
    )


def test_whoever_is_told_to_install_it_is_told_its_name_and_an_extra_that_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*(ROOT / "telemetry").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "telemetry").rglob("*.md")]
    said = [told for file in texts for told in re.findall(r"pip install '([^']*)'", file.read_text(encoding="utf-8"))]

    said += [f"telemetry-shipper[{row.extra}]" for row in _SINKS.values() if row.extra]
    parts = [re.fullmatch(r"([^\[]*)(?:\[(.*)\])?", told) for told in said if "{" not in told]
    assert {part[1] for part in parts if part} <= {project["name"], "."}
    extras = {extra for part in parts if part and part[2] for extra in part[2].split(",")}
    assert extras <= project["optional-dependencies"].keys()
    assert len(said) > 2


def test_the_version_is_that_of_the_distribution(tmp_path: Path) -> None:
    """`telemetry` is another project in the index: its version must not be told as ours."""
    for name, version in (("telemetry", "0.0.1"), ("telemetry_shipper", "9.8.7")):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    code = "from telemetry.shipper.delivery.http_sink import USER_AGENT; print(USER_AGENT)"
    for command in (["-m", "telemetry", "--version"], ["-c", code]):
        done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)
        assert "9.8.7" in done.stdout


def test_the_wheel_has_the_data_that_commands_read_and_no_picture(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("telemetry_shipper-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    data = {file.relative_to(ROOT) for file in (ROOT / "telemetry").rglob("*.*") if "__pycache__" not in file.parts}
    assert {str(file) for file in data if file.suffix != ".svg"} <= names
    assert not [name for name in names if name.endswith(".svg")]
