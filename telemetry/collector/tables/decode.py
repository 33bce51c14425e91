"""Reading of bodies into Arrow tables, typed as the tables are.

Nothing in a body stops the loader. What a shipper writes takes the fast path, a whole event's lines at once; the lines
of a body where that fails are read one by one, by the rules of a query over the store: a value that does not fit its
column is NULL. A line that loses anything so, or belongs to no table, is kept aside as it came, with the reason.
"""

from __future__ import annotations

import io
import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from telemetry.collector.bodies import UnreadableError, split_lines, unpacked
from telemetry.collector.body import MAX_LINE_BYTES
from telemetry.collector.store import NDJSON_SUFFIXES
from telemetry.collector.views import TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from telemetry.collector.tables.layout import Columns, Layout
    from telemetry.collector.tables.source import Batch

MAX_UNPACKED_BYTES = 256 << 20
"""The greatest size of a body that is read; a collector takes 64 MiB unless told otherwise."""

_LEAST_LINE_BYTES = len('{"event":"a"}')
_MAX_LINES = 2_000_000  # a shipper's body holds some ten thousand
_HEAD = b'{"event":"'
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)", re.ASCII)
_MICROSECONDS = 6
_MAX_INT = 2**63
_FIRST_US, _LAST_US = (
    pa.scalar(time.replace(tzinfo=UTC), pa.timestamp("us", "UTC")).value
    for time in (datetime.min, datetime.max)  # noqa: DTZ901
)

_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "BIGINT[]": pa.list_(pa.int64()),
    TIME: pa.timestamp("us", "UTC"),
}


class Aside(NamedTuple):
    """A line that no row holds as a whole.

    Attributes:
        event: the event it names; None if it names none.
        reason: the reason, without the line's data.
        loaded: whether what is left of it is a row of its event.
        line: the line.
    """

    event: str | None
    reason: str
    loaded: bool
    line: bytes


class _Named(msgspec.Struct):
    event: str


class _OfSession(msgspec.Struct):
    session: object = None


_of_session = msgspec.json.Decoder(_OfSession).decode
_event_of = msgspec.json.Decoder(_Named).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_numbers = msgspec.json.Decoder(list[int]).decode
_count_members = json.JSONDecoder(object_pairs_hook=len).decode


def session_of(line: bytes) -> str | None:
    """Return the session that a line names; None if it names none, or is no object."""
    try:
        session = _of_session(line).session
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return session if isinstance(session, str) else None


def arrow_type(sql_type: str) -> pa.DataType:
    """Return the type in Arrow of a column, given by its SQL type."""
    return _ARROW[sql_type]


def lines_of(batch: Batch) -> bytes:
    """Return a batch's body as lines of JSON.

    Raises:
        UnreadableError: it is damaged, no message that this version knows, or too large.
    """
    plain = bytearray()
    for piece in unpacked(io.BytesIO(batch.body), batch.suffix):
        plain += piece
        if len(plain) > MAX_UNPACKED_BYTES:
            raise UnreadableError(f"it is larger than {MAX_UNPACKED_BYTES} bytes, decompressed")
    if batch.suffix in NDJSON_SUFFIXES:
        if plain.count(b"\n") * _LEAST_LINE_BYTES > len(plain):  # blank ones, mostly: each would be held by itself
            plain = bytearray(b"\n".join(split_lines(bytes(plain))))
        if plain.count(b"\n") > _MAX_LINES:
            raise UnreadableError(f"it holds more than {_MAX_LINES} lines")
        return bytes(plain)
    from telemetry.collector.protobuf import event_lines  # noqa: PLC0415 few sources have any

    try:
        return b"".join(event_lines(bytes(plain), batch.route))
    except (ValueError, RecursionError):
        raise UnreadableError("it is not a message that this version knows for its route") from None


def by_event(lines: bytes) -> dict[str | None, list[bytes]]:
    """Sort the lines of a body by the event that each names; None for those that name none."""
    heads: dict[bytes, list[bytes]] = {}
    at = len(_HEAD)
    for line in lines.split(b"\n"):
        head = line[: line.find(b'"', at)] if line.startswith(_HEAD) else b""
        try:
            heads[head].append(line)
        except KeyError:
            heads[head] = [line]
    events: dict[str | None, list[bytes]] = {}
    odd = heads.pop(b"", [])
    for head, named in heads.items():
        try:
            name = head[at:].decode()
        except UnicodeDecodeError:
            odd += named
            continue
        if "\\" in name:
            odd += named
        else:
            events[name] = named
    for line in odd:
        if stripped := line.strip():
            events.setdefault(_name(stripped), []).append(stripped)
    return events


def _name(line: bytes) -> str | None:
    try:
        return _event_of(line).event
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors; their texts hold data
        return None


