"""OpenTelemetry: what a program records by its API leaves by a catalog, through the shipper.

provider.add_log_record_processor(BatchLogRecordProcessor(LogEvents()))
MeterProvider(metric_readers=[PeriodicExportingMetricReader(MetricEvents())])

A log record with an event name is the event of that name, its attributes are the fields; one without is an event `log`,
whose fields are those of telemetry/integrations/logging.py. A metric is the event of its name. Dots in the names of
fields become underscores. Of a counter the catalog declares a counter, of whole numbers; of anything else an event with
the field `value`, or, of a histogram, with `count`, `sum`, `min` and `max`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    MetricExporter,
    MetricExportResult,
    Sum,
)

import telemetry
from telemetry.integrations.logging import MOST_CHARACTERS, is_own

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import Metric, MetricsData

_SEVERITIES = ((21, "critical"), (17, "error"), (13, "warning"), (9, "info"))
"""The least number of each severity that has a name here; what is below all of them is `debug`."""

_SCALARS = (str, bool, int, float)


class LogEvents(LogRecordExporter):
    """Exporter that emits an event for each log record, and tells nothing of resources, traces and times.

    Args:
        event: the name of the event for records that have no event name.
    """

    def __init__(self, *, event: str = "log") -> None:
        self._event = event

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Emit the events of some records."""
        for readable in batch:
            self._emit(readable)
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Flush: the program's own `close` comes later, or at its exit."""
        telemetry.flush(0.3)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand over now, as `telemetry.flush` does."""
        return telemetry.flush(timeout_millis / 1e3)

    def _emit(self, readable: ReadableLogRecord) -> None:
        record, scope = readable.log_record, readable.instrumentation_scope
        if record.event_name:
            telemetry.emit(record.event_name, **_fields(record.attributes))
            return
        name = scope.name if scope else None
        if not is_own(name):
            number = record.severity_number.value if record.severity_number else 0
            telemetry.emit(
                self._event,
                logger=name,
                level=next((level for least, level in _SEVERITIES if number >= least), "debug"),
                message=record.body[:MOST_CHARACTERS] if isinstance(record.body, str) else None,
            )


class MetricEvents(MetricExporter):
    """Exporter that emits an event, or adds to a counter, for each data point of a metric.

    Counters and histograms are asked for as differences since the last export, since that is what an event tells.
    """

    def __init__(self) -> None:
        super().__init__(dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA))

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:  # noqa: ARG002 nothing waits
        """Emit what has been measured."""
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    _emit(metric)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Hand over now, as `telemetry.flush` does."""
        return telemetry.flush(timeout_millis / 1e3)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Flush: the program's own `close` comes later, or at its exit."""
        telemetry.flush(min(timeout_millis / 1e3, 0.3))


def _emit(metric: Metric) -> None:
    is_count = isinstance(metric.data, Sum) and metric.data.is_monotonic
    for point in metric.data.data_points:
        fields = _fields(point.attributes)
        if isinstance(point, HistogramDataPoint):
            fields |= {"count": point.count, "sum": point.sum, "min": point.min, "max": point.max}
            telemetry.emit(metric.name, **fields)
        elif is_count:
            telemetry.count(metric.name, round(_value(point)), **fields)
        else:
            telemetry.emit(metric.name, value=_value(point), **fields)


def _value(point: Any) -> Any:
    return getattr(point, "value", None) or 0


def _fields(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return attributes as fields; lists and other values that are no scalars are left out."""
    given = (attributes or {}).items()
    return {name.replace(".", "_"): value for name, value in given if isinstance(value, _SCALARS)}
