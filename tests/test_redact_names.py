"""This machine's own names in texts: where they count, in which spellings they are found, and what is left alone."""

from __future__ import annotations

import base64
from copy import copy
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.names import names_of_process
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names import known
from telemetry.redact.names.everyday_words import COMMON
from telemetry.redact.names.find import find
from telemetry.redact.names.known import KnownNames
from telemetry.redact.names.name import Name, Reach, names_to_find, words_of
from telemetry.redact.names.redactor import NameRedactor, rewrite
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.redact.settled import Settled
from telemetry.redact.text import MAX_TEXT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.names import Names

NAMES: Names = {
    "user": ["janedoe", "bob", "root", "jürgen", "straße"],
    "host": ["jane-laptop.lab.acme.example", "jane-laptop", "db1", "data"],
    "path": ["/home/janedoe", "/home/janedoe/Big Plan/acme-q3", "acme-q3", "app"],
    "secret": ['tr0ub4dor&3 "x"\\y', "hunter2", "123456", "changeme"],
    "table": ["orders9", "shop"],
    "ip": ["203.0.113.77", "2001:db8::17:2%eth0"],
    "mac": ["02:fc:00:00:00:05"],
}
KNOWN = names_to_find(NAMES)
ALONE = NameRedactor(KNOWN)
REDACTOR = FreeTextRedactor(KNOWN)


def alone(text: str, redactor: NameRedactor = ALONE) -> str | None:
    """What the names alone make of a text."""
    suspects = redactor.suspects([text])
    found = rewrite(text, suspects[0]) if suspects else None
    return text if found is None else found.text


def redact(text: str, redactor: FreeTextRedactor = REDACTOR) -> str | None:
    finding = redactor.redact([text]).get(0)
    return text if finding is None else finding.text


def knowing(names: Names) -> FreeTextRedactor:
    """A redactor of these names; its rules are compiled but once."""
    redactor = copy(REDACTOR)
    redactor._names, redactor._nameless = KnownNames(names_to_find(names)), Settled()
    return redactor


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # A distinctive name, as a segment.
        ("login of JaneDoe failed", "login of [user] failed"),
        ("JANEDOE_DB, janedoe-2 and x.janedoe.y", "[user]_DB, [user]-2 and x.[user].y"),
        ("janedoes and xjanedoe", "janedoes and xjanedoe"),
        # A long one, anywhere.
        ("xjane-laptop2", "x[host]2"),
        ("JANE-LAPTOP.lab.acme.example is up", "[host] is up"),
        # Short and common ones, in context only.
        ("bob was here, root cause, data of bob", "bob was here, root cause, data of bob"),
        ("/srv/bob/x ~root C:\\Users\\bob\\x a/bob/c", "/srv/[user]/x ~[user] C:\\Users\\[user]\\x a/[user]/c"),
        ("read/bob or root/data", "read/bob or root/data"),
        ("bob@there and x@bob", "[user]@there and x@[user]"),
        ("user=bob login: root \"owner\": 'bob'", "user=[user] login: [user] \"owner\": '[user]'"),
        ("--user bob -u root for user 'bob'", "--user [user] -u [user] for user '[user]'"),
        ("kind=bob type: root", "kind=bob type: root"),
        ("host=data node db1:5432 at db1", "host=[host] node [host]:5432 at db1"),
        ("password=changeme is not changeme", "password=[secret] is not changeme"),
        ("dbname=shop for a shop", "dbname=[table] for a shop"),
        # Secrets, anywhere; digits alone only as a number of their own.
        ('pw:tr0ub4dor&3 "x"\\y!', "pw:[secret]!"),
        ("xhunter2x", "x[secret]x"),
        ("123456 is not 81234567", "[secret] is not 81234567"),
        # A directory takes along what lies in it.
        ("in /home/janedoe/Big Plan/acme-q3/a.py: no", "in [path]: no"),
        ("in /home/janedoe2", "in /home/janedoe2"),
        ("the acme-q3 run", "the [path] run"),
        # Addresses, in their spellings.
        ("203.0.113.77 203-0-113-77 203[.]0[.]113[.]77", "[ip] [ip] [ip]"),
        ("3405803853 0xCB00714D 77.113.0.203.in-addr.arpa", "[ip] [ip] [ip].in-addr.arpa"),
        ("203.0.113.7 and 1203.0.113.77", "203.0.113.7 and 1203.0.113.77"),
        ("2001:db8::17:2 2001:0DB8:0:0:0:0:0017:0002 2001:db8:0::17:2%eth0", "[ip] [ip] [ip]%eth0"),
        ("2001:db8::17:3", "2001:db8::17:3"),
        ("02-FC-00-00-00-05 02fc.0000.0005 02fc00000005", "[mac] [mac] [mac]"),
        # Beyond ASCII.
        ("JÜRGEN, ju\u0308rgen and STRASSE", "[user], [user] and [user]"),
        # Placeholders are not read.
        ("[user] [host] [secret:aws] [path]", "[user] [host] [secret:aws] [path]"),
        ("janedoe@janedoe", "[user]@[user]"),
    ],
)
def test_a_name_is_taken_out_where_it_counts(text: str, wanted: str) -> None:
    assert alone(text) == wanted


