"""Cuts SQL into tokens, in linear time and without a dialect: where literals, quoted names and comments end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|--[^\n]*|\#(?=[\s#!]|\Z)[^\n]*)
  | (?P<comment>/\*)
  | (?P<oracle>n?q'(?P<open>[^\s']))
  | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$)
  | (?P<escaped>e'(?:[^'\\]|\\.|'')*+')
  | (?P<literal>(?:[nbx]|u&|_\w{1,20}\s?)?'(?:[^']|'')*+')
  | (?P<name>(?:u&)?"(?:[^"]|"")*+"|`(?:[^`]|``)*+`)
  | (?P<bracket>(?<![\w\])"])\[[^\]]*+\])
  | (?P<number>(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?|0x[0-9a-f]++)
  | (?P<placeholder>\?|\$\d++|%\(\w++\)s|%s|(?<![:\w]):\w++|@\w++|\{\w*+\})
  | (?P<word>[^\W\d][\w$\#]*+|\#\w++)
  | (?P<compare><=>|<>|!=|<=|>=|==|=|<(?![<@])|>(?!>)|!?~~?\*?|@>|<@|&&)
  | (?P<open_paren>\()
  | (?P<close_paren>\))
  | (?P<end>;)
  | (?P<comma>,)
  | (?P<other>::|:=|\|\||->>?|\#>>?|>>|<<|@@|[^\s'"`;])
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# MySQL's other way to read a quote: a backslash escapes it.
_BACKSLASH = re.compile(r"(?P<literal>'(?:[^'\\]|\\.|'')*+'|\"(?:[^\"\\]|\\.|\"\")*+\")", re.DOTALL)
_EDGE = re.compile(r"/\*|\*/")
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}


class UnreadableError(Exception):
    """A literal, a comment or a bracket that has no end."""


class Token(NamedTuple):
    """A piece of a statement."""

    kind: str
    word: str  # in small letters; empty for anything but a word or a quoted name


def lex(statement: str, *, backslash: bool) -> Iterator[Token]:
    """Cut a statement into tokens; blanks and comments are left out.

    Args:
        statement: SQL.
        backslash: whether a backslash escapes a quote in every literal, as in MySQL.

    Raises:
        UnreadableError: what can't be read to its end.
    """
    at = 0
    while at < len(statement):
        match = (backslash and _BACKSLASH.match(statement, at)) or _TOKEN.match(statement, at)
        if match is None:
            raise UnreadableError
        kind, at = match.lastgroup or "", match.end()
        # `lastgroup` names the inner group of these two.
        if kind in {"oracle", "open"}:
            kind, at = "literal", _after(statement, _CLOSING.get(match["open"], match["open"]) + "'", at)
        elif kind in {"dollar", "tag"}:
            kind, at = "literal", _after(statement, match[0], at)
        elif kind == "comment":
            at = _after_comment(statement, at)
        if kind in {"blank", "comment"}:
            continue
        named = kind in {"word", "name", "bracket"}
        yield Token("name" if kind == "bracket" else kind, match[0].lower() if named else "")


def _after(statement: str, closing: str, at: int) -> int:
    end = statement.find(closing, at)
    if end < 0:
        raise UnreadableError
    return end + len(closing)


def _after_comment(statement: str, at: int) -> int:
    depth = 1
    for edge in _EDGE.finditer(statement, at):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    raise UnreadableError
