"""What a process knows of whose machine this is: names that no pattern finds, to be taken out of all free text.

    {kind: [name, ...]}    kinds: user, host, path, secret, table; ip and mac on the shipper's side

A producer hands its own to the shipper in its frames' context, because it may run in another environment than the
shipper does. They are held in memory only: never in a file, a log, a status, an argument or an error's text. What the
host puts into its environment after `init` is not known.

Standard library only: the host imports it, and looks nothing up that could wait for a network.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Names = dict[str, list[str]]

MAX_NAMES = 512
"""Of one process: they travel in every frame."""
MAX_NAMES_CHARACTERS = 16 << 10
"""Of all its names together. What a larger environment holds beyond that stays unknown, secrets last."""
MAX_CHARACTERS = 128
"""Of one name; a longer secret travels in pieces, so that each part of it is known."""
MIN_SECRET_CHARACTERS = 6

_USER_VARIABLES = frozenset("user username logname login committer author".split())
_HOST_VARIABLES = frozenset("host hostname computername nodename".split())
_PERSON_VARIABLES = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL", "EMAIL")
_DIRECTORY_VARIABLES = ("HOME", "USERPROFILE", "PWD", "VIRTUAL_ENV")

# The words of a variable's name that say secret, and last words that take it back: those hold a place or a number.
_SECRET = re.compile(
    r"(?:^|_)(?:secrets?|tokens?|pass|passwd|password|passphrase|pwd|pw|credentials?|creds|auth|salt|cookie|jwt|pat|pin"
    r"|bearer|keys?|apikey|dsn|connection_?string|conn_?str|access_?key(?:_?id)?|licen[cs]e|otp|\w*password"
    r"|\w*secret|\w*token)(?:_\d+|\d+)?(?:_(?:base64|b64|hex|raw|value|prod|production|staging|dev|test))?$"
)
_NO_SECRET = re.compile(r"^(?:old)?pwd$|^(?:gpg|ssh)_key$|(?:public|foreign|primary|sort|partition|host)_?keys?$")
# A value that says how a secret is used.
_PLAIN_VALUE = re.compile(r"(?i:true|false|yes|no|on|off|none|null|enabled|disabled|default|required|optional)|\d{1,5}")

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:(?P<login>[^/?#\s]*)@)?(?P<hosts>[^/?#\s]*)(?:/(?P<database>[\w.-]+))?",
    re.IGNORECASE,
)
_WEB = frozenset("http https ws wss file".split())
_SETTING = re.compile(
    r"\b(?P<key>user(?:\s?id|name)?|uid|password|pwd|host|hostaddr|server|data source|dbname|database|initial catalog"
    r"|accountkey|sharedaccesskey)\s*=\s*(?:'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>[^\"]*)\"|\{(?P<braced>[^}]*)\}|(?P<bare>[^\s;,]+))",
    re.IGNORECASE,
)
_KIND_OF_SETTING = {
    **dict.fromkeys(("user", "userid", "user id", "username", "uid"), "user"),
    **dict.fromkeys(("password", "pwd", "accountkey", "sharedaccesskey"), "secret"),
    **dict.fromkeys(("host", "hostaddr", "server", "data source"), "host"),
    **dict.fromkeys(("dbname", "database", "initial catalog"), "table"),
}
_ADDRESS = re.compile(r"[\d.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%\w+)?")
_PART = re.compile(r"[^\s\"'`{}\[\],;]{8,}")

Found = tuple[str, str]
"""A kind and a name."""


def names_of_process(environ: Mapping[str, str], directory: str, host: str) -> Names:
    """The names that a process can tell by itself, at once.

    Args:
        environ: its environment.
        directory: it works in; empty when that is gone.
        host: the name of the machine.
    """
    return gather(_found(environ, directory, host))


def names_of_this_process() -> Names:
    """The same of the process that asks."""
    try:
        directory = os.getcwd()  # noqa: PTH109 a Path is of no use here
    except OSError:
        directory = ""
    return names_of_process(os.environ, directory, os.uname().nodename)


def gather(found: Iterable[Found]) -> Names:
    """Names by kind, each once, and no more than may travel."""
    pieces = dict.fromkeys((kind, piece) for kind, name in found for piece in _pieces(kind, name) if len(piece) > 1)
    names: Names = {}
    left_characters = MAX_NAMES_CHARACTERS
    for kind, piece in sorted(pieces, key=lambda pair: pair[0] != "secret")[:MAX_NAMES]:
        left_characters -= len(piece)
        if left_characters >= 0:
            names.setdefault(kind, []).append(piece)
    return names


def directory_names(directory: str) -> Iterator[Found]:
    """A directory as a whole, and its last two components."""
    components = [component for component in re.split(r"[/\\]", directory) if component]
    if not components:
        return
    yield "path", directory.rstrip("/\\")
    yield from (("path", component) for component in components[-2:])


def home_names(home: str) -> Iterator[Found]:
    """A home as a whole, and the user's name at its end."""
    directory = home.rstrip("/\\")
    if directory.strip("/\\"):
        yield "path", directory
        yield "user", re.split(r"[/\\]", directory)[-1]


