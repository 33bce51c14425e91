"""A producer of the demo: a process that works through its share of this machine's files and emits what it meets.

    python -m telemetry.demo.producer INDEX PROCESSES SHARE_EVENTS ENDPOINT

It reports its progress on stdout, a JSON object a line, each one a `Word`. SIGTERM ends it in order.

The cost of telemetry in a host is measured over the whole run: all CPU time of this process, including ZeroMQ's thread
and the flush thread, from after `init` to the shipper's last confirmation, less what the main thread used for its own
work. Nothing is thus estimated from a sample, and doubtful parts (the loop around `emit`) count as telemetry's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections import Counter
from itertools import chain, cycle, islice
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, NamedTuple

import telemetry
from telemetry.demo.machine import file_events, list_files, package_events, process_events, roots, shuffled
from telemetry.errors import TelemetryError
from telemetry.settings import ShipperSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from telemetry.demo.machine import Event

PRODUCT = "demo"
CATALOG = Path(__file__).with_name("demo.toml")
SETTINGS = ShipperSettings(segment_seconds=2.0, upload_jitter_seconds=0.0)
"""Settings with short times, so that a newcomer sees deliveries while events are still being emitted."""

CHUNK_EVENTS = 2048
"""The number of events prepared, then emitted at once: two looks at the clock tell the two apart."""

SAY_SECONDS = 0.1
FLUSH_SECONDS = 30.0
CANDIDATES = 500
ORIGINS = len(roots())
"""The number of walks through the disk that are an event each."""

_HINT = re.compile(r"@|://|/home/|/Users/|password|\d[\d.() -]{6,}\d")
"""A cheap hint that a comment may be private: the rules decide."""


class Word(NamedTuple):
    """A report by a producer.

    Attributes:
        emitted: the number of events so far; the aggregates of counters come on top.
        comments: comments in which redaction may find something; they never leave the demo's memory.
        ended: whether this is the last word; the following attributes are known only then.
        confirmed: whether the shipper has confirmed everything.
        own_cpu_seconds: the CPU time of reading, tokenising and reporting.
        init_cpu_seconds: the CPU time of `telemetry.init`.
        host_cpu_seconds: the CPU time of telemetry from then on.
    """

    emitted: int
    comments: tuple[str, ...] = ()
    ended: bool = False
    confirmed: bool = False
    own_cpu_seconds: float = 0.0
    init_cpu_seconds: float = 0.0
    host_cpu_seconds: float = 0.0


class OwnWork:
    """A meter of the CPU time that the main thread spends inside `with`, on anything but telemetry."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.thread_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cpu_seconds += time.thread_time() - self._began


class Speaker:
    """A reporter that tells the demo this producer's progress some ten times a second."""

    def __init__(self) -> None:
        self._spoke = time.monotonic()
        self._comments: list[str] = []
        self._left = CANDIDATES

    def note(self, chunk: list[Event], emitted: int) -> None:
        """Note a chunk that is being emitted, and report if it is time to."""
        if self._left > 0:
            self._pick(chunk)
        if time.monotonic() - self._spoke >= SAY_SECONDS:
            self.say(Word(emitted))

    def say(self, word: Word) -> None:
        """Report now."""
        self._spoke = time.monotonic()
        print(json.dumps(word._replace(comments=tuple(self._comments))._asdict()), flush=True)  # noqa: T201 that is how it speaks
        self._comments.clear()

    def _pick(self, chunk: list[Event]) -> None:
        texts = (fields["text"] for name, fields in chunk if name == "comment")
        found = [text for text in texts if _HINT.search(text)][: self._left]
        self._left -= len(found)
        self._comments += found


def main() -> int:
    """Run the producer that argv describes; return the exit code."""
    index, processes, share_events = (int(number) for number in sys.argv[1:4])
    stopping = Flag()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    try:
        produce(index, processes, share_events, sys.argv[4], stopping)
    except TelemetryError as fault:
        print(fault, file=sys.stderr)  # noqa: T201 the demo reads it
        return 1
    except BrokenPipeError:  # the demo is gone: nobody wants to know any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def produce(index: int, processes: int, share_events: int, endpoint: str, stopping: Flag) -> None:
    """Emit exactly `share_events` events, unless `stopping` is set before; then flush and report the cost.

    Args:
        index: this producer's index; it takes every `processes`-th thing from there on.
        processes: the number of producers.
        share_events: the number of events to emit.
        endpoint: the endpoint of the uploads.
        stopping: looked at between chunks.
    """
    began = time.process_time()
    telemetry.init(
        product=PRODUCT,
        catalog=CATALOG,
        endpoint=endpoint,
        consent="on",
        packages=("telemetry",),
        shipper=SETTINGS,
    )
    ready = time.process_time()
    own, speaker = OwnWork(), Speaker()
    paths = _list_timed(own)
    events = _events(paths[index::processes], index, processes)
    emitted = ORIGINS + _emit_all(events, share_events - ORIGINS, stopping, own, speaker)
    confirmed = telemetry.flush(FLUSH_SECONDS)
    host_cpu_seconds = time.process_time() - ready - own.cpu_seconds
    telemetry.close()
    speaker.say(
        Word(
            emitted,
            ended=True,
            confirmed=confirmed,
            own_cpu_seconds=own.cpu_seconds,
            init_cpu_seconds=ready - began,
            host_cpu_seconds=host_cpu_seconds,
        )
    )


def _list_timed(own: OwnWork) -> list[Path]:
    paths: list[Path] = []
    for origin, directories in roots().items():
        with telemetry.timer("files_listed", origin=origin), own:
            paths += list_files(directories)
    with own:
        return shuffled(paths)


def _events(paths: list[Path], index: int, processes: int) -> Iterator[Event]:
    """Yield packages and processes once, then the files over and over."""
    once = chain(package_events(), process_events())
    files = (file_events(path, time.perf_counter) for path in cycle(paths))
    return chain(islice(once, index, None, processes), chain.from_iterable(files))


def _emit_all(events: Iterator[Event], wanted: int, stopping: Flag, own: OwnWork, speaker: Speaker) -> int:
    emit, count = telemetry.emit, telemetry.count
    emitted = 0
    while emitted < wanted and not stopping.is_set():
        with own:
            chunk = list(islice(events, min(CHUNK_EVENTS, wanted - emitted)))
            tokens = Counter(fields["type"] for name, fields in chunk if name == "token")
        for name, fields in chunk:
            emit(name, **fields)
        for type_, number in tokens.items():
            count("tokens_seen", number, type=type_)
        emitted += len(chunk)
        with own:
            speaker.note(chunk, emitted)
    return emitted


if __name__ == "__main__":
    sys.exit(main())
