"""Redaction of free text by the rules: a text comes out without private data, or not at all.

Clean texts cost a join and one scan; only texts for which a prefilter fired are read by the exact rules.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.allowance import Allowance
from telemetry.redact.encoded import ENCODED, find_runs, widen
from telemetry.redact.normalise import ESCAPED, UnreadableError, decode, has_invisible, normalise, shadows
from telemetry.redact.reading import Reading
from telemetry.redact.rules import RULES
from telemetry.redact.rules.network import ADDRESSES
from telemetry.redact.rules.placeholder import find_placeholders, protect
from telemetry.redact.rules.rule import EVERYWHERE
from telemetry.redact.scanner import Pattern, Scanner, ScannerUnavailableError
from telemetry.redact.settled import Settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from telemetry.redact.rules.rule import Span

MAX_TEXT_BYTES = 8192
"""The size beyond which a text is dropped: the exact rules' time must have a bound."""
_ROUNDS = 4  # a result is scanned again until nothing changes; two rounds is the rule
_LAYERS = 3  # of escapes, or of base64 and hexadecimal digits, one within the other
_RUNS = 64  # of base64 or hexadecimal digits in one text
_ESCAPED = len(RULES)  # the scanner's number for "read it decoded too"
_ENCODED = _ESCAPED + 1  # and for "text may hide in a run of it"
_FORMS = RULES.index(ADDRESSES[0])
_FIND_PASSES = 3  # to look for such runs takes, at worst, as long as so many rules
_RUN_CHARACTERS = 64  # to settle one takes about as long as to read so many more, and
_RUN_PASSES = 12  # to read what a run of digits holds, once more
_SPELLING_PASSES = 4  # to spell a text anew and to scan it takes as long as so many rules
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK = re.compile("[\ue000-\uf8ff]")
_PERCENT = re.compile("%[0-9A-Fa-f]{2}")
_CLEAN = "compaction of level 3 took 17 ms in storage.merge, 12:30:45"
# The scanner knows ASCII only; a rule that asks for foreign letters is always run on texts that have some.
_FOREIGN = {n: EVERYWHERE for n, rule in enumerate(RULES) if not _MARK.sub("", rule.pattern.pattern).isascii()}


class Finding(NamedTuple):
    """The result for a text that is not clean.

    Attributes:
        text: the redacted text; None if it can't be redacted with certainty, so that it must be dropped.
        rules: the rules that replaced something, in their order, each once; if the text is None, the reason.
    """

    text: str | None
    rules: tuple[str, ...]


