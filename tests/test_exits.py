"""How hosts end and multiply: fork, multiprocessing, atexit, SIGTERM; and what is left when nobody confirms."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from standin import ENDPOINT, PRODUCT, StandIn, eventually, host, rendezvous, stand_in, write_catalog

from telemetry import paths
from telemetry.paths import TOMBSTONES
from telemetry.producer.outbox import CHUNK_EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from telemetry.shipper.sockets import Sockets


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    return write_catalog(tmp_path)


PROLOGUE = """
import os, sys, time, telemetry
def init():
    global client
    client = telemetry.init(**ARGUMENTS)
    from telemetry.producer import link, local
    link.Link.flush.__defaults__ = (local.EXIT_SECONDS,) = (PATIENCE_SECONDS,)
    return client

def fork_in_c():
    # Not while our thread asks for the interpreter: the child would wait for it for ever (telemetry/README.md, Limits).
    import ctypes, threading
    while True:
        own, frames = threading.get_ident(), sys._current_frames()
        places = {frame.f_code.co_name for thread, frame in frames.items() if thread != own}
        if places <= {"_pause", "_sleep"} and (places or not client._link._flusher.awake.truth):
            return ctypes.CDLL(None).fork()
        time.sleep(0.01)
"""


def start(code: str, catalog: Path, exit_seconds: float = 30.0, **options: object) -> subprocess.Popen[str]:
    """Run a program from a file, so that multiprocessing can import it; `init()` is there for it.

    At its exit it has more patience than the usual 0.3 s: on a busy machine nobody may answer within that.
    """
    arguments = {"product": PRODUCT, "catalog": str(catalog), "endpoint": ENDPOINT, "consent": "on"} | options
    prologue = PROLOGUE.replace("ARGUMENTS", repr(arguments)).replace("PATIENCE_SECONDS", repr(exit_seconds))
    file = catalog.with_name("program.py")
    file.write_text(prologue + code)
    pipe = subprocess.PIPE
    # From Python 3.12 on it warns of every fork of a process with threads, ZeroMQ's among them.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", str(file)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    try:
        out, error = process.communicate(timeout=100)
    finally:
        process.kill()
    assert error == ""
    assert process.returncode == code
    return out


def run(code: str, catalog: Path, exit_seconds: float = 30.0, **options: object) -> str:
    return finish(start(code, catalog, exit_seconds, **options))


def tombstones(catalog: Path) -> list[dict[str, Any]]:
    assert catalog.exists()
    directory = paths.spool_dir(PRODUCT, ENDPOINT) / TOMBSTONES
    return [json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))]


def assert_each_once(found: Sequence[object], expected: Sequence[object]) -> None:
    assert Counter(found) == Counter(expected)


# Fork.

FORK = """
init()
for number in range(50):
    telemetry.emit("query_finished", number=number)
child = os.fork()
if not child:
    for number in range(1000, 1050):
        telemetry.emit("query_finished", number=number)
    telemetry.count("queries", 7)
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
for number in range(50, 100):
    telemetry.emit("query_finished", number=number)
telemetry.close(30)
"""


def test_a_forked_child_is_a_producer_of_its_own_and_flushes_at_its_exit(catalog: Path) -> None:
    """With an interval of a minute, nearly all of the parent's events wait in its queue while it forks."""
    with stand_in(catalog) as shipper:
        run(FORK, catalog, flush_interval_seconds=60)
        shipper.assert_unbroken()
        parent, child = sorted(shipper.producers, key=lambda producer: numbers_of(shipper, producer))
        assert numbers_of(shipper, parent) == list(range(100))
        assert numbers_of(shipper, child) == list(range(1000, 1050))
        assert shipper.values("count") == [7]
        pids = {
            producer: {frame.context["pid"] for frame in shipper.frames_of(producer)} for producer in (parent, child)
        }
        assert len(pids[parent]) == len(pids[child]) == 1
        assert pids[parent] != pids[child]
        assert shipper.left == [child, parent]


