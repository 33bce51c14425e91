"""Log of the shipper: on stderr in the foreground, otherwise in a private, rotated file beside the spool.

It holds states, counts and reasons; never an event's data.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.files import private_dir, private_file
from telemetry.paths import log_name, product_dir

if TYPE_CHECKING:
    from io import TextIOWrapper

    from telemetry.shipper.config import ShipperConfig

_MAX_BYTES = 256 << 10


class _PrivateHandler(RotatingFileHandler):
    """A handler that writes to a file of ours, or not at all."""

    def _open(self) -> TextIOWrapper:
        file = private_file(Path(self.baseFilename), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return os.fdopen(file, "a", encoding="utf-8", errors="backslashreplace")


def open_log(config: ShipperConfig, *, spawned: bool) -> None:
    """Set up the shipper's log. A disk that refuses leaves the shipper without one, and running."""
    lane = f"lane {config.lane.number}: " if config.lane.of > 1 else ""
    formatter = logging.Formatter(f"%(asctime)sZ %(levelname)s {lane}%(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if spawned:
        try:
            private_dir(product_dir(config.product))
            file = product_dir(config.product) / log_name(config.lane.number)
            handler = _PrivateHandler(file, maxBytes=_MAX_BYTES, backupCount=1, delay=True)
        except OSError:
            handler = logging.NullHandler()
    handler.setFormatter(formatter)
    log = logging.getLogger("telemetry.shipper")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers = [handler]
    logging.raiseExceptions = False  # a full disk must not print tracebacks