class TextRedactor:
    """The rules, compiled. For use in one thread. Redacting a redacted text changes nothing.

    Args:
        cache: a directory that may hold the compiled rules, which saves a second; None to compile them.

    Raises:
        ScannerUnavailableError: there is no hyperscan here, or a rule misses its own example.
    """

    def __init__(self, cache: Path | None = None) -> None:
        prefilters = [Pattern(n, expression) for n, rule in enumerate(RULES) for expression in rule.prefilters]
        prefilters += [Pattern(_ESCAPED, expression) for expression in ESCAPED]
        prefilters += [Pattern(_ENCODED, expression) for expression in ENCODED]
        self._scanner = Scanner(prefilters, cache)
        self._settled = Settled()
        self._test_self()

    def redact(self, texts: Sequence[str]) -> dict[int, Finding]:
        """Redact many texts at once. Never raises: if the scanner fails, all the texts of the call are dropped.

        Args:
            texts: free texts, unredacted and not yet shortened.

        Returns:
            A finding by index for each text that is not clean; a clean text has none.
        """
        try:
            return self._settle(texts, {}, _LAYERS)
        except Exception:  # noqa: BLE001 - whatever it was, an unredacted text must not go on
            return {index: Finding(None, ("scanner_failed",)) for index in range(len(texts))}

    def _settle(self, texts: Sequence[str], allowances: dict[int, Allowance], layers: int) -> dict[int, Finding]:
        """Read texts, and then the results, until nothing changes.

        Args:
            texts: the texts as they arrived, or as they were decoded.
            allowances: by index, the allowances of those texts that have one already.
            layers: the number of layers of encoded runs that may still be opened.
        """
        findings = changed = self._round(texts, range(len(texts)), allowances, layers)
        for _ in range(_ROUNDS):
            again = {index: found.text for index, found in changed.items() if found.text is not None}
            if layers == _LAYERS:
                again = self._unsettled(again, allowances)
            if not again:
                return findings
            left = {index: allowances[index].left for index in again}
            changed = self._round([*again.values()], [*again], allowances, layers, opened=True)
            if layers == _LAYERS:
                for index in again.keys() - changed.keys():
                    self._settled.add(again[index], left[index] - allowances[index].left)
            for index, later in changed.items():
                rules = later.rules if later.text is None else _once((*findings[index].rules, *later.rules))
                findings[index] = Finding(later.text, rules)
        return findings | dict.fromkeys(changed, Finding(None, ("unstable",)))

    def _unsettled(self, texts: Mapping[int, str], allowances: Mapping[int, Allowance]) -> dict[int, str]:
        """Return the texts that have to be read again; for the others, that reading is charged as if it was done."""
        again: dict[int, str] = {}
        for index, text in texts.items():
            cost = self._settled.cost(text)
            if cost is None or cost > allowances[index].left:
                again[index] = text
            else:
                allowances[index].spend(cost)
        return again

    def _round(
        self,
        texts: Sequence[str],
        indices: Sequence[int],
        allowances: dict[int, Allowance],
        layers: int,
        *,
        opened: bool = False,
    ) -> dict[int, Finding]:
        # Of a text beyond ASCII only its shadows are scanned, later.
        fired = self._scanner.scan([_bytes(text) if text.isascii() else b"" for text in texts])
        suspects = set(fired)
        if not all(map(str.isascii, texts)):
            suspects.update(position for position, text in enumerate(texts) if not text.isascii())
        if max(map(len, texts), default=0) > MAX_TEXT_BYTES:
            suspects.update(position for position, text in enumerate(texts) if len(text) > MAX_TEXT_BYTES)
        findings: dict[int, Finding] = {}
        for position in sorted(suspects):
            text, index = texts[position], indices[position]
            allowance = allowances.get(index)
            if allowance is None:
                allowance = allowances[index] = Allowance(len(text))
            hits = fired.get(position, {})
            if opened:  # the rests of encoded runs were read as a part of them
                hits.pop(_ENCODED, None)
            found = self._judge(text, hits, allowance, layers)
            if found:
                findings[index] = found
        return findings

    def _judge(self, text: str, fired: Mapping[int, Span], allowance: Allowance, layers: int) -> Finding | None:
        """Read one text in all its spellings; a text that fails is dropped, and no other one with it."""
        try:
            if len(text) * (1 if text.isascii() else 4) > MAX_TEXT_BYTES and _is_oversize(text):
                return Finding(None, ("oversize",))
            if text.isascii() and _ESCAPED not in fired:
                text, names = self._read(text, fired, allowance, layers)
            else:
                text, names = self._read_spellings(text, fired, allowance, layers)
        except UnreadableError as error:
            return Finding(None, (error.why,))
        except Exception:  # noqa: BLE001 - whatever it was, an unredacted text must not go on
            return Finding(None, ("failed",))
        return Finding(text, _once(names)) if names else None

    def _read_spellings(
        self, text: str, fired: Mapping[int, Span], allowance: Allowance, layers: int
    ) -> tuple[str, list[str]]:
        if _SURROGATE.search(text):
            raise UnreadableError("undecodable")
        bare = normalise(text)
        if bare == text and text.isascii():  # it is what the scanner has seen
            plain, names = self._read(text, fired, allowance, layers)
        else:
            plain, names = self._read_as(bare, allowance, layers)
        if has_invisible(text):
            _, others = self._read_as(normalise(text, invisible=" "), allowance, layers)
            if Counter(others) != Counter(names):
                raise UnreadableError("ambiguous")  # invisible characters decide what it says
        plain, names = self._read_decoded(bare, plain, names, allowance, layers)
        if not _has_form(bare):
            return plain, names
        # In a form a plus sign may stand for a blank; it is one only if that shows something private.
        formed, inner = self._read_as(normalise(_decoded(plain.replace("+", " "))), allowance, layers)
        return (formed, names + inner) if inner else (plain, names)

    def _read_decoded(
        self, bare: str, plain: str, names: list[str], allowance: Allowance, layers: int
    ) -> tuple[str, list[str]]:
        deepest = _decoded(bare)
        if deepest == bare:
            return plain, names
        # A rule that reads a text with its escapes may take a part of a value for all of it; one that reads it without
        # them does not see where a value ends. So it is read both ways, and what either of them would hide is hidden.
        deeper = plain
        while (decoded := decode(deeper)) != deeper:
            deeper, inner = self._read_as(normalise(decoded), allowance, layers)
            if inner:
                plain, names = deeper, names + inner
        other, others = self._read_as(deepest, allowance, layers)
        left, left_of_other = _left_of(_decoded(plain)), _left_of(other)
        if _is_within(left, left_of_other):
            return plain, names
        if _is_within(left_of_other, left):
            return other, others
        raise UnreadableError("ambiguous")

    def _read_as(self, text: str, allowance: Allowance, layers: int) -> tuple[str, list[str]]:
        """Read a spelling that the scanner has not seen yet."""
        if len(text) > MAX_TEXT_BYTES:
            raise UnreadableError("oversize")
        allowance.spend(_SPELLING_PASSES * len(text))
        return self._read(text, self._fired(text), allowance, layers)

    def _fired(self, text: str) -> Mapping[int, Span]:
        if text.isascii():
            return self._scanner.scan_one(text.encode())
        letters, signs = map(self._scanner.scan_one, shadows(text))
        return {n: _union(letters.get(n), signs.get(n)) for n in letters.keys() | signs.keys()} | _FOREIGN

    def _read(self, text: str, fired: Mapping[int, Span], allowance: Allowance, layers: int) -> tuple[str, list[str]]:
        """Read one spelling, opening encoded runs before a rule of numbers, paths or hosts takes a part of one."""
        reading = Reading(text, fired, allowance)
        if _ENCODED in fired:
            reading.apply(0, _FORMS)
            self._open(reading, layers)
            reading.apply(_FORMS, len(RULES))
        else:
            reading.apply(0, len(RULES))
        return reading.result()

    def _open(self, reading: Reading, layers: int) -> None:
        """Replace encoded runs that hold something private with placeholders; others stay as they are."""
        text, allowance = reading.text, reading.allowance
        allowance.spend(_FIND_PASSES * len(text))
        runs = find_runs(text)
        if not runs:
            return
        if not layers:
            raise UnreadableError("nested")
        if len(runs) > _RUNS:
            raise UnreadableError("costly")
        allowance.spend(_RUN_PASSES * sum(_RUN_CHARACTERS + len(run.text) for run in runs))
        findings = self._settle([run.text for run in runs], dict.fromkeys(range(len(runs)), allowance), layers - 1)
        parts: list[str] = []
        copied = 0
        for number, found in sorted(findings.items()):
            if found.text is None:
                raise UnreadableError(*found.rules)
            start, end = widen(text, runs[number])
            parts += (text[copied : max(copied, start)], *map(protect, find_placeholders(found.text)))
            copied = max(copied, end)
            reading.names += found.rules
        reading.replace("".join([*parts, text[copied:]]))

    def _test_self(self) -> None:
        found = self.redact([_CLEAN, *(rule.example for rule in RULES), _CLEAN])
        missed = [rule.name for n, rule in enumerate(RULES, 1) if n not in found or found[n].text != rule.becomes]
        if missed or len(found) != len(RULES):
            raise ScannerUnavailableError(
                f"the scanner's self-test failed for {', '.join(_once(missed)) or 'a clean text'}: "
                "install the version of hyperscan that this package asks for"
            )


