"""Examination of a fleet's stream: each of its servers, its shape, its state, and what its servers' own files say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from nats.js import errors as js_errors

from telemetry.collector.stream.link import ASK_SECONDS, CONNECT_SECONDS, reason_of
from telemetry.collector.stream.shape import (
    LEAST_PAYLOAD_BYTES,
    catalogs_bucket,
    differences,
    parse_stream,
    partitions_of,
)
from telemetry.doctor.step import Step, fault, good, note
from telemetry.endpoint import SinkTarget
from telemetry.errors import ConfigError
from telemetry.jetstream import Access, Servers, close
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nats.js import api

_LEAST_VERSION = (2, 14)
_NEARLY_FULL = 0.8
_MONITOR_SECONDS = 5.0
_NANOSECONDS = 1_000_000_000


class _Server(NamedTuple):
    version: tuple[int, int]
    max_payload: int


class _Seen(NamedTuple):
    info: api.StreamInfo
    has_bucket: bool


def examine_stream(url: str, access: Access, monitors: Sequence[str], environ: Mapping[str, str]) -> Iterator[Step]:
    """Look at a stream and at each of its servers; changes nothing, and may block for some seconds at each.

    Args:
        url: `nats://a,b,c/STREAM`.
        access: the settings of the connection.
        monitors: the URLs of the servers' monitoring, `http://a:8222`, which alone tells how they sync.
        environ: the environment, for TELEMETRY_TOKEN.
    """
    try:
        target, stream = parse_stream(url)
        servers = Servers(target, access, environ)
    except ConfigError as refusal:
        yield fault("stream", str(refusal), "fix that setting")
        return
    for peer in target.peers:
        yield from _of_server(peer, Servers(SinkTarget("nats", target.login, (peer,), target.path), access, environ))
    try:
        seen = asyncio.run(_look(servers, stream))
    except Exception as failure:  # noqa: BLE001 of a library
        yield fault(
            "stream", f"{stream}: {reason_of(failure)}", "telemetry stream create makes it, once its servers run"
        )
        return
    yield from _of_shape(stream, seen, len(target.peers))
    yield from _of_state(seen.info)
    yield from _of_syncs(monitors)


def _of_server(peer: str, server: Servers) -> Iterator[Step]:
    try:
        found = asyncio.run(_greet(server))
    except Exception as failure:  # noqa: BLE001 of a library
        yield fault(
            "server", f"{peer}: {reason_of(failure)}", "start it, or open the way to it; the others serve meanwhile"
        )
        return
    version = ".".join(map(str, found.version))
    if found.version < _LEAST_VERSION:
        yield fault(
            "server", f"{peer} is version {version}", "upgrade to 2.14: older ones lost what they had confirmed"
        )
    if found.max_payload < LEAST_PAYLOAD_BYTES:
        advice = "set max_payload: 8MB in its file: until then shippers send what is larger in parts"
        yield note("server", f"{peer} takes messages of up to {found.max_payload} bytes", advice)
    else:
        yield good("server", f"{peer} takes connections, version {version}, {found.max_payload} bytes a message")


async def _greet(server: Servers) -> _Server:
    connection = await server.connect(CONNECT_SECONDS)
    try:
        version = connection.connected_server_version
        return _Server((version.major, version.minor), connection.max_payload)
    finally:
        await close(connection)


async def _look(servers: Servers, stream: str) -> _Seen:
    connection = await servers.connect(CONNECT_SECONDS)
    try:
        jetstream = connection.jetstream(timeout=ASK_SECONDS)
        try:
            info = await jetstream.stream_info(stream)
        except js_errors.NotFoundError:
            raise ConfigError("there is no such stream") from None
        try:
            await jetstream.key_value(catalogs_bucket(stream))
        except js_errors.NotFoundError:
            return _Seen(info, has_bucket=False)
        return _Seen(info, has_bucket=True)
    finally:
        await close(connection)


def _of_shape(stream: str, seen: _Seen, servers: int) -> Iterator[Step]:
    config = seen.info.config
    try:
        partitions = partitions_of(stream, config)
    except ConfigError as refusal:
        yield fault("stream", str(refusal), "name the one that was made for batches")
        return
    wrong = list(differences(stream, config, min(3, servers)))
    for name, found, must in wrong:
        yield fault(
            "stream",
            f"{stream}: {name} is {found}, and must be {must}",
            f"telemetry stream create, with --partitions {partitions}",
        )
    if not seen.has_bucket:
        yield fault(
            "stream", f"{stream} has no bucket for catalogs", f"telemetry stream create, with --partitions {partitions}"
        )
    if not wrong and seen.has_bucket:
        yield good("stream", f"{stream} has {partitions} partitions and is as it must be")
    if (config.num_replicas or 1) == 1:
        yield note(
            "stream", f"{stream} is on one server alone", "what that has confirmed is lost with its disk: run three"
        )


def _of_state(info: api.StreamInfo) -> Iterator[Step]:
    cluster, most, held = info.cluster, info.config.max_bytes or -1, info.state.bytes
    if cluster is not None and (info.config.num_replicas or 1) > 1:
        away = [peer.name for peer in cluster.replicas or () if peer.offline or not peer.current]
        if not cluster.leader:
            yield fault(
                "state", "it has no leader, and takes nothing", "start its other servers: more than half must run"
            )
        elif away:
            yield fault(
                "state", f"{cluster.leader} leads; {', '.join(away)} is away or behind", "start it, or let it catch up"
            )
        else:
            yield good("state", f"{cluster.leader} leads, and all others are up to date")
    if most > 0 and held > most * _NEARLY_FULL:
        advice = "let loaders catch up, or raise --max-bytes of telemetry stream create: a full one refuses (503)"
        yield (fault if held + LEAST_PAYLOAD_BYTES > most else note)(
            "state", f"it holds {held} of {most} bytes", advice
        )
    else:
        limit = f"of {most} " if most > 0 else ""
        yield good("state", f"it holds {counted(info.state.messages, 'batch', 'batches')}, {held} {limit}bytes")


def _of_syncs(monitors: Sequence[str]) -> Iterator[Step]:
    if not monitors:
        yield note("syncs", "how its servers sync is not known", "--monitor http://HOST:8222, of each, tells it")
    for monitor in monitors:
        try:
            said = requests.get(f"{monitor.rstrip('/')}/varz", timeout=_MONITOR_SECONDS).json()
            known: dict[str, Any] = said["jetstream"]["config"]
        except (requests.RequestException, ValueError, LookupError, TypeError):
            yield fault(
                "syncs", f"{monitor} tells nothing of JetStream", "name the server's monitoring, its `http` setting"
            )
            continue
        seconds = known.get("sync_interval", 0) // _NANOSECONDS
        if known.get("sync_always"):
            yield good("syncs", f"{monitor}: each batch is on disk before it is confirmed")
        else:
            found = f"{monitor}: batches are confirmed up to {seconds} s before they are on its disk"
            yield note(
                "syncs", found, "well where replicas share no supply; otherwise sync_interval: always in its file"
            )
