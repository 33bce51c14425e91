"""Texts that need not be looked at again: what is known changes no result, and does not grow without end."""

from __future__ import annotations

from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.name import names_to_find
from telemetry.redact.settled import MAX_CHARACTERS, MAX_TEXTS, Settled
from telemetry.redact.text import TextRedactor

SENTENCE = "peer {} closed, password={}"


def test_a_sentence_that_came_before_is_redacted_as_the_first_time() -> None:
    redactor = TextRedactor()
    first = redactor.redact([SENTENCE.format("10.1.2.3", "hunter2")])
    second = redactor.redact([SENTENCE.format("10.3.2.1", "s3cr3t!")])
    assert first == second == {0: ("peer [ip] closed, password=[secret]", ("secret", "ip"))}


def test_a_name_learned_later_is_found_in_a_sentence_that_came_before() -> None:
    redactor = FreeTextRedactor()
    text = "janedoeroe lost 10.1.2.3"
    assert redactor.redact([text])[0].text == "janedoeroe lost [ip]"
    redactor.look_for(names_to_find({"user": ["janedoeroe"]}))
    assert redactor.redact([text])[0].text == "[user] lost [ip]"


def test_it_knows_what_a_look_cost_and_no_long_text() -> None:
    settled = Settled()
    settled.add("short", 7)
    settled.add("x" * (MAX_CHARACTERS + 1), 7)
    assert settled.cost("short") == 7
    assert settled.cost("x" * (MAX_CHARACTERS + 1)) is None


def test_with_too_many_texts_it_begins_anew() -> None:
    settled = Settled()
    for number in range(MAX_TEXTS + 1):
        settled.add(str(number))
    assert settled.cost("0") is None
    assert settled.cost(str(MAX_TEXTS)) == 0
