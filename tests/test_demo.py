"""`telemetry demo` as a real process, and its parts by themselves."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import psutil
import pytest
import zstandard

from telemetry.catalog.load import load
from telemetry.demo.children import private_home, scrubbed
from telemetry.demo.machine import (
    file_events,
    list_files,
    package_events,
    process_events,
    processes_as_events,
    roots,
    shuffled,
)
from telemetry.demo.producer import CATALOG, Word
from telemetry.demo.result import Result, Sample, Stored, read_stored, take_samples
from telemetry.demo.run import Plan, Run
from telemetry.inspect.account import Account
from telemetry.producer.exception import reduce_exception
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.shipper.encode import open_format
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import Frame, FrameContext
from telemetry.shipper.intake.session import Session
from telemetry.spool.tally import Tally
from telemetry.wire import MAX_FRAME_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from telemetry.demo.machine import Event

COMMAND = [sys.executable, "-m", "telemetry"]
KEYS = {
    "emitted", "delivered", "on_disk", "in_flight", "dropped", "fields_dropped", "redacted", "seconds",
    "events_per_second", "host_cpu_us_per_event", "shipper_cpu_us_per_event", "bytes_per_event", "store",
}  # fmt: skip
ENDLESS = "1000000000"
EMITTED = r"emitted [1-9]"
"""The first lines may say `emitted 0`: they come by the clock, and producers need a while to come up."""
SECONDS = 60.0


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A temporary directory with a path as short as that of the machine's own."""
    with tempfile.TemporaryDirectory(prefix="demo-") as directory:
        yield Path(directory)


@pytest.fixture
def fresh() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="demo-") as directory:
        yield Path(directory)


class Finished(NamedTuple):
    """One run of 20,000 events."""

    place: Path
    result: dict[str, Any]
    stderr: str


