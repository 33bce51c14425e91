"""The notice, and what evaluate makes of rules, stored choice and notice."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import pytest
from conftest import CATALOG, kill_shippers_of, shippers_of, wait_until
from spools import Endpoint

from telemetry import paths
from telemetry.consent import (
    NOTICE_VERSION,
    Decision,
    State,
    Stored,
    evaluate,
    read_stored,
    reconsider,
    show_notice,
    store_choice,
    store_notice,
)
from telemetry.consent.decide import _CI_VARIABLES
from telemetry.consent.notice import is_terminal, notice_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLICY = "https://acme.example/privacy"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEMETRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@contextmanager
def _terminal() -> Iterator[tuple[TextIO, Callable[[], str]]]:
    """A real terminal: the stream a host writes to, and what its user has seen since the last look."""
    user, host = pty.openpty()
    with os.fdopen(host, "w") as stream, os.fdopen(user, "rb") as screen:

        def seen() -> str:
            stream.write("END\n")  # the kernel hands text over in its own time: read up to a mark
            stream.flush()
            lines = iter(screen.readline, b"END\r\n")
            return b"".join(lines).decode()

        yield stream, seen


def _refuse(_text: str) -> None:
    raise RuntimeError("the host's window is gone")


def test_the_notice_says_what_and_where_and_how_to_say_no() -> None:
    shown: list[str] = []
    assert show_notice("acme", POLICY, callback=shown.append, stream=None)
    (text,) = shown
    for part in ("acme", "anonymous usage data", POLICY, "telemetry off --product acme", "DO_NOT_TRACK=1"):
        assert part in text


def test_a_notice_with_another_text_has_another_version() -> None:
    text = notice_text("acme", POLICY)
    assert (NOTICE_VERSION, hashlib.sha256(text.encode()).hexdigest()[:16]) == (1, "c22d2ccfa82addeb"), "raise both"


def test_the_notice_is_on_the_screen_before_anything_else_happens() -> None:
    class Screen(io.StringIO):
        shown = ""

        def isatty(self) -> bool:
            return True

        def flush(self) -> None:
            self.shown = self.getvalue()

    screen = Screen()
    assert show_notice("acme", POLICY, callback=None, stream=screen)
    assert screen.shown == notice_text("acme", POLICY) + "\n"


def test_a_closed_stream_is_no_terminal() -> None:
    with _terminal() as (stream, _):
        assert is_terminal(stream)
    assert not is_terminal(stream)


def test_without_a_policy_the_notice_names_the_status_command() -> None:
    shown: list[str] = []
    show_notice("acme", "", callback=shown.append, stream=None)
    assert "telemetry status --product acme" in shown[0]


def test_the_notice_is_shown_on_a_terminal() -> None:
    with _terminal() as (stream, seen):
        assert show_notice("acme", POLICY, callback=None, stream=stream)
        assert "telemetry off --product acme" in seen()


def test_a_callback_goes_before_the_terminal() -> None:
    shown: list[str] = []
    with _terminal() as (stream, seen):
        assert show_notice("acme", POLICY, callback=shown.append, stream=stream)
        assert seen() == ""
    assert len(shown) == 1


def test_a_callback_that_raises_has_shown_nothing() -> None:
    with _terminal() as (stream, seen):
        assert not show_notice("acme", POLICY, callback=_refuse, stream=stream)
        assert seen() == ""


def test_what_is_no_terminal_shows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("w") as stream:
        assert not show_notice("acme", POLICY, callback=None, stream=stream)
    assert file.read_bytes() == b""
    assert not show_notice("acme", POLICY, callback=None, stream=stream), "a closed stream"
    assert not show_notice("acme", POLICY, callback=None, stream=None)


# evaluate


def _cloud(
    *,
    callback: Callable[[str], None] | None = None,
    environ: dict[str, str] | None = None,
    stderr: TextIO | None = None,
) -> Decision:
    return evaluate(
        product="acme",
        host=None,
        deployment="cloud",
        callback=callback,
        environ=environ or {},
        stderr=stderr or io.StringIO(),
    )


def test_the_first_start_in_a_cloud_shows_the_notice_and_later_ones_do_not() -> None:
    with _terminal() as (stream, seen):
        expected = Decision(State.ON, "cloud default", "cloud-default", NOTICE_VERSION, "cloud")
        assert _cloud(stderr=stream) == expected
        assert seen().count("To say no") == 1
        assert _cloud(stderr=stream) == expected
        assert seen() == ""
    assert read_stored("acme").notice == NOTICE_VERSION


def test_a_cloud_that_can_show_nobody_the_notice_stays_local_and_writes_nothing(home: Path) -> None:
    assert _cloud() == Decision(State.LOCAL, "notice not shown", "none", 0, "cloud")
    assert not home.exists()


def test_a_notice_that_a_callback_failed_to_show_is_not_remembered() -> None:
    assert _cloud(callback=_refuse).state is State.LOCAL
    assert read_stored("acme") == Stored()
    assert _cloud(callback=lambda _text: None).state is State.ON


def test_the_policys_address_stands_in_the_notice() -> None:
    shown: list[str] = []
    evaluate(
        product="acme",
        host=None,
        deployment="cloud",
        callback=shown.append,
        environ={},
        policy_url=POLICY,
    )
    assert POLICY in shown[0]


def test_a_no_said_while_the_notice_stands_there_is_heard() -> None:
    decision = _cloud(callback=lambda _text: store_choice("acme", State.OFF, 1.8e9) and None)
    assert (decision.state, decision.rule) == (State.OFF, "stored choice")


def test_a_notice_that_cannot_be_remembered_counts_once_and_is_shown_again(home: Path) -> None:
    (home / "config" / "acme").mkdir(parents=True)
    (home / "config" / "acme").chmod(0o755)
    shown: list[str] = []
    for start in (1, 2):
        assert _cloud(callback=shown.append).state is State.ON
        assert len(shown) == start
    assert read_stored("acme").notice == 0


def test_a_notice_that_cannot_be_remembered_goes_on_to_count_in_its_process() -> None:
    decision = reconsider(product="acme", host=None, deployment="cloud", notice_shown=NOTICE_VERSION, environ={})
    assert decision
    assert (decision.state, decision.notice) == (State.ON, NOTICE_VERSION)


def test_where_it_may_not_be_shown_nothing_is_and_no_file_is_made(home: Path) -> None:
    shown: list[str] = []
    decision = evaluate(
        product="acme", host=None, deployment="cloud", callback=shown.append, environ={}, may_tell=False
    )
    assert (decision.state, shown) == (State.LOCAL, [])
    assert not home.exists()


def test_a_choice_damaged_while_the_notice_stands_there_is_a_no() -> None:
    def damage(_text: str) -> None:
        paths.consent_file("acme").write_bytes(b"\0")

    assert _cloud(callback=damage).state is State.OFF


@pytest.mark.parametrize(
    ("environ", "host", "deployment"),
    [
        pytest.param({"DO_NOT_TRACK": "1"}, "on", "cloud", id="hard no"),
        pytest.param({"CI": "true"}, None, "cloud", id="CI"),
        pytest.param({}, None, "self-hosted", id="self-hosted"),
        pytest.param({}, None, "enterprise", id="enterprise"),
        pytest.param({}, None, None, id="unknown"),
        pytest.param({}, "off", "cloud", id="host off"),
    ],
)
def test_off_shows_nothing_and_touches_no_file(
    environ: dict[str, str], host: str | None, deployment: str | None, home: Path
) -> None:
    shown: list[str] = []
    decision = evaluate(product="acme", host=host, deployment=deployment, callback=shown.append, environ=environ)
    assert decision.state is State.OFF
    assert shown == []
    assert not home.exists()


@pytest.mark.parametrize("choice", list(State))
def test_an_explicit_choice_needs_no_notice(choice: State) -> None:
    store_choice("acme", choice, 1.8e9)
    shown: list[str] = []
    decision = _cloud(callback=shown.append)
    assert (decision.state, decision.basis, decision.notice) == (choice, "stored", 0)
    assert shown == []


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    store_notice("acme", NOTICE_VERSION, 1.8e9)
    assert evaluate(product="acme", host=None, deployment="cloud", callback=None).rule == "DO_NOT_TRACK=1"


def test_while_another_process_shows_the_notice_this_one_stays_local_and_shows_nothing() -> None:
    second: list[Decision] = []
    shown: list[str] = []
    first = _cloud(callback=lambda _text: second.append(_cloud(callback=shown.append)))
    assert (first.state, second[0].state, shown) == (State.ON, State.LOCAL, [])
    assert _cloud(callback=shown.append).state is State.ON
    assert shown == []


def test_what_another_process_has_shown_while_this_one_took_its_turn_is_not_shown_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def after_another(product: str) -> Iterator[bool]:
        store_notice(product, NOTICE_VERSION, 1.8e9)
        yield True

    monkeypatch.setattr(sys.modules["telemetry.consent.evaluate"], "sole_teller", after_another)
    shown: list[str] = []

    assert (_cloud(callback=shown.append).state, shown) == (State.ON, [])


def _raise_notice(monkeypatch: pytest.MonkeyPatch, by: int) -> None:
    for module in ("decide", "evaluate"):
        monkeypatch.setattr(sys.modules[f"telemetry.consent.{module}"], "NOTICE_VERSION", NOTICE_VERSION + by)


def test_a_new_version_of_the_notice_is_shown_again_to_all_but_those_who_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    assert _cloud(callback=shown.append).notice == NOTICE_VERSION
    _raise_notice(monkeypatch, 1)
    assert _cloud().state is State.LOCAL, "there is nobody to show it to"
    assert _cloud(callback=shown.append).notice == NOTICE_VERSION + 1
    assert _cloud(callback=shown.append).state is State.ON
    assert len(shown) == 2
    store_choice("acme", State.ON, 1.8e9)
    _raise_notice(monkeypatch, 2)
    assert _cloud(callback=shown.append).notice == 0
    assert len(shown) == 2


def test_reconsidering_follows_what_is_stored_and_shows_nothing() -> None:
    def now(environ: dict[str, str] | None = None) -> State | None:
        decision = reconsider(product="acme", host=None, deployment="cloud", notice_shown=0, environ=environ or {})
        return decision and decision.state

    assert now() is State.LOCAL
    store_notice("acme", NOTICE_VERSION, 1.8e9)
    assert now() is State.ON
    assert now({"DO_NOT_TRACK": "1"}) is State.OFF
    store_choice("acme", State.LOCAL, 1.8e9)
    assert now() is State.LOCAL
    store_choice("acme", State.OFF, 1.8e9)
    assert now() is State.OFF
    paths.consent_file("acme").write_bytes(b"{")
    assert now() is None, "what held goes on, and the shipper stops in its place"


# With real processes.

PROGRAM = """
import json, os, sys, telemetry
for name in [name for name in os.environ if name.startswith("PYTEST_")]:
    del os.environ[name]  # this is no test of the program's own
