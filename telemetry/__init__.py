"""Usage telemetry: `emit()` costs under a microsecond and never blocks, and what leaves can be read beforehand.

Example:
    telemetry.init(product="acme-db", catalog="acme.toml", endpoint="https://t.acme.example/v1/batches", consent="on")
    telemetry.emit("query_finished", duration_ms=12.5, engine="batch")
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 who copies it, or installs by hand, is told in one sentence
    raise ImportError(f"telemetry needs Python 3.11 or newer; this is {sys.version.split()[0]} at {sys.executable}")

from telemetry.api import bind, close, count, emit, flush, init, observe, timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry.client import Client
    from telemetry.errors import CatalogError, ConfigError, InvalidValueError, TelemetryError, UndeclaredError
    from telemetry.freeze import freeze_support
    from telemetry.settings import RemoteShipper, ShipperSettings
    from telemetry.timing import Timer

    __version__: str

__all__ = [
    "CatalogError",
    "Client",
    "ConfigError",
    "InvalidValueError",
    "RemoteShipper",
    "ShipperSettings",
    "TelemetryError",
    "Timer",
    "UndeclaredError",
    "bind",
    "close",
    "count",
    "emit",
    "flush",
    "freeze_support",
    "init",
    "observe",
    "timer",
]

_LAZY = {
    "CatalogError": "telemetry.errors",
    "Client": "telemetry.client",
    "ConfigError": "telemetry.errors",
    "InvalidValueError": "telemetry.errors",
    "RemoteShipper": "telemetry.settings",
    "ShipperSettings": "telemetry.settings",
    "TelemetryError": "telemetry.errors",
    "freeze_support": "telemetry.freeze",
    "Timer": "telemetry.timing",
    "UndeclaredError": "telemetry.errors",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is asked for: `import telemetry` alone must cost a host next to nothing."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 as above

        return version("telemetry-shipper")
    if name not in _LAZY:
        raise AttributeError(f"module 'telemetry' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 as above

    return getattr(import_module(_LAZY[name]), name)
