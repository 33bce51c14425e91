"""Rules for SQL inside of free text: from a statement's first word to the end of the text.

Where a statement ends inside a sentence nobody can tell. Where one begins, its first words tell: a few of them when
they are in capitals or stand behind a sign, more when they may be English.
"""

from __future__ import annotations

import re

from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule

SQL = mark("sql")

_BLANK = r"(?:\s|\\[nrt])"  # within JSON, the end of a line is two characters
_PARTS = {
    "<name>": r"[\w.\"`\[\]$#@\\]+",
    "<columns>": r"(?:\([^)]{0,300}\)~)?",
    "<clause>": r"(?:where|join|inner|left|right|full|cross|natural|group|order|limit|having|union|offset|for update)\b",
    "<kind>": r"(?:table|view|index|source|sink|function|procedure|trigger|sequence|schema|database|type|secret)",
    "<as>": r"as~(?:(?:not )?materialized~)?\(",
    "<article>": r"(?:an?|the|one|your|this|that|these|its|all|any|some|another|each|every)\b",
}


def _pattern(*alternatives: str) -> str:
    """Join alternatives, in which a space is for blanks, a `~` for blanks or none, and `<…>` for a part above."""
    pattern = "|".join(alternatives)
    for name, part in _PARTS.items():
        pattern = pattern.replace(name, part)
    return pattern.replace(" ", _BLANK + "+").replace("~", _BLANK + "*")


# In capitals a statement's first words are enough.
_CAPITALS = _pattern(
    r"SELECT(?=[\s(*\"'`\\@\[/-])",
    r"INSERT (?:INTO|OVERWRITE|OR|IGNORE|ALL|FIRST) |INSERT <name>~(?:\(|VALUES|SELECT)",
    r"UPDATE [\s\S]{1,200}? SET ",
    r"DELETE FROM |DELETE <name> (?:[\w.]+ )?(?:FROM|WHERE) ",
    r"MERGE INTO |MERGE <name> (?:AS )?(?:\w+ )?USING ",
    r"(?:UPSERT|REPLACE) INTO |REPLACE VIEW ",
    r"(?:CREATE|ALTER|DROP|UNDROP) (?:OR |IF |[A-Z_]{3,})",
    r"TRUNCATE (?:TABLE )?[\w\"`]",
    r"COPY (?:INTO |\()|COPY <name>~<columns>(?:FROM|TO) ",
    r"GRANT \w[\s\S]{0,200}? (?:ON|TO) |REVOKE \w[\s\S]{0,200}? (?:ON|FROM) ",
    r"CALL <name>~\(|EXEC(?:UTE)? [\w@\[\"]|PREPARE \w+ (?:FROM|AS|\()",
    r"WITH (?:RECURSIVE )?(?:FUNCTION |[^\n(]{1,100}?<columns>\bAS~(?:(?:NOT )?MATERIALIZED~)?\()",
    r"VALUES~\(",
    r"SET (?:GLOBAL|SESSION|LOCAL|PERSIST|NAMES|VARIABLE|TRANSACTION|CHARACTER|ROLE|PASSWORD|SCHEMA|TIME|OPTION) ",
    r"SET <name>~:?=|SET <name> TO |SET \w+\.[\w.]+",
    r"IDENTIFIED BY|EXPLAIN[\s(\\]|PRAGMA \w|DECLARE [\w@]|COMMENT (?:ON|IF) ",
    r"(?:SHOW|REFRESH) [A-Z_]{3,}|(?:ANALYZE|VACUUM|OPTIMIZE|SUMMARIZE|DESC|DESCRIBE) [\w`\"(]",
    r"(?:UN)?CACHE (?:LAZY )?TABLE |(?:LOAD|EXPORT) DATA |MSCK REPAIR |(?:UN)?LOCK TABLES? |(?:ATTACH|DETACH) [\w'\"]",
    r"PUT '?file:|(?:PUT|GET|LIST|REMOVE) @|(?:UN)?PIVOT~[\w(\"]|USE <name>~;",
    r"(?:WHERE|HAVING) [^\n=<>]{1,80}(?:=|<|>| (?:LIKE|IN|BETWEEN|IS) )",
    r"FROM <name> (?:AS )?(?:\w+ )?(?:WHERE|JOIN|INNER|LEFT|RIGHT|FULL|CROSS|GROUP BY|ORDER BY|SELECT|INSERT) ",
    r"JOIN <name> (?:AS )?(?:\w+ )?ON ",
)
# In small letters these are English too: more of the statement must be there.
_ANY_CASE = _pattern(
    r"select (?:\*|distinct |count~\(|top \d|<name>~,(?=[\s\S]{1,400}? from )|<name>~\(|\d+\b|'[^']*'|[\w.]+ as )",
    r"select [\s\S]{1,400}? from <name>~(?:\w+ )?(?:<clause>|;|,)|\A\W*select [^\n]{1,400}? from <name>\W*\Z",
    r"insert (?:or \w+ |ignore )?into <name>~(?:\(|values|select|default|set|\Z)|insert overwrite (?:table )?<name>",
    r"update <name> (?:as )?(?:\w+ )?set <name>~=|delete from <name>~(?:where\b|using\b|returning\b|;)",
    r"merge into <name> (?:as |using |\w+ using)",
    r"create (?:or replace )?(?:temp(?:orary)? |unique |materialized |external |transient )?<kind> (?:if not exists )?"
    r"<name>~(?:\(|(?:as|on|with|from|returns|begin)\b)",
    r"(?:alter|drop|truncate) (?:table|view|user|role|schema|database) (?:if exists )?<name>~"
    r"(?:add|drop|alter|rename|set|owner|cascade|with|identified|password|;|\Z)",
    r"with (?:recursive )?<name>~<columns><as>~(?:select|insert|update|delete|values|with)\b",
    r"values~\(~(?:'|\d|\?|%s|:\w)|identified by |copy <name>~<columns>from (?:stdin|')",
    r"show (?:full |extended )?(?:tables|databases|schemas|columns|processlist|create table)\b",
    r"comment on (?:table|column|view) <name> is |grant [\w,\s]{3,100} on <name> to |revoke [\w,\s]{3,100} on <name> from ",
    r"(?:alter|create) (?:user|role|login) <name> (?:with |password |identified )|alter system set ",
    r"exec(?:ute)? <name> (?:@|')|call <name>~\(~(?:'|\d|\?|@|:)|declare @|pragma \w+~[=(]|set @\w+~:?=",
)
# Behind a sign stands what a program was given rather than a sentence.
_BEHIND_A_SIGN = _pattern(
    r"select (?!<article>)[\s\S]{1,400}? from (?!<article>)<name>",
    r"delete from (?!<article>)<name>\W*\Z|(?:drop <kind>|truncate table) (?:if exists )?<name>\W*\Z",
)
# Each of them ends where the next might begin, and few are taken together: so time stays linear.
_COMMENT = r"(?:/\*(?:[^*/]|\*(?!/)|/(?!\*)){0,1000}+\*/|--(?:[^\n\\-]|-(?!-)|\\(?!n)){0,300}+(?:\n|\\n))"
_STATEMENT = re.compile(
    rf"(?:{_COMMENT}{_BLANK}*+){{0,4}}+(?:(?<![\w-])|(?<=\\[nrt]))"
    rf"(?:{_CAPITALS}|(?i:{_ANY_CASE})|(?:(?<=[:=\"'(\[>])|(?<=[:=\"'(\[>]\s))(?i:{_BEHIND_A_SIGN}))[\s\S]*"
)
_FIRST_WORD = (
    "select|insert|update|delete|merge|upsert|replace|create|alter|drop|truncate|grant|revoke|copy|call|explain|show|set"
    "|with|values|analyze|describe|desc|declare|exec|execute|pragma|refresh|comment|use|vacuum|attach|load|unload|begin"
    "|from|lock|prepare|commit|rollback"
)
# Behind these labels stands a statement, or a line of one, whatever its words.
_LABELLED = re.compile(
    rf"(?P<kind>\[SQL:\s{{1,4}}|\bSTATEMENT:\s{{1,4}}|\bLINE \d{{1,4}}:\s{{1,4}}"
    rf"|(?i:(?:sql|query|statement|stmt|ddl)(?:\\?[\"'])?{_BLANK}{{0,4}}[:=]{_BLANK}{{0,4}}(?:\\?[\"'])?[(\[]?"
    rf"(?=(?:{_FIRST_WORD})(?:{_BLANK}|\())))\S[\s\S]*"
)

