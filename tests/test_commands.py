"""The command line as a whole: help, examples, suggestions, completion, and where settings come from."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from conftest import CATALOG, wait_until

import telemetry
from telemetry.cli.commands import commands
from telemetry.cli.completion import SHELLS
from telemetry.cli.examples import EXAMPLES
from telemetry.cli.status import gather
from telemetry.collector.store import Store
from telemetry.consent import State, read_stored
from telemetry.consent.stored import store_choice
from telemetry.paths import product_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result
    from conftest import StartHost


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, arguments, prog_name="telemetry")


def leaves(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            yield from leaves(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_each_command_has_examples_in_its_help() -> None:
    known = dict(leaves(commands))
    assert set(known) == set(EXAMPLES)
    for name in known:
        printed = run("help", *name.split()).output
        assert all(example in printed for example in EXAMPLES[name]), name


@pytest.mark.parametrize("example", [example for of in EXAMPLES.values() for example in of])
def test_an_example_is_a_call_that_its_command_takes(example: str) -> None:
    """As far as its words tell: nothing is run."""
    words = shlex.split(re.split(r" [|>] ", example.removeprefix("source <(").removesuffix(")"))[0])
    if "redact" in example or words[1] in {"ship", "help"}:
        pytest.skip("parsed by itself, or by none")
    command: Any = commands
    context = click.Context(command, info_name="telemetry")
    words = words[1:]
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        context = click.Context(command, context, name)
    params = [param for param in command.params if isinstance(param, click.Option)]
    known = {option for param in params for option in param.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_help_lists_all_and_tells_of_a_slip() -> None:
    assert "doctor" in run("help").output
    assert run("help", "spool", "lss").exit_code == 2
    assert "'ls'" in run("help", "spool", "lss").output
    assert "has no commands" in run("help", "status", "x").output
    assert run("help", "help").exit_code == 0


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        pytest.param(["staus"], "did you mean status?", id="a command"),
        pytest.param(["shp"], "did you mean ship?", id="a fast one"),
        pytest.param(["spool", "verfy"], "'verify'", id="a command of a group"),
        pytest.param(["status", "--prodcut", "x"], "'--product'", id="an option"),
        pytest.param(["xyzzy"], "it may be one of catalog,", id="nothing near"),
    ],
)
def test_a_slip_is_answered_by_what_was_meant(call: list[str], meant: str) -> None:
    done = run(*call)
    assert done.exit_code == 2
    assert meant in done.output


@pytest.mark.parametrize("call", ["help", "report --help", "--version"])
def test_output_that_finds_no_room_is_told_in_a_line(call: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 a device
        command = [sys.executable, "-m", "telemetry", *call.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("telemetry: No space left on device: make room")
    assert done.stderr.count("\n") == 1


def test_version_is_that_of_the_distribution() -> None:
    assert re.fullmatch(r"telemetry, version \d+\.\d+\.\d+\n", run("--version").output)


def completed(shell: str, *words: str) -> str:
    environment = {
        **os.environ,
        "_TELEMETRY_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": shlex.join(["telemetry", *words]),
        "COMP_CWORD": str(len(words)) if shell != "fish" else words[-1],
    }
    command = [sys.executable, "-m", "telemetry"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_options_products_and_batches(
    shell: str, home: Path, start_host: StartHost, refusing: str
) -> None:
    assert home.exists()
    host = start_host(refusing)
    host.emit(1)
    host.leave()
    (spool,) = product_dir("acme-db").glob("spool-*")
    wait_until(lambda: [*spool.glob("*/*.zst")])
    (batch,) = [path.name.partition(".")[0] for path in spool.glob("*/*.zst")]

    assert "technical" in completed(shell, "te")
    assert "--product" in completed(shell, "status", "--pr")
    assert "acme-db" in completed(shell, "status", "--product", "ac")
    id_ = batch.rpartition("-")[2]
    assert id_ in completed(shell, "preview", "--batch", id_[:4])


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_is_one_that_it_takes(shell: str, tmp_path: Path) -> None:
    script = run("completion", shell)
    assert script.exit_code == 0
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    file = tmp_path / "script"
    file.write_text(script.output)
    subprocess.run([shell, "-n", file], check=True)


def test_off_of_all_is_stored_for_each_product(home: Path) -> None:
    assert home.exists()
    for product in ("acme-db", "zebra"):
        store_choice(product, State.ON, 1.0)
    done = run("off", "--all", "--json")

    assert [json.loads(line)["product"] for line in done.output.splitlines()] == ["acme-db", "zebra"]
    assert {read_stored(product).choice for product in ("acme-db", "zebra")} == {State.OFF}
    assert run("off", "--all", "--product", "zebra").exit_code == 2


def test_off_of_all_with_none_known_says_what_to_do(home: Path) -> None:
    assert home.exists()
    done = run("off", "--all")
    assert done.exit_code == 2
    assert "--product NAME" in done.output


def test_a_mistyped_product_is_answered_by_the_one_that_is_known(home: Path) -> None:
    assert home.exists()
    store_choice("acme-db", State.ON, 1.0)
    assert "Did you mean acme-db?" in run("off", "--product", "acme-dbb").output


def test_a_misspelt_setting_is_a_config_error_with_what_was_meant() -> None:
    with pytest.raises(telemetry.ConfigError, match=r"segment_second is not a setting .* did you mean segment_seconds"):
        telemetry.ShipperSettings(segment_second=1.0)  # type: ignore[call-arg] # that is the slip
    with pytest.raises(telemetry.ConfigError, match="it may be one of format, "):
        telemetry.ShipperSettings(xyzzy=1.0)  # type: ignore[call-arg] # the same


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shipper.toml"
    path.write_text(
        'product = "acme-db"\ncatalog = "acme.toml"\nendpoint = "https://t.acme.example/v1"\n'
        'segment_seconds = 5.0\nretry_min_seconds = 2.0\nproxy = "http://proxy.example"\n'
    )
    return path


def test_each_setting_tells_where_it_comes_from(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.exists()
    monkeypatch.setenv("TELEMETRY_SEGMENT_SECONDS", "7")
    monkeypatch.setenv("TELEMETRY_IS_TEST", "1")
    done = run("config", "show", "--config", str(file), "--json")
    told = {row["name"]: (row["value"], row["source"]) for row in map(json.loads, done.output.splitlines())}

    assert told["segment_seconds"] == (7.0, "TELEMETRY_SEGMENT_SECONDS")
    assert told["is_test"] == (True, "TELEMETRY_IS_TEST")
    assert told["retry_min_seconds"] == (2.0, str(file))
    assert told["spool_bytes"] == (256 << 20, "default")
    assert told["proxy"] == ("...", str(file))
    assert set(told) == set(telemetry.ShipperSettings._fields)
    assert f"# {file}" in run("config", "show", "--config", str(file)).output


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("TELEMETRY_SEGMENT_SECONDS", "soon", "must be a number"),
        ("TELEMETRY_SPOOL_BYTES", "1e6", "must be a whole number"),
        ("TELEMETRY_ALLOW_HTTP", "yes", "must be 0 or 1"),
        ("TELEMETRY_RETRY_MIN_SECONDS", "-1", "must not be negative"),
    ],
)
def test_a_wrong_variable_is_told(
    file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, what: str
) -> None:
    assert home.exists()
    monkeypatch.setenv(variable, value)
    done = run("config", "show", "--config", str(file))
    assert done.exit_code == 2
    assert what in done.output


def test_what_hosts_have_said_is_shown_too(home: Path, start_host: StartHost, refusing: str) -> None:
    assert home.exists()
    start_host(refusing).emit(1)
    done = run("config", "show", "--json")
    told = {row["name"]: row["source"] for row in map(json.loads, done.output.splitlines())}
    assert (told["segment_seconds"], told["spool_bytes"]) == ("init(shipper=...)", "default")


def test_hosts_read_the_environment(
    home: Path, start_host: StartHost, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.exists()
    monkeypatch.setenv("TELEMETRY_SPOOL_SEGMENTS", "77")
    start_host(refusing).emit(1)
    monkeypatch.delenv("TELEMETRY_SPOOL_SEGMENTS")
    done = run("config", "show", "--json")
    told = {row["name"]: (row["value"], row["source"]) for row in map(json.loads, done.output.splitlines())}
    assert told["spool_segments"] == (77, "TELEMETRY_SPOOL_SEGMENTS")


def test_a_variable_that_cannot_be_used_is_why_no_shipper_starts_and_the_host_goes_on(
    home: Path, start_host: StartHost, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.exists()
    monkeypatch.setenv("TELEMETRY_SPOOL_SEGMENTS", "many")
    start_host(refusing)
    wait_until(lambda: gather("acme-db")["shipper"]["refused"])
    assert (
        "TELEMETRY_SPOOL_SEGMENTS: spool_segments = 'many' must be of type int"
        in (gather("acme-db")["shipper"]["refused"])
    )


WITHOUT_JSON = {
    "catalog docs": "it writes a page",
    "catalog json": "it writes JSON",
    "catalog stubs": "it writes a module",
    "collect": "it prints JSON",
    "completion": "it writes a script",
    "help": "it prints help",
    "metrics": "it prints OpenMetrics",
    "redact": "has it, and is not parsed by click",
    "ship": "prints nothing",
    "spool cat": "it prints JSON",
    "tail": "it prints JSON",
    "top": "it is a screen",
}


def test_every_command_prints_json_when_asked_but_those_that_write_something_else() -> None:
    found = {
        path for path, command in leaves(commands) if not any("--json" in option.opts for option in command.params)
    }
    assert found == set(WITHOUT_JSON)


def test_keys_and_templates_print_json(tmp_path: Path) -> None:
    told = json.loads(run("keys", str(tmp_path / "key"), "--json").output)
    assert told == {"file": str(tmp_path / "key"), "line": (tmp_path / "key.pub").read_text().strip()}
    (tmp_path / "acme.py").write_text("import logging\nlogging.info('no route to %s', x)\nlogging.info('%s', x)\n")
    told = json.loads(run("catalog", "templates", str(tmp_path / "acme.py"), "--json").output)
    assert told == {"messages": {"acme.py": [{"line": 2, "template": "no route to {x}"}]}, "left_out": 0}


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["query", "SELECT 1 AS one", "--store", "store"],
        ["query", "SELECT 'a' AS word, 1 AS number", "--store", "store", "--format", "bar"],
        ["report", "--store", "store"],
        ["catalog", "check", "acme.toml"],
        ["doctor", "--product", "acme-db"],
    ],
    ids=" ".join,
)
def test_on_a_terminal_no_color_is_heeded(
    home: Path, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.exists()
    Store(tmp_path / "store").close()
    (tmp_path / "acme.toml").write_text(CATALOG)
    monkeypatch.chdir(tmp_path)
    ours, theirs = pty.openpty()
    environ = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    with subprocess.Popen(
        [sys.executable, "-m", "telemetry", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as command:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the terminal is gone with its last process
            while data := os.read(ours, 1 << 16):
                shown += data
    os.close(ours)
    assert shown or command.returncode
    coloured = [code for codes in re.findall(rb"\x1b\[([0-9;]*)m", shown) for code in codes.split(b";")]
    assert not {code for code in coloured if code[:1] in {b"3", b"4", b"9"} and len(code) == 2}


def test_without_a_host_and_a_file_it_says_what_to_do(home: Path) -> None:
    assert home.exists()
    assert "--config FILE" in run("config", "show", "--product", "acme-db").output


SECOND = """
import sys, telemetry
def init(**options):
    telemetry.init(**{"product": "acme-db", "catalog": sys.argv[1], "endpoint": "https://t.acme.example/v1", **options})
init()
init()
try:
    init(endpoint="https://u.acme.example/v1", strict=bool(int(sys.argv[2])))
except telemetry.ConfigError as fault:
    print(fault)
"""


@pytest.mark.parametrize("strict", ["0", "1"])
def test_a_second_init_that_says_something_else_is_told(home: Path, tmp_path: Path, strict: str) -> None:
    assert home.exists()
    catalog = tmp_path / "acme.toml"
    catalog.write_text('[catalog]\nproduct = "acme-db"\nversion = 1\n')
    environment = {**os.environ, "TELEMETRY_DEBUG": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SECOND, catalog, strict], env=environment, capture_output=True, text=True, check=True
    )
    where = done.stdout if strict == "1" else done.stderr
    assert where.count("init() was called before with another endpoint") == 1
