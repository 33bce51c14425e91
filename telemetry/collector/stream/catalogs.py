"""Catalogs in a key-value bucket beside the stream, by their digests, where loaders find them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from nats.js import api
from nats.js import errors as js_errors

from telemetry.collector.stream.shape import catalogs_bucket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nats.js import JetStreamContext

_MOST_BYTES = 1 << 20


async def make_bucket(jetstream: JetStreamContext, stream: str, replicas: int) -> None:
    """Make the bucket of a stream's catalogs, unless it is there."""
    try:
        await jetstream.key_value(catalogs_bucket(stream))
    except js_errors.NotFoundError:
        await jetstream.create_key_value(
            api.KeyValueConfig(
                bucket=catalogs_bucket(stream),
                description=f"Catalogs of the batches in {stream}, by their SHA-256",
                max_value_size=_MOST_BYTES,
                storage=api.StorageType.FILE,
                replicas=replicas,
                direct=True,
            )
        )


async def put_in_bucket(jetstream: JetStreamContext, stream: str, contents: Iterable[bytes]) -> None:
    """Put the contents of catalogs' files into the bucket; what is there stays."""
    bucket = await jetstream.key_value(catalogs_bucket(stream))
    for content in contents:
        try:
            await bucket.create(hashlib.sha256(content).hexdigest(), content)
        except js_errors.KeyWrongLastSequenceError:
            continue


async def kept_in_bucket(jetstream: JetStreamContext, stream: str) -> list[bytes]:
    """Return the contents of all catalogs in the bucket, as far as they are what their digests say."""
    name = catalogs_bucket(stream)
    try:
        bucket = await jetstream.key_value(name)
    except js_errors.NotFoundError:  # it was not made here
        return []
    info = await jetstream.stream_info(
        f"KV_{name}", subjects_filter=">"
    )  # to list its keys, the library would watch it
    digests = sorted(subject.rpartition(".")[2] for subject in info.state.subjects or ())
    contents = [((await bucket.get(digest)).value or b"", digest) for digest in digests]
    return [content for content, digest in contents if hashlib.sha256(content).hexdigest() == digest]