_EDGE = r"(?:[^a-z0-9_\-]|\\[nrt])"

STATEMENTS = (
    Rule(
        "sql",
        (
            _EDGE + r"(?:select|update|values|truncate|copy|grant|revoke|call|execute|exec|explain|where|having)[\s(*\"'`\\@\[/-]",
            _EDGE + r"(?:show|refresh|analyze|vacuum|optimize|summarize|desc|describe|pragma|declare|pivot|unpivot)[\s\\(\"]",
            _EDGE + r"(?:insert|delete|merge|upsert|replace|create|alter|drop|undrop|attach|detach|prepare)[\s\\]",
            _EDGE + r"(?:(?:un)?cache|(?:un)?lock|load|export|comment|msck|identified|join)[\s\\]",
            _EDGE + r"(?:put|get|list|remove)[\sa-z\\]{1,40}'?(?:@|file:)",
            _EDGE + r"as(?:[\s\\(]|not|materialized|[nrt])*\(",
            _EDGE + r"set[\s\\][nrt\s\\]*[^\s]{1,80}[\s\\nrt]*(?:=|:=|to[\s\\])",
            _EDGE + r"set[\s\\][nrt\s\\]*(?:global|session|local|persist|names|variable|transaction|character|role|password)",
            _EDGE + r"set[\s\\][nrt\s\\]*(?:schema|time|option|@|[a-z0-9_]+\.)",
            _EDGE + r"use[\s\\][^;]{1,100};",
            _EDGE + r"with[\s\\][\s\\nrt]*(?:recursive[\s\\nrt]*)?function",
            _EDGE + r"from[\s\\][\s\S]{1,200}(?:where|join|inner|left|right|full|cross|group|order|select|insert)[\s\\]",
        ),
        _STATEMENT,
        lambda _match: SQL,
        "failed: SELECT name FROM users WHERE id = 17",
        "failed: [sql]",
    ),
    Rule(
        "sql",
        (
            r"\[sql:\s",
            r"statement:\s",
            r"line [0-9]{1,4}:\s",
            r"(?:sql|query|statement|stmt|ddl)[\s\\\"'nrt]{0,20}[:=]",
        ),
        _LABELLED,
        lambda match: match["kind"] + SQL,
        "slow query=begin payroll",
        "slow query=[sql]",
    ),
)
