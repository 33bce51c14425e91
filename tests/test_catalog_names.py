"""Which names smell: word by word, by the type that would let it out."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

from typing import Any

import pytest

from telemetry.catalog.model import Field
from telemetry.catalog.names import needless_text, private_name


def smell(name: str, type_: Any) -> str:
    return private_name(Field(name=name, type=type_, purpose="to find out"))


@pytest.mark.parametrize(
    "name",
    """
    name user username user_name user2 user_id owner login email mail phone phone_number address client_ip ip ipv4
    host hostname customer tenant account first_name firstname birth_year ssn token api_token password session_id
    device_id mac mac_address uuid lat lon geo_hash url query sql statement table table_name column schema database
    path file file_path cwd home_dir access_key secret cookie referrer organization repo id catalog_id machine_id
    users emails host_names addresses tables secrets useremail dbpassword clientaddress
    """.split(),
)
def test_a_text_of_such_a_name_smells_and_gets_a_remedy(name: str) -> None:
    assert "suggests private data" in smell(name, "text")
    assert "rename" in smell(name, "text")


@pytest.mark.parametrize(
    "name",
    """
    rename hostility ipc ipc_call detail text message comment note summary pathology tablet tokenizer usage geometry
    macro filed emailing querying passwordless identity unit_test addressed status progress kinds
    """.split(),
)
def test_a_name_that_only_contains_such_a_word_does_not(name: str) -> None:
    assert smell(name, "text") == ""


@pytest.mark.parametrize(
    "name",
    """
    name_count table_count token_count path_length rename_ms ipc_ms user_count users tables ids query_ms queries_total
    url_bytes file_size column table_column host_port paths session_seconds customer_share addresses tokens
    user_counts prompt_tokens
    """.split(),
)
def test_a_number_that_counts_or_measures_does_not_smell(name: str) -> None:
    assert smell(name, "int") == ""


@pytest.mark.parametrize(
    "name", "user_id account ip phone ssn birth_year catalog_id customer address token phone_number card_number".split()
)
def test_a_number_that_is_one_does(name: str) -> None:
    assert smell(name, "int")


@pytest.mark.parametrize("name", ["lat", "longitude", "geo_x"])
def test_a_float_may_be_a_place(name: str) -> None:
    assert "remove it" in smell(name, "float")


@pytest.mark.parametrize("name", ["has_password", "user", "client_ip", "token"])
@pytest.mark.parametrize("type_", ["bool", "enum", "duration"])
def test_what_can_hold_nothing_that_somebody_typed_may_have_any_name(name: str, type_: str) -> None:
    assert smell(name, type_) == ""


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("user", "identifier"),
        ("table", "identifier"),
        ("client_ip", "identifier"),
        ("file_path", "path"),
        ("query", "sql"),
        ("table", "sql"),
        ("client_version", "version"),
        ("file_error", "error"),
        ("query_path", "path"),
        ("file_sql", "sql"),
    ],
)
def test_the_type_that_makes_it_harmless_is_accepted(name: str, type_: str) -> None:
    assert smell(name, type_) == ""


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("user", "`identifier`"),
        ("path", "`path`"),
        ("query", "`sql`"),
        ("password", "remove it"),
        ("birth_year", "remove it"),
    ],
)
def test_the_remedy_fits_the_word(name: str, remedy: str) -> None:
    assert remedy in smell(name, "text")


def test_a_secret_is_not_made_harmless_by_a_token_for_it() -> None:
    assert "remove it" in smell("password", "identifier")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("status", "`enum`"),
        ("job_state", "`enum`"),
        ("reason", "`enum`"),
        ("driver_version", "`version`"),
        ("last_error", "`error`"),
        ("traceback", "`error`"),
    ],
)
def test_a_text_that_another_type_says_better_is_needless(name: str, remedy: str) -> None:
    assert remedy in needless_text(name)


@pytest.mark.parametrize("name", ["detail", "message", "state_dump", "kindness", "typed"])
def test_other_texts_may_be_needed(name: str) -> None:
    assert needless_text(name) == ""