def _decoded(text: str) -> str:
    """Return a text without its escapes, undone layer by layer."""
    for _ in range(_LAYERS):
        decoded = normalise(decode(text))
        if decoded == text:
            return text
        text = decoded
    if decode(text) != text:
        raise UnreadableError("nested")
    return text


def _has_form(text: str) -> bool:
    """Tell whether a run of a text may be form data: plus signs beside percent escapes, or in a query."""
    if "+" not in text:
        return False
    return any("+" in run and (_PERCENT.search(run) or ("=" in run and "&" in run)) for run in text.split())


def _left_of(redacted: str) -> str:
    """Return a text without placeholders and blanks."""
    return "".join(_MARK.sub("", protect(redacted)).split())


def _is_within(one: str, other: str) -> bool:
    """Tell whether one text is the other one with some characters taken out."""
    rest = iter(other)
    return all(character in rest for character in one)


def _bytes(text: str) -> bytes:
    """Return the bytes of a text to scan; none for one that is too long."""
    return text.encode("utf-8", "surrogatepass") if len(text) <= MAX_TEXT_BYTES else b""


def _is_oversize(text: str) -> bool:
    return len(text) > MAX_TEXT_BYTES or len(_bytes(text)) > MAX_TEXT_BYTES


def _union(one: Span | None, other: Span | None) -> Span:
    if one is None or other is None:
        return one or other or EVERYWHERE
    return min(one[0], other[0]), max(one[1], other[1])


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
