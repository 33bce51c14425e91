"""Making of a stream as it must be, and what its servers' own files must say, which no client can set."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from nats.js import errors as js_errors

from telemetry.collector.stream.catalogs import make_bucket
from telemetry.collector.stream.link import ASK_SECONDS, CONNECT_SECONDS
from telemetry.collector.stream.shape import Shape, config_of, identity_of, partitions_in
from telemetry.errors import ConfigError
from telemetry.jetstream import close

if TYPE_CHECKING:
    from nats.js import JetStreamContext

    from telemetry.jetstream import Servers

SERVER_FILE = """\
max_payload: 8MB          # a segment of a shipper has up to 4 MiB; the default, 1 MB, makes them send it in parts
jetstream {
  store_dir: "/var/lib/nats"
  sync_interval: always   # where the servers share a machine, a rack or a supply; apart, replicas make up for it
}
tls {
  cert_file: "/etc/nats/server.pem"
  key_file: "/etc/nats/server.key"
  handshake_first: true   # collectors and loaders speak nothing in clear, not even a greeting
}
"""


class Made(NamedTuple):
    """A stream that stands as it must be.

    Attributes:
        is_new: whether it was not there before.
        partitions: the number of its partitions.
        replicas: the number of servers that hold it.
        max_payload: the size of the largest message that the server asked takes.
    """

    is_new: bool
    partitions: int
    replicas: int
    max_payload: int


async def create(servers: Servers, stream: str, shape: Shape) -> Made:
    """Make a stream and the bucket of its catalogs, or bring one that is there into its shape.

    Raises:
        ConfigError: the stream is there and has another number of partitions, or was not made for batches.
        Exception: no server can be had, or it refuses; of the library, or of the system.
    """
    connection = await servers.connect(CONNECT_SECONDS)
    try:
        jetstream = connection.jetstream(timeout=ASK_SECONDS)
        is_new = await _make(jetstream, stream, shape)
        await make_bucket(jetstream, stream, shape.replicas)
        info = await jetstream.stream_info(stream)
        replicas = info.config.num_replicas or 1
        return Made(is_new, partitions_in(info.config.metadata), replicas, connection.max_payload)
    finally:
        await close(connection)


async def _make(jetstream: JetStreamContext, stream: str, shape: Shape) -> bool:
    try:
        there = (await jetstream.stream_info(stream)).config
    except js_errors.NotFoundError:
        await jetstream.add_stream(config_of(stream, shape, secrets.token_hex(4)))
        return True
    partitions = partitions_in(there.metadata)
    if not partitions:
        raise ConfigError(f"a stream {stream} is there that was not made for batches; name another")
    if partitions != shape.partitions:
        raise ConfigError(
            f"the stream {stream} has {partitions} partitions, for ever: a batch that comes again has to come to the "
            f"same one. Name {partitions}, or another stream, and let loaders finish this one"
        )
    max_bytes = there.max_bytes if shape.max_bytes is None else shape.max_bytes
    await jetstream.update_stream(config_of(stream, shape._replace(max_bytes=max_bytes), identity_of(there)))
    return False
