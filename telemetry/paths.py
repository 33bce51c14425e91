"""Where things lie on this machine. Standard library only: the host imports it.

`TELEMETRY_HOME` moves all of it under one directory: `config/`, `state/`, `cache/` and `run/`. Otherwise the choice of
the user lies with the configuration, spools with the state (XDG; on macOS ~/Library), sockets in the runtime directory.
In a directory that is not ours alone, as a volume of a pod seldom is, all lies in a private one inside it,
`telemetry-<uid>/`; but a choice that is found in its usual place counts.

A variable that holds no absolute path is ignored, as XDG asks: host, shipper and commands each stand elsewhere.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.errors import ConfigError
from telemetry.native import open_file, posix
from telemetry.settings import ShipperSettings
from telemetry.wire import HANDOVER_SOCKET, PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Iterable

# In a rendezvous directory, beside the sockets of `wire`.
LOCK_FILE = "lock"  # held by the shipper, its pid inside
SHOWN = b"\n"  # ends the pid of one that holds a record lock as well, which can be seen without taking one
CONFIG_FILE = "shipper.json"  # what a producer tells the shipper it spawns

# The folders of a spool that producers write to.
ENDPOINT_FILE = "endpoint"  # in a spool: where it is uploaded to, for who looks
TOMBSTONES = "tombstones"
LIVING = "living"

_DEFAULTS = ShipperSettings()

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 private_dir checks what is made there

_MAX_SECRET_BYTES = 1 << 20  # a chain of certificates has some KiB
_SOCKET_PATH_BYTES = 100  # sun_path holds 104 bytes on macOS, 108 on Linux; names below take their part


def config_dir() -> Path:
    """The directory of the user's choices.

    Raises:
        RuntimeError: this user has no home directory. Nobody's choice is read from a place that others may write.
    """
    return _under_home("config", "XDG_CONFIG_HOME", ".config")


def state_dir() -> Path:
    """The directory of the spools; for a user without a home that can be written, a private one among temporary files.

    Many a container has no such home, or HOME=/, and writes nowhere but in memory.
    """
    return _home_or_temporary("state", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """The directory of what takes time to make and can be made again; without a home, as for `state_dir`."""
    return _home_or_temporary("cache", "XDG_CACHE_HOME", ".cache")


def runtime_root() -> Path:
    """The directory of sockets and locks, one directory per rendezvous below it."""
    if home := _from_environment("TELEMETRY_HOME"):
        return _in_home(home, "run")
    # Under sudo and su the variable may still name another user's.
    if (runtime := _from_environment("XDG_RUNTIME_DIR")) and _is_for_us(runtime):
        return runtime / "telemetry"
    return _temporary()


def short_root() -> Path:
    """The directory of those rendezvous whose path would be too long elsewhere."""
    return _first_usable(map(Path, _TEMPORARY))


def consent_file(product: str) -> Path:
    """Where the user's choice for `product` is stored."""
    return config_dir() / product / "consent.json"


def product_dir(product: str) -> Path:
    """The directory that holds the product's spools, one for each endpoint."""
    return state_dir() / product


def spool_dir(product: str, endpoint: str) -> Path:
    """The spool of what `product` sends to `endpoint`."""
    return product_dir(product) / f"spool-{_digest(endpoint)}"


def rendezvous_dir(product: str, catalog_digest: str, endpoint: str, settings: ShipperSettings = _DEFAULTS) -> Path:
    """Where the producers of one user, product, catalog, endpoint and settings meet the shipper that they spawn.

    Those of another protocol meet elsewhere: an old shipper and a new producer have nothing to say to each other.
    A path that can't be a socket's name, too long or no UTF-8, falls back to a short one.
    """
    return _meeting_place(product, f"{catalog_digest}\0{endpoint}\0{settings.identity}")


def foreground_dir(product: str, endpoint: str) -> Path:
    """Where a shipper in the foreground is met by the producers of its user, product and endpoint.

    By all of them, whatever their catalog and settings: somebody has written down how this product is shipped. While
    one runs here, no other is spawned for the product and endpoint, and one that was leaves.
    """
    return _meeting_place(product, endpoint)


def _meeting_place(product: str, of: str) -> Path:
    what = f"{os.getuid()}\0{product}\0{of}\0{PROTOCOL}"
    # Below a home that was named, spools lie beside it wherever that is mounted; elsewhere they may be anywhere.
    where = "" if _from_environment("TELEMETRY_HOME") else str(state_dir())
    name = _digest(f"{what}\0{where}")
    path = runtime_root() / f"{product[:24]}-{name}"
    if _can_name_a_socket(path / HANDOVER_SOCKET):
        return path
    return short_root() / _digest(f"{what}\0{state_dir()}")


