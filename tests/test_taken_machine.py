"""Taken numbers as a state machine: one host, and shippers that die between any two steps, over a way that loses.

The producer is the real outbox, the shipper the real intake, writer, spool, recovery and records; between them stands a
model of ZeroMQ: frames that it holds go to whoever listens next, and what was written goes with who had it.

The law: an event is delivered once, or counted once under a reason; while its host lives and has room, none is lost in
transit and none comes twice.
"""

from __future__ import annotations

import copy
import datetime as dt
import random
import time
from collections import Counter, deque
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgpack
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from spools import decompress, scratch

from telemetry import files
from telemetry.consent import Decision, State, Stored
from telemetry.inspect.account import read_account
from telemetry.producer.backlog import MAX_PATIENCE_SECONDS, OVERDUE_SECONDS, PATIENCE_SECONDS
from telemetry.producer.outbox import Outbox
from telemetry.receipt import NOT_FIRST
from telemetry.rendezvous.taken import TAKEN_FILE, Reader, Records, Taken
from telemetry.settings import ShipperSettings
from telemetry.shipper.catalogs import Source, read_source
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.intake import Intake
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.writer import Writer
from telemetry.shipper.permission import Permission
from telemetry.shipper.watch import Watch
from telemetry.spool.positions import taken_numbers
from telemetry.spool.spool import Spool
from telemetry.wire import Context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry.shipper.intake.session import Session

SETTINGS = ShipperSettings(segment_seconds=1000.0, fsync_interval_seconds=1000.0)
QUEUE_BYTES = 8 << 20
HELD = 4
"""The frames that the model of ZeroMQ holds: fewer, so that runs are short."""
LEVELS = [State.LOCAL, State.TECHNICAL, State.ON]
CONTEXT = Context(1, "", "on", "host", 0, "cloud", {}, 1.0)
KINDS = ["clicked", "query_finished"]


CATALOG = """
[catalog]
product = "acme-db"
version = 1

[events.clicked]
purpose = "tell of what somebody did"
owner = "tests"
expires = "2099-12-31"
sensitivity = "interaction"
[events.clicked.fields]
n = { type = "int", purpose = "tell one from the other" }

[events.query_finished]
purpose = "tell of what the program did"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.query_finished.fields]
n = { type = "int", purpose = "tell one from the other" }
"""


class Killed(BaseException):
    """The shipper is dead, at this very step."""


class Way:
    """What stands for ZeroMQ and the kernel, as a transport of one host."""

    is_missing = False
    exit_seconds = lock_seconds = 0.0

    def __init__(self, rendezvous: Path) -> None:
        self.rendezvous = rendezvous
        self.held: deque[bytes] = deque()
        self.written: list[deque[bytes]] = []  # by connection, the last one ours
        self.reader = Reader()

    def send(self, frame: bytes) -> bool:
        if len(self.held) < HELD:
            self.held.append(frame)
            return True
        return False

    def taken(self, producer: bytes) -> Taken | None:
        return self.reader.read(self.rendezvous, producer)

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        assert linger_milliseconds == 0
        self.held.clear()
        self.written.append(deque())

    def flow(self, frames: int) -> None:
        """Have frames go from ZeroMQ to the kernel, by the present connection."""
        if not self.written:
            self.written.append(deque())
        for _ in range(min(frames, len(self.held))):
            self.written[-1].append(self.held.popleft())

    def break_off(self) -> None:
        """Lose what was written; what ZeroMQ holds goes on by a connection of its own making."""
        self.written = []


class Shipper:
    """A shipper's intake and all behind it; `step` is called between any two of its steps."""

    def __init__(self, spool: Path, rendezvous: Path, source: Source, step: Callable[[], None]) -> None:
        self.spool, ledger = Spool.open(spool, lambda *_: True)
        self.records = Records(rendezvous, taken_numbers(ledger.positions))
        self.writer = Writer(self.spool, NDJSON, SETTINGS, lambda: None)
        pipelines = SimpleNamespace(begin=self._begin, of=lambda _: self.pipeline)
        names = SimpleNamespace(hear=lambda _: None, covers=lambda _: True)
        catalogs = SimpleNamespace(name=lambda: None, find=lambda *_, **__: source)
        self.source = source
        self.pipeline: Pipeline
        self.intake = Intake(
            cast("Any", SimpleNamespace(listeners=[])),
            self.spool,
            ledger.positions,
            cast("Any", catalogs),
            cast("Any", names),
            cast("Any", pipelines),
            self.writer,
            cast("Any", SimpleNamespace(begin=lambda: None)),
            Watch(spool),
            Permission(State.ON),
            self.records,
            time.time,
            lambda _: NOT_FIRST,
        )
        write, append = self.records.write, self.writer.append

        def stepping(work: Callable[..., None]) -> Callable[..., None]:
            def do(*arguments: Any) -> None:
                step()
                work(*arguments)
                step()

            return do

        self.records.write = stepping(write)  # type: ignore[method-assign]
        self.writer.append = stepping(append)  # type: ignore[method-assign]

    def _begin(self, session: Session) -> None:
        self.pipeline = Pipeline(self.source.catalog, dt.date(2026, 1, 1), NDJSON, None, session, random.random)

    def die(self) -> None:
        """Let go of what the kernel takes from a dead process."""
        for active, _ in self.writer._active.values():
            active.close()
        self.writer._active.clear()
        self.records._let_go()
        self.spool.close()


