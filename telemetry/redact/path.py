"""Redaction of a `path` field, of which only the extension leaves, if it is a common one."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

COMMON = frozenset(
    "avro bak bin bmp bz2 c cfg conf cpp cs css csv dat db docx dll exe feather gif go gz h html ico ini ipynb "
    "jar java jpeg "
    "jpg js json jsonl log lz4 md mp3 mp4 orc parquet pdf php pkl png proto ps1 py rb rs sh so sql sqlite svg "
    "tar tmp toml "
    "tsv txt ts wasm whl xlsx xml yaml yml zip zst".split()
)


def extension(path: str) -> str:
    """Return the extension of a path, POSIX or Windows.

    Args:
        path: a path or a bare file name.

    Returns:
        The extension in small letters if it is in `COMMON`, else `other`; `none` for a name without one.
    """
    name = path.replace("\\", "/").rpartition("/")[2].strip()
    stem, _, last = name.rpartition(".")
    if not stem.strip(".") or not last:
        return "none"
    return last.lower() if last.lower() in COMMON else "other"