def test_long_names_and_secrets_reach_further_than_short_and_common_ones() -> None:
    reach = {
        name.folded: name.reach
        for name in names_to_find({"user": ["bob", "postgres", "janed", "jane.roe.1"]}, {"janed"})
    }
    assert reach == {
        "bob": Reach.CONTEXT,
        "postgres": Reach.CONTEXT,
        "janed": Reach.CONTEXT,
        "jane.roe.1": Reach.ANYWHERE,
    }
    assert names_to_find({"user": ["1000", "-", " "], "host": ["localhost", "127.0.0.1"], "ip": ["::1"]}) == frozenset()
    (unknown,) = names_to_find({"a later kind": ["hunter2000"]})
    assert unknown == Name("secret", "hunter2000", Reach.ANYWHERE)


def test_the_words_of_a_constant_are_its_parts_and_itself() -> None:
    assert words_of(["query_finished", "Acme-DB"]) == {"query_finished", "query", "finished", "acme-db", "acme", "db"}


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "percent of the first": lambda text: "".join(f"%{byte:02x}" for byte in text[:1].encode()) + text[1:],
    "percent twice": lambda text: quote("".join(f"%{byte:02x}" for byte in text.encode())),
    "backslash u": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "HTML": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#x{ord(letter):x};" for letter in text),
    "hexadecimal": lambda text: text.encode().hex(),
    "HEXADECIMAL": lambda text: text.upper().encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, one further": lambda text: base64.b64encode(b"/" + text.encode()).decode(),
    "base64, two further": lambda text: base64.b64encode(b"::" + text.encode() + b"/").decode(),
    "base64 of capitals, for URLs": lambda text: base64.urlsafe_b64encode(text.upper().encode()).decode().rstrip("="),
    "UTF-16": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("name", ["/janedoe/", "jane-laptop", "hunter2000x", "user=bob,", "/srv/root/x"])
def test_a_name_is_found_in_every_spelling(name: str, encode: Callable[[str], str]) -> None:
    redactor = knowing({"user": ["janedoe", "bob", "root", "hunter2000x"], "host": ["jane-laptop"]})
    spelled = encode(name)
    found = redact(f"failed for {spelled} at last", redactor)
    assert found is None or (spelled not in found and name.strip("/,") not in found)
    assert found is None or found.startswith("failed for ")


def test_what_nobody_sees_can_not_hide_a_name() -> None:
    for hidden in ("jane\u200bdoe", "j\u00adanedoe", "\u202ejanedoe"):
        assert redact(f"for {hidden} there") in {None, "for [user] there"}


def test_a_run_of_digits_goes_as_a_whole_and_its_neighbours_stay() -> None:
    run = base64.b64encode(b"secret things of janedoe, and more").decode()
    assert alone(f"sent {run} twice") == "sent [user] twice"
    clean = base64.b64encode(b"secret things of nobody, and more").decode()
    assert alone(f"sent {clean} twice") == f"sent {clean} twice"


def test_the_rules_and_the_names_work_together() -> None:
    text = "postgres://app:hunter2@db1/shop by janedoe of jane@acme.example from /home/janedoe/x at 10.1.2.3"
    finding = REDACTOR.redact([text])[0]
    assert finding.text == "[dsn:postgres] by [user] of [email] from [path] at [ip]"
    assert finding.rules == ("own:secret", "dsn", "path", "email", "ip", "own:user")


def test_each_text_gets_its_own_finding() -> None:
    texts = [f"number {n} of janedoe" if n % 3 else f"number {n} at 10.1.2.{n}" for n in range(60)] + ["clean"]
    findings = REDACTOR.redact(texts)
    wanted = [f"number {n} of [user]" if n % 3 else f"number {n} at [ip]" for n in range(60)]
    assert [findings[n].text for n in sorted(findings)] == wanted


def test_a_text_that_is_too_long_is_dropped_before_it_is_read() -> None:
    assert redact("janedoe " * MAX_TEXT_BYTES) is None


