"""The stage that takes this machine's own names out of texts: one scan for all, exact work on those that it hits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.names import prefilter
from telemetry.redact.names.encoded import find_encoded
from telemetry.redact.names.find import Span, find
from telemetry.redact.normalise import ESCAPED, UnreadableError, decode, has_invisible, normalise
from telemetry.redact.rules.placeholder import mark, protect, reveal
from telemetry.redact.scanner import Pattern, Scanner
from telemetry.redact.text import MAX_TEXT_BYTES, Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from telemetry.redact.names.name import Name

_LAYERS = 3  # of escapes, one within the other; as for the rules


class Suspect(NamedTuple):
    """A text that the scan hit.

    Attributes:
        names: the names that may stand in it; for a text that is read in other spellings, all.
        encoded: whether a name may stand in it as base64 or hexadecimal digits.
        respelled: whether it has escapes, or characters beyond ASCII.
    """

    names: tuple[Name, ...]
    encoded: bool
    respelled: bool


class NameRedactor:
    """The names, compiled. For use in one thread.

    Args:
        names: the names to take out; held in memory only.

    Raises:
        ScannerUnavailableError: there is no hyperscan here, or it refuses them.
    """

    def __init__(self, names: Collection[Name]) -> None:
        self._names = tuple(sorted(names, key=lambda name: (name.kind, name.folded)))
        self._escaped = len(self._names)
        patterns = [
            Pattern(n, expression) for n, name in enumerate(self._names) for expression in prefilter.plain(name)
        ]
        encoded = [
            Pattern(n, expression) for n, name in enumerate(self._names) if (expression := prefilter.encoded(name))
        ]
        # No cache: these patterns are what must never be written down. Two compile in half the time of one.
        self._scanner = Scanner([*patterns, *(Pattern(self._escaped, expression) for expression in ESCAPED)])
        self._encoded_scanner = Scanner(encoded) if encoded else None

    def suspects(self, texts: Sequence[str]) -> dict[int, Suspect]:
        """Return the texts that may hold a name, by index; those that are too long to be kept are left out."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        encoded = [text if len(text) <= MAX_TEXT_BYTES else b"" for text in encoded]
        fired = self._scanner.scan(encoded)
        as_digits = self._encoded_scanner.scan(encoded).keys() if self._encoded_scanner else set()
        fired |= {n: fired.get(n, {}) for n in as_digits}
        if not all(map(str.isascii, texts)):
            fired |= {n: fired.get(n, {}) for n, text in enumerate(texts) if encoded[n] and not text.isascii()}
        return {n: self._suspect(texts[n], found, encoded=n in as_digits) for n, found in sorted(fired.items())}

    def _suspect(self, text: str, fired: Collection[int], *, encoded: bool) -> Suspect:
        respelled = self._escaped in fired or not text.isascii()
        names = self._names if respelled or encoded else tuple(self._names[n] for n in sorted(fired))
        return Suspect(names, encoded, respelled)


def secrets(suspect: Suspect) -> Suspect:
    """Keep only the names that a rule could cut to pieces before they are found: secrets, of any characters."""
    names = tuple(name for name in suspect.names if name.kind == "secret")
    return suspect._replace(names=names)


def rewrite(text: str, suspect: Suspect) -> Finding | None:
    """Take the names out of a text, whatever its spelling; return None if it has none. Never raises."""
    if not suspect.names:
        return None
    try:
        return _rewrite(text, suspect)
    except UnreadableError as error:
        return Finding(None, (error.why,))
    except Exception:  # noqa: BLE001 - whatever it was, an unredacted text must not go on
        return Finding(None, ("failed",))


def _rewrite(text: str, suspect: Suspect) -> Finding | None:
    names = suspect.names
    if not suspect.respelled:
        return _finding(*_replace(text, names, encoded=suspect.encoded))
    plain, count = _replace(normalise(text), names, encoded=suspect.encoded)
    if has_invisible(text):
        apart = _replace(normalise(text, invisible=" "), names, encoded=suspect.encoded)[1]
        if apart != count:
            return Finding(None, ("ambiguous",))  # invisible characters decide what it says
    deeper = plain
    for _ in range(_LAYERS):
        decoded = decode(deeper)
        if decoded == deeper:
            break
        deeper, inner = _replace(normalise(decoded), names, encoded=True)
        if inner:
            plain, count = deeper, count + inner
    else:
        if decode(deeper) != deeper:
            return Finding(None, ("nested",))
    return _finding(plain, count)


def _replace(text: str, names: Sequence[Name], *, encoded: bool) -> tuple[str, Counter[str]]:
    text = protect(text)
    count: Counter[str] = Counter()
    # Again while it finds something: a placeholder may be the edge that a name beside it lacked.
    while spans := find(text, names) or (find_encoded(text, names) if encoded else []):
        text = _write(text, spans, count)
    return reveal(text), count


def _write(text: str, spans: Iterable[Span], count: Counter[str]) -> str:
    parts: list[str] = []
    copied = 0
    for start, end, kind in spans:
        if start < copied:  # a run of hexadecimal digits within one of base64
            continue
        parts += (text[copied:start], mark(kind))
        copied = end
        count[f"own:{kind}"] += 1
    return "".join([*parts, text[copied:]])


def _finding(text: str, count: Counter[str]) -> Finding | None:
    return Finding(text, tuple(count)) if count else None
