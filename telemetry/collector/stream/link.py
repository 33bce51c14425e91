"""Link to a stream: one connection to its servers, made anew when it breaks, and what the stream says of itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from nats import errors
from nats.js import errors as js_errors

from telemetry.collector.stream.shape import partitions_of
from telemetry.errors import ConfigError
from telemetry.jetstream import Servers, close, explain, is_of_login
from telemetry.shipper.delivery.cause import cause_of

if TYPE_CHECKING:
    import nats
    from nats.js import JetStreamContext, api

CONNECT_SECONDS = 2.0
ASK_SECONDS = 5.0


class Line(NamedTuple):
    """A connection that stands.

    Attributes:
        connection: the library's connection.
        jetstream: the library's side of JetStream.
        partitions: the number of partitions of the stream.
        max_payload: the size of the largest message that the server takes, with its headers.
        is_closed: done when the connection has ended.
    """

    connection: nats.NATS
    jetstream: JetStreamContext
    partitions: int
    max_payload: int
    is_closed: asyncio.Future[None]


class Link:
    """The link to one stream, for one event loop.

    Args:
        servers: the servers.
        stream: the stream's name.
    """

    def __init__(self, servers: Servers, stream: str) -> None:
        self.stream = stream
        self._servers = servers
        self._line: Line | None = None
        self._connecting: asyncio.Task[Line] | None = None

    @property
    def standing(self) -> Line | None:
        """The connection that stands; None for none."""
        line = self._line
        if line is not None and line.connection.is_closed and not line.is_closed.done():
            line.is_closed.set_result(None)  # one that breaks with bytes on their way ends without the library's call
        return None if line is None or line.is_closed.done() else line

    async def line(self) -> Line:
        """Return the connection that stands; make one if there is none, once for all that wait for it.

        Raises:
            ConfigError: there is no such stream, or it was not made for batches.
            Exception: no server can be had; of the library, or of the system.
        """
        if (line := self.standing) is not None:
            return line
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connected)
        return await asyncio.shield(self._connecting)

    def _connected(self, connecting: asyncio.Task[Line]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:  # whose exception who waits for it gets
            self._line = connecting.result()

    async def _connect(self) -> Line:
        is_closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def note() -> None:
            if not is_closed.done():
                is_closed.set_result(None)

        connection = await self._servers.connect(CONNECT_SECONDS, note)
        try:
            jetstream = connection.jetstream(timeout=ASK_SECONDS)
            info = await self._ask(jetstream)
            return Line(
                connection, jetstream, partitions_of(self.stream, info.config), connection.max_payload, is_closed
            )
        except BaseException:
            await close(connection)
            raise

    async def info(self) -> api.StreamInfo:
        """Ask the stream for its state. Raises as `line` does."""
        return await self._ask((await self.line()).jetstream)

    async def _ask(self, jetstream: Any) -> api.StreamInfo:
        try:
            return await jetstream.stream_info(self.stream)
        except js_errors.NotFoundError:
            raise ConfigError(f"there is no stream {self.stream}; make it by: telemetry stream create") from None

    async def close(self) -> None:
        """End the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            await close(self._line.connection)


async def probe(link: Link) -> str:
    """Connect once, and return the reason why that failed, which may pass; empty if it did not.

    Raises:
        ConfigError: it will not pass: there is no such stream, or the credentials are not taken.
    """
    try:
        await link.info()
    except ConfigError:
        raise
    except Exception as fault:  # noqa: BLE001 of a library
        if is_of_login(fault):
            raise ConfigError(reason_of(fault)) from None
        return reason_of(fault)
    finally:
        await link.close()
    return ""


def reason_of(fault: BaseException) -> str:
    """Name a failure of a stream, its servers or the way to them, without a word of theirs."""
    if isinstance(fault, ConfigError):
        return str(fault)
    if is_of_login(fault):
        return "the servers do not take the credentials"
    if isinstance(fault, errors.ConnectionClosedError):
        return "the connection broke"
    return explain(fault) or cause_of(fault)
