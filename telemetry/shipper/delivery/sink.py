"""Sinks: where batches go, by the scheme of the endpoint.

To add one: a module with a class as `Sink` demands, a row in `_SINKS`, its URL in `telemetry/endpoint.py`, an extra if
it needs a library, and a row in `tests/test_sinks.py`, whose tests hold for all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol

from telemetry.endpoint import parse_sink
from telemetry.errors import ConfigError
from telemetry.shipper.delivery.http_sink import HttpSink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.settings import ShipperSettings
    from telemetry.shipper.delivery.recorder import RequestHead
    from telemetry.shipper.outcome import Reply
    from telemetry.spool.segment import Seal


class Delivers(Protocol):
    """Side of a sink that the uploader needs."""

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Upload one batch; blocks, for a bounded time, and turns every fault into a reply."""


class Sink(Delivers, Protocol):
    """A destination of batches.

    It confirms a batch once the far side has stored it, sends it under the same id on every try, recognises one that is
    there already where the far side can, and keeps no connection beyond a session of events.
    """

    def preview(self, seal: Seal, body: bytes) -> RequestHead:
        """Return what `deliver` would say before the body, without credentials; nothing is sent. Raises OSError."""

    @property
    def is_authorized(self) -> bool:
        """Whether a credential goes with each upload."""

    def abort(self) -> None:
        """Cut off the upload under way; may be called from any thread."""

    def close(self) -> None:
        """Close the connection."""


class _Row(NamedTuple):
    module: str
    name: str
    extra: str


_SINKS = {
    "file": _Row("telemetry.shipper.delivery.directory_sink", "DirectorySink", ""),
    "s3": _Row("telemetry.shipper.delivery.s3_sink", "S3Sink", "s3"),
    "nats": _Row("telemetry.shipper.delivery.nats_sink", "NatsSink", "nats"),
    "kafka": _Row("telemetry.shipper.delivery.kafka_sink", "KafkaSink", "kafka"),
}


def open_sink(endpoint: str, settings: ShipperSettings, environ: Mapping[str, str]) -> Sink:
    """Return the sink of an endpoint.

    Raises:
        ConfigError: the endpoint is no URL of a sink, a credential of it can't be read, or its extra is not installed.
    """
    target = parse_sink(endpoint) if isinstance(endpoint, str) else None
    if target is None:
        return HttpSink(endpoint, settings, environ)
    row = _SINKS[target.scheme]
    try:
        # It is imported where it is chosen: a shipper has no use for the libraries of the others.
        module = import_module(row.module)
    except ImportError as fault:
        raise ConfigError(
            f"endpoint: {target.scheme}:// needs {fault.name}; run: pip install 'telemetry-shipper[{row.extra}]'"
        ) from None
    sink: Sink = getattr(module, row.name)(target, settings, environ)
    return sink
