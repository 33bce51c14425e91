"""Redaction of a `sql` field: the class of the statement and counts of its parts leave, never a word of it.

The result consists only of names of classes and counts, and of numbers up to 99. A statement that can't be read to its
end leaves as `unparsed`. Time is linear in the length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.redact.sql_lexer import UnreadableError, lex
from telemetry.redact.sql_reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_STATEMENT_BYTES = 65_536  # where RisingWave's own query log cuts a statement off
_MAX_COUNT = 99  # a bulk insert's length is data too
_COUNTS = ("tables", "joins", "predicates", "ctes", "subqueries", "parameters")
_SCRIPT = "script"
UNPARSED = "unparsed"


def shape(statement: str) -> str:
    """Reduce a statement to its class and counts.

    Args:
        statement: SQL of any dialect, perhaps cut off.

    Returns:
        For example `select tables=2 joins=1 predicates=3 ctes=0 subqueries=1 parameters=2`. Literals and placeholders
        are parameters. Of a list (the values of an IN, an array, the rows of a VALUES, options) only the first element
        is counted, and each count ends at 99, so the size of data does not leave. `script` is the class of more than
        one statement. `unparsed`, without counts, stands for a statement that can't be read to its end or exceeds 64
        KiB.
    """
    if len(statement) > MAX_STATEMENT_BYTES or len(statement.encode("utf-8", "replace")) > MAX_STATEMENT_BYTES:
        return UNPARSED
    for backslash in (False, True):
        try:
            return _describe(lex(statement, backslash=backslash))
        except UnreadableError:
            continue
    return UNPARSED


def _describe(tokens: Iterable[tuple[str, str]]) -> str:
    reader = Reader()
    for kind, word in tokens:
        reader.read(kind, word)
    reader.end()
    if not reader.first:
        raise UnreadableError
    name = _SCRIPT if reader.statements > 1 else reader.first
    return " ".join([name, *(f"{count}={min(reader.counts[count], _MAX_COUNT)}" for count in _COUNTS)])
