"""Shape of a stream of batches: its subjects, its limits, and what its servers have to be set to."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

from nats.js import api

from telemetry.endpoint import SinkTarget, parse_sink, without_credentials
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_PARTITIONS = 1024
LEAST_PAYLOAD_BYTES = 8 << 20
"""The least `max_payload` of a server: twice the largest segment of a shipper."""

KEPT_SECONDS = 14 * 86_400.0
DUPLICATE_WINDOW_SECONDS = 600.0
"""The time within which the stream itself keeps one of several batches of an id: twice a shipper's longest backoff."""

_PARTITIONS = "telemetry.partitions"
_IDENTITY = "telemetry.identity"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Shape(NamedTuple):
    """The values of a stream that may be chosen.

    Attributes:
        partitions: the number of partitions, for ever.
        replicas: the number of servers that hold each message.
        max_bytes: the size at which the stream refuses batches; -1 for as much as its servers grant, None for that of
            a stream that is there already.
    """

    partitions: int
    replicas: int
    max_bytes: int | None = None


def parse_stream(url: str) -> tuple[SinkTarget, str]:
    """Return the servers and the name of a stream from its URL, `nats://a,b,c/STREAM`.

    Raises:
        ConfigError: it is no such URL.
    """
    target = parse_sink(url)
    if target is None or target.scheme != "nats" or not _NAME.fullmatch(target.path):
        shown = without_credentials(url)
        raise ConfigError(f"{shown!r} names no stream: write nats://a.example,b.example,c.example/STREAM")
    return target, target.path


def subject_of(stream: str, partition: int) -> str:
    """Return the subject of a partition."""
    return f"{stream}.{partition}"


def partition_of(batch: str, partitions: int) -> int:
    """Return the partition of a batch: the CRC-32 of its id, modulo their number."""
    return zlib.crc32(batch.encode()) % partitions


def catalogs_bucket(stream: str) -> str:
    """Return the name of the key-value bucket that holds the catalogs of a stream's batches by their digests."""
    return f"{stream}_catalogs"


def config_of(stream: str, shape: Shape, identity: str) -> api.StreamConfig:
    """Return the configuration of a stream of batches.

    Args:
        stream: its name.
        shape: the values that may be chosen.
        identity: what tells it from one of the same name that was before: its sequences begin anew.
    """
    return api.StreamConfig(
        name=stream,
        description="Batches of telemetry, by a hash of their ids",
        subjects=[subject_of(stream, partition) for partition in range(shape.partitions)],
        retention=api.RetentionPolicy.LIMITS,
        discard=api.DiscardPolicy.NEW,  # a full stream refuses, and loses nothing
        max_age=KEPT_SECONDS,
        max_bytes=-1 if shape.max_bytes is None else shape.max_bytes,
        max_msgs=-1,
        max_consumers=-1,
        storage=api.StorageType.FILE,
        num_replicas=shape.replicas,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        allow_direct=True,  # loaders read so, from whichever server is nearest
        metadata={_PARTITIONS: str(shape.partitions), _IDENTITY: identity},
    )


def partitions_in(metadata: Mapping[str, str] | None) -> int:
    """Return the number of partitions that a stream's metadata record; 0 for a stream that has none."""
    recorded = (metadata or {}).get(_PARTITIONS, "")
    return int(recorded) if recorded.isdecimal() and 0 < int(recorded) <= MOST_PARTITIONS else 0


def identity_of(config: api.StreamConfig) -> str:
    """Return what tells a stream from others of its name; empty for one that was not made for batches."""
    identity: str = (config.metadata or {}).get(_IDENTITY, "")
    return identity


def partitions_of(stream: str, config: api.StreamConfig) -> int:
    """Return the number of partitions of a stream.

    Raises:
        ConfigError: it is no stream of batches.
    """
    partitions = partitions_in(config.metadata)
    if not partitions or set(config.subjects or ()) != {subject_of(stream, number) for number in range(partitions)}:
        raise ConfigError(
            f"the stream {stream} was not made for batches: its metadata and subjects name no partitions; "
            "make one by: telemetry stream create"
        )
    return partitions


def differences(stream: str, config: api.StreamConfig, replicas: int = 3) -> Iterator[tuple[str, object, object]]:
    """Yield what of a stream is not as it must be: the setting, its value, and the one that it must have."""
    partitions = partitions_in(config.metadata)
    must = config_of(stream, Shape(partitions or 1, replicas), "")
    names = "retention discard max_age max_msgs storage duplicate_window allow_direct".split()  # noqa: SIM905 as words
    for name in names:
        if (found := getattr(config, name)) != (wanted := getattr(must, name)):
            yield name, _shown(found), _shown(wanted)
    if (config.num_replicas or 1) < replicas:
        yield "num_replicas", config.num_replicas, replicas
    if config.max_msg_size not in {-1, None} and config.max_msg_size < LEAST_PAYLOAD_BYTES:
        yield "max_msg_size", config.max_msg_size, -1


def _shown(value: object) -> object:
    return getattr(value, "value", value)
