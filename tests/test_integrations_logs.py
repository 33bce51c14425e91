"""Records of logging, structlog, loguru and OpenTelemetry as events, with the real packages: no argument leaves."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import loguru
import pytest
import structlog
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

import telemetry
from telemetry.integrations.logging import LogEvents, text_of
from telemetry.integrations.loguru import log_events as loguru_sink
from telemetry.integrations.opentelemetry import LogEvents as OtelLogs
from telemetry.integrations.opentelemetry import MetricEvents
from telemetry.integrations.structlog import log_events as structlog_processor
from telemetry.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CATALOG = """
[catalog]
product = "acme-logs"
version = 1

[events.log]
purpose = "find what programs complain of"
owner = "platform team"
expires = "9999-01-01"
sensitivity = "technical"
[events.log.fields]
logger = { type = "enum", values = ["acme.server", "test_integrations_logs"], purpose = "which part" }
level = { type = "enum", values = ["debug", "info", "warning", "error", "critical"], purpose = "how grave" }
error = { type = "error", purpose = "what was raised" }
[events.log.fields.message]
type = "message"
purpose = "what happened"
templates = ["no route to {host}", "{what} took {ms:number} ms", "{share:int}% done", "at rest"]

[events.checkout.fields]
items = { type = "int", purpose = "how much" }
user_plan = { type = "enum", values = ["free", "paid"], purpose = "who" }
[events.checkout]
purpose = "how carts grow"
owner = "shop team"
expires = "9999-01-01"
sensitivity = "interaction"

[events.requests]
kind = "counter"
purpose = "how much it is used"
owner = "web team"
expires = "9999-01-01"
sensitivity = "technical"
[events.requests.fields]
http_method = { type = "enum", values = ["GET"], purpose = "how" }

[events.latency]
purpose = "how long it takes"
owner = "web team"
expires = "9999-01-01"
sensitivity = "technical"
[events.latency.fields]
count = { type = "int", purpose = "how many" }
sum = { type = "float", purpose = "in all" }
min = { type = "float", purpose = "the least" }
max = { type = "float", purpose = "the most" }

[events.depth]
purpose = "how much waits"
owner = "web team"
expires = "9999-01-01"
sensitivity = "technical"
[events.depth.fields]
value = { type = "int", purpose = "how many" }
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("acme.server")
    handler = LogEvents()
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


class Spy:
    """An argument whose code must not run."""

    def __str__(self) -> str:
        raise AssertionError

    __repr__ = __str__


def test_a_record_leaves_by_its_template_and_without_its_arguments(catalog: Path, log: logging.Logger) -> None:
    with capture(catalog) as events:
        log.warning("no route to %s", "jane.roe")
        log.info("%s took %.1f ms", "jane.roe", 12.34)
        log.error("%(share)5d%% done", {"share": 40})
        log.debug("at rest")
        log.log(45, "jane.roe@example.com went away")

    told = [{name: event.get(name) for name in ("level", "message")} for event in events.all("log")]
    assert told == [
        {"level": "warning", "message": "no route to {host}"},
        {"level": "info", "message": "{what} took {ms:number} ms"},
        {"level": "error", "message": "{share:int}% done"},
        {"level": "debug", "message": "at rest"},
        {"level": "error", "message": "other"},
    ]
    events.one("log", logger="acme.server", message_ms=12.3)
    events.one("log", message_share=40)
    assert "jane" not in repr(events.events)
    assert len(events.take_problems()) == 1  # the text that no template fits


def test_an_exception_is_told_by_its_type(catalog: Path, log: logging.Logger) -> None:
    with capture(catalog) as events:
        try:
            raise LookupError("jane.roe")  # noqa: TRY301 a record of it is what is wanted
        except LookupError:
            log.exception("at rest")

    assert events.one("log")["error"].startswith("LookupError")
    assert "jane" not in repr(events.events)


@pytest.mark.parametrize(
    ("message", "args", "text"),
    [
        pytest.param("%d of %d", (1, 2), "1 of 2", id="whole numbers"),
        pytest.param("%5.1f s", (1.25,), "1.2 s", id="a width goes, digits stay"),
        pytest.param("%*d|%.*f", (9, 1, 2, 1.5), "1|1.50", id="widths that are arguments"),
        pytest.param("%s and %r", ("jane", 7), "%s and 7", id="a text stays out"),
        pytest.param("%d", ("jane",), "%d", id="a text where a number was meant"),
        pytest.param("%d", (float("nan"),), "%d", id="no whole number"),
        pytest.param("%s and %d", (Spy(), Spy()), "%s and %d", id="no code of theirs runs"),
        pytest.param("%s %s", (1,), "1 %s", id="too few"),
        pytest.param("%d", (True,), "1", id="a truth value"),
        pytest.param("100%", (), "100%", id="nothing to fill in"),
        pytest.param("50%% of %d", (4,), "50% of 4", id="a sign of percent"),
        pytest.param("%(a)s %(b)d", {"a": "jane", "b": 3}, "%s 3", id="by name"),
        pytest.param("%x", (255,), "%x", id="another base"),
        pytest.param("x" * 5000, (), "x" * 1000, id="long"),
        pytest.param(LookupError("jane"), (), None, id="no text"),
    ],
)
def test_only_plain_numbers_are_put_in(message: object, args: Any, text: str | None) -> None:
    assert text_of(message, args) == text


