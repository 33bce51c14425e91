"""The texts that carry a planted value, and the encodings that may hide it there."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable


def _log_line(value: str) -> str:
    return f"12:30:45 WARN worker: step failed after 3 tries, got {value} instead, giving up"


def _json(value: str) -> str:
    return json.dumps({"level": "warn", "step": 3, "detail": value, "again": True}, ensure_ascii=False)


def _traceback(value: str) -> str:
    return (
        'Traceback (most recent call last):\n  File "<stdin>", line 12, in run\n'
        f"    raise ValueError(message)\nValueError: {value}"
    )


def _connection_string(value: str) -> str:
    return f"Driver={{ODBC}};Encrypt=yes;Application Name={{{value.replace('}', '}}')}}};Timeout=3"


def _key_value(value: str) -> str:
    quoted = f'"{value}"' if any(c.isspace() for c in value) and '"' not in value else value
    return f"level=warn step=3 detail={quoted} again=true"


CARRIERS: dict[str, Callable[[str], str]] = {
    "log line": _log_line,
    "json": _json,
    "traceback": _traceback,
    "connection string": _connection_string,
    "key=value": _key_value,
}


def _full_width(value: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)


def _zero_width(value: str) -> str:
    return "\u200b".join(value[at : at + 3] for at in range(0, len(value), 3))


def _percent(value: str) -> str:
    return quote(value, safe="")


def _html(value: str) -> str:
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in html.escape(value))


def _escaped(value: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == " ") else _utf16(c) for c in value)


def _utf16(character: str) -> str:
    code = character.encode("utf-16-be")
    return "".join(f"\\u{code[at]:02x}{code[at + 1]:02x}" for at in range(0, len(code), 2))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "full width": _full_width,
    "zero width": _zero_width,
    "json": lambda value: json.dumps(value)[1:-1],
    "percent": _percent,
    "html": _html,
    r"\u": _escaped,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "hex": lambda value: value.encode().hex(),
}
