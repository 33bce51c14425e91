"""Real statements: those in the test data of public SQL packages, fetched by `tools/sql-corpus`.

Nothing of theirs is kept in this repository: their source packages, pinned with their hashes in `tools/sql-corpus.txt`,
are read where they lie.
"""

from __future__ import annotations

import ast
import re
import sys
import tarfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = Path(sys.prefix, "share", "sql-corpus")
# What a statement begins with, in any of the dialects. It is wider than the classes that our own reader knows.
_BEGINS = re.compile(
    r"""(?:\(|--[^\n]*\n|/\*.*?\*/|\s)*
    (?:select|insert|update|delete|merge|upsert|replace|create|alter|drop|truncate|grant|revoke|copy|call|explain|show
    |set|begin|start|commit|rollback|use|describe|desc|values|with|vacuum|analyze|declare|fetch|close|prepare|execute
    |exec|comment|refresh|cache|uncache|load|unload|put|attach|detach|pragma|install|kill|summarize|pivot|unpivot|from
    |if|while|export|import|optimize|reset|rename|undrop|lock|listen|msck)
    [\s(*]""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_SPLIT = re.compile(r";[ \t]*(?:\n|\Z)")
_LINES_OF_NO_STATEMENT = 500
_REMARK = re.compile(r"(?:\s*(?:#|--)[^\n]*\n)+")


class Statement(NamedTuple):
    """A statement, and the dialect that its place in the test data names; an empty one when it names none."""

    text: str
    dialect: str


@cache
def statements() -> tuple[Statement, ...]:
    """All statements, each once, in a fixed order.

    Raises:
        FileNotFoundError: the source packages are not there.
    """
    packages = sorted(_FOLDER.glob("*.tar.gz"))
    if not packages:
        raise FileNotFoundError(f"no source packages in {_FOLDER}: tools/sql-corpus fetches them")
    found = {one.text: one for package in packages for one in _in_package(package)}
    return tuple(found[text] for text in sorted(found))


def _in_package(package: Path) -> Iterator[Statement]:
    with tarfile.open(package) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            source = archive.extractfile(member) if path.suffix in {".py", ".sql"} else None
            if source is None:
                continue
            text = source.read().decode("utf-8", "replace")
            if path.suffix == ".sql":
                yield from _in_sql(text)
            elif path.name.startswith("test_"):
                yield from _in_python(text, path.stem.removeprefix("test_") if path.parent.name == "dialects" else "")


def _in_sql(text: str) -> Iterator[Statement]:
    for part in _SPLIT.split(text):
        # One of the files has a statement a line, and none of its ends marked.
        for line in part.splitlines() if part.count("\n") > _LINES_OF_NO_STATEMENT else [part]:
            statement = _REMARK.sub("", line, count=1).strip()
            if _BEGINS.match(statement + " "):
                yield Statement(statement, "")


def _in_python(text: str, dialect: str) -> Iterator[Statement]:
    keyed: dict[int, str] = {}  # a dictionary by dialect, as in `read={"hive": "SELECT …"}`
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Dict):
            keys = (key.value if isinstance(key, ast.Constant) else "" for key in node.keys)
            keyed |= {id(value): key for key, value in zip(keys, node.values, strict=True) if isinstance(key, str)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _BEGINS.match(node.value):
            yield Statement(node.value, keyed.get(id(node), dialect))
