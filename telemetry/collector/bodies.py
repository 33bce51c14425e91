"""Bodies of a store, presented to DuckDB as files: decompressed, small ones merged, and no damaged one stops a query.

DuckDB takes half a millisecond to open a file, whatever is in it, and reads a truncated zstd stream as if it ended
there. It therefore does not read the store directly, but `store://`, a file system of this process.

    store://records.zst        a line for each body: its number and what the collector has recorded about it
    store://bodies/7.zst       the body of number 7
    store://bodies/few-7.zst   small bodies from number 7 on, each line with the number of its body
    store://one/7.zst          the body of number 7, whatever its size; the glob does not list it
    store://answer             the only file that can be written

DuckDB is always given zstd, because that is the only format whose size it need not know in advance: a body that is
one whole frame is given as it lies, everything else is stored in zstd frames without being compressed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import threading
import zlib
from typing import IO, TYPE_CHECKING, Annotated, Any, BinaryIO, NamedTuple

import fsspec
import msgspec
import zstandard

from telemetry.collector.body import MAX_LINE_BYTES
from telemetry.collector.store import BODY_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

SCHEME = "store"
RECORDS = f"{SCHEME}://records.zst"
ANSWER = f"{SCHEME}://answer"
EVERY_BODY = f"{SCHEME}://bodies/*.zst"

_SMALL_BYTES = 8 << 10  # as it lies: numbering the lines of more costs what opening a file of its own does
_FEW = 500  # small bodies in one file
_PIECE_BYTES = 1 << 10  # compressed: 32 MiB at most when decompressed, see `collector.body`
_WINDOW_BYTES = 128 << 20  # what the zstd command takes
_MAX_MESSAGE_BYTES = 64 << 20  # of protobuf, which is read as a whole
_STORED = -131_072  # the level of zstd that is fastest: a copy
_MAX_RECORD_BYTES = 64 << 10
_AS_IT_LIES = ".ndjson.zst"
_BLANK_LINES = re.compile(rb"\n\s*\n")
# RFC 8878, 3.1.1
_FRAME_HEAD_BYTES = 18
_REPEATED, _RESERVED = 1, 3  # of the types of a block
_FEW_BLOCKS, _TINY_BLOCK_BYTES = 8, 512


class Body(NamedTuple):
    """A body in the store, identified by its file.

    Attributes:
        number: its place in the listing, by which its lines are known.
        batch: the batch's id; for a file put there by somebody else, its name without the suffix.
        suffix: the end of the file's name, one of `BODY_SUFFIXES`.
        size_bytes: the size of the file, compressed as it lies.
    """

    number: int
    batch: str
    suffix: str
    size_bytes: int


class UnreadableError(Exception):
    """Raised for a body that can't be read; the text gives the reason without quoting the body."""


class _Receipt(msgspec.Struct):
    level: str | None = None
    basis: str | None = None
    notice: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    deployment: str | None = None


class _First(msgspec.Struct, frozen=True):
    day: bool = False
    week: bool = False
    month: bool = False


class _Record(msgspec.Struct):
    received: str | None = None
    catalog: str | None = None
    receipt: _Receipt | None = None
    ledger: str | None = None
    route: str | None = None
    catalog_digest: str | None = None
    first: _First | None = None
    aside: list[str] | None = None


_decode_record = msgspec.json.Decoder(_Record).decode
_encode = msgspec.json.encode


