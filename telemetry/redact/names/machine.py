"""Names that are the same for every process of this user on this machine: people, hosts, addresses.

They are looked up by the shipper and the commands, which may wait for a moment; no name server is asked.
"""

from __future__ import annotations

import os
import pwd
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from telemetry.names import Found, Names, gather, home_names, host_names, names_of_this_process, person_names

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_ADDRESSES = 64
"""The number of addresses looked at: with more, a machine hosts containers, whose bridges' addresses do not matter."""
_MAX_FILE_BYTES = 64 << 10
_GIT_PERSON = re.compile(r"^\s*(?:name|email)\s*=\s*\"?(?P<value>[^\"#;\n]+)", re.MULTILINE)
_GIT_USER = re.compile(r"^\s*\[user\](?P<section>(?:\n(?!\s*\[).*)*)", re.MULTILINE)


def names_of_this_machine() -> Names:
    """Return this process's own names, this user's and this machine's, as far as they can be looked up."""
    own = [(kind, name) for kind, found in names_of_this_process().items() for name in found]
    return gather([*_addresses(), *_user(), *_hosts(), *own])


def git_names(config: str) -> Iterator[Found]:
    """Yield the names of the person in a configuration file of git."""
    for user in _GIT_USER.finditer(config):
        for person in _GIT_PERSON.finditer(user["section"]):
            yield from person_names(person["value"].strip())


def _user() -> Iterator[Found]:
    homes = [os.path.expanduser("~")]  # noqa: PTH111 one that is none is left out below
    with suppress(KeyError, OSError):
        entry = pwd.getpwuid(os.getuid())
        yield "user", entry.pw_name
        yield from person_names(entry.pw_gecos.partition(",")[0])
        homes.append(entry.pw_dir)
    for home in dict.fromkeys(homes):
        yield from home_names(home)
        for file in (".gitconfig", ".config/git/config"):
            yield from git_names(_read(Path(home) / file))


def _hosts() -> Iterator[Found]:
    """Yield this machine's names in its own files; the name with its domain needs no name server there."""
    names = {os.uname().nodename, _read(Path("/etc/hostname")).strip()}
    for line in _read(Path("/etc/hosts")).splitlines():
        words = line.partition("#")[0].split()[1:]
        if names & set(words):
            names.update(words)
    for name in sorted(filter(None, names)):
        yield from host_names(name)


def _addresses() -> Iterator[Found]:
    with suppress(Exception):  # where /proc or /sys is cut down, psutil raises what comes
        found = [address for addresses in psutil.net_if_addrs().values() for address in addresses]
        for address in found[:_MAX_ADDRESSES]:
            yield ("mac" if address.family == psutil.AF_LINK else "ip"), address.address


def _read(file: Path) -> str:
    """Return a small text file; an empty string if there is none."""
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_FILE_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        return ""
