"""The upload format `otlp`: OpenTelemetry's logs over HTTP, an event a LogRecord, in protobuf.

    ExportLogsServiceRequest
      ResourceLogs   one a body; resource: service.name and the SDK, no host, no process, no instance
        ScopeLogs    scope: the catalog's version and digest
          LogRecord  event_name `acme_db.query_finished`, rounded times, severity 9 (17 with an error), no body;
                     attributes: session.id, and the event's fields, a counter's sum as `count`

The numbers of fields are those of opentelemetry-proto 1.x, `opentelemetry/proto/logs/v1/logs.proto`. The bytes are put
together here: a value that was written before is looked up, which takes half the time of the official runtime.
"""

from __future__ import annotations

import struct
from enum import Enum
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from telemetry.shipper.encode.format import Format
from telemetry.shipper.encode.precision import rounded_seconds
from telemetry.shipper.encode.protobuf import as_double, as_int64, message, read_fields, split_records
from telemetry.shipper.outcome import Answer, Outcome, is_in_the_way, is_page
from telemetry.spool.stream import Wrap, varint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from telemetry.catalog.compile import Envelope

    _Writer = Callable[[Any], bytes]

ROUTE = "/v1/logs"
MAX_BODY_BYTES = 4 << 20
"""The size before compression: New Relic takes 1 MB, Datadog 5 MB, Coralogix 10 MB, and the Collector 20 MiB."""

_RESOURCE_LOGS, _RESOURCE, _SCOPE_LOGS, _SCOPE, _LOG_RECORDS = 1, 1, 2, 1, 2  # each in the message around it
_ATTRIBUTES, _EVENT_NAME = 6, 12  # of a LogRecord
_RESOURCE_ATTRIBUTES = 1
_SCOPE_NAME, _SCOPE_VERSION, _SCOPE_ATTRIBUTES = 1, 2, 3
_KEY, _VALUE = 1, 2  # of a KeyValue
_INFO = b"\x10\x09"  # severity_number, field 2
_ERROR = b"\x10\x11"
_TIMES = struct.Struct("<BQBQ").pack  # time_unix_nano and observed_time_unix_nano, fields 1 and 11 of 64 bits
_TIME_KEY, _OBSERVED_KEY = 1 << 3 | 1, 11 << 3 | 1
_LAST_NS = (1 << 64) - 1  # the last that a record's 64 bits hold, in the year 2554; no event that arrives is so late
_MOST_NAME_CHARACTERS = 256
_MOST_KNOWN = 4096  # values of one field; beyond, they are forgotten
_MANY = 1 << 14
_SHORT = [varint(number) for number in range(_MANY)]  # as long as two bytes
_MIN_INT64, _MAX_INT64 = -(1 << 63), (1 << 63) - 1
_RECORD = b"\x12"  # the key of a LogRecord in a ScopeLogs
_SDK = "telemetry-shipper"

# ---- Replies (opentelemetry-proto, docs/specification.md, OTLP/HTTP Response) ----

_RETRY = {429, 502, 503, 504}
_SPLIT = {400, 413, 422}
_TOO_LARGE = 413
_MENDED_BY_PEOPLE = {401, 402, 403, 404, 405, 407, 411, 415, 421, 426, 431, 451, 495, 496, 497, 501, 505, 511}
"""The refusals of a way to the receiver, and of no batch: uploads pause, and what waits is kept."""

