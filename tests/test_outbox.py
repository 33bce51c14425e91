"""What becomes of events between `emit` and the socket, with real sockets at both ends."""

from __future__ import annotations

import dis
import gc
import os
import resource
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin import eventually, host, local_transport, rendezvous, stand_in, write_catalog
from test_backlog import CONTEXT, Pipe, Told

from telemetry import wire
from telemetry.consent import Decision, State, Stored, store_choice
from telemetry.files import private_dir
from telemetry.producer import channel
from telemetry.producer.backlog import FRAME_EVENTS, SOCKET_BYTES, SOCKET_FRAMES
from telemetry.producer.outbox import CHUNK_EVENTS, WAITING_EVENT_BYTES, Outbox, Settled
from telemetry.rendezvous.lock import acquire
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.sockets import bind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import CodeType, FrameType

    from telemetry.client import Client
    from telemetry.producer.channel import Channel
    from telemetry.producer.transport import Transport


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    return write_catalog(tmp_path)


@pytest.fixture
def no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real shipper is spawned while no stand-in holds the lock."""
    monkeypatch.setattr(sys, "executable", "")


def outbox_of(client: Client) -> Outbox:
    assert client._link
    return client._link._outbox


def channel_of(client: Client) -> Channel:
    return local_transport(client).channel


UNENCODABLE = [
    pytest.param(object(), id="an object"),
    pytest.param(2**70, id="an integer over 64 bits"),
    pytest.param(-(2**63) - 1, id="an integer under 64 bits"),
    pytest.param("\ud800", id="a lone surrogate"),
    pytest.param([1, {"deep": object()}], id="an object in a list"),
    pytest.param({1, 2}, id="a set"),
    pytest.param(1j, id="a complex number"),
    pytest.param(lambda: None, id="a function"),
]


@pytest.mark.parametrize("value", UNENCODABLE)
def test_a_value_that_cannot_be_encoded_goes_alone_and_its_event_arrives(catalog: Path, value: object) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        for number in range(100):
            client.emit("query_finished", number=number)
            if number == 50:
                client.emit("query_finished", number=-1, engine=value)
        assert client.flush(60)
        assert shipper.values("number") == [*range(51), -1, *range(51, 100)]
        assert shipper.frames[-1].dropped == {}
        shipper.assert_unbroken()


@pytest.mark.parametrize("name", ["\ud800", object(), 2**70], ids=["lone surrogate", "object", "huge"])
def test_a_name_that_cannot_be_encoded_drops_its_event_alone(catalog: Path, name: Any) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.emit("query_finished", number=1)
        client.emit(name, number=2)
        client.emit("query_finished", number=3)
        assert client.flush(60)
        assert shipper.values("number") == [1, 3]
        assert shipper.frames[-1].dropped == {"unencodable": 1}


def test_what_is_larger_than_a_frame_is_dropped_alone_and_counted(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog, flush_interval_seconds=5) as client:
        for number in range(20):
            client.emit("query_finished", number=number)
        client.emit("query_finished", number=-1, engine="x" * wire.MAX_FRAME_BYTES)
        for number in range(20, 40):
            client.emit("query_finished", number=number)
        assert client.flush(60)
        assert shipper.values("number") == list(range(40))
        assert shipper.frames[-1].dropped == {"too_large": 1}


def test_a_drop_is_told_in_the_next_frame_without_a_flush(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.emit("\ud800")
        eventually(lambda: outbox_of(client).dropped)
        client.emit("query_finished", number=1)
        eventually(lambda: shipper.values("number") == [1])
        assert next(frame for frame in shipper.frames if frame.events).dropped == {"unencodable": 1}


def test_no_frame_is_larger_than_256_kib(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        for number in range(2_000):
            client.emit("query_finished", number=number, engine="x" * (number * 7 % 9_000))
        assert client.flush(60)
        assert shipper.values("number") == list(range(2_000))
        assert max(frame.size_bytes for frame in shipper.frames) <= 256 << 10
        shipper.assert_unbroken()


def test_an_event_just_small_enough_for_a_frame_arrives(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.emit("query_finished", engine="x" * (wire.MAX_FRAME_BYTES - 400))
        assert client.flush(60)
        assert len(shipper.events) == 1


LONG = "x" * 1000
TOO_MANY = 12_000
"""Events with a long field: more than a queue of 8 MiB holds."""


def test_what_the_queue_cannot_hold_is_dropped_newest_first_and_counted(catalog: Path) -> None:
    with stand_in(catalog, deaf=True), host(catalog, queue_bytes=8 << 20) as client:
        for number in range(TOO_MANY):
            client.emit("query_finished", number=number, engine=LONG)
        outbox = outbox_of(client)
        eventually(lambda: outbox.unsettled == 0)
        assert (4 << 20) // len(LONG) < outbox.accepted < (8 << 20) // len(LONG)
        assert outbox.dropped == {"queue_full": TOO_MANY - outbox.accepted}


@pytest.mark.usefixtures("no_python")
def test_what_is_accepted_before_a_shipper_comes_arrives_and_the_drops_are_told(catalog: Path) -> None:
    with host(catalog, queue_bytes=8 << 20) as client:
        with stand_in(catalog, deaf=True):
            for number in range(TOO_MANY):
                client.emit("query_finished", number=number, engine=LONG)
            outbox = outbox_of(client)
            eventually(lambda: outbox.unsettled == 0)
        with stand_in(catalog) as shipper:
            assert client.flush(60)
            arrived = shipper.values("number")
            assert len(arrived) == outbox.accepted
            assert arrived == sorted(arrived)
            assert arrived[:-CHUNK_EVENTS] == list(range(len(arrived) - CHUNK_EVENTS)), "the newest are dropped"
            assert sum(shipper.frames[-1].dropped.values()) == TOO_MANY - outbox.accepted


@pytest.mark.usefixtures("no_python")
def test_the_backlog_keeps_what_zeromq_does_not_hold(catalog: Path) -> None:
    with host(catalog) as client:
        with stand_in(catalog, deaf=True):
            for number in range(FRAME_EVENTS * SOCKET_FRAMES * 3):
                client.emit("query_finished", number=number)
        with stand_in(catalog) as shipper:
            assert client.flush(60)
            assert shipper.values("number") == list(range(FRAME_EVENTS * SOCKET_FRAMES * 3))
            shipper.assert_unbroken()


def test_the_numbers_have_no_hole_over_a_million_events_of_eight_threads(catalog: Path) -> None:
    directory = rendezvous(catalog)
    private_dir(directory)
    lock = acquire(directory)
    assert lock is not None
    sockets = bind(directory)
    try:
        with host(catalog, queue_bytes=512 << 20) as client:
            emit = client.emit

            def work() -> None:
                for number in range(125_000):
                    emit("query_finished", number=number)

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            following = 0
            while following < 1_000_000:
                assert sockets.data.poll(30_000), f"nothing came after {following} events"
                frame = decode_frame(sockets.data.recv())
                assert frame is not None
                assert frame.first == following
                assert frame.dropped == {}
                following += len(msgspec.msgpack.decode(frame.events, type=list[msgspec.Raw]))
            for thread in threads:
                thread.join()
            assert following == 1_000_000
            assert not sockets.data.poll(200)
    finally:
        sockets.close()
        os.close(lock)


@pytest.fixture
def storm() -> Iterator[Any]:
    """Calls a handler every millisecond of the process's own time; pytest-timeout has the real timer."""
    before = signal.getsignal(signal.SIGVTALRM)
    # Hypothesis leaves one of its own once it has run: what a handler raises in there the interpreter swallows.
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()

    def begin(handler: Any) -> None:
        signal.signal(signal.SIGVTALRM, handler)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.001, 0.001)

    yield begin
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)
    gc.callbacks[:] = callbacks


