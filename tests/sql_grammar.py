"""All that may leave of a statement. The words stand here once more, so that a new one is added on purpose."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re

CLASSES = (
    "alter analyze attach begin cache call close comment commit copy create deallocate declare delete describe detach "
    "drop execute explain export fetch flush grant import insert install kill listen load lock merge notify optimize "
    "pivot pragma prepare refresh release replace reset revoke rollback savepoint script select set show summarize "
    "truncate uncache undrop unload unlock unpivot update upsert use vacuum values"
).split()
COUNTS = ("tables", "joins", "predicates", "ctes", "subqueries", "parameters")
GRAMMAR = re.compile(
    rf"unparsed|(?:{'|'.join(CLASSES)})" + "".join(f" {name}=(?:0|[1-9][0-9]?)" for name in COUNTS), re.ASCII
)
