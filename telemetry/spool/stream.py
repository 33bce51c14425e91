"""Streams and envelopes of bodies: how what is appended becomes the bytes of one upload, and how it is read again.

A body's encoding is `zstd`, `gzip` or `none`. Each is written as one stream of one frame or member, with a flush after
each drain, so that everything before can be read back.

Some formats (OTLP) put all events of a body into messages that begin with their length. While such a segment is
active its file holds the events alone, as they are; its end puts the envelope around them, and then the encoding.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ZSTD = zstandard.ZstdCompressionParameters.from_level(1, window_log=17, write_checksum=True)
"""The compression of bodies. Measured on a mix of events, level 3 takes 1.4 times as long and saves nothing, and level
1's own window of 512 KiB, half of a core's cache, takes 1.24 times as long and saves a twentieth. The checksum, four
bytes, lets whoever keeps a body find damage without our Seal."""

_GZIP_LEVEL = 4
_GZIP_MEMBER = 16 + zlib.MAX_WBITS  # so zlib writes, and reads, the header and the checksum of gzip
PIECE_BYTES = 128 << 10
"""How much of a body is held in memory at a time."""

_MORE = 0x80  # the high bit of a varint's byte: more of them follow

ENDINGS = {"zstd": ".zst", "gzip": ".gz", "none": ""}
"""The end of a file's name for each encoding of a body."""


class DamagedError(ValueError):
    """Raised for a body that is not what its encoding or its envelope says."""


class Stream(Protocol):
    """A body that is being written."""

    def write(self, data: bytes) -> bytes:
        """Return bytes for the file, after which everything written so far can be read back."""

    def finish(self) -> bytes:
        """Return the last bytes of the body."""


class ZstdStream:
    """A body as one zstd frame."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(compression_params=ZSTD).compressobj()

    def write(self, data: bytes) -> bytes:
        """Return the data as one or more whole blocks."""
        return self._compressor.compress(data) + self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        """Return the end of the frame."""
        return self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


class GzipStream:
    """A body as one gzip member, because some decoders stop after the first. Its header names no file and no time."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_MEMBER)

    def write(self, data: bytes) -> bytes:
        """Return the data as whole blocks, up to a byte's boundary."""
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """Return the end of the member."""
        return self._compressor.flush(zlib.Z_FINISH)


class PlainStream:
    """A body without compression."""

    def write(self, data: bytes) -> bytes:
        """Return the data unchanged."""
        return data

    def finish(self) -> bytes:
        """Return no bytes: a plain body has no end mark."""
        return b""


_STREAMS: dict[str, type[Stream]] = {"zstd": ZstdStream, "gzip": GzipStream, "none": PlainStream}


def open_stream(encoding: str) -> Stream:
    """Begin a new body: `zstd`, `gzip` or `none`."""
    return _STREAMS[encoding]()


def encode(encoding: str, data: bytes) -> bytes:
    """Return a whole body."""
    stream = open_stream(encoding)
    return stream.write(data) + stream.finish()


def decode(encoding: str, data: bytes) -> bytes:
    """Return the data that a body was made of, as far as it goes: it may lack its end.

    Raises:
        DamagedError: it is not what was written.
    """
    return b"".join(decode_pieces(encoding, data))


def decode_pieces(encoding: str, data: bytes) -> Iterator[bytes]:
    """Yield the data that a body was made of a piece at a time. Raises DamagedError as `decode` does."""
    if encoding == "none":
        yield data
        return
    try:
        if encoding == "zstd":
            yield from zstandard.ZstdDecompressor().read_to_iter(data, write_size=PIECE_BYTES)
        else:
            yield from _ungzip(data)
    except (zstandard.ZstdError, zlib.error):
        raise DamagedError(f"a body of {len(data)} bytes is no {encoding} stream") from None


def _ungzip(data: bytes) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(_GZIP_MEMBER)
    while data and not decompressor.eof:
        yield decompressor.decompress(data, PIECE_BYTES)
        data = decompressor.unconsumed_tail


class Wrap(NamedTuple):
    """A message around the events of a body: field `tag` of the message outside, with a length.

    Attributes:
        tag: the key of the field in the message outside, one byte.
        first: the bytes within that message that stand before what is wrapped.
    """

    tag: int
    first: bytes


def wrap(wraps: Sequence[Wrap], data: bytes) -> bytes:
    """Put the messages around some data, the first of them outermost."""
    for tag, first in reversed(wraps):
        data = b"".join((bytes([tag]), varint(len(first) + len(data)), first, data))
    return data


def unwrap(wraps: Sequence[Wrap], data: bytes) -> bytes:
    """Return what `wrap` was given. Raises DamagedError for data that it did not make."""
    start = 0
    for tag, first in wraps:
        if data[start : start + 1] != bytes([tag]):
            raise DamagedError(f"no envelope begins at byte {start} of a body of {len(data)}")
        length, start = read_varint(data, start + 1)
        if start + length != len(data) or not data.startswith(first, start):
            raise DamagedError(f"the envelope at byte {start} of a body of {len(data)} is another one")
        start += len(first)
    return data[start:]


def varint(number: int) -> bytes:
    """Return a number from 0 on as protobuf writes it."""
    written = bytearray()
    while number >= _MORE:
        written.append(number & 0x7F | _MORE)
        number >>= 7
    written.append(number)
    return bytes(written)


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """Return the number at `start` as protobuf writes it, and the offset where it ends. Raises DamagedError."""
    value = 0
    for position, byte in enumerate(data[start : start + 10]):
        value |= (byte & 0x7F) << (7 * position)
        if byte < _MORE:
            return value, start + position + 1
    raise DamagedError(f"the number at byte {start} of a body of {len(data)} never ends: quarantine it")
