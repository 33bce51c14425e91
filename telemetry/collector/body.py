"""Check of a body against its headers before it is kept: one unreadable body in the store would spoil every query.

A body is read in pieces of bounded size, whatever it holds, which bounds the memory used. The work is bounded too: the
cost of a piece is counted, where possible before it is incurred, and the processor's time is a second bound for
whatever the count does not foresee.
"""

from __future__ import annotations

import io
import itertools
import json
import operator
import re
import time
import zlib
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import msgspec
import zstandard

from telemetry.collector.declared import ELLIPSIS, MAX_NAMES, unknown_names
from telemetry.collector.judge import Refusal
from telemetry.collector.shapes import Shapes, Value
from telemetry.collector.store import NDJSON_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry.collector.declared import Declared

MAX_LINE_BYTES = 1 << 20
"""The greatest length of a line, which is one event; a producer's frame holds 256 KiB at most."""

MAX_FIELD_NAMES = 2000
"""The greatest number of field names in a body, and so in an event. Each becomes a column of every query."""

_MAX_NAME_LENGTH = 100
_MAX_SESSION_LENGTH = 100  # no id is longer
_RESERVED = ("event", "time", "session")
_PIECE_BYTES = 1024  # compressed: a block of zstd has 4 bytes or more and gives 128 KiB at most, so that is 32 MiB
_GZIP_MEMBER = 16 + zlib.MAX_WBITS  # of a KiB it makes 1 MiB at most
_CHUNK_BYTES = 32 << 10  # of lines that are decoded at once: what they become stays in a core's cache
_WINDOW_BYTES = 8 << 20  # what RFC 8878, 3.1.1.1.2 recommends to support

# Seconds of a slow core. Lines and fields are counted when a chunk has been taken apart.
_BYTE_COST = 0.6e-9
_GZIP_BYTE_COST = 3e-9
_LINE_COST = 150e-9
_FIELD_COST = 130e-9
_KNOWN_BYTE_COST = 4e-9  # of events like those before them, whose fields are not counted
_ODD_LINE_COST = 1e-6  # not written as msgspec would write it: compared by itself
_ODDER_LINE_COST = 5e-6  # ... nor after its spaces are gone: its fields are counted
_TIME_COST = 1e-6  # one that no line before has had
# In a line that no shipper writes, of several chunks: escapes in a text, and floats like 1e300.
_LONG_BYTE_COST = 30e-9
_LONG_FIELD_COST = 20e-6
# Ten thousand events like those of the demo are 0.1 MiB and cost 0.012; a full segment of 32 MiB, 0.26 to 0.37.
_BASE_GRANT_SECONDS = 0.28
_GRANT_SECONDS_PER_BYTE = 0.1 / (1 << 20)
_TIMED_PER_COUNTED = 1.05

_DECODER = msgspec.json.Decoder(dict[str, Value])
_ENCODER = msgspec.json.Encoder()
_time_of = operator.attrgetter("time")
_count_fields = json.JSONDecoder(object_pairs_hook=len).decode
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"([ \t\r]*:)?')  # a name is a text before a colon
_MOST_SHAPES = 1000  # remembered as looked at
_YEARS = range(1970, 2262)  # what the shipper writes, and nanoseconds in 64 bits can hold

_NO_FLAT_OBJECT = "is not one flat JSON object"
_TOO_MANY_NAMES = f"brings the field names of the body to more than {MAX_FIELD_NAMES}"


class Finding(NamedTuple):
    """Outcome of the examination of a body.

    Attributes:
        refusal: the reason why the body can't be kept; None if it can.
        is_finished: False if the examination would have cost more than was granted, which leaves the question open.
        events: the number of lines examined.
        cost_seconds: the counted cost of the part that was examined.
        sessions: the sessions of its events. A shipper's body holds one; of other bodies, only one line in some
            hundreds
            is looked at for it.
        unknown: the events, and fields as `event.field`, that no catalog names, as far as they were looked for.
    """

    refusal: Refusal | None
    is_finished: bool
    events: int
    cost_seconds: float = 0.0
    sessions: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


