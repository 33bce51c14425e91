"""The errors this package raises. Every text says what is wrong, with which values, and what to do next."""


class TelemetryError(Exception):
    """The parent of every error raised on purpose."""


class ConfigError(TelemetryError):
    """A mistake in the program or its configuration: the only thing that `init` raises."""


class CatalogError(ConfigError):
    """A catalog that can't be used; the text has one line for each fault, naming file, event, field and remedy."""


class UndeclaredError(TelemetryError):
    """Under `strict=True` only: an event or a field that the catalog does not declare."""


class InvalidValueError(TelemetryError):
    """Under `strict=True` only: a field's value that would be removed before it leaves."""


class SpoolError(TelemetryError):
    """The spool's directory can't be used: not ours, not private, or of a format this version does not know."""


class ShipperUnreachableError(TelemetryError):
    """No shipper answered on the control socket in time."""
