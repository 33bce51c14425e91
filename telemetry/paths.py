"""Where things lie on this machine. Standard library only: the host imports it.

`TELEMETRY_HOME` moves all of it under one directory: `config/`, `state/`, `cache/` and `run/`. Otherwise the choice of
the user lies with the configuration, spools with the state (XDG; on macOS ~/Library), sockets in the runtime directory.

A variable that holds no absolute path is ignored, as XDG asks: host, shipper and commands each stand elsewhere.
"""

from __future__ import annotations

import os
import stat
import sys
from itertools import pairwise
from pathlib import Path

from telemetry.errors import ConfigError
from telemetry.wire import HANDOVER_SOCKET, PROTOCOL

# In a rendezvous directory, beside the sockets of `wire`.
LOCK_FILE = "lock"  # held by the shipper, its pid inside
CONFIG_FILE = "shipper.json"  # what a producer tells the shipper it spawns
REFUSED_FILE = "refused"  # why the last one could not start

TOMBSTONES = "tombstones"  # the folder of a spool that producers write to

_MAX_SECRET_BYTES = 1 << 20  # a chain of certificates has some KiB
_SOCKET_PATH_BYTES = 100  # sun_path holds 104 bytes on macOS, 108 on Linux; names below take their part


def config_dir() -> Path:
    """The directory of the user's choices.

    Raises:
        RuntimeError: this user has no home directory. Nobody's choice is read from a place that others may write.
    """
    return _under_home("config", "XDG_CONFIG_HOME", ".config")


