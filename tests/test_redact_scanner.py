"""The scanner says which text a pattern matched in; the redactor maps, fails closed and keeps its bounds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.redact import reading
from telemetry.redact import text as text_module
from telemetry.redact.rules import RULES
from telemetry.redact.scanner import Pattern, Scanner, ScannerUnavailableError
from telemetry.redact.text import MAX_TEXT_BYTES, Finding, TextRedactor

if TYPE_CHECKING:
    from pathlib import Path

REDACTOR = TextRedactor()
CLEAN = "compaction took 17 ms"


def test_a_pattern_is_reported_for_each_text_it_matches_in() -> None:
    scanner = Scanner([Pattern(4, "ab"), Pattern(7, "c[^a-z]")])
    assert scanner.scan([b"ab ab", b"", b"x", b"xc", b"AB c", b"ab"]) == {
        0: {4: (2, 5)},
        3: {7: (3, 3)},
        4: {4: (2, 2), 7: (5, 5)},
        5: {4: (2, 2)},
    }


def test_a_match_never_spans_two_texts() -> None:
    assert Scanner([Pattern(1, "ab")]).scan([b"a", b"b"]) == {}


def test_an_edge_is_matched_at_both_ends_of_every_text() -> None:
    scanner = Scanner([Pattern(1, "[^a-z]ab[^a-z]")])
    assert scanner.scan([b"ab", b"ab", b"xab", b"ab"]) == {index: {1: (3, 3)} for index in (0, 1, 3)}


@settings(max_examples=200)
@given(st.lists(st.text("ab\xe9 ", max_size=6), max_size=20))
def test_hits_are_mapped_by_bytes_not_characters(texts: list[str]) -> None:
    hits = Scanner([Pattern(1, "b")]).scan([text.encode() for text in texts])
    assert set(hits) == {index for index, text in enumerate(texts) if "b" in text}


@given(st.lists(st.text("abc ", max_size=9).map(str.encode), max_size=6))
def test_one_text_is_scanned_as_it_is_among_others(texts: list[bytes]) -> None:
    scanner = Scanner([Pattern(1, "ab"), Pattern(2, "[^a-z]b"), Pattern(3, "c[^a-z]")])
    alone = {index: found for index, text in enumerate(texts) if (found := scanner.scan_one(text))}
    assert scanner.scan(texts) == alone


def test_a_pattern_that_hyperscan_refuses_makes_the_scanner_unavailable() -> None:
    with pytest.raises(ScannerUnavailableError, match="refuses a pattern"):
        Scanner([Pattern(1, "(?<=a)b")])


def test_without_hyperscan_the_redactor_is_unavailable_and_says_what_to_do() -> None:
    code = (
        "import sys; sys.modules['hyperscan'] = None\n"
        "from telemetry.redact.text import TextRedactor\n"
        "from telemetry.redact.scanner import ScannerUnavailableError\n"
        "try:\n    TextRedactor()\nexcept ScannerUnavailableError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hyperscan can't be imported" in run.stdout


def test_a_rule_that_misses_its_example_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = RULES[0]._replace(prefilters=("never so",))
    monkeypatch.setattr(text_module, "RULES", (broken, *RULES[1:]))
    with pytest.raises(ScannerUnavailableError, match="self-test failed for key"):
        TextRedactor()


def test_clean_texts_have_no_entry_and_findings_are_keyed_by_index() -> None:
    texts = [CLEAN, "at 10.1.2.3", CLEAN, "ünclean äöü", "mail amy@shop.de from 10.1.2.3"]
    assert REDACTOR.redact(texts) == {
        1: Finding("at [ip]", ("ip",)),
        4: Finding("mail [email] from [ip]", ("email", "ip")),
    }


def test_no_texts_and_empty_texts_are_clean() -> None:
    assert REDACTOR.redact([]) == {}
    assert REDACTOR.redact(["", ""]) == {}


def test_the_same_hit_in_many_texts_is_found_in_all_of_them() -> None:
    assert len(REDACTOR.redact(["at 10.1.2.3"] * 1000)) == 1000


def test_a_text_over_the_limit_is_dropped_and_its_neighbours_are_not() -> None:
    found = REDACTOR.redact(["at 10.1.2.3", "x" * (MAX_TEXT_BYTES + 1), "é" * MAX_TEXT_BYTES, "x" * MAX_TEXT_BYTES])
    assert found == {
        0: Finding("at [ip]", ("ip",)),
        1: Finding(None, ("oversize",)),
        2: Finding(None, ("oversize",)),
    }


def test_a_text_with_a_lone_surrogate_is_dropped_alone() -> None:
    assert REDACTOR.redact(["\ud800", CLEAN]) == {0: Finding(None, ("undecodable",))}


def test_a_scanner_that_fails_drops_every_text_of_the_call() -> None:
    redactor = TextRedactor()
    del redactor._scanner._database
    dropped = Finding(None, ("scanner_failed",))
    assert redactor.redact([CLEAN, "at 10.1.2.3"]) == {0: dropped, 1: dropped}


def test_ten_megabytes_in_one_text_are_dropped_not_read() -> None:
    assert REDACTOR.redact(["password=" * 1_200_000])[0] == Finding(None, ("oversize",))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([CLEAN, "at 10.1.2.3", "amy@shop.de", "größe", "x " * 30]), max_size=30))
def test_a_text_is_redacted_alike_alone_and_among_others(texts: list[str]) -> None:
    together = REDACTOR.redact(texts)
    alone = {index: found[0] for index, text in enumerate(texts) if (found := REDACTOR.redact([text]))}
    assert together == alone


def test_a_cached_database_finds_what_a_compiled_one_does(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    compiled, cached = TextRedactor(cache), TextRedactor(cache)

    assert [path.name.partition("-")[0] for path in cache.iterdir()] == ["scanner"]
    texts = ["clean", "at 10.1.17.3", "mail jane.roe@example.com"]
    assert cached.redact(texts) == compiled.redact(texts) == REDACTOR.redact(texts)


@pytest.mark.parametrize("flipped", [0, 40, -1])
def test_an_altered_cached_database_is_not_used(tmp_path: Path, flipped: int) -> None:
    cache = tmp_path / "cache"
    TextRedactor(cache)
    (file,) = cache.iterdir()
    altered = bytearray(file.read_bytes())
    altered[flipped] ^= 1
    file.write_bytes(altered)

    assert TextRedactor(cache).redact(["at 10.1.17.3"])[0].text == "at [ip]"

    assert file.read_bytes() != altered


def test_a_cache_that_can_not_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert TextRedactor(tmp_path / "file" / "cache").redact(["at 10.1.17.3"])[0].text == "at [ip]"


def test_a_rule_that_fails_drops_its_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_match: object) -> str:
        raise RuntimeError

    broken = tuple(rule._replace(confirm=fail) if rule.name == "mac" else rule for rule in RULES)
    monkeypatch.setattr(reading, "RULES", broken)
    found = REDACTOR.redact(["at 10.1.2.3", "link 3c:22:fb:1e:0a:9d up", CLEAN])
    assert found == {0: Finding("at [ip]", ("ip",)), 1: Finding(None, ("failed",))}