init = json.loads(sys.argv[1])
if sys.argv[2] == "callback":
    init["notice"] = lambda text: print("SHOWN", flush=True)
if sys.argv[2] == "together":
    print("ready", flush=True)
    sys.stdin.readline()
    init["notice"] = lambda text: print("SHOWN", flush=True)
client = telemetry.init(**init)
print(client.consent.state.value, client.consent.basis, flush=True)
telemetry.emit("query_finished", duration_ms=1.0)
assert telemetry.flush(60)
"""


def _init(tmp_path: Path, endpoint: str, **more: str) -> str:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    arguments = {"product": "acme-db", "catalog": str(catalog), "endpoint": endpoint, "deployment": "cloud"}
    return json.dumps(arguments | more)


def _on_a_terminal(init: str, environ: dict[str, str]) -> tuple[str, str]:
    """What a program says, and what its user sees, on a terminal of its own."""
    user, host = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, init, ""]
    result = subprocess.run(
        command, env=os.environ | environ, stdout=subprocess.PIPE, stderr=host, text=True, check=True, timeout=60
    )
    os.write(host, b"END")
    seen = b""
    while not seen.endswith(b"END"):
        seen += os.read(user, 4096)
    os.close(host)
    os.close(user)
    return result.stdout.strip(), seen.decode().removesuffix("END")


def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in {*os.environ} & {*_CI_VARIABLES, "DO_NOT_TRACK", "TELEMETRY_DISABLED", "ACME_DB_TELEMETRY"}:
        monkeypatch.delenv(variable)


@pytest.fixture
def real_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home for real shippers; they are killed at the end."""
    _clean(monkeypatch)
    yield home
    kill_shippers_of(home)


