"""Rules for people: mail addresses, and names behind a key."""

# ruff: noqa: RUF001, SIM905 - signs of a typesetter are meant; a list of words reads better as words
from __future__ import annotations

import re

from telemetry.redact.rules.nobodys import is_nobodys
from telemetry.redact.rules.numbers import ID_KEYS, begins_an_id
from telemetry.redact.rules.placeholder import MARKS, mark
from telemetry.redact.rules.rule import DOUBLY_QUOTED, QUOTED, Rule, always, nested, only_marks, split_closing

EMAIL = mark("email")
USER = mark("user")

# ---- Mail. The whole run of characters around an `@` goes: a name before a host, whatever the host looks like.

_RUN = rf"[^\s<>()\[\],;\"\\{MARKS}]"
_BEFORE_AT = rf"[^\s<>()\[\],;\"\\@{MARKS}]"
_EMAIL = re.compile(
    rf"(?<!{_RUN})@?{_BEFORE_AT}++@(?:{_RUN}++(?:\[[^\]\s]{{1,60}}\])?|\[[^\]\s]{{1,60}}\]|[{MARKS}])"
    rf"|\"[^\"\n]{{1,64}}\"@{_RUN}+"
)
_KEPT_KEY = re.compile(
    r"['\"]?(?:\w{0,20}(?:mail|user|login|name|account|owner|contact|sender|recipient|address)|mailto|from|to|cc|bcc"
    r"|cn|upn|id|key|value|by|author)['\"]?[=:]['\"]?",
    re.IGNORECASE,
)
# What an encoding has put around it; to read it decoded must not leave other signs.
_ENTITY = re.compile(r"&(?:#x?[0-9a-fA-F]{1,6}|[a-zA-Z]{2,8})\Z")
_ESCAPE = re.compile(r"(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})(?=[^@])")
_NO_MAIL = re.compile(
    r"[\w/.+-]+@(?:\d+x\.(?:png|jpe?g|gif|webp|svg|avif)|[\^~]?v?\d+(?:\.\d+){0,2}(?:[-.]?(?:alpha|beta|rc|dev|post"
    r"|next|canary)[\d.-]*)?|latest|next)",
    re.IGNORECASE | re.ASCII,
)
# What Java calls an object, and a log a line of its class: `Engine$Worker@679`, `[Ljava.lang.Object;@1b2c3d4`. What
# is glued to one, as in `…@1b2c3d4.close` and `…@679s`, makes no mail of it. Windows counts `00000001@2016/9/27:…`.
_NO_PERSON = re.compile(
    r"(?:\S*[^\w'])?[A-Z]\w*@\d{1,10}|(?:\S*[$.:/])?(?:[A-Z][a-z\d]+){2,}@(?=\D*\d)[0-9a-f]{5,8}"
    r"|\S*[.$][A-Z]\w*;?@[0-9a-f]{5,8}"
    r"|(?:\S*\W)?[A-Z]\w*\$[A-Z]\w*@\d{1,10}(?!\d)\S*"
    r"|(?:\S*\W)?(?:[a-z]\w*\.){2,}[A-Z]\w*@(?=\D*\d)[0-9a-f]{5,8}(?![0-9a-f])\S*"
    r"|(?:\S*\W)?(?:android|com|java|javax|net|org)(?:\.\w+){2,}@(?=\D*\d)[0-9a-f]{5,8}"
    r"|[0-9a-f]{8}@\d{4}/\d\d?/\d\d?:[\d:.]+|(?:[\w.-]*:)?\d{1,5}@\d{1,5}",
    re.ASCII,
)
_AT_A_NUMBER = re.compile(r"@(?:\d|[0-9a-f]{5})", re.ASCII)  # each of these has it, and hardly any address does
_SPACED_AT = re.compile(
    r"(?<![\w.+-])[\w.+-]++(?:\s?[\[({]\s?at\s?[\])}]\s?[\w-]{1,63}(?:\s?(?:\.|[\[({]\s?(?:dot"
    r"|\.)\s?[\])}])\s?[\w-]{1,63})*"
    r"|(?:\s?[\[({]\s?@\s?[\])}]\s?|\s?@\s)[\w-]{1,63}(?:\.[\w-]{1,63}){1,5})",
    re.IGNORECASE,
)


