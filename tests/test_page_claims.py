"""Each sentence of the privacy page, and about privacy in the READMEs, is one that a test holds.

A new one needs a test, named here beside it. Each test that a README names exists.
"""

from __future__ import annotations

import ast
import datetime as dt
import re
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from telemetry.catalog import keys
from telemetry.catalog.docs import privacy_page
from telemetry.catalog.field_types import TYPES
from telemetry.catalog.lint import lint
from telemetry.catalog.load import parse
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.cgroup import Limits
from telemetry.shipper.intake import report

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
ROOT = TESTS.parent
TEMPLATES = ("no route to {host}", "took {ms:number} ms")

CLAIMS = [
    # What this page is.
    ("A program wrote this page from version 3", "catalog_agreement", "test_all_name_the_same_events_and_fields"),
    (
        "An event or a field that is not on this page does not leave",
        "catalog_agreement",
        "test_what_is_not_declared_all_refuse",
    ),
    (
        "it is dropped before anything is written to disk",
        "validator",
        "test_the_name_of_an_undeclared_field_is_data_and_is_kept_nowhere",
    ),
    ("Whether any is collected is your choice", "off", "test_off_asks_the_kernel_for_nothing"),
    ("The privacy policy", "catalog_docs", "test_a_policy_url_can_not_leave_its_brackets"),
    # Events.
    (
        "What for|Who answers for it|About",
        "catalog_docs",
        "test_it_says_of_each_event_why_who_until_when_what_about_and_how_often",
    ),
    (
        "Until: .*; from the next day on",
        "catalog_agreement",
        "test_from_the_next_day_on_what_has_expired_is_dropped_and_the_rest_arrives",
    ),
    (
        "How often: each time it happens; a share of 0.5",
        "sampler",
        "test_the_weights_of_a_sample_add_up_to_about_all_events",
    ),
    ("How often: each time it happens$", "validator", "test_good_events_pass_in_order_and_nothing_is_counted"),
    ("How often: counted on your machine", "counters", "test_the_sums_are_those_of_the_calls"),
    ("How often: counted on your machine into buckets", "distributions", "test_how_many_fell_into_each_bucket_leaves"),
    ("How often: every 6 hours", "catalog_docs", "test_a_counter_and_a_report_are_described_as_such"),
    ("It has no fields", "catalog_agreement", "test_what_is_not_declared_all_refuse"),
    # What goes with it.
    ("With every event:|With every upload", "http_sink", "test_a_request_has_these_headers_and_no_others"),
    (
        "`event`: its name",
        "encode_ndjson",
        "test_a_line_has_event_time_and_session_first_then_the_fields_in_the_catalogs_order",
    ),
    ("`time`: ", "encode_ndjson", "test_each_event_has_its_own_rounded_time_whatever_its_neighbours_have"),
    ("`session`: ", "unlinkable", "test_a_session_ends_with_its_day_wherever_in_the_world_as_everybodys_does"),
    (
        "`weight`, where the server has asked for less",
        "thin",
        "test_a_shipper_keeps_the_share_that_a_collector_asks_for_until_it_takes_it_back",
    ),
    (
        "whether its session is your installation's first",
        "unlinkable",
        "test_of_an_installations_days_one_session_tells_that_it_is_the_first_and_no_other_tells_anything",
    ),
    ("a random number of its own", "http_sink", "test_a_request_has_these_headers_and_no_others"),
    ("the product and the version", "http_sink", "test_a_request_has_these_headers_and_no_others"),
    ("the consent it rests on", "http_sink", "test_a_request_has_these_headers_and_no_others"),
    ("how many events of the session", "unlinkable", "test_a_ledger_header_covers_its_session_alone"),
    ("As with any connection", "collector", "test_no_trace_of_a_client_is_left_anywhere"),
    ("It is no part of the data", "collector", "test_no_trace_of_a_client_is_left_anywhere"),
    # What is never collected.
    ("by `telemetry` itself", "unlinkable", "test_sessions_one_after_the_other_share_no_string"),
    (
        "what the text had in place of the braces",
        "message",
        "test_nothing_that_is_put_into_a_bare_hole_is_ever_a_value",
    ),
    ("the value: a token", "redactor", "test_the_next_session_has_other_tokens"),
    ("the text of the statement", "redact_sql", "test_what_leaves_does_not_depend_on_names_and_literals"),
    ("the name of the file", "redactor", "test_a_path_leaves_as_its_extension"),
    ("the message of the error", "redactor", "test_what_is_no_error_in_the_reduced_form_is_removed"),
    ("free text: ", "catalog_docs", "test_it_says_where_there_is_free_text_or_that_there_is_none"),
    # How to see it, and how to say no.
    ("preview --product acme-db --sent", "preview", "test_from_sent_it_prints_what_went"),
    ("status --product acme-db", "status", "test_where_nothing_is_all_is_zero_and_nothing_is_made"),
    ("Each of these is enough", "consent_decide", "test_a_hard_no_added_to_any_situation_gives_off"),
    ("off --product acme-db", "withdrawal", "test_off_reaches_every_process_and_nothing_is_uploaded_after"),
    ("`ACME_DB_TELEMETRY=off`|`DO_NOT_TRACK=1`|`TELEMETRY_DISABLED=1`", "off", "test_off_asks_the_kernel_for_nothing"),
    ("`ENABLE_TELEMETRY` in the environment", "catalog_head", "test_risingwaves_own_no_is_heard_with_its_catalog"),
    (
        "local --product acme-db`",
        "withdrawal",
        "test_what_was_local_is_never_uploaded_after_a_yes",
    ),
    (
        "In CI, in a run of pytest",
        "consent_decide",
        "test_nothing_is_on_without_an_explicit_yes_or_a_cloud_whose_notice_was_shown",
    ),
    (
        "What the program says counts",
        "consent_decide",
        "test_under_pytest_the_default_is_off_and_an_explicit_yes_counts",
    ),
    ("A no of yours goes before", "consent_decide", "test_a_hard_no_added_to_any_situation_gives_off"),
    ("Between yes and no:", "consent_decide", "test_a_technical_added_to_any_situation_never_gives_on"),
    (
        "technical --product acme-db`",
        "withdrawal",
        "test_under_technical_what_is_technical_leaves_and_the_rest_stays_here_even_as_a_number",
    ),
    # How long it stays.
    (
        "What waits to be sent stays in a directory that only you",
        "nobody_in",
        "test_all_that_is_made_is_private_whatever_the_umask",
    ),
    ("for at most 7 days and 256 MiB", "spool", "test_what_is_too_old_is_dropped"),
    ("Copies of what was sent", "spool", "test_copies_of_what_was_sent_are_bounded_over_restarts"),
    ("purge --product acme-db", "purge", "test_purge_stops_the_shipper_and_leaves_nothing_but_the_choice"),
    (
        "Beside it a file has the date",
        "unlinkable",
        "test_of_an_installations_days_one_session_tells_that_it_is_the_first_and_no_other_tells_anything",
    ),
    ("It tells whether a session is the first|^A no for good", "activity", "test_off_and_purge_erase_the_day"),
]
"""What a claim holds, and the test that holds it: its file, without `test_` and `.py`, and its name."""

