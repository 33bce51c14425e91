"""The published recall and precision, on a sample: a rule that is weakened turns this red.

`python -m bench redact` measures the same with more values.
"""

from __future__ import annotations

import pytest

from bench.corpus.canary import trace
from bench.corpus.kinds import KINDS, canaries
from bench.corpus.sentences import is_clean, sentences
from bench.redact import COMPACT, changed, leaks, plant, plant_lines
from telemetry.redact.text import TextRedactor

REDACTOR = TextRedactor()
CANARIES = 40  # of each kind, each planted 13 times
SENTENCES = 2000


@pytest.mark.parametrize("kind", KINDS)
def test_of_each_kind_as_much_is_found_as_is_promised(kind: str) -> None:
    planted = list(plant(kind, CANARIES, seed=2))
    left = list(leaks(REDACTOR, planted))
    assert len(left) <= (1 - KINDS[kind].goal) * len(planted), left[:5]


@pytest.mark.parametrize("kind", COMPACT)
def test_a_value_that_is_told_by_its_form_is_found_in_the_lines_of_other_programs(kind: str) -> None:
    planted = list(plant_lines(kind, seed=1))
    left = [leak for leak in leaks(REDACTOR, planted) if leak.planted.carrier not in _GLUED]
    assert left == []


_GLUED = {"3{}", "+{}", "{}and", "ip+{}", "05:48:21.121 IP6 {}.51324 > {}.443: Flags [S], seq 1"} | {
    "05:48:21.121 IP {}.51324 > x.443: Flags [S]"
}
"""A digit of the line or a plus before a number, hexadecimal letters or a port behind: nobody can tell its bounds."""


def test_of_clean_sentences_99_percent_are_left_as_they_are() -> None:
    clean = sentences(SENTENCES, seed=2)
    assert len(clean) == SENTENCES
    touched = list(changed(REDACTOR, clean))
    assert len(touched) <= 0.01 * len(clean), touched[:5]


# ---- The measure itself.


def test_a_trace_is_four_characters_in_a_row_that_the_carrier_does_not_have() -> None:
    assert trace(("amy.smith",), "hello .smi all", "") == ".smi"
    assert trace(("amy.smith",), "hello smi all", "") is None
    assert trace(("amy.smith",), "the smithy", "the smithy") is None


@pytest.mark.parametrize(
    "left",
    [
        "AMY.SMITH",
        "ａｍｙ．ｓｍｉｔｈ",  # noqa: RUF001 - full-width letters are the point
        "a\u200bm\u200by\u200b.\u200bs",
        "amy%2Esmith",
        "amy&#46;smith",
        r"\u0061\u006dy.",
        "of YW15LnNtaXRo and",
        "of xYW15LnNtaXRo and",
        "of 616d792e736d697468 and",
        "of 0616d792e736d697468 and",
    ],
)
def test_a_trace_is_found_in_whatever_encoding_it_is_left(left: str) -> None:
    assert trace(("amy.smith",), left, "") is not None


def test_the_same_seed_draws_the_same_canaries_and_another_one_others() -> None:
    first, again, other = (list(canaries("email", 20, seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    "private",
    [
        "the peer at 10.1.2.3 went away",
        "the file /etc/passwd is not there",
        "see https://shop.example for more of it",
        "a mail to amy@shop.example has bounced",
        "then SELECT name FROM users WHERE id = 1",
        "could not open %s for the user",
        "more about it on www.python.org than here",
    ],
)
def test_a_sentence_that_shows_something_private_is_not_called_clean(private: str) -> None:
    assert not is_clean(private)
    assert is_clean("a sentence about os.path and std::vector stays")
