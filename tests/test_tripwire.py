"""The last look before an upload: what it finds, what it must never take offence at, and what a hit comes to."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spools import Endpoint, make_head, names, open_spool, read_balanced, scratch

from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.consent import Stored
from telemetry.drops import DropReason
from telemetry.redact.names.find import find
from telemetry.redact.names.name import names_to_find
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.constants import Constants
from telemetry.shipper.delivery.forbidden import FORBIDDEN, Forbidden
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire, _by_event
from telemetry.shipper.delivery.uploader import IDLE_SECONDS, Uploader
from telemetry.shipper.encode import open_format
from telemetry.shipper.encode import telemetry_pb2 as pb
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.own_names import constants_of
from telemetry.shipper.permission import permission_of
from telemetry.spool import segment
from telemetry.spool.stream import PIECE_BYTES, open_stream
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.names import Names
    from telemetry.shipper.encode.format import Format
    from telemetry.spool.segment import Head
    from telemetry.spool.spool import Spool


def field(name: str, type_: Any, **keys: Any) -> Field:
    return Field(name=name, type=type_, purpose="p", **keys)


FIELDS = [
    field("detail", "text", max_length=2000),
    field("user", "enum", values=("root", "janedoe", "batch")),
    field("table", "identifier"),
    field("driver", "version"),
    field("statement", "sql"),
    field("file", "path"),
    field("failure", "error"),
    field("node", "enum", values=("janedoe",)),
    field("connector_name", "enum", values=("root",)),
]
EVENT = Event(
    name="data.janedoe",
    purpose="p",
    owner="o",
    expires=dt.date.max,
    sensitivity="technical",
    fields={field.name: field for field in FIELDS},
)
CATALOG = Catalog(product="acme", version=1, events={EVENT.name: EVENT})
COMPILED = compile_catalog(CATALOG, dt.date.min)
NAMES: Names = {
    "user": ["janeroe", "bob", "root", "jürgen"],
    "host": ["jane-laptop"],
    "secret": ['tr0ub4dor "3"\\x', "deadbeefdead"],
    "ip": ["10.1.17.3"],
    "path": ["/home/janeroe"],
}
PERMITTED = permission_of(Stored())
RISINGWAVE = open_format("risingwave", "compute")


def tripwire(own: Names = NAMES, catalog: Catalog = CATALOG) -> Tripwire:
    armed = Tripwire(lambda _: catalog)
    armed.look_for(names_to_find(own, constants_of(catalog)))
    return armed


def encode(format_: Format, *fields: dict[str, Any]) -> bytes:
    """Events with these fields, as they would be if nothing had redacted them."""
    events = COMPILED.decoder.decode(msgspec.msgpack.encode([[EVENT.name, 0, each] for each in fields]))
    return format_.encode(events, "deadbeefdead" * 2 + "deadbeef", 60)


def head(format_: Format = NDJSON, *, compressed: bool = False, route: str | None = None) -> Head:
    made = make_head(compressed=compressed)
    return msgspec.structs.replace(made, format=format_.name, route=format_.route if route is None else route)


@pytest.fixture(scope="module")
def armed() -> dict[str, Tripwire]:
    return {"ndjson": tripwire(), "risingwave": tripwire()}


@pytest.fixture(params=[NDJSON, RISINGWAVE], ids=lambda format_: format_.name)
def format_(request: pytest.FixtureRequest) -> Format:
    found: Format = request.param
    return found


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        *((f"refused {forbidden.example} at last", forbidden.kind) for forbidden in FORBIDDEN),
        ("-----BEGIN OPENSSH PRI", "pem"),
        ("login of JaneRoe failed", "own:user"),
        ("line\njaneroe", "own:user"),
        ("\u0001janeroe", "own:user"),
        ("JÜRGEN kam", "own:user"),
        ("/srv/bob/x", "own:user"),
        ("bob@there", "own:user"),
        ('"user": "root"', "own:user"),
        ("user=bob", "own:user"),
        ("user:\nbob", "own:user"),
        ("user: [bob", "own:user"),
        ("--user bob x", "own:user"),
        ("xjane-laptopx", "own:host"),
        ('tr0ub4dor "3"\\x', "own:secret"),
        ("is deadbeefdead", "own:secret"),
        ("10.1.17.3", "own:ip"),
        ("in /home/janeroe/x", "own:path"),
    ],
)
def test_what_must_never_be_there_is_found(armed: dict[str, Tripwire], format_: Format, detail: str, kind: str) -> None:
    body = encode(format_, {"detail": "clean"}, {"detail": detail}, {"detail": "clean"})
    assert armed[format_.name].find(head(format_), body)[kind] == 1


CLEAN: list[dict[str, Any]] = [
    {"user": "root", "node": "janedoe", "connector_name": "root"},
    {"user": "janedoe"},
    {
        "user": "other",
        "table": "deadbeefdeadbeef",
        "driver": "10.1.17.3",
        "file": "log",
        "statement": "select tables=1",
    },
    {"failure": "KeyError@janeroe.main:janeroe:17;janeroe.x:root:3"},
    {"detail": "root cause of the data, bob said; read/root"},
    {"detail": "[user] at [host] in [path] with [secret:aws] of [secret]"},
    {"detail": "janeroes and 110.1.17.3 in jane_laptop, an AKIA id, ghp_short, eyJhbGci"},
    {"detail": "----- BEGIN of file, -----begin"},
]


@pytest.mark.parametrize("fields", CLEAN)
def test_constants_and_clean_texts_never_trip_it(
    armed: dict[str, Tripwire], format_: Format, fields: dict[str, Any]
) -> None:
    assert not armed[format_.name].find(head(format_), encode(format_, fields))


def test_a_name_within_a_constant_is_none_if_it_is_the_only_name_that_is_looked_for() -> None:
    body = encode(NDJSON, {"failure": "KeyError@janeroe.main:janeroe:17"}, {"detail": "by janeroe"})
    assert tripwire({"user": ["janeroe"]}).find(head(), body) == {"own:user": 1}


def test_the_places_are_those_of_the_last_body() -> None:
    alarm = tripwire()
    for value in ("by janeroe", "on jane-laptop"):
        alarm.find(head(), encode(NDJSON, {"detail": value}))
    assert alarm.places == {(EVENT.name, "detail", "own:host"): 1}


def test_a_catalog_that_is_found_later_than_its_segments_is_heeded_from_then_on() -> None:
    found = iter([None, CATALOG])
    alarm = Tripwire(lambda _: next(found))
    alarm.look_for(names_to_find(NAMES))
    of = head()
    body = encode(NDJSON, {"detail": "janeroe"})

    assert not alarm.find(of, body), "a word of an unknown catalog is more likely a constant"
    assert alarm.find(of, body) == {"own:user": 1}


def test_a_token_is_found_in_any_field_whatever_its_form(armed: dict[str, Tripwire], format_: Format) -> None:
    body = encode(format_, {"failure": "AKIAQ3EGUTESTCANARY2"}, {"failure": "KeyError@acme.db:read:1"})
    assert armed[format_.name].find(head(format_), body) == {"token": 1}


def test_no_constant_trips_it_whatever_this_machine_is_called(format_: Format) -> None:
    words = sorted(constants_of(CATALOG))
    alarm = tripwire(dict.fromkeys(("user", "host", "secret", "path", "table"), words))
    values = [{field.name: value} for field in FIELDS for value in field.values]
    assert not alarm.find(head(format_), encode(format_, *values))


def test_a_word_in_a_field_that_no_longer_is_declared_is_a_constant_and_a_text_is_none() -> None:
    alarm = tripwire()
    lines = b'{"event":"gone","kind":"janeroe"}\n{"event":"gone","number":7,"note":"by janeroe"}\n'
    assert alarm.find(head(), lines) == {"own:user": 1}


def test_a_report_and_a_body_that_is_not_to_be_read_are_looked_at_as_they_are() -> None:
    alarm = tripwire()
    assert alarm.find(head(RISINGWAVE, route="/compute"), b"\x0a\x05 janeroe \x12") == {"own:user": 1}
    assert not alarm.find(head(RISINGWAVE, route="/compute"), b"\x0a\x05Linux\x12")
    report = pb.ComputeReport(base=pb.ReportBase(system_data=pb.SystemData(os=pb.SystemOs(name="of janeroe!"))))
    assert alarm.find(head(RISINGWAVE, route="/compute"), report.SerializeToString()) == {"own:user": 1}
    assert tripwire().find(head(), b"{not json: janeroe }\n") == {"own:user": 1}
    assert alarm.find(head(RISINGWAVE), b"\xff janeroe ") == {"own:user": 1}


def test_a_sealed_body_that_is_no_stream_is_set_aside(spool: Spool) -> None:
    path = spool.directory / "sealed"
    made = add(spool, "all is well")
    data = b"\0" * 100
    seal = segment.load(path, made.file)
    (path / made.file).write_bytes(data)
    segment.store(msgspec.structs.replace(seal, length_bytes=len(data), crc=zlib.crc32(data)), path)
    alarm = tripwire()
    with Endpoint() as endpoint:
        uploader(spool, endpoint, alarm).step()
    assert (endpoint.requests, alarm.state) == ([], "tripped")
    assert read_balanced(spool).tally.dropped == {"redaction_failed": 2}


def test_a_body_of_many_pieces_is_looked_at_to_its_end() -> None:
    clean = encode(NDJSON, {"detail": "all is well"})
    dirty = encode(NDJSON, {"detail": "by janeroe"})
    body = (clean * (PIECE_BYTES // len(clean)) + dirty) * 2 + clean + dirty
    stream = open_stream("zstd")
    assert tripwire().find(head(compressed=True), stream.write(body) + stream.finish()) == {"own:user": 3}


def test_names_may_be_learned_on_the_way() -> None:
    alarm = tripwire(own={})
    body = encode(NDJSON, {"detail": "by janeroe"})
    assert not alarm.find(head(), body)
    alarm.look_for(names_to_find(NAMES))
    assert alarm.find(head(), body) == {"own:user": 1}


def test_other_names_take_the_place_of_as_many() -> None:
    alarm = tripwire(own={"user": ["janedoe"]})
    body = encode(NDJSON, {"detail": "by janeroe"})
    assert not alarm.find(head(), body)
    alarm.look_for(names_to_find({"user": ["janeroe"]}))
    assert alarm.find(head(), body) == {"own:user": 1}


def test_a_compressed_body_without_lines_is_looked_at() -> None:
    stream = open_stream("zstd")
    body = stream.write(encode(RISINGWAVE, {"detail": "by janeroe"})) + stream.finish()
    assert tripwire().find(head(RISINGWAVE, compressed=True), body) == {"own:user": 1}


def test_a_hit_at_an_events_end_is_that_events() -> None:
    assert _by_event([b"ab", b"cd"], [(2, 7), (3, 8), (5, 9)]) == {0: {7}, 1: {8, 9}}


@pytest.mark.parametrize("forbidden", FORBIDDEN, ids=lambda forbidden: forbidden.example[:12])
def test_within_a_longer_word_a_token_is_none(forbidden: Forbidden) -> None:
    assert forbidden.is_in(forbidden.example)
    assert forbidden.kind == "pem" or not forbidden.is_in("x" + forbidden.example)


FRAGMENTS = st.sampled_from(
    [
        *("bob", "root", "janeroe", "jane-laptop", "deadbeefdead", "10.1.17.3"),
        *(
            "/",
            "\\",
            "@",
            "~",
            "=",
            ":",
            "=>",
            '"',
            "'",
            "`",
            "[",
            "(",
            " ",
            "\n",
            "\t",
            "\b",
            ".",
            "-u",
            "--user",
            ":5432",
        ),
        *("user", "login", "host", "password", "path", "x", "9", "_"),
    ]
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FRAGMENTS, max_size=12).map("".join))
def test_it_finds_in_a_body_what_the_redactor_finds_in_a_text(
    armed: dict[str, Tripwire], format_: Format, text: str
) -> None:
    wanted = {f"own:{span.kind}" for name in names_to_find(NAMES, constants_of(CATALOG)) for span in find(text, [name])}
    assert set(armed[format_.name].find(head(format_), encode(format_, {"detail": text}))) == wanted


# ---- In the delivery loop.


@pytest.fixture
def spool() -> Iterator[Spool]:
    with scratch() as directory:
        opened = open_spool(directory / "spool")
        yield opened
        opened.close()


def add(spool: Spool, detail: str) -> Head:
    """A sealed segment of two events, one of which has this text."""
    made = make_head()
    active = spool.begin(made)
    active.append(encode(NDJSON, {"detail": detail}, {"user": "batch"}), Tally(emitted=2, kept=2), {})
    spool.seal(active, Tally(emitted=2, kept=2))
    return made


def uploader(spool: Spool, endpoint: Endpoint, alarm: Tripwire) -> Uploader:
    quick = ShipperSettings(retry_min_seconds=0.0, retry_max_seconds=0.0, upload_jitter_seconds=0.0)
    return Uploader(spool, HttpSink(endpoint.url, quick, {}), quick, lambda: PERMITTED, alarm)


def test_a_segment_that_trips_it_is_quarantined_and_the_others_go(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    guilty, _ = add(spool, "by janeroe, key AKIAQ3EGUTESTCANARY2"), add(spool, "all is well")
    alarm = tripwire()
    with Endpoint() as endpoint:
        loop = uploader(spool, endpoint, alarm)
        while spool.waiting:
            loop.step()

    assert len(endpoint.requests) == 1
    assert guilty.file in names(spool.directory / "quarantine")
    ledger = read_balanced(spool)
    assert (ledger.delivered, ledger.tally.dropped) == (2, {"redaction_failed": 2})
    assert (alarm.state, alarm.hits, alarm.cause) == ("tripped", 1, "")
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["tripwire: own:user in 1, token in 1 of 2 events: the segment is quarantined and was not sent"]


def test_a_second_hit_pauses_the_uploads_for_the_rest_of_the_run(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    add(spool, "by janeroe")  # the oldest goes first, then the newest
    add(spool, "all is well")
    add(spool, "-----BEGIN RSA PRIVATE KEY-----")
    alarm = tripwire()
    with Endpoint() as endpoint:
        loop = uploader(spool, endpoint, alarm)
        waits = [loop.step() for _ in range(4)]

    assert waits == [0.0, 0.0, IDLE_SECONDS, IDLE_SECONDS]
    assert endpoint.requests == []
    assert (loop.state, loop.cause, alarm.state, alarm.hits) == ("paused", "tripwire: pem", "paused", 2)
    assert (spool.waiting, read_balanced(spool).tally.dropped) == (1, {"redaction_failed": 4})
    assert "janeroe" not in caplog.text
    assert "RSA" not in caplog.text
    assert caplog.text.count("uploads are stopped") == 1, "now and then, and not at each look"

    with Endpoint() as endpoint:  # a new shipper tries again
        uploader(spool, endpoint, tripwire()).step()
    assert (len(endpoint.requests), spool.waiting) == (1, 0)


def test_a_scanner_that_can_t_be_made_lets_nothing_leave(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such CPU")

    monkeypatch.setattr("telemetry.shipper.delivery.tripwire._Scanner.compile", fail)
    add(spool, "all is well")
    alarm = tripwire()
    with Endpoint() as endpoint:
        loop = uploader(spool, endpoint, alarm)
        assert loop.step() == IDLE_SECONDS

    assert (loop.state, loop.cause, endpoint.requests) == ("paused", "tripwire: dead scanner", [])


def test_a_scanner_that_fails_pauses_the_uploads_and_costs_no_event(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add(spool, "by janeroe")
    alarm = tripwire()

    def fail(*_: object) -> None:
        raise RuntimeError("scratch in use, by janeroe")

    monkeypatch.setattr("telemetry.shipper.delivery.tripwire._Scanner.scan", fail)
    with Endpoint() as endpoint:
        loop = uploader(spool, endpoint, alarm)
        loop.step()
        loop.step()

    assert endpoint.requests == []
    assert (loop.state, loop.cause, alarm.state) == ("paused", "tripwire: dead scanner", "dead")
    assert (spool.waiting, read_balanced(spool).tally.dropped) == (1, {})
    assert "janeroe" not in caplog.text


def test_names_that_hyperscan_refuses_pause_the_uploads(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    add(spool, "all is well")
    alarm = tripwire()
    monkeypatch.setattr("telemetry.redact.names.prefilter.plain", lambda *_: ["("])
    with Endpoint() as endpoint:
        loop = uploader(spool, endpoint, alarm)
        loop.step()
    assert (endpoint.requests, alarm.state) == ([], "dead")


def test_where_there_is_no_scanner_there_is_no_text_to_look_at_and_uploads_go_on(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(spool, "all is well")
    monkeypatch.setitem(__import__("sys").modules, "hyperscan", None)
    alarm = tripwire()
    with Endpoint() as endpoint:
        uploader(spool, endpoint, alarm).step()
    assert (len(endpoint.requests), alarm.state) == (1, "unavailable")


def test_a_segment_that_was_recovered_is_looked_at_too(spool: Spool) -> None:
    active = spool.begin(make_head())
    active.append(encode(NDJSON, {"detail": "by janeroe"}), Tally(emitted=1, kept=1), {})
    active.close()  # as a crash leaves it
    spool.salvage()
    assert spool.waiting == 1
    with Endpoint() as endpoint:
        uploader(spool, endpoint, tripwire()).step()
    assert (endpoint.requests, read_balanced(spool).tally.dropped) == ([], {DropReason.REDACTION_FAILED.value: 1})


def test_the_form_of_the_test_s_lines_is_that_of_uploads() -> None:
    line = json.loads(encode(NDJSON, {"detail": "x"}))
    assert list(line) == ["event", "time", "session", "detail"]
    assert os.linesep.encode() not in encode(NDJSON, {"detail": "a\nb"})[:-1]


def test_a_message_is_a_constant_as_a_template_and_as_nothing_else() -> None:
    said = Field(name="said", type="message", purpose="p", templates=("no route to {host}",))
    about: Any = {"purpose": "p", "owner": "o", "expires": dt.date.max, "sensitivity": "technical"}
    constants = Constants(
        Catalog(product="acme", version=1, events={"e": Event(name="e", fields={"said": said}, **about)})
    )
    assert constants.holds("e", "said", "no route to {host}")
    assert constants.holds("e", "said", "other")
    assert not constants.holds("e", "said", "no route to larkspur")