def test_a_program_on_a_terminal_shows_the_notice_once_and_before_anything_leaves(
    real_home: Path, tmp_path: Path
) -> None:
    with Endpoint(decide=lambda _: 200 if read_stored("acme-db").notice == NOTICE_VERSION else 400) as endpoint:
        init = _init(tmp_path, endpoint.url)
        for seen_before in (0, 1):
            said, seen = _on_a_terminal(init, {})
            assert said == "on cloud-default"
            assert seen.count("To say no") == 1 - seen_before
            # A frame that comes to a shipper that is just leaving may be lost, and is counted: another test's matter.
            wait_until(lambda: not shippers_of(real_home))
        wait_until(lambda: sum(len(request.lines) for request in endpoint.requests) == 2)
        consent = {request.header("Telemetry-Consent") for request in endpoint.requests}
        assert consent == {f"level=on; basis=cloud-default; notice={NOTICE_VERSION}; deployment=cloud"}


@pytest.mark.parametrize(
    ("environ", "more", "said"),
    [
        pytest.param({}, {"consent": "on"}, "on host", id="an explicit yes"),
        pytest.param({"ACME_DB_TELEMETRY": "on"}, {}, "on environment", id="a yes in the environment"),
        pytest.param({"CI": "true"}, {}, "off none", id="CI"),
        pytest.param({"DO_NOT_TRACK": "1"}, {}, "off environment", id="a no"),
        pytest.param({}, {"deployment": "enterprise"}, "off none", id="enterprise"),
    ],
)
@pytest.mark.usefixtures("real_home")
def test_a_program_on_a_terminal_shows_nothing_where_no_notice_is_needed(
    environ: dict[str, str], more: dict[str, str], said: str, tmp_path: Path, refusing: str
) -> None:
    assert _on_a_terminal(_init(tmp_path, refusing, **more), environ) == (said, "")