@pytest.fixture(scope="module")
def finished(place: Path) -> Finished:
    # What says no to a host of this machine says nothing to the demo.
    against = {"CI": "true", "DO_NOT_TRACK": "1", "DEMO_TELEMETRY": "off", "HTTP_PROXY": "http://127.0.0.1:9"}
    ended = subprocess.run(
        [*COMMAND, "demo", "--events", "20000", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(place) | against,
    )
    assert ended.returncode == 0, ended.stderr
    return Finished(place, json.loads(ended.stdout), ended.stderr)


def environment(place: Path) -> dict[str, str]:
    return scrubbed(os.environ) | {"TMPDIR": str(place)}


def inhabitants(place: Path) -> list[str]:
    """The processes whose home lies in `place`."""
    return [
        " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["environ", "cmdline"])
        if (process.info["environ"] or {}).get("TELEMETRY_HOME", "").startswith(str(place))
    ]


def left(place: Path) -> list[str]:
    """What lies in `place` but stores."""
    return [path.name for path in place.iterdir() if not path.name.startswith("telemetry-demo-store-")]


def ask(store: str, sql: str) -> list[Any]:
    answered = subprocess.run(
        [*COMMAND, "query", sql, "--store", store, "--json"], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in answered.stdout.splitlines()]


class Running:
    """A demo that would go on for hours."""

    def __init__(self, place: Path, *options: str) -> None:
        self.place = place
        self.process = subprocess.Popen(
            [*COMMAND, "demo", "--events", ENDLESS, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(place),
        )
        self._heard = b""

    def wait_for(self, pattern: str) -> None:
        """Until it has said so on stderr."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stderr, selectors.EVENT_READ)
            while not re.search(pattern.encode(), self._heard):
                assert time.monotonic() < deadline, self._heard
                assert self.process.poll() is None, self._heard
                if selector.select(1.0):
                    self._heard += os.read(self.process.stderr.fileno(), 1 << 16)

    def child(self, word: str) -> psutil.Process:
        """The child process that has `word` in its command."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if word in " ".join(child.cmdline()))

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout and all of stderr."""
        stdout, stderr = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, stdout.decode(), (self._heard + stderr).decode()


@contextlib.contextmanager
def running(place: Path, *options: str) -> Iterator[Running]:
    demo = Running(place, *options)
    try:
        yield demo
    finally:
        demo.process.kill()
        demo.process.communicate()


def test_it_prints_one_object_and_nothing_else(finished: Finished) -> None:
    assert finished.result.keys() >= KEYS


def test_every_event_is_accounted_for(finished: Finished) -> None:
    result = finished.result
    lost = sum(result["dropped"].values())
    assert result["emitted"] == 20_000 + result["aggregates"]
    assert result["emitted"] == result["delivered"] + result["on_disk"] + result["in_flight"] + lost
    assert result["delivered"] == result["emitted"] - lost
    assert result["aggregates"] > 0


def test_the_store_holds_what_was_delivered(finished: Finished) -> None:
    rows = ask(finished.result["store"], "SELECT event, count(*) AS n FROM events GROUP BY event")
    assert {row["event"]: row["n"] for row in rows} == finished.result["stored"]
    assert sum(row["n"] for row in rows) == finished.result["delivered"]


def test_the_counter_counts_what_the_single_events_tell(finished: Finished) -> None:
    assert finished.result["dropped"] == {}
    singles = "SELECT type, count(*) AS n FROM events WHERE event = 'token' GROUP BY type"
    counted = "SELECT type, sum(count)::BIGINT AS n FROM events WHERE event = 'tokens_seen' GROUP BY type"
    first, second = (
        {row["type"]: row["n"] for row in ask(finished.result["store"], sql)} for sql in (singles, counted)
    )
    assert first == second


def test_it_tells_what_an_event_costs(finished: Finished) -> None:
    result = finished.result
    costs = [result[f"{where}_cpu_us_per_event"] for where in ("host", "shipper")]
    assert all(0 < cost < 1000 for cost in costs), costs
    assert 0 < result["bytes_per_event"] < 200
    assert result["events_per_second"] == pytest.approx(result["emitted"] / result["seconds"], rel=0.05)


def test_nothing_is_left_of_it_but_the_store(finished: Finished) -> None:
    assert left(finished.place) == []
    assert inhabitants(finished.place) == []
    assert Path(finished.result["store"]).parent == finished.place


def test_the_page_holds_the_ledger_and_a_command_that_works(fresh: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "demo", "--events", "3000", "--processes", "3", "--keep", str(fresh / "kept")],
        capture_output=True,
        text=True,
        check=True,
        env=environment(fresh),
    )
    for line in ("emitted", "= delivered", "+ on disk", "+ in flight", "+ dropped", "3,000 events and"):
        assert line in ended.stdout
    _, *arguments = shlex.split(ended.stdout.splitlines()[-1])
    looked = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, text=True, check=True)
    assert "token" in looked.stdout
    assert left(fresh) == ["kept"]


def test_ctrl_c_ends_it_in_order_and_shows_the_ledger_so_far(fresh: Path) -> None:
    with running(fresh, "--json") as demo:
        demo.wait_for(EMITTED)
        demo.process.send_signal(signal.SIGINT)
        code, stdout, stderr = demo.end()
    assert code == 130
    assert stderr.splitlines()[-1] == "telemetry demo: interrupted"
    result = json.loads(stdout)
    assert result["emitted"] > 0
    lost = sum(result["dropped"].values())
    assert result["emitted"] == result["delivered"] + result["on_disk"] + result["in_flight"] + lost
    # An upload that the end cuts off may have been stored, though nobody heard that it was.
    assert result["delivered"] <= sum(result["stored"].values()) <= result["emitted"]
    assert inhabitants(fresh) == []
    assert left(fresh) == []


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("nothing leaves", signal.SIGINT),
        (EMITTED, signal.SIGINT),
        (EMITTED, signal.SIGTERM),
        (EMITTED, signal.SIGHUP),
    ],
    ids=["at the start", "interrupt", "terminate", "hang up"],
)
def test_a_signal_at_any_moment_leaves_no_process_and_no_file(fresh: Path, word: str, number: signal.Signals) -> None:
    with running(fresh) as demo:
        demo.wait_for(word)
        demo.process.send_signal(number)
        code, _, stderr = demo.end()
    assert code == 130
    assert "interrupted" in stderr
    assert inhabitants(fresh) == []
    assert left(fresh) == []


@pytest.mark.parametrize(("word", "name"), [("collect", "the collector"), ("demo.producer", "producer ")])
def test_a_child_that_fails_ends_it_with_one_clear_line(fresh: Path, word: str, name: str) -> None:
    with running(fresh, "--json") as demo:
        demo.wait_for(EMITTED)
        demo.child(word).kill()
        code, stdout, stderr = demo.end()
    assert (code, stdout) == (1, "")
    last = stderr.splitlines()[-1]
    assert last.startswith(f"telemetry demo: {name}")
    assert last.endswith("killed by SIGKILL")
    assert inhabitants(fresh) == []
    assert list(fresh.iterdir()) == []


def test_a_directory_with_something_in_it_is_refused(fresh: Path) -> None:
    (fresh / "mine").touch()
    ended = subprocess.run(
        [*COMMAND, "demo", "--keep", str(fresh)], capture_output=True, text=True, check=False, env=environment(fresh)
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [f"telemetry demo: --keep {fresh}: it is not empty; name a new directory"]
    assert list(fresh.iterdir()) == [fresh / "mine"]


# Sources.

SOURCE = """\
# Written by Ada Quimby <ada.quimby@mail-canary.example>, see /home/adaquimby/secret/notes.txt
import os  # noqa: F401

def find(connection):
    # https://intern.canary.example/wiki?user=adaquimby&token=hunter2canary
    return connection.execute("SELECT name FROM canary_customers WHERE city = 'Bern'")
"""
CANARIES = (
    "adaquimby",
    "ada.quimby",
    "mail-canary",
    "intern.canary",
    "hunter2canary",
    "/home",
    "notes.txt",
    "customers",
    "Bern",
)


def still_clock() -> float:
    return 0.0


def write(directory: Path, text: str) -> Path:
    path = directory / "adaquimby.py"
    path.write_text(text)
    return path


def pipeline(events: Iterable[Event]) -> tuple[list[dict[str, Any]], Tally]:
    """What leaves of events, by the demo's catalog, and the account."""
    context = FrameContext(1, "", "on", "host", "unknown")
    rows = [[name, 1, fields] for name, fields in events]
    frames = []
    for first in range(0, len(rows), MAX_FRAME_EVENTS):
        raw = msgspec.msgpack.encode(
            rows[first : first + MAX_FRAME_EVENTS], enc_hook=lambda error: reduce_exception(error, ("telemetry",))
        )
        frames.append(Frame(1, b"p" * 16, context, first, {}, msgspec.Raw(raw)))
    stages = Pipeline(
        load(CATALOG), dt.date(2026, 1, 1), open_format("ndjson", ""), FreeTextRedactor(), Session(), lambda: 0.0
    )
    (drain,) = stages.run(frames, {}, "on")
    return [json.loads(line) for line in drain.body.splitlines()], drain.tally


def test_nothing_private_of_a_file_leaves(tmp_path: Path) -> None:
    events = list(file_events(write(tmp_path, SOURCE), still_clock))
    planted = json.dumps(events)
    assert all(canary in planted for canary in CANARIES)
    lines, tally = pipeline(events)
    leaves = json.dumps(lines).lower()
    assert [canary for canary in CANARIES if canary.lower() in leaves] == []
    assert tally.kept == len(events)
    assert {"email", "path", "url", "sql_field", "path_field"} <= tally.redacted.keys()


def test_nothing_private_of_a_process_leaves() -> None:
    known = {
        "name": "python",
        "exe": "/home/adaquimby/bin/run.py",
        "username": "adaquimby",
        "cmdline": ["python", "/home/adaquimby/bin/run.py", "--password=hunter2canary", "ada@mail-canary.example"],
        "memory_info": psutil.Process().memory_info(),
    }
    lines, tally = pipeline(processes_as_events([known]))
    leaves = json.dumps(lines)
    assert [canary for canary in ("adaquimby", "hunter2canary", "mail-canary", "/home") if canary in leaves] == []
    assert tally.kept == 1
    assert tally.redacted["identifier"] == 2


def test_what_psutil_may_not_know_is_absent() -> None:
    unknown = dict.fromkeys(["exe", "username", "cmdline", "memory_info"])
    lines, tally = pipeline(processes_as_events([{"name": "kthreadd", **unknown}]))
    assert [line.keys() - {"event", "time", "session"} for line in lines] == [{"name"}]
    assert tally.fields_dropped == {}


def test_every_token_comment_and_statement_is_an_event_and_so_is_the_file(tmp_path: Path) -> None:
    events = list(file_events(write(tmp_path, "x = 1  # one\nif x:\n    y = 'SELECT 1'\n"), still_clock))
    named: dict[str, list[dict[str, Any]]] = {}
    for name, fields in events:
        named.setdefault(name, []).append(fields)
    types = [fields["type"] for fields in named["token"]]
    assert types == [
        "name", "op", "number", "comment", "newline",
        "name", "name", "op", "newline",
        "indent", "name", "op", "string", "newline", "dedent", "endmarker",
    ]  # fmt: skip
    assert [fields["depth"] for fields in named["token"]][-7:] == [1, 1, 1, 1, 1, 0, 0]
    assert [(fields["text"], fields["own_line"]) for fields in named["comment"]] == [("# one", False)]
    assert [fields["statement"] for fields in named["statement"]] == ["SELECT 1"]
    assert [fields["lines"] for fields in named["file_read"]] == [4]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x = (", "TokenError"),
        ("if x:\n        y\n    z\n", "IndentationError"),
        ("# coding: klingon\n", "SyntaxError"),
    ],
    ids=["unfinished", "dedent", "encoding"],
)
def test_a_file_that_does_not_tokenise_is_one_event_with_the_error(tmp_path: Path, text: str, kind: str) -> None:
    lines, tally = pipeline(file_events(write(tmp_path, text), still_clock))
    assert [line["event"] for line in lines] == ["file_refused"]
    # tokenize is nobody's own package: its TokenError leaves as the ancestor that is built in.
    assert lines[0]["failure"].split("@")[0] == ("Exception" if kind == "TokenError" else kind)
    assert tally.fields_dropped == {}


def test_the_catalog_lets_everything_pass_that_the_sources_make() -> None:
    paths = shuffled(list_files(roots()["stdlib"]))[:20]
    events = [event for path in paths for event in file_events(path, still_clock)]
    events += [*package_events(), *process_events()]
    _, tally = pipeline(events)
    assert tally.kept == len(events)
    assert "undeclared" not in tally.fields_dropped


def test_the_files_are_this_pythons_each_once() -> None:
    listed = {origin: list_files(directories) for origin, directories in roots().items()}
    paths = [path for found in listed.values() for path in found]
    assert len(set(paths)) == len(paths)
    assert Path(tempfile.__file__) in listed["stdlib"]
    assert Path(psutil.__file__) in listed["packages"]
    assert sorted(shuffled(paths)) == sorted(paths)


# Parts.


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("CI", False),
        ("DO_NOT_TRACK", False),
        ("TELEMETRY_DISABLED", False),
        ("TELEMETRY_SHIPPER", False),
        ("TELEMETRY_TOKEN", False),
        ("DEMO_TELEMETRY", False),
        ("https_proxy", False),
        ("PATH", True),
        ("PYTHONPATH", True),
        ("CIRCLE", True),
    ],
    ids=str,
)
def test_the_environment_is_scrubbed_of_what_speaks_on_telemetry(name: str, *, stays: bool) -> None:
    assert (name in scrubbed({name: "1"})) == stays


