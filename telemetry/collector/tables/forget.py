"""Erasure of one session from tables. Its id stays in the table `forgotten`: loaders leave out what comes later.

Files that hold rows of the session are written anew without them, as upkeep does it, so loaders may append meanwhile.
What an older snapshot names can still be read until upkeep removes it, a day later.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.collector.tables.decode import arrow_type, session_of
from telemetry.collector.tables.lake import EPOCH, FileWriter, Lake, LakeError, Table, day_of
from telemetry.collector.tables.layout import ASIDE, FORGOTTEN, FORGOTTEN_COLUMNS
from telemetry.collector.tables.upkeep import rows_of

if TYPE_CHECKING:
    from datetime import datetime

    from pyiceberg.manifest import DataFile

_TRIES = 20


class Forgotten(NamedTuple):
    """Result of an erasure.

    Attributes:
        rows: the number of rows erased.
        files: the number of files that held them.
    """

    rows: int
    files: int


def forget(lake: Lake, session: str, now: datetime) -> Forgotten:
    """Erase a session's rows from all tables of events and from `aside`, and have loaders leave out what comes later.

    The call may be repeated.

    Args:
        lake: the tables.
        session: the session's id, as it stands in the events.
        now: the time.

    Raises:
        LakeError: the tables can't be read or written; what was erased until then remains so.
        OSError: the disk refuses.
    """
    if session not in forgotten_sessions(lake):
        table = lake.require(FORGOTTEN, FORGOTTEN_COLUMNS)
        schema = pa.schema([(name, arrow_type(kind)) for name, kind in FORGOTTEN_COLUMNS.items()])
        _put(lake, table, pa.Table.from_pylist([{"session": session, "received": now}], schema=schema), now)
    rows = files = 0
    for name in [name for name, table in lake.tables().items() if table.event or name == ASIDE]:
        erased = _erase(lake, name, session)
        rows, files = rows + erased.rows, files + erased.files
    return Forgotten(rows, files)


def forgotten_sessions(lake: Lake) -> frozenset[str]:
    """Return the sessions whose events are not loaded. Raises LakeError if the tables can't be read."""
    return frozenset(lake.read(FORGOTTEN, "session"))


def _put(lake: Lake, table: Table, rows: pa.Table, now: datetime) -> None:
    writer = FileWriter(table, now.date())
    try:
        writer.write(rows)
        lake.add(table.name, [writer.finish()])
    except OSError:
        writer.discard()
        raise


def _erase(lake: Lake, name: str, session: str) -> Forgotten:
    """Erase a session from one table; begin again where upkeep has replaced a file meanwhile."""
    erased = Forgotten(0, 0)
    for _ in range(_TRIES):
        table = lake.find(name)
        if table is None:
            return erased
        for file in table.files():
            rows = sum(pc.sum(_is_of(part, session)).as_py() or 0 for part in rows_of(table, [file]))
            if not rows:
                continue
            new = [_without(table, file, session)] if rows < int(file.record_count) else []
            if not lake.replace(name, [file], new):
                table.remove(new)
                break
            erased = Forgotten(erased.rows + rows, erased.files + 1)
        else:
            return erased
    raise LakeError(f"the table {name} is changed by others all the time: run this again")


def _without(table: Table, file: DataFile, session: str) -> DataFile:
    """Write a file's rows anew without a session's, which are not all."""
    writer = FileWriter(table, EPOCH + timedelta(days=day_of(file)))
    try:
        for rows in rows_of(table, [file]):
            if (left := rows.filter(pc.invert(_is_of(rows, session)))).num_rows:
                writer.write(left)
        return writer.finish()
    except BaseException:
        writer.discard()
        raise


def _is_of(rows: pa.Table, session: str) -> pa.Array:
    if "session" in rows.column_names:
        return pc.fill_null(pc.equal(rows["session"], session), fill_value=False)
    return pa.array([session_of((line or "").encode()) == session for line in rows["line"].to_pylist()], pa.bool_())
