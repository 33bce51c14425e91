"""The rules of consent, row by row, then as laws."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.consent import NOTICE_VERSION, Decision, State, decide
from telemetry.consent.decide import _CI_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable

ON, TECHNICAL, LOCAL, OFF = State.ON, State.TECHNICAL, State.LOCAL, State.OFF


class Row(NamedTuple):
    """One situation and what must come of it."""

    name: str
    state: State
    rule: str
    basis: str
    environ: dict[str, str] = {}  # noqa: RUF012 never changed
    stored: str | None = None
    host: str | None = None
    deployment: str | None = None
    notice_shown: int = 0


YES = {"ACME_DB_TELEMETRY": "on"}

HARD_NO = [
    Row("DO_NOT_TRACK=1", OFF, "DO_NOT_TRACK=1", "environment", {"DO_NOT_TRACK": "1"}),
    Row(
        "DO_NOT_TRACK beats every yes together",
        OFF,
        "DO_NOT_TRACK=1",
        "environment",
        {"DO_NOT_TRACK": "1"} | YES,
        stored="on",
        host="on",
        deployment="cloud",
        notice_shown=1,
    ),
    Row(
        "DO_NOT_TRACK=true",
        OFF,
        "DO_NOT_TRACK=true",
        "environment",
        {"DO_NOT_TRACK": "true"},
        host="on",
    ),
    Row(
        "DO_NOT_TRACK=false is a value nobody knows",
        OFF,
        "DO_NOT_TRACK=false",
        "environment",
        {"DO_NOT_TRACK": "false"},
        host="on",
    ),
    Row(
        "DO_NOT_TRACK holds a space",
        OFF,
        "DO_NOT_TRACK (unknown value)",
        "environment",
        {"DO_NOT_TRACK": " "},
        host="on",
    ),
    Row(
        "DO_NOT_TRACK=00 is not 0",
        OFF,
        "DO_NOT_TRACK=00",
        "environment",
        {"DO_NOT_TRACK": "00"},
        host="on",
    ),
    Row(
        "TELEMETRY_DISABLED=1",
        OFF,
        "TELEMETRY_DISABLED=1",
        "environment",
        {"TELEMETRY_DISABLED": "1"},
        stored="on",
    ),
    Row(
        "TELEMETRY_DISABLED=false is a value nobody knows",
        OFF,
        "TELEMETRY_DISABLED=false",
        "environment",
        {"TELEMETRY_DISABLED": "false"},
        stored="on",
    ),
    Row(
        "DO_NOT_TRACK=0 leaves TELEMETRY_DISABLED standing",
        OFF,
        "TELEMETRY_DISABLED=1",
        "environment",
        {"DO_NOT_TRACK": "0", "TELEMETRY_DISABLED": "1"},
        stored="on",
    ),
    Row(
        "product variable off beats stored and host yes",
        OFF,
        "ACME_DB_TELEMETRY=off",
        "environment",
        {"ACME_DB_TELEMETRY": "off"},
        stored="on",
        host="on",
    ),
    Row(
        "product variable 0",
        OFF,
        "ACME_DB_TELEMETRY=0",
        "environment",
        {"ACME_DB_TELEMETRY": "0"},
        host="on",
    ),
    Row(
        "product variable misspelt",
        OFF,
        "ACME_DB_TELEMETRY=onn",
        "environment",
        {"ACME_DB_TELEMETRY": "onn"},
        host="on",
    ),
    Row(
        "product variable with a value unfit to print",
        OFF,
        "ACME_DB_TELEMETRY (unknown value)",
        "environment",
        {"ACME_DB_TELEMETRY": "\x1b[2J"},
        host="on",
    ),
    Row(
        "stored off beats host and environment yes",
        OFF,
        "stored choice",
        "stored",
        YES,
        stored="off",
        host="on",
    ),
    Row(
        "stored off beats the cloud default",
        OFF,
        "stored choice",
        "stored",
        stored="off",
        deployment="cloud",
        notice_shown=1,
    ),
    Row("stored choice unknown", OFF, "stored choice", "stored", stored="maybe", host="on"),
    Row("stored choice empty", OFF, "stored choice", "stored", stored="", host="on"),
    Row("host off beats stored and environment yes", OFF, "host", "host", YES, stored="on", host="off"),
    Row("host says something unknown", OFF, "host", "host", YES, stored="on", host="ON"),
]
LOCALS = [
    Row("stored local", LOCAL, "stored choice", "stored", stored="local"),
    Row("stored local beats host and environment yes", LOCAL, "stored choice", "stored", YES, "local", "on"),
    Row("host local beats stored and environment yes", LOCAL, "host", "host", YES, "on", "local"),
    Row(
        "product variable local beats stored and host yes",
        LOCAL,
        "ACME_DB_TELEMETRY=local",
        "environment",
        {"ACME_DB_TELEMETRY": "local"},
        stored="on",
        host="on",
    ),
    Row(
        "local loses to DO_NOT_TRACK",
        OFF,
        "DO_NOT_TRACK=1",
        "environment",
        {"DO_NOT_TRACK": "1"},
        stored="local",
    ),
    Row("local loses to a host off", OFF, "host", "host", stored="local", host="off"),
    Row("local loses to a stored off", OFF, "stored choice", "stored", stored="off", host="local"),
    Row("local beats the default no of CI", LOCAL, "host", "host", {"CI": "true"}, host="local"),
    Row(
        "local beats the default no of an enterprise",
        LOCAL,
        "stored choice",
        "stored",
        stored="local",
        deployment="enterprise",
    ),
    Row(
        "local beats the cloud default",
        LOCAL,
        "stored choice",
        "stored",
        stored="local",
        deployment="cloud",
        notice_shown=1,
    ),
]
TECHNICALS = [
    Row("stored technical", TECHNICAL, "stored choice", "stored", stored="technical"),
    Row("host technical", TECHNICAL, "host", "host", host="technical"),
    Row(
        "stored technical beats host and environment yes", TECHNICAL, "stored choice", "stored", YES, "technical", "on"
    ),
    Row("host technical beats stored and environment yes", TECHNICAL, "host", "host", YES, "on", "technical"),
    Row(
        "product variable technical, in capitals, beats stored and host yes",
        TECHNICAL,
        "ACME_DB_TELEMETRY=Technical",
        "environment",
        {"ACME_DB_TELEMETRY": " Technical "},
        stored="on",
        host="on",
    ),
    Row("technical loses to a stored local", LOCAL, "stored choice", "stored", stored="local", host="technical"),
    Row("technical loses to a host local", LOCAL, "host", "host", stored="technical", host="local"),
    Row("technical loses to a host off", OFF, "host", "host", stored="technical", host="off"),
    Row("a stored TECHNICAL is a value nobody knows", OFF, "stored choice", "stored", stored="TECHNICAL", host="on"),
    Row(
        "technical loses to TELEMETRY_DISABLED",
        OFF,
        "TELEMETRY_DISABLED=1",
        "environment",
        {"TELEMETRY_DISABLED": "1"},
        stored="technical",
    ),
    Row("technical beats the default no of CI", TECHNICAL, "host", "host", {"CI": "true"}, host="technical"),
    Row(
        "technical beats the default no of self-hosted",
        TECHNICAL,
        "stored choice",
        "stored",
        stored="technical",
        deployment="self-hosted",
    ),
    Row("technical needs no notice in the cloud", TECHNICAL, "host", "host", host="technical", deployment="cloud"),
    Row(
        "technical beats the cloud default",
        TECHNICAL,
        "stored choice",
        "stored",
        stored="technical",
        deployment="cloud",
        notice_shown=1,
    ),
]
YESES = [
    Row("stored on", ON, "stored choice", "stored", stored="on"),
    Row("host on", ON, "host", "host", host="on"),
    Row("product variable on", ON, "ACME_DB_TELEMETRY=on", "environment", YES),
    Row(
        "product variable in capitals and spaces",
        ON,
        "ACME_DB_TELEMETRY=ON",
        "environment",
        {"ACME_DB_TELEMETRY": " ON "},
    ),
    Row("product variable 1", ON, "ACME_DB_TELEMETRY=1", "environment", {"ACME_DB_TELEMETRY": "1"}),
    Row("the user's own yes names the rule", ON, "stored choice", "stored", YES, stored="on", host="on"),
    Row("a yes beats CI", ON, "stored choice", "stored", {"CI": "true"}, stored="on"),
    Row("a yes beats self-hosted", ON, "host", "host", host="on", deployment="self-hosted"),
    Row("a yes beats enterprise", ON, "ACME_DB_TELEMETRY=on", "environment", YES, deployment="enterprise"),
    Row("a yes needs no notice in the cloud", ON, "host", "host", host="on", deployment="cloud"),
    Row(
        "variables that are empty or 0 say nothing",
        ON,
        "host",
        "host",
        {"DO_NOT_TRACK": "", "TELEMETRY_DISABLED": "0", "ACME_DB_TELEMETRY": ""},
        host="on",
    ),
]
DEFAULTS = [
    Row("undecided", OFF, "deployment unknown", "none"),
    Row("deployment unknown to us", OFF, "deployment unknown", "none", deployment="Cloud", notice_shown=1),
    Row("self-hosted", OFF, "deployment self-hosted", "none", deployment="self-hosted", notice_shown=1),
    Row("enterprise", OFF, "deployment enterprise", "none", deployment="enterprise", notice_shown=1),
    Row("DO_NOT_TRACK=0 is not a yes", OFF, "deployment unknown", "none", {"DO_NOT_TRACK": "0"}),
    Row(
        "DO_NOT_TRACK=0 is no notice",
        LOCAL,
        "notice not shown",
        "none",
        {"DO_NOT_TRACK": "0"},
        deployment="cloud",
    ),
    Row("another product's yes", OFF, "deployment unknown", "none", {"ACME_TELEMETRY": "on"}),
    Row("cloud before the notice", LOCAL, "notice not shown", "none", deployment="cloud"),
    Row("cloud after the notice", ON, "cloud default", "cloud-default", deployment="cloud", notice_shown=1),
    Row("CI beats the cloud default", OFF, "CI", "none", {"CI": "true"}, deployment="cloud", notice_shown=1),
    Row("cloud in CI before the notice", OFF, "CI", "none", {"CI": "1"}, deployment="cloud"),
    Row(
        "CI by another variable",
        OFF,
        "CI",
        "none",
        {"GITHUB_ACTIONS": "true", "CI": "false"},
        deployment="cloud",
        notice_shown=1,
    ),
    Row(
        "CI by a URL",
        OFF,
        "CI",
        "none",
        {"JENKINS_URL": "https://ci.example/"},
        deployment="cloud",
        notice_shown=1,
    ),
    Row("pytest", OFF, "pytest", "none", {"PYTEST_VERSION": "9"}, deployment="cloud", notice_shown=1),
    Row(
        "CI empty, 0 and False are not CI",
        ON,
        "cloud default",
        "cloud-default",
        {"CI": "", "GITHUB_ACTIONS": "0", "TRAVIS": "False"},
        deployment="cloud",
        notice_shown=1,
    ),
]
NAMED = [
    Row("a word of 16 letters", OFF, f"DO_NOT_TRACK={'x' * 16}", "environment", {"DO_NOT_TRACK": "x" * 16}),
    Row("one of 17", OFF, "DO_NOT_TRACK (unknown value)", "environment", {"DO_NOT_TRACK": "x" * 17}),
]
ROWS = NAMED + HARD_NO + LOCALS + TECHNICALS + YESES + DEFAULTS


def _decide(row: Row) -> Decision:
    return decide(
        product="acme-db",
        environ=row.environ,
        stored=row.stored,
        host=row.host,
        deployment=row.deployment,
        notice_shown=row.notice_shown,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_table(row: Row) -> None:
    decision = _decide(row)
    assert (decision.state, decision.rule, decision.basis) == (row.state, row.rule, row.basis)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_only_the_cloud_default_rests_on_the_notice(row: Row) -> None:
    decision = _decide(row)
    assert decision.notice == (NOTICE_VERSION if decision.basis == "cloud-default" else 0)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("cloud", "cloud"),
        ("self-hosted", "self-hosted"),
        ("enterprise", "enterprise"),
        ("CLOUD", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_deployment_that_nobody_knows_is_unknown(said: str | None, kind: str) -> None:
    assert _decide(Row("", ON, "", "", host="on", deployment=said)).deployment == kind


def test_an_older_notice_does_not_allow_what_todays_promises() -> None:
    row = Row("", LOCAL, "", "", deployment="cloud", notice_shown=NOTICE_VERSION - 1)
    assert _decide(row).state is LOCAL


def test_a_products_variable_has_an_underscore_for_every_sign_that_is_no_letter_or_digit() -> None:
    situation = {"stored": None, "host": None, "deployment": None, "notice_shown": 0}
    environ = {"A_2_C_TELEMETRY": "on"}
    assert decide(product="a-2_c", environ=environ, **situation).state is ON  # type: ignore[arg-type]


# Every combination, against rules written down a second time, from the design and not from the code.

VALUES: dict[str, list[str | None]] = {
    "DO_NOT_TRACK": [None, "", "0", "1", "true", "false", "no", " 0"],
    "TELEMETRY_DISABLED": [None, "", "0", "1", "false"],
    "stored": [None, "on", "technical", "local", "off", "", "yes"],
    "variable": [None, "", "on", " On ", "1", "true", "YES", "Technical", "local", "off", "0", "false", "maybe"],
    "host": [None, "on", "technical", "local", "off", "", "true"],
}
SITUATIONS = [
    (ci, deployment, notice)
    for ci in (None, "", "0", "false", "true", "1", "anything")
    for deployment in (None, "cloud", "self-hosted", "enterprise", "Cloud", "")
    for notice in (-1, 0, NOTICE_VERSION, NOTICE_VERSION + 1)
]


def _expected(said: dict[str, str | None], ci: str | None, deployment: str | None, notice: int) -> tuple[State, str]:
    """State and basis by the three classes of the design: hard no, then explicit yes, then default."""
    sources = {
        "DO_NOT_TRACK": "environment",
        "TELEMETRY_DISABLED": "environment",
        "stored": "stored",
        "variable": "environment",
        "host": "host",
    }
    meant: dict[str, str] = {}
    for voice in ("DO_NOT_TRACK", "TELEMETRY_DISABLED"):
        if said[voice] not in {None, "", "0"}:
            meant[voice] = "off"
    for voice in ("stored", "host"):
        if (word := said[voice]) is not None:
            meant[voice] = word if word in {"on", "technical", "local"} else "off"
    if word := said["variable"]:
        known = {"on": "on", "1": "on", "true": "on", "yes": "on", "technical": "technical", "local": "local"}
        meant["variable"] = known.get(word.lower().strip(), "off")
    for strict in ("off", "local", "technical", "on"):
        for voice, basis in sources.items():
            if meant.get(voice) == strict:
                return State(strict), basis
    if ci not in {None, "", "0", "false"} or deployment != "cloud":
        return OFF, "none"
    return (ON, "cloud-default") if notice >= NOTICE_VERSION else (LOCAL, "none")


def _ask(said: dict[str, str | None], ci: str | None, deployment: str | None, notice: int) -> tuple[State, str]:
    names = {
        "DO_NOT_TRACK": "DO_NOT_TRACK",
        "TELEMETRY_DISABLED": "TELEMETRY_DISABLED",
        "variable": "ACME_DB_TELEMETRY",
    }
    environ = {names[voice]: word for voice, word in said.items() if voice in names and word is not None}
    decision = decide(
        product="acme-db",
        environ=environ | ({} if ci is None else {"CI": ci}),
        stored=said["stored"],
        host=said["host"],
        deployment=deployment,
        notice_shown=notice,
    )
    return decision.state, decision.basis


def test_every_combination_of_voices_and_values_is_decided_as_the_design_says() -> None:
    combinations = 0
    for words in product(*VALUES.values()):
        said = dict(zip(VALUES, words, strict=True))
        assert _ask(said, None, None, 0) == _expected(said, None, None, 0), said
        combinations += 1
    assert combinations == 8 * 5 * 7 * 13 * 7


def test_every_voice_with_every_value_alone_is_decided_in_every_situation_as_the_design_says() -> None:
    silent: dict[str, str | None] = dict.fromkeys(VALUES)
    for voice, words in VALUES.items():
        for word in words:
            for situation in SITUATIONS:
                said = silent | {voice: word}
                assert _ask(said, *situation) == _expected(said, *situation), (said, situation)


@pytest.mark.parametrize("variable", _CI_VARIABLES)
def test_every_mark_of_a_ci_says_no_by_default_and_yields_to_a_yes(variable: str) -> None:
    environ = {variable: "1"}
    default = Row("", OFF, "CI", "none", environ, deployment="cloud", notice_shown=NOTICE_VERSION)
    assert _decide(default)[:3] == (OFF, "CI", "none")
    assert _decide(default._replace(host="on")).state is ON


# Laws.

_words = st.sampled_from(["on", "technical", "local", "off", "", "0", "1", "true", "false", "maybe"]) | st.text(
    max_size=5
)
_variables = st.sampled_from(
    ["DO_NOT_TRACK", "TELEMETRY_DISABLED", "ACME_DB_TELEMETRY", "CI", "GITHUB_ACTIONS", "TF_BUILD"]
)
_situations = st.fixed_dictionaries(
    {
        "product": st.just("acme-db"),
        "environ": st.dictionaries(_variables, _words, max_size=4),
        "stored": st.none() | _words,
        "host": st.none() | _words,
        "deployment": st.sampled_from(["cloud", "self-hosted", "enterprise", None]) | st.text(max_size=5),
        "notice_shown": st.integers(min_value=-1, max_value=3),
    }
)


def _with_variable(name: str, value: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda situation: situation | {"environ": situation["environ"] | {name: value}}


def _with(**said: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda situation: situation | said


@pytest.mark.parametrize(
    "say_no",
    [
        pytest.param(_with_variable("DO_NOT_TRACK", "1"), id="DO_NOT_TRACK"),
        pytest.param(_with_variable("TELEMETRY_DISABLED", "yes"), id="TELEMETRY_DISABLED"),
        pytest.param(_with_variable("ACME_DB_TELEMETRY", "off"), id="product variable"),
        pytest.param(_with(stored="off"), id="stored"),
        pytest.param(_with(host="off"), id="host"),
    ],
)
@given(situation=_situations)
def test_a_hard_no_added_to_any_situation_gives_off(
    say_no: Callable[[dict[str, Any]], dict[str, Any]], situation: dict[str, Any]
) -> None:
    assert decide(**say_no(situation)).state is OFF


@pytest.mark.parametrize(
    "say_local",
    [
        pytest.param(_with_variable("ACME_DB_TELEMETRY", "local"), id="product variable"),
        pytest.param(_with(stored="local"), id="stored"),
        pytest.param(_with(host="local"), id="host"),
    ],
)
@given(situation=_situations)
def test_a_local_added_to_any_situation_lets_nothing_leave(
    say_local: Callable[[dict[str, Any]], dict[str, Any]], situation: dict[str, Any]
) -> None:
    assert decide(**say_local(situation)).state in {LOCAL, OFF}


@pytest.mark.parametrize(
    "say_technical",
    [
        pytest.param(_with_variable("ACME_DB_TELEMETRY", "technical"), id="product variable"),
        pytest.param(_with(stored="technical"), id="stored"),
        pytest.param(_with(host="technical"), id="host"),
    ],
)
@given(situation=_situations)
def test_a_technical_added_to_any_situation_never_gives_on(
    say_technical: Callable[[dict[str, Any]], dict[str, Any]], situation: dict[str, Any]
) -> None:
    assert decide(**say_technical(situation)).state is not ON


@given(situation=_situations)
def test_nothing_is_on_without_an_explicit_yes_or_a_cloud_whose_notice_was_shown(
    situation: dict[str, Any],
) -> None:
    variable = situation["environ"].get("ACME_DB_TELEMETRY", "").strip().lower()
    said_yes = "on" in {situation["stored"], situation["host"]} or variable in {"on", "1", "true", "yes"}
    noticed = situation["deployment"] == "cloud" and situation["notice_shown"] >= NOTICE_VERSION
    if decide(**situation).state is ON:
        assert said_yes or noticed


@given(situation=_situations)
def test_a_variable_of_ci_never_gives_more_than_its_absence(situation: dict[str, Any]) -> None:
    strict = decide(**_with_variable("CI", "true")(situation)).state
    free = decide(**_with_variable("CI", "")(situation)).state
    order = [OFF, LOCAL, TECHNICAL, ON]
    assert order.index(strict) <= order.index(free)


_any_text = st.text(st.characters(), max_size=30)


@given(
    product=_any_text,
    environ=st.dictionaries(_variables | _any_text, _any_text),
    stored=st.none() | _any_text,
    host=st.none() | _any_text,
    deployment=st.none() | _any_text,
    notice_shown=st.integers(),
)
def test_any_strings_at_all_get_a_decision(**situation: Any) -> None:
    decision = decide(**situation)
    assert decision.rule.isprintable()
    assert decision.basis in {"stored", "environment", "host", "cloud-default", "none"}
    assert decision.deployment in {"cloud", "self-hosted", "enterprise", "unknown"}


VARIABLES = {"ENABLE_TELEMETRY": ["1", "t", "true"], "RW_TELEMETRY_TYPE": ["hosted", "docker-compose"]}


@pytest.mark.parametrize(
    ("environ", "rule"),
    [
        ({"ENABLE_TELEMETRY": "false"}, "ENABLE_TELEMETRY=false"),
        ({"ENABLE_TELEMETRY": "not a bool"}, "ENABLE_TELEMETRY (unknown value)"),
        ({"ENABLE_TELEMETRY": ""}, "ENABLE_TELEMETRY (unknown value)"),
        ({"ENABLE_TELEMETRY": "true", "RW_TELEMETRY_TYPE": "test"}, "RW_TELEMETRY_TYPE=test"),
        ({"RW_TELEMETRY_TYPE": '"docker-compose"'}, "RW_TELEMETRY_TYPE (unknown value)"),
    ],
)
def test_a_variable_that_the_catalog_names_is_a_no_that_nothing_overrides(environ: dict[str, str], rule: str) -> None:
    decision = decide(
        product="risingwave",
        environ={"RISINGWAVE_TELEMETRY": "on", **environ},
        stored="on",
        host="on",
        deployment="cloud",
        notice_shown=NOTICE_VERSION,
        no_unless=VARIABLES,
    )
    assert (decision.state, decision.rule, decision.basis) == (OFF, rule, "environment")


@pytest.mark.parametrize("environ", [{}, {"ENABLE_TELEMETRY": " True "}, {"RW_TELEMETRY_TYPE": "hosted"}])
def test_what_the_catalog_lists_says_nothing(environ: dict[str, str]) -> None:
    said = {"stored": None, "deployment": None, "notice_shown": 0, "no_unless": VARIABLES}
    assert decide(product="risingwave", environ=environ, host="on", **said).rule == "host"  # type: ignore[arg-type]
    assert decide(product="risingwave", environ=environ, host=None, **said).rule == "deployment unknown"  # type: ignore[arg-type]


@pytest.mark.parametrize("variable", ["PYTEST_CURRENT_TEST", "PYTEST_VERSION"])
def test_under_pytest_the_default_is_off_and_an_explicit_yes_counts(variable: str) -> None:
    environ = {variable: "tests/test_x.py::test_y (call)"}
    said = {"product": "acme", "environ": environ, "deployment": "cloud", "notice_shown": NOTICE_VERSION}
    assert decide(host=None, stored=None, **said)[:2] == (OFF, "pytest")  # type: ignore[arg-type]
    assert decide(host="on", stored=None, **said)[:2] == (ON, "host")  # type: ignore[arg-type]
    assert decide(host=None, stored="on", **said)[:2] == (ON, "stored choice")  # type: ignore[arg-type]
