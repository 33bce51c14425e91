"""Judgement of field names, which may give away a person, a place or a secret, or show that free text is not needed.

A name is read word by word, in the singular, so `user_names` and `client_ip` smell; `rename_ms`, `hostility` and
`ipc_ms` do not. A bool, a published enum and the templates of a message can't hold a person, whatever they are called;
a number can (`user_id`), unless its name says that it is a measure (`table_count`, `path_length`).
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.field_types import TYPES, Exposure, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.catalog.model import Field


class _Smell(NamedTuple):
    """Words of one kind, the remedy for a field that has one, and the exposure that is harmless."""

    words: frozenset[str]
    remedy: str
    harmless: Exposure


_SMELLS = (
    _Smell(
        frozenset(
            "password passwd passphrase passcode pwd pw pin otp secret credential token apikey api_key access_key "
            "private_key cookie bearer jwt authorization salt nonce signature "
            "ssn sin nin passport iban bic card cvv pan taxid tax_id birth birthday birthdate birthplace dob gender "
            "sex race religion ethnicity nationality salary lat latitude lon lng longitude geo gps location coordinate "
            "fingerprint biometric serial".split()
        ),
        "remove it, no type makes it harmless",
        Exposure.NONE,
    ),
    _Smell(
        frozenset("sql query queries statement ddl dml".split()),
        "declare it as `sql`, which leaves as a shape",
        Exposure.REWRITTEN,
    ),
    _Smell(
        frozenset("path file filename filepath pathname dir directory directories dirname folder cwd home".split()),
        "declare it as `path`, which leaves as an extension",
        Exposure.REWRITTEN,
    ),
    _Smell(
        frozenset(
            "name username user owner login logon account customer client tenant member employee person people author "
            "admin contact nick nickname alias sender recipient subscriber company companies organization organisation "
            "org team firstname lastname surname forename fullname realname displayname "
            "email mail phone telephone mobile fax address addr street city cities zip zipcode postcode postal "
            "ip ipv4 ipv6 ipaddr ipaddress cidr subnet mac macaddr macaddress host hostname fqdn domain server "
            "url uri href link referrer referer endpoint dsn imei imsi "
            "id uid gid uuid guid pid userid sessionid deviceid machineid session device machine hwid "
            "table tablename column schema database db dbname view bucket topic role principal "
            "project workspace repo repository repositories branch key".split()
        ),
        "declare it as `identifier`, which leaves as a token of the session, or as `enum` if its values are few",
        Exposure.REWRITTEN,
    ),
)
_IDENTIFIERS = _SMELLS[-1].words | frozenset(
    "port tid thread process proc job task request req order invoice ticket transaction txn trace span correlation "
    "number nr no socket fd node shard partition pod instance build run".split()
)
_ALL_WORDS = frozenset(word for smell in _SMELLS for word in smell.words)
_ENDINGS = ("email", "password", "passwd", "username", "hostname", "filename", "address")  # `dbpassword`
# No `number` among them: an account's number is no measure.
_MEASURES = frozenset(
    "count total sum ms us ns s sec secs second seconds minutes hours days bytes kb mb gb kib mib gib length len size "
    "width height depth rank ratio rate percent share score limit max min avg mean median p50 p90 p99 hits misses "
    "errors retries rows port column".split()
)
_ENUMERABLE = frozenset(
    "status state type kind mode level severity format reason category class result outcome phase stage step action "
    "method operation op engine language lang locale country region timezone tz os platform browser arch unit "
    "feature option flag choice theme plan tier edition encoding protocol".split()
)


def private_name(field: Field) -> str:
    """Return why a field's name suggests private data that its type lets out, with the remedy; empty if it does not."""
    for smell in _SMELLS:
        word = next((word for word in _words(_own_name(field)) if word in smell.words), None)
        if word is not None and type_of(field).exposure > smell.harmless and not _measures(field):
            return (
                f"`{word}` in the name of a field of type {field.type} suggests private data; {smell.remedy}; "
                "if it holds nothing of the kind, rename it"
            )
    return ""


def may_be_id(field: Field) -> str:
    """Return why a whole number in a message's hole may be an id, by the hole's name, with the remedy; empty if not."""
    if not field.parameter_of or type_of(field).number is not int or field.buckets:
        return ""
    words = [word.rstrip("0123456789") for word in _own_name(field).split("_")]
    word = next((word for word in words if word in _IDENTIFIERS), None)
    if word is None or words[-1] in _MEASURES - _IDENTIFIERS:
        return ""
    bare = f"{{{_own_name(field)}}}"
    return (
        f"the number in this hole leaves as it is, and may be an id, for it is called `{word}`; write `{bare}`, of "
        "which nothing leaves, or make it an `identifier`"
    )


def needless_text(name: str) -> str:
    """Return why a field of this name needs no free text, with the remedy; empty if it may."""
    words = list(_words(name))
    typed = next((other for word in words for other, row in TYPES.items() if word in row.suggested_by), None)
    if typed is not None:
        return f"free text where the type `{typed}` would do; declare it as `{typed}`"
    last = name.rpartition("_")[2]
    if last in _ENUMERABLE:
        return f"free text where a list would do, a {last} has few values; declare it as `enum` with these `values`"
    return ""


def _own_name(field: Field) -> str:
    """Return a field's name; for a parameter, the name of its hole, as the message's before it is irrelevant."""
    return field.name.removeprefix(f"{field.parameter_of}_")


def _words(name: str) -> Iterator[str]:
    """Yield the words of a name, without a number at their end and in the singular too; pairs (`api_key`), endings."""
    words = name.split("_")
    yield from (f"{first}_{second}" for first, second in pairwise(words))
    for word in words:
        yield from (word, word.rstrip("0123456789"), *_singular(word))
        yield from (ending for ending in _ENDINGS if word.endswith(ending))


def _singular(word: str) -> tuple[str, str]:
    return word.removesuffix("s"), word.removesuffix("es")


def _measures(field: Field) -> bool:
    """Tell whether a number counts or measures something: it ends in a measure, or in a plural (`tables`)."""
    if type_of(field).number is None:
        return False
    last = _own_name(field).rpartition("_")[2]
    plural_of = frozenset(_singular(last)) - {last}
    return last in _MEASURES or bool(plural_of & (_MEASURES | _ALL_WORDS))