_PROTOBUF = "application/x-protobuf"
_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""The names of google.rpc.Code, by number."""


def otlp(product: str, service_version: str = "") -> Format:
    """Return the format, with the events of `product`; `service_version` is the version of it that leaves, if any."""
    return Format(
        name="otlp",
        suffix=".otlp",
        content_type=_PROTOBUF,
        compressions=("gzip", "zstd", "none"),  # a server must take the first and the last
        route=ROUTE,
        encode=partial(encode, _Shapes(product)),
        split=partial(split_records, number=_LOG_RECORDS),
        values=values,
        by_line=False,
        show=show,
        envelope=partial(envelope, service_version),
        show_envelope=show_envelope,
        max_body_bytes=MAX_BODY_BYTES,
        read_reply=read_reply,
    )


def envelope(service_version: str, catalog: str, digest: str) -> tuple[Wrap, ...]:
    """Return the resource and the scope around the events of one catalog, `product/version`."""
    product, _, number = catalog.partition("/")
    resource = {
        "service.name": product,
        **({"service.version": service_version} if service_version else {}),
        "telemetry.sdk.name": _SDK,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": _own_version(),
    }
    of_catalog = {"telemetry.catalog.version": int(number) if number.isdigit() else number}
    if digest:
        of_catalog["telemetry.catalog.sha256"] = digest
    scope = message(_SCOPE_NAME, _SDK.encode()) + message(_SCOPE_VERSION, _own_version().encode())
    return (
        _wrap(_RESOURCE_LOGS, message(_RESOURCE, _attributes(resource, _RESOURCE_ATTRIBUTES))),
        _wrap(_SCOPE_LOGS, message(_SCOPE, scope + _attributes(of_catalog, _SCOPE_ATTRIBUTES))),
    )


def encode(shapes: _Shapes, events: Sequence[Envelope], session: str, precision_seconds: int) -> bytes:
    """Write the events as LogRecords of a ScopeLogs, which is appendable but for its length.

    Args:
        shapes: the events of the product as they were met so far.
        events: redacted events.
        session: the id that stands as session.id in each record.
        precision_seconds: both times of a record are rounded down to a multiple of it, at least 1.
    """
    # Every event the shipper keeps goes through this loop.
    of_session = _attribute("session.id", session)
    from_ns = until_ns = 0
    stamp = b""
    written: list[bytes] = []
    for event in events:
        time_ns = event.time_ns
        if not from_ns <= time_ns < until_ns:
            seconds = rounded_seconds(time_ns, precision_seconds)
            from_ns = seconds * 1_000_000_000
            until_ns = from_ns + precision_seconds * 1_000_000_000
            told_ns = min(from_ns, _LAST_NS)
            stamp = _TIMES(_TIME_KEY, told_ns, _OBSERVED_KEY, told_ns) + of_session
        fields = event.fields
        constant, of_error, read, writers = shapes[type(fields)]
        record = [stamp, constant]
        severity = _INFO
        for write, value in zip(writers, read(fields)):  # noqa: B905 a check would take as long as a value
            if value is not None and value is not UNSET:
                record.append(write(value))
                if of_error and write in of_error:
                    severity = _ERROR
        record.append(severity)
        content = b"".join(record)
        size = len(content)
        written += (_RECORD, _SHORT[size] if size < _MANY else varint(size), content)
    return b"".join(written)


class _Shapes(dict[type, "tuple[bytes, frozenset[_Writer], Callable[[Any], Sequence[Any]], list[_Writer]]"]):
    """The writers of each kind of event: constant bytes, those of errors, a reader of values, and a writer for each."""

    def __init__(self, product: str) -> None:
        super().__init__()
        self._namespace = product.replace("-", "_")

    def __missing__(self, fields: type) -> Any:
        config: Any = fields
        names = [name for name in config.__struct_fields__ if name != "time"]
        writers = [_writer(name) for name in names]
        errors = frozenset(writer for writer, name in zip(writers, names, strict=True) if name in config.__errors__)
        qualified = f"{self._namespace}.{config.__struct_config__.tag}"[:_MOST_NAME_CHARACTERS]
        self[fields] = found = message(_EVENT_NAME, qualified.encode()), errors, _reader(names), writers
        return found


def _reader(names: list[str]) -> Callable[[Any], Sequence[Any]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda fields: [getattr(fields, name) for name in names]


def _writer(name: str) -> _Writer:
    """Return the writer of the values of one field, which knows the texts that it has written."""
    known: dict[str, bytes] = {}
    constants: dict[Any, bytes] = {}
    before_double = _attribute(name, 0.0)[:-8]
    before_text = _Before(lambda size: _attribute(name, "x" * size)[: -size or None])
    before_int = _Before(lambda size: _attribute(name, 1 << 7 * (size - 1))[:-size])
    pack_double = struct.Struct("<d").pack

    def write(value: Any) -> bytes:
        kind = type(value)
        if kind is float:
            return before_double + pack_double(value)
        if kind is str:
            if (found := known.get(value)) is None:
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                text = value.encode()
                found = known[value] = before_text[len(text)] + text
            return found
        if kind is int and 0 <= value <= _MAX_INT64:
            number = _SHORT[value] if value < _MANY else varint(value)
            return before_int[len(number)] + number
        if kind is bool or isinstance(value, Enum):  # there are but a few
            if (found := constants.get(value)) is None:
                found = constants[value] = _attribute(name, value.value if isinstance(value, Enum) else value)
            return found
        return _attribute(name, value)

    return write


class _Before(dict[int, bytes]):
    """The bytes before a value, by the value's size."""

    def __init__(self, of_size: Callable[[int], bytes]) -> None:
        super().__init__()
        self._of_size = of_size

    def __missing__(self, size: int) -> bytes:
        self[size] = found = self._of_size(size)
        return found


