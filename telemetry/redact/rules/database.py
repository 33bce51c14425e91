"""Rules for what a database's error texts quote of statements and of data."""

# ruff: noqa: RUF001, SIM905 - foreign quotes are what is looked for; a list of words reads better as words
from __future__ import annotations

import re

from telemetry.redact.rules.introduces import introduces
from telemetry.redact.rules.nobodys import is_nobodys
from telemetry.redact.rules.numbers import begins_an_id
from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule, nested, split_closing

SQL = mark("sql")
TABLE = mark("table")
ID = mark("id")

_OBJECT = (
    "relation|table|column|schema|database|role|index|constraint|view|sequence|type|function|operator|key"
    "|field|collection|keyspace|tablespace|source|sink|materialized view|procedure|trigger|catalog|topic"
)
_START = r"(?<!\w)"
_QUOTED_NAME = "(?:{}|{}|{})".format(*map(nested, "\"'`"))
_NAMED = re.compile(
    rf"(?P<kind>{_START}(?:{_OBJECT})\s)(?P<value>{_QUOTED_NAME}(?:\.{_QUOTED_NAME}|@{_QUOTED_NAME})*)", re.IGNORECASE
)
# A program has types, keys and functions too: `Object of type 'datetime'`, `missing key 'method'`. A database's are
# told by what is said of them.
_ANYBODYS = re.compile(r"(?:type|key|field|function|operator)\s\Z", re.IGNORECASE)
_A_DATABASES = re.compile(
    r"(?:cast|enum|composite|domain|drop|create|alter|duplicate|foreign|primary|unique|for"
    r"|of relation)\s(?:type|key)\s\Z",
    re.IGNORECASE,
)
_SAID_OF_ONE = re.compile(
    r"\s(?:does ?n[o']t (?:exist|have a default)|does not exist|already exists|is only a shell"
    r"|is not present|is not unique|is still referenced"
    r"|violates|is not a (?:domain|composite)|has pseudo-type|cannot be cast|depends on|because|in table|on table"
    r"|of relation|in schema)",
    re.IGNORECASE,
)
_OF = re.compile(
    rf"(?P<kind>{_START}column\s)(?P<name>[\w.]+)(?P<of>\s+of\s+(?:relation|table)\s+)[\w.]*", re.IGNORECASE
)
# What follows says so in its own language.
_KEY_DETAIL = re.compile(
    r"\([^()\n]{1,300}\)\s?=\s?\((?:[^\n]{0,2000}?\)(?=\s(?:already|is|conflicts|existiert|ist|wird|steht|existe"
    r"|n'est|est|entre"
    r"|ya|no|non|esiste|già|não|já|уже|не)\b|\s?[\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7af])|[^\n]*)"
    r"|(?:(?<=row contains )|(?<=enthält )|(?<=contient )|(?<=contiene )|(?<=contém )|(?<=包含 )|(?<=包含)|(?<=行は))"
    r"\([^\n]*"
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
    rf"(?P<kind>{_START}(?:(?:permission denied (?:for|on)|must be owner of|cannot drop|depends on) (?:{_OBJECT}) "
    r"|no such (?:table|column|function|index|view|trigger|module|savepoint): |constraint failed: "
    r"|ambiguous column name: |has no column named |invalid (?:column|table|object)(?: name)?: |input value for enum "
    rf"|(?:{_OBJECT}|secret|connection|user)(?: or \w+)? not found: |unrecognized name: |ns not found "
    r"|operator does not exist: |error collection: |(?<= )index: (?=\w+ dup key)))"
    rf"(?P<value>{_QUOTED}|{_BARE})",
    re.IGNORECASE,
)
_MISSING = re.compile(
    rf"(?P<kind>{_START}(?:{_OBJECT}|with name|DB::Exception:)\s(?!(?:that|which|tables?|names?)\s))"
    rf"(?P<value>{_BARE}(?:\([^)\n]{{0,100}}\))?)"
    r"(?=\s(?:does not exist|doesn't exist|already exists|was not found|cannot be (?:found|resolved)|has no column"
    r"|depends on|because other objects)|: authentication failed)",
    re.IGNORECASE,
)
_QUOTED_IDENTIFIER = re.compile(
    rf"(?P<kind>{_START}(?:column reference|identifier|(?<!type )object|(?:table|column|index|function) named"
    r"|with name|(?:table|column|object) name"
    rf"|missing columns:|did you mean|candidate bindings:)\s)(?P<value>{_QUOTED}(?:, {_QUOTED})*)"
    rf"|(?P<before>)(?P<quoted>\"[^\"\n]+\")(?=: invalid identifier)",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(
    r"(?P<kind>(?:(?:unique|integrity|check|foreign key) constraint(?: fails)?|cannot insert NULL into"
    r"|one of the following\?) )(?P<value>[(\[][^\n]*)",
    re.IGNORECASE,
)
_IN_DOUBLE, _IN_SINGLE = nested('"'), nested("'")
_VALUE = re.compile(
    r"(?P<kind>(?<!be the )(?<!or the )(?:value|string|before(?=:)|truncated value|out of range"
    r"|enum \S{1,80}?|to float|base \d{1,2}):? "
    r"|duplicate key |input_value=)"
    rf"(?P<value>{_IN_DOUBLE}|\"[^\"\n]*\"?|{_IN_SINGLE}|'[^'\n]*'?)|(?P<before>key value is |dup key: )[({{][^\n]*",
    re.IGNORECASE,
)
_PARSER = re.compile(
    r"(?P<kind>sql parser error: |failed to bind expression: |failed at position \d{1,9} )(?P<value>[^\n]+?)"
    r"(?= caused by|\n|\Z)",
    re.IGNORECASE,
)


# ---- The same in other languages: their quotes, and what their words say of a quote beside them.

_FOREIGN_WORD = (
    r"tabelle|spalte|feld|datenbank|benutzer|rolle|datei|prozedur|funktion|eintrag|sicht|verzeichnis|von|bei|wert|konto"
    r"|tabellenname|datenbankname|spaltenname|spaltentitel|bezeichners?|sequenz"
    r"|la table|colonne|champ|la base|base de donn[eé]es|utilisateur"
    r"|cl[eé]f?|fichier|fonction|vue|contrainte|valeur|pr[eè]s de|pour|dans"
    r"|tabla|columna|campo|base de datos|usuario|rol|clave|fichero|archivo|vista|valor|para|cerca de|esquema"
    r"|tabella|colonna|utente|ruolo|chiave|vincolo|valore|vicino a|tabela|coluna|banco de dados|papel|chave"
)
_ASIAN_WORD = (
    "表|列|关系|關係|数据库|資料庫|用户|使用者|角色|键|鍵|函数|函數|索引|模式|架构|约束|约束|视图|序列|库|主机|字段|对象|类型|值|附近"
    "|テーブル|リレーション|データベース|ユーザー|ユーザ|ロール|キー|関数|スキーマ|制約|ビュー|シーケンス|カラム|ホスト|値|インデックス|トピック"
)
# Where no blank parts it from the sentence, a value goes on to the next sign of the language.
_UP_TO_ASIAN = (
    r"(?=[^\s\"'A-Za-z]{0,20}(?:[A-Za-z]|\d{5}))[!-~](?<![\"'])[^\u2e80-\u9fff\uac00-\ud7af\n]{0,300}(?<!\s)"
    r"(?=[\u3040-\u9fff\uac00-\ud7af])"
)
_BESIDE = r"\"[^\"\n]{1,300}\"|'[^'\n]{1,300}'|`[^`\n]{1,300}`"
_ABROAD = re.compile(
    r"(?P<open>[»«„「『《〈‹])\s?[^»«„“”「」『』《》〈〉‹›\n]{1,300}?\s?(?P<close>[»«“”」』》〉›])"
    rf"|(?P<before>(?<![A-Za-z])(?:{_FOREIGN_WORD})\s?:?\s(?:l')?)(?P<first>{_BESIDE})(?:[@.](?:{_BESIDE}))?"
    rf"|(?P<letter>[^\W\x00-\x7f]\w{{0,30}}[.)]?(?:\s[\w/.]{{1,20}}:?\s?|\s?:?\s"
    rf"|(?<=[\u3040-\u9fff\uac00-\ud7af]):?))(?P<second>{_BESIDE})(?:[@.](?:{_BESIDE}))?"
    rf"|(?P<third>(?:{_BESIDE})(?<![\s=:(\[{{,\\].))(?=[:,.)]{{0,2}}\s?-?\s?\w{{0,30}}[^\W\x00-\x7f])"
    rf"|(?P<object>(?:{_ASIAN_WORD})\s?[:=]?\s?)(?P<bare>{_UP_TO_ASIAN}|[A-Za-z_][\w.$@-]{{0,120}}|[(][^)\n]{{1,300}}[)])"
    r"|(?P<role>(?<![A-Za-z])(?:benutzer(?:name)?|datenbank|tabelle|utilisateur|usuario|utente|usuário|пользователь"
    r"|база)\s?[=:]\s?)(?P<name>[^\s,;]{1,120})"
    r"|(?P<of>(?<![A-Za-z])(?:für|auf|zu|pour la|pour le|sur la|para la|a la|per la)\s(?:tabelle|spalte|datenbank"
    r"|sequenz|schema|sicht|funktion|table|base|vue"
    r"|tabla|vista|función|tabella)\s)(?P<plain>[\w.$-]{1,120})",
    re.IGNORECASE,
)
_A_KEY = re.compile(r"\s?[:=]\s?[\"'{\[\d]")  # what stands behind a quoted key
_ABROAD_VALUE = ("first", "second", "third", "bare", "name", "plain")


def _abroad(match: re.Match[str]) -> str | None:
    if match["open"]:
        return match["open"] + ID + match["close"]
    group = next(name for name in _ABROAD_VALUE if match[name])
    if _A_KEY.match(match.string, match.end()) or match.string.startswith("@", match.end()):
        return None
    if match[group].strip("\"'`").isspace() or not any(map(str.isalnum, match[group])):
        return None
    return match.string[match.start() : match.start(group)] + ID


# Without a word that is known: what stands in quotes within a sentence of another language.
_ABROAD_SAID = (
    r"nicht|kann|konnte|unbekannte[rsn]?|fehler|keine?|werden|wurde|existiert|und|oder|ist|beim?|falscher?"
    r"|impossible|inconnue?|erreur|n'est|n'existe|pas|dans|avec|cette|aucune?|une|lors|du|des|est|ne|peut"
    r"|desconocid[oa]|puede|del|una|los|las|con|errore|sconosciut[oa]|della|dello|delle|non|nel|impossibile|valido"
    r"|per|di|il"
    r"|bereits|vorhanden|hat|eine[rnms]?|mit|der|das|bei|auf|im|les|la|le|lo|gli|esiste|nella|n[aã]o"
    r"|erro|uma|desconhecid[oa]|pode|foi|inv[aá]lid[oa]"
)
# One of these must be there, which no English sentence has.
_ABROAD_SURE = (
    r"nicht|kann|konnte|unbekannte?[rsn]?|fehler|keine?|wurde|existiert|bereits|vorhanden|inconnue?|erreur|n'est|n'existe|cette"
    r"|aucune?|peut|dans|avec|desconocid[oa]|puede|errore|sconosciut[oa]|della|dello|delle|impossibile|esiste|nella"
    r"|uma|desconhecid[oa]|pode"
)
_SURELY_ABROAD = re.compile(rf"(?<![\w'-])(?:{_ABROAD_SURE})(?![\w-])", re.IGNORECASE)
_SAID_ABROAD = re.compile(rf"(?<![\w'-])(?:{_ABROAD_SAID})(?![\w-])", re.IGNORECASE)
_QUOTED_ABROAD = re.compile(
    r"(?<![\w\\])(?:\"[^\"\n]{1,300}\"|'[^'\n]{1,300}'|`[^`\n]{1,300}`)(?![\w@]|\s?:\s?[\"'{\[\d])"
)
_FEWEST_WORDS_ABROAD = 2


def _quoted_abroad(match: re.Match[str]) -> str | None:
    text = match.string
    if _SAID_ABROAD.search(match[0]) or not any(map(str.isalnum, match[0])):
        return None
    words = {word.lower() for word in _SAID_ABROAD.findall(text)}
    return ID if len(words) >= _FEWEST_WORDS_ABROAD and _SURELY_ABROAD.search(text) else None


# ---- Objects of clouds, clusters and stores of documents.

_ARN = re.compile(
    r"(?=[aofps])(?:\barn:aws[\w-]{0,10}:[^\s\"'<>,;)\]}]+|(?<![\w/])(?:projects|organizations|folders)/[^\s\"'<>,;)\]}]+"
    r"|\bsystem:serviceaccount:[\w.:-]+|\bocid1\.[\w.-]{10,})"
)
_CLUSTER_KIND = (
    r"(?:pod|deployment|replicaset|statefulset|daemonset|service|secret|configmap|namespace|node|ingress(?:e)?|job"
    r"|cronjob"
    r"|persistentvolume(?:claim)?|serviceaccount|rolebinding|clusterrole(?:binding)?|endpoint"
    r"|customresourcedefinition|container|volume)s?"
)
_QUOTED_OBJECT = nested('"')
_CLUSTER = re.compile(
    rf"(?P<kind>{_START}{_CLUSTER_KIND}(?:\.[a-z][\w.]{{0,60}})?(?:\s|:\s|/))(?P<value>\\?{_QUOTED_OBJECT}(?!\s?:)"
    rf"|(?<=/)(?=[\w.-]{{0,60}}[-\d])[a-z\d](?:[\w.-]{{0,250}}[a-z\d])?(?![\w/]))"
    r"|(?P<in>\bin (?:the )?namespace:?\s)(?P<name>\\?\"[^\"\n]{1,253}\"|"
    r"(?=[\w-]{0,60}[-\d])[a-z\d][\w.-]{0,250}(?::[\w.:-]{0,80}\w)?)",
    re.IGNORECASE,
)
_STORE = (
    r"table|dataset|job|topics?|topic[ _-]partition|subscription|bucket(?:name)?|queue|streams?|collection|container"
    r"|keyspace|instance|cluster"
    r"|database|consumer group|consumergroup|group(?:\.id|id)?|index|warehouse|schema|partition|log group|function"
)
_ON = r"(?:[?&#=@%/$][^\s\"'<>)\]}]*(?<![,;]))?"  # it was no name, or not all of it: the whole run goes
_STORED = re.compile(
    rf"(?P<kind>{_START}(?:{_STORE})\s?(?:[:=]|(?=\[))\s?\[?)(?P<value>{_QUOTED}"
    rf"|(?=[\w.:/-]{{0,100}}[-_.\d])(?!\w{{2,30}}://)[A-Za-z][\w.:/-]{{2,2000}}(?<![.:]){_ON})"
    rf"|(?P<no>(?=[inu])(?:no such index|index_not_found_exception[^\[\n]{{0,80}}index|unknown topic(?: or partition)?"
    r"(?! or\b| error\b):?"
    rf"|not found: (?:{_STORE}))\s\[?)(?P<name>{_QUOTED}|[\w.:*-]{{2,2000}}{_ON})"
    rf"|(?P<topic>(?<![\w-])(?:topic|partition(?=\s\S*-\d)|stream|queue|bucket"
    rf"|group)\s)(?P<bare>(?=[\w.-]{{0,100}}[-_.\d])[A-Za-z][\w.-]{{2,200}})"
    r"(?=\s(?:not present|is not|does not|doesn't|not found|already|was not|has no|could not|cannot|to broker"
    r"|at offset|because))",
    re.IGNORECASE,
)
_DOCUMENT = re.compile(
    r"(?P<kind>\b(?:filter|query|q|command|cmd|updates?|u|pipeline|projection|sort|documents?|docs|key(?:Pattern"
    r"|Value)|planSummary|appliedOps|originatingCommand"
    r"|find|aggregate|insert|delete|distinct)\\*[\"']?\s?(?::|=|\s)\s?(?:(?:IXSCAN|COLLSCAN"
    r"|IDHACK)\s)?)(?P<value>[\[{]{1,2}\s?(?:\\*[\"']?[\w$.]{1,100}\\*[\"']?\s?:|\{)[\s\S]*)"
    r"|(?P<shell>\bdb\.)(?P<call>[\w.$-]{1,120}\.(?:find|insert|update|aggregate|delete|remove|count|save|drop"
    r"|distinct|replace|create|bulk)\w{0,20}\([\s\S]*)"
    r"|(?P<ns>\b(?:ns|namespace|collection)\\*[\"']?\s?[:=]\s?\\*[\"'])(?P<full>[\w$-]{1,64}\.[\w.$-]{1,120})",
)


_COUNT = re.compile(r"[\"'`]?(?:\d{1,4}|1[4-9]\d{8}(?:\d{3})?)[\"'`]?")  # or the seconds since 1970


def _is_no_name(value: str) -> bool:
    return is_nobodys(value) or _COUNT.fullmatch(value) is not None


_KINDS = frozenset(
    "relation table column schema database role index view function key collection topic object name".split()
)
_AT = re.compile(r"\s?[\[({]\s?(?:at|@)\s?[\])}]|(?i:(?<=[a-z]{2}\d{2}))(?: [A-Za-z\d]{4}){2}")
_KEYED = re.compile(r"\\*[\"']?(?:--)?(?P<key>[\w.-]{1,40}+)\\*[\"']?\s?[:=]")


def _found(match: re.Match[str]) -> str | None:
    """Replace the name of a table, a column or another object, and keep what introduces it; None if it is no name."""
    group = match.lastgroup or ""
    key = _KEYED.match(match.string, match.start(group))
    if _AT.match(match.string, match.end(group)) or match.string.startswith("@", match.end(group)):  # `amy [at] …`
        return None
    if _is_no_name(match[group]) or (key and introduces(key["key"])) or begins_an_id(match.string, match.start(group)):
        return None
    return match.string[match.start() : match.start(group)] + TABLE + match.string[match.end(group) : match.end()]


def _document(match: re.Match[str]) -> str | None:
    group = match.lastgroup or ""
    return match.string[match.start() : match.start(group)] + (TABLE if group == "full" else SQL)


def _keep_kind(match: re.Match[str]) -> str | None:
    key = _KEYED.match(match.string, match.start("value"))
    if match["value"].lower() in _KINDS and match.string.startswith(
        " ", match.end()
    ):  # `invalid table name: table name is`
        return None
    return None if _is_no_name(match["value"]) or (key and introduces(key["key"])) else match["kind"] + TABLE


def _value(match: re.Match[str]) -> str | None:
    key = _KEYED.match(match.string, match.start("value")) if match["value"] else None
    if key and introduces(key["key"]):
        return None
    if match["value"] and (is_nobodys(match["value"], dated=False) or not match["value"].strip("\"'\\")):
        return None
    return (match["kind"] or match["before"]) + ID


def _named(match: re.Match[str]) -> str | None:
    kind = match.string[max(0, match.start() - 20) : match.start("value")]
    key = _KEYED.match(match.string, match.start("value"))
    if _is_no_name(match["value"]) or (key and introduces(key["key"])):
        return None
    if _ANYBODYS.search(kind) and not (_A_DATABASES.search(kind) or _SAID_OF_ONE.match(match.string, match.end())):
        return None
    return match["kind"] + TABLE


def _identifier(match: re.Match[str]) -> str | None:
    kind, value = match["kind"] or "", match["value"]
    key = _KEYED.match(match.string, match.start("value")) if value else None
    if value and (
        _is_no_name(value) or (key and introduces(key["key"])) or (value[0] == "`" and kind.lower().startswith("did"))
    ):  # a word of a program
        return None
    return kind + TABLE


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
        _named,
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
                rf"(?:{_OBJECT}|with name|exception:)\s[a-z0-9_$][a-z0-9_.$:\-]*(?:\([^)\n]{{0,100}}\))?"
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
        _value,
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
    Rule(
        "sql",
        (
            (
                r"(?:filter|query|q|command|cmd|updates?|u|pipeline|projection|sort|documents?|docs|keypattern|keyvalue"
                r"|plansummary"
                r"|appliedops|originatingcommand|find|aggregate|insert|delete|distinct)\\*[\"']?\s?(?::|="
                r"|\s)\s?(?:[a-z]+\s)?[\[{]"
            ),
            r"db\.[a-z0-9_.$\-]+\(",
            r"(?:ns|namespace|collection)\\*[\"']?\s?[:=]\s?\\*[\"'][a-z0-9_$\-]+\.",
        ),
        _DOCUMENT,
        _document,
        'command: { find: "staff", filter: { ssn: 1 } }',
        "command: [sql]",
    ),
    Rule(
        "id",
        (r"arn:aws", r"[^a-z0-9_/](?:projects|organizations|folders)/", r"system:serviceaccount:", r"ocid1\."),
        _ARN,
        lambda match: ID + split_closing(match[0])[1],
        "assume arn:aws:iam::123456789012:role/amy failed",
        "assume [id] failed",
    ),
    Rule(
        "table",
        (
            rf"[^a-z0-9_\-]{_CLUSTER_KIND}(?:\.[a-z][a-z0-9_.]*)?(?:(?:\s|:\s|/)\\?\"|/[a-z0-9])",
            r"in (?:the )?namespace:?\s",
        ),
        _CLUSTER,
        _found,
        'pods "web-7d4" is forbidden in namespace pay-prod',
        "pods [table] is forbidden in namespace [table]",
    ),
    Rule(
        "table",
        (
            rf"(?:{_STORE})\s?(?:[:=]|\[)",
            r"no such index|index_not_found_exception|unknown topic",
            rf"not found: (?:{_STORE})",
            (
                r"(?:topic|partition|stream|queue|bucket|group)\s[a-z0-9_.\-]+\s(?:not|is|does|already|was|has"
                r"|could|cannot|to|at|because)"
            ),
        ),
        _STORED,
        _found,
        "no such index [orders-2026]",
        "no such index [[table]]",
    ),
    Rule(
        "id",
        (
            rf"(?:{_FOREIGN_WORD.replace('[eé]', '[a-z]').replace('[eè]', '[a-z]')})\s?:?\s(?:l')?[\"'`]",
            r"(?:benutzer|benutzername|datenbank|tabelle|utilisateur|usuario|utente)\s?[=:]",
            (
                r"(?:auf|zu|pour la|pour le|sur la|para la|a la|per la)\s(?:tabelle|spalte|datenbank|sequenz|schema"
                r"|sicht"
                r"|funktion|table|base|vue|tabla|vista|tabella)\s"
            ),
        ),
        _ABROAD,
        _abroad,
        "Tabelle »pay« und Benutzer 'amy'",
        "Tabelle »[id]« und Benutzer [id]",
    ),
    Rule(
        "id",
        (
            rf"[^a-z0-9_'\-](?:{_ABROAD_SURE})[^a-z0-9_\-][^\xff]*[\"'`]",
            rf"[\"'`][^\xff]*[^a-z0-9_'\-](?:{_ABROAD_SURE})[^a-z0-9_\-]",
        ),
        _QUOTED_ABROAD,
        _quoted_abroad,
        "Kann Datensatz in 'pay' nicht finden",
        "Kann Datensatz in [id] nicht finden",
    ),
)
