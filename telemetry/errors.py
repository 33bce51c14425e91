"""Errors of this package. Every text gives the fault, the values concerned, and the remedy."""

from collections.abc import Callable


class TelemetryError(Exception):
    """Base class of every error that this package raises on purpose."""


class ConfigError(TelemetryError):
    """A mistake in the program or its configuration; raised by `init`, and by `flush` for a word it does not know."""


class CatalogError(ConfigError):
    """A catalog that can't be used. Its text has one line for each fault, with file, event, field and remedy."""


class UndeclaredError(TelemetryError):
    """An event or a field that the catalog does not declare; raised under `strict=True` only."""


class InvalidValueError(TelemetryError):
    """A field's value that would be removed before it leaves; raised under `strict=True` only."""


class SpoolError(TelemetryError):
    """A spool's directory that can't be used: another user's, not private, or of a format not known to this version."""


class ShipperUnreachableError(TelemetryError):
    """A control socket on which no shipper answered in time."""


def check_all(*checks: Callable[[], object]) -> None:
    """Run all checks, and raise one ConfigError with the texts of those that raise one, a line each."""
    texts: list[str] = []
    for check in checks:
        try:
            check()
        except ConfigError as fault:
            texts.append(str(fault))
    if texts:
        raise ConfigError("\n".join(texts))
