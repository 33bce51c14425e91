"""Runs of base64 or hexadecimal digits that hold text, which the rules have to read too.

Random, compressed or hashed data decodes to bytes that are no text, and is left to the rules. Text is told from it by
its bits: of four base64 characters that hold three printable ASCII characters, the first three have few values.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ANY64 = r"[A-Za-z0-9+/_\-]"
_QUAD = rf"[I-Za-f][C-HS-Xi-nyz0-3][ABEFIJMNQRUVYZcdghklopstwx014589]{_ANY64}"
_WIDE_OCTAD = rf"[I-Za-f][AQgw][AB]{_ANY64}A[C-H][AEIMQUYcgkosw048]A"  # UTF-16: each other byte is zero
_WIDE_SHIFTED = rf"A[C-H][AEIMQUYcgkosw048]A[I-Za-f][AQgw][AB]{_ANY64}"
_TEXT64 = rf"(?:{_QUAD}{_QUAD}{_ANY64}{{2}}|{_WIDE_OCTAD}|{_WIDE_SHIFTED})"
_BYTE = r"(?:0x)?[2-7][0-9a-fA-F](?:[:\-]|,? )?"
_TEXT16 = rf"(?:(?:{_BYTE}){{8}}|(?:[2-7][0-9a-fA-F]00){{4}}|(?:00[2-7][0-9a-fA-F]){{4}})"

ENCODED = (f"(?-i){_TEXT64}", _TEXT16)
"""The prefilters: eight bytes of text, in base64 at any offset or in hexadecimal digits. About one in ten random
hashes has that; of lines of source code, one in a hundred."""

# A line that goes on without a break is at most 76 characters long (MIME); then the next one belongs to it.
# The first character is the first of the run: to try each one of a word would take five times as long.
_RUN64 = re.compile(
    rf"{_ANY64}(?<!{_ANY64}{_ANY64})(?:{_ANY64}{{59,75}}(?:\r?\n|\\n)(?:{_ANY64}{{60,76}}(?:\r?\n|\\n))*{_ANY64}{{10,}}|{_ANY64}{{9,}})={{0,2}}"
)
_RUN16 = re.compile(
    r"[0-9a-fA-F]{16,}|[0-9a-fA-F]{2,4}(?:[ :\-][0-9a-fA-F]{2,4}(?![0-9a-fA-F])){3,}"
    r"|0x[0-9a-fA-F]{2}(?:,? 0x[0-9a-fA-F]{2}){3,}"
)
_START64 = re.compile(f"(?={_TEXT64})")
_START16 = re.compile(f"(?={_TEXT16})")
_PART64 = re.compile(r"[A-Za-z0-9+]{10,}|[^/_-]+")
_NO_DIGIT64 = re.compile(r"[^A-Za-z0-9+/_\-]|\\n")
_NO_DIGIT16 = re.compile(r"0x|[^0-9a-fA-F]")
_TO_STANDARD = str.maketrans("-_", "+/")
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]+")
# A token may have parts with dots between them; one that holds something private goes with the others.
_DOTTED_LEFT = re.compile(r"(?:[\w+/\-]{1,400}+\.){1,8}\Z", re.ASCII)
_DOTTED_RIGHT = re.compile(r"[\w+/\-=]*+(?:\.[\w+/\-=]++)*+", re.ASCII)
_LEFT_CHARACTERS = 400
_NUMERIC = re.compile(r"[A-Za-z0-9 +()=:.,'\"-]*")
_SHORTEST_BYTES = 8
_SURE_BYTES = 24  # so much text in a row is no chance, whatever stands around it


class Run(NamedTuple):
    """An encoded run that holds text: its place, and the text."""

    start: int
    end: int
    text: str


def find_runs(text: str) -> list[Run]:
    """Return the runs in a text that hold text, from left to right; none overlaps another."""
    found: list[Run] = []
    for run in sorted((*_runs(text, _RUN16, _read16), *_runs(text, _RUN64, _read64))):
        if found and run.start < found[-1].end:  # it can be read in two ways
            start, end, said = found.pop()
            found.append(Run(start, max(end, run.end), f"{said} {run.text}"))
        else:
            found.append(run)
    return found


def widen(text: str, run: Run) -> tuple[int, int]:
    """Return the bounds of the whole token that a run is a part of."""
    left = _DOTTED_LEFT.search(text, max(0, run.start - _LEFT_CHARACTERS), run.start)
    right = _DOTTED_RIGHT.match(text, run.end)
    return (left.start() if left else run.start), (right.end() if right else run.end)


def _runs(text: str, pattern: re.Pattern[str], read: Callable[[str], str]) -> Iterator[Run]:
    for match in pattern.finditer(text):
        said = read(match[0])
        if said:
            yield Run(match.start(), match.end(), said)


def _read64(run: str) -> str:
    digits = _NO_DIGIT64.sub("", run)
    if not _START64.search(digits):  # as most; nor is there one in its parts
        return ""
    # What stands before or behind it in a path or a name is no part of it.
    parts = _PART64.findall(digits)
    return _read_digits(digits) or (" ".join(filter(None, map(_read_digits, parts))) if len(parts) > 1 else "")


def _read_digits(digits: str) -> str:
    offsets = _offsets(_START64, digits, 4)
    standard = digits.translate(_TO_STANDARD)
    return " ".join(filter(None, (_said(_decode64(standard[offset:])) for offset in sorted(offsets))))


def _offsets(start: re.Pattern[str], digits: str, group: int) -> set[int]:
    """Return the offsets, within a group of digits, at which text may begin."""
    offsets: set[int] = set()
    for match in start.finditer(digits):
        offsets.add(match.start() % group)
        if len(offsets) == group:
            break
    return offsets


def _decode64(digits: str) -> bytes:
    whole = digits[:-1] if len(digits) % 4 == 1 else digits
    return base64.b64decode(whole + "=" * (-len(whole) % 4))


def _read16(run: str) -> str:
    digits = _NO_DIGIT16.sub("", run)
    if not _START16.search(digits):
        return ""
    offsets = _offsets(_START16, digits, 2)
    said = [_said(_decode16(digits[offset:])) for offset in sorted(offsets)]
    if digits.isdecimal():  # a number is a number, unless it spells one: long ones often spell some letters and signs
        said = [text for text in said if _NUMERIC.fullmatch(text)]
    return " ".join(filter(None, said))


def _decode16(digits: str) -> bytes:
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _said(raw: bytes) -> str:
    """Return the text that bytes hold; an empty string if most of them are none."""
    narrow = raw.replace(b"\0", b"")
    if len(narrow) * 3 < len(raw) * 2:  # UTF-16
        raw = narrow
    pieces = _NO_TEXT.split(raw.decode("utf-8", "replace"))
    sizes = [len(piece.encode()) for piece in pieces]
    if max(sizes) < _SHORTEST_BYTES or (max(sizes) < _SURE_BYTES and sum(sizes) * 10 < len(raw) * 9):
        return ""
    return " ".join(piece for piece, size in zip(pieces, sizes, strict=True) if size >= _SHORTEST_BYTES)
