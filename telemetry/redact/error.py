"""What leaves of an `error` field: the type and own frames that the host reduced it to, or nothing."""

from __future__ import annotations

import re

MAX_CHARACTERS = 1_000
MAX_FRAMES = 20
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_FRAME = rf"{_DOTTED}:{_NAME}:\d{{1,7}}"
# A class has a capital: what else has none is a person's name or a host's.
_TYPE = rf"(?:{_NAME}\.)*(?=[a-z0-9_]*[A-Z]){_NAME}"
_REDUCED = re.compile(rf"{_TYPE}(?:@{_FRAME}(?:;{_FRAME}){{0,{MAX_FRAMES - 1}}})?")


def reduce(value: str) -> str | None:
    """Let an exception pass that has been reduced already.

    Args:
        value: `TypeName` or `TypeName@module:function:line;module:function:line`, ASCII identifiers, at most
            `MAX_FRAMES` frames and `MAX_CHARACTERS` characters.

    Returns:
        The value as it is; None when it has any other form, a message for example.
    """
    return value if len(value) <= MAX_CHARACTERS and _REDUCED.fullmatch(value) else None