def private_dir(path: Path) -> None:
    """Make `path` and its parents, 0700, unless they stand; refuse one that another user can reach or replace.

    Raises:
        OSError: it can't be made. PermissionError: `path` is a symbolic link, belongs to another user, or is open to
            others; or a parent of it is such that another user could put something else in its place.
    """
    if not path.exists():
        check_parents(path)  # nothing is made in a place that is somebody else's
        _make(path)
    check_private(path)


def check_private(path: Path) -> None:
    """Check what `private_dir` would refuse, as far as it stands; makes nothing.

    Raises:
        PermissionError: as `private_dir`.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(
                f"{path} must be a directory of user {os.getuid()} alone (mode 0700): remove it or mend its mode"
            )
    check_parents(path)


def is_open_to_others(found: os.stat_result) -> bool:
    """Whether somebody else owns it or may write it; root may do so anyway."""
    by_group = 0 if found.st_gid == os.getegid() else stat.S_IWGRP  # Debian gives each user a group of their own
    return found.st_uid not in {0, os.getuid()} or bool(found.st_mode & (stat.S_IWOTH | by_group))


def check_parents(path: Path) -> None:
    """Refuse a path that another user could put something else in place of, by its parents as named and behind links.

    Raises:
        PermissionError: a parent that stands belongs to another user, or others may write there and it is not sticky.
    """
    for whole in dict.fromkeys((path, path.resolve())):
        for inner, outer in pairwise((whole, *whole.parents)):
            try:
                found = outer.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if is_open_to_others(found):
                _check_open_parent(inner, outer, found, path)


def _check_open_parent(inner: Path, outer: Path, found: os.stat_result, path: Path) -> None:
    """Who may write in a directory may rename what is in it, unless the directory is sticky.

    That nobody does is the word of who gave us a volume, and only for the private directory that we make in it.
    """
    if found.st_uid not in {0, os.getuid()}:
        raise PermissionError(f"{outer} belongs to another user, who could replace {path}: choose another place")
    if not found.st_mode & stat.S_ISVTX and not (inner.name == _own_name() and _is_given(outer)):
        raise PermissionError(f"others may write in {outer} and could replace {path}: chmod +t or go-w it")
    if os.path.lexists(inner) and inner.lstat().st_uid not in {0, os.getuid()}:
        raise PermissionError(f"{inner} belongs to another user, who could replace {path}: remove it")


def private_file(path: Path, flags: int) -> int:
    """Open a file of a private directory, making it, 0600, when `flags` say so; never blocks.

    The caller closes the descriptor.

    Raises:
        OSError: it can't be opened. PermissionError: it is no file, a link, or another user's; what others have put
            there is neither read nor written.
    """
    file = posix.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and found.st_nlink <= 1:
        return file
    os.close(file)
    raise PermissionError(f"{path} must be a file of user {os.getuid()}, and no link: remove it")


def write_private(path: Path, data: bytes) -> None:
    """Write a file of a private directory, 0600, in one step: a reader meets all of it or nothing.

    Raises:
        OSError: the disk refuses, or is full; then nothing is left.
    """
    # Not of our pid: in another pid namespace somebody else has it.
    new = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    file = private_file(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        written = posix.write(file, data)
    except OSError:
        written = 0
    finally:
        os.close(file)
    if written < len(data):  # the disk is full: a part would be taken for the whole
        new.unlink()
        raise OSError(f"{path} can't be written")
    new.replace(path)


def read_secret(path: Path, name: str) -> bytes:
    """What is in a file with a secret, one that only we, and root, can read, or that root gave to our group to read.

    Args:
        path: of the file, or of a link to it.
        name: of the setting that names it, for the error.

    Raises:
        ConfigError: it can't be read, or others can read it.
    """
    try:
        file = posix.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open_file(file, "rb") as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{name}={str(path)!r}: is no file; name one")
            if found.st_uid not in {0, os.getuid()}:
                raise ConfigError(f"{name}={str(path)!r}: belongs to another user; chown it to user {os.getuid()}")
            if found.st_mode & 0o077 & ~_given_to_our_group(found):
                mode = stat.S_IMODE(found.st_mode)
                raise ConfigError(f"{name}={str(path)!r}: others can read it (mode {mode:o}); chmod 600 it")
            return opened.read(_MAX_SECRET_BYTES)
    except OSError as fault:
        reason = os.strerror(fault.errno or 0)
        raise ConfigError(f"{name}={str(path)!r}: {reason}; name a file that user {os.getuid()} can read") from None
    except ValueError:
        raise ConfigError(f"{name}={str(path)!r}: no file can have that name; name one that is there") from None


def _given_to_our_group(found: os.stat_result) -> int:
    """The bit of a mode by which root lets a user read what only root may change, as in a pod's volume of secrets."""
    is_given = found.st_uid == 0 != os.getuid() and found.st_gid in {os.getegid(), *os.getgroups()}
    return stat.S_IRGRP if is_given else 0