def test_what_sends_the_events_is_never_told_of(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = LogEvents()
    with capture(catalog) as events:
        for name in ("telemetry", "telemetry.shipper", "zmq.auth"):
            handler.emit(logging.LogRecord(name, logging.ERROR, "", 1, "at rest", (), None))
        assert events.events == []
    monkeypatch.setattr(telemetry, "emit", lambda *_, **__: 1 / 0)
    handler.emit(logging.LogRecord("acme.server", logging.ERROR, "", 1, "at rest", (), None))  # never raises


class NoBool:
    """Something that is neither true nor false."""

    def __bool__(self) -> bool:
        raise LookupError("jane")


def test_a_record_that_cannot_be_read_is_an_event_without_fields(catalog: Path) -> None:
    handler = LogEvents()
    record = logging.LogRecord("acme.server", logging.ERROR, "", 1, "at rest", (), None)
    record.levelno = None  # type: ignore[assignment]
    with capture(catalog) as events:
        handler.emit(record)
        structlog_processor()(None, "info", {"event": "at %s", "positional_args": (), "exc_info": NoBool()})
    assert [dict(event) for event in events.events] == [{}, {}]


def test_under_strict_logging_reports_what_the_catalog_does_not_let_pass(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise telemetry.UndeclaredError("no such event")

    monkeypatch.setattr(telemetry, "emit", refuse)
    log.error("at rest")
    assert "no such event" in capsys.readouterr().err


def test_structlog_passes_its_entries_on_and_keeps_their_values(catalog: Path) -> None:
    printed: list[str] = []

    def keep(_: object, __: str, entry: Any) -> str:
        printed.append(repr(entry))
        raise structlog.DropEvent

    logger = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[structlog_processor(), keep], wrapper_class=structlog.stdlib.BoundLogger
    ).bind(logger="acme.server")
    with capture(catalog) as events:
        logger.warning("at rest", user="jane.roe")
        logger.info("%s took %d ms", "jane.roe", 7)
        try:
            raise LookupError("jane.roe")  # noqa: TRY301 as above
        except LookupError:
            logger.exception("at rest")

    assert "jane.roe" in printed[0]
    assert [event["level"] for event in events.all("log")] == ["warning", "info", "error"]
    assert events.all("log")[1]["message_ms"] == 7
    assert events.all("log")[2]["error"].startswith("LookupError")
    assert "jane" not in repr(events.events)


def rename(record: Any) -> None:
    record["name"] = "zmq.auth"


def test_loguru_s_texts_leave_by_their_template(catalog: Path) -> None:
    logger = loguru.logger
    logger.remove()
    number = logger.add(loguru_sink(), level="TRACE")
    with capture(catalog) as events:
        logger.bind(user="jane.roe").warning("no route to {}", "jane.roe")
        logger.success("{} took {ms} ms", "jane.roe", ms=7)
        logger.patch(rename).error("at rest")
    logger.remove(number)
    logger.add(sys.stderr)

    assert [(event["level"], event["message"]) for event in events.all("log")] == [
        ("warning", "no route to {host}"),
        ("info", "{what} took {ms:number} ms"),
    ]
    events.one("log", message_ms=7, logger="test_integrations_logs")
    assert "jane" not in repr(events.events)


def test_opentelemetry_s_events_and_records_leave_by_the_catalog(catalog: Path) -> None:
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(OtelLogs()))
    logger = provider.get_logger("acme.server")
    with capture(catalog) as events:
        logger.emit(event_name="checkout", attributes={"items": 3, "user.plan": "paid", "carts": [1, 2]})
        logger.emit(body="no route to jane.roe", severity_number=_severity(17), severity_text="ERROR")
        provider.get_logger("telemetry").emit(body="at rest")
        provider.force_flush()
    provider.shutdown()

    assert events.one("checkout") == {"items": 3, "user_plan": "paid"}
    events.one("log", logger="acme.server", level="error", message="no route to {host}")
    assert "jane" not in repr(events.events)


def _severity(number: int) -> Any:
    from opentelemetry._logs import SeverityNumber  # noqa: PLC0415 only here

    return SeverityNumber(number)


def test_opentelemetry_s_metrics_leave_as_counts_and_events(catalog: Path) -> None:
    provider = MeterProvider([PeriodicExportingMetricReader(MetricEvents(), export_interval_millis=3_600_000)])
    meter = provider.get_meter("acme.server")
    requests, latency, depth = (
        meter.create_counter("requests"),
        meter.create_histogram("latency"),
        meter.create_up_down_counter("depth"),
    )
    with capture(catalog) as events:
        for _ in range(2):
            requests.add(2, {"http.method": "GET"})
            latency.record(1.5)
            latency.record(4.0)
            depth.add(5)
            provider.force_flush()
        provider.shutdown()

    assert sum(event["count"] for event in events.all("requests", http_method="GET")) == 4  # differences, each once
    assert events.all("latency")[0] == {"count": 2, "sum": 5.5, "min": 1.5, "max": 4.0}
    assert [event["value"] for event in events.all("depth")][:2] == [5, 10]
    assert events.take_problems() == []
