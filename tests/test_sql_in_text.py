"""Statements inside of free text go, whatever carries them; English that uses their words stays."""

from __future__ import annotations

import json
import logging
import re
import time
from functools import cache, partial
from typing import TYPE_CHECKING

import pytest
import sqlglot
from sql_corpus import Statement, statements
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokens import Tokenizer

from telemetry.redact.allowance import Allowance
from telemetry.redact.rules import RULES
from telemetry.redact.rules.database import ERROR_TEXTS
from telemetry.redact.rules.placeholder import protect
from telemetry.redact.rules.rule import EVERYWHERE
from telemetry.redact.rules.statements import STATEMENTS
from telemetry.redact.text import MAX_TEXT_BYTES, TextRedactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.redact.rules.rule import Rule

REDACTOR = TextRedactor()


def redact(text: str) -> str | None:
    found = REDACTOR.redact([text])
    return found[0].text if found else text


# ---- The corpus, carried.

TRACEBACK = "Traceback (most recent call last):\n  in run\nProgrammingError: refused\n[SQL: {}]\n(Background on this)"
CARRIERS: dict[str, Callable[[str], str]] = {
    "alone": lambda statement: statement,
    "behind_a_colon": "failed: {}".format,
    "json": lambda statement: json.dumps({"level": "error", "query": statement, "took": 3}),
    "traceback": TRACEBACK.format,
    "key_value": 'level=error query="{}" took=3'.format,
    "server_log": "ERROR: canceling statement due to user request at character 15 STATEMENT: {}".format,
}
WORD = re.compile(r"[\w-]{4,}")
KEYWORDS = {
    word.lower()
    for tokenizer in (Tokenizer, *(dialect.tokenizer_class for dialect in Dialect.classes.values()))
    for keyword in tokenizer.KEYWORDS
    for word in keyword.split()
}


@cache
def private() -> list[tuple[str, set[str]]]:
    """Every fifth statement that sqlglot can read, with the words of four letters or more in its names and literals."""
    logging.disable(logging.WARNING)
    try:
        return [(one.text, words) for one in statements()[::5] if (words := _private_words(one))]
    finally:
        logging.disable(logging.NOTSET)


def _private_words(statement: Statement) -> set[str]:
    try:
        dialect = statement.dialect if statement.dialect in Dialect.classes else ""
        trees = [tree for tree in sqlglot.parse(statement.text, read=dialect) if tree is not None]
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError):
        return set()
    if any(isinstance(tree, exp.Condition) or tree.find(exp.Command) for tree in trees):
        return set()  # an expression, or what sqlglot can't read either
    nodes = [node for tree in trees for node in tree.find_all(exp.Identifier, exp.Literal)]
    return {word for node in nodes for word in WORD.findall(node.name) if word.lower() not in KEYWORDS}


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS.keys())
def test_of_995_in_1000_real_statements_no_name_and_no_literal_is_left(carrier: Callable[[str], str]) -> None:
    cases = [
        (text, words) for statement, words in private() if len((text := carrier(statement)).encode()) <= MAX_TEXT_BYTES
    ]
    found = REDACTOR.redact([text for text, _ in cases])
    carried = set(WORD.findall(carrier("")))
    leaks = []
    for index, (text, words) in enumerate(cases):
        left = (found[index].text or "") if index in found else text
        if words & (set(WORD.findall(left)) - carried):
            leaks.append(text)
    assert len(cases) > 1000
    assert len(leaks) <= 0.005 * len(cases), leaks


# ---- By hand.

