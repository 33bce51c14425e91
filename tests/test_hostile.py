"""Hostile text costs bounded time and memory, whatever it is made of."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hostile import texts

from telemetry.redact.allowance import PASSES, Allowance
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.name import names_to_find
from telemetry.redact.normalise import MAX_ESCAPES, UnreadableError
from telemetry.redact.rules import RULES
from telemetry.redact.rules.rule import EVERYWHERE
from telemetry.redact.text import MAX_TEXT_BYTES, Finding, TextRedactor

REDACTOR = TextRedactor()
PLAIN = ("compaction of level 3 took 17 ms in storage.merge; " * 200)[:MAX_TEXT_BYTES]
HOSTILE = list(texts(MAX_TEXT_BYTES))
SHARE = 67  # one in so many is read here; a prime, so that it meets every rule


def cpu_seconds(*given: str) -> float:
    started = time.process_time()
    for text in given:
        REDACTOR.redact([text])
    return time.process_time() - started


def reading_seconds() -> float:
    """What it takes here and now to run every rule once over a text that holds nothing."""
    started = time.process_time()
    for rule in RULES:
        rule.apply(PLAIN, EVERYWHERE, Allowance(1 << 30))
    return time.process_time() - started


READING_SECONDS = min(reading_seconds() for _ in range(3))


@pytest.mark.parametrize("before", ["", "%41 ", "é ", "\u200b"], ids=["as it is", "escapes", "letters", "invisible"])
def test_no_text_takes_much_longer_than_all_rules_take_for_a_plain_one(before: str) -> None:
    for text in HOSTILE[::SHARE]:
        hostile = before + text[: MAX_TEXT_BYTES - 8]
        if cpu_seconds(hostile) > 2 * READING_SECONDS:  # once more: this machine may have been busy
            assert min(cpu_seconds(hostile) for _ in range(3)) < 4 * reading_seconds(), hostile[:60]


PIECES = ["password=", "a@", "1 ", "user=a;", "select a,", "Key (", "/a b", "a.", "\\", "4111 "]


@pytest.mark.parametrize("piece", PIECES)
def test_four_times_the_text_takes_about_four_times_as_long(piece: str) -> None:
    def seconds(size: int) -> float:
        text = (piece * size)[:size]
        return min(cpu_seconds(*[text] * 4) for _ in range(3))

    assert seconds(8000) < 10 * seconds(2000)


def test_ten_megabytes_are_dropped_unread_and_in_little_memory() -> None:
    given = ["password=" * 1_200_000, "\u0661" * 5_000_000, "x" * 10_000_000]
    tracemalloc.start()
    found = REDACTOR.redact(given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == dict.fromkeys(range(3), Finding(None, ("oversize",)))
    assert peak < 1 << 20


@pytest.mark.parametrize("opening", ["[", '{"a":', "(", "<a>", "((((select ", '"\\"'])
def test_a_hundred_thousand_brackets_are_dropped_and_a_thousand_are_read(opening: str) -> None:
    assert REDACTOR.redact([opening * 100_000])[0] == Finding(None, ("oversize",))
    found = REDACTOR.redact([opening * 600 + " amy@shop.example"])[0]
    assert found.text is None or "amy" not in found.text


def test_json_in_json_beyond_the_layers_is_dropped() -> None:
    text = 'amy@shop.example says "no"'
    for _ in range(5):
        text = json.dumps({"detail": text})
    found = REDACTOR.redact([text])[0]
    assert found.text is None or "amy" not in found.text


def test_characters_that_grow_when_they_are_spelled_out_are_dropped() -> None:
    assert REDACTOR.redact(["\ufdfa" * 2000])[0] == Finding(None, ("oversize",))


def test_marks_upon_marks_are_dropped() -> None:
    assert REDACTOR.redact(["a" + "\u0301\u0316" * 100])[0] == Finding(None, ("stacked",))


def test_private_use_characters_can_not_forge_a_placeholder() -> None:
    found = REDACTOR.redact(["\ue000 \ue001 at 10.1.2.3"])
    assert found[0].text == "\ufffd \ufffd at [ip]"


def test_a_text_that_uses_up_its_allowance_is_dropped_alone_and_always() -> None:
    costly = ("bssid=" * 2000)[:MAX_TEXT_BYTES]
    found = REDACTOR.redact(["at 10.1.2.3", costly, "clean"])
    assert found == {0: Finding("at [ip]", ("ip",)), 1: Finding(None, ("costly",))}


def test_an_allowance_is_of_passes_over_the_text_and_short_texts_have_that_of_a_kibibyte() -> None:
    assert Allowance(5000).left == PASSES * 5000
    assert Allowance(10).left == PASSES * 1024
    allowance = Allowance(10)
    allowance.spend(allowance.left)
    with pytest.raises(UnreadableError):
        allowance.spend(1)


def test_a_text_of_escapes_alone_is_dropped_and_no_other_one_with_it() -> None:
    escapes = "\\n" * (MAX_ESCAPES + 1)
    found = FreeTextRedactor(names_to_find({"user": ["janedoeroe"]})).redact(
        [escapes, "at 10.1.2.3", "\u0436" + "\u0301" * 4000]
    )
    assert found[0] == (None, ("costly",))
    assert found[1] == ("at [ip]", ("ip",))
    assert found[2].text is None
