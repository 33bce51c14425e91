"""Statements leave as class and counts; no literal, name or comment does."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.redact.sql import MAX_STATEMENT_BYTES, shape

ZERO = {"tables": 0, "joins": 0, "predicates": 0, "ctes": 0, "subqueries": 0, "parameters": 0}


def counts(**changed: int) -> str:
    return " ".join(f"{name}={number}" for name, number in (ZERO | changed).items())


SHAPES = {
    "plain": ("select * from t", "select " + counts(tables=1)),
    "join": (
        "SELECT a FROM t JOIN u ON t.i = u.i LEFT JOIN v USING (i) WHERE a LIKE 'x%' AND b BETWEEN 1 AND 2",
        "select " + counts(tables=3, joins=2, predicates=3, parameters=3),
    ),
    "cte": (
        "WITH c AS (SELECT 1 FROM k) SELECT * FROM c, t WHERE x > (SELECT max(y) FROM t)",
        "select " + counts(tables=3, predicates=1, ctes=1, subqueries=1, parameters=1),
    ),
    "in_list_is_one": (
        "select * from t where a in (1, 2, 3)",
        "select " + counts(tables=1, predicates=1, parameters=1),
    ),
    "insert": ("insert into t (a, b) values (1, 'x'), (2, 'y')", "insert " + counts(tables=1, parameters=2)),
    "update": ("update t set a = $1 where b = ?", "update " + counts(tables=1, predicates=1, parameters=2)),
    "delete": ("delete from t where a is null", "delete " + counts(tables=1, predicates=1)),
    "merge": (
        "merge into t using s on t.a = s.b when matched then update set x = 1",
        "merge " + counts(tables=2, predicates=1, parameters=1),
    ),
    "create": ("create table if not exists t (a int)", "create " + counts(tables=1)),
    "extract": ("select extract(year from d) from t", "select " + counts(tables=1)),
    "distinct_from": (
        "select 1 from t where a is distinct from b",
        "select " + counts(tables=1, predicates=1, parameters=1),
    ),
    "for_update": ("select * from t for update", "select " + counts(tables=1)),
    "derived": ("select * from a, (select * from b) c", "select " + counts(tables=2, subqueries=1)),
    "cast": ("select a::text from t where b = :name", "select " + counts(tables=1, predicates=1, parameters=1)),
    "script": ("select 1; drop table t", "script " + counts(tables=1, parameters=1)),
    "one_semicolon": ("select 1;", "select " + counts(parameters=1)),
    "doubled_quote": ("select 'it''s'", "select " + counts(parameters=1)),
    "backslash_quote": (r"select 'it\'s' from t", "select " + counts(tables=1, parameters=1)),
    "tsql_escape": (
        r"select * from t where a like '\' escape '\'",
        "select " + counts(tables=1, predicates=1, parameters=2),
    ),
    "escape_string": (r"select E'it\'s', N'x', U&'x', B'1'", "select " + counts(parameters=4)),
    "oracle_quote": ("select q'[it's]', q'!it's!' from dual", "select " + counts(tables=1, parameters=2)),
    "dollar": ("select $$it's$$, $x$ $$ $x$", "select " + counts(parameters=2)),
    "names": ('select "a""b", `c` from [d e].[f]', "select " + counts(tables=1)),
    "comments": ("select 1 -- it's\n /* a /* it's */ b */ # it's\n", "select " + counts(parameters=1)),
    "numbers": ("select 1.5e-3, 0xFF, .5", "select " + counts(parameters=3)),
    "count_has_an_end": ("select " + ", ".join("1" * 200), "select " + counts(parameters=99)),
}


@pytest.mark.parametrize(("statement", "wanted"), SHAPES.values(), ids=SHAPES.keys())
def test_a_statement_is_reduced_to_its_shape(statement: str, wanted: str) -> None:
    assert shape(statement) == wanted


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("select 'amy", id="literal"),
        pytest.param('select "amy', id="name"),
        pytest.param("select `amy", id="backtick"),
        pytest.param("select $x$ amy", id="dollar"),
        pytest.param("select q'[amy'", id="oracle"),
        pytest.param("select /* amy", id="comment"),
        pytest.param("select (1", id="open bracket"),
        pytest.param("select 1)", id="closing bracket"),
        pytest.param("smith 1", id="first word"),
        pytest.param("'select'", id="no word"),
        pytest.param('"select" 1', id="quoted word"),
        pytest.param("", id="empty"),
    ],
)
def test_what_cant_be_read_to_its_end_is_unparsed(statement: str) -> None:
    assert shape(statement) == "unparsed"


def test_a_statement_over_the_limit_leaves_its_class_only() -> None:
    assert shape("select " + "a" * MAX_STATEMENT_BYTES) == "select"
    assert shape("smith " + "a" * MAX_STATEMENT_BYTES) == "unparsed"


PIECES = st.sampled_from(
    [
        "select",
        "from",
        "where",
        "join",
        "(",
        ")",
        ",",
        ";",
        "'zq1x'",
        '"zq2x"',
        "`zq3x`",
        "zq4x",
        "/*zq5x*/",
        "--zq6x\n",
        "=",
        "in",
        "(",
        "5",
        "$1",
        "$$zq7x$$",
        "q'[zq8x]'",
        "[zq9x]",
        ".",
        "with",
        "as",
    ]
)


@given(st.lists(PIECES, max_size=30).map(" ".join))
def test_no_word_of_a_statement_is_in_its_shape(statement: str) -> None:
    assert "zq" not in shape("select " + statement)


@pytest.mark.parametrize("piece", ["(", "'", "/*", "((select", "a.", "$a", "[", "1 ", "''", "-", "with a as ("])
def test_a_bomb_takes_bounded_time(piece: str) -> None:
    started = time.process_time()
    shape("select " + (piece * MAX_STATEMENT_BYTES)[: MAX_STATEMENT_BYTES - 7])
    assert time.process_time() - started < 1.0
