"""Whether a body is what its headers say, before it is kept: one that can't be read would stop every query.

It is read in pieces whose size has a bound, whatever they hold, so the memory that a body takes has one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import msgspec
import zstandard

from telemetry.collector.judge import Refusal
from telemetry.collector.store import NDJSON_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE_BYTES = 1 << 20
"""Of one event; a frame of the shipper's holds 256 KiB."""

_PIECE_BYTES = 1024  # compressed: a block of zstd has 4 bytes or more and gives 128 KiB at most, so that is 32 MiB
_WINDOW_BYTES = 8 << 20  # what RFC 8878, 3.1.1.1.2 recommends to support
_DECODER = msgspec.json.Decoder(dict[str, str | int | float | bool | None])


class _UnfitError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def find_fault(body: BinaryIO, suffix: str, max_unpacked_bytes: int) -> Refusal | None:
    """Read a body to its end; None when it is what its suffix says.

    Args:
        body: what has arrived.
        suffix: of its file's name: `.ndjson.zst`.
        max_unpacked_bytes: a larger body, decompressed, is refused with 413.
    """
    try:
        pieces = _bounded(_unpack(body) if suffix.endswith(".zst") else _plain(body), max_unpacked_bytes)
        if suffix in NDJSON_SUFFIXES:
            for line in filter(bytes.strip, _lines(pieces)):
                _DECODER.decode(line)
        else:
            for _ in pieces:
                pass
    except _UnfitError as fault:
        return fault.refusal
    except zstandard.ZstdError:
        return Refusal(400, "the body is not zstd, as its Content-Encoding says, or asks for too much memory")
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors; their texts hold data
        return Refusal(400, "the body is not a flat JSON object a line, as its Content-Type says")
    return None


def _plain(body: BinaryIO) -> Iterator[bytes]:
    while piece := body.read(_PIECE_BYTES):
        yield piece


def _unpack(body: BinaryIO) -> Iterator[bytes]:
    """One zstd frame. Where more follow, readers differ in what they see, and thousands of empty ones cost time."""
    frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
    while not frame.eof and (piece := body.read(_PIECE_BYTES)):
        yield frame.decompress(piece)
    if not frame.eof:
        raise _UnfitError(Refusal(400, "the body is no zstd, or is cut short"))
    if frame.unused_data or body.read(1):
        raise _UnfitError(Refusal(400, "the body is more than one zstd frame"))


def _bounded(pieces: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    left_bytes = most_bytes
    for piece in pieces:
        left_bytes -= len(piece)
        if left_bytes < 0:
            raise _UnfitError(Refusal(413, f"the body is larger than {most_bytes} bytes, decompressed"))
        yield piece


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            yield rest + piece[start:end]
            rest, start = b"", end + 1
        rest += piece[start:]
        if len(rest) > MAX_LINE_BYTES:
            raise _UnfitError(Refusal(413, f"a line is longer than {MAX_LINE_BYTES} bytes"))
    if rest:
        yield rest