REDACTED = {
    "capitals": ("slow: SELECT * FROM staff", "slow: [sql]"),
    "capitals_in_the_middle": ("while running SELECT\n  name\nFROM staff", "while running [sql]"),
    "small": ("failed: select pay from staff", "failed: [sql]"),
    "mixed": ("failed: Select pay From staff Where id = 7", "failed: [sql]"),
    "cut": ("failed: SELECT pay FROM sta", "failed: [sql]"),
    "json_lines": (r'{"q": "select\n  pay,\n  name\nfrom\n  staff"}', '{"q": "[sql]'),
    "json_quotes": (r'{"q": "SELECT \"pay\" FROM \"staff\""}', '{"q": "[sql]'),
    "cte": ('ran with "pay roll" as materialized (select 1)', None),
    "hint_before": ("ran /* amy */ select a, b from staff where c = 1", "ran [sql]"),
    "comments_before": ("-- amy's\n-- pay\nselect a, b from staff where c = 1", "[sql]"),
    "sqlalchemy": ("[SQL: refresh pay]\n[parameters: ('amy',)]", "[SQL: [sql]"),
    "postgres_log": ("STATEMENT:  vacuum staff", "STATEMENT:  [sql]"),
    "postgres_line": ("LINE 1: staff.pay = 7\n        ^", "LINE 1: [sql]"),
    "labelled": ("query = 'commit prepared amy'", "query = '[sql]"),
    "secret": ("ran CREATE SECRET pay AS 'amy'", "ran [sql]"),
    "user": ("ran alter user amy with password 'x'", "ran [sql]"),
    "source": ("ran create source s (a int) with (connector = 'kafka')", "ran [sql]"),
    "show": ("ran SHOW GRANTS FOR amy", "ran [sql]"),
    "set": ("ran SET search_path TO pay", "ran [sql]"),
    "set_variable": ("ran set @amy := 7", "ran [sql]"),
    "dax": ("failed: evaluate filter(staff, staff[pay] > 100)", "failed: [sql]"),
    "clone": ("failed: create table pay shallow clone staff", "failed: [sql]"),
    "shown_in": ("failed: show iceberg tables in schema pay.staff", "failed: [sql]"),
    "declared": ("failed: declare variable amy int default 5", "failed: [sql]"),
    "aliased": ("failed: delete staff as s where s.pay = 1", "failed: [sql]"),
    "model": ("failed: create or replace model pay transform (a, b)", "failed: [sql]"),
    "analyzed": ("failed: analyze verbose staff(pay, name)", "failed: [sql]"),
    "changed": ("failed: alter table staff change pay wage", "failed: [sql]"),
    "locking": ("failed: locking table staff for access select 1", "failed: [sql]"),
    "grant": ("ran grant select on staff to amy", "ran [sql]"),
    "copy": ("ran copy staff (pay) from stdin", "ran [sql]"),
    "call": ("ran call raise_pay('amy')", "ran [sql]"),
    "use": ("ran USE payroll;", "ran [sql]"),
    "transaction": ("ran BEGIN TRANSACTION pay_amy", "ran [sql]"),
    "front_is_cut": ("...FROM staff WHERE pay > 7", "...[sql]"),
    "ends_with_its_quote": ('msg="set pay_limit = 7" took=3', 'msg="[sql]'),
    "a_word_and_its_quote": ('msg="close pay_1" took=3', 'msg="[sql]'),
    "a_kind_of_two_words": ("ran: create dynamic table pay target_lag = 'amy'", "ran: [sql]"),
    "an_integration": ("ran: create or replace storage integration pay type = s3", "ran: [sql]"),
    "a_file_format": ("ran: create file format if not exists pay type = csv", "ran: [sql]"),
    "copy_from_a_stage": ("ran: copy into pay from @amy.staff", "ran: [sql]"),
    "merge_without_into": ("ran: merge pay using staff on 1 = 1", "ran: [sql]"),
    "delete_of_two": ("ran: delete pay, p from staff join pay on a = b", "ran: [sql]"),
    "delete_with_an_alias": ("ran: delete from pay as p using staff where a = b", "ran: [sql]"),
    "update_of_two": ("ran: update pay, staff set pay.a = staff.a", "ran: [sql]"),
    "declared_with_a_type": ("ran: declare pay, amy string", "ran: [sql]"),
    "a_case_of_a_name": ("ran: select case pay when 1 then 'amy' end from staff", "ran: [sql]"),
    "with_a_value": ("ran: with (1, 2) as pay select 1", "ran: [sql]"),
    "rollback": ("ran: rollback to savepoint pay", "ran: [sql]"),
    "a_role": ("ran: use role amy", "ran: [sql]"),
    "in_capitals_alone": ("ran: CLOSE amy", "ran: [sql]"),
    "behind_a_remark": ("-- report 7 -- show open tables in staff", "-- report 7 -- [sql]"),
    "labelled_behind_a_remark": ('query="/* app:web */ call amy" took=3', 'query="[sql]'),
    "a_view_with_a_definer": ("ran: create algorithm = merge definer = 'amy'@'%' view pay as select 1", "ran: [sql]"),
    "user_in_quotes": ("ran: create user 'amy'@'%' password expire", "ran: [sql]"),
    "users_renamed": ("ran: rename user 'amy' to 'pay'", "ran: [sql]"),
    "role_in_quotes": ("ran: grant 'staff' to 'amy'@'%'", "ran: [sql]"),
    "replace_into": ("ran: replace delayed into staff values (1)", "ran: [sql]"),
    "load_data": ("ran: load data infile '/tmp/t.csv' into table staff", "ran: [sql]"),
    "values_of_a_function": ("ran: values cast('amy' as char)", "ran: [sql]"),
    "an_index_of_a_kind": ("ran: create inverted index staff on pay(name)", "ran: [sql]"),
    "a_property_graph": ("ran: create property graph pay node tables(staff)", "ran: [sql]"),
    "a_pipe": ("ran: from staff as s |> aggregate count(*)", "ran: [sql]"),
    "a_program_of_two_lines": ("ran: use amy\ngo\ndrop table pay", "ran: [sql]"),
    "a_variable_of_the_server": ("ran: set @@session.pay = amy", "ran: [sql]"),
    "select_with_a_mode": ("ran: select with anonymization anon_sum(pay) from staff", "ran: [sql]"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), REDACTED.values(), ids=REDACTED.keys())
