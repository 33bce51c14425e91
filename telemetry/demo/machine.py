"""This machine's installed packages and running processes, as events."""

from __future__ import annotations

import io
import os
import random
import re
import sysconfig
import tokenize
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


Event = tuple[str, dict[str, Any]]

_TYPES = {number: name.lower() for number, name in tokenize.tok_name.items()}
_SKIPPED = {"site-packages", "dist-packages", "__pycache__"}
_DIRECTIVE = re.compile(r"#\s*(noqa|type|pragma|todo|fixme)\b", re.IGNORECASE)
_STATEMENT = re.compile(
    r"""[rRuU]?("{3}|'{3}|"|')\s*(?:SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|CREATE\s+TABLE|DROP\s+TABLE)\s"""
)
_SEED = 1


_ATTRIBUTES = ["name", "exe", "username", "cmdline", "memory_info"]


def roots() -> dict[str, list[str]]:
    """Return the directories of this Python's code, by `origin`."""
    paths = sysconfig.get_paths()
    return {"stdlib": [paths["stdlib"]], "packages": list(dict.fromkeys((paths["purelib"], paths["platlib"])))}


def list_files(directories: Sequence[str]) -> list[Path]:
    """List all .py files below, but not the packages that lie inside the standard library's directory."""
    return sorted(path for directory in directories for path in _walk(directory))


def shuffled(paths: list[Path]) -> list[Path]:
    """Shuffle in the same way on every run, so that a short run meets some of everything."""
    return random.Random(_SEED).sample(paths, len(paths))  # noqa: S311 no secret hangs on it


def file_events(path: Path, clock_seconds: Callable[[], float]) -> Iterator[Event]:
    """Yield the events of one file; `file_refused` is the only one when it can't be read or tokenised.

    Args:
        path: of the file.
        clock_seconds: measures how long reading and tokenising took.
    """
    began = clock_seconds()
    try:
        size_bytes = path.stat().st_size
        tokens = _tokenise(path)
    except (OSError, SyntaxError, UnicodeError, tokenize.TokenError) as failure:
        yield "file_refused", {"file": str(path), "failure": failure}
        return
    duration_ms = (clock_seconds() - began) * 1e3
    yield from _token_events(tokens)
    yield "file_read", _file_fields(path, size_bytes, tokens, duration_ms)


def _walk(directory: str) -> Iterator[Path]:
    for folder, below, names in os.walk(directory):
        below[:] = [name for name in below if name not in _SKIPPED]
        yield from (Path(folder, name) for name in names if name.endswith(".py"))


def _tokenise(path: Path) -> list[tokenize.TokenInfo]:
    with tokenize.open(path) as file:
        text = file.read()
    return list(tokenize.generate_tokens(io.StringIO(text).readline))


def _token_events(tokens: list[tokenize.TokenInfo]) -> Iterator[Event]:
    depth = 0
    for type_, text, (line, column), _, source in tokens:
        if type_ == tokenize.INDENT:
            depth += 1
        elif type_ == tokenize.DEDENT:
            depth -= 1
        yield (
            "token",
            {"type": _TYPES[type_], "length": len(text), "line": line, "column": column, "depth": depth},
        )
        if type_ == tokenize.COMMENT:
            yield "comment", _comment_fields(text, line, source[:column])
        elif type_ == tokenize.STRING and (found := _STATEMENT.match(text)):
            statement = text[found.end(1) : -len(found[1])]
            yield "statement", {"statement": statement, "length": len(statement), "line": line}


def _comment_fields(text: str, line: int, before: str) -> dict[str, Any]:
    directive = _DIRECTIVE.match(text)
    return {
        "text": text,
        "length": len(text),
        "line": line,
        "own_line": not before.strip(),
        "directive": directive[1].lower() if directive else "none",
    }


def _file_fields(path: Path, size_bytes: int, tokens: list[tokenize.TokenInfo], duration_ms: float) -> dict[str, Any]:
    lines = tokens[-1].start[0]
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    return {
        "file": str(path),
        "bytes": size_bytes,
        "lines": lines,
        "comment_ratio": len(commented) / max(lines, 1),
        "duration_ms": duration_ms,
    }


def package_events() -> Iterator[Event]:
    """Yield an event for each distribution that this Python can import."""
    for found in metadata.distributions():
        yield (
            "package",
            {
                "name": found.metadata["Name"],
                "release": found.version,
                "requirements": len(found.requires or ()),
                "python": "Requires-Python" in found.metadata,
            },
        )


def process_events() -> Iterator[Event]:
    """Yield an event for each process; facts about another user's that we may not know are absent."""
    return processes_as_events(process.info for process in psutil.process_iter(_ATTRIBUTES))


def processes_as_events(known: Iterable[dict[str, Any]]) -> Iterator[Event]:
    """Yield an event for each process that psutil has described; None stands for a fact it could not find out."""
    for info in known:
        memory = info["memory_info"]
        yield (
            "process",
            {
                "name": info["name"],
                "executable": info["exe"] or None,
                "user": info["username"],
                "command": " ".join(info["cmdline"] or ()) or None,
                "memory_bytes": memory and memory.rss,
            },
        )