class _UnfitError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(status, reason)


class _DearError(Exception):
    """Raised when an examination costs more than was granted."""


class Grant(NamedTuple):
    """Bounds on the cost of examining a body.

    Attributes:
        cost_seconds: the bound on the counted cost.
        cpu_seconds: the bound on the processor's time.
    """

    cost_seconds: float
    cpu_seconds: float


def grant_for(body_bytes: int) -> Grant:
    """Return the bounds for a body of the given compressed size: more is granted to a client that has sent more."""
    cost_seconds = _BASE_GRANT_SECONDS + body_bytes * _GRANT_SECONDS_PER_BYTE
    return Grant(cost_seconds, cost_seconds * _TIMED_PER_COUNTED)


def find_fault(
    body: BinaryIO,
    suffix: str,
    max_unpacked_bytes: int,
    grant: Grant,
    cpu_seconds: Callable[[], float] = time.thread_time,
    declared: Declared | None = None,
    *,
    refuses_unknown: bool = False,
) -> Finding:
    """Read a body to its end, or to its first fault.

    Args:
        body: the file as it was received.
        suffix: the end of its name, such as `.ndjson.zst`.
        max_unpacked_bytes: a body larger than this after decompression is refused with 413.
        grant: the bounds on the cost, beyond which the examination ends unfinished.
        cpu_seconds: the clock of the processor's time.
        declared: the names that catalogs declare; None to look for no others.
        refuses_unknown: whether a line with another name is a fault.
    """
    look = _Look(grant, cpu_seconds, declared, refuses_unknown=refuses_unknown)
    refusal = None
    byte_cost = _GZIP_BYTE_COST if suffix.endswith(".gz") else _BYTE_COST
    try:
        for piece in _bounded(_pieces(body, suffix), max_unpacked_bytes):
            look.charge(len(piece) * byte_cost)
            if suffix in NDJSON_SUFFIXES:
                look.take(piece)
        look.finish()
    except _UnfitError as fault:
        refusal = fault.refusal
    except _DearError:
        return Finding(None, is_finished=False, events=look.lines, cost_seconds=look.cost_seconds)
    except zstandard.ZstdError:
        refusal = Refusal(400, "the body is not zstd, as its Content-Encoding says, or asks for too much memory")
    except zlib.error:
        refusal = Refusal(400, "the body is not gzip, as its Content-Encoding says")
    found = (look.lines, look.cost_seconds, frozenset(look.sessions), frozenset(look.unknown))
    return Finding(refusal, True, *found)  # noqa: FBT003 see Finding


