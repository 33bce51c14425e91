"""The requests for less that a collector sends with each batch that it takes, from a file that is read again."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from telemetry.errors import ConfigError
from telemetry.thin import MAX_HEADER_BYTES, THIN_HEADER, format_thin, is_share

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class Less:
    """The shares of events that shippers are asked to keep.

    Args:
        path: a file with a JSON object, `{"query_finished": 0.25}`; None to ask for nothing.

    Attributes:
        header: the lines of a response's head that ask; empty if nothing is asked for.

    Raises:
        ConfigError: the file can't be read, or asks for what no shipper heeds.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.header = _header(path) if path else ""
        self._fault = ""

    def reload(self) -> None:
        """Read the file again. If that fails, what was asked for stays, and the fault is logged once."""
        if self._path is None:
            return
        try:
            header = _header(self._path)
        except ConfigError as fault:
            if str(fault) != self._fault:
                _log.error("what is asked for stays as it was: %s", fault)
            self._fault = str(fault)
            return
        if header != self.header:
            _log.warning("what is asked for has changed: %s", header.strip() or "nothing")
        self.header, self._fault = header, ""


def _header(path: Path) -> str:
    try:
        shares: Any = json.loads(path.read_bytes())
    except OSError as fault:
        raise ConfigError(f"--thin {path}: {fault.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f'--thin {path}: is no JSON; write an object, such as {{"query_finished": 0.25}}') from None
    if not isinstance(shares, dict) or not all(map(is_share, shares.values())):
        raise ConfigError(f"--thin {path}: must be an object of shares by event, each 1/2, 1/4, ... 1/1024, or 0")
    value = format_thin(shares)
    if len(value) > MAX_HEADER_BYTES:
        raise ConfigError(f"--thin {path}: is longer than {MAX_HEADER_BYTES} bytes; name fewer events")
    return f"{THIN_HEADER}: {value}\r\n" if shares else ""
