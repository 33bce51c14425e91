"""Places of files on this machine. Standard library only: the host imports it.

`TELEMETRY_HOME` moves all of it under one directory: `config/`, `state/`, `cache/` and `run/`. Otherwise the user's
choice lies with the configuration, spools with the state (XDG; on macOS ~/Library), sockets in the runtime directory.
In a directory that is not ours alone, as a volume of a pod seldom is, everything lies in a private one inside it,
`telemetry-<uid>/`; but a choice that is found in its usual place counts.

A variable that holds no absolute path is ignored, as XDG asks: host, shipper and commands have different working
directories.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ENDPOINT_FILE = "endpoint"  # in a spool: the endpoint of its uploads, for commands

ACTIVITY = "active-"  # beside the spools: how the names of the files of `activity_file` begin

# The folders of a spool that producers write to.
TOMBSTONES = "tombstones"
LIVING = "living"

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 `files.private_dir` checks what is made there


def config_dir() -> Path:
    """Return the directory of the user's choices.

    Raises:
        RuntimeError: this user has no home directory. Nobody's choice is read from a place that others may write.
    """
    return _under_home("config", "XDG_CONFIG_HOME", ".config")


def state_dir() -> Path:
    """Return the directory of the spools; without a home that can be written, a private one among temporary files.

    Many a container has no such home, or HOME=/, and writes nowhere but in memory.
    """
    return _home_or_temporary("state", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """Return the directory of files that are slow to make and can be made again; without a home, as for `state_dir`."""
    return _home_or_temporary("cache", "XDG_CACHE_HOME", ".cache")


def runtime_root() -> Path:
    """Return the directory of sockets and locks, with one directory per rendezvous below it."""
    if home := named_home():
        return _in_home(home, "run")
    # Under sudo and su the variable may still name another user's.
    if (runtime := _from_environment("XDG_RUNTIME_DIR")) and _is_for_us(runtime):
        return runtime / "telemetry"
    return _temporary()


def short_root() -> Path:
    """Return the directory of those rendezvous whose path would be too long elsewhere."""
    return _first_usable(map(Path, _TEMPORARY))


def consent_file(product: str) -> Path:
    """Return the file of the user's choice for `product`."""
    return config_dir() / product / "consent.json"


def product_dir(product: str) -> Path:
    """Return the directory that holds the product's spools, one for each endpoint."""
    return state_dir() / product


def spool_dir(product: str, endpoint: str, lane: int = 0) -> Path:
    """Return the directory of the spool of what `product` sends to `endpoint`, of one of the shippers side by side."""
    return product_dir(product) / f"spool-{short_digest(endpoint)}{f'-{lane}' if lane else ''}"


def log_name(lane: int = 0) -> str:
    """Return the name of the log of spawned shippers in the product's directory; `.1` follows when it is rotated."""
    return f"shipper{f'-{lane}' if lane else ''}.log"


def spools_of(product: str, lane: int | None = None) -> list[Path]:
    """Return the product's spools, one for each endpoint and lane; with `lane`, those of that one alone."""
    found = sorted(product_dir(product).glob("spool-*"))
    return [spool for spool in found if lane in {None, lane_of(spool)}]


def spools_beside(spool: Path) -> list[Path]:
    """Return the spools of the other lanes of a spool's product and endpoint."""
    name = _endpoint_of(spool)
    return sorted(other for other in spool.parent.glob(f"{name}*") if other != spool and _endpoint_of(other) == name)


def lane_of(spool: Path) -> int:
    """Return the lane of a spool."""
    lane = spool.name.removeprefix(_endpoint_of(spool)).removeprefix("-")
    return int(lane) if lane.isdecimal() else 0


def _endpoint_of(spool: Path) -> str:
    """Return the part of a spool's name that all lanes of its endpoint share."""
    return "-".join(spool.name.split("-")[:2])


def activity_file(product: str, endpoint: str) -> Path:
    """Return the file with the day on which `product` last sent anything to `endpoint`."""
    return product_dir(product) / f"{ACTIVITY}{short_digest(endpoint)}"


def named_home() -> Path | None:
    """Return the directory that `TELEMETRY_HOME` names for everything; None where it names none."""
    return _from_environment("TELEMETRY_HOME")


def own_name() -> str:
    """Return the name of this user's private directory among those of others."""
    return f"telemetry-{os.getuid()}"