def test_escapes_within_escapes_beyond_three_are_dropped() -> None:
    text = "%6aanedoe"
    for _ in range(4):
        text = quote(text)
    assert redact(f"for {text}") is None


def test_a_name_that_is_learned_later_is_known_from_then_on() -> None:
    redactor = knowing({})
    assert redact("for janedoe", redactor) == "for janedoe"
    redactor.look_for(KNOWN)
    assert redact("for janedoe", redactor) == "for [user]"


def test_names_that_can_not_be_looked_for_cost_every_text(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = knowing(NAMES)

    def refuse(_: object) -> None:
        raise ScannerUnavailableError("no")

    monkeypatch.setattr(known, "NameRedactor", refuse)
    redactor.look_for(names_to_find({"user": ["somebodynew"]}))
    assert redact("clean", redactor) is None


def test_no_name_is_written_to_the_cache(tmp_path: object) -> None:
    FreeTextRedactor(KNOWN, tmp_path)  # type: ignore[arg-type] # pytest's is a Path
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())  # type: ignore[attr-defined] # as above
    assert written
    assert b"janedoe" not in written


SENTENCES = """
compaction of level 3 took 17 ms in storage.merge, 12:30:45
root cause: the data node ran out of memory during a build
the build failed in stage test, see the docker log for details
could not open the root page of the index
user data is stored per node; the system user has no password
the admin service is disabled, the default database is empty
std::vector<data> in module data.build.root at version 2.11.4
read/write ratio and root/data split, 10 data files per build
no test data for service docker on postgres 15.3
token_count=12 build=data mode=root type: data
icon@2x.png and package@1.2.3 in the build
ubuntu 22.04 and postgres in one image
""".strip().splitlines()


@pytest.mark.parametrize("text", SENTENCES)
def test_clean_sentences_survive_on_a_machine_whose_user_is_called_by_a_word(text: str) -> None:
    names = names_of_process(
        {"USER": "root", "SUDO_USER": "data", "DB_USER": "postgres", "HOME": "/root", "DB_PASSWORD": "docker"},
        "/build/test/service",
        "ubuntu.admin",
    )
    assert redact(text, knowing(names)) == text


# ---- Laws.

DISTINCTIVE = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=5, max_size=20).filter(
    lambda text: text[0].isalnum() and text[-1].isalnum() and any(map(str.isalpha, text)) and text not in COMMON
)
CARRIERS = (
    "failed for {} at last",
    "{}",
    '{{"who": "{}", "n": 3}}',
    "user={}; next",
    'File "/srv/{}/main.py", line 3',
    "amqp://{}:x@host/v",
    "cause:{}!",
)


@settings(deadline=None, max_examples=150)
@given(
    DISTINCTIVE, st.sampled_from(["user", "host", "secret"]), st.sampled_from(CARRIERS), st.sampled_from([*ENCODINGS])
)
def test_no_name_is_left_of_any_carrier_in_any_encoding(name: str, kind: str, carrier: str, encoding: str) -> None:
    spelled = ENCODINGS[encoding](name)
    found = redact(carrier.format(spelled), knowing({kind: [name]}))
    assert found is None or (name not in found.casefold() and spelled not in found)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60), st.sampled_from(sorted(KNOWN)))
def test_what_is_redacted_is_left_as_it_is(around: str, name: Name) -> None:
    once = redact(f"{around}{name.folded}{around}")
    assert once is None or redact(once) in {once, None}


@settings(deadline=None)
@given(st.text(), st.sets(st.sampled_from(sorted(KNOWN)), max_size=6))
def test_spans_lie_apart_and_within_the_text(text: str, names: set[Name]) -> None:
    spans = find(text, names)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end < two.start for one, two in pairwise(spans))


FRAGMENTS = st.sampled_from(
    [
        *("bob", "root", "janedoe", "db1", "app", "shop", "changeme", "203.0.113.77", "acme-q3", "jane-laptop"),
        *(
            "/",
            "\\",
            "@",
            "~",
            "=",
            ":",
            "=>",
            '"',
            "'",
            "`",
            "[",
            "(",
            " ",
            "  ",
            "\n",
            "\t",
            ".",
            "-u",
            "--user",
            ":5432",
        ),
        *("user", "login", "host", "password", "db", "path", "x", "9", "_"),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(FRAGMENTS, max_size=12).map("".join))
def test_what_the_scan_does_not_hit_holds_no_name(text: str) -> None:
    suspects = ALONE.suspects([text])
    names = suspects[0].names if suspects else ()
    assert find(text, names) == find(text, KNOWN)
