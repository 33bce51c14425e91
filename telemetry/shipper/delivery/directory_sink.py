"""Sink for a directory: a file a batch, named by its id, with a sidecar of what an upload's headers would say.

The directory may be a volume that others read and empty. It is never made here: an empty mount point would take what a
mounted one should have.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.files import sync_directory
from telemetry.shipper.delivery.http_sink import upload_headers
from telemetry.shipper.delivery.recorder import RequestHead
from telemetry.shipper.outcome import Outcome, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.endpoint import SinkTarget
    from telemetry.settings import ShipperSettings
    from telemetry.spool.segment import Seal

HEADERS = ".headers.json"
_PASSING = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EINTR,
    errno.EAGAIN,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EMFILE,
}
_TOO_LARGE = 413
_WORDS = {
    errno.ENOENT: "it is not there: make it, or mount it",
    errno.ENOTDIR: "it is no directory",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EROFS: "it is read-only",
    errno.ENOSPC: "it is full",
    errno.EDQUOT: "it is full",
}


class DirectorySink:
    """A sink that puts batches into one directory."""

    def __init__(self, target: SinkTarget, settings: ShipperSettings, environ: Mapping[str, str]) -> None:  # noqa: ARG002 a sink's
        self._directory = Path(target.path)

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Put a batch there, durable before its name appears; one that is there already is confirmed."""
        path = self._path(seal)
        try:
            if not path.exists():
                headers = json.dumps(upload_headers(seal)).encode()
                self._put(path.with_name(seal.head.id + HEADERS), headers)  # first: who sees a body finds them
                self._put(path, body)
                sync_directory(self._directory)
        except OSError as fault:
            return _failed(fault)
        return Reply(Outcome.DELIVERED, "stored")

    def preview(self, seal: Seal, body: bytes) -> RequestHead:
        """Return the name of the file, and the headers beside it."""
        return RequestHead(f"FILE {self._path(seal)} {len(body)}", list(upload_headers(seal).items()))

    @property
    def is_authorized(self) -> bool:
        """Whether a credential goes along: none does."""
        return False

    def abort(self) -> None:
        """Do nothing: a file is either there or not."""

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _path(self, seal: Seal) -> Path:
        return self._directory / f"{seal.head.id}{seal.head.file[seal.head.file.index('.') :]}"

    def _put(self, path: Path, data: bytes) -> None:
        # Under a name of its own: shippers of several machines may share a volume.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=self._directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            with suppress(OSError):
                Path(name).unlink()
            raise


def _failed(fault: OSError) -> Reply:
    number = fault.errno or 0
    if number == errno.EFBIG:
        return Reply(Outcome.SPLIT, f"{type(fault).__name__} (larger than a file there may be)", _TOO_LARGE)
    outcome = Outcome.RETRY if number in _PASSING else Outcome.PAUSED
    words = _WORDS.get(number, os.strerror(number))
    return Reply(outcome, f"{type(fault).__name__} ({words})")
