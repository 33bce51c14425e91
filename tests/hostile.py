"""Texts made to be slow to read: what rules look for, over and over, begun and never finished."""

from __future__ import annotations

import base64
import itertools
import re
from typing import TYPE_CHECKING

from telemetry.redact.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

SEPARATORS = " \t\n\"'`\\/()[]{}<>.,:;=@%&#-_+*|~$?!^0159aAzZ"
KNOWN = (
    *(
        "a@",
        "a@a.",
        "((((",
        "[(",
        "[{",
        "/a/a/a",
        "/a b",
        "/a B",
        "a/",
        r"\\",
        r"\a b",
        r"\"",
        '\\\\"',
        "'a'",
        "''",
        '"a" ',
    ),
    *("%25", "%25%25", "%2525", "%u0040", "&amp;", "&amp;amp;", "&#64;", "&a", r"\u0040", r"\x40", r"\n", r"\\n"),
    *("MIIA", "eyJa", "eyJa.", "YW15", "Ym9iQHguaW8=", "YWFh", "6162", "61 62 ", "00", "0x61", "4111 ", "4111-", "1."),
    *("1.1.1.1 ", "a\u200b", "\u200b", "a\u0301", "\u0301\u0316", "\ue000", "\ue001a", "\ufdfa", "\u0130", "\u0430"),
    *("a\u0430", "é@", "\u0661", "\x00", "a\x00", "password=", "pass", r"password\\", r"password=\"", "<password a"),
    *("user=", "user=a;", "user a=", "dbname=a ", "-----BEGIN ", "Key (", "select from ", "select a,", "WITH a AS "),
    *("GRANT a", "WHERE a", "COPY ", "near ", "near '", "input syntax for a", "a:", "a::", "::", "1:", "a-", "a."),
    *("a.b.com ", "a-a.", "host=", "host=a,", "xn--", "call ", "text me ", "1 ", "1-", "1 1", "(0", "+1", "passport "),
    *("-p", "mysql ", "=a", "token_count=", "4 ", "amy@shop.de ", "10.1.2.3,", "/a/b,", "password=a ", "user=a "),
)
_LITERAL = re.compile(r"[A-Za-z][A-Za-z _-]{2,}")


def pieces() -> Iterator[str]:
    """What a hostile text is made of by repeating it."""
    yield from KNOWN
    yield from SEPARATORS
    yield from map("".join, itertools.product(".:/\\-=@'\" ", "a1 \"'\\"))
    for rule in RULES:
        yield rule.example
        yield from (rule.example[:end] for end in range(4, len(rule.example), 5))
        words = list(dict.fromkeys(_LITERAL.findall(rule.pattern.pattern)))[:12]
        yield from words
        yield from (f"{word}{sign}" for word in words[:6] for sign in ("=", ": ", " '", "(", " 1"))
    yield base64.b64encode(base64.b64encode(base64.b64encode(b"amy@shop.example"))).decode() + " "


def texts(size_bytes: int) -> Iterator[str]:
    """Each piece repeated up to a size in UTF-8; also with something else at its start or its end."""
    for piece in dict.fromkeys(pieces()):
        whole = piece * (size_bytes // len(piece) + 1)
        cut = whole.encode()[: size_bytes - 2].decode("utf-8", "ignore")
        yield cut
        yield f'"{cut}'
        yield f"{cut}@\n"
