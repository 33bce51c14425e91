"""Names by which a process knows whose machine this is; no pattern finds them, and they are taken out of free text.

    {kind: [name, ...]}    kinds: user, host, path, secret, table; ip and mac on the shipper's side

A producer hands its own to the shipper in its frames' context, because it may run in another environment than the
shipper. They are held in memory only: never in a file, a log, a status, an argument or an error's text. Variables that
the host sets after `init` are not known.

Standard library only: the host imports it, and nothing is looked up that could wait for a network.
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
"""The greatest number of names of one process: they travel in every frame."""
MAX_NAMES_CHARACTERS = 16 << 10
"""The greatest length of all its names together; further names of a larger environment stay unknown, secrets last."""
MAX_CHARACTERS = 128
"""The greatest length of one name; a longer secret travels in pieces, so that each part of it is known."""
MIN_SECRET_CHARACTERS = 6

_USER_VARIABLES = frozenset("user username logname login committer author".split())
_HOST_VARIABLES = frozenset("host hostname computername nodename".split())
_PERSON_VARIABLES = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL", "EMAIL")
_DIRECTORY_VARIABLES = ("HOME", "USERPROFILE", "PWD", "VIRTUAL_ENV")

# Endings of the names of variables that hold a secret, as a part of a word and as whole words; a number may
# follow, and then a word for its form.
_SECRET_PARTS = ("password", "secret", "token")
_SECRET_WORDS = tuple(
    f"_{word}"
    for word in (
        "secrets tokens pass passwd passphrase pwd pw credential credentials creds auth salt cookie jwt pat pin "
        "bearer key keys apikey accesskey access_key_id access_keyid accesskey_id accesskeyid dsn connection_string "
        "connectionstring conn_str connstr license licence otp"
    ).split()
)
_FORMS = frozenset("base64 b64 hex raw value prod production staging dev test".split())
# Exceptions, which hold a place or a number. The first are whole names.
_PLACES = frozenset("pwd oldpwd gpg_key ssh_key".split())
_NO_SECRETS = tuple(
    f"{word}{key}"
    for word in ("public", "foreign", "primary", "sort", "partition", "host")
    for key in ("key", "keys", "_key", "_keys")
)
# Values that say how a secret is used; shorter ones are none.
_PLAIN_VALUES = frozenset("enabled disabled default required optional".split())

# Patterns as texts: few environments need one, and all are not to pay in `init` for compiling them.
_URL = r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:(?P<login>[^/?#\s]*)@)?(?P<hosts>[^/?#\s]*)(?:/(?P<database>[\w.-]+))?"
_WEB = frozenset("http https ws wss file".split())
_SETTING = (
    r"\b(?P<key>user(?:\s?id|name)?|uid|password|pwd|host|hostaddr|server|data source|dbname|database|initial catalog"
    r"|accountkey|sharedaccesskey)\s*=\s*(?:'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>[^\"]*)\"|\{(?P<braced>[^}]*)\}|(?P<bare>[^\s;,]+))"
)
_KIND_OF_SETTING = {
    **dict.fromkeys(("user", "userid", "user id", "username", "uid"), "user"),
    **dict.fromkeys(("password", "pwd", "accountkey", "sharedaccesskey"), "secret"),
    **dict.fromkeys(("host", "hostaddr", "server", "data source"), "host"),
    **dict.fromkeys(("dbname", "database", "initial catalog"), "table"),
}
_PART = r"[^\s\"'`{}\[\],;]{8,}"

Found = tuple[str, str]
"""A kind and a name."""


def names_of_process(environ: Mapping[str, str], directory: str, host: str) -> Names:
    """Return the names that a process can tell by itself, at once.

    Args:
        environ: its environment.
        directory: its working directory; empty if that is gone.
        host: the name of the machine.
    """
    return gather(_found(environ, directory, host))


def names_of_this_process() -> Names:
    """Return the names that this process can tell by itself."""
    try:
        directory = os.getcwd()  # noqa: PTH109 a Path is of no use here
    except OSError:
        directory = ""
    return names_of_process(os.environ, directory, os.uname().nodename)


def gather(found: Iterable[Found]) -> Names:
    """Gather names by kind, each once, and no more than may travel."""
    pieces = dict.fromkeys((kind, piece) for kind, name in found for piece in _pieces(kind, name) if len(piece) > 1)
    names: Names = {}
    left_characters = MAX_NAMES_CHARACTERS
    for kind, piece in sorted(pieces, key=lambda pair: pair[0] != "secret")[:MAX_NAMES]:
        left_characters -= len(piece)
        if left_characters >= 0:
            names.setdefault(kind, []).append(piece)
    return names


def directory_names(directory: str) -> Iterator[Found]:
    """Yield a directory as a whole, and its last two components."""
    components = [component for component in directory.replace("\\", "/").split("/") if component]
    if not components:
        return
    yield "path", directory.rstrip("/\\")
    yield from (("path", component) for component in components[-2:])


def home_names(home: str) -> Iterator[Found]:
    """Yield a home as a whole, and the user's name at its end."""
    directory = home.rstrip("/\\")
    if directory.strip("/\\"):
        yield "path", directory
        yield "user", directory.replace("\\", "/").rpartition("/")[2]


