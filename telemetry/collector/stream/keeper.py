"""Keeping of batches in a stream: a body is published as it came, and confirmed when the stream has stored it.

Nothing stays here: the shipper is the durable queue before the stream. While servers change, a publication is repeated
under the same id for some seconds; then the shipper is asked to come again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from time import monotonic
from typing import TYPE_CHECKING

from nats import errors
from nats.js import errors as js_errors

from telemetry.collector.judge import Refusal
from telemetry.collector.keeper import Arrival, Kept
from telemetry.collector.stream.catalogs import put_in_bucket
from telemetry.collector.stream.link import Line, Link, reason_of
from telemetry.collector.stream.message import headers_of
from telemetry.collector.stream.shape import partition_of, subject_of
from telemetry.jetstream import is_too_large, message_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemetry.collector.judge import Upload
    from telemetry.collector.metrics import Metrics

_log = logging.getLogger(__name__)

_STORED_SECONDS = 5.0  # for one publication
_REPEATING_SECONDS = 12.0  # the choice of another leader takes some of them
_PAUSE_SECONDS = 0.25
_HEALTH_SECONDS = 6.0
_COME_AGAIN_SECONDS = 5.0
_FULL_SECONDS = 60.0
_FULL = {10023, 10047, 10077, 10122}  # insufficient resources; storage exceeded, of account or stream; maximum reached
_TOO_MUCH_HELD = "the bodies under way fill what --max-held-bytes grants"


class HeldBody:
    """A body that is arriving, in memory."""

    def __init__(self, stream: Stream) -> None:
        self.content = bytearray()
        self._stream = stream

    def write(self, piece: bytes) -> None:
        """Append to the body; raise OSError if too much is held."""
        self._stream.hold(len(piece))
        self.content += piece

    def close(self) -> None:
        """Forget the body."""
        self._stream.hold(-len(self.content))
        self.content = bytearray()


class Stream:
    """A keeper that publishes batches.

    Args:
        link: the link to the stream.
        metrics: shows the state of the link.
        most_bytes: the size of the largest body, where the servers take as much.
        most_held_bytes: the size of all bodies that may be under way at one time.
    """

    def __init__(self, link: Link, metrics: Metrics, most_bytes: int, most_held_bytes: int) -> None:
        self._link = link
        self._loop: asyncio.AbstractEventLoop | None = None
        self._most_bytes = most_bytes
        self._most_held_bytes = most_held_bytes
        self._held_bytes = 0
        self._repeats = 0
        self._is_refusing = False
        metrics.measure("held_bytes", "Bytes of bodies that are under way to the stream.", lambda: self._held_bytes)
        metrics.measure("stream_connected", "Whether a server is connected.", lambda: link.standing is not None)
        metrics.measure("stream_repeats", "Publications repeated so far.", lambda: self._repeats)

    @property
    def most_bytes(self) -> int:
        """The size of the largest body that the collector and the server now connected take."""
        line = self._link.standing
        return min(self._most_bytes, line.max_payload) if line else self._most_bytes

    def knows(self, batch: str) -> bool:  # noqa: ARG002 a keeper's
        """Return False: what is in the stream, the stream tells when it is published again."""
        return False

    def begin(self, upload: Upload) -> HeldBody:  # noqa: ARG002 a keeper's
        """Start to take in a body. Raises OSError if too much is held."""
        self.hold(0)
        return HeldBody(self)

    def hold(self, size_bytes: int) -> None:
        """Count bytes that are held, or, if the number is negative, no longer.

        Raises:
            OSError: it would be too much.
        """
        if size_bytes >= 0 and self._held_bytes + size_bytes > self._most_held_bytes:
            raise OSError(errno.ENOBUFS, _TOO_MUCH_HELD)
        self._held_bytes += size_bytes

    async def keep(self, arrival: Arrival, is_awaited: Callable[[], bool]) -> Kept | Refusal:  # noqa: ARG002 a keeper's
        """Publish a body; return when the stream has it, or the refusal."""
        assert isinstance(arrival.body, HeldBody)  # noqa: S101 it comes from `begin`
        upload, body = arrival.upload, bytes(arrival.body.content)
        headers = headers_of(upload, arrival.route)
        until = monotonic() + _REPEATING_SECONDS
        while True:
            try:
                is_new = await self._publish(upload.batch, headers, body)
            except Exception as fault:  # noqa: BLE001 of a library: whatever it is, the batch stays with the shipper
                if is_too_large(fault):
                    return Refusal(413, "the body is larger than the stream takes")
                if _is_full(fault):
                    return self._say_refusing(upload.batch, "the stream is full", _FULL_SECONDS)
                if monotonic() >= until:
                    return self._say_refusing(upload.batch, reason_of(fault), _COME_AGAIN_SECONDS)
                self._repeats += 1
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._is_refusing = False
                return Kept(upload.batch, is_new)

    async def _publish(self, batch: str, headers: dict[str, str], body: bytes) -> bool:
        """Publish a body once; return False if the stream had it before."""
        line, stream = await self._link.line(), self._link.stream
        if message_bytes(headers, body) > line.max_payload:
            raise errors.MaxPayloadError
        subject = subject_of(stream, partition_of(batch, line.partitions))
        stored = await _before_it_breaks(line, subject, headers, body)
        if stored.stream != stream:  # somebody else listens there, and answers
            raise js_errors.NoStreamResponseError
        return not stored.duplicate

    def refuse(self, batch: str, fault: OSError) -> Refusal:
        """Log that too much is held, once until a batch is stored again, and return the refusal."""
        return self._say_refusing(batch, fault.strerror or "", _COME_AGAIN_SECONDS)

    def _say_refusing(self, batch: str, reason: str, retry_after_seconds: float) -> Refusal:
        if not self._is_refusing:
            _log.error("batch %s is not stored: %s; this is not logged again until one is", batch, reason)
        self._is_refusing = True
        return Refusal(503, "the stream can't take it now", retry_after_seconds)

    async def run(self) -> None:
        """Hold the connection, for ever: the first batch need not wait for one."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    await (await self._link.line()).is_closed
                except Exception as fault:  # noqa: BLE001 of a library
                    if not self._is_refusing:
                        _log.warning("the stream can't be reached: %s", reason_of(fault))
                    self._is_refusing = True
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await self._link.close()

    async def offer(self, catalogs: Sequence[bytes]) -> None:
        """Put the contents of catalogs' files where loaders find them, as soon as that succeeds."""
        while True:
            try:
                await put_in_bucket((await self._link.line()).jetstream, self._link.stream, catalogs)
            except Exception as fault:  # noqa: BLE001 of a library
                _log.warning("the catalogs are not in the stream's bucket yet: %s", reason_of(fault))
                await asyncio.sleep(_COME_AGAIN_SECONDS)
            else:
                return

    def find_refusal(self) -> str | None:
        """Return the reason why no batch could be stored now, or None if one could; blocks, in a thread."""
        if self._loop is None:
            return "the collector is only starting"
        try:
            return asyncio.run_coroutine_threadsafe(self._look(), self._loop).result(_HEALTH_SECONDS)
        except Exception as fault:  # noqa: BLE001 of a library
            return reason_of(fault)

    async def _look(self) -> str | None:
        info = await self._link.info()
        if info.cluster is not None and not info.cluster.leader:
            return "the stream has no leader"
        most = info.config.max_bytes or -1
        return "the stream is full" if 0 < most <= info.state.bytes + self.most_bytes else None


async def _before_it_breaks(line: Line, subject: str, headers: dict[str, str], body: bytes) -> js_errors.api.PubAck:
    """Publish; do not wait for an answer that a broken connection can't bring."""
    publishing = asyncio.ensure_future(
        line.jetstream.publish(subject, body, timeout=_STORED_SECONDS, headers=dict(headers))
    )
    try:
        await asyncio.wait({publishing, line.is_closed}, return_when=asyncio.FIRST_COMPLETED)
        if not publishing.done():
            raise errors.ConnectionClosedError
        return publishing.result()
    finally:
        publishing.cancel()


def _is_full(fault: BaseException) -> bool:
    return isinstance(fault, js_errors.APIError) and fault.err_code in _FULL