def _attribute(name: str, value: Any) -> bytes:
    return message(_ATTRIBUTES, _key_value(name, value))


def _attributes(values: dict[str, Any], number: int) -> bytes:
    return b"".join(message(number, _key_value(name, value)) for name, value in values.items())


def _key_value(name: str, value: Any) -> bytes:
    return message(_KEY, name.encode()) + message(_VALUE, _any_value(value))


def _any_value(value: Any) -> bytes:
    """Return an AnyValue of a scalar, or of a list of them. A number that no int64 holds is a double."""
    match value:
        case str():
            return message(1, value.encode())
        case bool():
            return b"\x10\x01" if value else b"\x10\x00"
        case int() if _MIN_INT64 <= value <= _MAX_INT64:
            return b"\x18" + varint(value & (1 << 64) - 1)
        case list() | tuple():
            return message(5, b"".join(message(1, _any_value(each)) for each in value))
        case _:
            return b"\x21" + struct.pack("<d", value)


def _wrap(number: int, first: bytes) -> Wrap:
    return Wrap(number << 3 | 2, first)


def _own_version() -> str:
    try:
        return version("telemetry-shipper")
    except PackageNotFoundError:  # run from a tree that is not installed
        return "0"


# ---- What was written, read again ----


def values(record: bytes) -> dict[str, Any]:
    """Return the fields of a record, `event` without its product, and `session`.

    Raises:
        ValueError: it is no LogRecord of a ScopeLogs.
    """
    read = _read_record(record)
    attributes = read["attributes"]
    session = attributes.pop("session.id", "")
    return {"event": read["event_name"].partition(".")[2], "session": session, **attributes}