class _Look:
    """Examination of a body's lines as they arrive, with a running count of the cost."""

    def __init__(
        self, grant: Grant, cpu_seconds: Callable[[], float], declared: Declared | None, *, refuses_unknown: bool
    ) -> None:
        self.unknown: set[str] = set()
        self._declared = declared
        self._refuses_unknown = refuses_unknown
        self._looked_at: set[tuple[object, ...]] = set()
        self.lines = 0
        self.sessions: set[str] = set()
        self.cost_seconds = 0.0
        self._max_cost_seconds = grant.cost_seconds
        self._cpu_seconds = cpu_seconds
        self._until_seconds = cpu_seconds() + grant.cpu_seconds
        self._look_at_seconds = time.monotonic() + grant.cpu_seconds
        self._rest = bytearray()
        self._names = {name: name for name in _RESERVED}  # by what SQL makes of them
        self._seen: set[str] = set()
        self._times: set[object] = {None, msgspec.UNSET}
        self._shapes = Shapes()

    def charge(self, cost_seconds: float) -> None:
        self._pay(cost_seconds)

    def take(self, piece: bytes) -> None:
        self._rest += piece
        if len(self._rest) < _CHUNK_BYTES or (b"\n" not in piece and len(self._rest) <= MAX_LINE_BYTES):
            return  # a line that comes in crumbs is looked through once
        start = 0
        while len(self._rest) - start >= _CHUNK_BYTES and (end := _end_of_chunk(self._rest, start)):
            self._check(bytes(memoryview(self._rest)[start:end]))
            start = end
        del self._rest[:start]
        if len(self._rest) > MAX_LINE_BYTES:
            raise _UnfitError(413, f"line {self.lines + 1} is longer than {MAX_LINE_BYTES} bytes")

    def finish(self) -> None:
        if self._rest:
            self._check(bytes(self._rest if self._rest.endswith(b"\n") else self._rest + b"\n"))

    def _check(self, chunk: bytes) -> None:
        """Check whole lines: all at once first, then one by one if that fails or leaves doubt."""
        if len(chunk) > 2 * _CHUNK_BYTES:
            self._pay(len(chunk) * _LONG_BYTE_COST)
            self._pay(self._count_names(chunk) * _LONG_FIELD_COST)
        try:
            # What is the same when it is written anew has each key once, and each object on a line of its own.
            known = self._shapes.decode_lines(chunk)
            if known is not None and _ENCODER.encode_lines(known) == chunk:
                self._check_values([known[0].session], set(map(_time_of, known)))
                self.lines += len(known)
                self._pay(len(known) * _LINE_COST + len(chunk) * _KNOWN_BYTE_COST)
                return
            rows = _DECODER.decode_lines(chunk)
            if _ENCODER.encode_lines(rows) == chunk:
                self._check_rows(rows)
                self._shapes.learn(rows)
                self.lines += len(rows)
                self._pay(len(rows) * _LINE_COST + sum(map(len, rows)) * _FIELD_COST)
                return
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors; their texts hold data
            pass
        lines = chunk.split(b"\n")[:-1]
        self._pay(len(lines) * _LINE_COST)
        for line in lines:
            self.lines += 1
            if line.strip():
                self._check_alone(line)

    def _count_names(self, line: bytes) -> int:
        """Count the field names of one long line, and of any remainder before it, before the line is decoded."""
        names = (found for found in _TEXTS.finditer(line) if found[1])
        count = sum(1 for _ in itertools.islice(names, MAX_FIELD_NAMES + 1))
        if count > MAX_FIELD_NAMES:
            raise _UnfitError(400, f"line {self.lines + 1} {_TOO_MANY_NAMES}")
        return count

    def _check_alone(self, line: bytes) -> None:
        self._pay(_ODD_LINE_COST)
        try:
            if len(line) > MAX_LINE_BYTES:
                raise _UnfitError(413, f"line {self.lines} is longer than {MAX_LINE_BYTES} bytes")
            row = _DECODER.decode(line)
            self._pay(len(row) * _FIELD_COST)
            if msgspec.json.format(line, indent=-1) != _ENCODER.encode(row):
                self._pay(_ODDER_LINE_COST)
                if _count_fields(line.decode()) != len(row):
                    raise _UnfitError(400, f"line {self.lines} has a field twice")
            self._check_rows([row])
        except (ValueError, RecursionError) as fault:
            reason = str(fault) if isinstance(fault, _ValueFault) else _NO_FLAT_OBJECT
            raise _UnfitError(400, f"line {self.lines} {reason}") from None

    def _check_rows(self, rows: list[dict[str, Value]]) -> None:
        for name in set().union(*rows) - self._seen:
            self._check_name(name)
        if self._declared is not None:
            self._look_for_unknown(rows, self._declared)
        self._check_values([row.get("session") for row in rows[:1]], {row.get("time") for row in rows})

    def _look_for_unknown(self, rows: list[dict[str, Value]], declared: Declared) -> None:
        """Note what no catalog names. Lines like those before, of which only the values are checked, have none anew."""
        for shape in {(row.get("event"), *row) for row in rows} - self._looked_at:
            event, *fields = shape
            self._pay(_FIELD_COST * len(fields))
            for name in unknown_names(event, map(str, fields), declared):
                self.unknown.add(name if len(self.unknown) < MAX_NAMES else ELLIPSIS)
                if self._refuses_unknown:
                    raise _ValueFault("has an event or a field that no catalog names")
            if len(self._looked_at) < _MOST_SHAPES:
                self._looked_at.add(shape)

    def _check_values(self, sessions: list[object], times: set[object]) -> None:
        self.sessions.update(
            session for session in sessions if isinstance(session, str) and len(session) <= _MAX_SESSION_LENGTH
        )
        if new_times := times - self._times:
            self._pay(len(new_times) * _TIME_COST)
            if not all(map(_is_time, new_times)):
                raise _ValueFault("has a `time` that is none, as in 2026-01-31T00:00:00Z")
            self._times |= new_times

    def _check_name(self, name: str) -> None:
        if len(self._seen) == MAX_FIELD_NAMES:
            raise _ValueFault(_TOO_MANY_NAMES)
        if not (0 < len(name) <= _MAX_NAME_LENGTH and name.isprintable()):
            raise _ValueFault(f"has a field name that is not 1 to {_MAX_NAME_LENGTH} printable characters")
        if self._names.setdefault(name.lower(), name) != name:
            raise _ValueFault("has a field name that differs from another one, or a reserved one, by case alone")
        self._seen.add(name)

    def _pay(self, cost_seconds: float) -> None:
        self.cost_seconds += cost_seconds
        if self.cost_seconds > self._max_cost_seconds:
            raise _DearError
        now_seconds = time.monotonic()
        if now_seconds >= self._look_at_seconds:  # until then, no more of the processor's time can have gone either
            left_seconds = self._until_seconds - self._cpu_seconds()
            if left_seconds < 0:
                raise _DearError
            self._look_at_seconds = now_seconds + left_seconds