def numbers_of(shipper: StandIn, producer: bytes) -> list[int]:
    events = [event for frame in shipper.frames_of(producer) for event in frame.events]
    return [fields["number"] for _, _, fields in events if "number" in fields]


def test_the_first_event_of_a_child_is_sent_at_once(catalog: Path) -> None:
    code = """
init()
telemetry.emit("query_finished", number=1)
if not os.fork():
    telemetry.emit("query_finished", number=2)
    time.sleep(100)
sys.stdin.read()
"""
    with stand_in(catalog) as shipper:
        process = start(code, catalog, flush_interval_seconds=60)
        try:
            eventually(lambda: sorted(shipper.values("number")) == [1, 2])
        finally:
            for producer in shipper.producers:
                os.kill(shipper.frames_of(producer)[0].context["pid"], signal.SIGKILL)
            process.communicate()


def test_children_of_children_lose_nothing(catalog: Path) -> None:
    code = """
init()
for generation in range(4):
    telemetry.emit("query_finished", number=generation)
    if os.fork():
        break
else:
    telemetry.emit("query_finished", number=4)
    telemetry.close(30)
    os._exit(0)
telemetry.close(30)
os.wait()
"""
    with stand_in(catalog) as shipper:
        run(code, catalog, flush_interval_seconds=60)
        assert_each_once(shipper.values("number"), range(5))
        assert len(shipper.producers) == 5
        shipper.assert_unbroken()


def test_a_process_may_fork_while_other_threads_emit(catalog: Path) -> None:
    code = """
import threading
init()
stopping = threading.Event()
emitted = [0] * 4

def work(thread):
    while not stopping.is_set():
        telemetry.emit("query_finished", number=-1, engine=ValueError())
        telemetry.count("queries")
        emitted[thread] += 1

threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for child in range(10):
    pid = os.fork()
    if not pid:
        for number in range(200):
            telemetry.emit("query_finished", number=child * 200 + number)
        telemetry.close(60)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stopping.set()
for thread in threads:
    thread.join()
telemetry.close(60)
print(sum(emitted))
"""
    with stand_in(catalog) as shipper:
        emitted = int(run(code, catalog, queue_bytes=1 << 30))
        numbers = shipper.values("number")
        assert numbers.count(-1) == emitted
        assert sum(shipper.values("count")) == emitted
        assert_each_once([number for number in numbers if number >= 0], range(2000))
        assert len(shipper.producers) == 11
        shipper.assert_unbroken()


def test_a_signal_handler_that_forks_in_the_middle_of_an_emit_does_no_harm(catalog: Path) -> None:
    code = """
import signal
init()
forked = []

def handler(*_):
    pid = os.fork()
    if not pid:
        telemetry.emit("query_finished", number=-2)
        telemetry.close(30)
        os._exit(0)
    forked.append(pid)

signal.signal(signal.SIGVTALRM, handler)
signal.setitimer(signal.ITIMER_VIRTUAL, 0.01, 0.01)
number = 0
while len(forked) < 10:
    telemetry.emit("query_finished", number=number)
    number += 1
signal.setitimer(signal.ITIMER_VIRTUAL, 0)
for pid in forked:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
telemetry.close(30)
print(number)
"""
    with stand_in(catalog) as shipper:
        emitted = int(run(code, catalog, queue_bytes=1 << 30))
        assert [number for number in shipper.values("number") if number >= 0] == list(range(emitted))
        assert shipper.values("number").count(-2) == 10
        shipper.assert_unbroken()


def test_the_child_of_a_closed_client_does_nothing(catalog: Path) -> None:
    code = """
client = init()
telemetry.emit("query_finished", number=1)
telemetry.close(30)
if not os.fork():
    client.emit("query_finished", number=2)
    telemetry.emit("query_finished", number=3)
    sys.exit(0)
os.wait()
"""
    with stand_in(catalog) as shipper:
        run(code, catalog)
        assert shipper.values("number") == [1]
        assert len(shipper.producers) == 1
    assert tombstones(catalog) == []


