from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

import telemetry.catalog
from telemetry.cli.catalog import catalog

RISINGWAVE = Path(telemetry.catalog.__file__).parent / "risingwave.toml"
BAD = """
[catalog]
product = "acme-db"
version = 1
[events.e]
purpose = "p"
owner = "o"
expires = "2027-06-30"
sensitivity = "technical"
[events.e.fields]
detail = { type = "text", purpose = "p" }
"""


def test_check_of_a_good_catalog_says_so_and_exits_with_0() -> None:
    result = CliRunner().invoke(catalog, ["check", str(RISINGWAVE)])
    assert (result.exit_code, result.output) == (0, f"{RISINGWAVE}: 30 events, 80 fields, good\n")


def test_check_of_a_bad_catalog_prints_a_line_for_each_fault_and_exits_with_1(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(BAD.replace("version = 1", "version = 0"))
    result = CliRunner().invoke(catalog, ["check", str(path)])
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 2
    assert f"{path}: event e: field detail: `max_length` is missing" in result.output


def test_check_prints_one_json_object_of_a_good_catalog() -> None:
    result = CliRunner().invoke(catalog, ["check", "--json", str(RISINGWAVE)])
    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "file": str(RISINGWAVE),
        "good": True,
        "faults": [],
        "events": 30,
        "fields": 80,
    }


def test_check_prints_one_json_object_of_a_bad_catalog(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(BAD)
    result = CliRunner().invoke(catalog, ["check", "--json", str(path)])
    found = json.loads(result.output)
    assert (result.exit_code, found["good"]) == (1, False)
    (fault,) = found["faults"]
    assert (fault["event"], fault["field"]) == ("e", "detail")
    assert "max_length" in fault["fault"]
