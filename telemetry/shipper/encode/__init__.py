"""The upload formats, by name."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from telemetry.errors import ConfigError
from telemetry.settings import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry.settings import ShipperSettings
    from telemetry.shipper.encode.format import Format


def format_of(settings: ShipperSettings, product: str) -> Format:
    """Return the upload format that the settings name, for a product's events. Raises ConfigError as `open_format`."""
    return open_format(
        settings.format,
        settings.node,
        is_test=settings.is_test,
        compression=settings.compression,
        product=product,
        service_version=settings.service_version,
    )


def open_format(
    name: str,
    node: str,
    *,
    is_test: bool = False,
    compression: str = "",
    product: str = "",
    service_version: str = "",
) -> Format:
    """Return the upload format `name`, as in `ShipperSettings.format`.

    Args:
        name: `ndjson`, `otlp` or `risingwave`.
        node: whose reports `risingwave` writes: `meta`, `compute`, `frontend` or `compactor`.
        is_test: whether `risingwave` marks its messages as a test's.
        compression: `zstd`, `gzip` or `none`; empty for the format's own.
        product: the product that qualifies the names of events in `otlp`.
        service_version: the version of it that `otlp` tells; empty for none.

    Raises:
        ConfigError: there is no such format, or it has no such compression; `risingwave` knows no such node, or
            protobuf is not installed.
    """
    # Each is imported where it is chosen: protobuf would slow the start of a shipper that has no use for it.
    match name:
        case "ndjson":
            from telemetry.shipper.encode.ndjson import NDJSON  # noqa: PLC0415 as above

            return _as(compression, NDJSON)
        case "otlp":
            from telemetry.shipper.encode.otlp import otlp  # noqa: PLC0415 as above

            return _as(compression, otlp(product, service_version))
        case "risingwave":
            try:
                from telemetry.shipper.encode.risingwave import risingwave  # noqa: PLC0415 as above
            except ImportError:
                raise ConfigError(
                    "the format 'risingwave' needs protobuf; run: pip install 'telemetry-shipper[risingwave]'"
                ) from None
            return _as(compression, risingwave(node, is_test=is_test))
        case _:
            raise ConfigError(f"there is no upload format {name!r}: set format to {_or(FORMATS)}")


def _as(compression: str, format_: Format) -> Format:
    if not compression:
        return format_
    if compression not in format_.compressions:
        known = _or(format_.compressions)
        raise ConfigError(f"the format {format_.name!r} is not sent as {compression!r}: set compression to {known}")
    return replace(format_, compressions=(compression,))


def _or(names: Sequence[str]) -> str:
    """Return names as a text offers them: `'a', 'b' or 'c'`."""
    *most, last = map(repr, names)
    return f"{', '.join(most)} or {last}" if most else last


@cache
def format_named(name: str) -> Format:
    """Return the upload format in which a segment says it was written, to read or to split its body.

    Shippers of one spool may write different formats. The node whose reports a format would write does not matter here.

    Raises:
        ConfigError: there is no such format in this version, or protobuf is not installed.
    """
    return open_format(name, "compute")