def host_names(host: str) -> Iterator[Found]:
    """Yield a host's whole name and each of its labels; an address has none."""
    yield "host", host
    if not _is_address(host):
        yield from (("host", label) for label in host.split("."))


def person_names(text: str) -> Iterator[Found]:
    """Yield a person's full name and its parts, or a mail address without the domain, which is everybody's."""
    name = text.partition("@")[0]
    yield "user", name
    yield from (("user", part) for part in re.split(r"[\s.,_+-]+", name))


def _found(environ: Mapping[str, str], directory: str, host: str) -> Iterator[Found]:
    yield from host_names(host)
    yield from directory_names(directory)
    for variable in _PERSON_VARIABLES:
        if name := environ.get(variable):
            yield from person_names(name)
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
    if _says_secret(variable) and not (value.startswith("/") and value.count("/") > 1):
        yield from _secret(value)
    if "://" in value:
        yield from _of_urls(value, private=variable.endswith("proxy"))
    if "=" in value:
        yield from _of_settings(value)


def _says_secret(variable: str) -> bool:
    """Tell whether a variable of that name, in small letters, holds a secret."""
    if variable in _PLACES or variable.endswith(_NO_SECRETS):
        return False
    name, _, form = variable.rpartition("_")
    name = name if form in _FORMS else variable
    without_number = name.rstrip("0123456789")
    if without_number != name:
        name = without_number.removesuffix("_")
    return name.endswith(_SECRET_PARTS) or f"_{name}".endswith(_SECRET_WORDS)


def _is_address(host: str) -> bool:
    digits, address = set("0123456789."), set(host.partition("%")[0])
    return digits.issuperset(host) or (":" in address and address <= digits | set("abcdefABCDEF:"))


def _secret(value: str) -> Iterator[Found]:
    yield from _if_secret(value)
    parts = re.findall(_PART, value)
    if parts != [value]:  # a key of several lines, a header, JSON
        for part in parts:
            yield from _if_secret(part)


def _if_secret(value: str) -> Iterator[Found]:
    if len(value) >= MIN_SECRET_CHARACTERS and value.lower() not in _PLAIN_VALUES:
        yield "secret", value


def _of_urls(value: str, *, private: bool) -> Iterator[Found]:
    for url in re.finditer(_URL, value, re.IGNORECASE):
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
    for setting in re.finditer(_SETTING, value, re.IGNORECASE):
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
    """Return a name as it may travel: a long secret in even pieces, because a few letters would be found everywhere."""
    plain = name.strip().encode(errors="replace").decode()  # lone surrogates can't be packed
    if kind != "secret" or not plain:
        return [plain[:MAX_CHARACTERS]]
    number = -(-len(plain) // MAX_CHARACTERS)
    size = -(-len(plain) // number)
    return [plain[start : start + size] for start in range(0, len(plain), size)]
