"""What an extra brings is asked for by the name of the extra where it is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    assert f"{missing} is not installed; run: pip install 'telemetry[collector]'" in done.stderr


def test_the_format_of_risingwave_names_its_extra() -> None:
    code = "import sys; sys.modules['google.protobuf'] = None\n"
    code += "from telemetry.shipper.encode import open_format\nopen_format('risingwave', 'meta')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (
        "ConfigError: the format 'risingwave' needs protobuf; run: pip install 'telemetry[risingwave]'" in done.stderr
    )