def is_given(directory: Path) -> bool:
    """Tell whether a directory was given to us by somebody who knows: it was named, or mounted as a volume."""
    named = named_home()
    return directory.is_mount() or (named is not None and named.exists() and directory.samefile(named))


def short_digest(text: str) -> str:
    """Return a digest of a text in 16 hexadecimal digits, for use as a name."""
    from telemetry.digest import sha256_hex  # noqa: PLC0415 with consent off nothing is digested

    # Paths that are no UTF-8 come from the environment with lone surrogates.
    return sha256_hex(text.encode(errors="surrogatepass"))[:16]


def is_open_to_others(found: os.stat_result) -> bool:
    """Tell whether another user owns a file or may write it; root may do so anyway."""
    by_group = 0 if found.st_gid == os.getegid() else stat.S_IWGRP  # Debian gives each user a group of their own
    return found.st_uid not in {0, os.getuid()} or bool(found.st_mode & (stat.S_IWOTH | by_group))


def _under_home(part: str, variable: str, default: str) -> Path:
    if home := named_home():
        return _in_home(home, part)
    if base := _from_environment(variable):
        return _inside(base, Path("telemetry"), part)
    home = _own_home()
    if not home.is_absolute():
        raise RuntimeError(f"HOME={str(home)!r} is no absolute path")
    mac = Path("Library", "Application Support", "telemetry", part)
    return _inside(home, mac if sys.platform == "darwin" else Path(default, "telemetry"), part)


def _in_home(home: Path, part: str) -> Path:
    """Return a part of the directory that `TELEMETRY_HOME` names. Users may share one that is none of theirs."""
    us = os.getuid()
    is_taken = part != "config" and _owner_of(home / part) not in {None, 0, us} and _owner_of(home) != us
    return home / own_name() / part if is_taken else _inside(home, Path(part), part)


def _inside(base: Path, usual: Path, part: str) -> Path:
    """Return the usual place in a directory; in our private part of it, if it was given to us and to others.

    An emptyDir of a pod belongs to root, and everybody may write in it; with an fsGroup, its group may. In a sticky
    directory nobody can replace another's files, and the first user to come would keep the usual names.
    """
    if _is_shared(base) and not (part == "config" and os.path.lexists(base / usual)):
        return base / own_name() / usual
    return base / usual


def _is_shared(directory: Path) -> bool:
    """Tell whether a directory was given to us and to others, who may make something in it."""
    try:
        found = directory.stat()
    except OSError:
        return False  # we are to make it
    is_trap = found.st_uid not in {0, os.getuid()}
    return not is_trap and is_open_to_others(found)


def _owner_of(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _own_home() -> Path:
    """Return the home by HOME, unless it is another user's and closed to us.

    A server may have dropped its privileges.
    """
    home = Path.home()
    with suppress(OSError):
        if home.stat().st_uid != os.getuid() and not os.access(home, os.X_OK):
            import pwd  # noqa: PLC0415 next to nobody needs it

            try:
                return Path(pwd.getpwuid(os.getuid()).pw_dir)
            except KeyError:
                raise RuntimeError(f"user {os.getuid()} has no home") from None
    return home


def _home_or_temporary(part: str, variable: str, default: str) -> Path:
    """Return a directory that `TELEMETRY_HOME` names, as chosen; otherwise one in the home, or a temporary one."""
    try:
        path = _under_home(part, variable, default)
    except RuntimeError:
        return _temporary() / part
    return path if named_home() or _can_be_ours(path) else _temporary() / part


def _from_environment(variable: str) -> Path | None:
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else None


def _temporary() -> Path:
    """Return a directory of ours below one that all may write; only what `private_dir` has passed may be trusted."""
    return _first_usable([*filter(None, [_from_environment("TMPDIR")]), *map(Path, _TEMPORARY)])


def _first_usable(roots: Iterable[Path]) -> Path:
    paths = [root / own_name() for root in roots]
    return next(filter(_can_be_ours, paths), paths[0])


def _is_for_us(runtime: Path) -> bool:
    try:
        return runtime.stat().st_uid == os.getuid() and _can_be_ours(runtime / "telemetry")
    except OSError:
        return False


def _can_be_ours(path: Path) -> bool:
    """Tell whether `path` is a directory that we may write in, or can be made; not inside another user's."""
    nearest = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
    try:
        owner = nearest.stat().st_uid
    except OSError:
        return False
    return owner in {0, os.getuid()} and nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
