"""Catalogs kept beside the tables that they typed, so that whoever asks the tables needs no files of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from telemetry.catalog.model import Catalog
from telemetry.collector.tables.decode import arrow_type
from telemetry.collector.tables.lake import FileWriter
from telemetry.collector.tables.layout import CATALOGS, CATALOGS_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from telemetry.collector.tables.lake import Lake

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Catalog).decode


def keep_catalogs(lake: Lake, catalogs: Iterable[Catalog], now: datetime) -> None:
    """Put catalogs into the table `catalogs`, unless they are there; two loaders at once may put one in twice.

    Raises:
        LakeError: the tables can't be written.
        OSError: the disk refuses.
    """
    table = lake.require(CATALOGS, CATALOGS_COLUMNS)
    kept = kept_catalogs(lake)
    rows = [
        {"product": catalog.product, "version": catalog.version, "received": now, "content": _encode(catalog).decode()}
        for catalog in catalogs
        if catalog not in kept
    ]
    if rows:
        schema = pa.schema([(name, arrow_type(kind)) for name, kind in CATALOGS_COLUMNS.items()])
        writer = FileWriter(table, now.date())
        try:
            writer.write(pa.Table.from_pylist(rows, schema=schema))
            lake.add(CATALOGS, [writer.finish()])
        except OSError:
            writer.discard()
            raise


def kept_catalogs(lake: Lake) -> list[Catalog]:
    """Return the catalogs that the tables keep; one that this version can't read is passed over.

    Raises:
        LakeError: the tables can't be read.
    """
    contents = lake.read(CATALOGS, "content")
    found: list[Catalog] = []
    for content in dict.fromkeys(contents):
        try:
            found.append(_decode(content))
        except msgspec.MsgspecError:
            continue
    return found