def state_dir() -> Path:
    """The directory of the spools; for a user without a home, a private one among the temporary files."""
    return _home_or_temporary("state", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """The directory of what takes time to make and can be made again; without a home as for `state_dir`."""
    return _home_or_temporary("cache", "XDG_CACHE_HOME", ".cache")


def runtime_root() -> Path:
    """The directory of sockets and locks, one directory per rendezvous below it."""
    if home := _from_environment("TELEMETRY_HOME"):
        return home / "run"
    # Under sudo and su the variable may still name another user's.
    if (runtime := _from_environment("XDG_RUNTIME_DIR")) and _belongs_to_us(runtime):
        return runtime / "telemetry"
    return _temporary()


def consent_file(product: str) -> Path:
    """Where the user's choice for `product` is stored."""
    return config_dir() / product / "consent.json"


def product_dir(product: str) -> Path:
    """The directory that holds the product's spools, one for each endpoint."""
    return state_dir() / product


def spool_dir(product: str, endpoint: str) -> Path:
    """The spool of what `product` sends to `endpoint`."""
    return product_dir(product) / f"spool-{_digest(endpoint)}"


def rendezvous_dir(product: str, catalog_digest: str, endpoint: str) -> Path:
    """Where the producers of one user, product, catalog and endpoint meet their shipper.

    Those of another protocol meet elsewhere: an old shipper and a new producer have nothing to say to each other.
    A path that can't be a socket's name, too long or no UTF-8, falls back to a short one of the same digest.
    """
    name = _digest(f"{os.getuid()}\0{product}\0{catalog_digest}\0{endpoint}\0{state_dir()}\0{PROTOCOL}")
    path = runtime_root() / f"{product[:24]}-{name}"
    if _can_name_a_socket(path / HANDOVER_SOCKET):
        return path
    return Path("/tmp") / f"telemetry-{os.getuid()}" / name  # noqa: S108 private_dir checks owner and mode


def private_dir(path: Path) -> None:
    """Make `path` and its parents, 0700, unless they stand; refuse one that another user can reach or replace.

    Raises:
        OSError: it can't be made. PermissionError: `path` is a symbolic link, belongs to another user, or is open to
            others; or a parent of it is such that another user could put something else in its place.
    """
    if not path.exists():
        _check_parents(path)  # nothing is made in a place that is somebody else's
        _make(path)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(
            f"{path} must be a directory of user {os.getuid()} alone (mode 0700): remove it or mend its mode"
        )
    _check_parents(path)


def is_open_to_others(found: os.stat_result) -> bool:
    """Whether somebody else owns it or may write it; root may do so anyway."""
    by_group = 0 if found.st_gid == os.getegid() else stat.S_IWGRP  # Debian gives each user a group of their own
    return found.st_uid not in {0, os.getuid()} or bool(found.st_mode & (stat.S_IWOTH | by_group))


def _check_parents(path: Path) -> None:
    """All that stand, as named and as they are behind links."""
    real = path.resolve()
    for inner, outer in {*pairwise((path, *path.parents)), *pairwise((real, *real.parents))}:
        if outer.exists() and is_open_to_others(outer.stat()):
            _check_open_parent(inner, outer, path)


def _check_open_parent(inner: Path, outer: Path, path: Path) -> None:
    """Who may write in a directory may rename what is in it, unless the directory is sticky."""
    found = outer.stat()
    if found.st_uid not in {0, os.getuid()}:
        raise PermissionError(f"{outer} belongs to another user, who could replace {path}: choose another place")
    if not found.st_mode & stat.S_ISVTX:
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
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
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
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)  # of a process that had this pid, and was killed
    file = private_file(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        written = os.write(file, data)
    except OSError:
        written = 0
    finally:
        os.close(file)
    if written < len(data):  # the disk is full: a part would be taken for the whole
        new.unlink()
        raise OSError(f"{path} can't be written")
    new.replace(path)


def read_secret(path: Path, name: str) -> bytes:
    """What is in a file with a secret, one that only we, and root, can read.

    Args:
        path: of the file, or of a link to it.
        name: of the setting that names it, for the error.

    Raises:
        ConfigError: it can't be read, or others can read it.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{name}={str(path)!r}: is no file; name one")
            if found.st_uid not in {0, os.getuid()}:
                raise ConfigError(f"{name}={str(path)!r}: belongs to another user; chown it to user {os.getuid()}")
            if found.st_mode & 0o077:
                mode = stat.S_IMODE(found.st_mode)
                raise ConfigError(f"{name}={str(path)!r}: others can read it (mode {mode:o}); chmod 600 it")
            return opened.read(_MAX_SECRET_BYTES)
    except OSError as fault:
        reason = os.strerror(fault.errno or 0)
        raise ConfigError(f"{name}={str(path)!r}: {reason}; name a file that user {os.getuid()} can read") from None
    except ValueError:
        raise ConfigError(f"{name}={str(path)!r}: no file can have that name; name one that is there") from None


def _make(path: Path) -> None:
    if not path.parent.exists():
        _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def _under_home(part: str, variable: str, default: str) -> Path:
    if home := _from_environment("TELEMETRY_HOME"):
        return home / part
    if base := _from_environment(variable):
        return base / "telemetry"
    home = Path.home()
    if not home.is_absolute():
        raise RuntimeError(f"HOME={str(home)!r} is no absolute path")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "telemetry" / part
    return home / default / "telemetry"


def _home_or_temporary(part: str, variable: str, default: str) -> Path:
    try:
        return _under_home(part, variable, default)
    except RuntimeError:
        return _temporary() / part


def _from_environment(variable: str) -> Path | None:
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else None


def _temporary() -> Path:
    """A directory of ours below one that everybody may write: only what `private_dir` has passed may be trusted."""
    return (_from_environment("TMPDIR") or Path("/tmp")) / f"telemetry-{os.getuid()}"  # noqa: S108 see above


def _belongs_to_us(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid()
    except OSError:
        return False


def _can_name_a_socket(path: Path) -> bool:
    try:
        return len(str(path).encode()) <= _SOCKET_PATH_BYTES
    except UnicodeEncodeError:
        return False


def _digest(text: str) -> str:
    import hashlib  # noqa: PLC0415 loads OpenSSL: 14 ms that only an init may cost

    # Paths that are no UTF-8 come from the environment with lone surrogates.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