def test_a_signal_handler_may_emit_at_any_moment(catalog: Path, storm: Any) -> None:
    with stand_in(catalog) as shipper, host(catalog, queue_bytes=512 << 20) as client:
        handled = 0

        def handler(_number: int, _frame: FrameType | None) -> None:
            nonlocal handled
            client.emit("query_finished", number=-1)
            handled += 1

        storm(handler)
        emitted = 0
        while handled < 200 or emitted < 50_000:
            client.emit("query_finished", number=emitted)
            emitted += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        assert client.flush(60)
        numbers = shipper.values("number")
        assert [number for number in numbers if number >= 0] == list(range(emitted))
        assert numbers.count(-1) == handled
        shipper.assert_unbroken()


def test_a_keyboard_interrupt_anywhere_loses_nothing(catalog: Path, storm: Any) -> None:
    with stand_in(catalog) as shipper, host(catalog, queue_bytes=512 << 20) as client:
        armed = False

        def handler(_number: int, _frame: FrameType | None) -> None:
            nonlocal armed
            if armed:
                armed = False
                raise KeyboardInterrupt

        emitted, interrupted, number = set(), 0, 0
        storm(handler)
        while interrupted < 50:
            try:
                armed = True
                while True:
                    number += 1
                    client.emit("query_finished", number=number)
                    emitted.add(number)
            except KeyboardInterrupt:
                interrupted += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        assert client.flush(60)
        assert not emitted - set(shipper.values("number"))
        # A batch may come twice, under the same numbers; nothing is skipped.
        following = 0
        for frame in shipper.frames:
            assert frame.first <= following
            following = frame.first + len(frame.events)


