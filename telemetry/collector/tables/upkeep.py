"""Upkeep of tables: small files become large ones, old days go, and so does what no snapshot needs any more.

Each step is a commit that names the files it replaces, and fails where one of them is gone, so several loaders may tend
the same tables, and append meanwhile. Readers keep what they have begun to read for `GRACE` at least.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from pyiceberg.exceptions import CommitFailedException

from telemetry.collector.tables.known import REPEAT_DAYS
from telemetry.collector.tables.lake import EPOCH, FileWriter, Lake, Table, day_of
from telemetry.collector.tables.layout import BATCHES, CATALOGS, FORGOTTEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyiceberg.manifest import DataFile

GRACE = timedelta(days=1)
"""The time for which a file stays that was replaced, or was written by a loader that has not committed it yet."""

LARGE_BYTES = 128 << 20
_MERGED_BYTES = 512 << 20
_LEAST_FILES = 8  # of like size, so that a row is written anew once for each power of this, and no more
_GROUP_ROWS = 500_000
_READ_ROWS = 50_000
_REPEATED = ["product", "catalog", "batch"]


def tend(lake: Lake, now: datetime, keep_days: int, is_stopped: Callable[[], bool], grace: timedelta = GRACE) -> None:
    """Tend all tables; what was begun when it is stopped is given up.

    Args:
        lake: the tables.
        now: the time.
        keep_days: the days of receipt that stay, today included; 0 for all.
        is_stopped: asked often.
        grace: the time for which nothing is removed that somebody may still read or commit.

    Raises:
        LakeError: the tables can't be read or written.
        OSError: the disk refuses.
    """
    for name, table in lake.tables().items():
        if is_stopped():
            return
        if keep_days and name not in {CATALOGS, FORGOTTEN}:
            days = max(keep_days, REPEAT_DAYS + 1) if name == BATCHES else keep_days
            _expire(lake, table, now.date() - timedelta(days=days - 1))
        for group in chosen(table.files(), now.date()):
            if not _merge(lake, table, group, is_stopped):
                break
        if (left := lake.find(name)) and not is_stopped():
            _forget_snapshots(left, now - grace)
            _sweep(left, now - grace)


def _expire(lake: Lake, table: Table, first: date) -> None:
    old = [file for file in table.files() if day_of(file) < (first - EPOCH).days]
    if old:
        lake.replace(table.name, old, [])


def chosen(files: Iterable[DataFile], today: date) -> Iterator[list[DataFile]]:
    """Yield the groups of small files that are worth merging: many of like size, or all of a day that is over."""
    days: dict[int, list[DataFile]] = {}
    for file in files:
        if file.file_size_in_bytes < LARGE_BYTES:
            days.setdefault(day_of(file), []).append(file)
    for day, small in sorted(days.items()):
        if day < (today - EPOCH).days - 1:
            groups = [small] if len(small) > 1 else []
        else:
            sizes: dict[int, list[DataFile]] = {}
            for file in small:
                sizes.setdefault(int(file.file_size_in_bytes).bit_length() // 3, []).append(file)
            groups = [group for group in sizes.values() if len(group) >= _LEAST_FILES]
        for group in groups:
            yield from _bounded(group)


def _bounded(files: list[DataFile]) -> Iterator[list[DataFile]]:
    group: list[DataFile] = []
    for file in files:
        if group and sum(file.file_size_in_bytes for file in [*group, file]) > _MERGED_BYTES:
            yield group
            group = []
        group.append(file)
    if len(group) > 1:
        yield group


def _merge(lake: Lake, table: Table, files: list[DataFile], is_stopped: Callable[[], bool]) -> bool:
    """Write the rows of several files of a day into one, in their place; return False if nothing came of it."""
    writer = FileWriter(table, EPOCH + timedelta(days=day_of(files[0])))
    try:
        waiting: list[pa.Table] = []
        for rows in rows_of(table, files):
            if is_stopped():
                writer.discard()
                return False
            waiting.append(rows)
            if sum(part.num_rows for part in waiting) >= _GROUP_ROWS:
                writer.write(joined(waiting))
                waiting = []
        if waiting:
            writer.write(joined(waiting))
        merged = writer.finish()
    except BaseException:
        writer.discard()
        raise
    if lake.replace(table.name, files, [merged]):
        return True
    table.remove([merged])
    return False


def joined(parts: list[pa.Table]) -> pa.Table:
    """Return the rows of several tables as one, which may lack columns of each other."""
    return pa.concat_tables(parts, promote_options="default").unify_dictionaries()


def rows_of(table: Table, files: Iterable[DataFile]) -> Iterator[pa.Table]:
    """Yield the rows of a table's files, some ten thousand at a time."""
    for file in files:
        with table.handle.io.new_input(file.file_path).open() as stream:
            for rows in pq.ParquetFile(stream, read_dictionary=_REPEATED).iter_batches(batch_size=_READ_ROWS):
                yield pa.Table.from_batches([rows])


def _forget_snapshots(table: Table, before: datetime) -> None:
    old = [s for s in table.handle.metadata.snapshots if s.timestamp_ms < before.timestamp() * 1000]
    if len(old) > 1 or (old and len(table.handle.metadata.snapshots) > 1):
        try:
            table.handle.maintenance.expire_snapshots().older_than(before.replace(tzinfo=None)).commit()
        except CommitFailedException:
            return  # the next time


def _sweep(table: Table, before: datetime) -> None:
    """Remove the files below a table that none of its snapshots names, unless they are young."""
    handle = table.handle
    needed = _needed(handle)
    place = urlsplit(handle.location())
    system = handle.io.fs_by_scheme(place.scheme or "file", place.netloc)
    root = f"{place.netloc}{place.path}"
    for found in system.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True)):
        if found.type == pafs.FileType.File and found.mtime < before and _plain(found.path) not in needed:
            system.delete_file(found.path)


def _needed(handle: Any) -> set[str]:
    needed = {handle.metadata_location, *(entry.metadata_file for entry in handle.metadata.metadata_log)}
    for snapshot in handle.metadata.snapshots:
        needed.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(handle.io):
            if manifest.manifest_path not in needed:
                needed.add(manifest.manifest_path)
                needed.update(entry.data_file.file_path for entry in manifest.fetch_manifest_entry(handle.io))
    return {_plain(path) for path in needed}


def _plain(path: str) -> str:
    """Return an address as pyarrow's file systems name it."""
    parts = urlsplit(path)
    return f"{parts.netloc}{parts.path}" if parts.scheme else path
