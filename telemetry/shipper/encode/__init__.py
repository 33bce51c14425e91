"""The upload formats, by name."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from telemetry.shipper.encode.format import Format


def open_format(name: str, node: str, *, is_test: bool = False, compression: str = "") -> Format:
    """Return the upload format `name`, as in `ShipperSettings.format`.

    Args:
        name: `ndjson` or `risingwave`.
        node: whose reports `risingwave` writes: `meta`, `compute`, `frontend` or `compactor`.
        is_test: whether `risingwave` marks its messages as a test's.
        compression: `zstd`, `gzip` or `none`; empty for the format's own.

    Raises:
        ConfigError: there is no such format, or it has no such compression; `risingwave` knows no such node, or
            protobuf is not installed.
    """
    format_ = _find(name, node, is_test=is_test)
    if not compression:
        return format_
    if compression not in format_.compressions:
        known = " or ".join(map(repr, format_.compressions))
        raise ConfigError(f"the format {name!r} is not sent as {compression!r}: set compression to {known}")
    return replace(format_, compressions=(compression,))


def _find(name: str, node: str, *, is_test: bool) -> Format:
    # Each is imported where it is chosen: protobuf would slow the start of a shipper that has no use for it.
    match name:
        case "ndjson":
            from telemetry.shipper.encode.ndjson import NDJSON  # noqa: PLC0415 as above

            return NDJSON
        case "risingwave":
            try:
                from telemetry.shipper.encode.risingwave import risingwave  # noqa: PLC0415 as above
            except ImportError:
                raise ConfigError(
                    "the format 'risingwave' needs protobuf; run: pip install 'telemetry-shipper[risingwave]'"
                ) from None
            return risingwave(node, is_test=is_test)
        case _:
            raise ConfigError(f"there is no upload format {name!r}: set format to 'ndjson' or 'risingwave'")


@cache
def format_named(name: str) -> Format:
    """Return the upload format in which a segment says it was written, to read or to split its body.

    Shippers of one spool may write different formats. The node whose reports a format would write does not matter here.

    Raises:
        ConfigError: there is no such format in this version, or protobuf is not installed.
    """
    return open_format(name, "compute")
