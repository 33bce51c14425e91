"""What hosts put into fields: each value is what it plainly is, or it alone goes, counted by event and field."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import gc
import pathlib
import uuid
import zoneinfo
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgpack
import pytest

from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.catalog.strict import fault_of, strict_record, strict_tick
from telemetry.errors import InvalidValueError
from telemetry.producer.encode import Encoder
from telemetry.producer.exception import reduce_exception
from telemetry.producer.outbox import Outbox
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.rules.placeholder import cut
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.redactor import Redactor
from telemetry.shipper.intake.validator import Validator
from telemetry.spool.tally import Tally
from telemetry.wire import Context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry.producer.transport import Transport

numpy: Any = pytest.importorskip("numpy")
pandas: Any = pytest.importorskip("pandas")
dateutil: Any = pytest.importorskip("dateutil.tz")

FIELDS = [
    Field(name="truth", type="bool", purpose="p"),
    Field(name="whole", type="int", purpose="p"),
    Field(name="real", type="float", purpose="p"),
    Field(name="text", type="text", purpose="p", max_length=60),
    Field(name="long", type="text", purpose="p", max_length=20, overflow="cut"),
    Field(name="kind", type="enum", purpose="p", values=("batch", "stream")),
    Field(name="who", type="identifier", purpose="p"),
    Field(name="edition", type="version", purpose="p"),
    Field(name="failure", type="error", purpose="p"),
]
BY_NAME = {field.name: field for field in FIELDS}
EVENT = Event(name="e", purpose="p", owner="o", expires=dt.date.max, sensitivity="technical", fields=BY_NAME)
VALIDATOR = Validator(compile_catalog(Catalog(product="acme", version=1, events={"e": EVENT}), dt.date.min))
ENCODER = Encoder(lambda error: reduce_exception(error, ("acme",)))


def arrives(**fields: Any) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    """The fields of an event as the shipper reads them, and what it has removed, by field."""
    event = ("e", 1, {"before": None, **fields})
    del event[2]["before"]
    try:
        packed = ENCODER.encode([event])
    except (ValueError, OverflowError, TypeError):
        packed = ENCODER.mend(event)
    tally = Tally()
    (found,) = VALIDATOR.validate(packed, tally)
    assert not tally.dropped
    read = {name: value for name in BY_NAME if (value := getattr(found.fields, name)) is not None}
    return read, {label.partition(".")[2]: touched.dropped for label, touched in tally.touched.items()}


class Trap:
    """Whatever of an object is asked for, its own code runs."""

    ran = 0

    def _run(self, *_: object) -> Any:
        type(self).ran += 1
        raise SystemExit


_METHODS = """__str__ __repr__ __reduce__ __reduce_ex__ __getstate__ __iter__ __len__ __hash__ __eq__ __bool__ __int__
__index__ __float__ __format__ __bytes__ __fspath__ __getattr__ __array__ __dir__ __call__ __getitem__"""
for _name in _METHODS.split():
    setattr(Trap, _name, Trap._run)


class Liar(Trap):
    """Claims to be a text."""

    @property  # type: ignore[misc] # odd on purpose
    def __class__(self) -> Any:
        return self._run()


class OddText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise SystemExit


class Engine(enum.StrEnum):
    BATCH = "batch"


class Level(enum.IntEnum):
    LOW = 3


class Plan(enum.Enum):
    BATCH = "batch"
    NOTHING = object()


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Order:
    customer: str = "canary"


ID = uuid.UUID(int=5)
MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.timezone(dt.timedelta(hours=1)))
UTC_MOMENT = "2026-01-02T02:04:05.000678+00:00"

TAKEN: list[tuple[str, Any, Any]] = [
    ("text", ID, str(ID)),
    ("who", ID, str(ID)),
    ("text", pathlib.PurePosixPath("/a/b"), "/a/b"),
    ("text", pathlib.Path("a"), "a"),
    ("text", MOMENT, UTC_MOMENT),
    ("text", MOMENT.replace(tzinfo=None), "2026-01-02T03:04:05.000678"),
    ("text", MOMENT.date(), "2026-01-02"),
    ("text", MOMENT.time(), "03:04:05.000678"),
    ("text", pandas.Timestamp("2026-01-02 03:04:05"), "2026-01-02T03:04:05"),
    ("kind", Engine.BATCH, "batch"),
    ("kind", Plan.BATCH, "batch"),
    ("whole", Level.LOW, 3),
    ("whole", Access.READ | Access.WRITE, 3),
    ("real", decimal.Decimal("1.5"), 1.5),
    ("real", type("Money", (decimal.Decimal,), {})("1.5"), 1.5),
    ("text", OddText("odd"), "odd"),
    ("whole", 2**63 - 1, 2**63 - 1),
    ("truth", numpy.bool_(True), True),  # noqa: FBT003 as numpy has it
    ("text", numpy.str_("a"), "a"),
    ("text", numpy.datetime64("2026-01-02"), "2026-01-02"),
    *(("whole", numpy.dtype(code).type(3), 3) for code in numpy.typecodes["AllInteger"] if code not in "mM"),
    *(("real", numpy.dtype(code).type(1.5), 1.5) for code in numpy.typecodes["Float"]),
    ("real", numpy.float64(3), 3.0),
]


@pytest.mark.parametrize(("field", "value", "read"), TAKEN, ids=[f"{type(v).__name__}-{f}" for f, v, _ in TAKEN])
def test_a_value_is_taken_as_what_it_plainly_is(field: str, value: Any, read: Any) -> None:
    found, removed = arrives(**{field: value, "edition": "1.2"})
    assert removed == {}
    assert found[field] == read
    assert found["edition"] == "1.2"
    assert fault_of(BY_NAME[field], value) == ""


def _endless() -> list[Any]:
    deep: list[Any] = []
    deep.append(deep)
    return deep


class Zone(dt.tzinfo):
    """Ends the program, or would hang it, when it is asked."""

    def utcoffset(self, _: object) -> dt.timedelta:
        return Trap()._run()  # type: ignore[no-any-return]

    tzname = dst = utcoffset  # type: ignore[assignment] # odd on purpose


class Moment(dt.datetime):
    def _run(self, *_: object) -> Any:
        return Trap()._run()

    isoformat = date = timetz = utcoffset = astimezone = __str__ = toordinal = _run  # type: ignore[assignment] # odd on purpose


class OddPath(type(pathlib.Path())):  # type: ignore[misc] # the class of this system
    def _run(self, *_: object) -> Any:
        return Trap()._run()

    __str__ = __fspath__ = _format_parsed_parts = _load_parts = _run
    parts = property(_run)


class OddPart(str):
    __slots__ = ()

    def _run(self, *_: object) -> Any:
        return Trap()._run()

    __getitem__ = split = replace = startswith = _run  # type: ignore[assignment] # odd on purpose


class OddID(uuid.UUID):
    hex = int = property(lambda _: Trap()._run())  # type: ignore[misc] # odd on purpose


class Clash(enum.Enum):
    A = "a"


Clash._value_ = property(lambda _: Trap()._run())


class OddNumber(numpy.float32):  # type: ignore[misc] # no types
    __float__ = item = __array__ = lambda *_: Trap()._run()


class Meta(type):
    __hash__ = __eq__ = lambda *_: Trap()._run()  # type: ignore[assignment] # odd on purpose


class OfMeta(metaclass=Meta):
    __slots__ = ()


NOON = MOMENT.replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
FOREIGN: list[tuple[str, Any]] = [
    ("text", NOON.replace(tzinfo=Zone())),
    ("text", dt.time(12, tzinfo=Zone())),
    ("text", (NOON.replace(tzinfo=Zone()),)),
    ("text", {"a": NOON.replace(tzinfo=Zone())}),
    ("text", [NOON.replace(tzinfo=Zone())]),
    ("text", Moment(2026, 1, 2, tzinfo=Zone())),
    ("text", type("Hour", (dt.time,), {"isoformat": Trap._run})(12, tzinfo=Zone())),
    ("text", OddPath("/a")),
    ("real", OddNumber(1.5)),
    ("text", OfMeta()),
]


@pytest.mark.parametrize(("field", "value"), FOREIGN, ids=lambda value: type(value).__name__)
def test_a_value_that_would_run_code_goes_alone_and_a_thousand_others_arrive(field: str, value: Any) -> None:
    gc.collect()  # which lets go of tuples of what it does not track
    Trap.ran = 0
    batch = [("e", 1, {"truth": True, **({field: value} if turn == 500 else {})}) for turn in range(1001)]
    try:
        packed = ENCODER.encode(batch)
    finally:
        assert Trap.ran == 0
    tally = Tally()
    found = VALIDATOR.validate(packed, tally)
    assert len(found) == 1001
    assert all(event.fields.truth is True for event in found)
    assert tally.touched[f"e.{field}"].dropped == {"unencodable": 1}
    assert Trap.ran == 0
    assert fault_of(BY_NAME[field], value)
    assert Trap.ran == 0


READ_BY_THEIR_CLASS: list[tuple[str, Any, Any]] = [
    ("text", Moment(2026, 1, 2, 3), "2026-01-02T03:00:00"),
    ("text", Moment(2026, 1, 2, 3, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")), "2026-01-02T02:00:00+00:00"),
    ("text", NOON.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Paris")), "2026-01-02T11:00:00+00:00"),
    ("text", pandas.Timestamp("2026-01-02 03:04:05", tz="Europe/Paris"), "2026-01-02T02:04:05+00:00"),
    ("text", NOON.replace(tzinfo=dateutil.gettz("Europe/Paris")), "2026-01-02T11:00:00+00:00"),
    ("text", Clash.A, "a"),
]


@pytest.mark.parametrize(("field", "value", "read"), READ_BY_THEIR_CLASS, ids=lambda value: type(value).__name__)
def test_a_value_of_a_subclass_is_read_without_its_methods(field: str, value: Any, read: Any) -> None:
    Trap.ran = 0
    found, removed = arrives(truth=True, **{field: value})
    assert Trap.ran == 0
    assert (found, removed) == ({"truth": True, field: read}, {})


def test_a_path_of_odd_texts_and_an_odd_uuid_run_nothing() -> None:
    path = pathlib.PurePosixPath(OddPart("a"))
    odd_id = uuid.UUID.__new__(OddID)
    uuid.UUID.__dict__["int"].__set__(odd_id, 5)
    Trap.ran = 0
    found, _ = arrives(text=path, who=odd_id)
    assert found["who"] == str(ID)
    assert Trap.ran == 0


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit])
def test_an_event_out_of_which_something_is_thrown_again_and_again_alone_goes(error: type[BaseException]) -> None:
    def reduce(_: BaseException) -> str:
        raise error

    context = Context(1, "", "on", "host", 0, "unknown", {})
    outbox = Outbox(cast("Transport", None), context, 16 << 20, reduce)  # nothing is sent
    kept: list[bytes] = []
    outbox._keep = lambda packed, number: _count(outbox, kept, packed, number)  # type: ignore[method-assign]
    outbox._backlog.send = outbox._backlog.send_full = lambda: None  # type: ignore[method-assign]
    for turn in range(1001):
        outbox.events.append(("e", turn, {"failure": ValueError()} if turn == 500 else {"whole": turn}))
    raised = 0
    for _ in range(10):
        try:
            outbox.drain()
        except error:
            raised += 1
    assert raised == 3
    times = [event[1] for packed in kept for event in msgpack.unpackb(packed)]
    assert times == [turn for turn in range(1001) if turn != 500]
    assert (outbox.accepted, outbox.dropped) == (1000, {"unencodable": 1})
    assert not outbox.events


def _count(outbox: Outbox, kept: list[bytes], packed: bytes, number: int) -> None:
    kept.append(packed)
    outbox._backlog._following += number


UNENCODABLE: list[tuple[str, Any]] = [
    ("whole", 2**64),
    ("whole", -(2**63) - 1),
    ("text", "\ud800"),
    ("text", "caf\udce9"),
    ("who", OddText("\udfff")),
    ("text", pathlib.Path("caf\udce9")),
    ("real", decimal.Decimal("sNaN")),
    ("real", 1j),
    ("real", fractions.Fraction(1, 3)),
    ("kind", Plan.NOTHING),
    ("text", object()),
    ("text", Trap()),
    ("text", Liar()),
    ("text", Order()),
    ("text", len),
    ("text", Order),
    ("text", {1, 2}),
    ("text", memoryview(b"a")),
    ("text", pandas.NaT),
    ("text", pandas.NA),
    ("text", pandas.Series([1])),
    ("text", numpy.array([1])),
    ("text", numpy.datetime64("NaT")),
    ("text", numpy.void(b"a")),
    ("real", numpy.complex128(1j)),
    ("text", dt.UTC),
]


@pytest.mark.parametrize(("field", "value"), UNENCODABLE, ids=lambda value: type(value).__name__)
def test_what_is_no_scalar_goes_alone_and_is_counted_by_field(field: str, value: Any) -> None:
    Trap.ran = 0
    found, removed = arrives(truth=True, **{field: value})
    assert (found, removed) == ({"truth": True}, {field: {"unencodable": 1}})
    assert fault_of(BY_NAME[field], value)
    assert Trap.ran == 0


INVALID: list[tuple[str, Any]] = [
    ("real", float("nan")),
    ("real", decimal.Decimal("Infinity")),
    ("real", decimal.Decimal("1e999")),
    ("real", numpy.float16("inf")),
    ("whole", 2**63),
    ("whole", numpy.uint64(2**64 - 1)),
    ("text", b"a"),
    ("text", bytearray(b"a")),
    ("text", numpy.bytes_(b"a")),
    ("text", 5),
    ("text", ["a"]),
    ("text", {"a": 1}),
    ("truth", 1),
    ("truth", "true"),
    ("whole", True),
    ("whole", "1"),
    ("whole", 1.5),
    ("real", True),
    ("kind", 5),
    ("text", 1.5),
]


@pytest.mark.parametrize(("field", "value"), INVALID, ids=lambda value: type(value).__name__)
def test_a_value_of_a_wrong_type_goes_alone(field: str, value: Any) -> None:
    found, removed = arrives(edition="1.2", **{field: value})
    assert (found, list(removed)) == ({"edition": "1.2"}, [field])
    assert removed[field].keys() <= {"invalid", "unencodable"}
    assert fault_of(BY_NAME[field], value)


def test_lazy_texts_and_proxies_are_no_texts_and_are_not_asked() -> None:
    translation: Any = pytest.importorskip("django.utils.translation")
    local: Any = pytest.importorskip("werkzeug.local")
    wrapt: Any = pytest.importorskip("wrapt")
    asked = []

    def ask() -> str:
        asked.append(1)
        return "canary"

    for value in (translation.gettext_lazy("canary"), local.LocalProxy(ask), wrapt.ObjectProxy("canary")):
        found, removed = arrives(text=value, truth=True)
        assert (found, removed) == ({"truth": True}, {"text": {"unencodable": 1}})
    assert asked == []


def _odd(**attributes: Any) -> type[Exception]:
    return type("Odd", (Exception,), attributes)


class _Meta(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override] # odd on purpose
        raise SystemExit

    @property
    def __name__(cls) -> str:  # type: ignore[override] # odd on purpose
        raise SystemExit


class MetaError(Exception, metaclass=_Meta):
    """Its class runs code when it is looked at."""


@pytest.mark.parametrize(
    "error",
    [
        _odd(__module__=5)(),
        _odd(__module__=None)(),
        _odd(__module__=OddText("acme.x"))(),
        _odd(__traceback__=property(lambda _: 1 / 0))(),
        _odd(__str__=lambda _: 1 / 0, __reduce__=lambda _: 1 / 0)(),
        MetaError(),
        ExceptionGroup("canary", [ValueError("canary")]),
    ],
)
def test_an_exception_of_an_odd_class_is_named_by_its_nearest_ancestor(error: BaseException) -> None:
    found, removed = arrives(failure=error)
    assert removed == {}
    assert found == {"failure": "ExceptionGroup" if isinstance(error, ExceptionGroup) else "Exception"}


def test_a_field_whose_name_cannot_be_encoded_goes_alone() -> None:
    found, removed = arrives(truth=True, **{"\ud800": 1})
    assert (found, removed) == ({"truth": True}, {"[field]": {"undeclared": 1}})


def test_a_moment_of_msgpack_is_read_where_a_text_is_declared_and_nowhere_else() -> None:
    raw = msgpack.packb([["e", 1, {"text": MOMENT, "whole": MOMENT}]], datetime=True)
    tally = Tally()
    (found,) = VALIDATOR.validate(raw, tally)
    assert found.fields.text == UTC_MOMENT
    assert tally.touched["e.whole"].dropped == {"invalid": 1}


def test_a_text_is_cut_before_a_placeholder_that_would_not_fit() -> None:
    assert cut("mail [email] now", 16) == "mail [email] now"
    assert cut("mail [email] now", 12) == "mail [email]"
    assert cut("mail [email] now", 11) == "mail "
    assert cut("mail [emails] now", 11) == "mail [email"
    assert cut("no mail", 2) == "no"


def test_a_text_that_is_too_long_once_it_is_redacted_is_cut_or_removed_as_the_catalog_says() -> None:
    compiled = compile_catalog(Catalog(product="acme", version=1, events={"e": EVENT}), dt.date.min)
    redactor = Redactor(compiled, FreeTextRedactor(), bytes(32), NDJSON.identifiers)
    tally = Tally()
    text = "refused bob@acme.example, and so on and on, for ever and ever and ever"
    (found,) = compiled.decoder.decode(ENCODER.encode([("e", 1, {"text": text, "long": text})]))
    redactor.redact([found], tally)
    assert found.fields.text is None
    assert found.fields.long == "refused [email], and"
    assert tally.touched["e.text"].dropped == {"invalid": 1}
    assert tally.touched["e.long"].redacted == {"email": 1, "overflow": 1}


CATALOG = """
[catalog]
product = "acme"
version = 1
[events.e]
purpose = "decide something"
owner = "o"
expires = "2099-01-01"
sensitivity = "technical"
[events.e.fields]
text = { type = "text", max_length = 10, purpose = "see why" }
long = { type = "text", max_length = 10, overflow = "cut", purpose = "see why" }
kind = { type = "enum", values = ["batch"], purpose = "see which" }
size = { type = "int", min = 1, max = 5, purpose = "see how much" }
edition = { type = "version", purpose = "see which" }
failure = { type = "error", purpose = "see which" }
[events.n]
kind = "counter"
purpose = "count something"
owner = "o"
expires = "2099-01-01"
sensitivity = "technical"
"""


@pytest.fixture
def strictly(tmp_path: Path) -> Callable[..., None]:
    file = tmp_path / "acme.toml"
    file.write_text(CATALOG)
    record = strict_record(file, lambda *_: None)
    return lambda **fields: record("e", fields)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"text": "canary" * 2}, "field text: is a text of 12 characters, of at most 10"),
        ({"text": 5}, "field text: is a int, must be a text"),
        ({"text": object()}, "field text: a object is no scalar"),
        ({"text": "canary\ud800"}, "field text: holds half a character"),
        ({"kind": "canary"}, "field kind: is not among the `values`"),
        ({"size": 6}, "field size: is more than 5"),
        ({"size": 0}, "field size: is less than 1"),
        ({"size": True}, "field size: is a bool, must be a whole number"),
        ({"size": float("nan")}, "field size: is a float, must be a whole number"),
        ({"edition": "canary"}, "field edition: is no version"),
    ],
)
def test_strict_raises_for_each_value_that_would_be_removed_and_tells_nothing_of_it(
    strictly: Callable[..., None], fields: dict[str, Any], fault: str
) -> None:
    with pytest.raises(InvalidValueError) as raised:
        strictly(**fields)
    assert fault in str(raised.value)
    assert "canary" not in str(raised.value)


def test_strict_lets_pass_what_the_shipper_does(strictly: Callable[..., None]) -> None:
    strictly(text=None, long="x" * 100, kind="batch", size=3, edition="1.2", failure=ValueError("x"))
    strictly(size=3.0, kind="other")


@pytest.mark.parametrize("number", [-1, 1.5, "1", True])
def test_strict_counts_by_whole_numbers(tmp_path: Path, number: Any) -> None:
    file = tmp_path / "acme.toml"
    file.write_text(CATALOG)
    tick = strict_tick(file, lambda *_: None)
    tick("n", 1, {})
    with pytest.raises(InvalidValueError, match="whole numbers"):
        tick("n", number, {})