def read_request(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the records of a whole request, in whatever envelope. Raises ValueError."""
    for resource_logs in _messages(body, _RESOURCE_LOGS):
        for scope_logs in _messages(resource_logs, _SCOPE_LOGS):
            yield from map(_read_content, _messages(scope_logs, _LOG_RECORDS))


def _messages(data: bytes, number: int) -> Iterator[bytes]:
    for found, value in read_fields(data):
        if found == number and isinstance(value, bytes):
            yield value


def show(body: bytes, route: str) -> Iterator[bytes]:  # noqa: ARG001 every body is alike
    """Show the records of a body by the names of their fields: a line of JSON each. Raises ValueError."""
    return map(msgspec.json.encode, map(_read_record, split_records(body, _LOG_RECORDS)))


def show_envelope(wraps: Sequence[Wrap]) -> bytes:
    """Show resource and scope of a body by the names of their fields. Raises ValueError."""
    (_, of_resource), (_, of_scope) = wraps
    (resource,), (scope,) = _messages(of_resource, _RESOURCE), _messages(of_scope, _SCOPE)
    names = {
        number: value.decode()
        for number, value in read_fields(scope)
        if isinstance(value, bytes) and number < _SCOPE_ATTRIBUTES
    }
    return msgspec.json.encode(
        {
            "resource": dict(map(_read_key_value, _messages(resource, _RESOURCE_ATTRIBUTES))),
            "scope": {
                "name": names[_SCOPE_NAME],
                "version": names[_SCOPE_VERSION],
                "attributes": dict(map(_read_key_value, _messages(scope, _SCOPE_ATTRIBUTES))),
            },
        }
    )


def _read_record(record: bytes) -> dict[str, Any]:
    (_, content), *more = read_fields(record)
    if more or not isinstance(content, bytes):
        raise ValueError(f"a record of {len(record)} bytes is no event")
    return _read_content(content)


def _read_content(content: bytes) -> dict[str, Any]:
    read: dict[str, Any] = {"event_name": "", "attributes": {}}
    for number, value in read_fields(content):
        match number, value:
            case 1, bytes():
                read["time_unix_nano"] = int.from_bytes(value, "little")
            case 2, int():
                read["severity_number"] = value
            case 6, bytes():
                name, read_value = _read_key_value(value)
                read["attributes"][name] = read_value
            case 11, bytes():
                read["observed_time_unix_nano"] = int.from_bytes(value, "little")
            case 12, bytes():
                read["event_name"] = value.decode()
            case _:
                raise ValueError(f"a record of {len(content)} bytes has a field of number {number}")
    return read


def _read_key_value(data: bytes) -> tuple[str, Any]:
    fields = dict(read_fields(data))
    name, value = fields.get(_KEY, b""), fields.get(_VALUE, b"")
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise ValueError(f"{len(data)} bytes are no attribute")  # noqa: TRY004 it is data that is wrong, not a type
    return name.decode(), _read_any(value)


def _read_any(data: bytes) -> Any:
    for number, value in read_fields(data):
        match number, value:
            case 1, bytes():
                return value.decode()
            case 2, int():
                return bool(value)
            case 3, int():
                return as_int64(value)
            case 4, bytes():
                return as_double(value)
            case 5, bytes():
                return [_read_any(each) for _, each in read_fields(value) if isinstance(each, bytes)]
            case _:
                break
    raise ValueError(f"{len(data)} bytes are no value")


# ---- Replies ----


def read_reply(status: int, content_type: str, body: bytes) -> Answer:
    """Read a reply by the rules of OTLP/HTTP: 429, 502, 503 and 504 alone may be tried again as they are.

    A refusal of the body (400, 413, 422) is tried in halves, which are other requests. What only people can mend, at
    the receiver or on the way to it, pauses all uploads; so does a page, which no receiver of OTLP writes. Any other
    refusal, a 500 among them, costs the batch, which is kept aside.
    """
    words = _words_of(status, content_type, body)
    if 200 <= status < 300:  # noqa: PLR2004 the class of HTTP statuses
        if is_page(content_type, body):
            return Answer(Outcome.PAUSED)
        refused, words = _read_partial_success(content_type, body)
        return Answer(Outcome.DELIVERED, refused=refused, words=words)
    if status in _RETRY:
        return Answer(Outcome.RETRY, words=words)
    if status < 400 or status in _MENDED_BY_PEOPLE:  # noqa: PLR2004 the same
        return Answer(Outcome.PAUSED, words=words)
    if status != _TOO_LARGE and is_in_the_way(content_type, body):
        return Answer(Outcome.PAUSED, is_doubtful=True)
    return Answer(Outcome.SPLIT if status in _SPLIT else Outcome.REJECTED, words=words)


def _read_partial_success(content_type: str, body: bytes) -> tuple[int, str]:
    """Return the number of records that a receiver refused of a batch it took, and words if it has only a warning."""
    refused, has_message = 0, False
    for number, partial_success in _fields_of(content_type, body):
        if number == 1 and isinstance(partial_success, bytes):
            for inner, value in _read_what_can_be(partial_success):
                if inner == 1 and isinstance(value, int):
                    refused = max(0, as_int64(value))
                has_message = has_message or (inner == 2 and bool(value))  # noqa: PLR2004 error_message
    return refused, "it took the batch with a warning: its log has it" if has_message and not refused else ""


def _words_of(status: int, content_type: str, body: bytes) -> str:
    """Return the name of the code of a google.rpc.Status; its message may hold data, and is left alone."""
    if status < 400:  # noqa: PLR2004 the class of HTTP statuses
        return ""
    code = next((value for number, value in _fields_of(content_type, body) if number == 1), None)
    return _CODES[code] if isinstance(code, int) and 0 < code < len(_CODES) else ""


def _fields_of(content_type: str, body: bytes) -> Iterable[tuple[int, int | bytes]]:
    is_protobuf = content_type.partition(";")[0].strip().lower() == _PROTOBUF
    return _read_what_can_be(body) if is_protobuf else []


def _read_what_can_be(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return the fields of a message of somebody else's; none if it is no message, or was cut off."""
    try:
        return list(read_fields(data))
    except ValueError:
        return []
