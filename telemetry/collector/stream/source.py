"""A stream as a source of the loader: its partitions, each read in order by direct gets, which leave nothing behind.

A direct get is answered by any server that holds the stream, and one that lags gives less, never something else.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from nats import errors

from telemetry.collector.judge import Refusal, judge
from telemetry.collector.stream.catalogs import kept_in_bucket
from telemetry.collector.stream.link import ASK_SECONDS, Link, reason_of
from telemetry.collector.stream.message import MESSAGE_ID, ROUTE_HEADER
from telemetry.collector.stream.shape import identity_of, parse_stream, partitions_of, subject_of
from telemetry.collector.tables.source import Batch, SourceError
from telemetry.errors import ConfigError
from telemetry.jetstream import Access, Servers
from telemetry.receipt import LEDGER_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from telemetry.collector.stream.link import Line

_PAGE_MESSAGES = 512
_PAGE_BYTES = 32 << 20
_TRIES = 8
_PAUSE_SECONDS = 0.5
_END = "204"
_NOTHING = "404"
_ID = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")


class StreamSource:
    """The batches of a stream.

    Args:
        url: `nats://a,b,c/STREAM`, with a user and a password if need be.
        access: the settings of the connection.
        environ: the environment, for TELEMETRY_TOKEN.

    Raises:
        ConfigError: the URL names no stream, or a setting is unusable.
    """

    def __init__(self, url: str, access: Access, environ: Mapping[str, str]) -> None:
        target, self._stream = parse_stream(url)
        self._servers = Servers(target, access, environ)
        self._runner = asyncio.Runner()
        self._link = Link(self._servers, self._stream)
        self._numbers: dict[str, int] = {}

    def close(self) -> None:
        """End the connection."""
        self._runner.run(self._link.close())
        self._runner.close()

    def partitions(self) -> Sequence[str]:
        """Return the names of the partitions, in which the stream's identity stands: one made anew is another."""
        config = self._run(self._link.info).config
        identity, number = identity_of(config), partitions_of(self._stream, config)
        self._numbers = {f"{self._stream}-{identity}.{partition}": partition for partition in range(number)}
        return tuple(self._numbers)

    def first(self, partition: str) -> int:  # noqa: ARG002 sequences are the stream's
        """Return the first sequence that the stream still holds, or will give next if it is empty.

        What is lost of one partition below it is at most the sequences missing: others have their share of them.
        """
        return int(self._run(self._link.info).state.first_seq) or 1

    def catalogs(self) -> Iterator[bytes]:
        """Yield the contents of the catalogs that were given to collectors. Raises SourceError."""
        yield from self._run(self._catalogs)

    async def _catalogs(self) -> list[bytes]:
        return await kept_in_bucket((await self._link.line()).jetstream, self._stream)

    def read(self, partition: str, after: int) -> Iterator[Batch]:
        """Yield the batches of a partition beyond a sequence, in order, up to the last one that is there now."""
        if partition not in self._numbers and partition not in self.partitions():
            raise SourceError(f"{partition} is no partition of the stream {self._stream}")
        last = int(self._run(self._link.info).state.last_seq)
        if last < after:
            raise SourceError(
                f"the stream {self._stream} ends at {last}, and {after} was read from it before: what its servers had "
                "confirmed is gone from them. Make a new stream by: telemetry stream create"
            )
        subject = subject_of(self._stream, self._numbers[partition])
        while page := self._run(lambda after=after: self._page(subject, after)):  # type: ignore[misc] # mypy's lambda
            for message in page:
                batch = _batch(message)
                if batch.sequence > last:
                    return
                yield batch
                after = batch.sequence

    async def _page(self, subject: str, after: int) -> deque[Msg]:
        line = await self._link.line()
        inbox = line.connection.new_inbox()
        answers = await line.connection.subscribe(inbox, pending_bytes_limit=4 * _PAGE_BYTES)
        question = {"seq": after + 1, "next_by_subj": subject, "batch": _PAGE_MESSAGES, "max_bytes": _PAGE_BYTES}
        try:
            await line.connection.publish(
                f"$JS.API.DIRECT.GET.{self._stream}", json.dumps(question).encode(), reply=inbox
            )
            page: deque[Msg] = deque()
            while True:
                message = await _next(answers, line)
                status = (message.headers or {}).get("Status", "")
                if status in {_END, _NOTHING}:
                    return page
                if status:
                    raise errors.NoRespondersError
                page.append(message)
        finally:
            if line.connection.is_connected:
                await answers.unsubscribe()

    def _run(self, ask: Callable[[], Coroutine[None, None, T]]) -> T:
        """Ask, and again for some seconds: servers come and go."""
        return self._runner.run(self._patiently(ask))

    async def _patiently(self, ask: Callable[[], Coroutine[None, None, T]]) -> T:
        for tries_left in reversed(range(_TRIES)):
            try:
                return await ask()
            except ConfigError as fault:
                raise SourceError(str(fault)) from None
            except Exception as fault:  # noqa: BLE001 of a library
                if not tries_left:
                    reason = reason_of(fault)
                    raise SourceError(f"the stream {self._stream} can't be read: {reason}") from None
                await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError


async def _next(answers: Subscription, line: Line) -> Msg:
    try:
        message: Msg = await answers.next_msg(timeout=ASK_SECONDS)
    except asyncio.CancelledError:
        if line.is_closed.done():  # the library's way to say so
            raise errors.ConnectionClosedError from None
        raise
    return message


def _batch(message: Msg) -> Batch:
    """Return a message as a batch; one that is none, as a batch without a receipt, which the loader keeps aside."""
    said = dict(message.headers or {})
    sequence, received = int(said["Nats-Sequence"]), datetime.fromisoformat(said["Nats-Time-Stamp"])
    upload = judge({name.lower(): [value] for name, value in said.items()})
    route = said.get(ROUTE_HEADER, "")
    if isinstance(upload, Refusal):
        id_ = said.get(MESSAGE_ID, "")
        named = id_ if _ID.fullmatch(id_) else f"{sequence:032x}"
        return Batch(
            named, sequence, received, "", "", None, said.get(LEDGER_HEADER), route, ".ndjson", bytes(message.data)
        )
    told = (upload.catalog, upload.catalog_digest, upload.receipt, upload.ledger, route, upload.suffix)
    return Batch(upload.batch, sequence, received, *told, bytes(message.data), upload.first)
