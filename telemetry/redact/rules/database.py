"""Rules for what a database's error texts quote of statements and of data."""

from __future__ import annotations

import re

from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule

SQL = mark("sql")
TABLE = mark("table")
ID = mark("id")

_OBJECT = (
    "relation|table|column|schema|database|role|index|constraint|view|sequence|type|function|operator|key"
    "|field|collection|keyspace|tablespace|source|sink|materialized view|procedure|trigger|catalog|topic"
)
_QUOTED_NAME = r"(?:\\*\"[^\"\n]+\"|'[^'\n]+'|`[^`\n]+`)"  # a JSON text has a backslash before the quote
_NAMED = re.compile(
    rf"(?P<kind>(?<![\w-])(?=[a-z])(?:{_OBJECT})\s)(?P<value>{_QUOTED_NAME}(?:\.{_QUOTED_NAME}|@{_QUOTED_NAME})*)",
    re.IGNORECASE,
)
_BARE_NAME = r"[\w.\"$-]{1,200}"
_WITHOUT_QUOTES = re.compile(
    r"(?P<kind>(?<![\w-])(?:no such (?:table|column|view|index|collection|function|schema|database):"
    r"|(?:unique|not null|check|primary key|foreign key) constraint failed:"
    r"|permission denied (?:for|to) (?:table|relation|schema|database|sequence|view|function|column|materialized view)"
    r"|(?:table|column|view|index|schema|function|type) with name|invalid (?:object|column) name"
    r"|could not find (?:table|column))\s)"
    rf"(?P<value>{_QUOTED_NAME}|{_BARE_NAME}(?:,\s?{_BARE_NAME}){{0,20}})"
    r"|(?P<object>(?<![\w-])(?:table|relation|column|view|schema|database|role|index|sequence|collection)\s)"
    rf"(?P<name>{_BARE_NAME})(?=\s(?:does not exist|doesn't exist|not found|already exists|is ambiguous))",
    re.IGNORECASE,
)
_OF = re.compile(
    r"(?P<kind>(?<![\w-])column\s)(?P<name>[\w.]+)(?P<of>\s+of\s+(?:relation|table)\s+)[\w.]*", re.IGNORECASE
)
_KEY_DETAIL = re.compile(
    r"(?:(?<=Key )|(?<=Schlüssel ))\([^\n)]{0,300}+(?:\)(?!=\()[^\n)]{0,60}+){0,3}+\)=\("
    r"(?:[^\n]{0,2000}?\)(?=\s(?:already|is|conflicts|existiert))"
    r"|[^\n]*)"
    r"|(?<=Failing row contains )\([^\n]*"
)
_DUPLICATE = re.compile(
    r"(?P<kind>Duplicate entry )(?P<value>'[^\n']*+(?:'(?!\sfor key|\Z)[^\n']*+)*+'?)(?:(?P<for>\sfor key\s)\S+)?",
    re.IGNORECASE,
)
_NEAR = re.compile(
    r"(?P<kind>(?:at or near|syntax to use near|near|input syntax for [\w "
    r"]{1,40}:)\s)(?P<value>\\*(?P<q>[\"'])(?:[^\n]{0,2000}?(?P=q)(?=[\s.,;:)]|\Z)|[^\n]*))",
    re.IGNORECASE,
)


def _keep_kind(match: re.Match[str]) -> str:
    return match["kind"] + TABLE


def _without_quotes(match: re.Match[str]) -> str:
    return (match["kind"] or match["object"]) + TABLE


ERROR_TEXTS = (
    Rule(
        "sql",
        (r"near\s\\*[\"']", r"input syntax for [a-z0-9_ ]{1,40}:\s\\*[\"']"),
        _NEAR,
        lambda match: match["kind"] + SQL,
        "syntax error at or near 'smith' now",
        "syntax error at or near [sql] now",
    ),
    Rule(
        "id",
        (r"\)=\(", r"row contains \("),
        _KEY_DETAIL,
        lambda match: f"({TABLE})=({ID})" if ")=(" in match[0] else f"({ID})",
        "Key (email)=(amy@shop.example) already exists",
        "Key ([table])=([id]) already exists",
    ),
    Rule(
        "id",
        (r"duplicate entry '",),
        _DUPLICATE,
        lambda match: match["kind"] + ID + (match["for"] + TABLE if match["for"] else ""),
        "Duplicate entry 'amy' for key 'users.name'",
        "Duplicate entry [id] for key [table]",
    ),
    Rule(
        "table",
        (r"column\s[a-z0-9_.]+\s+of\s",),
        _OF,
        lambda match: match["kind"] + TABLE + match["of"] + TABLE,
        "column salary of relation staff missing",
        "column [table] of relation [table] missing",
    ),
    Rule(
        "table",
        (
            r"no such [a-z]{4,10}:\s",
            r"constraint failed:\s",
            r"permission denied (?:for|to) [a-z]",
            r"[a-z] with name\s",
            r"invalid (?:object|column) name\s",
            r"could not find (?:table|column)\s",
            (
                r"(?:table|relation|column|view|schema|database|role|index|sequence|collection)\s[^\s]{1,200}\s"
                r"(?:does not exist|doesn't exist|not found|already exists|is ambiguous)"
            ),
        ),
        _WITHOUT_QUOTES,
        _without_quotes,
        "UNIQUE constraint failed: staff.name",
        "UNIQUE constraint failed: [table]",
    ),
    Rule(
        "table",
        (rf"(?:{_OBJECT})\s\\*[\"'`]",),
        _NAMED,
        _keep_kind,
        'relation "payroll" does not exist',
        "relation [table] does not exist",
    ),
)
