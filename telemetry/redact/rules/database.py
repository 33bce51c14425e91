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
    r"(?P<kind>Duplicate entry )(?P<value>'[^\n]*?'(?=\sfor key)|'[^\n]*)(?:(?P<for>\sfor key\s)\S+)?", re.IGNORECASE
)
_NEAR = re.compile(
    r"(?P<kind>(?:at or near|syntax to use near|near|input syntax for [\w "
    r"]{1,40}:)\s)(?P<value>(?P<q>[\"'])(?:[^\n]{0,2000}?(?P=q)(?=[\s.,;:)]|\Z)|[^\n]*))",
    re.IGNORECASE,
)


# What these introduce is the name of an object, quoted or bare.
_BARE = r"[\w$][\w.$:\-]*(?<![.:])"
_QUOTED = rf"{_QUOTED_NAME}(?:\.{_QUOTED_NAME})*"
_INTRODUCED = re.compile(
    rf"(?P<kind>(?<![\w-])(?:(?:permission denied (?:for|on)|must be owner of|cannot drop|depends on) (?:{_OBJECT}) "
    r"|no such (?:table|column|function|index|view|trigger|module|savepoint): |constraint failed: "
    r"|ambiguous column name: |has no column named |invalid (?:column|table|object)(?: name)?: |input value for enum "
    rf"|(?:{_OBJECT}|secret|connection|user)(?: or \w+)? not found: |unrecognized name: |ns not found "
    r"|operator does not exist: |error collection: |(?<= )index: (?=\w+ dup key)))"
    rf"(?P<value>{_QUOTED}|{_BARE})",
    re.IGNORECASE,
)
_MISSING = re.compile(
    rf"(?P<kind>(?<![\w-])(?:{_OBJECT}|with name|DB::Exception:)\s)(?P<value>{_BARE}(?:\([^)\n]{{0,100}}\))?)"
    r"(?=\s(?:does not exist|doesn't exist|already exists|was not found|cannot be (?:found|resolved)|has no column"
    r"|depends on|because other objects)|: authentication failed)",
    re.IGNORECASE,
)
_QUOTED_IDENTIFIER = re.compile(
    r"(?P<kind>(?<![\w-])(?:column reference|identifier|object|(?:table|column|index|function) named|with name"
    r"|(?:table|column|object) name"
    rf"|missing columns:|did you mean|candidate bindings:)\s)(?P<value>{_QUOTED}(?:, {_QUOTED})*)"
    rf"|(?P<before>)(?P<quoted>\"[^\"\n]+\")(?=: invalid identifier)",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(
    r"(?P<kind>(?:(?:unique|integrity|check|foreign key) constraint(?: fails)?|cannot insert NULL into"
    r"|one of the following\?) )(?P<value>[(\[][^\n]*)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?P<kind>(?:value|string|before|truncated value|out of range|enum \S{1,80}?|to float|base \d{1,2}):? "
    r"|duplicate key |input_value=)"
    r"(?P<value>\"[^\"\n]*\"?|'[^'\n]*'?)|(?P<before>key value is |dup key: )[({][^\n]*",
    re.IGNORECASE,
)
_PARSER = re.compile(
    r"(?P<kind>sql parser error: |failed to bind expression: |failed at position \d{1,9} )(?P<value>[^\n]+?)"
    r"(?= caused by|\n|\Z)",
    re.IGNORECASE,
)


def _keep_kind(match: re.Match[str]) -> str:
    return match["kind"] + TABLE


def _identifier(match: re.Match[str]) -> str:
    return (match["kind"] or "") + TABLE


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
    Rule(
        "table",
        (
            rf"(?:denied (?:for|on)|owner of|cannot drop|depends on) (?:{_OBJECT})\s",
            r"no such (?:table|column|function|index|view|trigger|module|savepoint): ",
            r"constraint failed: ",
            r"column name: ",
            r"has no column named",
            r"invalid (?:column|table|object)",
            r"for enum",
            r"not found[: ]",
            r"unrecognized name:",
            r"operator does not exist:",
            r"collection: ",
            r"index: ",
        ),
        _INTRODUCED,
        _keep_kind,
        "no such table: payroll",
        "no such table: [table]",
    ),
    Rule(
        "table",
        (
            (
                rf"(?:{_OBJECT}|with name|exception:)\s[^\xff\"'`]*"
                r"(?:: authentication failed|\s(?:does not exist|doesn't exist|already exists|was not found"
                r"|cannot be (?:found|resolved)|has no column|depends on|because other objects))"
            ),
        ),
        _MISSING,
        _keep_kind,
        "relation payroll does not exist",
        "relation [table] does not exist",
    ),
    Rule(
        "table",
        (
            r"(?:reference|identifier|object|named|name|columns:|did you mean|bindings:)\s[\"'`]",
            r"\": invalid identifier",
        ),
        _QUOTED_IDENTIFIER,
        _identifier,
        "invalid identifier 'PAYROLL'",
        "invalid identifier [table]",
    ),
    Rule(
        "table",
        (r"constraint(?: fails)? [(\[]", r"null into [(\[]", r"following\? [(\[]"),
        _IN_BRACKETS,
        lambda match: match["kind"] + f"({TABLE})",
        "unique constraint (HR.PAYROLL_PK) violated",
        "unique constraint ([table])",
    ),
    Rule(
        "id",
        (
            r"(?:value|string|before|range|duplicate key|to float|base [0-9]{1,2}|enum [^\s]{1,80}):? [\"']",
            r"input_value=[\"']",
            r"(?:key value is|dup key:) [({]",
        ),
        _VALUE,
        lambda match: (match["kind"] or match["before"]) + ID,
        "could not convert string 'amy' to INT32",
        "could not convert string [id] to INT32",
    ),
    Rule(
        "sql",
        (r"sql parser error: ", r"failed to bind expression: ", r"failed at position [0-9]"),
        _PARSER,
        lambda match: match["kind"] + SQL,
        "Failed to bind expression: pay + 1",
        "Failed to bind expression: [sql]",
    ),
)
