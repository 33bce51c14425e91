"""What a spool sends and has sent, as it is on the wire: for `telemetry preview`, which needs no shipper.

Headers and body come from the code that uploads, by the configuration that a shipper of this spool was last started
with. Where none is known, no more than the endpoint is left open.
"""

from __future__ import annotations

import os
from time import sleep
from typing import TYPE_CHECKING, NamedTuple

import zstandard

from telemetry.endpoint import without_credentials
from telemetry.errors import ConfigError, SpoolError
from telemetry.inspect.contents import Batch, Found, decompress, find_segments, follow, read_batch
from telemetry.paths import spool_dir
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.rendezvous.find import find_rendezvous
from telemetry.settings import ShipperSettings
from telemetry.shipper.config import ShipperConfig, read_config
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.recorder import RequestHead
from telemetry.shipper.encode import open_format
from telemetry.spool.segment import folder_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOT_KNOWN = "(endpoint not known here)"
NOT_SEALED = "(set when it is sealed)"

MOVING_SECONDS = 0.1
"""A shipper moves a segment in two steps: what describes it, then the data."""

_NOWHERE = "https://unknown.invalid"
_OPEN_UNTIL_SEALED = frozenset({"Content-Length", "Telemetry-Ledger"})


class Preview(NamedTuple):
    """A batch as it goes, or went.

    Attributes:
        batch: as it lies on disk.
        state: `active`, `sealed`, `sent`, `quarantined` or `local`; an active one that is to stay here is `local` too.
        request: what goes ahead of the body.
        lines: of the body, an event each.
    """

    batch: Batch
    state: str
    request: RequestHead
    lines: list[bytes]


class Source:
    """One spool, and how its batches are sent.

    Attributes:
        directory: of the spool.
        endpoint: where it uploads to, without credentials; None when that is not known here.
        fault: why the configuration can't be used, when there is one that can't.
        is_authorized: whether a token is known here; a shipper may have one in its own environment.
    """

    def __init__(self, directory: Path, config: ShipperConfig | None) -> None:
        """Of a spool; `config` is its shipper's, None when it is not known."""
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
        """A batch, wherever a shipper moves it meanwhile; None when it is gone.

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
        """The batch as a request.

        Raises:
            SpoolError: its body can't be read, or a file that its headers need is gone.
        """
        return Preview(batch, _state(batch), self._request(batch), _lines(batch))

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
    """The spools of a product with what is known of their shippers.

    Args:
        product: its name.
        spools: the spools' directories.
        config: of a shipper that keeps its own file, as `telemetry ship --config` does; None when there is none.
    """
    configs = [config] if config else _left_behind(product)
    by_spool = {spool_dir(known.product, known.endpoint): known for known in configs}
    return [Source(spool, by_spool.get(spool)) for spool in spools]


def _left_behind(product: str) -> list[ShipperConfig]:
    """What producers have told the shippers they spawned; those that run come last, and so count."""
    found = []
    for rendezvous in sorted(find_rendezvous(product), key=lambda rendezvous: rendezvous.runs):
        try:
            found.append(read_config(rendezvous.directory / CONFIG_FILE))
        except ConfigError:
            continue  # none was written there
    return found


def _open_sink(config: ShipperConfig | None) -> HttpSink:
    if config is None:
        return HttpSink(_NOWHERE, ShipperSettings(), os.environ)
    return HttpSink(config.endpoint, config.settings, os.environ)


def _state(batch: Batch) -> str:
    folder = batch.found.folder
    if folder == "active":
        return "active" if folder_of(batch.seal.head) == "sealed" else "local"
    return "quarantined" if folder == "quarantine" else folder


def _lines(batch: Batch) -> list[bytes]:
    head = batch.seal.head
    try:
        return list(open_format(head.format, "compute").show(decompress(batch.found, batch.data), head.route))
    except (zstandard.ZstdError, ValueError, ConfigError):
        raise SpoolError(f"segment {head.id} can't be read as {head.format}") from None