LEAVES = {
    "text": ("redactor", "test_a_clean_text_stays_and_a_private_one_is_rewritten_and_counted_by_rule"),
    "message": ("message", "test_a_text_leaves_as_its_template_and_the_values_of_typed_holes"),
    "identifier": ("redactor", "test_an_identifier_leaves_as_a_token_that_is_the_same_within_a_session"),
    "sql": ("redact_sql", "test_what_leaves_is_always_of_the_grammar"),
    "path": ("redactor", "test_a_path_leaves_as_its_extension"),
    "error": ("redactor", "test_what_is_no_error_in_the_reduced_form_is_removed"),
    "version": ("catalog_schema", "test_what_must_not_leave_is_not_allowed"),
    "enum": ("catalog_agreement", "test_what_the_types_and_the_page_allow_arrives_whole_and_as_the_schema_says"),
    "int": ("catalog_agreement", "test_a_number_beyond_its_bounds_all_refuse"),
}
"""The same for what is said to leave of a field of each type."""


README = [
    # The README: what the example shows, and its promises.
    ("The table has become a token that means nothing outside", "redactor", "test_the_next_session_has_other_tokens"),
    (
        "the message one of the catalog's own texts",
        "message",
        "test_a_text_leaves_as_its_template_and_the_values_of_typed_holes",
    ),
    (
        "the time is cut to the minute",
        "encode_ndjson",
        "test_each_event_has_its_own_rounded_time_whatever_its_neighbours_have",
    ),
    (
        "^An event or a field that the catalog does not name does not arrive",
        "catalog_agreement",
        "test_what_is_not_declared_all_refuse",
    ),
    (
        '^It is on by default only for `deployment="cloud"`, after a notice was shown, never in CI and never when self',
        "consent_decide",
        "test_nothing_is_on_without_an_explicit_yes_or_a_cloud_whose_notice_was_shown",
    ),
    ("is a no that nothing overrides", "consent_decide", "test_a_hard_no_added_to_any_situation_gives_off"),
    ("and acts within a second", "withdrawal", "test_off_reaches_every_process_and_nothing_is_uploaded_after"),
    (
        "^What redaction finds, and what it can't",
        "redact_recall",
        "test_of_each_kind_as_much_is_found_as_is_promised",
    ),
    # Its part on consent.
    (
        '^Telemetry is on by default only for `deployment="cloud"`',
        "consent_decide",
        "test_every_combination_of_voices_and_values_is_decided_as_the_design_says",
    ),
    (
        "where an explicit yes, the host's too, still counts",
        "consent_decide",
        "test_under_pytest_the_default_is_off_and_an_explicit_yes_counts",
    ),
    ("are each a no that nothing overrides", "off", "test_off_asks_the_kernel_for_nothing"),
    (
        "tells what was decided, and by which rule",
        "consent_decide",
        "test_every_voice_with_every_value_alone_is_decided_in_every_situation_as_the_design_says",
    ),
    (
        "^A choice made at run time acts within a second in every process",
        "withdrawal",
        "test_off_reaches_every_process_and_nothing_is_uploaded_after",
    ),
    ("an upload under way is cut off", "withdrawal", "test_off_in_the_middle_of_an_upload_cuts_it_off"),
    (
        "the copies of what was sent are erased",
        "withdrawal",
        "test_off_erases_copies_quarantine_and_local_data_too",
    ),
    (
        "^`telemetry on` later works without a restart and begins anew",
        "withdrawal",
        "test_on_again_works_without_a_restart_and_brings_nothing_back",
    ),
    (
        "^Between yes and no: `technical` lets events leave that the catalog calls so",
        "withdrawal",
        "test_under_technical_what_is_technical_leaves_and_the_rest_stays_here_even_as_a_number",
    ),
    (
        "`local` keeps all",
        "consent_decide",
        "test_a_local_added_to_any_situation_lets_nothing_leave",
    ),
    (
        "^Both are said as a yes is: .* the strictest that anybody says holds",
        "withdrawal",
        "test_what_leaves_is_told_by_the_stricter_of_host_and_user_of_events_counters_and_reports",
    ),
    (
        "^A batch holds events of one sensitivity",
        "writer",
        "test_each_sensitivity_has_a_segment_and_a_ledger_of_its_own",
    ),
    (
        "a step down moves files|^Nothing that is kept so leaves after a step up",
        "withdrawal",
        "test_a_step_down_moves_files_and_what_a_host_keeps_follows_it_and_a_step_up_brings_nothing_back",
    ),
    (
        "^A collector of a version that does not know the level answers 403",
        "withdrawal",
        "test_an_old_collector_that_refuses_the_level_pauses_uploads_and_loses_nothing",
    ),
]
"""The same for the prose about privacy in the READMEs."""


