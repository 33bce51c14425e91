"""What hides in another spelling is redacted as what it is; what only looks encoded is left alone."""

from __future__ import annotations

import base64
import bz2
import html
import json
import random
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from telemetry.redact.encoded import find_runs
from telemetry.redact.rules.placeholder import PLACEHOLDERS
from telemetry.redact.text import Finding, TextRedactor

if TYPE_CHECKING:
    from collections.abc import Callable

REDACTOR = TextRedactor()

SECRETS = {
    "email": "zq.vexler+k7@kwizzbox.example",
    "ip": "203.0.113.77",
    "card": "4929 1234 5678 9015",
    "iban": "DE89 3704 0044 0532 0130 00",
    "path": "/srv/zqvex/kwizz7/plan.docx",
    "password": "password=zqVex7kwizz",
    "token": "ghp_zqVex7kwizz0123456789abcdefABCDEF01",
    "dsn": "postgres://zqvex:kw1zz77@zq9.internal/sales",
    "url": "https://zqvex.example/kwizz/7?q=vexzq",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6cXZleCJ9.a3dpenp6cXZleDc",
}
ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 of percent": lambda text: base64.b64encode(quote(text, safe="").encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal in capitals": lambda text: text.encode().hex().upper(),
    "hexadecimal with blanks": lambda text: text.encode().hex(" "),
    "hexadecimal dump": lambda text: text.encode().hex(" ", 2),
    "hexadecimal of UTF-16": lambda text: text.encode("utf-16-be").hex(),
}
ESCAPES: dict[str, Callable[[str], str]] = {
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()),
    "percent twice": lambda text: quote("".join(f"%{byte:02X}" for byte in text.encode())),
    "json": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "python": lambda text: "".join(f"\\U{ord(character):08x}" for character in text),
    "javascript": lambda text: "".join(f"\\u{{{ord(character):x}}}" for character in text),
    "hexadecimal escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "escapes of UTF-16": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode("utf-16-le")),
    "octal": lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()),
    "html": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "html in hexadecimal": lambda text: "".join(f"&#x{ord(character):x};" for character in text),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "zero width": "\u200b".join,
}
CARRIERS = {
    "log line": "12:30:45 worker 3 said {} and stopped",
    "json": '{{"level": "error", "detail": "{}"}}',
    "traceback": 'File "app.py", line 3, in main\n    raise ValueError("{}")\nValueError: {}',
    "connection string": "postgres://worker:{}@node/db",
    "key and value": "attempt=3 detail={} step=merge",
}


def left_over(secret: str, left: str, around: str) -> list[str]:
    """The parts of four characters that a redacted text shares with a secret, and with nothing else."""
    own = "password=" + around + " ".join(f"[{kind}]" for kind in PLACEHOLDERS) + "https://[host]/[path] ssh://"
    parts = {secret[at : at + 4] for at in range(len(secret) - 3)}
    return sorted(part for part in parts if part in left and part not in own)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("kind", SECRETS)
def test_no_part_of_an_encoded_secret_is_left_in_any_carrier(kind: str, carrier: str) -> None:
    for name, encode in (ENCODINGS | ESCAPES).items():
        encoded = encode(SECRETS[kind])
        if carrier == "connection string" and " " in encoded:
            continue  # it would have ended before
        found = REDACTOR.redact([CARRIERS[carrier].format(encoded, encoded)])
        assert found, name
        left = found[0].text or ""
        assert left_over(SECRETS[kind], left, CARRIERS[carrier]) == [], (name, left)
        assert left_over(encoded, left, CARRIERS[carrier]) == [], (name, left)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sent YW15QHNob3AuZXhhbXBsZQ== twice", "sent [email] twice"),
        ("sent 616d794073686f702e6578616d706c65 twice", "sent [email] twice"),
        ("sent Ym9iQHguaW8= twice", "sent [email] twice"),
        ("from " + base64.b64encode(b"amy@shop.example at 10.1.2.3").decode(), "from [email][ip]"),
        ("key-YW15QHNob3AuZXhhbXBsZQ==", "[email]"),
        ("/srv/data/Ym9iQHguaW8=", "[email]"),
        ("id a.YW15QHNob3AuZXhhbXBsZQ.sig7x twice", "id [email] twice"),
        (r"{\"to\":\"amy@shop.example\"}", r"{\"to\":\"[email]\"}"),
        (r"GET https:\/\/shop.example\/a", "GET https://[host]/[path]"),
        ("amy&commat;shop&period;example", "[email]"),
        ("amy%u0040shop.example", "[email]"),
        ("p\u0430ssword=hunter2", "password=[secret]"),
        ("\u0430my@shop.example", "[email]"),
    ],
)
def test_an_encoded_run_becomes_what_it_held(text: str, wanted: str) -> None:
    assert REDACTOR.redact([text])[0].text == wanted


def test_what_is_nested_too_deep_is_dropped() -> None:
    text = "amy@shop.example"
    for _ in range(5):
        text = "x " + base64.b64encode(text.encode()).decode()
    assert REDACTOR.redact([f"sent {text} twice"]) == {0: Finding(None, ("nested",))}


def test_a_text_of_many_encoded_runs_is_dropped() -> None:
    assert REDACTOR.redact(["YW15QHNob3AuZXhhbXBsZQ== " * 65]) == {0: Finding(None, ("costly",))}


DICE = random.Random(11)
SAMPLE = b"a clean sentence that says nothing of anybody, number "
RANDOM = {
    "identifiers": [DICE.randbytes(size) for size in (9, 12, 16, 20, 24, 32, 48, 64) for _ in range(500)],
    "compressed": [zlib.compress(SAMPLE * 3 + b"%d" % number) for number in range(200)],
    "compressed better": [bz2.compress(SAMPLE + DICE.randbytes(size)) for size in range(20, 220)],
}


@pytest.mark.parametrize("raw", RANDOM.values(), ids=RANDOM)
def test_random_and_compressed_data_holds_no_text(raw: list[bytes]) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode, bytes.hex):
        texts = [encoded if isinstance(encoded := encode(data), str) else encoded.decode() for data in raw]
        assert [text for text in texts if any(REDACTOR.redact([run.text]) for run in find_runs(text))] == []


@pytest.mark.parametrize(
    "text",
    [
        "commit 9fceb02 merged",
        "dump 61 20 63 6c 65 61 6e 20 6c 69 6e 65",
        "100%25 of 20%20 blanks &amp; signs &lt;3",
        json.dumps({"a": json.dumps({"b": 'a "clean" sentence'})}),
        html.escape("a <clean> 'sentence' & more"),
        "Größe über 10 größer als vorher; число строк 12",
        "17 \u03bcs per row, \u0394t=3",
    ],
)
def test_clean_text_in_any_spelling_is_as_it_was(text: str) -> None:
    assert REDACTOR.redact([text]) == {}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8 merged", "commit [opaque] merged"),
        ("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "sha256:[opaque]"),
        ("got " + base64.b64encode(b"a clean sentence, level 3").decode(), "got [opaque]"),
    ],
)
def test_a_long_run_that_holds_nothing_private_is_opaque_all_the_same(text: str, wanted: str) -> None:
    assert REDACTOR.redact([text])[0].text == wanted
