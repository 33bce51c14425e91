"""Redaction of an `error` field: it leaves as the type and own frames to which the host reduced it, or not at all."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.redact.free_text import FreeTextRedactor
    from telemetry.redact.text import Finding

MAX_CHARACTERS = 1_000
MAX_FRAMES = 20
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_FRAME = rf"{_DOTTED}:{_NAME}:\d{{1,7}}"
# A class has a capital: what else has none is a person's name or a host's.
_TYPE = rf"(?:{_NAME}\.)*(?=[a-z0-9_]*[A-Z]){_NAME}"
_REDUCED = re.compile(rf"{_TYPE}(?:@{_FRAME}(?:;{_FRAME}){{0,{MAX_FRAMES - 1}}})?")
_NO_NAME = re.compile("[@;:]")  # between the names of a reduced exception
_NEVER_NAMES = frozenset(["secret", "jwt", "key", "opaque", "card", "iban", "uuid"])
_CACHED = 1024


def reduce(value: str) -> str | None:
    """Let an exception pass that has been reduced already.

    Args:
        value: `TypeName` or `TypeName@module:function:line;module:function:line`, ASCII identifiers, at most
            `MAX_FRAMES` frames and `MAX_CHARACTERS` characters.

    Returns:
        The value as it is; None if it has any other form, that of a message for example.
    """
    return value if len(value) <= MAX_CHARACTERS and _REDUCED.fullmatch(value) else None


def reducer(texts: FreeTextRedactor | None) -> Callable[[str], str | None]:
    """Return a `reduce` that also refuses what only looks like an exception: a name of this machine, or a token.

    Args:
        texts: the redactor of free text; None where there is no scanner, then only the form is checked.
    """
    holds_private = lru_cache(_CACHED)(partial(_holds_private, texts))  # a program's errors are much the same

    def reduced_or_none(value: str) -> str | None:
        reduced = reduce(value)
        if reduced is None or (texts is not None and texts.names_own(reduced.partition("@")[0])):
            return None
        return None if holds_private(reduced) else reduced

    return reduced_or_none


def _holds_private(texts: FreeTextRedactor | None, reduced: str) -> bool:
    findings = {} if texts is None else texts.redact(_NO_NAME.split(reduced))
    return any(map(_is_private, findings.values()))


def _is_private(found: Finding) -> bool:
    """Tell whether the rules found something that no source code has as a name. A module may look like a host."""
    return found.text is None or any(rule.partition(":")[0] in _NEVER_NAMES for rule in found.rules)