def test_a_process_that_lives_in_the_home_dies_with_it() -> None:
    before = dict(os.environ)
    with private_home() as home:
        assert os.environ["TELEMETRY_HOME"] == str(home)
        sleeper = subprocess.Popen(["sleep", "60"])
    assert sleeper.wait(SECONDS) == -signal.SIGKILL
    assert not home.exists()
    assert dict(os.environ) == before


def test_samples_are_of_what_the_collector_has() -> None:
    comments = ["# mail ada@mail-canary.example", "# clean", "# mail bob@mail-canary.example now", "# at /home/ada/x"]
    stored = {"# mail [email]", "# at [path]"}
    assert take_samples(comments, stored) == [
        Sample("# mail ada@mail-canary.example", "# mail [email]", ("email",)),
        Sample("# at /home/ada/x", "# at [path]", ("path",)),
    ]


def test_the_store_is_read_as_it_lies(tmp_path: Path) -> None:
    lines = [{"event": "token", "type": "op"}, {"event": "comment", "text": "# a"}, {"event": "token"}]
    body = zstandard.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    (tmp_path / "batches").mkdir()
    (tmp_path / "batches" / "0.ndjson.zst").write_bytes(body)
    (tmp_path / "batches" / "0.json").write_text("{}")
    assert read_stored(tmp_path) == Stored({"token": 2, "comment": 1}, frozenset({"# a"}), len(body))


