"""Reader of a catalog's file with the lists of values that lie beside it, as one text that needs no other file.

An enum may say `values_file = "routes.txt"` in the place of `values`: a file beside the catalog with a value a line,
which `telemetry catalog values` collects. What is hashed, kept and parsed has the values in it, so a catalog's digest
covers them, and a copy is whole. Standard library only: the host reads the file by this.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KEY = "values_file"
COMMENT = "# "
_LINE = re.compile(rb'\bvalues_file[ \t]*=[ \t]*"([^"\\\n]*)"')


def read_whole(file: Path) -> bytes:
    """Return the bytes of a catalog's file with its lists put in; a list that can't be read stays a name.

    Raises:
        OSError: the catalog's file can't be read.
    """
    data = file.read_bytes()
    return _LINE.sub(partial(_put_in, file.parent), data) if KEY.encode() in data else data


def values_in(text: str) -> list[str]:
    """Return the values of a list: a line each, but for blank lines and those that begin with a # and a blank."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and line != COMMENT.strip() and not line.startswith(COMMENT)]


def _put_in(directory: Path, found: re.Match[bytes]) -> bytes:
    from json import dumps  # noqa: PLC0415 few catalogs have a list

    try:
        values = values_in((directory / found[1].decode()).read_text("utf-8-sig"))
    except (OSError, ValueError):
        return found[0]
    return f"values = {dumps(values, ensure_ascii=False)}".encode()