MAY_INTERRUPT_AFTER = {"CALL", "CALL_FUNCTION_EX", "CALL_KW", "RESUME", "JUMP_BACKWARD"}


class Interruption:
    """Raises KeyboardInterrupt at the n-th place in the producer's code at which the interpreter looks for signals."""

    def __init__(self, place: int) -> None:
        self.places_left = place
        self._may: dict[FrameType, bool] = {}
        self._instructions: dict[CodeType, dict[int, str]] = {}

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Interruption | None:
        if "/telemetry/producer/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            may = self._may.get(frame, False)
            self._may[frame] = self._name(frame) in MAY_INTERRUPT_AFTER
            self.places_left -= may
            if may and self.places_left == 0:
                raise KeyboardInterrupt
        return self

    def _name(self, frame: FrameType) -> str:
        code = frame.f_code
        if code not in self._instructions:
            self._instructions[code] = {found.offset: found.opname for found in dis.get_instructions(code)}
        return self._instructions[code].get(frame.f_lasti, "")


def test_a_keyboard_interrupt_at_each_single_place_loses_nothing_and_keeps_no_lock(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog, flush_interval_seconds=60) as client:
        outbox = outbox_of(client)
        client.emit("query_finished", number=-1)
        place, interrupted = 0, True
        while interrupted:
            outbox.events.extend(("query_finished", 0, {"number": place * 2 + second}) for second in (0, 1))
            place += 1
            sys.settrace(Interruption(place))
            try:
                interrupted = False
                outbox.drain()
            except KeyboardInterrupt:
                interrupted = True
            finally:
                sys.settrace(None)
            assert not outbox._lock.locked()
        assert place > 20
        assert client.flush(60)
        assert set(shipper.values("number")) == {-1, *range(place * 2)}