def host_names(host: str) -> Iterator[Found]:
    """A host's whole name and each of its labels; an address has none."""
    yield "host", host
    if not _ADDRESS.fullmatch(host):
        yield from (("host", label) for label in host.split("."))


def person_names(text: str) -> Iterator[Found]:
    """A person's full name and its parts, or a mail address without the domain, which is everybody's."""
    name = text.partition("@")[0]
    yield "user", name
    yield from (("user", part) for part in re.split(r"[\s.,_+-]+", name))


def _found(environ: Mapping[str, str], directory: str, host: str) -> Iterator[Found]:
    yield from host_names(host)
    yield from directory_names(directory)
    for variable in _PERSON_VARIABLES:
        yield from person_names(environ.get(variable, ""))
    for variable in _DIRECTORY_VARIABLES:
        value = environ.get(variable, "")
        yield from home_names(value) if variable in {"HOME", "USERPROFILE"} else directory_names(value)
    for variable, value in environ.items():
        yield from _of_variable(variable.lower().replace("-", "_"), value)


def _of_variable(variable: str, value: str) -> Iterator[Found]:
    last = variable.rpartition("_")[2]
    if last in _USER_VARIABLES or variable == "pguser":
        yield "user", value
    if last in _HOST_VARIABLES or variable == "pghost":
        yield from host_names(value)
    is_secret = _SECRET.search(variable) is not None and _NO_SECRET.search(variable) is None
    if is_secret and not (value.startswith("/") and value.count("/") > 1):
        yield from _secret(value)
    if "://" in value:
        yield from _of_urls(value, private=variable.endswith("proxy"))
    if "=" in value:
        yield from _of_settings(value)


def _secret(value: str) -> Iterator[Found]:
    yield from _if_secret(value)
    parts = _PART.findall(value)
    if parts != [value]:  # a key of several lines, a header, JSON
        for part in parts:
            yield from _if_secret(part)


def _if_secret(value: str) -> Iterator[Found]:
    if len(value) >= MIN_SECRET_CHARACTERS and not _PLAIN_VALUE.fullmatch(value):
        yield "secret", value


def _of_urls(value: str, *, private: bool) -> Iterator[Found]:
    for url in _URL.finditer(value):
        user, _, password = (url["login"] or "").partition(":")
        yield "user", unquote(user)
        yield from _if_secret(unquote(password))
        if not (private or url["login"] or url["scheme"].lower() not in _WEB):
            continue  # where everybody's software comes from
        for host in url["hosts"].split(","):
            yield from host_names(re.sub(r":\d*$", "", host).strip("[]"))
        if url["scheme"].lower() not in _WEB:
            yield "table", unquote(url["database"] or "")


def _of_settings(value: str) -> Iterator[Found]:
    for setting in _SETTING.finditer(value):
        content = next((part for part in setting.group("single", "double", "braced", "bare") if part), "")
        kind = _KIND_OF_SETTING[" ".join(setting["key"].lower().split())]
        match kind:
            case "secret":
                yield from _if_secret(content)
            case "host":
                yield from host_names(content)
            case _:
                yield kind, content


def _pieces(kind: str, name: str) -> list[str]:
    """A name as it may travel; a long secret in pieces of even length: a few letters would be found everywhere."""
    plain = name.strip().encode(errors="replace").decode()  # lone surrogates can't be packed
    if kind != "secret" or not plain:
        return [plain[:MAX_CHARACTERS]]
    number = -(-len(plain) // MAX_CHARACTERS)
    size = -(-len(plain) // number)
    return [plain[start : start + size] for start in range(0, len(plain), size)]
