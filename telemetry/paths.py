"""Where things lie on this machine. Standard library only: the host imports it.

`TELEMETRY_HOME` moves all of it under one directory: `config/`, `state/` and `run/`. Otherwise the choice of the user
lies with the configuration, spools with the state (XDG; on macOS ~/Library), sockets in the runtime directory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_SOCKET_PATH_BYTES = 100  # sun_path holds 104 bytes on macOS, 108 on Linux; names below take their part


def config_dir() -> Path:
    """The directory of the user's choices."""
    return _under_home("config", "XDG_CONFIG_HOME", ".config")


def state_dir() -> Path:
    """The directory of the spools."""
    return _under_home("state", "XDG_STATE_HOME", ".local/state")


def runtime_root() -> Path:
    """The directory of sockets and locks, one directory per rendezvous below it."""
    if home := os.environ.get("TELEMETRY_HOME"):
        return Path(home) / "run"
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "telemetry"
    return Path(os.environ.get("TMPDIR", "/tmp")) / f"telemetry-{os.getuid()}"  # noqa: S108 see private_dir


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

    A path too long for a socket's name falls back to a short one of the same digest.
    """
    name = _digest(f"{os.getuid()}\0{product}\0{catalog_digest}\0{endpoint}\0{state_dir()}")
    path = runtime_root() / f"{product[:24]}-{name}"
    if len(os.fsencode(path / "control.sock")) <= _SOCKET_PATH_BYTES:
        return path
    return Path("/tmp") / f"telemetry-{os.getuid()}" / name  # noqa: S108 private_dir checks owner and mode


def private_dir(path: Path) -> None:
    """Make `path` and its parents, 0700, unless they stand; refuse one that is not ours alone.

    Raises:
        PermissionError: `path` is a symbolic link, belongs to another user, or is open to others.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(
            f"{path} must be a directory of user {os.getuid()} alone (mode 0700): remove it or mend its mode"
        )


def _under_home(part: str, variable: str, default: str) -> Path:
    if home := os.environ.get("TELEMETRY_HOME"):
        return Path(home) / part
    if base := os.environ.get(variable):
        return Path(base) / "telemetry"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "telemetry" / part
    return Path.home() / default / "telemetry"


def _digest(text: str) -> str:
    import hashlib  # noqa: PLC0415 loads OpenSSL: 14 ms that only an init may cost

    return hashlib.sha256(text.encode()).hexdigest()[:16]
