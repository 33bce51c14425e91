"""The guard of the cost of an event: a loss that stays is found, noise is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench import guard
from bench.guard import LIMIT, ROUNDS, complaint, losses

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

EVENTS = 20_000
STORED = {"emit": 2.0, "count": 0.5}
SAME = (1.0,) * len(ROUNDS)


class Measured:
    """Stands in for a measurement: of each metric, how it compares with the stored ratio, time after time."""

    def __init__(self, **factors: tuple[float, ...]) -> None:
        self.asked: list[tuple[list[str], int]] = []
        self._factors = factors

    def __call__(self, names: Collection[str], rounds: int) -> dict[str, float]:
        self.asked.append((list(names), rounds))
        return {name: STORED[name] * self._factors[name][len(self.asked) - 1] for name in names}


@pytest.mark.parametrize("factor", [0.1, 1.0, 1.29])
def test_what_is_within_the_limit_is_measured_once(factor: float) -> None:
    measured = Measured(emit=(factor,), count=(factor,))

    assert losses(STORED, measured) == {}
    assert measured.asked == [(["emit", "count"], ROUNDS[0])]


def test_a_loss_that_is_there_each_time_is_found_and_its_lowest_ratio_said() -> None:
    measured = Measured(emit=(1.4, 1.31, 1.5, 1.35), count=SAME)

    assert losses(STORED, measured) == {"emit": pytest.approx(2.0 * 1.31)}
    assert [rounds for _, rounds in measured.asked] == list(ROUNDS)


@pytest.mark.parametrize("good", range(len(ROUNDS)))
def test_one_repetition_within_the_limit_is_a_pass_however_bad_the_others_were(good: int) -> None:
    factors = [9.0] * len(ROUNDS)
    factors[good] = 1.29
    measured = Measured(emit=tuple(factors), count=SAME)

    assert losses(STORED, measured) == {}
    assert len(measured.asked) == good + 1


def test_only_what_is_suspect_is_measured_again_with_more_rounds() -> None:
    measured = Measured(emit=SAME, count=(2.0, 2.0, 1.0, 2.0))
    losses(STORED, measured)

    assert measured.asked == [(["emit", "count"], ROUNDS[0]), (["count"], ROUNDS[1]), (["count"], ROUNDS[2])]
    assert list(ROUNDS) == sorted(set(ROUNDS))


def test_a_complaint_says_what_it_was_what_it_is_and_what_to_do() -> None:
    said = complaint("emit", 2.0, 2.0 * 1.5)

    assert all(word in said for word in ("emit", "2.000", "3.000", "50% more", "Profile", "--store"))


def test_metrics_that_are_not_those_stored_ask_for_a_new_run(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({"emit": 1.0}))

    with pytest.raises(SystemExit, match="--store"):
        guard.guard(EVENTS, baseline)


def test_a_loss_is_an_exit_code_and_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = json.loads(guard.BASELINE.read_text())
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps(stored))
    worse = {**stored, "count": stored["count"] * LIMIT * 1.01}
    monkeypatch.setattr(guard, "_measure", lambda names, *_: {name: worse[name] for name in names})

    assert guard.guard(EVENTS, baseline) == 1
    assert capsys.readouterr().out.startswith("guard: count costs ")


@pytest.mark.timeout(400)
def test_an_event_costs_no_more_than_when_it_was_last_stored() -> None:
    assert guard.guard(EVENTS) == 0
