"""What reads foreign bytes bears them: the inputs that once crashed it, and some seconds of `tools/fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.mutate import Mutator
from fuzz.pool import openers, run
from fuzz.run import Target, fuzz, replay

_TOML = b'product = "acme-db"\nendpoint = "https://t.acme.example/v1"\n'
_CHOICE = b'{"version": 1, "choice": "on", "since": "%b", "notice": 1}'


@pytest.mark.parametrize(
    ("target", "data"),
    [
        pytest.param("catalog", b"[catalog]\nversion = " + b"9" * 5000, id="a-number-of-5000-digits"),
        pytest.param("config", _TOML + b'catalog = "a\\u0000b"', id="a-catalog-no-file-can-be"),
        pytest.param("config", b'{"product":"a","catalog":"\\ud800","endpoint":"https://a"}', id="half-a-character"),
        pytest.param("config", _TOML + b'catalog = "a"\ntoken_file = "\\u0000"', id="a-token-file-no-file-can-be"),
        pytest.param("config", _TOML + b'catalog = "a"\nca_file = "\\u0000"', id="authorities-no-file-can-be"),
        pytest.param("text", b"key=ey(" + b"m" * 500 + b"128" + b"m" * 500, id="a-word-of-a-thousand-letters"),
        pytest.param("consent", _CHOICE % b"0001-01-01T00:00:00+14:00", id="a-choice-before-all-time"),
        pytest.param("consent", _CHOICE % b"9999-12-31T23:59:59-14:00", id="a-choice-after-all-time"),
    ],
)
def test_an_input_that_once_crashed_is_borne(target: str, data: bytes, tmp_path: Path) -> None:
    assert replay(openers(tmp_path)[target].open(), data) is None


def test_marks_that_name_a_file_no_disk_takes_do_not_stop_recovery(tmp_path: Path) -> None:
    spool = openers(tmp_path)["spool"].open()
    data = spool.seeds[0].replace(b'.ndjson.zst"', b'.ndjson.zst.%b"' % (b"a" * 300), 1)
    assert data != spool.seeds[0]
    assert replay(spool, data) is None


@pytest.mark.timeout(900)
def test_every_target_bears_some_thousand_inputs() -> None:
    names = tuple(openers(Path("unopened")))
    found = run(names, seed=1, inputs=12_000, seconds=800.0, workers=1)
    assert found.crashes == []
    assert found.died == []
    assert all(found.inputs.values())


def _target(read: object) -> Target:
    return Target("test", [b"seed"], read)  # type: ignore[arg-type] # each of its own kind


def test_a_crash_is_found_and_named_by_what_repeats_it() -> None:
    def read(data: bytes) -> None:
        assert b"!" not in data

    crash = fuzz(_target(read), "1", 100_000)
    assert crash is not None
    assert b"!" in crash.input
    assert crash == fuzz(_target(read), "1", 100_000)
    assert replay(_target(read), crash.input) is not None


def test_a_hang_is_found() -> None:
    def read(data: bytes) -> None:
        while data == b"seed":
            pass

    crash = fuzz(_target(read), "1", 1)
    assert crash is not None
    assert crash.what.startswith("Hang")


def test_what_answers_anew_is_mutated_further() -> None:
    """Three bytes in a row are out of reach of chance, but not of one step at a time."""
    deepest = 0

    def read(data: bytes) -> int:
        nonlocal deepest
        depth = next((n for n, byte in enumerate(b"!?#") if data[n : n + 1] != bytes((byte,))), 3)
        deepest = max(deepest, depth)
        return depth

    assert fuzz(_target(read), "1", 100_000) is None
    assert deepest == 3


def test_the_same_seed_makes_the_same_inputs_and_none_is_too_long() -> None:
    made = [[mutator.next() for _ in range(2000)] for mutator in (Mutator([b"abc", b"12"], "1", 50) for _ in range(2))]
    assert made[0] == made[1]
    assert max(map(len, made[0])) == 50
