"""Reader that counts the parts of a statement as its tokens pass by, without a dialect and without a tree.

It follows brackets and clauses only, so an unknown dialect costs a wrong count, not a failure.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from telemetry.redact.sql_lexer import Kind, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

_CLASSES = {
    word: word
    for word in (
        "alter analyze attach begin cache call close comment commit copy create deallocate declare delete describe "
        "detach drop execute explain export fetch flush grant import insert install kill listen load lock merge notify "
        "optimize pivot pragma prepare refresh release replace reset revoke rollback savepoint select set show "
        "summarize truncate uncache undrop unload unlock unpivot update upsert use vacuum values"
    ).split()
} | {"desc": "describe", "exec": "execute", "start": "begin", "end": "commit", "from": "select", "table": "select"}
_CLAUSES = frozenset("select from where having group order limit set values returning qualify window".split())
_CONDITIONS = frozenset("where on having qualify".split())
_PREDICATES = frozenset("like ilike in between is exists similar regexp rlike glob overlaps isnull notnull".split())
_MAIN = frozenset("select insert update delete merge values from table create replace".split())  # behind the CTEs
# What `with` begins besides common table expressions.
_NO_CTE = frozenset(
    "time local ordinality ties no data rollup cube check cascaded offset grant admin hierarchy schema totals".split()
)
_MAX_DEPTH = 100  # of brackets; nobody writes that many, and each costs more than other tokens
_BEFORE_CTE = frozenset({"with", "recursive", Kind.COMMA})
_BEFORE_CLASS = frozenset({Kind.OPEN, Kind.END})
_BEFORE_ROW = frozenset({"values", "row", Kind.COMMA, Kind.CLOSE})
_BEFORE_LIST = frozenset({"in", "with", "array"})
_RELATION_FIRST = frozenset("insert update merge replace truncate copy describe desc table".split())
# In the place of a relation: words before its name, and words that say that there is none.
_BEFORE_NAME = frozenset(
    "only into table view if not exists or ignore replace overwrite low_priority delayed abort fail rollback".split()
)
_NO_RELATION = frozenset(
    "select unnest set values stdin stdout with lateral cluster commit delete update conflict duplicate when".split()
)


class _Frame:
    """The state of the statement within one pair of brackets."""

    __slots__ = ("clause", "cte", "cte_name", "is_list", "muted", "row_seen", "selects")

    def __init__(self, clause: str = "", *, cte: bool = False, is_list: bool = False, muted: bool = False) -> None:
        self.clause = clause
        self.cte = cte
        self.cte_name = ""
        self.is_list = is_list  # the values of an IN, an array, options: its first element counts, the rest is muted
        self.muted = muted
        self.row_seen = False  # of the rows of VALUES, the first one counts
        self.selects = False


class Reader:
    """A counter of a statement's parts. It holds names of common table expressions, to tell them from tables."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.frames = [_Frame()]
        self.statements = 0
        self.first = ""  # the class of the first statement
        self._class = ""  # that of this one; empty until it is known
        self._with = False  # CTEs come before the class
        self._ctes: set[str] = set()
        self._cte_depth = 0
        self._before = ""  # the token before: its word, or its kind
        self._relation_next = False

    def read(self, kind: str, word: str) -> None:
        """Take the next token.

        Raises:
            UnreadableError: no statement begins like this, or brackets don't match.
        """
        if self._class or not self._begins(kind, word):
            self._BY_KIND[kind](self, word)
        self._before = word or kind

    def end(self) -> None:
        """Close a statement.

        Raises:
            UnreadableError: it lacks a bracket, or all but its CTEs.
        """
        if len(self.frames) != 1 or (self._with and not self._class):
            raise UnreadableError
        self.frames = [_Frame()]
        self._class, self._with, self._relation_next = "", False, False

    def _begins(self, kind: str, word: str) -> bool:
        """Tell whether this token gives the statement's class and means nothing else."""
        if self._with:
            main = word in _MAIN and not self._cte_depth and self._before not in _BEFORE_CTE
            if kind != Kind.WORD or not main:
                return False
        elif kind != Kind.WORD or word not in _CLASSES:
            self._with = word == "with"
            if self._with or kind in _BEFORE_CLASS:
                return False
            raise UnreadableError
        self._class = _CLASSES[word]
        self.first = self.first or self._class
        self.statements += 1
        self._relation_next = word in _RELATION_FIRST
        self.frames[-1].clause = ""
        if word == "update":
            self.frames[-1].clause, self.frames[-1].selects = "from", True
        return self._relation_next

    def _count(self, name: str) -> None:
        self.counts[name] += not self.frames[-1].muted

    def _predicate(self) -> None:
        if self.frames[-1].clause in _CONDITIONS:
            self._count("predicates")

    def _expect_relation(self) -> None:
        self._relation_next = True

    # ---- Handlers by kind of token.

    def _on_other(self, _word: str) -> None:
        self._relation_next = False

    def _on_end(self, _word: str) -> None:
        self.end()

    def _on_open(self, _word: str) -> None:
        parent, before = self.frames[-1], self._before
        if parent.clause == "with" and before in {"as", "materialized"}:
            self._count("ctes")
            self._ctes.add(parent.cte_name)
            self._cte_depth += 1
            self._enter(_Frame(cte=True, muted=parent.muted))
            return
        row = parent.clause == "values" and before in _BEFORE_ROW
        muted = parent.muted or (row and parent.row_seen)
        parent.row_seen = parent.row_seen or row
        clause = "" if before in {"with", "over"} else "from" if self._relation_next else parent.clause
        self._enter(_Frame(clause, is_list=before in _BEFORE_LIST, muted=muted))

    def _enter(self, frame: _Frame) -> None:
        self.frames.append(frame)
        if len(self.frames) > _MAX_DEPTH:
            raise UnreadableError

    def _on_array(self, _word: str) -> None:
        parent = self.frames[-1]
        self._enter(_Frame(parent.clause, is_list=True, muted=parent.muted))
        self._relation_next = False

    def _on_close(self, _word: str) -> None:
        if len(self.frames) == 1:
            raise UnreadableError
        self._cte_depth -= self.frames.pop().cte
        self._relation_next = False

    def _on_comma(self, _word: str) -> None:
        frame = self.frames[-1]
        frame.muted = frame.muted or frame.is_list
        self._relation_next = frame.clause in {"from", "on"} and frame.selects
        if self._relation_next:
            frame.clause = "from"

    def _on_compare(self, _word: str) -> None:
        self._relation_next = False
        self._predicate()

    def _on_value(self, _word: str) -> None:
        # A file or a variable may stand in the place of a table.
        self._count("tables" if self._relation_next and self._class != "copy" else "parameters")
        self._relation_next = False

    def _on_name(self, word: str) -> None:
        if self._relation_next:
            self._relation_next = False
            if word not in self._ctes:
                self._count("tables")
        elif self._names_cte(word):
            self.frames[-1].clause, self.frames[-1].cte_name = "with", word

    def _names_cte(self, word: str) -> bool:
        if self._before == "with":
            return word != "recursive" and (not self._class or word not in _NO_CTE)
        return self._before == "recursive" or (self._before == Kind.COMMA and self.frames[-1].clause == "with")

    def _on_word(self, word: str) -> None:
        if self._before == Kind.DOT:
            return
        if self._relation_next:
            if word in _BEFORE_NAME:
                return
            if word not in _NO_RELATION:
                self._on_name(word)
                return
            self._relation_next = False
        if self._names_cte(word):
            self.frames[-1].clause, self.frames[-1].cte_name = "with", word
        elif word in _CLAUSES:
            self._on_clause(word)
        elif word in self._BY_WORD:
            self._BY_WORD[word](self)
        elif word in _PREDICATES:
            self._predicate()

    # ---- Handlers by word.

    def _on_clause(self, word: str) -> None:
        frame = self.frames[-1]
        if word == "from":
            if self._before == "distinct":  # `a is distinct from b`
                return
            frame.selects = frame.selects or len(self.frames) == 1
            self._relation_next = frame.selects  # not in `extract(year from x)`
        elif word == "select":
            if len(self.frames) > 1 and not frame.cte and not frame.selects:
                self._count("subqueries")
            frame.selects, frame.is_list = True, False
        elif word == "values":
            frame.row_seen = False
        frame.clause = word

    def _on_join(self) -> None:
        self._count("joins")
        self._relation_next = True
        self.frames[-1].clause = "from"

    def _on_on(self) -> None:
        frame = self.frames[-1]
        if frame.clause == "from":
            frame.clause = "on"
        elif len(self.frames) == 1 and (
            self._class in {"grant", "revoke"} or (self._class == "create" and not frame.clause)
        ):
            self._relation_next = True  # `create index i on t`

    def _on_conflict(self) -> None:
        self.frames[-1].clause = "set"

    def _on_using(self) -> None:
        if self._class in {"merge", "delete"}:
            self._relation_next = True
            self.frames[-1].clause, self.frames[-1].selects = "from", True

    def _on_update(self) -> None:
        if self._before not in {"for", "do", "on", "key", "then", "before", "after", "or", "of", "no"}:
            self._relation_next = True
            self.frames[-1].clause, self.frames[-1].selects = "from", True

    def _on_relation_kind(self) -> None:
        if self._before == "lateral":  # `lateral view explode(a) t as b, c`
            self.frames[-1].clause = ""
        elif len(self.frames) == 1 and not self.frames[-1].clause and self._before != "returns":
            self._relation_next = True

    _BY_KIND: ClassVar[dict[str, Callable[[Reader, str], None]]] = {
        Kind.WORD: _on_word,
        Kind.NAME: _on_name,
        Kind.LITERAL: _on_value,
        Kind.PLACEHOLDER: _on_value,
        Kind.COMPARE: _on_compare,
        Kind.OPEN: _on_open,
        Kind.ARRAY: _on_array,
        Kind.CLOSE: _on_close,
        Kind.COMMA: _on_comma,
        Kind.DOT: _on_other,
        Kind.END: _on_end,
        Kind.OTHER: _on_other,
    }
    _BY_WORD: ClassVar[dict[str, Callable[[Reader], None]]] = {
        **dict.fromkeys(("join", "straight_join"), _on_join),
        **dict.fromkeys(("table", "view", "source", "sink", "dictionary"), _on_relation_kind),
        **dict.fromkeys(("into", "references", "clone"), _expect_relation),
        **dict.fromkeys(("conflict", "duplicate"), _on_conflict),
        "on": _on_on,
        "using": _on_using,
        "update": _on_update,
    }