class TakenMachine(RuleBasedStateMachine):
    """One host with its consent, the way, and one shipper at a time."""

    @initialize()
    def start(self) -> None:
        self.place = ExitStack()
        root = self.place.enter_context(scratch())
        self.monkeypatch = self.place.enter_context(pytest.MonkeyPatch.context())
        catalog = root / "catalog.toml"
        catalog.write_text(CATALOG)
        self.source = read_source(catalog)
        self.spool, self.rendezvous = root / "spool", root / "run"
        self.rendezvous.mkdir(mode=0o700)
        self.now = 0.0
        self.monkeypatch.setattr("telemetry.producer.backlog.monotonic", lambda: self.now)
        self.steps_left = -1
        write_all = files.write_all

        def torn(file: int, data: bytes) -> None:
            self._step()
            if self.steps_left == 1:
                write_all(file, data[: len(data) // 2])
            self._step()
            write_all(file, data)

        self.monkeypatch.setattr(files, "write_all", torn)
        self.way = Way(self.rendezvous)
        self.outbox = Outbox(cast("Any", self.way), CONTEXT, QUEUE_BYTES, str)
        self.outbox._backlog._clock = lambda: self.now
        self.state, self.since = State.ON, 1.0
        self.emitted = 0
        self.gone: set[int] = set()  # by the user's no, uncounted
        self.may_be_twice: set[int] = set()
        self.shipper: Shipper | None = None

    def _step(self) -> None:
        if self.steps_left > 0:
            self.steps_left -= 1
            if not self.steps_left:
                raise Killed

    def _with_shipper(self, work: Callable[[Shipper], None]) -> None:
        assert self.shipper is not None
        try:
            work(self.shipper)
        except Killed:
            self._die()

    def _die(self) -> None:
        assert self.shipper is not None
        self.shipper.die()
        self.shipper, self.steps_left = None, -1
        self.way.break_off()

    # The host.

    @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), flowing=st.integers(0, HELD))
    def emit(self, kinds: list[str], flowing: int) -> None:
        for kind in kinds:
            self.outbox.events.append((kind, 2**60, {"n": self.emitted}))
            self.emitted += 1
        self.outbox.drain()
        self.flow(flowing)

    @rule()
    def tend(self) -> None:
        self.outbox.tend()

    @rule()
    def say_hello(self) -> None:
        self.outbox.hello()

    @rule(seconds=st.sampled_from([OVERDUE_SECONDS, PATIENCE_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.outbox.tend()

    @rule()
    def fork(self) -> None:
        """A child has none of its parent's, and its parent has all."""
        before = self.outbox._backlog.unsure()
        child = copy.copy(self.outbox)
        child._backlog, child.events = copy.copy(self.outbox._backlog), deque(self.outbox.events)
        child.renew(2)
        assert (child._backlog.unsure(), child.accepted, [*child.events]) == ([], 0, [])
        assert child.producer != self.outbox.producer
        assert self.outbox._backlog.unsure() == before

    @rule(state=st.sampled_from(LEVELS), is_unbroken=st.booleans())
    def change_consent(self, state: State, is_unbroken: bool) -> None:  # noqa: FBT001 hypothesis names it
        if state is self.state:
            return
        now = Stored(state, self.since + 1, unbroken=(self.since,) if is_unbroken else ())
        narrows = LEVELS.index(state) < LEVELS.index(self.state)
        before = self.since
        assert self.outbox.turn(Decision(state, "stored", "host", 0, "cloud"), now)
        if narrows and is_unbroken and self.outbox.hears:
            self._check_that_nothing_is_looser(before, state)
        self.state, self.since = state, self.since + 1

    def _check_that_nothing_is_looser(self, since: float, state: State) -> None:
        """Of what was emitted since a consent, nothing that may leave this host is under a looser one than `state`."""
        for frame in (*self.outbox._backlog.unsure(), *self.way.held):
            context = msgpack.unpackb(frame)[2]
            if context.get("since", 0) >= since:
                assert LEVELS.index(State(context["consent"])) <= LEVELS.index(state)

    @precondition(lambda self: not self.gone)
    @rule()
    def say_off(self) -> None:
        """Nothing is kept, and nothing is held by the way; whether a shipper lives or not."""
        self.gone |= self._numbers_of(self.outbox._backlog.unsure())
        self.outbox.off = True
        self.outbox.drain()
        assert self.outbox._backlog.unsure() == []
        assert not self.way.held
        self.since += 1
        assert self.outbox.turn(Decision(self.state, "stored", "host", 0, "cloud"), Stored(self.state, self.since))

    @precondition(lambda self: self.shipper is None and not self.may_be_twice)
    @rule()
    def become_another_user(self) -> None:
        """What a dead shipper had taken without a word is taken twice: nobody there can be asked."""
        self.outbox.tend()
        self.may_be_twice |= self._numbers_of(self.outbox._backlog.unsure())
        before = self.outbox.producer
        assert self.outbox.move(lambda: None, is_connected=False)
        assert self.outbox.producer != before

    # The way.

    @rule(frames=st.integers(1, HELD))
    def flow(self, frames: int) -> None:
        if self.shipper is not None:
            self.way.flow(frames)

    @rule()
    def lose_the_connection(self) -> None:
        self.way.break_off()

    @rule(cut=st.sampled_from([0, 100, 10_000]))
    def tear_the_records(self, cut: int) -> None:
        path = self.rendezvous / TAKEN_FILE
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(cut)

    @rule()
    def remove_the_records(self) -> None:
        (self.rendezvous / TAKEN_FILE).unlink(missing_ok=True)
        if self.shipper is not None:
            self.shipper.records.keep()

    # The shipper.

    def begin(self) -> None:
        self.steps_left = -1
        self.shipper = Shipper(self.spool, self.rendezvous, self.source, self._step)

    @rule(data=st.data(), frames=st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), max_size=8))
    def work(self, data: st.DataObject, frames: list[list[str]]) -> None:
        """Emit, and be served or not, again and again: what all the others come between."""
        for kinds in frames:
            self.emit(kinds, data.draw(st.integers(0, HELD)))
            if data.draw(st.booleans()):
                self.take(data, data.draw(st.none() | st.integers(1, 16)))
            if data.draw(st.booleans()):
                self.outbox.tend()

    @rule(data=st.data(), dies_after=st.none() | st.integers(1, 16))
    def take(self, data: st.DataObject, dies_after: int | None) -> None:
        """Take what has arrived, a drain from any connection after another, or die at any step of it."""
        if self.shipper is None:
            self.begin()
        self.way.flow(HELD)
        self.steps_left = dies_after or -1
        while self.shipper is not None and (connections := [written for written in self.way.written if written]):
            written = data.draw(st.sampled_from(connections))
            frames = [written.popleft() for _ in range(data.draw(st.integers(1, len(written))))]
            self._with_shipper(lambda shipper, frames=frames: shipper.intake.take(frames))  # type: ignore[misc]
        self.steps_left = -1

    @precondition(lambda self: self.shipper is not None)
    @rule()
    def be_killed(self) -> None:
        self._die()

    @precondition(lambda self: self.shipper is not None)
    @rule()
    def seal(self) -> None:
        self._with_shipper(lambda shipper: shipper.intake.seal_all())

    @precondition(lambda self: self.shipper is not None)
    @rule()
    def leave(self) -> None:
        """A shipper that is told to end, and a successor: what it has not taken by then is none of its."""
        self.steps_left = -1
        assert self.shipper is not None
        self.shipper.intake.seal_all()
        self.shipper.records.close()
        self._die()

    # The law.

    def teardown(self) -> None:
        with self.place:
            self.steps_left = -1
            for _ in range(50):
                if self.shipper is None:
                    self.begin()
                self.now += MAX_PATIENCE_SECONDS
                self.outbox.hello()
                self.outbox.tend()
                self.way.flow(HELD)
                self._take_all()
                self.outbox.tend()
                if not self.outbox._backlog and not self.outbox.kept and not self.way.held:
                    break
            else:
                raise AssertionError("what is kept is never taken")
            assert self.shipper is not None
            self.shipper.intake.seal_all()
            self._judge()
            self.shipper.records.close()
            self.shipper.die()
            self.way.reader.close()

    def _take_all(self) -> None:
        assert self.shipper is not None
        for written in self.way.written:
            if written:
                self.shipper.intake.take([*written])
        self.way.written = self.way.written[-1:]
        for written in self.way.written:
            written.clear()

    def _judge(self) -> None:
        account = read_account(self.spool)
        assert account.balance == 0
        assert account.tally.dropped == {}
        times = Counter[int]()
        for folder in ("sealed", "local"):
            for path in (self.spool / folder).glob("*.ndjson*"):
                for line in decompress(path.read_bytes()).splitlines():
                    times[int(line.rpartition(b":")[2].rstrip(b"}"))] += 1
        missing = set(range(self.emitted)) - times.keys()
        assert missing <= self.gone
        twice = {number for number, times_ in times.items() if times_ > 1}
        assert twice <= self.may_be_twice
        assert account.tally.emitted == sum(times.values())

    def _numbers_of(self, frames: list[bytes]) -> set[int]:
        waiting = {fields["n"] for _, _, fields in self.outbox.events}
        return waiting | {event[2]["n"] for frame in frames for event in msgpack.unpackb(frame)[5]}


TestTaken = TakenMachine.TestCase
TestTaken.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
