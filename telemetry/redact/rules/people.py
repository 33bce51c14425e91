"""Rules for people: mail addresses, and names behind a key."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re

from telemetry.redact.rules.placeholder import MARKS, mark
from telemetry.redact.rules.rule import QUOTED, Rule, always, only_marks, split_closing

EMAIL = mark("email")
USER = mark("user")

# ---- Mail. The whole run of characters around an `@` goes: a name before a host, whatever the host looks like.

_RUN = rf"[^\s<>()\[\],;\"\\{MARKS}]"
_BEFORE_AT = rf"[^\s<>()\[\],;\"\\@{MARKS}]"
_EMAIL = re.compile(
    rf"(?<!{_RUN})@?{_BEFORE_AT}++@(?:{_RUN}++(?:\[[^\]\s]{{2,60}}\])?|\[[^\]\s]{{2,60}}\]|[{MARKS}])"
    rf"|\"[^\"\n]{{1,64}}\"@{_RUN}+"
)
_KEPT_KEY = re.compile(
    r"['\"]?(?:\w{0,20}(?:mail|user|login|name|account|owner|contact|sender|recipient|address)|mailto|from|to|cc|bcc|cn|upn|id|key|value|by|author)['\"]?[=:]['\"]?",
    re.IGNORECASE,
)
_NO_MAIL = re.compile(
    r"[\w/.+-]+@(?:\d+x\.(?:png|jpe?g|gif|webp|svg|avif)|[\^~]?v?\d+(?:\.\d+){0,2}(?:[-.]?(?:alpha|beta|rc|dev|post|next|canary)[\d.-]*)?|latest|next)",
    re.IGNORECASE | re.ASCII,
)
_SPACED_AT = re.compile(
    r"(?<![\w.+-])[\w.+-]++(?:\s?[\[({]\s?at\s?[\])}]\s?[\w-]{1,63}(?:\s?(?:\.|[\[({]\s?(?:dot|\.)\s?[\])}])\s?[\w-]{1,63})*"
    r"|(?:\s?[\[({]\s?@\s?[\])}]\s?|\s?@\s)[\w-]{1,63}(?:\.[\w-]{1,63}){1,5})",
    re.IGNORECASE,
)


def _email(match: re.Match[str]) -> str | None:
    run, closing = split_closing(match[0])
    if match[0].endswith("]"):
        run, closing = match[0], ""
    quotes = run[: len(run) - len(run.lstrip("'\""))] if not run.startswith('"') or '"@' not in run else ""
    if run.startswith("{") and "}" in closing:
        quotes += "{"
    run = run[len(quotes) :]
    local, _, domain = run.partition("@")
    if "@" not in run.strip("@") or _NO_MAIL.fullmatch(run):
        return None
    if "." not in domain and not any(map(str.isalnum, local)):  # a decorator in quotes or bars
        return None
    key = _KEPT_KEY.match(run)
    return quotes + (key[0] if key and "@" in run[key.end() :] else "") + EMAIL + closing


MAIL = (
    Rule(
        "email",
        (r"[!-~\s]@[^\s]",),
        _EMAIL,
        _email,
        "mail to amy.o'hara+x@shop.example bounced",
        "mail to [email] bounced",
    ),
    Rule(
        "email",
        (r"[\[({]\s?(?:at|@)\s?[\])}]", r"@\s[a-z0-9_\-]"),
        _SPACED_AT,
        always(EMAIL),
        "mail to amy (at) shop (dot) example bounced",
        "mail to [email] bounced",
    ),
)

# ---- Names of people, where a key says so.

_PERSON = (
    r"user(?:_?(?:name|id))?|login(?:_?name)?|owner|customer(?:_?(?:name|id))?|tenant(?:_?(?:name|id))?|account(?:_?(?:name|id))?|principal|"
    r"(?:first|last|full|given|family|display|nick|sur|maiden)_?name|patient(?:_?(?:name|id))?|employee(?:_?(?:name|id))?|author|assignee|"
    r"member(?:_?id)?|contact|dob|birth_?(?:day|date)|date_of_birth"
)
_PERSON_KEY = re.compile(
    rf"(?P<key>(?<![A-Za-z])(?=[a-z])(?:{_PERSON})\\*[\"']?\]?\s{{0,2}}[=:]\s{{0,2}})(?P<value>{QUOTED}|[^\s,;&)\]}}]+)",
    re.IGNORECASE,
)
_PERSON_QUOTED = re.compile(
    r"(?P<key>(?<![A-Za-z])(?:user|login|owner|account|customer|principal)\s)(?P<value>\\*\"[^\"\n]+\"|'[^'\n]+')",
    re.IGNORECASE,
)
# What a server says of a login: `permission denied for user amy`, `session opened for user amy`, `invalid user amy`.
_VERDICT = "denied|failed|failure|refused|rejected|accepted|opened|closed|expired|locked"
_STRANGE = "invalid|unknown|illegal|no such|nonexistent"
_PERSON_JUDGED = re.compile(
    rf"(?P<key>\b(?:(?:{_VERDICT})\sfor|{_STRANGE})\suser\s)(?P<value>\w[\w.$\\-]*)", re.IGNORECASE
)
_NOBODY = frozenset(
    "true false null none unknown anonymous error input agent not is has was str string int bool bytes optional "
    "password pass passwd group".split()
)
_NO_LOGIN = _NOBODY | frozenset(
    "root in on at for from with and or by to of name names id ids data type role session sessions token config "
    "settings option options request requests space defined interface function mode account accounts credentials "
    "context profile query code key value field event events action operation command".split()
)


def _person(match: re.Match[str]) -> str | None:
    value = match["value"]
    bare = value.strip("\"'`\\.:!?")
    if not bare or bare.lower() in _NOBODY or only_marks(bare):
        return None
    if value[0] in "\"'`":
        return f"{match['key']}{value[0]}{USER}{value[0] if value[-1] == value[0] else ''}"
    return match["key"] + USER


def _judged(match: re.Match[str]) -> str | None:
    name = match["value"].rstrip(".-")
    if name.lower() in _NO_LOGIN:
        return None
    return match["key"] + USER + match["value"][len(name) :]


PERSONS = (
    Rule(
        "user",
        (rf"(?:{_PERSON})\\*[\"']?\]?\s{{0,2}}[=:]",),
        _PERSON_KEY,
        _person,
        'login user="Amy Ohara" ok',
        'login user="[user]" ok',
    ),
    Rule(
        "user",
        (r"(?:user|login|owner|account|customer|principal)\s\\*[\"']",),
        _PERSON_QUOTED,
        lambda match: match["key"] + USER,
        "denied for user 'amy' now",
        "denied for user [user] now",
    ),
    Rule(
        "user",
        (rf"(?:{_VERDICT})\sfor\suser\s[a-z0-9_]", rf"(?:{_STRANGE})\suser\s[a-z0-9_]"),
        _PERSON_JUDGED,
        _judged,
        "permission denied for user amy: retry",
        "permission denied for user [user]: retry",
    ),
)
