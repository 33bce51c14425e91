"""`telemetry on`, `technical`, `local` and `off`."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from telemetry import paths
from telemetry.catalog.keys import CATALOG
from telemetry.cli.consent import local, off, on, technical
from telemetry.consent import State, check_product, find_product, read_stored
from telemetry.consent.product import is_product
from telemetry.errors import ConfigError
from telemetry.receipt import parse_catalog

if TYPE_CHECKING:
    from pathlib import Path

    import click

COMMANDS = pytest.mark.parametrize(
    ("command", "choice"), [(on, "on"), (technical, "technical"), (local, "local"), (off, "off")]
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEMETRY_HOME", str(tmp_path / "home"))
    for variable in ("DO_NOT_TRACK", "TELEMETRY_DISABLED", "ACME_TELEMETRY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "home"


def _run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


@COMMANDS
def test_a_choice_is_stored_and_printed(command: click.Command, choice: str) -> None:
    result = _run(command, "--product", "acme")
    assert (result.exit_code, result.stderr) == (0, "Nothing called acme has asked or collected here so far.\n")
    assert result.stdout.startswith(f"acme: {choice} since 2")
    assert read_stored("acme").choice == choice


@COMMANDS
def test_json_is_one_object(command: click.Command, choice: str) -> None:
    result = _run(command, "--product", "acme", "--json")
    printed = json.loads(result.stdout)
    assert printed.keys() == {"product", "choice", "since"}
    assert (printed["product"], printed["choice"]) == ("acme", choice)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(printed["since"])) < timedelta(minutes=1)


def test_the_only_product_need_not_be_named() -> None:
    paths.product_dir("acme").mkdir(parents=True)
    assert _run(off).exit_code == 0
    assert read_stored("acme").choice is State.OFF
    assert _run(on).exit_code == 0, "known by its spool and by its choice, it is still one product"
    assert read_stored("acme").choice is State.ON


def test_of_several_products_none_is_chosen_and_all_are_listed() -> None:
    paths.product_dir("zebra").mkdir(parents=True)
    _run(on, "--product", "acme")
    result = _run(off)
    assert result.exit_code == 2
    assert "acme, zebra" in result.stderr
    assert read_stored("acme").choice is State.ON


def test_a_choice_for_what_nobody_has_heard_of_is_stored_and_says_so() -> None:
    first = _run(on, "--product", "acme")
    assert "Nothing called acme has asked or collected here so far.\n" in first.stderr
    slip = _run(off, "--product", "acne")
    assert "Nothing called acne has asked or collected here so far; known are acme.\n" in slip.stderr
    assert (first.exit_code, slip.exit_code, read_stored("acne").choice) == (0, 0, State.OFF)
    assert "Nothing called" not in _run(off, "--product", "acme").stderr


def test_with_no_product_known_one_must_be_named() -> None:
    result = _run(off)
    assert result.exit_code == 2
    assert "--product NAME" in result.stderr


def test_what_is_no_products_directory_is_not_taken_for_one(home: Path) -> None:
    (home / "state" / "Not a product").mkdir(parents=True)
    (home / "state" / "notes").write_text("")
    with pytest.raises(ConfigError, match="no product"):
        find_product(None)


@pytest.mark.parametrize("name", ["../acme", "", "Acme", "-acme", "acme\n", "a" * 65, "a/b", "é"])
def test_a_name_that_would_be_a_bad_path_is_refused(name: str, home: Path) -> None:
    result = _run(off, "--product", name)
    assert result.exit_code == 2
    assert "is no product name" in result.stderr
    assert not home.exists()


@pytest.mark.parametrize("name", ["a", "0", "acme-db", "acme_db2", "a" * 64])
def test_a_good_name_passes_as_it_is(name: str) -> None:
    assert check_product(name) == name


@pytest.mark.parametrize(
    "name", ["a", "acme_db2", "a" * 64, "../acme", "", "Acme", "-acme", "acme.db", "acme\n", "a" * 65, "a/b", "é"]
)
def test_catalogs_and_receipts_name_the_products_that_can_be_named_here(name: str) -> None:
    is_good = is_product(name)
    assert CATALOG["product"].accepts(name) == is_good
    assert (parse_catalog(f"{name}/3") is not None) == is_good
    with nullcontext() if is_good else pytest.raises(ConfigError):
        check_product(name)


def test_a_choice_that_cannot_be_stored_ends_with_2_and_says_why(home: Path) -> None:
    home.write_text("")
    result = _run(off, "--product", "acme")
    assert result.exit_code == 2
    assert "can't be stored" in result.stderr
    assert "DO_NOT_TRACK=1" in result.stderr
    assert result.stdout == ""


def test_a_yes_that_the_environment_overrules_is_stored_with_a_word_about_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    result = _run(on, "--product", "acme", "--json")
    assert json.loads(result.stdout)["choice"] == "on"
    assert "stays off: DO_NOT_TRACK=1" in result.stderr
