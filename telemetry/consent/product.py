"""Names of products, and the products known on this machine.

Names become paths and variables: every name from outside passes `check_product` before anything else uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry import paths
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_OTHERS = _FIRST | {"-", "_"}
_MAX_CHARACTERS = 64


def check_product(name: str) -> str:
    """Return `name` if it can name a product.

    Raises:
        ConfigError: it can't.
    """
    if not is_product(name):
        raise ConfigError(
            f"{name!r} is no product name: use 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit"
        )
    return name


def is_product(name: object) -> bool:
    """Whether a product can have this name, on the command line, in a catalog and in a receipt alike."""
    return isinstance(name, str) and name[:1] in _FIRST and _OTHERS.issuperset(name) and len(name) <= _MAX_CHARACTERS


def find_product(name: str | None) -> str:
    """Return the product that a command means: `name`, or if that is None the only one this machine knows.

    Raises:
        ConfigError: the name can't name a product; or it is None, and not exactly one product is known.
    """
    if name is not None:
        return check_product(name)
    known = known_products()
    if len(known) == 1:
        return known[0]
    if known:
        raise ConfigError(f"which product? Pass --product with one of: {', '.join(known)}")
    raise ConfigError("no product has a choice or a spool on this machine yet: name one with --product NAME")


def known_products() -> list[str]:
    """Return the products with a stored choice or a spool, sorted. A directory that can't be read holds none."""
    return sorted({*_products_in(paths.config_dir), *_products_in(paths.state_dir)})


def _products_in(base: Callable[[], Path]) -> list[str]:
    try:
        return [entry.name for entry in base().iterdir() if is_product(entry.name) and entry.is_dir()]
    except (OSError, RuntimeError):  # RuntimeError: this user has no home directory
        return []
