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
_QUOTED_NAME = r"(?:\"[^\"\n]+\"|'[^'\n]+'|`[^`\n]+`)"
_NAMED = re.compile(
    rf"(?P<kind>(?<![\w-])(?:{_OBJECT})\s)(?P<value>{_QUOTED_NAME}(?:\.{_QUOTED_NAME}|@{_QUOTED_NAME})*)", re.IGNORECASE
)
_OF = re.compile(
    r"(?P<kind>(?<![\w-])column\s)(?P<name>[\w.]+)(?P<of>\s+of\s+(?:relation|table)\s+)[\w.]*", re.IGNORECASE
)
_KEY_DETAIL = re.compile(
    r"(?:(?<=Key )|(?<=Schlüssel ))\([^\n]{0,300}?\)=\((?:[^\n]{0,2000}?\)(?=\s(?:already|is|conflicts|existiert))"
    r"|[^\n]*)"
    r"|(?<=Failing row contains )\([^\n]*"
)
_DUPLICATE = re.compile(
    r"(?P<kind>Duplicate entry )(?P<value>'[^\n]*?'|'[^\n]*)(?=\sfor key|\Z)(?:(?P<for>\sfor key\s)\S+)?", re.IGNORECASE
)
_NEAR = re.compile(
    r"(?P<kind>(?:at or near|syntax to use near|near|input syntax for [\w "
    r"]{1,40}:)\s)(?P<value>(?P<q>[\"'])(?:[^\n]{0,2000}?(?P=q)(?=[\s.,;:)]|\Z)|[^\n]*))",
    re.IGNORECASE,
)


def _keep_kind(match: re.Match[str]) -> str:
    return match["kind"] + TABLE


ERROR_TEXTS = (
    Rule(
        "sql",
        (r"near\s[\"']", r"input syntax for [a-z0-9_ ]{1,40}:\s[\"']"),
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
        (rf"(?:{_OBJECT})\s[\"'`]",),
        _NAMED,
        _keep_kind,
        'relation "payroll" does not exist',
        "relation [table] does not exist",
    ),
)
