"""What a shipper is told: by the producer that spawned it (JSON, private), or in the file of `telemetry ship --config`.

What a producer writes may be of another version: names that this one does not know are passed over, and what is missing
has its default. In a file that a person writes they are faults. It is TOML; paths in it are relative to it:

product = "acme-db"
catalog = "acme.toml"
endpoint = "https://t.acme.example/v1/batches"
segment_seconds = 5.0                     # and any other name of ShipperSettings

And, for hosts on other machines:

listen = "tcp://0.0.0.0:4381"
key_file = "shipper.key"                  # `telemetry keys shipper.key`
clients_file = "clients"                  # the hosts' public keys, one a line
"""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry.consent import check_product
from telemetry.endpoint import without_credentials
from telemetry.errors import ConfigError
from telemetry.settings import ShipperSettings, check_tcp, shown

if TYPE_CHECKING:
    from pathlib import Path

MAX_SECONDS = 1e9
"""Thirty years: what is longer overflows a timer."""

PRODUCERS_SUFFIX = ".json"

_REQUIRED = ("product", "catalog", "endpoint")
_FILES = ("ca_file", "client_certificate", "token_file")
_TIMEOUTS = ("connect_timeout_seconds", "read_timeout_seconds", "upload_timeout_seconds")


class Listen(NamedTuple):
    """Where to listen for hosts on other machines.

    Attributes:
        address: `tcp://HOST:PORT`.
        key_file: our secret key.
        clients_file: the public keys of those that may send.
    """

    address: str
    key_file: Path
    clients_file: Path


class ShipperConfig(NamedTuple):
    """What a shipper does, for whom, and how; `listen` is None when it is for this machine alone."""

    product: str
    catalog: Path
    endpoint: str
    settings: ShipperSettings
    listen: Listen | None = None


def read_config(path: Path) -> ShipperConfig:
    """Read a configuration, TOML or (`.json`) JSON.

    Raises:
        ConfigError: it can't be read, lacks something, or has a name or a value that is not known.
    """
    found = _parse(path)
    if missing := [name for name in _REQUIRED if not isinstance(found.get(name), str)]:
        raise ConfigError(f"{path}: {', '.join(missing)} must be given, as text")
    _check_readers(found, path)
    product, catalog, endpoint = (found.pop(name) for name in _REQUIRED)
    try:
        check_product(product)
    except ConfigError as fault:
        raise ConfigError(f"{path}: product = {fault}") from None
    for name in _FILES:
        if isinstance(file := found.get(name), str) and file:
            found[name] = str(path.parent / file)
    listen = _take_listen(found, path)
    if path.suffix == PRODUCERS_SUFFIX:
        found = {name: value for name, value in found.items() if name in ShipperSettings._fields}
    return ShipperConfig(product, path.parent / catalog, endpoint, read_settings(found, str(path)), listen)


def read_settings(found: dict[str, Any], where: str) -> ShipperSettings:
    """Settings from a mapping of names to values.

    Raises:
        ConfigError: naming `where`, for an unknown name or a value of the wrong type, or out of bounds.
    """
    defaults = ShipperSettings()._asdict()
    for name, value in found.items():
        if name not in defaults:
            hint = "".join(f"; did you mean {close}?" for close in get_close_matches(name, defaults, 1))
            raise ConfigError(f"{where}: {name} is no setting of a shipper{hint or '; remove it'}")
        _check(name, value, type(defaults[name]), where)
    return ShipperSettings(**found)


def _check_readers(found: dict[str, Any], path: Path) -> None:
    """Who writes a password into a file must keep it from others."""
    urls = [url for name in ("endpoint", "proxy") if isinstance(url := found.get(name), str)]
    mode = path.stat().st_mode
    if mode & 0o077 and any(without_credentials(url) != url for url in urls):
        raise ConfigError(f"{path}: holds a password, and others can read it (mode {mode & 0o777:o}); chmod 600 it")


def _take_listen(found: dict[str, Any], path: Path) -> Listen | None:
    """Take out what concerns hosts on other machines."""
    names = ("listen", "key_file", "clients_file")
    given = {name: found.pop(name) for name in names if name in found}
    if not given:
        return None
    if missing := [name for name in names if not isinstance(given.get(name), str) or not given[name]]:
        raise ConfigError(f"{path}: {', '.join(missing)} must be given, as text: over TCP, CURVE is required")
    try:
        check_tcp("listen", given["listen"])
    except ConfigError as fault:
        raise ConfigError(f"{path}: {fault}") from None
    return Listen(given["listen"], path.parent / given["key_file"], path.parent / given["clients_file"])


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        found = json.loads(text) if path.suffix == PRODUCERS_SUFFIX else tomllib.loads(text)
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}; give the path of the shipper's configuration") from None
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{path}: {fault}; it must be TOML") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds a {type(found).__name__}; it must hold names and values")
    return found


def _check(name: str, value: object, kind: type, where: str) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) if kind is float else type(value) is kind
    if not fits:
        raise ConfigError(f"{where}: {name} = {shown(name, value)} must be of type {kind.__name__}")
    if isinstance(value, int | float) and not value >= 0:  # so, NaN is refused too
        raise ConfigError(f"{where}: {name} = {shown(name, value)} must not be negative")
    if kind is float and isinstance(value, int | float) and value > MAX_SECONDS:
        raise ConfigError(f"{where}: {name} = {shown(name, value)} must be at most {MAX_SECONDS:.0f} seconds")
    if name in _TIMEOUTS and not value:
        raise ConfigError(f"{where}: {name} = {shown(name, value)} must be greater than 0")
