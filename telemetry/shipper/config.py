"""What a shipper is told: by the producer that spawned it (JSON, private), or in the file of `telemetry ship --config`.

    product = "acme-db"
    catalog = "acme.toml"                     # relative to this file
    endpoint = "https://t.acme.example/v1/batches"
    segment_seconds = 5.0                     # and any other name of ShipperSettings
"""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from telemetry.consent import check_product
from telemetry.errors import ConfigError
from telemetry.settings import ShipperSettings

_REQUIRED = ("product", "catalog", "endpoint")


class ShipperConfig(NamedTuple):
    """What a shipper does, for whom, and how."""

    product: str
    catalog: Path
    endpoint: str
    settings: ShipperSettings


def read_config(path: Path) -> ShipperConfig:
    """Read a configuration, TOML or (`.json`) JSON.

    Raises:
        ConfigError: it can't be read, lacks something, or has a name or a value that is not known.
    """
    try:
        text = path.read_text()
        found: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}; give the path of the shipper's configuration") from None
    except ValueError as fault:
        raise ConfigError(f"{path}: {fault}; it must be TOML") from None
    if missing := [name for name in _REQUIRED if not isinstance(found.get(name), str)]:
        raise ConfigError(f"{path}: {', '.join(missing)} must be given, as text")
    product, catalog, endpoint = (found.pop(name) for name in _REQUIRED)
    settings = read_settings(found, str(path))
    return ShipperConfig(check_product(product), path.parent / catalog, endpoint, settings)


def read_settings(found: dict[str, Any], where: str) -> ShipperSettings:
    """Settings from a mapping of names to values.

    Raises:
        ConfigError: naming `where`, for an unknown name or a value of the wrong type or sign.
    """
    defaults = ShipperSettings()._asdict()
    for name, value in found.items():
        if name not in defaults:
            hint = "".join(f"; did you mean {close}?" for close in get_close_matches(name, defaults, 1))
            raise ConfigError(f"{where}: {name} is no setting of a shipper{hint}")
        _check(name, value, type(defaults[name]), where)
    return ShipperSettings(**found)


def _check(name: str, value: object, kind: type, where: str) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) if kind is float else type(value) is kind
    if not fits:
        raise ConfigError(f"{where}: {name} = {value!r} must be of type {kind.__name__}")
    if isinstance(value, int | float) and value < 0:
        raise ConfigError(f"{where}: {name} = {value!r} must not be negative")
