"""`telemetry catalog diff`: what a change of a catalog does to those who query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from telemetry.cli.catalog import catalog

if TYPE_CHECKING:
    from pathlib import Path

OLD = """
[catalog]
product = "acme-db"
version = 3

[events.query_finished]
purpose = "choose an engine"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"
[events.query_finished.fields]
duration_ms = { type = "float", purpose = "find slow engines" }
status = { type = "int", purpose = "find failures" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
detail = { type = "message", templates = ["no route to {host}", "took {ms:number} ms"], purpose = "see why" }
rows = { type = "int", buckets = [0, 10, 100], purpose = "find large ones" }

[events.other]
purpose = "p"
owner = "o"
expires = "2027-06-30"
sensitivity = "technical"
[events.other.fields]
n = { type = "int", purpose = "p" }
"""


def run(tmp_path: Path, new: str, *options: str) -> tuple[int, list[str]]:
    for name, text in (("old.toml", OLD), ("new.toml", new)):
        (tmp_path / name).write_text(text)
    answered = CliRunner().invoke(catalog, ["diff", str(tmp_path / "old.toml"), str(tmp_path / "new.toml"), *options])
    return answered.exit_code, answered.stdout.splitlines()


@pytest.mark.parametrize(
    ("was", "becomes", "code", "kinds"),
    [
        pytest.param("", "", 0, [], id="nothing"),
        pytest.param('status = { type = "int"', 'status = { type = "float"', 1, ["type"], id="another-number"),
        pytest.param('duration_ms = { type = "float"', 'duration_ms = { type = "duration"', 1, ["type"], id="near"),
        pytest.param('n = { type = "int"', 'status = { type = "bool"', 1, ["type", "name", "name"], id="another-event"),
        pytest.param("duration_ms", "duration_seconds", 0, ["unit"], id="unit-in-a-name"),
        pytest.param("[0, 10, 100]", "[0, 50, 100]", 0, ["unit"], id="bounds"),
        pytest.param('"batch", "stream"', '"batch", "lake"', 0, ["enum", "enum"], id="values"),
        pytest.param("status =", "outcome =", 0, ["name", "name"], id="name-of-a-field"),
        pytest.param("events.other", "events.another", 0, ["name", "name"], id="name-of-an-event"),
        pytest.param('"acme-db"', '"acme-lake"', 0, ["name"], id="product"),
        pytest.param("find failures", "find successes", 0, ["meaning"], id="purpose-of-a-field"),
        pytest.param('"no route to {host}", ', "", 0, ["enum"], id="template-gone"),
        pytest.param('"took {ms:number} ms"]', '"took {ms:int} ms"]', 1, ["type", "enum", "enum"], id="hole-of-a-type"),
        pytest.param('"took {ms:number} ms"]', '"took {s:number} s"]', 0, ["unit", "enum", "enum"], id="other-hole"),
        pytest.param("choose an engine", "choose a disk", 0, ["meaning"], id="purpose-of-an-event"),
        pytest.param('sensitivity = "technical"', 'sensitivity = "interaction"', 0, ["meaning"] * 2, id="sensitivity"),
        pytest.param("[catalog]", "[catalog]\ntime_precision_seconds = 3600", 0, ["meaning"], id="times"),
        pytest.param('owner = "o"', 'owner = "o"\nsample = 0.5', 0, ["meaning"], id="sample"),
        pytest.param('owner = "o"', 'owner = "o"\nkind = "counter"', 0, ["meaning", "name"], id="kind"),
        pytest.param('n = { type = "int"', 'n = { type = "int", max = 5', 0, ["meaning"], id="range"),
        pytest.param('owner = "o"', 'owner = "somebody"', 0, [], id="owner"),
        pytest.param("2027-06-30", "2028-06-30", 0, [], id="expiry"),
    ],
)
def test_a_change_is_told_by_its_kind_and_fails_for_a_type_under_a_name_that_stays(
    tmp_path: Path, was: str, becomes: str, code: int, kinds: list[str]
) -> None:
    new = OLD.replace("version = 3", "version = 4").replace(was or "\0", becomes)
    exit_code, printed = run(tmp_path, new, "--json")
    changes = [json.loads(line) for line in printed]
    assert (exit_code, [change["kind"] for change in changes]) == (code, kinds)
    assert [change["kind"] for change in changes if change["breaks"]] == ["type"] * code
    assert run(tmp_path, new)[0] == code


def test_a_version_that_stays_is_told(tmp_path: Path) -> None:
    assert run(tmp_path, OLD.replace("find failures", "x"))[1][-1].startswith("version: stays at 3")
    assert run(tmp_path, OLD) == (0, ["nothing changes for those who query"])


def test_a_line_names_event_and_field(tmp_path: Path) -> None:
    code, printed = run(tmp_path, OLD.replace('status = { type = "int"', 'status = { type = "bool"'))
    assert code == 1
    assert printed[0].startswith("BREAKS type: query_finished.status: was int, is bool: ")


def test_a_file_that_is_no_catalog_is_a_wrong_call(tmp_path: Path) -> None:
    assert run(tmp_path, "[catalog]") == (2, [])
