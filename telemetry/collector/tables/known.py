"""The batches that tables have of the last days, by which a repeat is known, in eight bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from datetime import date, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.expressions import In

from telemetry.collector.tables.lake import EPOCH, Table, day_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry.collector.tables.source import Batch

REPEAT_DAYS = 14
"""The days of receipt over which a batch is recognised by its id; a shipper keeps what it could not send for 7."""

_LOOSE = 100_000


class Known:
    """A sieve for ids: it holds all that it was given, and one in 2**40 or so of others too."""

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._sorted = memoryview(b"").cast("Q")
        self._loose: set[int] = set()

    def update(self, batches: Table, since: date) -> None:
        """Read the files of the table `batches` that were not read before, with days of receipt from `since` on."""
        numbers = array("Q")
        for file in batches.files():
            if file.file_path in self._read or day_of(file) < (since - EPOCH).days:
                continue
            self._read.add(file.file_path)
            with batches.handle.io.new_input(file.file_path).open() as stream:
                for rows in pq.ParquetFile(stream).iter_batches(columns=["batch"]):
                    numbers.extend(map(_number, rows.column(0).to_pylist()))
        self._merge(numbers)

    def add(self, batch: str) -> None:
        """Add an id."""
        self._loose.add(_number(batch))
        if len(self._loose) > _LOOSE:
            self._merge(array("Q", self._loose))
            self._loose.clear()

    def may_hold(self, batch: str) -> bool:
        """Tell whether an id was given, or looks like one that was."""
        number = _number(batch)
        at = bisect_left(self._sorted, number)
        return number in self._loose or (at < len(self._sorted) and self._sorted[at] == number)

    def _merge(self, numbers: array[int]) -> None:
        if numbers:
            count = len(self._sorted) + len(numbers)
            whole = pa.Array.from_buffers(
                pa.uint64(), count, [None, pa.py_buffer(self._sorted.tobytes() + numbers.tobytes())]
            )
            self._sorted = memoryview(whole.take(pc.array_sort_indices(whole)).buffers()[1]).cast("B").cast("Q")[:count]


def find_repeats(batches: Table, partition: str, chosen: Sequence[Batch]) -> set[int]:
    """Return the sequences of those of a partition's batches that are repeats of others, by the table `batches`."""
    if not chosen:
        return set()
    columns = ("batch", "partition", "sequence", "received")
    found = batches.handle.scan(In("batch", {batch.batch for batch in chosen}), selected_fields=columns).to_arrow()
    before: dict[str, list[dict[str, Any]]] = {}
    for row in found.to_pylist():
        before.setdefault(row["batch"], []).append(row)
    return {
        batch.sequence
        for batch in chosen
        if any(_is_before(row, partition, batch) for row in before.get(batch.batch, []))
    }


def _is_before(row: dict[str, Any], partition: str, batch: Batch) -> bool:
    is_late = row["received"] < batch.received - timedelta(days=REPEAT_DAYS)
    return not is_late and (row["partition"] != partition or row["sequence"] < batch.sequence)


def _number(batch: str) -> int:
    return int.from_bytes(blake2b(batch.encode(errors="surrogateescape"), digest_size=8).digest())
