from __future__ import annotations

import copy
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry.catalog.columns import declared_types
from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.load import inspect, load
from telemetry.errors import CatalogError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[catalog]
product = "acme-db"
version = 3
policy_url = "https://acme.example/privacy"
time_precision_seconds = 30

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"
sample = 0.5
[events.query_finished.fields]
duration_ms = { type = "float", min = 0, purpose = "find slow engines" }
rows = { type = "int", min = 0, max = 10, buckets = [0, 5], purpose = "find big results" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
table = { type = "identifier", purpose = "distinct tables in a session" }
statement = { type = "sql", purpose = "shape of slow queries" }
detail = { type = "text", max_length = 200, purpose = "why it failed" }
said_le = { type = "message", templates = ["all {vel}"], purpose = "see what" }
[events.query_finished.fields.said]
type = "message"
templates = ["no route to {host}", "level {level:int} of {engine:enum} took {ms:number} ms"]
purpose = "what is said"
holes.engine = { values = ["batch", "stream"], purpose = "compare engines" }
holes.ms = { buckets = [0, 10, 100] }

[events.queries]
kind = "counter"
purpose = "how much each engine is used"
owner = "query team"
expires = 2027-06-30
sensitivity = "interaction"
"""


def read(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "acme.toml"
    path.write_text(text)
    _, faults = inspect(path)
    return [fault.line(path).removeprefix(f"{path}: ") for fault in faults]


def test_a_good_catalog_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(GOOD)
    catalog = load(path)
    assert (catalog.product, catalog.version, catalog.time_precision_seconds) == ("acme-db", 3, 30)
    assert list(catalog.events) == ["query_finished", "queries"]
    query = catalog.events["query_finished"]
    assert (query.sample, query.max_per_second, query.kind) == (0.5, None, "event")
    own = ["duration_ms", "rows", "engine", "table", "statement", "detail", "said_le", "said"]
    assert list(query.fields) == [*own, "said_level", "said_engine", "said_ms"]
    assert query.fields["engine"].values == ("batch", "stream")
    assert list(query.fields["rows"].buckets) == [0, 5]
    assert query.fields["detail"].max_length == 200
    assert query.expires == catalog.events["queries"].expires == dt.date(2027, 6, 30)


def test_a_field_may_end_before_its_event(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(
        GOOD.replace('"sql", ', '"sql", expires = "2027-01-31", ').replace('"text", ', '"text", expires = 2027-02-01, ')
    )
    fields = load(path).events["query_finished"].fields
    days = [fields[name].expires for name in ("statement", "detail", "table")]
    assert days == [dt.date(2027, 1, 31), dt.date(2027, 2, 1), None]


def test_the_typed_holes_of_a_message_become_fields_right_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(GOOD.replace('"what is said"', '"what is said"\nexpires = 2027-01-31'))
    fields = load(path).events["query_finished"].fields
    level, engine, ms = (fields[f"said_{hole}"] for hole in ("level", "engine", "ms"))
    assert [(one.type, one.purpose, one.parameter_of) for one in (level, engine, ms)] == [
        ("int", "what is said", "said"),
        ("enum", "compare engines", "said"),
        ("float", "what is said", "said"),
    ]
    assert (engine.values, ms.buckets) == (("batch", "stream"), (0, 10, 100))
    columns = declared_types([load(path)])["query_finished"]
    assert (columns["said"], columns["said_level"], columns["said_ms"]) == ({"VARCHAR"}, {"BIGINT"}, {"DOUBLE"})
    assert {one.expires for one in (fields["said"], level, engine, ms)} == {dt.date(2027, 1, 31)}


def test_a_message_takes_one_line_where_its_holes_need_no_more(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    line = 'said = { type = "message", templates = ["no route to {host}", "took {ms:number} ms"], purpose = "see why" }'
    path.write_text(GOOD[: GOOD.index("[events.query_finished.fields.said]")] + line)
    assert list(load(path).events["query_finished"].fields)[-2:] == ["said", "said_ms"]


def test_an_event_past_its_date_is_no_fault(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD.replace("2027-06-30", "2001-01-01")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param('product = "acme-db"\n', "", "`product` is missing", id="no-product"),
        pytest.param('"acme-db"', '"../acme"', "`product` is '../acme'", id="product-is-a-path"),
        pytest.param("version = 3", "version = true", "`version` is True", id="version-is-a-bool"),
        pytest.param("version = 3", "version = 3\nversoin = 3", "did you mean `version`?", id="misspelt-in-catalog"),
        pytest.param("_seconds = 30", "_seconds = 0", "`time_precision_seconds` is 0", id="no-precision"),
        pytest.param("[catalog]", "[catalgo]", "did you mean `catalog`?", id="misspelt-table"),
        pytest.param(
            'purpose = "decide which engine to optimise next"\n',
            "",
            "event query_finished: `purpose` is missing",
            id="no-purpose",
        ),
        pytest.param('owner = "query team"\n', "", "event query_finished: `owner` is missing", id="no-owner"),
        pytest.param('expires = "2027-06-30"\n', "", "event query_finished: `expires` is missing", id="no-expires"),
        pytest.param('"2027-06-30"', '"2027-02-30"', "`expires` is '2027-02-30'", id="no-such-day"),
        pytest.param("2027-06-30\n", "2027-06-30T01:00:00\n", "`expires` is", id="expires-with-a-time"),
        pytest.param(
            'sensitivity = "technical"\n',
            "",
            "event query_finished: `sensitivity` is missing",
            id="no-sensitivity",
        ),
        pytest.param('"technical"', '"tecnical"', "did you mean `technical`?", id="misspelt-sensitivity"),
        pytest.param('"decide which engine to optimise next"', '" "', "`purpose` is ' '", id="blank-purpose"),
        pytest.param("sample = 0.5", "sample = 0", "`sample` is 0,", id="sample-of-none"),
        pytest.param("sample = 0.5", "sample = 1.5", "`sample` is 1.5", id="sample-of-more-than-all"),
        pytest.param("sample = 0.5", "sample = nan", "`sample` is nan", id="sample-nan"),
        pytest.param("sample = 0.5", "max_per_second = 0", "`max_per_second` is 0", id="cap-of-none"),
        pytest.param(
            'kind = "counter"',
            'kind = "counter"\nsample = 0.5',
            "event queries: `sample` goes with kind event only",
            id="sampled-counter",
        ),
        pytest.param("[events.queries]", "[events.q-ries]", "event q-ries: the name must be", id="event-name"),
        pytest.param(
            '"sql", ', '"sql", expires = "soon", ', "field statement: `expires` is 'soon'", id="field-expires"
        ),
        pytest.param(
            '"batch", "stream"]',
            '"batch", "Batch"], fold_case = true',
            "field engine: `Batch` stands for 'batch' and for 'Batch'",
            id="one-spelling-twice",
        ),
        pytest.param(
            '"batch", "stream"]',
            '"batch"], prefix = 7',
            "field engine: `prefix` is 7, must be",
            id="prefix-is-a-number",
        ),
        pytest.param("table =", "Table =", "field Table: the name must be", id="field-name"),
        pytest.param("table =", "class =", "field class: the name is a Python keyword", id="keyword"),
        pytest.param("table =", "event =", "field event: the name is reserved", id="reserved-event"),
        pytest.param("table =", "time =", "field time: the name is reserved", id="reserved-time"),
        pytest.param("table =", "session =", "field session: the name is reserved", id="reserved-session"),
        pytest.param("table =", "weight =", "reserved where an event is sampled", id="reserved-weight"),
        pytest.param(
            'sensitivity = "interaction"',
            'sensitivity = "interaction"\nfields.count = { type = "int", purpose = "p" }',
            "event queries: field count: every counter already has it",
            id="reserved-count",
        ),
        pytest.param('"identifier"', '"identifer"', "did you mean `identifier`?", id="misspelt-type"),
        pytest.param('type = "sql", ', "", "field statement: `type` is missing", id="no-type"),
        pytest.param('"sql", purpose', '"sql", porpose', "did you mean `purpose`?", id="misspelt-field-key"),
        pytest.param('values = ["batch", "stream"], ', "", "field engine: `values` is missing", id="enum"),
        pytest.param('["batch", "stream"]', '["batch", "batch"]', "field engine: `values` is", id="values-twice"),
        pytest.param('["batch", "stream"]', "[]", "field engine: `values` is []", id="no-values"),
        pytest.param("max_length = 200, ", "", "field detail: `max_length` is missing", id="endless-text"),
        pytest.param("max_length = 200", "max_length = 0", "`max_length` is 0", id="empty-text"),
        pytest.param("max_length = 200", "max_length = 65537", "from 1 to 65536", id="text-over-the-cap"),
        pytest.param("min = 0, max = 10", "min = 11, max = 10", "field rows: `min` 11 is over", id="min-max"),
        pytest.param("max = 10", "max = 1e1", "field rows: `max` is 10.0", id="int-with-a-float-bound"),
        pytest.param("max = 10", "max = 9223372036854775808", "`max` is 9223372036854775808", id="64-bits"),
        pytest.param("[0, 5]", "[5, 0]", "field rows: `buckets` is [5, 0]", id="descending-buckets"),
        pytest.param("[0, 5]", "[0, 0]", "field rows: `buckets` is [0, 0]", id="bucket-twice"),
        pytest.param("[0, 5]", "[]", "field rows: `buckets` is []", id="no-buckets"),
        pytest.param('"sql", purpose', '"sql", min = 1, purpose', "no key `min` of type sql", id="min-of-sql"),
        pytest.param(
            '{ type = "sql", purpose = "shape of slow queries" }', '"sql"', "must be a table", id="field-text"
        ),
        pytest.param('["no route to {host}", "lev', '["lev}", "lev', "the template 'lev}' has a brace", id="template"),
        pytest.param('["no route to {host}", "lev', '["lev", "lev", "lev', "`templates` is", id="template-twice"),
        pytest.param('["no route to {host}", "lev', '["other", "lev', "stands for what fits none", id="template-other"),
        pytest.param(
            '["no route to {host}", "lev',
            '["no {a}", "no {b}", "lev',
            "field said: the template 'no {b}' fits the same texts as 'no {a}'",
            id="template-of-the-same-shape",
        ),
        pytest.param(
            '["no route to {host}", "lev',
            '["no {ms:int}", "lev',
            "the hole `ms` is of type float in 'level",
            id="hole-of-two-types",
        ),
        pytest.param("holes.engine", "holes.engin", "did you mean `engine`?", id="misspelt-hole"),
        pytest.param("holes.ms", "holes.host", "`holes` names `host`, a typed hole of no template", id="bare-hole"),
        pytest.param(
            "holes.ms = { buckets = [0, 10, 100] }", "holes.ms = 3", "`holes.ms` must be a table", id="hole-no-table"
        ),
        pytest.param("buckets = [0, 10, 100]", "values = [0]", "there is no key `values` of a hole", id="hole-key"),
        pytest.param("buckets = [0, 10, 100]", "buckets = [1, 0]", "`holes.ms`: `buckets` is", id="hole-buckets"),
        pytest.param("buckets = [0, 10, 100]", "min = 3, max = 2", "`holes.ms`: `min` 3 is over", id="hole-bounds"),
        pytest.param("buckets = [0, 10, 100]", 'type = "int"', "no key `type` of a hole", id="hole-type"),
        pytest.param(
            'holes.engine = { values = ["batch", "stream"], purpose = "compare engines" }',
            "",
            "field said: `holes.engine`: `values` is missing",
            id="hole-without-its-values",
        ),
        pytest.param(
            "duration_ms = {", "said_ms = {", "the hole `ms` leaves as `said_ms`, which is a field", id="hole-and-field"
        ),
        pytest.param(
            'templates = ["all {vel}"], purpose = "see what" }\n'
            "[events.query_finished.fields.said]\n"
            'type = "message"\n'
            'templates = ["no route to {host}", "level {level:int}',
            'templates = ["all {vel:int}"], purpose = "see what" }\n'
            "[events.query_finished.fields.said]\n"
            'type = "message"\n'
            'templates = ["no route to {host}", "level {level:int} {le_vel:int}',
            "the hole `vel` leaves as `said_le_vel`, as a hole of `said` does",
            id="holes-of-two-messages",
        ),
    ],
)
def test_a_fault_is_one_line_that_names_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in GOOD
    lines = read(tmp_path, GOOD.replace(old, new, 1))
    assert [line for line in lines if fault in line]
    assert all("\n" not in line for line in lines)


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("version = 3", "version = 0").replace("[0, 5]", "[5, 0]")
    path = tmp_path / "acme.toml"
    path.write_text(text.replace("max_length = 200, ", ""))
    with pytest.raises(CatalogError) as error:
        load(path)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_weight_is_a_field_like_any_other_where_nothing_is_sampled(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD.replace("sample = 0.5", "").replace("table =", "weight =")) == []


def test_a_mistake_of_syntax_is_reported_with_its_line(tmp_path: Path) -> None:
    (line,) = read(tmp_path, GOOD.replace("version = 3", "version = = 3"))
    assert "not TOML" in line
    assert "line 4" in line


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="No such file"):
        load(tmp_path / "none.toml")


def test_the_mark_that_some_editors_put_before_utf_8_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    plain = tmp_path / "plain.toml"
    plain.write_text(GOOD)
    assert load(path) == load(plain)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_file_of_another_encoding_that_marks_it_is_a_fault(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "acme.toml"
    path.write_bytes(GOOD.encode(encoding))
    with pytest.raises(CatalogError, match="byte 0 is not UTF-8; save the file as UTF-8"):
        load(path)


def test_a_file_of_another_encoding_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_bytes(GOOD.replace("query team", "Müller").encode("latin-1"))
    with pytest.raises(CatalogError, match="not UTF-8"):
        load(path)


VALUES = st.recursive(
    st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abz_\n", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), value=VALUES)
def test_whatever_stands_at_a_key_there_are_faults_or_a_catalog_that_compiles(
    tmp_path: Path, data: st.DataObject, value: Any
) -> None:
    document: Any = copy.deepcopy(tomlkit.parse(GOOD).unwrap())
    table: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(table)))
        if not isinstance(table[key], dict) or not table[key] or data.draw(st.booleans()):
            break
        table = table[key]
    table[key] = value
    path = tmp_path / "acme.toml"
    path.write_text(tomlkit.dumps(document))
    catalog, faults = inspect(path)
    assert (catalog is None) == bool(faults)
    assert all("\n" not in fault.line(path) for fault in faults)
    if catalog is not None:
        compile_catalog(catalog, dt.date(2026, 1, 1))
