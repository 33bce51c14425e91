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
    "<clause>": r"(?:where|join|inner|left|right|full|cross|natural|group|order|limit|having|union|offset"
    r"|for update)\b",
    "<kind>": r"(?:table|view|index|source|sink|function|procedure|trigger|sequence|schema|database|type|secret)",
    "<as>": r"as~(?:(?:not )?materialized~)?\(",
    # To the first `from` within some hundred characters. Greedy runs up to each `f` are much faster than lazy steps.
    "<to_from>": r"[^f]{0,100}+(?:f(?!rom\b)[^f]{0,100}+){0,10}+from",
    "<hint>": r"/\*[^*]{0,300}\*/",
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
    r"INSERT (?:<hint>~)?(?:INTO|OVERWRITE|OR|IGNORE|ALL|FIRST) |INSERT <name>~(?:\(|VALUES|SELECT)",
    r"UPDATE [\s\S]{1,100}? SET |UPDATE [\"`]\w",
    r"DELETE FROM |DELETE <name> (?:[\w.]+ )?(?:FROM|WHERE) ",
    r"MERGE INTO |MERGE <name> (?:AS )?(?:\w+ )?USING ",
    r"(?:UPSERT|REPLACE) INTO |REPLACE VIEW ",
    r"(?:CREATE|ALTER|DROP|UNDROP) (?:OR |IF |[A-Z_]{3,})",
    r"TRUNCATE (?:TABLE )?[\w\"`]",
    r"COPY (?:INTO |\()|COPY <name>~<columns>(?:FROM|TO) ",
    r"GRANT \w[\s\S]{0,100}? (?:ON|TO) |REVOKE \w[\s\S]{0,100}? (?:ON|FROM) ",
    r"CALL <name>~\(|EXEC(?:UTE)? [\w@\[\"]|PREPARE \w+ (?:FROM|AS|\()",
    r"WITH (?:RECURSIVE )?(?:FUNCTION |[^\n(]{1,60}?<columns>\bAS~(?:(?:NOT )?MATERIALIZED~)?\()",
    r"WITH [^\n(]{1,60}\(~SELECT ",
    r"VALUES~\(",
    r"SET (?:GLOBAL|SESSION|LOCAL|PERSIST\w*|NAMES|VARIABLE|TRANSACTION|CHARACTER|ROLE|PASSWORD|SCHEMA|TIME|OPTION) ",
    r"SET <name>~:?=|SET <name> TO |SET \w+ (?:ON|OFF)\b|SET \w+\.[\w.]+",
    r"IDENTIFIED BY|EXPLAIN[\s(\\]|PRAGMA \w|DECLARE [\w@]|COMMENT (?:ON|IF) ",
    r"(?:SHOW|REFRESH) [A-Z_]{3,}|(?:ANALYZE|VACUUM|OPTIMIZE|SUMMARIZE|DESC|DESCRIBE) [\w`\"(]",
    r"(?:UN)?CACHE (?:LAZY )?TABLE |(?:LOAD|EXPORT) DATA |MSCK REPAIR |(?:UN)?LOCK TABLES? |(?:ATTACH|DETACH) [\w'\"]",
    r"PUT '?file:|(?:PUT|GET|LIST|REMOVE) @|(?:UN)?PIVOT~[\w(\"]|USE [\w.\"`\[\]]+~(?:;|\Z)",
    r"(?:BEGIN|COMMIT|ROLLBACK|SAVE) (?:TRAN|TRANSACTION|WORK) \w|INSTALL [\w'\"]|IF (?:NOT )?(?:OBJECT_ID|EXISTS)~\(",
    r"(?:WHERE|HAVING) [^\n=<>]{1,80}(?:=|<|>| (?:LIKE|IN|BETWEEN|IS) )",
    r"FROM <name> (?:AS )?(?:\w+ )?(?:WHERE|JOIN|INNER|LEFT|RIGHT|FULL|CROSS|GROUP BY|ORDER BY|SELECT|INSERT) ",
    r"FROM <name> (?:AS \w+ )?\|>",
    r"JOIN <name> (?:AS )?(?:\w+ )?ON ",
)
# In small letters these are English too: more of the statement must be there.
_ANY_CASE = _pattern(
    r"select (?:\*|distinct |count~\(|top \d|<name>~,(?=<to_from> )|<name>~\(|<name>~,[\t\x20]{0,4}(?:\n|\\n)|\d+\b"
    r"|'[^']*'|[\w.]+ as )",
    r"select <to_from> <name>~(?:\w+ )?(?:<clause>|;|,)",
    r"insert (?:or \w+ |ignore )?into <name>~(?:\(|values|select|with|default|set|\Z)",
    r"insert overwrite (?:table )?<name>",
    r"update <name> (?:as )?(?:\w+ )?set <name>~=|delete from <name>~(?:where\b|using\b|returning\b|;)",
    r"merge into <name> (?:as |using |\w+ using)",
    r"create (?:or replace )?(?:temp(?:orary)? |unique |materialized |external |transient )?<kind> (?:if not exists )?"
    r"<name>~(?:\(|@|;|\Z|(?:as|on|with|from|returns|begin)\b)",
    r"(?:alter|drop|truncate) (?:table|view|user|role|schema|database) (?:if exists )?<name>~"
    r"(?:add|drop|alter|rename|set|owner|cascade|with|identified|password|;|\Z)",
    r"with (?:recursive )?(?:<name>|\"[^\"\n]{1,60}\"|`[^`\n]{1,60}`)~<columns><as>"
    r"~(?:select|insert|update|delete|values|with)\b",
    r"values~\(~(?:'|\d|\?|%s|:\w)|identified by (?:['\"]|values|password)|copy <name>~<columns>from (?:stdin|')",
    r"show (?:full |extended )?(?:tables|databases|schemas|columns|processlist|create table)\b",
    r"comment on (?:table|column|view) <name> is ",
    r"(?:grant|revoke) (?:all|select|insert|update|delete|usage|execute|create|connect|references|trigger|truncate)\b"
    r"[\w,\s]{0,100} on <name> (?:to|from) ",
    r"(?:alter|create) (?:user|role|login) <name> (?:with |password |identified )|alter system set ",
    r"(?:un)?cache (?:lazy )?table <name>",
    r"exec(?:ute)? <name> (?:@|')|call <name>~\(~(?:'|\d|\?|@|:)|declare @|pragma \w+~[=(]|set @\w+~:?=",
)
# Behind a sign stands what a program was given rather than a sentence.
_BEHIND_A_SIGN = _pattern(
    r"select (?!<article>)<to_from> (?!<article>)<name>",
    r"delete from (?!<article>)<name>\W*\Z|(?:drop <kind>|truncate table) (?:if exists )?<name>\W*\Z",
)
_WHOLE_TEXT = _pattern(r"\A\W*select <to_from> <name>\W*\Z")
# Each of them ends where the next might begin, and few are taken together: so time stays linear.
_COMMENT = r"(?:/\*(?:[^*/]|\*(?!/)|/(?!\*)){0,1000}+\*/|--(?:[^\n\\-]|-(?!-)|\\(?!n)){0,300}+(?:\n|\\n))"
# An edge of a word or some comments, and then the cheapest test first: most words of a text fail it.
_STATEMENT = re.compile(
    rf"(?:(?<![\w-])|(?<=\\[nrt])|(?=[/-])(?:{_COMMENT}{_BLANK}*+){{1,4}}+)"
    rf"(?:(?=[A-Z])(?:{_CAPITALS})|(?i:(?=[acdegimpstuvw])(?:{_ANY_CASE}))"
    rf"|(?i:(?=[dst])(?:(?<=[:=\"'(\[>])|(?<=[:=\"'(\[>]\s))(?:{_BEHIND_A_SIGN})|{_WHOLE_TEXT}))[\s\S]*"
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

# Each of them behind an edge; a `~` is for blanks, or none. A byte beyond ASCII is the end of a text.
_PREFILTERS = (
    r"(?:select|update|values|truncate|copy|grant|revoke|call|execute|exec|explain|where|having)[\s(*\"'`\\@\[/-]",
    r"(?:show|refresh|analyze|vacuum|optimize|summarize|desc|describe|pragma|declare|pivot|unpivot)[\s\\(\"]",
    r"(?:insert|delete|upsert|replace|create|alter|drop|undrop|attach|detach|prepare)[\s\\]",
    # A join and a merge are said in prose too; what makes a statement of them stands further on in the same text.
    r"merge[\s\\][\x00-\x7f]*(?:into|using)[\s\\]",
    r"join[\s\\][\x00-\x7f]*on[\s\\]",
    r"(?:(?:un)?cache|(?:un)?lock|install|load|export|comment|msck|identified)[\s\\]",
    r"(?:put|get|list|remove)[\sa-z\\]{1,40}'?(?:@|file:)",
    r"as(?:[\s\\(]|not|materialized|[nrt])*\(",
    r"set[\s\\]~[^\s]{1,80}~(?:=|:=|to[\s\\])",
    r"set[\s\\]~(?:global|session|local|persist|names|variable|transaction|character|role|password|schema|time|option|@)",
    r"set[\s\\]~(?:[a-z0-9_]+\.|[a-z0-9_]{1,80}~(?:on|off))",
    r"use[\s\\]~[a-z0-9_.\"`\[\]]{1,100}~(?:;|[^\x00-\x7f])",
    r"(?:begin|commit|rollback|save)~(?:tran|work)",
    r"if~(?:not~)?(?:object_id|exists)",
    r"with~(?:recursive~)?function",
    r"from[\s\\][\s\S]{1,100}\|>",
    r"from[\s\\][\s\S]{1,200}(?:where|join|inner|left|right|full|cross|group|order|select|insert)[\s\\]",
)
_EDGE = r"(?:[^a-z0-9_\-]|\\[nrt])"

STATEMENTS = (
    Rule(
        "sql",
        tuple(_EDGE + expression.replace("~", _BLANK + "*") for expression in _PREFILTERS),
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
