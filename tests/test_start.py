"""With what a shipper is started: clean of the host's interpreter settings and hooks, by its path as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from telemetry.producer.start import plan_start

if TYPE_CHECKING:
    from pathlib import Path

PLAN = "import json, sys; from telemetry.producer.start import plan_start; print(json.dumps(plan_start('')))"

HOOK = "import os, sys; hook = open(os.environ['HOME'] + '/ran', 'a'); hook.write(' '.join(sys.orig_argv) + '\\n')"


def _plan(*options: str, code: str = PLAN, **environment: str) -> tuple[list[str], dict[str, str]]:
    output = subprocess.check_output([sys.executable, *options, "-c", code], text=True, env=os.environ | environment)
    command, told = json.loads(output)
    return command, told


def _run(command: list[str], environment: dict[str, str], code: str) -> Any:
    """What a process that is started like a shipper says."""
    until = command.index("-m")
    return json.loads(subprocess.check_output([*command[:until], "-c", code], text=True, env=environment))


def test_no_hook_of_the_host_runs_in_its_shipper(tmp_path: Path) -> None:
    """As `ddtrace-run` puts one in: a sitecustomize that opens descriptors."""
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    command, environment = _plan(PYTHONPATH=str(tmp_path), HOME=str(tmp_path), PYTHONSTARTUP="x", PYTHONINSPECT="")
    assert {name for name in environment if name.startswith("PYTHON")} == {"PYTHONPATH"}
    before = (tmp_path / "ran").read_text()
    assert before, "in the host it does"
    assert _run(command, environment, "import json, sys; print(json.dumps('site' in sys.modules))") is False
    assert (tmp_path / "ran").read_text() == before


@pytest.mark.parametrize("option", ["-I", "-E"])
def test_what_a_host_was_told_to_ignore_its_shipper_ignores(option: str, tmp_path: Path) -> None:
    _, environment = _plan(option, PYTHONHOME="/nowhere", PYTHONPATH=str(tmp_path))
    assert "PYTHONHOME" not in environment
    assert str(tmp_path) not in environment["PYTHONPATH"].split(os.pathsep)


def test_the_path_goes_along_as_the_host_has_built_it(tmp_path: Path) -> None:
    built = f"import sys; sys.path.insert(1, {str(tmp_path)!r}); sys.path.append('relative'); {PLAN}"
    command, environment = _plan(code=built)
    told = environment["PYTHONPATH"].split(os.pathsep)
    assert str(tmp_path) in told
    assert os.path.abspath("relative") in told  # noqa: PTH100 as a string of a path
    found = _run(command, environment, "import json, sys, telemetry, zmq; print(json.dumps(sys.path))")
    assert found[: len(told)] == told


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """What has the name of an interpreter and is none of this one's."""
    file = tmp_path / "python3"
    file.touch(0o700)
    return file


def test_another_interpreter_has_a_standard_library_of_its_own(tmp_path: Path, other: Path) -> None:
    code = PLAN.replace("''", repr(str(other)))
    (command, environment), (_, own) = _plan(code=code, PYTHONPATH=str(tmp_path)), _plan(PYTHONPATH=str(tmp_path))
    assert command[0] == str(other)
    left_out = set(own["PYTHONPATH"].split(os.pathsep)) - set(environment["PYTHONPATH"].split(os.pathsep))
    stdlib = sysconfig.get_path("stdlib")
    assert {stdlib, f"{stdlib}/lib-dynload"} <= left_out
    assert len(left_out) == 3  # and the zip
    assert str(tmp_path) in environment["PYTHONPATH"].split(os.pathsep)


def test_the_home_of_the_hosts_interpreter_is_not_anothers(other: Path) -> None:
    environ = {"PYTHONHOME": "/host"}
    assert "PYTHONHOME" in plan_start(os.path.realpath(sys.executable), environ).environment
    assert "PYTHONHOME" not in plan_start(str(other), environ).environment


def test_a_module_beside_the_hosts_script_stands_in_no_library_s_way(tmp_path: Path) -> None:
    (tmp_path / "requests.py").write_text("raise ImportError('the wrong one')")
    (tmp_path / "acme.py").write_text(PLAN)
    output = subprocess.check_output([sys.executable, str(tmp_path / "acme.py")], text=True)
    command, environment = json.loads(output)
    assert environment["PYTHONPATH"].split(os.pathsep)[-1] == str(tmp_path)
    _run(command, environment, "import json, requests; print(json.dumps(None))")


def test_the_environment_holds_none_of_the_hosts_secrets() -> None:
    environ = {
        "AWS_SECRET_ACCESS_KEY": "s",
        "HOME": "/h",
        "HTTPS_PROXY": "p",
        "TELEMETRY_TOKEN": "t",
        "LD_PRELOAD": "x",
    }
    told = plan_start("", environ).environment
    assert told.keys() == {"HOME", "HTTPS_PROXY", "TELEMETRY_TOKEN", "TELEMETRY_SHIPPER", "PYTHONPATH"}