def test_statements_are_found_in_text(text: str, wanted: str | None) -> None:
    left = redact(text)
    if wanted is not None:
        assert left == wanted
    assert left is not None
    assert not {"amy", "pay", "staff"} & set(re.findall(r"\w+", left))


ENGLISH = [
    "could not evaluate expression (x) here",
    "failed: evaluate the result",
    "error: declare victory",
    "failed: select if you like",
    "select a file from the menu, then insert a disk into the drive",
    "please select one of the items from the list below",
    "hint: select a row from the table to continue",
    "update the set where possible, delete from cache failed",
    "the update set a new record",
    "create a new table with a header, or drop the table",
    "the index was created on start, with errors",
    "set the level to 3 and show the tables again",
    "values (in ms) are in the table; use the default",
    "with the flag set, as (nearly) always, it works",
    "grant access on request to new members",
    "comment on the pull request is missing",
    "query: completed in 5 ms, 12 rows",
    "query=17 took 3 ms",
    "the statement: too long to show",
    "begin of the file reached, end of the merge",
    "call the support, or execute the plan",
    "explain why the merge of level 3 into level 4 took 17 ms",
    "where there is a limit, it is shown here",
    "refresh the page and describe the problem",
    "lock table is full; truncate failed",
    "join the channel on the left; copy it to the clipboard",
    "use after free; load of 17 %; attach a debugger",
    "the GET and SET commands, BEGIN and END markers",
    "merged 3 sources into 1 sink from 4 tables",
    "use `pay_day` instead, or install `pay2` for it",
    'set it to "hard" or "soft"; the action "close file" was done',
    "usage: while True: data = read(7) if not data: do it",
    "a, b -- directory names common -- list of file names found in both",
    "if item_at in None the types are returned unchanged",
    "note: set -- and show -- are kept, see tools/*.py and tests/*_a.py for more",
    "failed: start of the process; rename is not possible, kill -9 was sent",
    "query: start of the day, statement: close to the end",
]


@pytest.mark.parametrize("sentence", ENGLISH)
def test_english_with_the_words_of_sql_survives(sentence: str) -> None:
    assert redact(sentence) == sentence


# ---- Time.

PIECES = [
    *("evaluate ", "declare a ", "show a ", "show a in schema ", "select if ", "update a a from ("),
    *("select ", "select a ", "select a, ", "select from ", "select a from ", "=select a ", "select `", "select a\n"),
    *(
        "update ",
        "UPDATE ",
        "update a set ",
        "insert into a ",
        "create table a ",
        "with a ",
        "WITH ",
        "WITH a(",
        "as (",
    ),
    *("GRANT a ", "grant a on b ", "copy a (", "FROM a ", "JOIN a ", "WHERE a ", "SET a ", "values (", "DELETE a "),
    *("/*", "/**/", "--", "--\n", "a--", "query=", "[SQL: ", "LINE 1: ", "near '", "Key (", "column a of ", "table '"),
    *("Duplicate entry '", "Failing row contains (", "(a)=(", "\\n", "\\", '"', "'", "`", " ", "("),
]


@pytest.mark.parametrize("piece", PIECES)
def test_time_is_linear_whatever_the_text(piece: str) -> None:
    small, large = ((piece * MAX_TEXT_BYTES)[:size] for size in (MAX_TEXT_BYTES // 4, MAX_TEXT_BYTES))
    for rule in (*STATEMENTS, *ERROR_TEXTS):
        # Four times the text: four times the time, and 16 times if it were quadratic. The rest is room for noise.
        assert _seconds(partial(_apply, rule, large)) < 9 * _seconds(partial(_apply, rule, small)) + 0.005


def _apply(rule: Rule, text: str) -> bool:
    return bool(rule.apply(text, EVERYWHERE, Allowance(1 << 30))[1])


def _seconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def test_the_prefilters_miss_no_real_statement() -> None:
    texts = [
        text for one in statements()[::11] if (text := f"ran {one.text}").isascii() and len(text) <= MAX_TEXT_BYTES
    ]
    fired = REDACTOR._scanner.scan([text.encode() for text in texts])
    asked = {rule.prefilters for rule in (*STATEMENTS, *ERROR_TEXTS)}
    numbers = [number for number, rule in enumerate(RULES) if rule.prefilters in asked]
    assert len(numbers) == len(asked)
    missed = [
        (RULES[number].name, text)
        for index, text in enumerate(texts)
        for number in numbers
        if number not in fired.get(index, set()) and _apply(RULES[number], protect(text))
    ]
    assert missed == []
