"""Sentences that engineers wrote, and that hold nothing private: what redaction must leave as they are.

They are read out of the source of what is installed (messages of logging calls and exceptions, docstrings), so that
nobody picked them. A sentence is taken unless it shows something that is an address, a path, a URL, a statement or a
template by the rules of this module, which know nothing of the rules that are measured.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import ast
import importlib.util
import re
import sysconfig
from email.errors import MessageError
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import email_validator

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = (
    "requests urllib3 psutil hypothesis duckdb click rich zmq msgspec starlette uvicorn anyio packaging "
    "pluggy pygments mypy setuptools google.protobuf dns email_validator schwifty phonenumbers stdnum h11 "
    "charset_normalizer idna"
).split()
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z])")
_WORDS = range(4, 41)
_FROM_ONE_FILE = 20
_TEMPLATE = re.compile(r"%[-#0+ ]*\d*[a-zA-Z]|%\(|\{|\}|<[a-z]")
_STATEMENT = re.compile(
    r"\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|GRANT|COPY)\b|\.execute\("
    r"|(?i:\bselect \*|\binsert into\b|\bcreate table\b)"
)
_NUMBERED = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}|\b\d{3}-\d{2}-\d{4}\b|(?i:\bpassword[:=] ?\w)")
_MARKUP = re.compile(r"^\s*(?::\w+|>>>|\.\.|[-=~*^]{3,}|@)|::$|``|:\w+:`", re.MULTILINE)
_QUOTES = "\"'`()[]{}<>,;:.!?"


def sentences(number: int, seed: int = 1) -> list[str]:
    """Draw clean sentences; the same ones for the same seed and the same installed packages."""
    dice = Random(seed)
    files = list(_sources())
    dice.shuffle(files)
    found: dict[str, None] = {}
    for path in files:
        mine = [sentence for sentence in _of_file(path) if is_clean(sentence)]
        found |= dict.fromkeys(dice.sample(mine, min(len(mine), _FROM_ONE_FILE)))
        if len(found) >= number:
            break
    return list(found)[:number]


def messages(seed: int = 1) -> tuple[list[str], list[str]]:
    """What installed packages say without a parameter, and what they say with one, filled with what is harmless."""
    dice = Random(seed)
    said = {text for path in _sources() for text in _said(path)}
    constant: list[str] = []
    filled: list[str] = []
    for text in sorted(said):
        if not _private_already(text):
            (filled if _FIELD.search(text) else constant).append(
                _FIELD.sub(lambda match: "%" if match[0] == "%%" else dice.choice(HARMLESS), text)
            )
    return constant, filled


def carriers() -> list[str]:
    """What installed packages say with one text in it, `{}` in its place: nobody chose these lines to plant in."""
    said = {text for path in _sources() for text in _said(path)}
    single = [text for text in sorted(said) if [*map(str, _FIELD.findall(text))] in (["%s"], ["%r"])]
    return [_FIELD.sub("{}", text) for text in single if "{}" not in text]


HARMLESS = (
    "merge 17 4,096 0.270003 +0.270003 1764481701 1764481701121 storage.merge.Compactor HttpServer"
    " max_retries=3 None True"
    " v3.11.7 07:41:09 2026-02-07 2026-02-07T07:41:09.123456Z 20260207-074109 0x80070005 0x7f3a2b1c4d5e worker-12"
    " x86_64-unknown-linux-gnu"
    " cp312-cp312-linux_x86_64 Engine$Worker@679 java.lang.Object@1b2c3d4 12% ValueError"
).split()
"""Values of which none is anybody's."""
_FIELD = re.compile(r"%%|%(?:\(\w+\))?[-#0 +]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa]")


def _private_already(text: str) -> bool:
    """Whether a message shows an address, a path or a statement itself."""
    return bool(_STATEMENT.search(text) or _NUMBERED.search(text)) or any(map(_is_private, text.split()))


def _said(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Raise, ast.Call)):
            yield from _texts(node)


def is_clean(sentence: str) -> bool:
    """Whether a sentence has four to forty words and shows nothing private, nor a field that is to be filled in."""
    words = sentence.split()
    if (
        len(words) not in _WORDS
        or _TEMPLATE.search(sentence)
        or _STATEMENT.search(sentence)
        or _NUMBERED.search(sentence)
    ):
        return False
    return not any(map(_is_private, words))


def _is_private(word: str) -> bool:
    bare = word.strip(_QUOTES)
    return "://" in word or "\\" in word or _is_path(bare) or _is_address(bare) or _is_site(bare)


def _is_path(word: str) -> bool:
    if word.startswith(("~/", "./", "../")):
        return True
    # `/etc` and `etc/passwd.txt` are paths; `and/or`, `read/write` are not.
    return (word.startswith("/") and len(word) > 2) or ("/" in word and "." in word.rpartition("/")[2])


def _is_address(word: str) -> bool:
    if "@" in word:
        try:
            email_validator.validate_email(word, check_deliverability=False, test_environment=True)
        except (email_validator.EmailNotValidError, MessageError):
            return False
        return True
    try:
        return not ip_address(word.partition("/")[0].rpartition("%")[0] or word.partition("/")[0]).is_unspecified
    except ValueError:
        return False


def _is_site(word: str) -> bool:
    """A site that people would type; a module's path may end in `.info` or `.run` and is none."""
    return (
        re.search(r"(?:^www\.|\w\.(?:com|org|net|edu|gov)(?:\.[a-z]{2})?(?:[:/]|$))", word, re.IGNORECASE) is not None
    )


def _sources() -> Iterator[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    yield from sorted(path for path in library.rglob("*.py") if not {"site-packages", "test", "tests"} & {*path.parts})
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(Path(place).rglob("*.py"))


def _of_file(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        for text in _texts(node):
            for paragraph in re.split(r"\n\s*\n", text):
                if not _MARKUP.search(paragraph):
                    yield from (sentence.strip() for sentence in _SENTENCE_END.split(" ".join(paragraph.split())))


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield ast.get_docstring(node) or ""
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        yield from _constants(node.exc)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LOGGING:
        yield from _constants(node)


_LOGGING = {"debug", "info", "warning", "error", "critical", "exception", "log", "warn", "fail"}


def _constants(call: ast.Call) -> Iterator[str]:
    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value