class Reader:
    """Reads lines of one event into rows of its table.

    Args:
        layout: the table.
    """

    def __init__(self, layout: Layout) -> None:
        self._types: Columns = {"time": layout.columns["time"], "session": layout.columns["session"]}
        self._types |= {column.field: column.type for column in layout.fields}
        self._names = ["time", "session", *(column.name for column in layout.fields)]
        self._schema = pa.schema([(field, _ARROW[kind]) for field, kind in self._types.items()])
        self._with_event = self._schema.append(pa.field("event", pa.string()))
        self._times = [field for field, kind in self._types.items() if kind == TIME]
        self._floats = [field for field, kind in self._types.items() if kind == "DOUBLE"]

    def read_all(self, lines: list[bytes]) -> pa.Table | None:
        """Return lines as rows, if every one fits as a whole; None if one does not."""
        whole = b"\n".join(lines)
        if not whole.isascii() and not _is_utf8(whole):
            return None  # Arrow would not look
        try:
            rows = pj.read_json(
                pa.BufferReader(whole),
                read_options=pj.ReadOptions(use_threads=False, block_size=len(whole) + 1),
                parse_options=pj.ParseOptions(explicit_schema=self._with_event, unexpected_field_behavior="error"),
            )
        except (pa.ArrowException, ValueError):  # which hold data
            return None
        if rows.num_rows != len(lines) or not all(_all_finite(rows[field]) for field in self._floats):
            return None
        if not all(_all_of_the_calendar(rows[field]) for field in self._times):
            return None
        return rows.select(list(self._types)).rename_columns(self._names)

    def read_each(self, lines: Iterable[bytes]) -> tuple[pa.Table, list[Aside]]:
        """Return lines as rows, each with what fits of it, and the lines that did not fit as a whole."""
        rows: list[dict[str, Any]] = []
        aside = []
        for line in lines:
            row, reason, event = self._read_one(line)
            if reason:
                aside.append(Aside(event, reason, row is not None, line))
            if row is not None:
                rows.append(row)
        return pa.Table.from_pylist(rows, schema=self._schema).rename_columns(self._names), aside

    def _read_one(self, line: bytes) -> tuple[dict[str, Any] | None, str, str | None]:
        if len(line) > MAX_LINE_BYTES:
            return None, f"it is longer than {MAX_LINE_BYTES} bytes", None
        try:
            members = _members(line)
            event = _text(members.pop("event"))
        except (ValueError, RecursionError, LookupError):
            return None, "it is no object of JSON with an event", None
        if _has_twice(line, len(members) + 1):
            return None, "a field is there twice", event
        row = {}
        unfit = []
        for field, raw in members.items():
            kind = self._types.get(field)
            if kind is None:
                unfit.append("a field that no catalog names")
                continue
            try:
                row[field] = _value(kind, bytes(raw))
            except (ValueError, OverflowError, RecursionError):
                unfit.append(f"{field} is no {kind}")
        return row, "; ".join(dict.fromkeys(unfit)), event


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _all_finite(column: pa.ChunkedArray) -> bool:
    return pc.all(pc.is_finite(column)).as_py() is not False


def _all_of_the_calendar(column: pa.ChunkedArray) -> bool:
    """Tell whether all times are of the years 1 to 9999: Arrow holds others, and Python can't."""
    ends = pc.min_max(column.cast(pa.int64()))
    return ends["min"].as_py() is None or (ends["min"].as_py() >= _FIRST_US and ends["max"].as_py() <= _LAST_US)


def _has_twice(line: bytes, members: int) -> bool:
    """Tell whether a line of so many members, as they are told apart by name, has one of them more than once."""
    try:
        return bool(_count_members(line.decode()) != members)
    except (ValueError, RecursionError):
        return True


def _value(kind: str, raw: bytes) -> Any:
    """Return a member's value, as a query over the store would read it; raise ValueError if it does not fit."""
    if raw == b"null":
        return None
    if kind == "BIGINT[]":
        return list(map(_whole, _numbers(raw)))
    text = _text(raw) if raw.startswith(b'"') else raw.decode()
    return _READERS[kind](text)


def _whole(number: int) -> int:
    if not -_MAX_INT <= number < _MAX_INT:
        raise ValueError
    return number


def _bigint(text: str) -> int:
    number = _whole(int(text))
    if str(number) != text:
        raise ValueError
    return number


def _double(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError
    return text == "true"


def _time(text: str) -> datetime:
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError
    if found[1] and len(found[1]) - 1 > _MICROSECONDS:
        text = text.replace(found[1], found[1][: 1 + _MICROSECONDS])
    return datetime.fromisoformat(text).astimezone(UTC)


_READERS: dict[str, Callable[[str], Any]] = {
    "VARCHAR": str,
    "BIGINT": _bigint,
    "DOUBLE": _double,
    "BOOLEAN": _boolean,
    "TIMESTAMP WITH TIME ZONE": _time,
}