GOOD = Result(
    Run(
        plan=Plan(10, 1, Path("store")),
        account=Account(Tally(emitted=12, kept=11, dropped={"queue_full": 1}), 11, 0),
        words=(Word(10, ended=True, confirmed=True),),
        comments=(),
        produced_seconds=1.0,
        seconds=1.0,
        shipper_cpu_seconds=0.1,
        interrupted=False,
    ),
    Stored({"token": 9, "tokens_seen": 2}, frozenset(), 100),
)


def with_account(emitted: int, delivered: int) -> Result:
    tally = Tally(emitted=emitted, kept=11, dropped={"queue_full": 1})
    return GOOD._replace(run=GOOD.run._replace(account=Account(tally, delivered, 0)))


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (with_account(13, 11), "nothing accounts for 1 events"),
        (with_account(11, 10), "the ledger says 10 were delivered"),
        (with_account(14, 13), "2 events that nobody emitted"),
        (GOOD._replace(run=GOOD.run._replace(words=(Word(9, confirmed=True),))), "emitted 9 events, not 10"),
        (GOOD._replace(run=GOOD.run._replace(words=(Word(10),))), "before the shipper had confirmed"),
        (GOOD._replace(stored=GOOD.stored._replace(events={"token": 12})), "the collector holds 12 events"),
    ],
    ids=["balance", "delivered", "too many", "too few", "unconfirmed", "store"],
)
def test_a_result_that_does_not_add_up_is_a_fault(result: Result, fault: str) -> None:
    assert any(fault in found for found in result.faults())


def test_a_result_with_a_counted_drop_adds_up() -> None:
    assert list(GOOD.faults()) == []
