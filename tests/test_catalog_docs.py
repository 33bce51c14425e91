"""The privacy page: it says all that the catalog says, to people, and nothing in a catalog can break it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import telemetry
from telemetry.catalog.docs import escape, privacy_page
from telemetry.catalog.load import load
from telemetry.catalog.model import Catalog, Event, Field

if TYPE_CHECKING:
    from markdown_it.token import Token

ROOT = Path(telemetry.__file__).parent
# As forges render it: raw HTML passes, tables and strike-through are on.
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "a | b",
    "<script>alert(1)</script>",
    "`code` and ``",
    "*bold* __x__ ~~y~~",
    "[link](http://x.example) ![image](y)",
    "&lt; &amp; &#124;",
    "back\\slash \\| \\",
    "two\nlines\r\n\n# three",
    "# head",
    "- item",
    "---",
    "<!-- ",
    "]]> --> <b",
    "<http://x.example>",
]


def page(*events: Event, **keys: Any) -> str:
    catalog = Catalog(product="acme-db", version=3, events={event.name: event for event in events}, **keys)
    return privacy_page(catalog)


def event(*fields: Field, name: str = "opened", purpose: str = "find out", **keys: Any) -> Event:
    about = {"owner": "the team", "expires": dt.date(2027, 6, 30), "sensitivity": "technical", **keys}
    return Event(name=name, purpose=purpose, fields={field.name: field for field in fields}, **about)


def field(name: str, type_: Any, purpose: str = "compare", **keys: Any) -> Field:
    return Field(name=name, type=type_, purpose=purpose, **keys)


def texts(tokens: list[Token]) -> list[str]:
    """What a reader sees of each inline stretch."""
    shown = []
    for token in tokens:
        if token.type == "inline":
            assert token.children is not None
            shown.append("".join(child.content for child in token.children))
    return shown


def shape(markdown: str) -> list[str]:
    """The kinds of blocks and of inline markup of a page, in order."""
    tokens = MARKDOWN.parse(markdown)
    inner = [child.type for token in tokens for child in token.children or () if child.type != "text"]
    return [token.type for token in tokens] + inner


def test_it_says_of_each_event_why_who_until_when_what_about_and_how_often() -> None:
    text = page(event(sensitivity="interaction", sample=0.25, max_per_second=10))
    for part in ("find out", "the team", "2027-06-30", "what somebody did", "0.25", "at most 10", "weight"):
        assert part in text


@pytest.mark.parametrize(
    ("one", "leaves"),
    [
        (field("x", "bool"), "true or false"),
        (field("x", "int"), "a whole number"),
        (field("x", "int", min=0, max=9), "a whole number from 0 to 9"),
        (field("x", "float", max=9.5), "a number, 9.5 or less"),
        (field("x", "int", buckets=(0, 10)), "rounded down to one of 0, 10"),
        (field("x", "duration"), "a number, 0 or more"),
        (field("x", "enum", values=("batch", "stream")), 'one of "batch", "stream", "other"'),
        (field("x", "version"), "a version number"),
        (field("x", "text", max_length=200), "at most 200 characters"),
        (field("x", "identifier"), "never the value"),
        (field("x", "sql"), "never its text"),
        (field("x", "path"), "never a name or a folder"),
        (field("x", "error"), "never its message"),
        (field("x", "text", max_length=9), "may hold names of people and what its rules don't know"),
        (field("x", "message", templates=("no route to {host}",)), r'one of "no route to \{host\}"'),
        (field("x", "message", templates=("took {ms:number} ms",)), 'any other text as "other"'),
        (field("x", "int", parameter_of="y"), "it stands in the text of y"),
        (field("x", "bool", expires=dt.date(2026, 12, 31)), "until 2026-12-31"),
    ],
)
def test_it_says_in_plain_words_what_leaves_of_a_field(one: Field, leaves: str) -> None:
    (row,) = [line for line in page(event(one)).splitlines() if line.startswith("| `x` |")]
    assert leaves in row


def test_it_says_what_goes_with_it_and_how_to_see_refuse_and_erase_it() -> None:
    text = page(event(), policy_url="https://acme.example/privacy", time_precision_seconds=300)
    for part in (
        "<https://acme.example/privacy>",
        "rounded down to 300 seconds",
        "`session`",
        "`telemetry preview --product acme-db --sent`",
        "`telemetry status --product acme-db`",
        "`telemetry off --product acme-db`",
        "`telemetry technical --product acme-db`",
        "`ACME_DB_TELEMETRY=technical`",
        "`telemetry local --product acme-db`",
        "`telemetry purge --product acme-db`",
        "`ACME_DB_TELEMETRY=off`",
        "`DO_NOT_TRACK=1`",
        "`TELEMETRY_DISABLED=1`",
        "7 days and 256 MiB",
        "up to 16 MiB",
    ):
        assert part in text, part


def test_it_says_where_there_is_free_text_or_that_there_is_none() -> None:
    assert "free text: nowhere\n" in page(event())
    assert "nowhere but in `opened.detail`, which may hold names of people and what its rules don't know" in page(
        event(field("detail", "text", max_length=9))
    )


def test_what_is_held_back_is_said_of_the_fields_that_hold_it_and_of_no_other() -> None:
    text = page(event(field("failure", "error"), field("detail", "text", max_length=9)))
    assert "- of `opened.failure`, the message of the error\n" in text
    assert "the text of the statement" not in text
    assert "the message of the error" not in page(event(field("detail", "text", max_length=9)))


def test_a_counter_and_a_report_are_described_as_such() -> None:
    counter = page(event(kind="counter"))
    assert "| `count` |" in counter
    assert "the sums of a second" in counter
    assert "every 6 hours" in page(event(kind="report"))


def test_the_same_catalog_makes_the_same_page() -> None:
    path = ROOT / "catalog" / "risingwave.toml"
    assert privacy_page(load(path)) == privacy_page(load(path))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_of_a_catalog_can_break_the_page(hostile: str) -> None:
    def with_text(text: str) -> str:
        one = field("x", "enum", purpose=text, values=(text, "b"), expires=dt.date(2027, 1, 1))
        return page(event(one, purpose=text, owner=text))

    assert shape(with_text(hostile)) == shape(with_text("harmless"))
    shown = texts(MARKDOWN.parse(with_text(hostile)))
    as_one_line = " ".join(hostile.split())
    assert as_one_line in shown
    assert f"What for: {as_one_line}" in shown


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_reads_as_itself_in_a_table_and_in_a_paragraph(text: str) -> None:
    readable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split()))
    in_table = MARKDOWN.parse(f"| a |\n| --- |\n| x {escape(text)} x |\n")
    assert texts(in_table)[1:] == [f"x {readable} x".replace("x  x", "x  x")]
    assert texts(MARKDOWN.parse(f"x {escape(text)} x\n")) == [f"x {readable} x"]


def test_what_nobody_would_see_is_shown() -> None:
    assert escape("a\u202eb\u200bc") == "a\\\\u202eb\\\\u200bc"


def test_a_policy_url_can_not_leave_its_brackets() -> None:
    text = page(policy_url="https://acme.example/><script>x</script>")
    assert "<script>" not in text
    assert "html_inline" not in shape(text)
