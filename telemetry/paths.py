"""Where things lie on this machine. Standard library only: the host imports it.

`TELEMETRY_HOME` moves all of it under one directory: `config/`, `state/`, `cache/` and `run/`. Otherwise the choice of
the user lies with the configuration, spools with the state (XDG; on macOS ~/Library), sockets in the runtime directory.

A variable that holds no absolute path is ignored, as XDG asks: host, shipper and commands each stand elsewhere.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

from telemetry.wire import CONTROL_SOCKET, PROTOCOL

# In a rendezvous directory, beside the sockets of `wire`.
LOCK_FILE = "lock"  # held by the shipper, its pid inside
CONFIG_FILE = "shipper.json"  # what a producer tells the shipper it spawns
REFUSED_FILE = "refused"  # why the last one could not start

TOMBSTONES = "tombstones"  # the folder of a spool that producers write to

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
    if _can_name_a_socket(path / CONTROL_SOCKET):
        return path
    return Path("/tmp") / f"telemetry-{os.getuid()}" / name  # noqa: S108 private_dir checks owner and mode


def private_dir(path: Path) -> None:
    """Make `path` and its parents, 0700, unless they stand; refuse one that another user can reach or replace.

    Raises:
        OSError: it can't be made. PermissionError: `path` is a symbolic link, belongs to another user, or is open to
            others; or a parent of it, in a directory that everybody may write, is somebody else's.
    """
    _make(path)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(
            f"{path} must be a directory of user {os.getuid()} alone (mode 0700): remove it or mend its mode"
        )
    for inner, outer in pairwise(path.parents):
        if outer.stat().st_mode & 0o002 and inner.lstat().st_uid not in {0, os.getuid()}:
            raise PermissionError(f"{inner} belongs to another user, who could replace {path}: remove it")


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
