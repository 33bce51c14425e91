"""Configuration of a shipper: from the producer that spawned it (JSON, private), or from `telemetry ship --config`.

A producer may be of another version: names that this version does not know are passed over, and missing ones have their
defaults. In a file that a person writes they are faults. That file is TOML; paths in it are relative to it:

    product = "acme-db"
    catalog = "acme.toml"
    endpoint = "https://t.acme.example/v1/batches"
    segment_seconds = 5.0                  # and any other name of ShipperSettings

And, for hosts on other machines:

    older_catalogs = ["acme-2.toml"]       # of those that are not upgraded yet
    listen = "tcp://0.0.0.0:4381"
    key_file = "shipper.key"               # `telemetry keys shipper.key`
    clients_file = "clients"               # the hosts' public keys, one a line

An environment variable goes before the file: TELEMETRY_SEGMENT_SECONDS=5.
"""

from __future__ import annotations

import json
import os
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry.consent import check_product
from telemetry.endpoint import without_credentials
from telemetry.errors import ConfigError
from telemetry.settings import FILES, ShipperSettings, check_setting, check_tcp
from telemetry.terminal import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PRODUCERS_SUFFIX = ".json"

_REQUIRED = ("product", "catalog", "endpoint")


class Listen(NamedTuple):
    """The address for hosts on other machines, and its keys.

    Attributes:
        address: `tcp://HOST:PORT`.
        key_file: the file of our secret key.
        clients_file: the file of the public keys of hosts that may send.
    """

    address: str
    key_file: Path
    clients_file: Path


class ShipperConfig(NamedTuple):
    """The configuration of a shipper; `listen` is None if it is for this machine alone.

    Attributes:
        product: the product's name.
        catalog: the catalog's file.
        endpoint: the endpoint of its uploads.
        settings: its settings.
        listen: the address for hosts on other machines.
        catalog_digest: the digest of the catalog that the producer was started with; empty in a person's file.
        older_catalogs: the files of catalogs that hosts on other machines may still name.
    """

    product: str
    catalog: Path
    endpoint: str
    settings: ShipperSettings
    listen: Listen | None = None
    catalog_digest: str = ""
    older_catalogs: tuple[Path, ...] = ()


def read_config(path: Path) -> ShipperConfig:
    """Read a configuration, TOML or (`.json`) JSON.

    Raises:
        ConfigError: it can't be read, lacks something, or has an unknown name or value.
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
    for name in FILES:
        if isinstance(file := found.get(name), str) and file:
            found[name] = str(path.parent / file)
    listen = _take_listen(found, path)
    digest = found.pop("catalog_digest", "") if path.suffix == PRODUCERS_SUFFIX else ""
    older = _take_older(found, path)
    if path.suffix == PRODUCERS_SUFFIX:
        found = {name: value for name, value in found.items() if name in ShipperSettings._fields}
    else:
        found |= settings_of_environment(os.environ)
    settings = read_settings(found, str(path))
    return ShipperConfig(product, path.parent / catalog, endpoint, settings, listen, str(digest), older)


def keys_of(path: Path) -> frozenset[str]:
    """Return the names that a configuration gives a value. Raises ConfigError if it can't be read."""
    return frozenset(_parse(path))


def variable_of(setting: str) -> str:
    """Return the name of the environment variable that goes before a setting in a person's file."""
    return f"TELEMETRY_{setting.upper()}"


def settings_of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that environment variables give, which go before a person's file.

    Raises:
        ConfigError: a variable has no value of its setting's type.
    """
    found: dict[str, Any] = {}
    for name, default in ShipperSettings()._asdict().items():
        text = environ.get(variable_of(name))
        if text is not None and not isinstance(default, dict):  # a table of facts is no line of text
            found[name] = _value_of(variable_of(name), text, type(default))
    return found


def _value_of(variable: str, text: str, kind: type) -> str | bool | float:
    if kind is str:
        return text
    if kind is bool:
        if text not in {"0", "1"}:
            raise ConfigError(f"{variable}={text!r}: must be 0 or 1")
        return text == "1"
    try:
        value: float = kind(text)
    except ValueError:
        raise ConfigError(f"{variable}={text!r}: must be {'a whole number' if kind is int else 'a number'}") from None
    return value


def read_settings(found: dict[str, Any], where: str) -> ShipperSettings:
    """Return settings from a mapping of names to values.

    Raises:
        ConfigError: naming `where`, for an unknown name or a value of the wrong type, or out of bounds.
    """
    defaults = ShipperSettings()._asdict()
    for name, value in found.items():
        if name not in defaults:
            hint = did_you_mean(name, defaults)
            known = f"; remove it, or take one of {', '.join(defaults)}"
            raise ConfigError(f"{where}: {name} is not a setting of a shipper{hint or known}")
        check_setting(name, value, type(defaults[name]), where)
    return ShipperSettings(**found)


def _check_readers(found: dict[str, Any], path: Path) -> None:
    """Raise ConfigError for a file with a password that others can read."""
    urls = [url for name in ("endpoint", "proxy") if isinstance(url := found.get(name), str)]
    mode = path.stat().st_mode
    if mode & 0o077 and any(without_credentials(url) != url for url in urls):
        raise ConfigError(f"{path}: holds a password, and others can read it (mode {mode & 0o777:o}); chmod 600 it")


def _take_listen(found: dict[str, Any], path: Path) -> Listen | None:
    """Take out the settings for hosts on other machines."""
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


def _take_older(found: dict[str, Any], path: Path) -> tuple[Path, ...]:
    older = found.pop("older_catalogs", [])
    if not isinstance(older, list) or not all(isinstance(file, str) for file in older):
        raise ConfigError(f'{path}: older_catalogs must be a list of files, such as ["acme-2.toml"]')
    return tuple(path.parent / file for file in older)


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8-sig")  # some editors mark UTF-8 by its first bytes
        found = json.loads(text) if path.suffix == PRODUCERS_SUFFIX else tomllib.loads(text)
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}; give the path of the shipper's configuration") from None
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{path}: {fault}; it must be TOML") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds a {type(found).__name__}; it must hold names and values")
    return found