def _email(match: re.Match[str]) -> str | None:
    run, closing = split_closing(match[0])
    if match.string.startswith(";", match.end()) and (entity := _ENTITY.search(run)):
        run, closing = run[: entity.start()], entity[0] + closing
    if match.string.startswith("\\", match.start() - 1) and (escape := _ESCAPE.match(run)):
        inner = _EMAIL.match(run, escape.end())
        return None if inner is None else escape[0] + EMAIL + closing
    if match[0].endswith("]"):
        run, closing = match[0], ""
    quotes = run[: len(run) - len(run.lstrip("'\"`"))] if not run.startswith('"') or '"@' not in run else ""
    if run.startswith("{") and "}" in closing:
        quotes += "{"
    run = run[len(quotes) :]
    local, _, domain = run.lstrip("@").partition("@")
    if "@" not in run.strip("@") or _NO_MAIL.fullmatch(run):
        return None
    if _AT_A_NUMBER.search(run) and _NO_PERSON.fullmatch(run):
        return None
    if "." not in domain and not any(map(str.isalnum, local)):  # a decorator in quotes or bars
        return None
    key = _KEPT_KEY.match(run) if "=" in run or ":" in run else None
    return quotes + (key[0] if key and "@" in run[key.end() :] else "") + EMAIL + closing


MAIL = (
    Rule(
        "email",
        (r"[\[({]\s?(?:at|@)\s?[\])}]", r"@\s[a-z0-9_\-]"),
        _SPACED_AT,
        always(EMAIL),
        "mail to amy (at) shop (dot) example bounced",
        "mail to [email] bounced",
    ),
    Rule(
        "email",
        (r"[!-~\s]@[^\s]",),
        _EMAIL,
        _email,
        "mail to amy.o'hara+x@shop.example bounced",
        "mail to [email] bounced",
    ),
)

# ---- Names of people, where a key says so.

# A name in a directory or a certificate, with all that it stands in.
_ATTRIBUTE = r"(?:cn|uid|ou|dc|o|c|l|st|street|sn|gn|serialnumber|emailaddress|e|userid|title)"
_PART = rf"{_ATTRIBUTE}\s?=\s?(?:\\.|[^,;\"'\n<>=+/()\\{MARKS}]|[{MARKS}]){{1,100}}?"
_DISTINGUISHED = re.compile(
    rf"(?<![\w-])(?={_ATTRIBUTE}\s?=)(?={_PART}(?:\s?[,+;/]\s?{_PART}){{1,20}})(?=[^\n]{{0,300}}?\b(?:cn|uid|ou"
    rf"|dc)\s?=)"
    rf"(?:{_PART}\s?[,+;/]\s?){{1,20}}{_ATTRIBUTE}\s?=\s?(?:\\.|[^\s,;\"'<>=+/()\\\]}}]){{1,100}}",
    re.IGNORECASE,
)

