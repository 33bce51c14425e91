"""What a reviewer would object to: each rule has a code, fires where it should, and only there."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

import telemetry
from telemetry.catalog.lint import MAX_COMBINATIONS, MAX_ENUM_VALUES, MAX_TEXT_LENGTH, lint
from telemetry.catalog.load import load
from telemetry.catalog.model import Catalog, Event, Field

TODAY = dt.date(2026, 11, 24)
ROOT = Path(telemetry.__file__).parent


def field(name: str, type_: Any, purpose: str = "to find out", **keys: Any) -> Field:
    reason = {"reason": "the plugins of others write it"} if type_ == "text" else {}
    return Field(name=name, type=type_, purpose=purpose, **{**reason, **keys})


def message(*templates: str, **holes: Any) -> list[Field]:
    """A message field, `detail`, and those of its holes."""
    implied = [field(f"detail_{hole}", type_, parameter_of="detail") for hole, type_ in holes.items()]
    return [field("detail", "message", templates=templates), *implied]


def event(*fields: Field, name: str = "e", expires: dt.date = dt.date(2027, 6, 30), **keys: Any) -> Event:
    named = {one.name: one for one in fields}
    about = {"purpose": "to find out", "sensitivity": "technical", **keys}
    return Event(name=name, owner="o", expires=expires, fields=named, **about)


def find(*events: Event, **keys: Any) -> list[tuple[str, str, str, bool]]:
    """Code, event and field of each finding, and whether it is only a warning."""
    catalog = Catalog(product="acme", version=1, events={one.name: one for one in events}, **keys)
    return [(fault.code, fault.event, fault.field, fault.warning) for fault in lint(catalog, TODAY)]


def wide(name: str, values: int, **keys: Any) -> Field:
    return field(name, "enum", values=tuple(f"v{number}" for number in range(values)), **keys)


def test_a_good_catalog_has_no_findings() -> None:
    good = event(field("rows", "int"), field("detail", "text", max_length=200), field("table", "identifier"))
    assert find(good, event(wide("engine", 3), name="c", kind="counter")) == []
    assert find() == []


@pytest.mark.parametrize("file", ["catalog/risingwave.toml", "demo/demo.toml", "../bench/catalog.toml"])
def test_the_catalogs_that_come_with_us_have_none_but_days_that_are_far_away(file: str) -> None:
    assert {fault.code for fault in lint(load(ROOT / file), TODAY)} <= {"expires-late"}


@pytest.mark.parametrize("purpose", ["p", "why", "TODO", "todo: say why we need it", "tbd", "n/a", "misc", "none"])
def test_a_purpose_that_is_none_fails(purpose: str) -> None:
    assert find(event(field("rows", "int", purpose), purpose=purpose)) == [
        ("thin-purpose", "e", "", False),
        ("thin-purpose", "e", "rows", False),
    ]


def test_a_purpose_may_be_short_and_in_any_language() -> None:
    assert find(event(purpose="find bugs"), event(purpose="决定优化哪个引擎", name="f")) == []


@pytest.mark.parametrize(
    ("days", "code", "warning"),
    [
        pytest.param(-1, "expired", False, id="over"),
        pytest.param(0, "expires-soon", True, id="the-last-day"),
        pytest.param(29, "expires-soon", True, id="29-days"),
        pytest.param(733, "expires-late", True, id="more-than-two-years"),
    ],
)
def test_the_last_day_of_an_event_and_of_a_field_is_judged(days: int, code: str, warning: bool) -> None:  # noqa: FBT001 a row of the table
    day = TODAY + dt.timedelta(days)
    assert find(event(expires=day)) == [(code, "e", "", warning)]
    assert find(event(field("rows", "int", expires=day))) == [(code, "e", "rows", warning)]


@pytest.mark.parametrize("days", [30, 365, 732])
def test_a_last_day_within_the_next_two_years_is_good(days: int) -> None:
    assert find(event(expires=TODAY + dt.timedelta(days))) == []


def test_a_name_that_smells_fails() -> None:
    assert find(event(field("client_ip", "text", max_length=9))) == [("private-name", "e", "client_ip", False)]


def test_an_enum_is_too_wide_from_the_65th_value_on() -> None:
    assert find(event(wide("engine", MAX_ENUM_VALUES))) == []
    assert find(event(wide("engine", MAX_ENUM_VALUES + 1))) == [("wide-enum", "e", "engine", False)]


def test_too_many_combinations_of_one_event_are_a_warning_with_their_number() -> None:
    # 50 values and `other`, twice; 4 buckets; 2 of a bool: 20,808.
    fields = [wide("a", 50), wide("b", 50), field("rows", "int", buckets=(0, 1, 10, 100)), field("ok", "bool")]
    assert find(event(*fields, field("free", "int"))) == []
    catalog = Catalog(product="acme", version=1, events={"e": event(*fields, wide("c", 49))})
    (fault,) = lint(catalog, TODAY)
    assert (fault.code, fault.field, fault.warning) == ("fine-combination", "", True)
    assert "1,040,400 combinations" in fault.fault
    assert f"{MAX_COMBINATIONS:,}" in fault.fault


@pytest.mark.parametrize("name", ["memory_bytes", "cpu_count", "disk_total", "ram_gb", "screen_width", "gpu_cores"])
def test_an_exact_fact_of_a_machine_fails_until_it_has_buckets(name: str) -> None:
    assert find(event(field(name, "int"))) == [("fingerprint", "e", name, False)]
    assert find(event(field(name, "int", buckets=(0, 1024)))) == []


@pytest.mark.parametrize("name", ["memory_share", "cpu_ms", "disk_reads", "rows", "bytes"])
def test_a_number_that_changes_is_no_fingerprint(name: str) -> None:
    assert find(event(field(name, "int"))) == []


def test_in_a_report_every_exact_number_fails() -> None:
    fields = [field("rows", "int"), field("load", "float"), field("threads", "int", buckets=(1, 8))]
    assert [found[:3] for found in find(event(*fields, kind="report"))] == [
        ("fingerprint", "e", "rows"),
        ("fingerprint", "e", "load"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([field("status", "text", max_length=9)], id="an-enum-would-do"),
        pytest.param([field("driver_version", "text", max_length=9)], id="a-version-would-do"),
        pytest.param([field("detail", "text", max_length=MAX_TEXT_LENGTH + 1)], id="endless"),
        pytest.param([field("detail", "text", max_length=9), field("note", "text", max_length=9)], id="two"),
    ],
)
def test_free_text_without_need_fails(fields: list[Field]) -> None:
    assert {(code, warning) for code, _, _, warning in find(event(*fields))} == {("free-text", False)}


def test_free_text_about_what_somebody_did_fails() -> None:
    text = field("detail", "text", max_length=9)
    assert find(event(text, sensitivity="interaction")) == [("free-text", "e", "detail", False)]
    assert find(event(text)) == []


def test_times_finer_than_a_minute_fail_where_somebody_did_something() -> None:
    assert find(event(sensitivity="interaction"), time_precision_seconds=59) == [("fine-time", "", "", False)]
    assert find(event(sensitivity="interaction"), time_precision_seconds=60) == []
    assert find(event(), time_precision_seconds=1) == []


@pytest.mark.parametrize("type_", ["identifier", "sql", "path", "error", "float", "duration"])
def test_a_field_of_a_counter_needs_an_end_of_values(type_: str) -> None:
    assert find(event(field("x", type_), kind="counter")) == [("counter-field", "e", "x", False)]
    assert find(event(field("x", type_))) == []


def test_a_message_of_a_counter_has_no_end_of_texts_before_it_is_compared() -> None:
    found = find(event(*message("no route to {host}"), kind="counter"))
    assert found == [("counter-field", "e", "detail", False)]


def test_the_fields_that_a_counter_may_have_pass() -> None:
    fields = [wide("a", 3), field("ok", "bool"), field("driver", "version"), field("shards", "int")]
    assert find(event(*fields, kind="counter")) == []


def test_a_text_without_a_reason_is_a_warning_that_names_the_message_that_would_do() -> None:
    text = field("detail", "text", "see why it failed", max_length=200, reason="")
    assert find(event(text)) == [("no-reason", "e", "detail", True)]
    (fault,) = lint(Catalog(product="acme", version=1, events={"e": event(text)}), TODAY)
    assert '`detail = { type = "message", templates = ["..."], purpose = "see why it failed" }`' in fault.fault
    assert "names of people" in fault.fault


@pytest.mark.parametrize(
    "template", ["{a}", "{a}: {b}", "{a} in {b}", "{a:identifier} is {b}", "{a} at {b} of {c} to {d}"]
)
def test_a_template_that_is_nearly_all_hole_fails(template: str) -> None:
    found = find(event(*message(template)))
    assert ("hollow-template", "e", "detail", False) in found


@pytest.mark.parametrize("template", ["{a} is not {b}", "no {a} found", "{n:int} ms", "{a}失败", "all is well"])
def test_a_template_that_says_something_passes(template: str) -> None:
    assert find(event(*message(template))) == []


@pytest.mark.parametrize("hole", ["id", "user_id", "pid", "user", "account", "port", "thread", "order_number", "port2"])
def test_a_whole_number_that_may_be_an_id_is_a_warning(hole: str) -> None:
    fields = message(f"closed {{{hole}:int}} at last", **{hole: "int"})
    assert find(event(*fields)) == [("id-hole", "e", f"detail_{hole}", True)]
    bounded = field(f"detail_{hole}", "int", parameter_of="detail", buckets=(0, 10))
    assert ("id-hole", "e", f"detail_{hole}", True) not in find(event(fields[0], bounded))


@pytest.mark.parametrize("hole", ["level", "rows", "user_count", "port_ms", "ms", "users"])
def test_a_whole_number_that_counts_or_measures_passes(hole: str) -> None:
    assert find(event(*message(f"closed {{{hole}:int}} at last", **{hole: "int"}))) == []


def test_a_hole_is_judged_by_its_own_name_and_a_secret_in_one_fails() -> None:
    fields = [
        field("user_event", "message", templates=("level {level:int} and {pin:int}",)),
        *(field(f"user_event_{hole}", "int", parameter_of="user_event") for hole in ("level", "pin")),
    ]
    assert find(event(*fields)) == [("private-name", "e", "user_event_pin", False)]


def test_a_thin_purpose_of_a_message_is_told_once() -> None:
    fields = [msgspec.structs.replace(one, purpose="p") for one in message("level {level:int} is done", level="int")]
    assert find(event(*fields)) == [("thin-purpose", "e", "detail", False)]


def test_templates_with_values_that_fit_the_same_text_are_a_warning() -> None:
    fields = message("{what} took {ms:number} ms", "compaction took {ms:number} ms", "all took {x} ms", ms="float")
    warnings = [("shared-template", "e", "detail", True)] * 2
    assert find(event(*fields)) == warnings[:1]
    assert find(event(*message("{what} took {ms:number} ms", "no route to {host}", ms="float"))) == []


def test_findings_stand_in_the_order_of_the_file_and_each_is_one_line(tmp_path: Path) -> None:
    bad = event(field("name", "text", purpose="a\nb", max_length=2000), name="b", purpose="?", expires=dt.date.min)
    found = lint(Catalog(product="acme", version=1, events={"b": bad, "a": event(name="a", purpose="?")}), TODAY)
    assert [(fault.event, fault.field) for fault in found] == [
        ("b", ""),
        ("b", ""),
        ("b", "name"),
        ("b", "name"),
        ("b", "name"),
        ("a", ""),
    ]
    assert all("\n" not in fault.line(tmp_path) and fault.line(tmp_path).endswith(f"[{fault.code}]") for fault in found)
