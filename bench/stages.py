"""The shipper's stages in this process, on a spool of their own: no sockets, no loops, no uploads.

decode_frame -> Pipeline -> Writer -> Spool
"""

from __future__ import annotations

import random
from time import time
from typing import TYPE_CHECKING

import msgpack
import msgspec

from bench.events import mix
from bench.site import CATALOG
from telemetry import wire
from telemetry.producer.backlog import FRAME_EVENTS
from telemetry.receipt import Receipt
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.name import names_to_find
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.settings import ShipperSettings
from telemetry.shipper.catalogs import read_source
from telemetry.shipper.day import utc_day
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RECEIPT = Receipt("on", "host", 0, "cloud")
NAMES = {"user": ["wilhelmina"], "host": ["larkspur-seven"], "path": ["/home/wilhelmina"]}
"""Of no machine: what it costs to look for names must not depend on where it is measured."""


class Stages:
    """What a shipper does with frames.

    Attributes:
        spool: what is written to.
    """

    def __init__(self, directory: Path, settings: ShipperSettings | None = None) -> None:
        """Open the spool in `directory`, which may hold segments already."""
        self._source = read_source(CATALOG)
        self.spool, _ = Spool.open(directory, lambda *_: False)
        self._session = Session()
        self._pipeline = Pipeline(self._source.catalog, utc_day(time()), NDJSON, _texts(), self._session, random.random)
        self._writer = Writer(self.spool, NDJSON, settings or ShipperSettings(), lambda: None)

    def take_in(self, messages: Sequence[bytes]) -> None:
        """One drain, as a shipper takes it in: it ends up in the active segment."""
        frames = [frame for message in messages if (frame := decode_frame(message)) is not None]
        (drain,) = self._pipeline.run(frames, {}, RECEIPT.level)
        assert drain.tally.kept == drain.tally.emitted, drain.tally
        self._writer.append(RECEIPT, self._source, drain, self._session)

    def tick(self) -> None:
        """What falls due with time, a sync above all."""
        self._writer.tick(self._session)

    def seal(self) -> None:
        """Seal the active segment."""
        self._writer.seal_all(self._session)


def frames(events: int, seed: int) -> list[bytes]:
    """The realistic mix as a busy producer sends it, in full frames; another seed makes other texts."""
    emissions = mix(events, seed=seed)
    context = wire.Context(1, "bench", *RECEIPT[:3], RECEIPT.deployment, {})._asdict()
    now = int(time() * 1e9)
    return [
        msgpack.packb([wire.PROTOCOL, bytes(16), context, first, {}, [(name, now, fields) for name, fields in batch]])
        for first in range(0, events, FRAME_EVENTS)
        if (batch := emissions[first : first + FRAME_EVENTS])
    ]


def take_apart(messages: Sequence[bytes]) -> int:
    """What no shipper can go below: the same frames decoded, and their events encoded as lines of JSON.

    Returns:
        Bytes of the lines.
    """
    encoder = msgspec.json.Encoder()
    return sum(len(encoder.encode_lines(msgspec.msgpack.decode(message)[5])) for message in messages)


def _texts() -> FreeTextRedactor | None:
    try:
        return FreeTextRedactor(names_to_find(NAMES))
    except ScannerUnavailableError:
        return None
