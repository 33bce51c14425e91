"""Lexer for SQL, in linear time and without a dialect: finds where literals, quoted names and comments end.

Some dialects disagree on that, so there are two readings: by the standard, and as MySQL, BigQuery and Spark read it. A
wrong reading spoils counts at worst: nothing of a token leaves.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind:
    """The kinds of tokens, as plain strings: hashing an enum's member would cost more than all else about a token.

    The string names the token's group in the expressions below.
    """

    WORD = "word"
    NAME = "name"  # a quoted one
    LITERAL = "literal"
    PLACEHOLDER = "placeholder"
    COMPARE = "compare"
    OPEN = "open"
    ARRAY = "array"  # opens with a square bracket
    CLOSE = "close"
    COMMA = "comma"
    DOT = "dot"
    END = "end"
    OTHER = "other"


# The commonest and cheapest first: each alternative before the one that matches costs time.
_FIRST = r"""
    (?!\{[{%\#])  # a template, not SQL
    (?:(?P<open>\()
  | (?P<close>[)\]])
  | (?P<comma>,)
  | (?P<end>;)
  | (?P<blank>\s+|--[^\n]*+|\#++(?=[\s!-]|\Z)[^\n]*+)
  | (?P<comment>/\*)
  | (?P<quoted>n?q'(?P<edge>[^\s']))
"""
_STANDARD = r"""
  | (?P<escaped>e'(?:[^'\\]|\\.|'')*+')
  | (?P<literal>(?:[nbxr]|u&|br|rb|_\w{1,20}\s?)?'(?:[^']|'')*+')
  | (?P<name>(?:u&)?"(?:[^"]|"")*+"|`(?:[^`]|``)*+`)
"""
_BACKSLASH = r"""
  | (?P<literal>(?:[nbxre]|br|rb|_\w{1,20}\s?)?
        (?:'{3}(?:[^'\\]|\\.|'(?!''))*+'{3}|"{3}(?:[^"\\]|\\.|"(?!""))*+"{3}
        |'(?:[^'\\]|\\.|'')*+'|"(?:[^"\\]|\\.|"")*+"))
  | (?P<name>`(?:[^`\\]|\\.|``)*+`)
"""
_REST = r"""
  | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*+)?)\$)
  | (?P<bracket>(?<![\w\])"`])\[(?=\s*+[^\W\d])[^\]'"`\[(,]*+\])
  | (?P<number>0x[0-9a-f]++|(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?)
  | (?P<word>[^\W\d][\w$\#]*+|\#{1,2}\w++)
  | (?P<compare><=>|<>|!=|<=|>=|==|<@|@>|&&|!?~~?\*?|=(?!>)|<(?![<-])|>(?!>))
  | (?P<placeholder>\?(?![?|&])|\$(?:\w++|\{\w*+\})|%\(\w++\)s|%s|(?<![:\w\])]):\w++|@{1,2}\w++|\{\w*+(?::\s*+\w++)?\})
  | (?P<array>\[)
  | (?P<dot>\.)
  | (?P<other>::|:=|\|>|\|\||->>?|=>|\#>>?|>>|<<|[^\s'"`;]))
"""
_STANDARD_TOKEN, _BACKSLASH_TOKEN = (
    re.compile(_FIRST + quotes + _REST, re.VERBOSE | re.IGNORECASE | re.DOTALL) for quotes in (_STANDARD, _BACKSLASH)
)
_EDGE = re.compile(r"/\*|\*/")
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_NAMES = frozenset({Kind.NAME, "bracket"})
_LITERALS = frozenset({Kind.LITERAL, "number", "escaped"})


class UnreadableError(Exception):
    """Raised for a literal, a comment or a bracket that has no end, or for a text that is no SQL at all."""


def lex(statement: str, *, backslash: bool) -> Iterator[tuple[str, str]]:
    """Cut a statement into tokens; blanks and comments are left out.

    Args:
        statement: SQL.
        backslash: whether to read as dialects do in which a backslash escapes a quote, double quotes hold literals and
            comments don't nest.

    Returns:
        The kind of each token and its word: in small letters and without quotes; empty for all but words and names.

    Raises:
        UnreadableError: the statement can't be read to its end.
    """
    match_token = (_BACKSLASH_TOKEN if backslash else _STANDARD_TOKEN).match
    at = 0
    while at < len(statement):
        match = match_token(statement, at)
        if match is None:
            raise UnreadableError
        group, at = match.lastgroup or "", match.end()
        if group == Kind.WORD:
            yield Kind.WORD, match[0].lower()
        elif group in _NAMES:
            yield Kind.NAME, match[0].strip('"`[]').lower()
        elif group in _LITERALS:
            yield Kind.LITERAL, ""
        elif group == "quoted":
            yield Kind.LITERAL, ""
            at = _behind(_CLOSING.get(match["edge"], match["edge"]) + "'", statement, at)
        elif group == "dollar":
            yield Kind.LITERAL, ""
            at = _behind(match[0], statement, at)
        elif group == "comment":
            at = _behind("*/", statement, at) if backslash else _behind_nested(statement, at)
        elif group != "blank":
            yield group, ""


def _behind(closing: str, statement: str, at: int) -> int:
    end = statement.find(closing, at)
    if end < 0:
        raise UnreadableError
    return end + len(closing)


def _behind_nested(statement: str, at: int) -> int:
    depth = 1
    for edge in _EDGE.finditer(statement, at):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    raise UnreadableError