class Bodies(fsspec.AbstractFileSystem):  # type: ignore[misc] # it ships no types
    """A read-only file system of the bodies of one store, listed once; a body removed later is passed over.

    Args:
        directory: the store's `batches`.

    Attributes:
        directory: the directory that holds the bodies.
        key: the member of each line that holds the body's number; random, so that no client can forge it.
        unreadable: for each body passed over, by its number, the reason; readers may add to it.
        gone: the numbers of bodies that were removed while they were being read.
        strange: the names of entries that are called like a body but are no files.
    """

    protocol = SCHEME
    cachable = False

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.key = f"_{secrets.token_hex(8)}"
        self.unreadable: dict[int, str] = {}
        self.gone: set[int] = set()
        self.strange: list[str] = []
        self.answer: IO[bytes] | None = None
        self.bodies = self._list()
        self._files = self._assign()
        self._noting = threading.Lock()

    def _list(self) -> list[Body]:
        found = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                suffix = next((suffix for suffix in BODY_SUFFIXES if entry.name.endswith(suffix)), None)
                if suffix is None:
                    continue
                if entry.is_file(follow_symlinks=False):
                    found.append((entry.name.removesuffix(suffix), suffix, entry.stat(follow_symlinks=False).st_size))
                else:
                    self.strange.append(entry.name)
        return [Body(number, *body) for number, body in enumerate(sorted(found))]

    def _assign(self) -> dict[str, list[Body]]:
        """Assign bodies to files: each large one gets its own, because numbering all its lines would cost too much."""
        small = [body for body in self.bodies if body.size_bytes <= _SMALL_BYTES]
        few = [small[start : start + _FEW] for start in range(0, len(small), _FEW)]
        alone = {f"{body.number}.zst": [body] for body in self.bodies if body.size_bytes > _SMALL_BYTES}
        files = {**alone, **{f"few-{group[0].number}.zst": group for group in few}}
        return {f"{SCHEME}://bodies/{name}": bodies for name, bodies in files.items()}

    def files(self) -> dict[str, list[Body]]:
        """Return the readable bodies of each file below `store://bodies/`, by the file's path."""
        left = {path: self._readable(bodies) for path, bodies in self._files.items()}
        return {path: bodies for path, bodies in left.items() if bodies}

    def _readable(self, bodies: list[Body]) -> list[Body]:
        return [body for body in bodies if body.number not in self.unreadable]

    def path_of(self, body: Body) -> Path:
        """Return the path of a body on disk."""
        return self.directory / f"{body.batch}{body.suffix}"

    def path_alone(self, body: Body) -> str:
        """Return the path, in this file system, of the file that holds one body and no other."""
        return f"{SCHEME}://one/{body.number}.zst"

    def pieces(self, body: Body) -> Iterator[bytes]:
        """Yield a body as lines of JSON, in pieces of bounded size.

        Raises:
            UnreadableError: the file is no body, or is incomplete.
        """
        try:
            opened = self._open_file(body)
        except FileNotFoundError:
            with self._noting:
                self.gone.add(body.number)
            return
        except OSError as fault:
            raise UnreadableError(f"it can't be opened: {fault.strerror}") from None
        with opened as file:
            plain = unpacked(file, body.suffix)
            try:
                yield from self._as_lines(body, plain) if body.suffix.startswith(".pb") else plain
            except OSError as fault:
                raise UnreadableError(f"it can't be read from the disk: {fault.strerror}") from None

    def _open_file(self, body: Body) -> BinaryIO:
        descriptor = os.open(self.path_of(body), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb", buffering=0)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return file
        file.close()
        raise UnreadableError("it is no file")

    def _as_lines(self, body: Body, plain: Iterator[bytes]) -> Iterator[bytes]:
        from telemetry.collector.protobuf import event_lines  # noqa: PLC0415 few stores have any

        message = bytearray()
        for piece in plain:
            message += piece
            if len(message) > _MAX_MESSAGE_BYTES:
                raise UnreadableError(f"it holds more than {_MAX_MESSAGE_BYTES} bytes of protobuf")
        try:
            yield from event_lines(bytes(message), self._record(body).route or "")
        except (ValueError, RecursionError):
            raise UnreadableError("it is not a message that this version knows for its route") from None

    def _body(self, body: Body) -> Iterator[bytes]:
        try:
            yield from self.pieces(body)
        except UnreadableError as fault:
            self._pass_over(body, fault)
            raise

    def _open_alone(self, body: Body) -> BinaryIO | _Stream:
        """Open a body as it lies if it is one whole zstd frame; otherwise as a stream of its readable part."""
        if body.suffix == _AS_IT_LIES:
            with contextlib.suppress(OSError, UnreadableError):
                file = self._open_file(body)
                if is_one_frame(file, body.size_bytes):
                    file.seek(0)
                    return file
                file.close()
        return _Stream(lambda: self._body(body))

    def _few(self, bodies: list[Body]) -> Iterator[bytes]:
        """Yield the lines of small bodies, finding damage in one before any of its lines is given."""
        for body in bodies:
            lines: list[bytes] = []
            held_bytes = 0
            try:
                for piece in self._numbered(body):
                    lines.append(piece)
                    held_bytes += len(piece)
                    if held_bytes > MAX_LINE_BYTES:  # small only as it lies
                        yield from lines
                        lines.clear()
            except UnreadableError as fault:
                self._pass_over(body, fault)
                if held_bytes > MAX_LINE_BYTES:
                    raise
                continue
            yield from lines

    def _numbered(self, body: Body) -> Iterator[bytes]:
        head = b'{"%b":%d,' % (self.key.encode(), body.number)
        rest = b""
        for piece in self.pieces(body):
            lines, newline, rest_ = (rest + piece).rpartition(b"\n")
            rest = rest_
            if newline:
                yield _with_head(lines, head)
            if len(rest) > MAX_LINE_BYTES:
                raise UnreadableError(f"a line is longer than {MAX_LINE_BYTES} bytes")
        if rest:
            yield _with_head(rest, head)

    def _pass_over(self, body: Body, fault: UnreadableError) -> None:
        with self._noting:
            self.unreadable[body.number] = str(fault)

    def _records(self) -> Iterator[bytes]:
        for body in self.bodies:
            record = self._record(body)
            product = record.catalog.partition("/")[0] if record.catalog else None
            own: dict[str, Any] = {
                "number": body.number,
                "batch": _well_formed(body.batch),
                "bytes": body.size_bytes,
            }
            own["catalog_digest"] = record.catalog_digest or None
            yield _encode({**msgspec.structs.asdict(record), "product": product, **own}) + b"\n"

    def _record(self, body: Body) -> _Record:
        try:
            descriptor = os.open(f"{self.directory}/{body.batch}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return _decode_record(os.read(descriptor, _MAX_RECORD_BYTES))
            finally:
                os.close(descriptor)
        except (OSError, ValueError, RecursionError):  # gone, or not of ours; msgspec's errors are ValueErrors
            return _Record()

    # The methods of a file system that DuckDB calls.

    def open(self, path: str, mode: str = "rb", **options: Any) -> BinaryIO | Kept | _Stream:  # noqa: ARG002 fsspec's
        """Open one of the files for reading, or the answer for writing."""
        if path == ANSWER and self.answer is not None and mode != "rb":
            self.answer.seek(0)
            self.answer.truncate()
            return Kept(self.answer)
        if path == RECORDS:
            return _Stream(self._records)
        if path in self._files:
            bodies = self._readable(self._files[path])
            is_alone = self._files[path][0].size_bytes > _SMALL_BYTES
            return self._open_alone(bodies[0]) if is_alone and bodies else _Stream(lambda: self._few(bodies))
        folder, _, name = path.removeprefix(f"{SCHEME}://").partition("/")
        number = name.removesuffix(".zst")
        if folder == "one" and number.isdecimal() and int(number) < len(self.bodies):
            return self._open_alone(self.bodies[int(number)])
        raise FileNotFoundError(path)

    def glob(self, path: str, **options: Any) -> list[str]:  # noqa: ARG002 fsspec's
        """List the files that a path stands for: all bodies, or the one file named."""
        return list(self.files()) if path == EVERY_BODY else [path]

    def size(self, path: str) -> int:  # noqa: ARG002 fsspec's signature
        """Return a size that is never looked at: DuckDB reads a compressed file to its end."""
        return 0

    def isfile(self, path: str) -> bool:  # noqa: ARG002 fsspec's signature
        """Return False, so that writing the answer never counts as replacing a file."""
        return False

    def isdir(self, path: str) -> bool:  # noqa: ARG002 fsspec's signature
        """Return False: this file system has no directories."""
        return False


class _Stream:
    """A readable file whose contents are produced while it is read."""

    def __init__(self, make: Callable[[], Iterator[bytes]]) -> None:
        self._make = make
        self.seek(0)

    def seek(self, position: int) -> None:
        if position:
            raise OSError("a stream can only begin anew")
        self._pieces = _store(self._make())
        self._held = b""
        self._at = 0

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._held = piece
        given, self._held = self._held[:size], self._held[size:]
        self._at += len(given)
        return given

    def close(self) -> None:
        self._pieces.close()


class Kept:
    """A writable file that stays open after DuckDB has closed it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write
        self.flush = file.flush
        self.tell = file.tell
        self.seek = file.seek

    def close(self) -> None:
        """Write out what is buffered."""
        self.flush()


def _store(pieces: Iterator[bytes]) -> Generator[bytes, None, None]:
    frame = zstandard.ZstdCompressor(level=_STORED, write_content_size=False).compressobj()
    for piece in pieces:
        if stored := frame.compress(piece):
            yield stored
    yield frame.flush()


def unpacked(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    """Yield a body's plain bytes, in pieces of bounded size.

    Args:
        file: the body as it lies.
        suffix: its encoding, one of `BODY_SUFFIXES`.

    Raises:
        UnreadableError: the body is damaged or incomplete.
        OSError: the disk refuses.
    """
    try:
        yield from _plain(file, suffix)
    except zstandard.ZstdError:
        raise UnreadableError("it is no zstd, or damaged") from None
    except zlib.error:
        raise UnreadableError("it is no gzip, or damaged") from None


def _plain(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    if suffix.endswith(".zst"):
        return _unpack(file)
    return _ungzip(file) if suffix.endswith(".gz") else iter(lambda: file.read(1 << 20), b"")


def _ungzip(file: BinaryIO) -> Iterator[bytes]:
    """Decompress the one gzip member of a file; raise UnreadableError if it is incomplete."""
    member = zlib.decompressobj(16 + zlib.MAX_WBITS)
    while not member.eof and (piece := file.read(_PIECE_BYTES)):
        yield member.decompress(piece)
    if not member.eof:
        raise UnreadableError("it is cut short")


def _unpack(file: BinaryIO) -> Iterator[bytes]:
    """Decompress all zstd frames of a file; raise UnreadableError if the last one is incomplete."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    is_begun = True  # a file of no bytes is no frame
    while piece := file.read(_PIECE_BYTES):
        while piece:
            is_begun = True
            if plain := frame.decompress(piece):
                yield plain
            piece = frame.unused_data
            if frame.eof:
                frame = decompressor.decompressobj()
                is_begun = False
    if is_begun:
        raise UnreadableError("it is cut short")


def is_one_frame(file: BinaryIO, size_bytes: int) -> bool:
    """Tell from the block headers alone whether a file of the given size is exactly one zstd frame.

    DuckDB takes a truncated frame for a complete one. It checks the contents of the blocks itself. A frame of tiny
    blocks
    does not count: the shipper writes none, and looking at each of its blocks would take too long.
    """
    head = file.read(_FRAME_HEAD_BYTES)
    try:
        frame = zstandard.get_frame_parameters(head)
        at = zstandard.frame_header_size(head)
    except (zstandard.ZstdError, ValueError):
        return False
    if not head.startswith(zstandard.MAGIC_NUMBER.to_bytes(4, "little")) or frame.window_size > _WINDOW_BYTES:
        return False
    for _ in range(_FEW_BLOCKS + size_bytes // _TINY_BLOCK_BYTES):
        file.seek(at)
        block = int.from_bytes(file.read(3), "little")
        is_last, kind, length = block & 1, block >> 1 & 3, block >> 3
        at += 3 + (1 if kind == _REPEATED else length)
        if kind == _RESERVED or at > size_bytes:
            return False
        if is_last:
            return at + 4 * frame.has_checksum == size_bytes
    return False


def _with_head(lines: bytes, head: bytes) -> bytes:
    """Return the lines, each with the members of `head` inserted before its own."""
    if lines.startswith(b"{") and lines.count(b"\n{") == lines.count(b"\n"):
        return head + lines[1:].replace(b"\n{", b"\n" + head) + b"\n"
    stripped = map(bytes.strip, split_lines(lines))
    return b"".join((head + line[1:] if line.startswith(b"{") else line) + b"\n" for line in stripped)


def split_lines(text: bytes) -> list[bytes]:
    """Split a text at its newlines, passing over blank lines: a KiB of zstd can hold 32 million of them."""
    return _BLANK_LINES.sub(b"\n", text).split(b"\n")


def _well_formed(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()
