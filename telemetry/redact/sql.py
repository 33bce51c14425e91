"""What leaves of a `sql` field: the class of the statement and counts of its parts, never a word of it.

The lexer knows no dialect. It needs to know only where literals, quoted names and comments end, and gives up
(`unparsed`) where it can't tell. Its time is linear, and statements over `MAX_STATEMENT_BYTES` are not lexed.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re
from collections import Counter

from telemetry.redact.sql_lexer import Token, UnreadableError, lex

MAX_STATEMENT_BYTES = 8192
_MAX_COUNT = 99  # a bulk insert's length is data too
_CLASSES = frozenset(
    "select insert update delete merge upsert replace create alter drop truncate grant revoke copy call explain "
    "show set "
    "begin start commit rollback savepoint release use describe desc values with vacuum analyze declare fetch close "
    "prepare execute deallocate lock unlock comment refresh flush listen notify reset pragma".split()
)
_MAIN = frozenset("select insert update delete merge values".split())  # what may follow the CTEs
_COUNTS = ("tables", "joins", "predicates", "ctes", "subqueries", "parameters")

_BEFORE_TABLE = frozenset("from join into update table using copy".split())
_PREDICATES = frozenset("like ilike in between is exists similar regexp rlike contains overlaps".split())
_CLAUSES = frozenset("select from where on having group order limit set values with returning qualify window".split())
_NO_TABLE = frozenset("select only lateral unnest set stdin stdout values".split())


class _Frame:
    """What is known about the statement between one pair of brackets."""

    def __init__(self, clause: str = "", *, folded: bool = False, cte: bool = False) -> None:
        self.clause = clause
        self.folded = folded  # the list of an IN, or a row of VALUES: counts as one parameter
        self.cte = cte
        self.selects = False
        self.parameters = 0


def shape(statement: str) -> str:
    """Reduce a statement to its class and counts.

    Args:
        statement: SQL of any dialect, also cut off.

    Returns:
        For example `select tables=2 joins=1 predicates=3 ctes=0 subqueries=1 parameters=2`. Literals and placeholders
        are parameters, a list of them is one; each count ends at 99. The class alone when the statement is too long,
        `script` as the class of more than one statement, and `unparsed` for what can't be read to its end.
    """
    if len(statement.encode("utf-8", "replace")) > MAX_STATEMENT_BYTES:
        first = re.match(r"[\s(]*([a-zA-Z]+)", statement)
        return first[1].lower() if first and first[1].lower() in _CLASSES else "unparsed"
    for backslash in (False, True):
        try:
            return _describe(list(lex(statement, backslash=backslash)))
        except UnreadableError:
            continue
    return "unparsed"


def _describe(tokens: list[Token]) -> str:
    words = [token for token in tokens if token.kind != "open_paren"]
    if not words or words[0].word not in _CLASSES or words[0].kind != "word":
        raise UnreadableError
    reader = _Reader()
    for token in tokens:
        reader.read(token)
    if len(reader.frames) != 1:
        raise UnreadableError
    kind = "script" if reader.statements > 1 else reader.main or words[0].word
    return " ".join([kind, *(f"{name}={min(reader.counts[name], _MAX_COUNT)}" for name in _COUNTS)])


class _Reader:
    """Counts while tokens pass by; holds the words of a CTE's name to tell it from a table, and gives none away."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.frames = [_Frame()]
        self.statements = 1
        self.main = ""
        self._ctes: set[str] = set()
        self._before = Token("", "")
        self._last_name = ""  # the last name in a WITH clause
        self._table_next = False
        self._ended = False

    def read(self, token: Token) -> None:
        if self._ended and token.kind != "end":
            self.statements, self._ended = self.statements + 1, False
        getattr(self, f"_on_{token.kind}", self._skip)(token)
        self._before = token

    def _skip(self, _token: Token) -> None:
        self._table_next = False

    def _on_end(self, _token: Token) -> None:
        if len(self.frames) != 1:
            raise UnreadableError
        self.frames, self._ended, self._table_next = [_Frame()], True, False

    def _on_open_paren(self, _token: Token) -> None:
        parent, before = self.frames[-1], self._before.word
        cte = parent.clause == "with" and before in {"as", "materialized"}
        if cte:
            self.counts["ctes"] += 1
            self._ctes.add(self._last_name)
        folded = before == "in" or (parent.clause == "values" and not parent.folded)
        self.frames.append(_Frame("" if cte else parent.clause, folded=folded, cte=cte))
        self._table_next = False

    def _on_close_paren(self, _token: Token) -> None:
        if len(self.frames) == 1:
            raise UnreadableError
        frame = self.frames.pop()
        self.counts["parameters"] += min(frame.parameters, 1) if frame.folded else frame.parameters

    def _on_comma(self, _token: Token) -> None:
        frame = self.frames[-1]
        self._table_next = frame.clause == "from" and frame.selects

    def _on_compare(self, _token: Token) -> None:
        self._predicate()
        self._table_next = False

    def _parameter(self, _token: Token) -> None:
        self._table_next = False
        frame = self.frames[-1]
        frame.parameters += 1
        if len(self.frames) == 1:
            self.counts["parameters"] += 1

    _on_literal = _on_escaped = _on_number = _on_placeholder = _parameter

    def _on_name(self, token: Token) -> None:
        if self._table_next:
            self._table_next = False
            self.counts["tables"] += token.word not in self._ctes
        self._last_name = token.word

    def _on_word(self, token: Token) -> None:
        word, frame = token.word, self.frames[-1]
        if word in _PREDICATES and not (word == "exists" and self._before.word in {"if", "not"} and frame.clause == ""):
            self._predicate()
        if word == "join":
            self.counts["joins"] += 1
        if word == "select":
            self._select(frame)
        if (
            len(self.frames) == 1
            and not self.main
            and word in (_MAIN if frame.clause == "with" else _CLASSES - {"with"})
        ):
            self.main = word
        if word in _CLAUSES:
            frame.clause = word
        if word in _BEFORE_TABLE and self._names_table(word, frame):
            self._table_next = True
        elif word not in _NO_TABLE and word not in {"if", "not", "exists", "as"}:
            self._on_name(token)

    def _select(self, frame: _Frame) -> None:
        if len(self.frames) > 1 and not frame.cte and not frame.selects:
            self.counts["subqueries"] += 1
        frame.selects, frame.folded = True, False

    def _predicate(self) -> None:
        self.counts["predicates"] += self.frames[-1].clause in {"where", "on", "having", "qualify"}

    def _names_table(self, word: str, frame: _Frame) -> bool:
        if word == "from":  # `extract(year from x)`, `is distinct from x` name no table
            return self._before.word != "distinct" and (frame.selects or len(self.frames) == 1)
        if word == "update":  # `for update`, `on conflict do update set`
            return self._before.word not in {"for", "do", "on", "key", "then"}
        return not (word == "using" and frame.clause != "from" and self.main not in {"merge", "delete"})