def test_a_child_that_never_emitted_leaves_without_waiting_or_a_tombstone(catalog: Path) -> None:
    code = """
init()
if not os.fork():
    began = time.monotonic()
    telemetry.close(30)
    assert time.monotonic() - began < 20
    os._exit(0)
assert os.wait()[1] == 0
"""
    with stand_in(catalog, deaf=True):
        run(code, catalog, exit_seconds=0.3)
    assert len(tombstones(catalog)) == 1


@pytest.mark.parametrize("leave", ["", "os._exit(0)"], ids=["sys.exit", "os._exit"])
def test_a_child_closes_nothing_of_its_parents(catalog: Path, leave: str) -> None:
    code = f"""
import gc
init()
telemetry.emit("query_finished", number=0)
for number in range(1, 4):
    if not os.fork():
        telemetry.init(product="acme-db", catalog={str(catalog)!r}, endpoint="https://other.example", consent="off")
        gc.collect()
        {leave or "sys.exit(0)"}
    assert os.wait()[1] == 0
    telemetry.emit("query_finished", number=number)
    assert telemetry.flush(60)
"""
    with stand_in(catalog) as shipper:
        run(code, catalog)
        assert shipper.values("number") == [0, 1, 2, 3]
        shipper.assert_unbroken()


# Fork in C, where no hook runs: uWSGI's workers, a library that detaches.

FORK_IN_C = """
init()
for number in range({before}):
    telemetry.emit("query_finished", number=number)
    telemetry.count("queries", 1)
child = fork_in_c()
if not child:
    {work}
for number in range({before}, 100):
    telemetry.emit("query_finished", number=number)
    telemetry.count("queries", 1)
telemetry.close(30)
print(child, flush=True)
sys.stdin.read()
"""

EMIT = """
    for number in range(1000, 1050):
        telemetry.emit("query_finished", number=number)
        telemetry.count("queries", 1000)
    time.sleep(100)
"""

COUNT_FIRST = """
    telemetry.count("queries", 50_000)
    for number in range(1000, 1050):
        telemetry.emit("query_finished", number=number)
    time.sleep(100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child before its batch is full")
@pytest.mark.parametrize("work", [EMIT, COUNT_FIRST], ids=["emit", "count"])
@pytest.mark.parametrize("before", [1, 99])
def test_a_child_forked_in_c_is_a_producer_of_its_own_while_it_lives(catalog: Path, work: str, before: int) -> None:
    """With 99 events before, the parent's thread is awake and its queue full of what is not the child's."""
    with stand_in(catalog) as shipper:
        code = FORK_IN_C.format(work=work, before=before)
        process = start(code, catalog, flush_interval_seconds=0.3)
        assert process.stdout
        child = int(process.stdout.readline())
        try:
            eventually(lambda: len(shipper.values("number")) >= 150 and sum(shipper.values("count")) >= 50_100)
        finally:
            os.kill(child, signal.SIGKILL)
            finish(process)
        assert_each_once(shipper.values("number"), [*range(100), *range(1000, 1050)])
        assert sum(shipper.values("count")) == 50_100
        assert len(shipper.producers) == 2
        shipper.assert_unbroken()
        pids = {frame.context["pid"]: frame.producer for frame in shipper.frames if frame.events}
        assert len(pids) == 2
        assert child in pids


LEAVE = {
    "flush": "assert telemetry.flush(60); os._exit(0)",
    "close": "telemetry.emit('query_finished', number=1000); telemetry.close(30); os._exit(0)",
    "exit": "telemetry.emit('query_finished', number=1000); sys.exit(0)",
    "fork again": """
    child = os.fork()
    telemetry.emit('query_finished', number=1001 if child else 1000)
    telemetry.close(30)
    os._exit(bool(child and os.waitpid(child, 0)[1]))
    """,
}


@pytest.mark.parametrize("leave", LEAVE)
def test_a_child_forked_in_c_ends_in_order(catalog: Path, leave: str) -> None:
    code = f"""
init()
telemetry.emit("query_finished", number=0)
child = fork_in_c()
if not child:
    {LEAVE[leave].strip()}