def _make(path: Path) -> None:
    if not path.parent.exists():
        _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def _under_home(part: str, variable: str, default: str) -> Path:
    if home := _from_environment("TELEMETRY_HOME"):
        return _in_home(home, part)
    if base := _from_environment(variable):
        return _inside(base, Path("telemetry"), part)
    home = _own_home()
    if not home.is_absolute():
        raise RuntimeError(f"HOME={str(home)!r} is no absolute path")
    mac = Path("Library", "Application Support", "telemetry", part)
    return _inside(home, mac if sys.platform == "darwin" else Path(default, "telemetry"), part)


def _in_home(home: Path, part: str) -> Path:
    """A part of the directory that `TELEMETRY_HOME` names. Users may share one that is none of theirs."""
    us = os.getuid()
    is_taken = part != "config" and _owner_of(home / part) not in {None, 0, us} and _owner_of(home) != us
    return home / _own_name() / part if is_taken else _inside(home, Path(part), part)


def _inside(base: Path, usual: Path, part: str) -> Path:
    """The usual place in a directory; in our private part of it, if it was given to us and to others.

    An emptyDir of a pod belongs to root, and everybody may write in it; with an fsGroup, its group may. In a sticky
    directory nobody can replace what is another's, and whoever came first would keep the usual names for himself.
    """
    if _is_shared(base) and not (part == "config" and os.path.lexists(base / usual)):
        return base / _own_name() / usual
    return base / usual


def _is_shared(directory: Path) -> bool:
    """Whether it was given to us and to others, who may make something in it."""
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


def _is_given(directory: Path) -> bool:
    """Whether somebody who knows who is here has given it to us: they named it, or mounted it as a volume."""
    named = _from_environment("TELEMETRY_HOME")
    return directory.is_mount() or (named is not None and named.exists() and directory.samefile(named))


def _own_name() -> str:
    return f"telemetry-{os.getuid()}"


def _own_home() -> Path:
    """What HOME says, unless it is another user's and closed to us, as after a server has dropped its privileges."""
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
    """What `TELEMETRY_HOME` names is taken as it is: somebody has chosen it."""
    try:
        path = _under_home(part, variable, default)
    except RuntimeError:
        return _temporary() / part
    return path if _from_environment("TELEMETRY_HOME") or _can_be_ours(path) else _temporary() / part


def _from_environment(variable: str) -> Path | None:
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else None


def _temporary() -> Path:
    """A directory of ours below one that everybody may write: only what `private_dir` has passed may be trusted."""
    return _first_usable([*filter(None, [_from_environment("TMPDIR")]), *map(Path, _TEMPORARY)])


def _first_usable(roots: Iterable[Path]) -> Path:
    paths = [root / _own_name() for root in roots]
    return next(filter(_can_be_ours, paths), paths[0])


def _is_for_us(runtime: Path) -> bool:
    try:
        return runtime.stat().st_uid == os.getuid() and _can_be_ours(runtime / "telemetry")
    except OSError:
        return False


def _can_be_ours(path: Path) -> bool:
    """Whether `path` is a directory that we may write in, or can be made; not where it would be in another user's."""
    nearest = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
    try:
        owner = nearest.stat().st_uid
    except OSError:
        return False
    return owner in {0, os.getuid()} and nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _can_name_a_socket(path: Path) -> bool:
    try:
        return len(str(path).encode()) <= _SOCKET_PATH_BYTES
    except UnicodeEncodeError:
        return False


def _digest(text: str) -> str:
    from telemetry.digest import sha256_hex  # noqa: PLC0415 with consent off nothing is digested

    # Paths that are no UTF-8 come from the environment with lone surrogates.
    return sha256_hex(text.encode(errors="surrogatepass"))[:16]
