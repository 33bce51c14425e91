"""The upload formats, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from telemetry.shipper.encode.format import Format


def open_format(name: str, node: str) -> Format:
    """The upload format `name`, as in `ShipperSettings.format`.

    Args:
        name: `ndjson` or `risingwave`.
        node: whose reports `risingwave` writes: `meta`, `compute`, `frontend` or `compactor`.

    Raises:
        ConfigError: there is no such format, or `risingwave` knows no such node.
    """
    # Each is imported where it is chosen: protobuf would slow the start of a shipper that has no use for it.
    match name:
        case "ndjson":
            from telemetry.shipper.encode.ndjson import NDJSON  # noqa: PLC0415 as above

            return NDJSON
        case "risingwave":
            from telemetry.shipper.encode.risingwave import risingwave  # noqa: PLC0415 as above

            return risingwave(node)
        case _:
            raise ConfigError(f"there is no upload format {name!r}: set format to 'ndjson' or 'risingwave'")