assert os.waitpid(child, 0)[1] == 0
telemetry.close(30)
"""
    with stand_in(catalog) as shipper:
        run(code, catalog)
        expected = {"flush": [0], "fork again": [0, 1000, 1001]}.get(leave, [0, 1000])
        assert_each_once(shipper.values("number"), expected)
        shipper.assert_unbroken()


def test_threads_of_a_child_forked_in_c_lose_nothing_a_clock_tick_after_it(catalog: Path) -> None:
    code = """
import threading
from telemetry.producer.flag import forked_before_ns
init()
for number in range(50):
    telemetry.emit("query_finished", number=-1)
if not fork_in_c():
    while time.time_ns() <= forked_before_ns():
        pass
    barrier = threading.Barrier(8)
    def work(thread):
        barrier.wait()
        for number in range(100):
            telemetry.emit("query_finished", number=thread * 100 + number)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    telemetry.close(30)
    os._exit(0)
assert os.wait()[1] == 0
telemetry.close(30)
"""
    with stand_in(catalog) as shipper:
        run(code, catalog)
        assert_each_once([number for number in shipper.values("number") if number >= 0], list(range(800)))
        assert shipper.values("number").count(-1) == 50
        shipper.assert_unbroken()


# Multiprocessing.

MULTIPROCESSING = """
import multiprocessing

def work(child):
    if method != "fork":
        init()
    for number in range(100):
        telemetry.emit("query_finished", number=child * 100 + number)

method = METHOD
if __name__ == "__main__":
    init()
    context = multiprocessing.get_context(method)
    children = [context.Process(target=work, args=(child,)) for child in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    telemetry.emit("query_finished", number=300)
    print(telemetry.flush(30))
    PAUSE
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_flush_when_they_end(catalog: Path, method: str) -> None:
    with stand_in(catalog) as shipper:
        code = MULTIPROCESSING.replace("METHOD", repr(method)).replace("PAUSE", "")
        assert run(code, catalog, flush_interval_seconds=60) == "True\n"
        assert_each_once(shipper.values("number"), range(301))
        assert len(shipper.producers) == 4
        shipper.assert_unbroken()
    assert tombstones(catalog) == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_lose_nothing_with_a_real_shipper(catalog: Path, method: str) -> None:
    """The host is up before its children: the shipper has bound its sockets when they come."""
    code = MULTIPROCESSING.replace("METHOD", repr(method)).replace("PAUSE", "sys.stdin.readline()")
    code = code.replace("    children =", "    telemetry.flush(30)\n    children =")
    command = [sys.executable, "-m", "telemetry", "status", "--json", "--product", PRODUCT]

    def ledger() -> dict[str, Any]:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        read: dict[str, Any] = json.loads(found.stdout)["ledger"]
        return read

    process = start(code, catalog, flush_interval_seconds=60)
    try:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        eventually(lambda: ledger()["emitted"] == 301)
        assert ledger()["dropped"] == {}
    finally:
        finish(process)


def test_a_pool_loses_nothing_when_it_is_closed(catalog: Path) -> None:
    code = """
import multiprocessing

def work(number):
    telemetry.emit("query_finished", number=number)

if __name__ == "__main__":
    init()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, range(200))
        pool.close()
        pool.join()
"""
    with stand_in(catalog) as shipper:
        run(code, catalog, flush_interval_seconds=60)
        assert_each_once(shipper.values("number"), range(200))


# The end.


def test_events_are_handed_over_when_the_program_ends(catalog: Path) -> None:
    code = 'init()\nfor number in range(100): telemetry.emit("query_finished", number=number)\n'
    with stand_in(catalog) as shipper:
        run(code, catalog, flush_interval_seconds=60)
        assert shipper.values("number") == list(range(100))
        assert shipper.left == shipper.producers
    assert tombstones(catalog) == []


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "raise KeyboardInterrupt", "1 / 0"])
def test_events_are_handed_over_however_the_program_ends(catalog: Path, end: str) -> None:
    with stand_in(catalog) as shipper:
        process = start(f'init()\ntelemetry.emit("query_finished", number=1)\n{end}\n', catalog)
        process.communicate(timeout=100)
        assert process.returncode != 0
        assert shipper.values("number") == [1]