class _ValueFault(ValueError):  # noqa: N818 not raised beyond this module
    """Raised for a fault in a line; its text is ours and quotes no data."""


def _end_of_chunk(lines: bytearray, start: int) -> int:
    """Return the end of as many whole lines as fill a chunk, or of one longer line; 0 if that end has not arrived."""
    return (lines.rfind(b"\n", start, start + _CHUNK_BYTES) + 1) or (lines.find(b"\n", start + _CHUNK_BYTES) + 1)


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        return datetime.fromisoformat(value).year in _YEARS
    except ValueError:
        return False


def _pieces(body: BinaryIO, suffix: str) -> Iterator[bytes]:
    if suffix.endswith(".zst"):
        return _unpack(body)
    return _ungzip(body) if suffix.endswith(".gz") else _plain(body)


def _plain(body: BinaryIO) -> Iterator[bytes]:
    while piece := body.read(io.DEFAULT_BUFFER_SIZE):
        yield piece


def _unpack(body: BinaryIO) -> Iterator[bytes]:
    """Decompress one zstd frame, and refuse more: readers disagree about further frames, and empty ones cost time."""
    frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
    while not frame.eof and (piece := body.read(_PIECE_BYTES)):
        yield frame.decompress(piece)
    if not frame.eof:
        raise _UnfitError(400, "the body is no zstd, or is cut short")
    if frame.unused_data or body.read(1):
        raise _UnfitError(400, "the body is more than one zstd frame")


def _ungzip(body: BinaryIO) -> Iterator[bytes]:
    """Decompress one gzip member, and refuse more, as of zstd's frames."""
    member = zlib.decompressobj(_GZIP_MEMBER)
    while not member.eof and (piece := body.read(_PIECE_BYTES)):
        yield member.decompress(piece)
    if not member.eof:
        raise _UnfitError(400, "the body is no gzip, or is cut short")
    if member.unused_data or body.read(1):
        raise _UnfitError(400, "the body is more than one gzip member")


def _bounded(pieces: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    left_bytes = most_bytes
    for piece in pieces:
        left_bytes -= len(piece)
        if left_bytes < 0:
            raise _UnfitError(413, f"the body is larger than {most_bytes} bytes, decompressed")
        yield piece
