from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import telemetry.catalog
from telemetry.catalog.docs import privacy_page
from telemetry.catalog.load import load
from telemetry.catalog.machine import machine_form
from telemetry.catalog.schema import line_schema
from telemetry.catalog.stubs import stubs
from telemetry.cli.catalog import catalog

RISINGWAVE = Path(telemetry.catalog.__file__).parent / "risingwave.toml"
ON_A_GOOD_DAY = ["--today", "2026-11-24"]
BAD = """
[catalog]
product = "acme-db"
version = 1
[events.e]
purpose = "find out about e"
owner = "o"
expires = "2027-06-30"
sensitivity = "technical"
[events.e.fields]
detail = { type = "text", purpose = "why it failed" }
"""
GOOD = BAD.replace('"text", ', '"text", max_length = 100, reason = "plugins write it", ')


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(catalog, [str(argument) for argument in arguments])
    return result.exit_code, result.output


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.toml"


def test_check_of_a_good_catalog_says_so_and_exits_with_0() -> None:
    assert run("check", RISINGWAVE, *ON_A_GOOD_DAY) == (0, f"{RISINGWAVE}: 31 events, 88 fields, good\n")


def test_check_of_a_bad_catalog_prints_a_line_for_each_fault_and_exits_with_1(path: Path) -> None:
    path.write_text(BAD.replace("version = 1", "version = 0"))
    code, output = run("check", path)
    assert code == 1
    assert len(output.splitlines()) == 2
    assert f"{path}: event e: field detail: `max_length` is missing" in output


def test_check_prints_one_json_object_of_a_good_catalog() -> None:
    code, output = run("check", "--json", RISINGWAVE, *ON_A_GOOD_DAY)
    assert code == 0
    assert json.loads(output) == {
        "file": str(RISINGWAVE),
        "good": True,
        "faults": [],
        "warnings": [],
        "events": 31,
        "fields": 88,
    }


def test_check_prints_one_json_object_of_a_bad_catalog(path: Path) -> None:
    path.write_text(BAD)
    code, output = run("check", "--json", path)
    found = json.loads(output)
    assert (code, found["good"], found["warnings"]) == (1, False, [])
    (fault,) = found["faults"]
    assert (fault["code"], fault["event"], fault["field"]) == ("form", "e", "detail")
    assert "max_length" in fault["fault"]


def test_check_fails_for_what_a_program_could_run_with_and_names_the_rule(path: Path) -> None:
    path.write_text(GOOD.replace("detail", "user_name"))
    code, output = run("check", path, *ON_A_GOOD_DAY)
    assert code == 1
    assert f"{path}: event e: field user_name: `" in output
    assert output.endswith("[private-name]\n")


def test_check_by_the_day_passes_warns_and_fails_with_the_same_file(path: Path) -> None:
    path.write_text(GOOD)
    assert run("check", path, "--today", "2027-05-01") == (0, f"{path}: 1 event, 1 field, good\n")
    code, output = run("check", path, "--today", "2027-06-10")
    assert (code, output.count("warning: event e: expires after 2027-06-30")) == (0, 1)
    assert output.endswith("good\n")
    code, output = run("check", path, "--today", "2027-07-01")
    assert (code, "[expired]" in output) == (1, True)


def test_check_is_strict_about_warnings_when_told(path: Path) -> None:
    path.write_text(GOOD)
    code, output = run("check", path, "--strict", "--json", "--today", "2027-06-10")
    found = json.loads(output)
    assert (code, found["good"], found["faults"]) == (1, False, [])
    assert [warning["code"] for warning in found["warnings"]] == ["expires-soon"]


def test_check_objects_to_a_text_without_a_reason_only_when_it_is_strict_and_a_program_runs_with_it(path: Path) -> None:
    path.write_text(GOOD.replace('reason = "plugins write it", ', ""))
    assert run("check", path, *ON_A_GOOD_DAY)[0] == 0
    code, output = run("check", path, "--strict", *ON_A_GOOD_DAY)
    assert (code, "[no-reason]" in output, 'type = "message"' in output) == (1, True, True)
    assert load(path).events["e"].fields["detail"].reason == ""


def test_docs_json_and_stubs_print_what_they_are_named_for() -> None:
    found = load(RISINGWAVE)
    assert run("docs", RISINGWAVE) == (0, privacy_page(found))
    assert run("stubs", RISINGWAVE) == (0, stubs(found))
    code, output = run("json", RISINGWAVE)
    assert (code, json.loads(output)) == (0, json.loads(json.dumps(machine_form(found))))
    code, output = run("json", "--schema", RISINGWAVE)
    assert (code, json.loads(output)) == (0, json.loads(json.dumps(line_schema(found))))


@pytest.mark.parametrize("command", ["docs", "json", "stubs"])
def test_what_is_written_to_a_file_is_what_would_be_printed(command: str, path: Path) -> None:
    path.write_text(GOOD.replace("find out", "find out \N{EM DASH} soon \N{EM DASH}"))
    output = path.with_name("written")
    assert run(command, path, "--output", output) == (0, "")
    assert output.read_text(encoding="utf-8") == run(command, path)[1]


@pytest.mark.parametrize("command", ["docs", "json", "stubs"])
def test_nothing_is_made_of_a_bad_catalog_or_written_where_it_can_not_be(command: str, path: Path) -> None:
    path.write_text(BAD)
    code, output = run(command, path, "--output", path.with_name("written"))
    assert (code, path.with_name("written").exists()) == (1, False)
    assert "`max_length` is missing" in output
    path.write_text(GOOD)
    assert run(command, path, "--output", path / "written")[0] == 2
