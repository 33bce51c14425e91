"""Redaction of free text by the rules and by this machine's own names, the same wherever text is redacted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.redact.names.known import KnownNames
from telemetry.redact.names.redactor import rewrite, secrets
from telemetry.redact.settled import Settled
from telemetry.redact.text import Finding, TextRedactor

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from telemetry.redact.names.name import Name


class FreeTextRedactor:
    """The rules and names, compiled. For use in one thread.

    Args:
        names: this machine's own names; held in memory only.
        cache: a directory that may hold the compiled rules, never the names; None to compile them.

    Raises:
        ScannerUnavailableError: there is no hyperscan here, or its self-test failed.
    """

    def __init__(self, names: Collection[Name] = (), cache: Path | None = None) -> None:
        self._rules = TextRedactor(cache)
        self._names = KnownNames(names)
        self._nameless = Settled()

    def look_for(self, names: Collection[Name]) -> None:
        """Set the names to take out from now on; if they are refused, every text is dropped."""
        self._nameless.clear()
        self._names.look_for(names)

    def names_own(self, word: str) -> bool:
        """Tell whether a word holds one of this machine's own names.

        Raises ScannerUnavailableError if that is unknown.
        """
        suspects = self._names.suspects([word])
        return bool(suspects) and rewrite(word, suspects[0]) is not None

    def redact(self, texts: Sequence[str]) -> dict[int, Finding]:
        """Redact many texts at once. Never raises: if anything fails, all the texts of the call are dropped.

        Args:
            texts: free texts, unredacted and not yet shortened.

        Returns:
            A finding by index for each text that is not clean; a clean text has none.
        """
        try:
            return self._redact(texts)
        except Exception:  # noqa: BLE001 - whatever it was, also no names; an unredacted text must not go on
            return {index: Finding(None, ("scanner_failed",)) for index in range(len(texts))}

    def _redact(self, texts: Sequence[str]) -> dict[int, Finding]:
        names = self._names
        suspects = names.suspects(texts)
        findings: dict[int, Finding] = {}
        given = list(texts)
        for index, suspect in suspects.items():
            if (found := rewrite(texts[index], secrets(suspect))) is not None:
                findings[index] = found
                given[index] = found.text or ""
        for index, found in self._rules.redact(given).items():
            findings[index] = _then(findings.get(index), found)
        # A changed text may show a name that was hidden before.
        changed = {
            index: found.text
            for index, found in findings.items()
            if found.text is not None and self._nameless.cost(found.text) is None
        }
        again = names.suspects(list(changed.values())) if changed else {}
        for n, text in enumerate(changed.values()):
            if n not in again:
                self._nameless.add(text)
        left = [(index, texts[index], suspect) for index, suspect in suspects.items() if index not in findings]
        left += [(index, changed[index], again[n]) for n, index in enumerate(changed) if n in again]
        for index, text, suspect in left:
            if (found := rewrite(text, suspect)) is not None:
                findings[index] = _then(findings.get(index), found)
        return findings


def _then(first: Finding | None, second: Finding) -> Finding:
    """Combine the findings of two stages, one after the other."""
    if first is None:
        return second
    return Finding(second.text, tuple(dict.fromkeys((*first.rules, *second.rules))))