def test_an_exit_that_nobody_confirms_is_bounded_and_leaves_a_tombstone(catalog: Path) -> None:
    """Compared with a program that only imports what ours does."""
    code = """
init()
for number in range(300):
    telemetry.emit("query_finished", number=number)
telemetry.emit(object(), number=1)
"""
    with stand_in(catalog, deaf=True):
        began = time.monotonic()
        run("from telemetry.producer import link\n", catalog)
        plain = time.monotonic() - began
        run(code, catalog, exit_seconds=0.3)
        ours = time.monotonic() - began - plain
    # 0.3 s and, on a busy machine, as much again as a program takes at all.
    assert ours < 0.3 + 3 * plain + 3.0
    [tombstone] = tombstones(catalog)
    assert tombstone["accepted"] == 300
    assert tombstone["dropped"] == {"unencodable": 1, "exit_unconfirmed": 0}
    assert len(bytes.fromhex(tombstone["producer"])) == 16


def test_a_tombstone_is_private_and_holds_counts_only(catalog: Path) -> None:
    with stand_in(catalog, deaf=True), host(catalog) as client:
        client.emit("query_finished", engine="secret")
        client.close(0.0)
    directory = paths.spool_dir(PRODUCT, ENDPOINT) / TOMBSTONES
    [file] = directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert json.loads(file.read_text()).keys() == {"producer", "pid", "accepted", "dropped", "place"}
    assert "secret" not in file.read_text()


def test_what_is_emitted_after_the_end_does_nothing_and_says_nothing(catalog: Path) -> None:
    """What is registered with atexit before us runs after us."""
    code = """
import atexit, threading
client = None

def late():
    for number in range(1000):
        telemetry.emit("query_finished", number=-1)
        client.count("queries")
    assert telemetry.flush()

atexit.register(late)
client = init()
telemetry.emit("query_finished", number=1)

def work():
    while True:
        client.emit("query_finished", number=2)

threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
"""
    with stand_in(catalog) as shipper:
        run(code, catalog)
        assert 1 in shipper.values("number")
        assert -1 not in shipper.values("number")


class Meddler(StandIn):
    """Has events emitted, or counted, after what is to be confirmed was settled and before it is confirmed."""

    meddle: Callable[[], object] = staticmethod(lambda: None)

    def _answer(self, sockets: Sockets) -> None:
        self.meddle()
        super()._answer(sockets)


@pytest.mark.parametrize("call", ["emit", "count"])
def test_what_is_emitted_while_close_waits_is_written_down(catalog: Path, call: str) -> None:
    """As by a thread that goes on while atexit closes."""
    shipper = Meddler(rendezvous(catalog))
    try:
        with host(catalog, flush_interval_seconds=60) as client:
            client.emit("query_finished", number=0)
            record, tick = client.record, client.tick
            late: list[int] = []

            def meddle() -> None:
                if not late:
                    late.append(1)
                    for number in range(3):
                        record("started", {}) if call == "emit" else tick("queries", number, {})

            shipper.meddle = meddle
            client.close(30)
        [stone] = tombstones(catalog)
        # Numbered or unconfirmed, as the threads happen to run: what counts is that nothing is missing.
        assert stone["accepted"] + sum(stone["dropped"].values()) == 1 + (3 if call == "emit" else 1)
        assert shipper.left == []
    finally:
        shipper.stop()


