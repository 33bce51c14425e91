"""Each peer as its own documentation sets it up, with room in its queue for what is emitted between two flushes.

A peer is made for the port of `bench.peers.sink` and gives two functions: one emits an event, the other waits until
what was emitted is handed over. They run in the peers' own environment, so each imports its library itself.
"""

# ruff: noqa: PLC0415 - each subject loads one library only, and none of them is installed where this is checked
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE_EVENTS = 10_000
"""The default of most of them."""


class Peer(NamedTuple):
    """How to use it: `emit(name, **fields)` and `flush(timeout_seconds)`."""

    emit: Callable[..., Any]
    flush: Callable[[float], Any]


def opentelemetry(port: int) -> Peer:
    """OpenTelemetry's logs: its batch processor and OTLP over HTTP."""
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    exporter = OTLPLogExporter(f"http://127.0.0.1:{port}/v1/logs")
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=QUEUE_EVENTS))
    record, info = provider.get_logger("bench").emit, SeverityNumber.INFO
    return Peer(
        lambda name, **fields: record(
            timestamp=time.time_ns(), severity_number=info, event_name=name, attributes=fields
        ),
        lambda seconds: provider.force_flush(int(seconds * 1e3)),
    )


def posthog(port: int) -> Peer:
    """PostHog's client."""
    from posthog import Posthog

    client = Posthog("key", host=f"http://127.0.0.1:{port}", max_queue_size=QUEUE_EVENTS)
    return Peer(
        lambda name, **fields: client.capture(name, distinct_id="host", properties=fields),
        lambda _seconds: client.flush(),
    )


def segment(port: int) -> Peer:
    """Segment's client."""
    from segment.analytics.client import Client

    client = Client("key", host=f"http://127.0.0.1:{port}", max_queue_size=QUEUE_EVENTS)
    return Peer(lambda name, **fields: client.track("host", name, fields), lambda _seconds: client.flush())


def sentry(port: int) -> Peer:
    """Sentry's logs."""
    import sentry_sdk
    from sentry_sdk import logger

    sentry_sdk.init(f"http://key@127.0.0.1:{port}/1", enable_logs=True, default_integrations=False)
    # `info(name, **fields)` would take the fields for values of a template.
    return Peer(lambda name, **fields: logger.info(name, attributes=fields), sentry_sdk.flush)  # noqa: PLW0108 see above


def fluent(port: int) -> Peer:
    """fluent-logger's asynchronous sender, over the forward protocol."""
    from fluent.asyncsender import FluentSender

    sender = FluentSender("bench", port=port, queue_maxsize=QUEUE_EVENTS)

    def flush(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not sender._queue.empty() and time.monotonic() < deadline:  # noqa: SLF001 it has no flush
            time.sleep(0.001)

    return Peer(lambda name, **fields: sender.emit(name, fields), flush)


def datadog(port: int) -> Peer:
    """A DogStatsD counter: a datagram each, which may be lost."""
    from datadog.dogstatsd import DogStatsd

    client = DogStatsd("127.0.0.1", port, disable_telemetry=True)
    tags = ["engine:batch", "ok:true", "feature:materialized_view"]
    return Peer(lambda name, **_fields: client.increment(name, tags=tags), lambda _seconds: client.flush())


def snowplow(port: int) -> Peer:
    """Snowplow's asynchronous emitter."""
    from snowplow_tracker import AsyncEmitter, SelfDescribing, SelfDescribingJson, Tracker

    emitter = AsyncEmitter("127.0.0.1", port=port, batch_size=100, buffer_capacity=QUEUE_EVENTS)
    tracker = Tracker("bench", emitter, encode_base64=False)
    return Peer(
        lambda name, **fields: tracker.track(
            SelfDescribing(SelfDescribingJson(f"iglu:acme/{name}/jsonschema/1-0-0", fields))
        ),
        lambda _seconds: emitter.sync_flush(),
    )


def libhoney(port: int) -> Peer:
    """Honeycomb's client."""
    import libhoney as honey

    honey.init(writekey="key", dataset="bench", api_host=f"http://127.0.0.1:{port}")

    def emit(name: str, **fields: Any) -> None:
        event = honey.new_event()
        event.add_field("name", name)
        event.add(fields)
        event.send()

    return Peer(emit, lambda _seconds: honey.flush())


def glean(port: int) -> Peer:
    """Mozilla's Glean: events on disk, a ping with each 500, uploaded by another process, 15 pings a minute at most."""
    import tempfile
    from pathlib import Path

    from glean import Configuration, Glean
    from glean._uniffi import CommonMetricData, Lifetime
    from glean.metrics import EventExtras, EventMetricType

    class Extras(EventExtras):  # type: ignore[misc] # it has no types here
        def __init__(self, fields: dict[str, Any]) -> None:
            self.fields = fields

        def to_ffi_extra(self) -> dict[str, str]:
            return {name: str(value) for name, value in self.fields.items()}

    Glean.initialize(
        "bench",
        "1",
        upload_enabled=True,
        configuration=Configuration(server_endpoint=f"http://127.0.0.1:{port}", channel="bench"),
        data_dir=Path(tempfile.mkdtemp(prefix="telemetry-bench-glean-")),
    )
    keys = ["duration_ms", "rows", "engine", "ok", "feature"]
    made: dict[str, EventMetricType] = {}

    def emit(name: str, **fields: Any) -> None:
        metric = made.get(name)
        if metric is None:
            about = CommonMetricData(
                category="bench", name=name, send_in_pings=["events"], lifetime=Lifetime.PING, disabled=False
            )
            metric = made[name] = EventMetricType(about, keys)
        metric.record(Extras(fields))

    return Peer(emit, lambda _seconds: None)


def queue_handler(_port: int) -> Peer:
    """The standard library's QueueHandler and a listener that formats and throws away: it ships nothing."""
    import logging
    import logging.handlers
    import os
    import queue

    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(waiting, logging.FileHandler(os.devnull))
    listener.start()
    log = logging.getLogger("bench")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(logging.handlers.QueueHandler(waiting))
    return Peer(lambda name, **fields: log.info(name, extra=fields), lambda seconds: _drain(waiting, seconds))  # noqa: PLW0108 `extra` is not the fields


def loguru(_port: int) -> Peer:
    """Loguru with `enqueue=True`, to nowhere: it ships nothing."""
    import os

    from loguru import logger

    logger.remove()
    logger.add(os.devnull, enqueue=True, serialize=True)
    return Peer(lambda name, **fields: logger.bind(**fields).info(name), lambda _seconds: logger.complete())


def _drain(waiting: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while waiting.qsize() and time.monotonic() < deadline:
        time.sleep(0.001)


PEERS: dict[str, tuple[Callable[[int], Peer], str]] = {
    "datadog dogstatsd": (datadog, "udp"),
    "logging QueueHandler": (queue_handler, "none"),
    "fluent-logger": (fluent, "forward"),
    "opentelemetry-sdk": (opentelemetry, "http"),
    "sentry-sdk": (sentry, "http"),
    "glean-sdk": (glean, "http"),
    "snowplow-tracker": (snowplow, "http"),
    "libhoney": (libhoney, "http"),
    "segment": (segment, "http"),
    "loguru": (loguru, "none"),
    "posthog": (posthog, "http"),
}
"""How each is made, and what the sink has to speak with it."""
