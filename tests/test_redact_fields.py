"""The small reductions: path, error and version."""

# ruff: noqa: RUF001 - look-alike digits must be refused
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.producer.exception import reduce_exception
from telemetry.redact.error import reduce
from telemetry.redact.path import COMMON, extension
from telemetry.redact.version import clean


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/home/amy/tax.PDF", "pdf"),
        (r"C:\Users\amy\a.b.tar.gz", "gz"),
        ("notes.amysmith", "other"),
        ("/home/amy.smith/notes", "none"),
        ("~/.bashrc", "none"),
        ("trailing.", "none"),
        ("/home/amy/", "none"),
        ("..", "none"),
        ("", "none"),
    ],
)
def test_a_path_leaves_as_a_common_extension(path: str, wanted: str) -> None:
    assert extension(path) == wanted


@given(st.text())
def test_nothing_but_a_listed_extension_leaves(path: str) -> None:
    assert extension(path) in COMMON | {"other", "none"}


@pytest.mark.parametrize(
    "value",
    [
        "ValueError",
        "acme.errors.Full@acme.db:read:12;acme.net:send:7",
        "E@__main__:listcomp:1",
        "E@" + ";".join(["m:f:1"] * 20),
    ],
)
def test_a_reduced_exception_passes(value: str) -> None:
    assert reduce(value) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("ValueError: amy@shop.de", id="message"),
        pytest.param("ValueError@m:f:1 amy", id="tail"),
        pytest.param("E@m:f:1;", id="open end"),
        pytest.param("E@/home/amy.py:f:1", id="file"),
        pytest.param("E@" + ";".join(["m:f:1"] * 21), id="21 frames"),
        pytest.param("E" * 1001, id="too long"),
        pytest.param("Ünicode", id="no ASCII"),
        pytest.param("E\n", id="newline"),
        pytest.param("", id="empty"),
        pytest.param("amy", id="user"),
        pytest.param("db1.acme.com", id="host"),
    ],
)
def test_any_other_form_of_an_exception_is_refused(value: str) -> None:
    assert reduce(value) is None


def test_what_the_host_hands_over_passes() -> None:
    try:
        [int(word) for word in ["amy"]]
    except ValueError as error:
        reduced = reduce_exception(error, (__name__.partition(".")[0],))
    assert "amy" not in reduced
    assert reduce(reduced) == reduced


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1", "1"),
        ("3.11.7", "3.11.7"),
        ("v2.0.0-rc.1", "2.0.0-rc.1"),
        ("1.0b2", "1.0b2"),
        ("1.0.post1.dev3", "1.0.post1.dev3"),
        (" 1.2.3.4 ", "1.2.3.4"),
        ("20240131", "20240131"),
        ("1.2.3.4.5", None),
        ("4915112345678", None),
        pytest.param("4111.1111.1111.1111", None, id="card"),
        pytest.param("756.9217.0769.85", None, id="insurance number"),
        ("1.0+amy", None),
        ("1.0-amy", None),
        ("amy", None),
        ("1." * 20, None),
        ("1..2", None),
        ("١.٢", None),
        ("", None),
    ],
)
def test_a_version_is_a_number_or_nothing(value: str, wanted: str | None) -> None:
    assert clean(value) == wanted