def test_a_finalizer_may_emit_when_the_collector_runs_it(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:

        class Dying:
            def __init__(self) -> None:
                self.cycle = self

            def __del__(self) -> None:
                client.emit("query_finished", number=-1)

        for number in range(5_000):
            Dying()
            client.emit("query_finished", number=number)
        gc.collect()
        assert client.flush(60)
        assert shipper.values("number").count(-1) == 5_000
        assert [number for number in shipper.values("number") if number >= 0] == list(range(5_000))


class Hostile:
    """Whatever is asked of it, it raises."""

    def __init__(self, error: type[Exception]) -> None:
        object.__setattr__(self, "error", error)

    def _raise(self, *_: object) -> Any:
        raise object.__getattribute__(self, "error")("asked")

    __repr__ = __str__ = __hash__ = __eq__ = __lt__ = __bool__ = __len__ = __iter__ = __index__ = _raise
    __getattribute__ = __getattr__ = __reduce__ = __bytes__ = __int__ = __float__ = __format__ = _raise


class HostileDict(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("asked")


class Hidden(NamedTuple):
    """A hostile value that hypothesis may look at."""

    error: type[Exception]


def reveal(value: Any) -> Any:
    if isinstance(value, Hidden):
        return Hostile(value.error)
    if isinstance(value, list):
        return [reveal(inner) for inner in value]
    if type(value) is dict:
        return {key: reveal(inner) for key, inner in value.items()}
    return value


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    SCALARS
    | st.binary()
    | st.complex_numbers()
    | st.datetimes()
    | st.sampled_from([ValueError, KeyError, TypeError, RecursionError, MemoryError, StopIteration]).map(Hidden)
    | st.builds(HostileDict, st.dictionaries(st.text(), st.integers(), min_size=1))
    | st.builds(ValueError, st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(name=st.text(), fields=st.dictionaries(st.text(), VALUES, max_size=4), number=SCALARS | VALUES)
def test_emit_and_count_never_raise_whatever_they_are_given(
    living: Client, name: str, fields: dict[str, Any], number: Any
) -> None:
    client = living
    client.emit(name, **reveal(fields))
    client.count(name, reveal(number), **reveal(fields))
    assert client.flush(60)


@pytest.fixture
def living(catalog: Path) -> Iterator[Client]:
    with stand_in(catalog), host(catalog) as client:
        yield client


def test_emit_near_the_end_of_the_stack_raises_only_what_the_call_itself_does(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        emitted = 0

        def dive() -> None:
            nonlocal emitted
            try:
                dive()
            except RecursionError:
                return
            client.emit("query_finished", number=emitted)
            emitted += 1

        for _ in range(20):
            dive()
        assert client.flush(60)
        assert shipper.values("number") == list(range(emitted))


@pytest.mark.parametrize("left", range(10))
def test_a_host_with_few_descriptors_left_lives_and_its_events_wait(catalog: Path, left: int) -> None:
    """ZeroMQ ends the process when it gets no descriptor for its poller; so it must not be asked."""
    with stand_in(catalog) as shipper, host(catalog) as client:
        child = os.fork()
        if not child:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
                taken = take_all_descriptors()
                for _ in range(left):
                    os.close(taken.pop())
                client.emit("query_finished", number=1)
                client.emit("query_finished", number=2)
                for descriptor in taken:
                    os.close(descriptor)
                os._exit(0 if client.flush(30) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert shipper.values("number") == [1, 2]


def take_all_descriptors() -> list[int]:
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        return taken


def test_events_after_close_are_let_go_and_open_no_socket(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        with host(catalog) as client:
            assert client._link
            record = client.record
            client.emit("query_finished", number=1)
        for _ in range(1_000):
            record("query_finished", {"number": 2})
        assert channel_of(client).socket is None
        assert len(outbox_of(client).events) < CHUNK_EVENTS
        assert shipper.values("number") == [1]


def test_a_frame_that_finds_no_reader_never_blocks_the_caller(catalog: Path) -> None:
    """Not a measure of speed: a blocking send would wait for ever."""
    with stand_in(catalog, deaf=True), host(catalog, queue_bytes=8 << 20) as client:
        done = threading.Event()

        def work() -> None:
            for number in range(100_000):
                client.emit("query_finished", number=number)
            done.set()

        threading.Thread(target=work, daemon=True).start()
        assert done.wait(30)


def test_two_clients_of_one_process_are_two_producers(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        for number in (1, 2):
            with host(catalog) as client:
                client.emit("query_finished", number=number)
                assert client.flush(60)
        assert shipper.values("number") == [1, 2]
        assert len(shipper.producers) == 2
        assert shipper.left == shipper.producers
        shipper.assert_unbroken()


@pytest.mark.usefixtures("no_python")
def test_a_shipper_that_comes_back_gets_what_follows(catalog: Path) -> None:
    with host(catalog) as client:
        with stand_in(catalog) as first:
            client.emit("query_finished", number=1)
            assert client.flush(60)
        with stand_in(catalog) as second:
            client.emit("query_finished", number=2)
            eventually(lambda: second.values("number") == [2])
            assert second.frames[-1].first == 1
        assert first.values("number") == [1]


@pytest.mark.usefixtures("no_python")
def test_what_was_lost_in_the_hands_of_a_shipper_that_died_is_told_to_the_next_by_flush(catalog: Path) -> None:
    with host(catalog) as client:
        with stand_in(catalog) as first:
            client.emit("query_finished", number=1)
            eventually(lambda: first.values("number") == [1])  # in its hands; it never confirms
        with stand_in(catalog) as second:
            assert client.flush(60)  # nothing more is emitted
            assert second.values("number") == []
            assert second.frames[-1].first == 1


def test_sockets_of_a_shipper_that_is_not_ours_get_nothing(catalog: Path) -> None:
    """Somebody else made the directory, holds the lock in it, and listens."""
    directory = rendezvous(catalog)
    with stand_in(catalog) as stranger:
        directory.chmod(0o777)
        with host(catalog) as client:
            client.emit("query_finished", number=1)
            assert not client.flush(0.3)
            assert outbox_of(client)._transport.is_missing
            assert channel_of(client).socket is None
            directory.chmod(0o700)
            with host(catalog) as later:
                later.emit("query_finished", number=2)
                assert later.flush(60)
            client.emit("query_finished", number=3)
            assert client.flush(60)
            assert sorted(stranger.values("number")) == [1, 2, 3]


def test_a_socket_without_a_shipper_tries_less_and_less_often(catalog: Path) -> None:
    with stand_in(catalog, deaf=True), host(catalog) as client:
        socket = channel_of(client).socket
        assert socket is not None
        first, most = (int(socket.getsockopt(option)) for option in (zmq.RECONNECT_IVL, zmq.RECONNECT_IVL_MAX))
        assert 0 < first < most


def test_a_client_that_never_forks_puts_nothing_aside(catalog: Path) -> None:
    before = len(channel._of_the_parent)
    with stand_in(catalog), host(catalog):
        assert len(channel._of_the_parent) == before


def test_zeromq_lets_go_of_everything_on_close(catalog: Path) -> None:
    with stand_in(catalog), host(catalog) as client:
        client.emit("query_finished", number=1)
        assert client.flush(60)
        client.close()
        context = channel_of(client)._zmq
        assert context is not None
        assert context.closed
    assert isinstance(channel_of(client)._zmq, zmq.Context)


def test_events_beyond_the_limit_are_let_go_and_counted_while_another_thread_drains(catalog: Path) -> None:
    limit = (16 << 20) // WAITING_EVENT_BYTES
    with stand_in(catalog) as shipper, host(catalog, queue_bytes=16 << 20) as client:
        outbox = outbox_of(client)
        with outbox._lock:  # as while a thread encodes
            for number in range(limit + 1000):
                client.emit("query_finished", number=number)
            assert len(outbox.events) <= limit
        assert client.flush(60)
        assert sorted(shipper.values("number")) == list(range(limit))
        assert shipper.frames[-1].dropped == {"queue_full": 1000}
        shipper.assert_unbroken()


@pytest.mark.usefixtures("no_python")
@pytest.mark.parametrize(("first", "then"), [("on", "technical"), ("on", "local"), ("technical", "local")])
def test_what_is_not_sent_at_a_step_down_is_sent_once_and_under_the_stricter_state(
    catalog: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    number = FRAME_EVENTS * (SOCKET_FRAMES + 4) + 7
    with host(catalog, consent=first) as client:
        with stand_in(catalog, deaf=True):
            for value in range(number):
                client.emit("query_finished", number=value)
            monkeypatch.setenv("ACME_DB_TELEMETRY", then)
            assert client._link is not None
            eventually(lambda: (client._link._obey(), client._link._outbox._backlog.context.consent == then)[1])  # type: ignore[union-attr]
        with stand_in(catalog) as shipper:
            assert client.flush(60)
            assert shipper.values("number") == list(range(number))
            shipper.assert_unbroken()
            sent = sum(len(frame.events) for frame in shipper.frames if frame.context["consent"] == first)
            assert sent <= FRAME_EVENTS * SOCKET_FRAMES
            assert {frame.context["consent"] for frame in shipper.frames_of(shipper.producers[-1])} == {then}


@pytest.mark.usefixtures("no_python")
@pytest.mark.parametrize("choices", [["technical", "on"], ["on", "off", "technical"], ["on", "local", "technical"]])
def test_what_is_not_sent_at_a_step_up_or_over_a_no_stays_under_the_consent_it_was_emitted_under(
    catalog: Path, choices: list[str]
) -> None:
    store_choice("acme-db", State(choices[0]), 1_000.0)
    with host(catalog) as client:
        with stand_in(catalog, deaf=True):
            for value in range(FRAME_EVENTS * (SOCKET_FRAMES + 40)):
                client.emit("query_finished", number=value)
            for second, choice in enumerate(choices[1:]):
                store_choice("acme-db", State(choice), 2_000.0 + second)
            assert client._link is not None
            client._link._obey()
            client.emit("query_finished", number=-1)
        with stand_in(catalog) as shipper:
            assert client.flush(60)
            grounds = {
                (value >= 0, frame.context["consent"], frame.context["since"])
                for frame in shipper.frames
                for value in (fields["number"] for _, _, fields in frame.events)
            }
            assert grounds == {(True, choices[0], 1_000.0), (False, choices[-1], 2_000.0 + len(choices) - 2)}


# Without a host: a transport that takes everything, or nothing.

QUEUE_BYTES = SOCKET_BYTES + (1 << 20)


def _outbox(pipe: Pipe, consent: str = "on", reduce: Callable[[BaseException], str] = repr) -> Outbox:
    return Outbox(cast("Transport", pipe), CONTEXT._replace(consent=consent), QUEUE_BYTES, reduce)


def _emit(outbox: Outbox, *values: Any, at_ns: int = 1) -> None:
    outbox.events.extend(("query_finished", at_ns, {"number": value}) for value in values)


def _values(frames: list[bytes]) -> list[Any]:
    return [event[2]["number"] for frame in frames for event in msgspec.msgpack.decode(frame)[5]]


def test_a_part_of_a_chunk_leaves_at_once_and_whole_chunks_wait_for_a_full_frame() -> None:
    pipe = Told()
    outbox = _outbox(pipe)
    _emit(outbox, *range(CHUNK_EVENTS))
    assert (outbox.drain(), pipe.sent) == (False, [])
    _emit(outbox, -1)
    assert (outbox.drain(), _values(pipe.sent)) == (True, [*range(CHUNK_EVENTS), -1])


def test_what_the_shipper_says_is_taken_is_let_go() -> None:
    pipe = Told()
    outbox = _outbox(pipe)
    outbox.tend()
    _emit(outbox, 1, 2)
    outbox.drain()
    kept = outbox.kept
    outbox.trust(Settled(outbox.producer, 2, 0))
    assert (kept, outbox.kept) == ({outbox.producer}, set())


def test_what_is_not_taken_goes_to_where_the_shipper_is_met_now() -> None:
    pipe = Told()
    outbox = _outbox(pipe)
    outbox.tend()
    _emit(outbox, 1)
    outbox.drain()
    assert outbox.reconnect()
    assert (pipe.connections, _values(pipe.sent)) == (1, [1, 1])


def test_what_is_emitted_after_the_end_is_counted() -> None:
    pipe = Told()
    outbox = _outbox(pipe)
    assert outbox.close(1.0) is not None
    _emit(outbox, 1, 2)
    outbox.drain()
    assert (outbox.dropped, pipe.sent, len(outbox.events)) == ({"exit_unconfirmed": 2}, [], 0)
    outbox.drain()
    assert outbox.dropped == {"exit_unconfirmed": 2}


def test_a_no_lets_all_go_and_ends_the_connection() -> None:
    pipe = Told()
    outbox = _outbox(pipe)
    _emit(outbox, 1)
    outbox.off = True
    outbox.drain()
    outbox.tend()
    assert (pipe.sent, pipe.connections, len(outbox.events), outbox.dropped) == ([], 1, 0, {})


def test_a_purge_lets_go_of_what_is_older_alone() -> None:
    outbox = _outbox(Pipe())
    outbox._backlog.disconnect = lambda *_: None  # type: ignore[method-assign] # there is nothing to disconnect
    _emit(outbox, 1, 2, at_ns=100)
    before = outbox.producer
    assert outbox.purge(100)
    assert (outbox.accepted, outbox.producer) == (2, before)
    assert outbox.purge(101)
    assert outbox.accepted == 0
    assert outbox.producer != before


@pytest.mark.parametrize(("consent", "is_local"), [("on", False), ("technical", False), ("local", True)])
def test_only_under_local_nothing_is_ever_to_leave(consent: str, *, is_local: bool) -> None:
    assert _outbox(Pipe(), consent).stays_local is is_local


def test_a_forked_child_goes_on_with_its_own_events_in_their_order() -> None:
    outbox = _outbox(Told())
    for at_ns in (1, 2, 3, 4):
        _emit(outbox, at_ns, at_ns=at_ns)
    outbox.renew(7, 3)
    assert [at_ns for _, at_ns, _ in outbox.events] == [3, 4]


def test_too_many_waiting_events_are_shed_newest_first_and_counted_once() -> None:
    outbox = _outbox(Pipe())
    _emit(outbox, *range(QUEUE_BYTES // WAITING_EVENT_BYTES))
    outbox.shed()
    assert outbox.unsettled == len(outbox.events) == QUEUE_BYTES // WAITING_EVENT_BYTES
    _emit(outbox, "one too many")
    outbox.shed()
    assert outbox.events[-1][2] != {"number": "one too many"}
    assert outbox.unsettled == len(outbox.events) + 1
    outbox.drain()
    outbox.drain()
    assert outbox.dropped == {"queue_full": 1}


def test_what_waits_goes_on_at_another_place_under_new_numbers_of_another_producer() -> None:
    pipe = Told()
    pipe.is_shut = True
    pipe.send = lambda frame: not frame  # type: ignore[method-assign] # takes none until it has moved
    outbox = _outbox(pipe)
    _emit(outbox, 1, 2)
    outbox.drain()
    before = outbox.producer
    assert outbox.move(lambda: pipe.__dict__.pop("send"), is_connected=False)
    assert outbox.producer != before
    assert (_values(pipe.sent), outbox.accepted) == ([1, 2], 2)


@pytest.mark.parametrize("place", [0, 1])
def test_an_event_out_of_which_an_exit_comes_twice_is_dropped_and_no_other(place: int) -> None:
    told = []

    def reduce(fault: BaseException) -> str:
        told.append(outbox.unsettled)
        raise SystemExit(str(fault))

    pipe = Told()
    outbox = _outbox(pipe, reduce=reduce)
    values: list[Any] = [1, 2]
    values.insert(place, ValueError("out of it"))
    _emit(outbox, *values)
    for _ in range(8):
        with suppress(SystemExit):
            outbox.drain()
    assert told == [3, 3 - place, 3 - place], "with the others, and twice alone; those in hand are not settled"
    assert (_values(pipe.sent), outbox.dropped, len(outbox.events)) == ([1, 2], {"unencodable": 1}, 0)


def test_the_last_numbers_under_an_earlier_consent_are_told_unless_that_was_a_no() -> None:
    for is_off in (False, True):
        pipe = Told()
        outbox = _outbox(pipe)
        _emit(outbox, 1)
        outbox.drain()
        before = outbox.producer
        pipe.sent.clear()
        outbox.off = is_off
        assert outbox.turn(Decision(State.ON, "a rule", "stored", 0, "unknown"), Stored(State.ON, 5.0))
        told = [(frame[1], frame[3], frame[5]) for frame in map(msgspec.msgpack.decode, pipe.sent)]
        assert told == ([] if is_off else [(before, 1, [])])
        assert (outbox.accepted, outbox.off, outbox.since) == (0, False, 5.0)
