"""Counters of a collector, as OpenMetrics: sums over all clients, labelled by token name and status alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The counters of one collector."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._uploads = Counter(
            "telemetry_collector_uploads",
            "Uploads that were answered; stored is 1 for those that brought something new.",
            ["token", "status", "stored"],
            registry=self._registry,
        )
        self._events = Counter(
            "telemetry_collector_events", "Lines in the bodies stored.", ["token"], registry=self._registry
        )
        self._bytes = Counter(
            "telemetry_collector_body_bytes",
            "Bytes of the bodies received, as they came.",
            ["token"],
            registry=self._registry,
        )
        self._checks = Counter(
            "telemetry_collector_check_cost_seconds",
            "Counted cost of the checks of bodies.",
            ["token"],
            registry=self._registry,
        )
        self._unknown = Counter(
            "telemetry_collector_unknown_batches",
            "Batches with an event or a field that no catalog names, by what was done with them.",
            ["token", "treatment"],
            registry=self._registry,
        )
        self._refused = Counter(
            "telemetry_collector_requests_refused",
            "Requests refused by their head alone.",
            ["status"],
            registry=self._registry,
        )
        self._expired = Counter(
            "telemetry_collector_batches_expired",
            "Batches removed because they were old.",
            registry=self._registry,
        )

    def measure(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is computed each time the metrics are asked for."""
        Gauge(f"telemetry_collector_{name}", help_, registry=self._registry).set_function(value)

    def answered(self, token: str, status: int, *, stored: bool = False) -> None:
        """Count an upload that was answered."""
        self._uploads.labels(token, str(status), str(int(stored))).inc()

    def received(self, token: str, body_bytes: int) -> None:
        """Count bytes of a body that have arrived."""
        self._bytes.labels(token).inc(body_bytes)

    def checked(self, token: str, cost_seconds: float) -> None:
        """Add up the cost of an examined body."""
        self._checks.labels(token).inc(cost_seconds)

    def stored(self, token: str, events: int) -> None:
        """Count the events of a body that was kept."""
        self._events.labels(token).inc(events)

    def unknown(self, token: str, treatment: str) -> None:
        """Count a batch with an event or a field that no catalog names."""
        self._unknown.labels(token, treatment).inc()

    def refused(self, status: int) -> None:
        """Count a request that was refused by its head alone."""
        self._refused.labels(str(status)).inc()

    def expired(self, batches: int) -> None:
        """Count old batches that were removed."""
        self._expired.inc(batches)

    def page(self) -> bytes:
        """Return all metrics in the text format of OpenMetrics 1.0."""
        page: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call] # of a typed library
        return page