def test_without_a_terminal_nothing_leaves_until_somebody_was_told(real_home: Path, tmp_path: Path) -> None:
    with Endpoint() as endpoint:
        command = [sys.executable, "-c", PROGRAM, _init(tmp_path, endpoint.url)]
        for way, said in [("", "local none"), ("callback", "SHOWN\non cloud-default"), ("", "on cloud-default")]:
            result = subprocess.run([*command, way], capture_output=True, text=True, check=True, timeout=60)
            assert (result.stdout.strip(), result.stderr) == (said, "")
            wait_until(lambda: not shippers_of(real_home))
        assert sum(len(request.lines) for request in endpoint.requests) == 2


@pytest.mark.usefixtures("real_home")
def test_of_programs_that_start_together_exactly_one_shows_the_notice(tmp_path: Path, refusing: str) -> None:
    command = [sys.executable, "-c", PROGRAM, _init(tmp_path, refusing), "together"]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    for program in started:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
    said = [program.communicate("go\n", timeout=60)[0] for program in started]
    assert sum(text.count("SHOWN") for text in said) == 1
    assert all(text.strip().splitlines()[-1] in {"on cloud-default", "local none"} for text in said)


def test_importing_and_saying_no_loads_nothing_heavy() -> None:
    program = (
        "import sys, json\n"
        "before = set(sys.modules)\n"
        "from telemetry.consent import evaluate\n"
        "evaluate(product='acme', host='off', deployment=None, callback=None)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))\n"
    )
    # -S: no site-packages, so whatever is not the standard library or ours could not be imported at all.
    root = str(paths.__file__).rpartition("/telemetry/")[0]
    child = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": root, "TELEMETRY_HOME": "/nonexistent"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    loaded = json.loads(child.stdout)
    assert "telemetry" in loaded
    heavy = {
        "dataclasses",
        "inspect",
        "logging",
        "subprocess",
        "tempfile",
        "datetime",
        "asyncio",
        "ssl",
        "socket",
    }
    assert not heavy.intersection(loaded)
