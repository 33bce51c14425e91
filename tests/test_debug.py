"""`TELEMETRY_DEBUG=1`: what would be sent is printed, and nothing is sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from conftest import Collector, made_in, wait_until

from telemetry.debug import PREFIX
from telemetry.settings import is_debugging

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.failed]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.failed.fields]
number = { type = "int", purpose = "tests" }
table = { type = "identifier", purpose = "tests" }
statement = { type = "sql", purpose = "tests" }

[events.opened]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "interaction"

[events.old]
purpose = "tests"
owner = "tests"
expires = "2020-12-31"
sensitivity = "technical"

[events.calls]
kind = "counter"
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
"""

DETAIL = """
[events.failed.fields.detail]
type = "text"
max_length = 60
purpose = "tests"
"""

INIT = """
import os, sys, telemetry
client = telemetry.init(
    product="acme-db", catalog=os.environ["CATALOG"], endpoint=os.environ.get("ENDPOINT", "http://127.0.0.1:9/v1"),
    **eval(os.environ.get("OPTIONS", "{'consent': 'on'}")),
)
emit, count = telemetry.emit, telemetry.count
"""


@pytest.fixture(autouse=True)
def _debugging(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.exists()
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    monkeypatch.setenv("CATALOG", str(catalog))
    monkeypatch.setenv("TELEMETRY_DEBUG", "1")


@pytest.fixture
def _text(tmp_path: Path) -> None:
    """A catalog that declares free text; its scanner takes a second to make."""
    (tmp_path / "acme.toml").write_text(CATALOG + DETAIL)


def _run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", INIT + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environ})


def _lines(stderr: str) -> list[str]:
    assert all(line.startswith(PREFIX) for line in stderr.splitlines()), stderr
    return [line.removeprefix(PREFIX) for line in stderr.splitlines()]


def _events(stderr: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lines(stderr) if not line.startswith("#")]


def _remarks(stderr: str) -> list[str]:
    """All but the first two, which say what the consent is, and what this is."""
    return [line for line in _lines(stderr) if line.startswith("#")][2:]


@pytest.mark.usefixtures("_text")
def test_an_event_is_printed_as_it_would_go_with_what_was_done_to_it() -> None:
    result = _run(
        "emit('failed', number=1, table='canary_table', detail='mail bob@acme.example or 10.1.17.3', foo=1)\n"
        "emit('failed', number='x', detail='x' * 61)\n"
    )
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.startswith("[telemetry] # acme-db: consent is on (host)\n")
    first, second = _events(result.stderr)
    assert (first["event"], first["number"], first["detail"]) == ("failed", 1, "mail [email] or [ip]")
    assert second.keys() == {"event", "time", "session"}
    assert "canary" not in result.stderr
    assert _remarks(result.stderr) == [
        "# failed: 'foo' removed (undeclared); table by identifier; detail by email, ip",
        "# failed: number removed (invalid); detail removed (invalid)",
    ]
    assert "acme-db would send this; TELEMETRY_DEBUG is set, so nothing is" in result.stderr


def test_what_is_dropped_is_named_with_its_reason() -> None:
    result = _run(
        "emit('faild', detail='canary')\n"
        "emit('\\x1b[31m' * 100)\n"
        "emit('old')\n"
        "emit('failed', number=object())\n"
        "deep = []\nfor _ in range(400):\n    deep = [deep]\n"
        "emit('failed', number=deep)\nemit(5)\nemit('failed', **{'a\\nb': 1})\n"
        "telemetry.flush()\n"
        "emit('failed', number=2)\n"
    )
    assert [event.get("number") for event in _events(result.stderr)] == [None, None, None, 2]
    assert _remarks(result.stderr) == [
        "# dropped: 'faild' (undeclared)",
        "# dropped: " + repr("\x1b[31m" * 100)[:1] + "\\x1b[31m" * 12 + "\\x1b[31' (undeclared)",
        "# dropped: 'old' (expired)",
        "# failed: number removed (unencodable)",
        "# failed: number removed (unencodable)",
        "# dropped: '5' (invalid)",
        "# failed: 'a\\nb' removed (undeclared)",
    ]


@pytest.mark.usefixtures("_text")
def test_it_is_what_a_shipper_sends(collector: Collector) -> None:
    code = (
        "for text in ['fine', 'from 10.1.17.3', 'x' * 61, 'at /srv/canary/file', 'user=bob password=hunter2']:\n"
        "    emit('failed', detail=text, statement=f'select 1 from canary where a = {text!r}', number='x')\n"
        "emit('nothing')\n"
        "count('calls', 3)\n"
        "telemetry.flush(20.0)\n"
    )
    printed = _events(_run(code).stderr)
    _run(code, TELEMETRY_DEBUG="0", ENDPOINT=collector.endpoint)
    wait_until(lambda: list(collector.store.glob("batches/*.ndjson.zst")))
    (stored,) = collector.store.glob("batches/*.ndjson.zst")
    sent = zstandard.ZstdDecompressor().decompressobj().decompress(stored.read_bytes()).splitlines()

    def told(event: dict[str, Any]) -> str:
        return json.dumps({name: value for name, value in event.items() if name not in {"session", "time"}})

    assert sorted(map(told, printed)) == sorted(told(json.loads(line)) for line in sent)
    assert len(sent) == 6


HOOK = """
import os, sys
def hook(event, args):
    if event.startswith(("socket.", "subprocess.", "os.posix_spawn", "os.fork", "os.mkdir", "os.rename")):
        print(event)
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        print(event, args)
sys.dont_write_bytecode = True
sys.addaudithook(hook)
"""


@pytest.mark.usefixtures("_text")
def test_no_socket_no_child_no_thread_of_zeromq_and_no_file(home: Path) -> None:
    code = (
        "emit('failed', detail='from 10.1.17.3')\n"
        "telemetry.flush()\n"
        "import psutil\n"
        "process = psutil.Process()\n"
        "print(process.net_connections('all'), process.children(), process.num_threads() <= 2, process.num_fds())\n"
    )
    result = subprocess.run([sys.executable, "-c", HOOK + INIT + code], capture_output=True, text=True, check=False)
    assert len(_events(result.stderr)) == 1
    connections, children, few_threads, descriptors = result.stdout.split()
    assert (connections, children, few_threads) == ("[]", "[]", "True")
    assert int(descriptors) <= 4  # the last one is that of the question
    assert not made_in(home)


def test_with_consent_off_nothing_is_printed_and_nothing_loaded() -> None:
    code = "emit('failed', number=1)\nprint({'zmq', 'msgpack', 'msgspec'} & sys.modules.keys())\n"
    for off, rule in (
        ({"OPTIONS": "{'consent': 'off'}"}, "host"),
        ({"DO_NOT_TRACK": "1"}, "DO_NOT_TRACK=1"),
        ({"OPTIONS": "{}"}, "deployment unknown"),
    ):
        result = _run(code, **off)
        assert (result.stdout, result.stderr) == ("set()\n", f"[telemetry] # acme-db: consent is off ({rule})\n")


def test_with_consent_local_it_says_that_nothing_would_leave() -> None:
    result = _run("emit('failed', number=1)\n", OPTIONS="{'consent': 'local'}")
    assert len(_events(result.stderr)) == 1
    assert "would keep this on this machine and never send it; TELEMETRY_DEBUG" in result.stderr


def test_with_consent_technical_it_says_which_events_would_stay() -> None:
    result = _run("emit('failed', number=1)\nemit('opened')\n", OPTIONS="{'consent': 'technical'}")
    lines = [line.removeprefix("[telemetry] ") for line in result.stderr.splitlines()]
    assert any("would send what is technical of this; TELEMETRY_DEBUG" in line for line in lines)
    (failed, opened) = [at for at, line in enumerate(lines) if line.startswith("{")]
    assert opened == failed + 1
    assert "never sent" in lines[opened + 1]
    assert len(lines) == opened + 2


def test_the_notice_is_left_for_the_day_on_which_something_leaves(home: Path) -> None:
    result = _run(
        "emit('failed', number=1)\n",
        OPTIONS="{'deployment': 'cloud', 'notice': print}",
        PYTEST_CURRENT_TEST="",
        PYTEST_VERSION="",
    )
    assert (result.stdout, len(_events(result.stderr))) == ("", 1)
    assert not made_in(home)


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("yes", True), ("", False), ("0", False), (None, False)])
def test_any_value_but_nothing_and_0_turns_it_on(
    monkeypatch: pytest.MonkeyPatch, value: str | None, *, wanted: bool
) -> None:
    monkeypatch.delenv("TELEMETRY_DEBUG")
    if value is not None:
        monkeypatch.setenv("TELEMETRY_DEBUG", value)
    assert is_debugging() is wanted


