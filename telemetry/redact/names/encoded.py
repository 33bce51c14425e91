"""Search for names within runs of base64 or hexadecimal digits.

The whole run is redacted: data beside a name is private too.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error, unhexlify
from typing import TYPE_CHECKING

from telemetry.redact.names.find import Span, find
from telemetry.redact.normalise import decode, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from telemetry.redact.names.name import Name

_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")
_HEX_RUN = re.compile(r"[0-9A-Fa-f]{8,}")
_GROUP = 4  # digits of base64 for three bytes
_STANDARD = str.maketrans("-_", "+/")


def find_encoded(text: str, names: Sequence[Name]) -> list[Span]:
    """Return the runs of digits that hold a name, wherever in them it begins."""
    spans = []
    for pattern, read in ((_HEX_RUN, _read_hex), (_BASE64_RUN, _read_base64)):
        for run in pattern.finditer(text):
            kinds = (span.kind for content in read(run[0]) for span in find(content, names))
            if (kind := next(kinds, None)) is not None:
                spans.append(Span(run.start(), run.end(), kind))
    return sorted(spans)


def _read_hex(run: str) -> Iterator[str]:
    for start in (0, 1):
        digits = run[start:]
        yield from _spellings(unhexlify(digits[: len(digits) // 2 * 2]))


def _read_base64(run: str) -> Iterator[str]:
    digits = run.rstrip("=").translate(_STANDARD)
    for start in range(_GROUP):
        part = digits[start:]
        part = part[: len(part) - 1] if len(part) % _GROUP == 1 else part  # one digit alone is no byte
        try:
            yield from _spellings(b64decode(part + "=" * (-len(part) % _GROUP)))
        except Error:
            continue


def _spellings(content: bytes) -> Iterator[str]:
    text = normalise(content.decode(errors="replace"))
    yield text
    if (decoded := decode(text)) != text:
        yield normalise(decoded)