def test_clients_share_one_hook_at_fork(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks: list[object] = []
    with stand_in(catalog), host(catalog):
        monkeypatch.setattr(os, "register_at_fork", lambda **hook: hooks.append(hook))
        with host(catalog):
            pass
    assert hooks == []


# SIGTERM.


def terminated(code: str, catalog: Path, exit_seconds: float = 30.0, **options: object) -> subprocess.Popen[str]:
    """Start a program, and send it SIGTERM when it says that it is ready."""
    process = start(code, catalog, exit_seconds, **options)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    return process


WAIT = """
for number in range(100):
    telemetry.emit("query_finished", number=number)
print("ready", flush=True)
for _ in range(2000):
    time.sleep(0.05)  # not all at once: a signal that comes right before a sleep waits until its end
"""


def test_on_sigterm_events_are_handed_over_and_the_process_dies_of_it(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        process = terminated("init()" + WAIT, catalog, handle_sigterm=True, flush_interval_seconds=60)
        finish(process, -signal.SIGTERM)
        assert shipper.values("number") == list(range(100))
        assert shipper.left == shipper.producers


def test_a_sigterm_while_the_process_ends_anyway_waits_for_its_close(catalog: Path) -> None:
    """As a pool's workers get one, which are told to end a moment before."""
    code = """
import signal
from telemetry.producer.link import Link
init()
flush = Link._flush
def interrupted(self, deadline):
    os.kill(os.getpid(), signal.SIGTERM)
    return flush(self, deadline)
Link._flush = interrupted
for number in range(100):
    telemetry.emit("query_finished", number=number)
"""
    with stand_in(catalog) as shipper:
        finish(start(code, catalog, handle_sigterm=True, flush_interval_seconds=60), -signal.SIGTERM)
        assert shipper.values("number") == list(range(100))
        assert shipper.left == shipper.producers
    assert tombstones(catalog) == []


def test_on_sigterm_the_hosts_own_handler_runs_and_may_go_on_emitting(catalog: Path) -> None:
    code = """
import signal
def handler(number, frame):
    telemetry.emit("query_finished", number=100)
    sys.exit(number)
signal.signal(signal.SIGTERM, handler)
init()
"""
    with stand_in(catalog) as shipper:
        process = terminated(code + WAIT, catalog, handle_sigterm=True, flush_interval_seconds=60)
        finish(process, int(signal.SIGTERM))
        assert shipper.values("number") == list(range(101))


def test_a_host_that_ignores_sigterm_goes_on_as_before(catalog: Path) -> None:
    code = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
init()
print("ready", flush=True)
sys.stdin.readline()
telemetry.emit("query_finished", number=1)
"""
    with stand_in(catalog) as shipper:
        finish(terminated(code, catalog, handle_sigterm=True))
        assert shipper.values("number") == [1]


def test_without_being_asked_no_signal_handler_is_set(catalog: Path) -> None:
    code = """
import signal
before = [signal.getsignal(number) for number in signal.valid_signals()]
init()
telemetry.emit("started")
telemetry.flush(30)
assert before == [signal.getsignal(number) for number in signal.valid_signals()]
"""
    with stand_in(catalog):
        run(code, catalog)


def test_sigterm_in_the_middle_of_emitting_never_hangs_and_loses_nothing_uncounted(catalog: Path) -> None:
    """Whatever it interrupts: then the batch in hand can't be sent any more, and is written down."""
    code = """
import mmap
shared = mmap.mmap(os.open(sys.argv[0] + ".count", os.O_RDWR), 8)
init()
print("ready", flush=True)
number = 0
while True:
    telemetry.emit("query_finished", number=number)
    number += 1
    shared[:8] = number.to_bytes(8, "little")
"""
    count = catalog.with_name("program.py.count")
    with stand_in(catalog) as shipper:
        for _ in range(5):
            count.write_bytes(bytes(8))
            finish(
                terminated(code, catalog, exit_seconds=0.3, handle_sigterm=True, queue_bytes=1 << 30), -signal.SIGTERM
            )
            emitted = int.from_bytes(count.read_bytes(), "little")
            producer = shipper.producers[-1]
            received = max(frame.first + len(frame.events) for frame in shipper.frames_of(producer))
            left = {stone["producer"]: stone for stone in tombstones(catalog)}.get(producer.hex())
            accounted = left["accepted"] + sum(left["dropped"].values()) if left else received
            assert emitted <= accounted <= emitted + 1 + CHUNK_EVENTS