def test_when_it_is_not_set_none_of_it_is_loaded() -> None:
    code = "print({'telemetry.debug', 'telemetry.shipper.intake', 'hyperscan'} & sys.modules.keys())\n"
    assert _run(code, TELEMETRY_DEBUG="0").stdout == "set()\n"


def test_all_is_printed_in_order_by_the_end_of_the_process() -> None:
    result = _run("for number in range(3000):\n    emit('failed', number=number)\ncount('calls', 3)\n")
    *events, last = _events(result.stderr)
    assert [event["number"] for event in events] == list(range(3000))
    assert (last["event"], last["count"]) == ("calls", 3)


def test_flush_prints_what_waits() -> None:
    result = _run(
        "for number in range(300):\n    emit('failed', number=number)\n"
        "print(telemetry.flush())\nsys.stdout.flush()\nos._exit(0)\n"
    )
    assert (result.stdout, len(_events(result.stderr))) == ("True\n", 300)


def test_threads_lose_nothing() -> None:
    result = _run(
        "from threading import Thread\n"
        "threads = [Thread(target=lambda n=n: [emit('failed', number=n * 1000 + i) for i in range(500)])\n"
        "           for n in range(8)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]\n"
    )
    numbers = [event["number"] for event in _events(result.stderr)]
    assert sorted(numbers) == [n * 1000 + i for n in range(8) for i in range(500)]
    for n in range(8):
        own = [number for number in numbers if number // 1000 == n]
        assert own == sorted(own)


@pytest.mark.parametrize("leave", ["sys.exit()", "pass"])
def test_a_forked_child_prints_its_own(leave: str) -> None:
    result = _run(
        "for number in range(3):\n    emit('failed', number=number)\n"
        f"if not os.fork():\n    emit('failed', number=10)\n    {leave}\n"
        "else:\n    os.wait()\n    emit('failed', number=20)\n"
    )
    numbers = [event.get("number") for event in _events(result.stderr)]
    assert sorted(number for number in numbers if number is not None) == [0, 1, 2, 10, 20]


def test_a_multiprocessing_child_prints_its_own() -> None:
    result = _run(
        "import multiprocessing\n"
        "child = multiprocessing.get_context('fork').Process(target=emit, args=('failed',), kwargs={'number': 10})\n"
        "child.start()\nchild.join()\nemit('failed', number=20)\n"
    )
    assert [event["number"] for event in _events(result.stderr)] == [10, 20]


def test_sigterm_prints_what_waits_and_ends_the_process() -> None:
    result = _run(
        "import signal\nfor number in range(300):\n    emit('failed', number=number)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n",
        OPTIONS="{'consent': 'on', 'handle_sigterm': True}",
    )
    assert result.returncode == -signal.SIGTERM
    assert len(_events(result.stderr)) == 300


@pytest.mark.parametrize(
    "harm",
    [
        "os.close(2)\n",
        "sys.stderr = None\n",
        "sys.stderr.close()\n",
        "import io\nsys.stderr = io.StringIO()\n",
        "read, write = os.pipe()\nos.dup2(write, 2)\nos.close(read)\n",
        "read, write = os.pipe()\nos.dup2(write, 2)\nos.set_blocking(2, False)\n",
    ],
    ids=["closed descriptor", "none", "closed", "no file", "nobody reads", "full"],
)
def test_a_stderr_that_takes_nothing_does_the_host_no_harm(harm: str) -> None:
    result = _run(
        f"emit('failed', number=0)\n{harm}"
        "for number in range(2000):\n    emit('failed', number=number)\n"
        "print(telemetry.flush(), flush=True)\nemit('failed', number=1)\ntelemetry.close()\nos._exit(0)\n"
    )
    assert (result.returncode, result.stdout) == (0, "True\n")


def test_a_notebook_gets_it_by_the_stream_it_has() -> None:
    result = _run("import io\nsys.stderr = io.StringIO()\nemit('failed', number=1)\nprint(sys.stderr.getvalue())\n")
    assert '"number":1' in result.stdout


def test_a_catalog_that_can_not_be_used_is_named_and_the_host_goes_on() -> None:
    with open(os.environ["CATALOG"], "a") as file:  # noqa: PTH123 a name is all there is
        file.write("[events.bad]\n")
    result = _run("emit('failed', number=1)\nprint(telemetry.flush())\n")
    assert (result.returncode, result.stdout) == (0, "True\n")
    assert _lines(result.stderr)[1].startswith("# nothing can be shown, and nothing would be sent: ")


def test_protobuf_is_printed_by_the_names_of_its_fields() -> None:
    options = "{'consent': 'on', 'shipper': telemetry.ShipperSettings(format='risingwave')}"
    (event,) = _events(_run("emit('failed', number=1)\n", OPTIONS=options).stderr)
    assert event["event_name"] == "failed"
    assert json.loads(event["attributes"]) == {"number": 1}


def test_a_shipper_does_not_pretend_to_print_instead_of_sending(tmp_path: Path) -> None:
    config = tmp_path / "ship.toml"
    config.write_text('product = "acme-db"\ncatalog = "acme.toml"\nendpoint = "http://127.0.0.1:9/v1"\n')
    command = [sys.executable, "-m", "telemetry", "ship", "--config", str(config)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, "unset it here" in result.stderr) == (2, True)


EARLY = """
import telemetry
telemetry.emit("failed", number=1)
telemetry.count("calls")
telemetry.emit("failed", number=2)
"""


@pytest.mark.parametrize("debug", ["1", "0"])
def test_what_is_emitted_before_init_is_told_once_and_only_in_debug_mode(debug: str) -> None:
    environment = {**os.environ, "TELEMETRY_DEBUG": debug}
    command = [sys.executable, "-c", EARLY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    told = "[telemetry] # 'failed' is discarded: emitted before init() or after close()\n"
    assert (done.stdout, done.stderr) == ("", told if debug == "1" else "")


def test_a_fact_for_reports_that_none_declares_is_named() -> None:
    result = _run(
        "emit('failed', number=1)\n",
        OPTIONS="{'consent': 'on', 'shipper': telemetry.ShipperSettings(report={'cpu_cuont': 1})}",
    )
    assert any("'cpu_cuont'; declare it there, or remove it" in line for line in _lines(result.stderr))
    assert len(_events(result.stderr)) == 1
