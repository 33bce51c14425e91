"""Preview of a spool's requests as they are on the wire, for `telemetry preview`, which needs no shipper.

Headers and body come from the code that uploads, with the configuration that a shipper of this spool was last started
with. If none is known, only the endpoint is left open.
"""

from __future__ import annotations

import os
from time import sleep
from typing import TYPE_CHECKING, NamedTuple

from telemetry.endpoint import without_credentials
from telemetry.errors import ConfigError, SpoolError
from telemetry.inspect.contents import Batch, Found, find_segments, follow, read_batch
from telemetry.paths import lane_of, spool_dir
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.rendezvous.find import find_rendezvous
from telemetry.settings import ShipperSettings
from telemetry.shipper.config import ShipperConfig, read_config
from telemetry.shipper.delivery.recorder import RequestHead
from telemetry.shipper.delivery.sink import Sink, open_sink
from telemetry.shipper.encode import format_named
from telemetry.spool.segment import folder_of, plain_events

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOT_KNOWN = "(endpoint not known here)"
NOT_SEALED = "(set when it is sealed)"

MOVING_SECONDS = 0.1
"""The time for a shipper to move a segment, which takes two steps: its Seal or marks, then the data."""

_NOWHERE = "https://unknown.invalid"
_OPEN_UNTIL_SEALED = frozenset({"Content-Length", "Telemetry-Ledger"})


class Preview(NamedTuple):
    """A batch as it is sent, or was.

    Attributes:
        batch: the batch as it lies on disk.
        state: `active`, `sealed`, `sent`, `quarantined` or `local`; an active one that is to stay here is `local` too.
        request: the head of the request.
        lines: the lines of the body, one for each event.
        envelope: what stands around the events in the body, as a line of JSON; empty for none.
    """

    batch: Batch
    state: str
    request: RequestHead
    lines: list[bytes]
    envelope: bytes = b""


class Source:
    """A spool, and how its batches are sent.

    Attributes:
        directory: the spool's directory.
        endpoint: the endpoint of its uploads, without credentials; None if it is not known here.
        fault: the reason why the configuration can't be used; empty if it can.
        is_authorized: whether a token is known here; a shipper may have one in its own environment.
    """

    def __init__(self, directory: Path, config: ShipperConfig | None) -> None:
        """Open a spool; `config` is its shipper's, None if it is not known."""
        self.directory = directory
        self.endpoint = without_credentials(config.endpoint) if config else None
        self.fault = ""
        try:
            self._sink = _open_sink(config)
        except ConfigError as fault:
            self.endpoint, self.fault = None, str(fault)
            self._sink = _open_sink(None)
        self.is_authorized = self._sink.is_authorized

    def read(self, found: Found) -> Batch | None:
        """Return a batch, wherever a shipper moves it meanwhile; None if it is gone.

        Raises:
            SpoolError: it is not what was written.
        """
        batch = follow(self.directory, found, read_batch)
        if batch is None and self._holds(found):
            sleep(MOVING_SECONDS)
            batch = follow(self.directory, found, read_batch)
            if batch is None and self._holds(found):
                raise SpoolError(f"segment {found.id} has nothing beside it that describes it")
        return batch

    def show(self, batch: Batch) -> Preview:
        """Return the batch as a request.

        Raises:
            SpoolError: its body can't be read, or a file that its headers need is gone.
        """
        return Preview(batch, _state(batch), self._request(batch), _lines(batch), _envelope(batch))

    def _holds(self, found: Found) -> bool:
        return any(entry.id == found.id for entry in find_segments(self.directory))

    def _request(self, batch: Batch) -> RequestHead:
        try:
            line, headers = self._sink.preview(batch.seal, batch.data)
        except OSError as fault:
            raise SpoolError(f"the request can't be made: {fault}") from None
        if self.endpoint is None:
            line = f"POST {NOT_KNOWN}{batch.seal.head.route} HTTP/1.1"
            headers = [(name, NOT_KNOWN if name == "Host" else value) for name, value in headers]
        if batch.found.folder == "active":
            headers = [(name, NOT_SEALED if name in _OPEN_UNTIL_SEALED else value) for name, value in headers]
        return RequestHead(line, headers)


def find_sources(product: str, spools: Iterable[Path], config: ShipperConfig | None) -> list[Source]:
    """Return the spools of a product, each with what is known of its shipper.

    Args:
        product: the product's name.
        spools: the spools' directories.
        config: the configuration of a shipper with a file of its own, as by `telemetry ship --config`; None for none.
    """
    configs = [config] if config else _left_behind(product)
    return [Source(spool, _config_of(spool, configs)) for spool in spools]


def _config_of(spool: Path, configs: list[ShipperConfig]) -> ShipperConfig | None:
    """Return the last configuration of a spool's endpoint, of whatever lane: they differ in nothing that is sent."""
    found = [known for known in configs if spool_dir(known.product, known.endpoint, lane_of(spool)) == spool]
    return found[-1] if found else None


def _left_behind(product: str) -> list[ShipperConfig]:
    """Return the configurations that producers gave to the shippers they spawned.

    Running ones come last and prevail.
    """
    found = []
    for rendezvous in sorted(find_rendezvous(product), key=lambda rendezvous: rendezvous.runs):
        try:
            found.append(read_config(rendezvous.directory / CONFIG_FILE))
        except ConfigError:
            continue  # none was written there
    return found


def _open_sink(config: ShipperConfig | None) -> Sink:
    if config is None:
        return open_sink(_NOWHERE, ShipperSettings(), os.environ)
    return open_sink(config.endpoint, config.settings, os.environ)


def _state(batch: Batch) -> str:
    folder = batch.found.folder
    if folder == "active":
        return "active" if folder_of(batch.seal.head) == "sealed" else "local"
    return "quarantined" if folder == "quarantine" else folder


def _lines(batch: Batch) -> list[bytes]:
    head = batch.seal.head
    try:
        return list(format_named(head.format).show(plain_events(head, batch.data), head.route))
    except (ValueError, ConfigError):
        raise SpoolError(f"segment {head.id} can't be read as {head.format}") from None


def _envelope(batch: Batch) -> bytes:
    head = batch.seal.head
    return format_named(head.format).show_envelope(head.wraps) if head.wraps else b""