def catalog() -> Catalog:
    fields = [
        Field(name="a", type="text", purpose="p", max_length=10),
        Field(name="b", type="message", purpose="p", templates=TEMPLATES),
        Field(name="c", type="identifier", purpose="p"),
        Field(name="d", type="sql", purpose="p"),
        Field(name="e", type="path", purpose="p"),
        Field(name="f", type="error", purpose="p"),
    ]
    about: dict[str, Any] = {
        "purpose": "p",
        "owner": "o",
        "expires": dt.date(2027, 6, 30),
        "sensitivity": "technical",
    }
    events = [
        Event(name="failed", fields={field.name: field for field in fields}, sample=0.5, max_per_second=9, **about),
        Event(name="counted", kind="counter", **about),
        Event(name="told", kind="report", **about),
        Event(name="spread", kind="distribution", **about),
        Event(name="happened", **about),
    ]
    return Catalog(
        product="acme-db",
        version=3,
        policy_url="https://acme.example/privacy",
        events={event.name: event for event in events},
        no_unless={"ENABLE_TELEMETRY": ("true",)},
    )


def prose() -> Iterator[str]:
    """Yield the sentences about privacy in the READMEs, outside of tables and of what is run."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    package = (ROOT / "telemetry/README.md").read_text(encoding="utf-8")
    promised = readme.partition("## What is promised")[2].partition("\n## ")[0]
    shown = readme.partition("\nThe table has become")
    consent = package.partition("\n## Consent\n")[2].partition("\n## ")[0]
    for text in (f"{shown[1]}{shown[2]}".partition("\n```")[0], promised.partition("\n")[2], consent):
        for paragraph in text.strip().split("\n\n"):
            if not paragraph.startswith("|"):
                yield from re.split(r"(?<=\.) (?=[A-Z`])", paragraph.replace("\n", " "))


def claims() -> Iterator[str]:
    """What the page says outside of its headings and tables: an item of a list, or a sentence."""
    for line in privacy_page(catalog()).splitlines():
        if line.startswith("- "):
            yield line
        elif line and line[0] not in "#|":
            yield from re.split(r"(?<=[.;]) (?=[A-Z`])", line)


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("claim", list(claims()))
def test_what_the_page_says_has_a_test(claim: str) -> None:
    assert [one for one, _, _ in CLAIMS if re.search(one, claim)], (
        "say no more than a test holds, and name it in CLAIMS"
    )


@pytest.mark.parametrize("claim", [claim for claim, _, _ in CLAIMS])
def test_a_claim_stands_on_the_page(claim: str) -> None:
    assert any(re.search(claim, said) for said in claims())


@pytest.mark.parametrize("sentence", list(prose()))
def test_what_the_readmes_say_of_privacy_has_a_test(sentence: str) -> None:
    assert [one for one, _, _ in README if re.search(one, sentence)], (
        "say no more than a test holds, and name it in README"
    )


@pytest.mark.parametrize("claim", [claim for claim, _, _ in README])
def test_a_claim_stands_in_a_readme(claim: str) -> None:
    assert any(re.search(claim, said) for said in prose())


@pytest.mark.parametrize(
    ("file", "name"), sorted({*((file, name) for _, file, name in (*CLAIMS, *README)), *LEAVES.values()})
)
def test_what_holds_a_claim_is_a_test_that_exists(file: str, name: str) -> None:
    assert name in names_in(f"test_{file}.py")


@pytest.mark.parametrize("part", ["Typed fields", "Free text", "The last look"])
def test_each_paragraph_on_redaction_names_the_tests_that_hold_it(part: str) -> None:
    said = (ROOT / "telemetry/redact/README.md").read_text(encoding="utf-8").partition(f"\n## {part}\n")[2]
    for paragraph in said.partition("\n## ")[0].strip().split("\n\n"):
        assert re.search(r"`tests/test_\w+\.py`", paragraph), paragraph


def test_what_leaves_of_a_field_is_held_by_a_test_for_each_type_that_is_rewritten() -> None:
    rewritten = {field.type for field in catalog().events["failed"].fields.values()}
    assert rewritten <= LEAVES.keys() <= TYPES.keys()


def test_the_catalog_in_the_readme_is_one_that_a_strict_reviewer_passes() -> None:
    readme = (TESTS.parent / "README.md").read_bytes()
    found = parse(readme.partition(b"```toml acme.toml\n")[2].partition(b"```")[0], Path("README.md"))
    assert found.events["query_finished"].fields["detail"].type == "message"
    assert lint(found, dt.date(2026, 11, 24)) == []


@pytest.mark.parametrize("file", ["README.md", "tests/README.md", "telemetry/redact/README.md"])
def test_the_tests_that_the_readme_names_exist(file: str) -> None:
    readme = (TESTS.parent / file).read_text(encoding="utf-8")
    named = re.findall(r"\b(test_\w+\.py)(?:::(\w+))?", readme)
    assert named
    for tests, name in named:
        assert name in {*names_in(tests), ""}, f"{file}: tests/{tests}::{name}"


def test_the_reference_of_the_catalog_names_every_key_type_and_fact() -> None:
    reference = (ROOT / "telemetry/catalog/README.md").read_text(encoding="utf-8")
    names = {*keys.CATALOG, *keys.EVENT, *keys.FIELD, *chain.from_iterable(row.keys for row in TYPES.values())}
    told = {*names, *TYPES, *report.facts(1.0, Limits())}
    assert {name for name in told if f"`{name}" not in reference} == set()


def test_the_events_in_the_reference_are_ones_that_a_strict_reviewer_passes() -> None:
    reference = (ROOT / "telemetry/catalog/README.md").read_bytes()
    event = reference.partition(b"```toml\n")[2].partition(b"```")[0]
    found = parse(b'[catalog]\nproduct = "acme-db"\nversion = 1\n' + event, Path("README.md"))
    assert lint(found, dt.date(2026, 11, 24)) == []