PERSON_KEYS = (
    r"user(?:_?(?:name|id))?|login(?:_?name)?|owner|customer(?:_?(?:name|id))?|tenant(?:_?(?:name|id))?"
    r"|account(?:_?(?:name|id))?|principal|"
    r"(?:first|last|full|given|family|display|nick|sur|maiden)_?name|patient(?:_?(?:name|id))?|employee(?:_?(?:name"
    r"|id))?|author|assignee|"
    r"member(?:_?id)?|contact|dob|birth_?(?:day|date)|date_of_birth"
)
"""Words that introduce somebody's name."""
# Such a word may end a longer name: `storageAccountName`, `PGUSER`.
_ENDS_A_NAME = r"(?-i:(?<=[a-z\d])(?=[A-Z][a-z])|(?<=[A-Z])(?=USER(?:NAME)?\b))"
_BEHIND_PERSON_KEY = (
    rf"(?=[a-z])(?:{PERSON_KEYS})\\*(?:\"\"|''|[\"']?)\]?\s{{0,2}}"
    r"(?:(?:[=!]={1,2}|\|\|)\s{0,2}(?=\\*[\"'])|[=:]>?\s{0,2}))"
    rf"(?P<value>{DOUBLY_QUOTED}|{QUOTED}|\(\d{{1,5}}\)[\d .-]{{5,16}}"
    r"|\+?\d[\d-]{1,9}(?: \d{2,5}){2,5}(?!\w)"
    r"|[^\s,;&()\]}?]*/[^\s,;&()\]}?]*\?[^\s,;)\]}]*|[^\s,;&()\]}]+)"  # a URL, or what ends at a sign
    r"(?P<more>(?-i:,?[^\S\n](?:(?:van|von|vom|zu|de|del|della|di|da|dos|du|la|le|el|al|bin|ibn|den|der|ten"
    r"|ter)[^\S\n]){0,3}[^\W\d_a-z][^\W\d_]*(?:[.'’-][^\W\d_]+)*\.?(?![\w=:(\[/])(?!\s?[=:])){1,4}"
    r"|[^\S\n][^\W\d_]{2,20}(?=\s?(?:[,;.)|\n]|\Z)))?"
)
_PERSON_KEY = re.compile(rf"(?P<key>(?<![A-Za-z]){_BEHIND_PERSON_KEY}", re.IGNORECASE)
_PERSON_KEY_AT_END = re.compile(rf"(?P<key>(?:{_ENDS_A_NAME}){_BEHIND_PERSON_KEY}", re.IGNORECASE)
_IN_DOUBLE, _IN_SINGLE = nested('"'), nested("'")
_PERSON_QUOTED = re.compile(
    r"(?P<key>(?<![A-Za-z])(?:user|login|owner|account|customer|principal)\s)"
    rf"(?P<value>{DOUBLY_QUOTED}|'\\{{1,3}}''[^'\n]+'\\{{1,3}}''|\\*{_IN_DOUBLE}|\\*{_IN_SINGLE})",
    re.IGNORECASE,
)
# What a server says of a login: `permission denied for user amy`, `session opened for user amy`, `invalid user amy`.
_VERDICT = "denied|failed|failure|refused|rejected|accepted|opened|closed|expired|locked"
_STRANGE = "invalid|unknown|illegal|no such|nonexistent"
_PERSON_JUDGED = re.compile(
    rf"(?P<key>\b(?:(?:{_VERDICT})\sfor|{_STRANGE})\suser\s)(?P<value>\w[\w.$\\-]*)(?P<on>(?:[/=%@?]"
    rf"|\[\.\])[^\s\"'<>,;()]*)?",
    re.IGNORECASE,
)
# The same without the word user: `Accepted publickey for amy from …`, `closed for root by amy(uid=1000)`, `(amy) CMD`.
_WHERE = (
    rf"(?=\sfrom\s(?:\d|[0-9a-f]{{0,4}}:|[\w-]+\.[\w-]|[{MARKS}]|UNKNOWN)|\son\s(?:pts|tty|port)|\svia\s"
    r"|\sby\s\S{0,64}(?:\(|\s?\Z)|\(uid=|\sssh2?\b)"
)
_WHO = r"[\w][\w.$\\@-]{0,64}"
_LOGIN = re.compile(
    rf"(?:(?<!\w)(?=[abcdfgiloprsu]))(?:(?P<key>\b(?:(?:accepted|failed|postponed|partial|opened|closed|started"
    rf"|granted|denied|refused|rejected"
    rf"|changed|exceeded|successful"
    rf"|succeeded|failure|su|session|login|logon|shell on \S{{1,30}})\s(?:\S{{1,40}}\s)?for\s(?:(?:invalid "
    rf"|illegal )?user\s)?))(?P<value>{_WHO}){_WHERE}"
    rf"|(?P<by>\bby\s)(?P<who>{_WHO})(?=\(uid=\d)"
    rf"|(?P<sudo>\b(?:sudo|su|doas)(?:\[\d{{1,9}}\])?:\s{{1,9}})(?P<caller>{_WHO})(?=\s:\s)"
    rf")|(?P<cron>\()(?P<owner>{_WHO})(?=\)\s(?-i:CMD|RELOAD|LIST|REPLACE|BEGIN EDIT|END EDIT|AUTH|MAIL)\b)"
    rf"|(?<!\w)(?=[ailprs])(?P<as>\b(?:logged (?:in|on|out) as|logged (?:in|on|out):|su to|authenticated as"
    rf"|authenticating as"
    rf"|signed in as|running as user|impersonating"
    rf"|password (?:changed|reset|updated) for|su for \S{{1,64}} by|su: \(to \S{{1,64}}\)"
    rf"|session \S{{1,20}} of user)\s)(?P<self>{_WHO})"
    rf"|(?P<user>\b(?=[\sasu])(?:authenticating|authenticated|session \S{{1,20}} of"
    rf"|(?<!invalid )(?<!unknown )(?<!illegal ))\s?\buser\s)(?P<named>{_WHO})"
    rf"(?=\s(?:logged|signed|authenticated|not allowed|connected|disconnected|is not in|from\s\d|\d|[{MARKS}]"
    rf"|from\s[{MARKS}]))",
    re.IGNORECASE,
)
_NOBODY = frozenset(
    "true false null none unknown anonymous error input agent not is has was str string int bool bytes optional "
    "password pass passwd group 0".split()
)
_NO_LOGIN = _NOBODY | frozenset(
    "root login in on at for from with and or by to of name names id ids data type role session sessions token config "
    "settings option options request requests space defined interface function mode account accounts credentials "
    "context profile query code key value field event events action operation command".split()
)


