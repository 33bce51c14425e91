"""Free text in, free text without private data out, or nothing.

Clean texts cost a join and one scan; only texts that a prefilter fired on are read by the exact rules.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.normalise import ESCAPED, decode, has_invisible, normalise
from telemetry.redact.rules import RULES
from telemetry.redact.rules.placeholder import protect, reveal
from telemetry.redact.scanner import Pattern, Scanner, ScannerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MAX_TEXT_BYTES = 8192
"""A longer text is dropped: the exact rules' time must have a bound."""
_ROUNDS = 4  # a result is scanned again until nothing changes; two rounds is the rule
_LAYERS = 3  # of escapes, one within the other
_ALL = frozenset(range(len(RULES)))
_ESCAPED = len(RULES)  # the scanner's number for "read it decoded too"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CLEAN = "compaction of level 3 took 17 ms in storage.merge, 12:30:45"


class Finding(NamedTuple):
    """What became of a text that is not clean.

    Attributes:
        text: the redacted text; None when it can't be redacted with certainty, so it must be dropped.
        rules: the rules that replaced something, in their order, each once; when the text is None, why.
    """

    text: str | None
    rules: tuple[str, ...]


class TextRedactor:
    """The rules, compiled. For one thread. Redacting what is redacted changes nothing.

    Args:
        cache: a directory that may hold the compiled rules, which saves a second; None to compile them.

    Raises:
        ScannerUnavailableError: there is no hyperscan here, or a rule misses its own example.
    """

    def __init__(self, cache: Path | None = None) -> None:
        prefilters = [Pattern(n, expression) for n, rule in enumerate(RULES) for expression in rule.prefilters]
        self._scanner = Scanner([*prefilters, *(Pattern(_ESCAPED, expression) for expression in ESCAPED)], cache)
        self._test_self()

    def redact(self, texts: Sequence[str]) -> dict[int, Finding]:
        """Redact many texts at once. Never raises: when the scanner fails, all the texts of the call are dropped.

        Args:
            texts: free texts, unredacted and not yet shortened.

        Returns:
            A finding by index for each text that is not clean; a clean text has none.
        """
        try:
            return self._redact(texts)
        except Exception:  # noqa: BLE001 - whatever it was, an unredacted text must not go on
            return {index: Finding(None, ("scanner_failed",)) for index in range(len(texts))}

    def _redact(self, texts: Sequence[str]) -> dict[int, Finding]:
        findings = self._round(texts)
        changed = list(findings)
        for _ in range(_ROUNDS):
            again = [(index, text) for index in changed if (text := findings[index].text) is not None]
            if not again:
                return findings
            found = self._round([text for _, text in again])
            changed = [again[position][0] for position in found]
            for index, later in zip(changed, found.values(), strict=True):
                findings[index] = Finding(later.text, _once((*findings[index].rules, *later.rules)))
        return findings | dict.fromkeys(changed, Finding(None, ("unstable",)))

    def _round(self, texts: Sequence[str]) -> dict[int, Finding]:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        findings: dict[int, Finding] = {}
        if max(map(len, encoded), default=0) > MAX_TEXT_BYTES:
            findings = {i: Finding(None, ("oversize",)) for i, text in enumerate(encoded) if len(text) > MAX_TEXT_BYTES}
            encoded = [b"" if index in findings else text for index, text in enumerate(encoded)]
        fired = self._scanner.scan(encoded)
        suspects = set(fired)
        if not "".join(texts).isascii():
            suspects.update(index for index, text in enumerate(texts) if not text.isascii())
        for index in sorted(suspects - findings.keys()):
            if found := rewrite(texts[index], fired.get(index, ())):
                findings[index] = found
        return findings

    def _test_self(self) -> None:
        found = self.redact([_CLEAN, *(rule.example for rule in RULES), _CLEAN])
        missed = [rule.name for n, rule in enumerate(RULES, 1) if n not in found or found[n].text != rule.becomes]
        if missed or len(found) != len(RULES):
            raise ScannerUnavailableError(
                f"the scanner's self-test failed for {', '.join(_once(missed)) or 'a clean text'}: "
                "install the version of hyperscan that this package asks for"
            )


def rewrite(text: str, fired: Iterable[int]) -> Finding | None:
    """Read a text by the exact rules, whatever its spelling; None when it is clean.

    Args:
        text: at most `MAX_TEXT_BYTES` long.
        fired: the numbers of the rules whose prefilters matched; counts for plain ASCII texts only.
    """
    fired = set(fired)
    if text.isascii() and _ESCAPED not in fired:
        return _finding(*_apply(text, fired))
    if _SURROGATE.search(text):
        return Finding(None, ("undecodable",))
    plain, count = _apply(normalise(text), _ALL)
    if has_invisible(text) and _apply(normalise(text, invisible=" "), _ALL)[1] != count:
        return Finding(None, ("ambiguous",))  # what nobody sees decides what it says
    deeper = plain
    for _ in range(_LAYERS):
        decoded = decode(deeper)
        if decoded == deeper:
            break
        deeper, inner_count = _apply(normalise(decoded), _ALL)
        if inner_count:
            plain, count = deeper, count + inner_count
    else:
        if decode(deeper) != deeper:
            return Finding(None, ("nested",))
    return _finding(plain, count)


def _apply(text: str, numbers: Iterable[int]) -> tuple[str, Counter[str]]:
    count: Counter[str] = Counter()
    text = protect(text)
    for number in sorted(numbers):
        text, replaced = RULES[number].apply(text)
        if replaced:
            count[RULES[number].name] += replaced
    return reveal(text), count


def _finding(text: str, count: Counter[str]) -> Finding | None:
    return Finding(text, tuple(count)) if count else None


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
