"""Rules for statements, and for what a database's error texts quote of them."""

from __future__ import annotations

import re

from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule

SQL = mark("sql")
TABLE = mark("table")
ID = mark("id")

_NAME = r"[\w.\"`\[\]$#]+"
# In capitals a statement's first words are enough.
_CAPITALS = (
    r"SELECT\s|INSERT\s+(?:OR\s+\w+\s+|IGNORE\s+)?INTO\s|UPDATE\s+\S+\s+(?:\w+\s+)?SET\s|DELETE\s+FROM\s|MERGE\s+INTO\s|UPSERT\s+INTO\s"
    r"|REPLACE\s+INTO\s|(?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?(?:\w+\s+)?(?:TABLE|VIEW|INDEX|SCHEMA|DATABASE|USER|ROLE|FUNCTION|"
    r"PROCEDURE|SEQUENCE|TRIGGER|TYPE|SOURCE|SINK|CONNECTION|SECRET|EXTENSION|DOMAIN|LOGIN)\s|TRUNCATE\s+(?:TABLE\s)?|COPY\s+\S+\s+(?:FROM|TO|\()"
    r"|COPY\s+\(|GRANT\s+\w[\s\S]{0,200}?\s(?:ON|TO)\s|REVOKE\s+\w[\s\S]{0,200}?\s(?:ON|FROM)\s|CALL\s+[\w.]+\s*\(|EXEC(?:UTE)?\s+\w"
    r"|WITH\s+(?:RECURSIVE\s+)?\w+\s*(?:\([^)]{0,200}\)\s*)?AS\s+(?:MATERIALIZED\s*|NOT\s+MATERIALIZED\s*)?\(|VALUES\s*\("
    r"|SET\s+PASSWORD|IDENTIFIED\s+BY|EXPLAIN\s+(?:ANALYZE\s)?\s*(?:SELECT|INSERT|UPDATE|DELETE)"
    r"|(?:WHERE|HAVING)\s+[^\n=<>]{1,80}(?:=|<|>|\s(?:LIKE|IN|BETWEEN|IS)\s)"
)
# Up to a `from`, but not over another `select`, which is read on its own: so no text is read twice.
_UP_TO_FROM = r"(?:[^fs]++|(?<=\w)[fs]|f(?!rom\s)|s(?!elect\s))++from\s+"
# In small letters they are English too: more of the statement must be there.
_CLAUSE = r"(?:where|join|inner|left|right|full|cross|natural|group|order|limit|having|union|offset|for\s+update)\b"
_ANY_CASE = (
    rf"select\s+(?:\*|distinct\s|count\s*\(|top\s+\d|[\w.\"`\[\]]+\s*,(?={_UP_TO_FROM})|[\w.\"`\[\]]+\s*\(|\d+\b|'[^']*'|[\w.]+\s+as\s)"
    rf"|select\s(?:{_UP_TO_FROM}){{1,3}}?{_NAME}\s*(?:\w+\s+)?(?:{_CLAUSE}|;|,)"
    rf"|\A\W*select\s[^\n]{{1,400}}?\sfrom\s+{_NAME}\W*\Z"
    rf"|insert\s+(?:or\s+\w+\s+|ignore\s+)?into\s+{_NAME}\s*(?:\(|values|select|default|set|\Z)"
    rf"|update\s+{_NAME}\s+(?:as\s+)?(?:\w+\s+)?set\s+{_NAME}\s*=|delete\s+from\s+{_NAME}\s*(?:where\b|using\b|returning\b|;)"
    rf"|merge\s+into\s+{_NAME}\s+(?:as\s|using\s|\w+\s+using)"
    r"|create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+|unique\s+|materialized\s+|external\s+)?(?:table|view|index|source|sink|function)\s+"
    r"(?:if\s+not\s+exists\s+)?[\w.\"`]+\s*(?:\(|as\b|on\b|with\b|from\b)"
    r"|(?:alter|drop|truncate)\s+(?:table|view|user|role|schema|database)\s+(?:if\s+exists\s+)?[\w.\"`]+\s*(?:add|drop|alter|rename|set|owner|cascade|with|identified|;|\Z)"
    r"|with\s+(?:recursive\s+)?\w+\s+as\s*\(\s*select\b|values\s*\(\s*(?:'|\d)|identified\s+by\s|copy\s+\S+\s+from\s+(?:stdin|')"
)
# From its first word to the end of the text: where a statement ends inside a sentence nobody can tell.
_STATEMENT = re.compile(rf"(?<![\w-])(?:{_CAPITALS}|(?i:{_ANY_CASE}))[\s\S]*")

_OBJECT = (
    "relation|table|column|schema|database|role|index|constraint|view|sequence|type|function|operator|key"
    "|field|collection|keyspace|tablespace|source|sink|materialized view|procedure|trigger|catalog|topic"
)
_QUOTED_NAME = r"(?:\"[^\"\n]+\"|'[^'\n]+'|`[^`\n]+`)"
_NAMED = re.compile(
    rf"(?P<kind>(?<![\w-])(?=[a-z])(?:{_OBJECT})\s)(?P<value>{_QUOTED_NAME}(?:\.{_QUOTED_NAME}|@{_QUOTED_NAME})*)",
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
    r"]{1,40}:)\s)(?P<value>(?P<q>[\"'])(?:[^\n]{0,2000}?(?P=q)(?=[\s.,;:)]|\Z)|[^\n]*))",
    re.IGNORECASE,
)


def _keep_kind(match: re.Match[str]) -> str:
    return match["kind"] + TABLE


STATEMENTS = (
    Rule(
        "sql",
        (
            r"[^a-z0-9_](?:select|update|values|truncate|copy|grant|revoke|call|execute|exec|explain|where|having)[\s(]",
            r"(?:insert|merge|upsert|replace)\s+(?:or\s+[a-z0-9_]+\s+|ignore\s+)?into\s",
            r"delete\s+from\s",
            r"(?:create|alter|drop)\s+[a-z0-9_]",
            r"with\s+[a-z0-9_]+\s",
            r"with\s+[a-z0-9_]+\(",
            r"set\s+password",
            r"identified\s+by",
        ),
        _STATEMENT,
        lambda _match: SQL,
        "failed: SELECT name FROM users WHERE id = 17",
        "failed: [sql]",
    ),
    Rule(
        "sql",
        (r"near\s[\"']", r"input syntax for [a-z0-9_ ]{1,40}:\s[\"']"),
        _NEAR,
        lambda match: match["kind"] + SQL,
        "syntax error at or near 'smith' now",
        "syntax error at or near [sql] now",
    ),
)
ERROR_TEXTS = (
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