_OTHER_KEYS = (
    rf"\\*[\"']?(?:{PERSON_KEYS}|{ID_KEYS}|tel(?:efon|ephone)?|phone|mobile|cell|fax|msisdn|e?-?mail|ip|mac|iban|host(?:_?name)?"
    r"|server|node|peer|addr(?:ess)?|pass(?:word|wd)?|pwd|secret|token|pin|card|url|path|file)"
)
_ANOTHER_KEY = re.compile(
    rf"{_OTHER_KEYS}\\*[\"']?(?::(?:\s|\Z)|=)|\d{{1,3}}\s?[\[({{](?:\.|dot)[\])}}]"
    r"|(?:tel|phone|mobile|cell|fax|call (?:me|us) (?:at|on))\s\(?\+?\d",
    re.IGNORECASE,
)
_BORN = re.compile(r"dob|birth|date_of_birth", re.IGNORECASE)


def _person(match: re.Match[str]) -> str | None:
    value = match["value"]
    bare = value.strip("\"'`\\.:!?")
    if (
        not any(map(str.isalnum, bare))
        or bare.lower() in _NOBODY
        or is_nobodys(bare, dated=not _BORN.match(match["key"]))
    ):
        return None
    if _ANOTHER_KEY.match(match.string, match.start("value")) or begins_an_id(
        match.string, match.start("value")
    ):  # `principal=user: amy`
        return None
    more = match["more"] or ""
    if value.endswith(":"):  # `login: REQUEST: RUT 18.580.875-0`
        return match["key"] + USER + ":" + more
    if value[0] in "\"'`":
        return f"{match['key']}{value[0]}{USER}{value[0] if value[-1] == value[0] else ''}{more}"
    if more.islower() and not match["key"][-1].isspace():  # `user=amy failed`
        return match["key"] + USER + more
    return match["key"] + USER


# The value of an element: `<username>amy</username>`.
_PERSON_ELEMENT = re.compile(
    rf"(?P<key><(?:[\w.-]{{0,40}}[:._-])?(?:{PERSON_KEYS})(?:\s[^<>]{{0,200}})?>\s{{0,40}}+)(?P<value>[^<\n]{{1,80}}?)(?=\s{{0,40}}</)",
    re.IGNORECASE,
)


# A name and a value alone in brackets: `{ "AccountName", "amy" }`, `('user', 'amy')`, `userName{"amy"}`.
_PERSON_PAIRED = re.compile(
    rf"(?P<key>(?:[({{\[]\s?(?P<quote>[\"'])\w{{0,30}}?(?:{PERSON_KEYS})(?P=quote),\s{{0,2}}"
    rf"|(?<![A-Za-z])\w{{0,30}}?(?:{PERSON_KEYS})[{{(])(?=[\"']))(?P<value>\"[^\"\n]{{1,80}}\""
    rf"|'[^'\n]{{1,80}}')(?=\s?[)}}\]])",
    re.IGNORECASE | re.ASCII,
)


def _quoted(match: re.Match[str]) -> str | None:
    bare = match["value"].strip("\"'`\\")
    return None if bare.lower() in _NOBODY or is_nobodys(bare) else match["key"] + USER


def _paired(match: re.Match[str]) -> str | None:
    value = match["value"]
    bare = value[1:-1]
    if bare.lower() in _NOBODY or only_marks(bare) or is_nobodys(bare):
        return None
    return match["key"] + value[0] + USER + value[0]


def _judged(match: re.Match[str]) -> str | None:
    name = match["value"].rstrip(".-")
    if name.isdigit() and _DIGITS_FOLLOW.match(match.string, match.end("value")):  # of a telephone
        return None
    if name.lower() in _NO_LOGIN or is_nobodys(name) or begins_an_id(match.string, match.start("value")):
        return None
    return match["key"] + USER + ("" if match["on"] else match["value"][len(name) :])


_DIGITS_FOLLOW = re.compile(r" \d{2,4} \d{2}")


def _login(match: re.Match[str]) -> str | None:
    last = match.lastgroup or ""
    name = match[last].rstrip(".-")
    if name.isdigit() and _DIGITS_FOLLOW.match(match.string, match.end(last)):  # of a telephone
        return None
    if name.lower() in _NO_LOGIN or only_marks(name) or begins_an_id(match.string, match.start(last)):
        return None
    return match.string[match.start() : match.start(last)] + USER + match[last][len(name) :]


