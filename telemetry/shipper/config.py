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
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry.consent import check_product
from telemetry.endpoint import without_credentials
from telemetry.errors import ConfigError, check_all
from telemetry.settings import (
    FILES,
    MAX_SHIPPERS,
    SOURCES,
    ShipperSettings,
    check_settings,
    check_tcp,
    texts_of_environment,
    value_of_text,
)
from telemetry.shipper.lane import ONLY, Lane

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
        lane: which one it is of several shippers side by side.
    """

    product: str
    catalog: Path
    endpoint: str
    settings: ShipperSettings
    listen: Listen | None = None
    catalog_digest: str = ""
    older_catalogs: tuple[Path, ...] = ()
    lane: Lane = ONLY


def read_config(path: Path, lane: int = 0) -> ShipperConfig:
    """Read a configuration, TOML or (`.json`) JSON; `lane` is that of a shipper with a TOML file.

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
        sources = found.get(SOURCES, {})
        lane = _lane_in(found)
        found = {name: value for name, value in found.items() if name in ShipperSettings._fields}
        check_all(*(partial(check_settings, {name: found[name]}, where) for name, where in sources.items()))
    else:
        found |= settings_of_environment(os.environ)
    settings = read_settings(found, str(path))
    of = Lane(lane, max(settings.lanes, lane + 1))  # the producer may use other cores
    return ShipperConfig(product, path.parent / catalog, endpoint, settings, listen, str(digest), older, of)


def keys_of(path: Path) -> frozenset[str]:
    """Return the names that a configuration gives a value. Raises ConfigError if it can't be read."""
    return frozenset(_parse(path))


def settings_of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that environment variables give, which go before a person's file.

    Raises:
        ConfigError: variables have no value of their setting's type; a line for each.
    """
    found: dict[str, Any] = {}

    def take(name: str, text: str) -> None:
        found[name] = value_of_text(name, text)

    check_all(*(partial(take, name, text) for name, text in texts_of_environment(environ).items()))
    return found


def read_settings(found: dict[str, Any], where: str) -> ShipperSettings:
    """Return settings from a mapping of names to values.

    Raises:
        ConfigError: naming `where`, for each unknown name and each value of a wrong type, or out of bounds.
    """
    check_settings(found, where)
    return ShipperSettings(**found)


def _check_readers(found: dict[str, Any], path: Path) -> None:
    """Raise ConfigError for a file with a password that others can read."""
    urls = [url for name in ("endpoint", "proxy") if isinstance(url := found.get(name), str)]
    mode = path.stat().st_mode
    if mode & 0o077 and any(without_credentials(url) != url for url in urls):
        raise ConfigError(f"{path}: holds a password, and others can read it (mode {mode & 0o777:o}); chmod 600 it")


def _lane_in(found: dict[str, Any]) -> int:
    lane = found.get("lane", 0)
    return lane if type(lane) is int and 0 <= lane < MAX_SHIPPERS else 0


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