PERSONS = (
    Rule(
        "user",
        (rf"[^a-z](?:{PERSON_KEYS})\\*[\"']{{0,2}}\]?\s{{0,2}}(?:[=:]|!=|\|\|)",),
        _PERSON_KEY,
        _person,
        'login user="Amy Ohara" ok',
        'login user="[user]" ok',
    ),
    Rule(
        "user",
        (
            (
                r"(?-i:[a-z0-9](?:User|Login|Owner|Customer|Tenant|Account|Principal|Name|Patient|Employee|Author|Assignee|Member"
                r"|Contact)[A-Za-z_]{0,8}|[A-Z]USER(?:NAME)?)\\*[\"']{0,2}\]?\s{0,2}(?:[=:]|!=|\|\|)"
            ),
        ),
        _PERSON_KEY_AT_END,
        _person,
        'storageAccountName="amyohara" ok',
        'storageAccountName="[user]" ok',
    ),
    Rule(
        "user",
        (r"(?:user|login|owner|account|customer|principal)\s\\*[\"']",),
        _PERSON_QUOTED,
        _quoted,
        "denied for user 'amy' now",
        "denied for user [user] now",
    ),
    Rule(
        "user",
        (rf"(?:{PERSON_KEYS})(?:[\"'],\s{{0,2}}|[({{])[\"']",),
        _PERSON_PAIRED,
        _paired,
        '{ "AccountName", "amy" } twice',
        '{ "AccountName", "[user]" } twice',
    ),
    Rule(
        "user",
        (rf"[^a-z](?:{PERSON_KEYS})(?:\s[^<>]{{0,200}})?>\s{{0,40}}[^<\s]",),
        _PERSON_ELEMENT,
        _quoted,
        "<username>amy</username> twice",
        "<username>[user]</username> twice",
    ),
    Rule(
        "user",
        (rf"(?:{_VERDICT})\sfor\suser\s[a-z0-9_]", rf"(?:{_STRANGE})\suser\s[a-z0-9_]"),
        _PERSON_JUDGED,
        _judged,
        "permission denied for user amy: retry",
        "permission denied for user [user]: retry",
    ),
    Rule(
        "user",
        (
            (
                r"(?:accepted|failed|postponed|partial|opened|closed|started|granted|denied|refused|rejected|changed"
                r"|exceeded"
                r"|successful|succeeded|failure|su|session|login|logon"
                r"|shell on [^\s]+)\s(?:[^\s]+\s)?for\s(?:(?:invalid |illegal )?user\s)?[a-z0-9_][a-z0-9_.$\\@\-]{0,64}"
                r"(?:\s(?:from|via|by)\s|\son\s(?:pts|tty|port)|\sssh|\(uid=)"
            ),
            r"\(uid=[0-9]",
            r"(?:sudo|su|doas)(?:\[[0-9]+\])?:\s[^\n]*\s:\s",
            r"\)\s(?:CMD|RELOAD|LIST|REPLACE|BEGIN EDIT|END EDIT|AUTH|MAIL)",
            (
                r"(?:logged (?:in|on|out) as|logged (?:in|on|out):|su to|authenticated as|authenticating as"
                r"|signed in as"
                r"|running as user|impersonating|password (?:changed|reset|updated) for|su for [^\s]+ by"
                r"|su: \(to [^\s]+\))\s[a-z0-9_]"
            ),
            r"(?:of|authenticated|authenticating)\suser\s[a-z0-9_]",
            (
                r"user\s[a-z0-9_.$\\@\-]+\s(?:logged|signed|authenticated|not allowed|connected|disconnected"
                r"|is not in|from|[0-9\[])"
            ),
        ),
        _LOGIN,
        _login,
        "Accepted publickey for amy from 10.1.2.3 port 22",
        "Accepted publickey for [user] from [ip] port 22",
    ),
    Rule(
        "user",
        (
            rf"[^a-z0-9_\-](?:cn|uid|ou|dc)\s?=[^\n]{{1,100}}[,+;/]\s?{_ATTRIBUTE}\s?=",
            rf"[^a-z0-9_\-]{_ATTRIBUTE}\s?=[^\n]{{1,100}}[,+;/]\s?(?:cn|uid|ou|dc)\s?=",
        ),
        _DISTINGUISHED,
        always(USER),
        "bind as uid=amy,ou=people,dc=shop,dc=example failed",
        "bind as [user] failed",
    ),
)
