"""`telemetry report`: its figures, what it withholds, and that nobody can solve for what is withheld."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import json
import random
import re
import secrets
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from itertools import product as pairs
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import msgspec
import pytest
import zstandard

from telemetry.catalog.load import load
from telemetry.collector.catalogs import keep_catalogs
from telemetry.collector.query import ask
from telemetry.collector.report.days import Figure, Row, decode_figure, longer_periods, publish
from telemetry.collector.report.figures import LATE_DAYS, Reported, figures_sql, reported
from telemetry.collector.report.report import ReportError, report
from telemetry.collector.report.withhold import K
from telemetry.collector.store import BatchRecord, Store
from telemetry.files import try_lock
from telemetry.receipt import First, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

MONDAY = dt.date(2026, 1, 5)
TODAY = MONDAY + dt.timedelta(days=60)
ALL = First(day=True, week=True, month=True)
NONE = First()
EVENTS = ("done", "opened", "rare")
VALUES: dict[str, list[Any]] = {
    "engine": ["batch", "stream", "graph", "other", None],
    "fast": [True, False, None],
    "release": ["1.1", "1.2", "2.0", "2.1", "3.0", None],
}
CATALOG = """
[catalog]
product = "acme-db"
version = 1
"""
EVENT = """
[events.{name}]
purpose = "p"
owner = "o"
expires = "2099-12-31"
sensitivity = "technical"
{more}
[events.{name}.fields]
engine = {{ type = "enum", values = ["batch", "stream", "graph"], purpose = "p" }}
fast = {{ type = "bool", purpose = "p" }}
release = {{ type = "version", purpose = "p" }}
size = {{ type = "int", purpose = "p" }}
"""


class Emitted(NamedTuple):
    """An event as a collector gets it."""

    event: str
    day: dt.date
    session: str
    first: First
    fields: dict[str, Any]
    weight: float = 1.0


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    file = tmp_path / "acme.toml"
    more = {"opened": "sample = 0.5"}
    file.write_text(CATALOG + "".join(EVENT.format(name=name, more=more.get(name, "")) for name in EVENTS))
    return file


@pytest.fixture
def store(tmp_path: Path, catalog: Path) -> Path:
    directory = tmp_path / "store"
    Store(directory).close()
    keep_catalogs(directory, [catalog])
    return directory


def keep(store: Path, data: Iterable[Emitted], late_days: int = 0) -> None:
    """Put events into a store, a batch a session and day of receipt."""
    by_batch: dict[tuple[str, dt.date], list[Emitted]] = defaultdict(list)
    for emitted in data:
        by_batch[emitted.session, emitted.day].append(emitted)
    with contextlib.closing(Store(store)) as opened:
        for (session, day), events in by_batch.items():
            lines = [
                {
                    "event": emitted.event,
                    "time": f"{day}T12:00:00Z",
                    "session": session,
                    **({"weight": emitted.weight} if emitted.event == "opened" else {}),
                    **{name: value for name, value in emitted.fields.items() if value is not None},
                }
                for emitted in events
            ]
            body = zstandard.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            batch = secrets.token_hex(16)
            with opened.begin(batch, ".ndjson.zst") as incoming:
                incoming.write(body)
                received = f"{day + dt.timedelta(days=late_days)}T13:00:00Z"
                receipt = Receipt("on", "host", 0, "unknown")
                first = events[0].first
                opened.commit(
                    incoming, BatchRecord(batch, received, "acme-db/1", receipt, None, "/", len(body), "", first)
                )


def draw(seed: int, days: int = 1) -> list[Emitted]:
    """Draw some sessions and their events, so that cells are about as large as the threshold."""
    rng = random.Random(seed)
    data = []
    for day in (MONDAY + dt.timedelta(days=number) for number in range(days)):
        weights = {field: [rng.choice([0, 1, 1, 3, 20]) for _ in values] for field, values in VALUES.items()}
        for number in range(rng.randrange(15, 90)):
            first = First(day=True, week=rng.random() < 0.5, month=rng.random() < 0.3) if rng.random() < 0.8 else NONE
            for event, share in zip(EVENTS, (1.0, 0.6, 0.2), strict=True):
                if rng.random() > share:
                    continue
                for _ in range(rng.choice([1, 1, 2, 5])):
                    fields: dict[str, Any] = {
                        field: rng.choices(values, [weight + (not any(weights[field])) for weight in weights[field]])[0]
                        for field, values in VALUES.items()
                    }
                    fields["size"] = rng.choice([None, rng.randrange(1000)])
                    weight = float(rng.choice([1, 2, 4])) if event == "opened" else 1.0
                    data.append(Emitted(event, day, f"s{seed}-{day}-{number}", first, fields, weight))
    return data


# Figures, counted in another way.


def tally(data: Sequence[Emitted]) -> list[Figure]:
    """Count what the SQL counts, in Python."""
    figures = []
    days = {emitted.day for emitted in data}
    for day, event in pairs(sorted(days), EVENTS):
        of_event = [emitted for emitted in data if (emitted.day, emitted.event) == (day, event)]
        if not of_event:
            continue
        figures.append(_figure("event", event, day, of_event))
        for field in VALUES:
            cells: dict[str | None, list[Emitted]] = defaultdict(list)
            for emitted in of_event:
                cells[_text(emitted.fields.get(field))].append(emitted)
            figures += [_figure("value", event, day, found, field, value) for value, found in cells.items()]
            small = [
                emitted
                for value, found in cells.items()
                if value in {None, "other"} or len(_firsts(found)) < K
                for emitted in found
            ]
            if small:
                figures.append(_figure("rest", event, day, small, field))
        having = [emitted for emitted in of_event if emitted.fields.get("size") is not None]
        if having:
            figures.append(msgspec.structs.replace(_figure("number", event, day, having, "size"), **_numbers(having)))
    for day in sorted(days):
        told = {f.event for f in figures if f.kind == "event" and f.day == day and f.installations >= K}
        if together := [emitted for emitted in data if emitted.day == day and emitted.event in told]:
            figures.append(msgspec.structs.replace(_figure("product", None, day, together), events=None))
    return figures


def _figure(
    kind: Any,
    event: str | None,
    day: dt.date,
    found: Sequence[Emitted],
    field: str | None = None,
    value: str | None = None,
) -> Figure:
    firsts = _firsts(found)
    return Figure(
        kind=kind,
        product="acme-db",
        event=event,
        day=day,
        field=field,
        value=value,
        events=sum(emitted.weight for emitted in found),
        sessions=len({emitted.session for emitted in found}),
        installations=len(firsts),
        weekly=sum(first.week for first in firsts.values()),
        monthly=sum(first.month for first in firsts.values()),
        mean=None,
        p50=None,
        p90=None,
        p99=None,
    )


def _firsts(found: Iterable[Emitted]) -> dict[str, First]:
    return {emitted.session: emitted.first for emitted in found if emitted.first.day}


def _numbers(having: Sequence[Emitted]) -> dict[str, float | None]:
    each = sorted(emitted.fields["size"] for emitted in having for _ in range(int(emitted.weight)))
    found: dict[str, float | None] = {"mean": sum(each) / len(each)}
    for percent in (50, 90, 99):
        number = each[-(-percent * len(each) // 100) - 1]
        up = _firsts(emitted for emitted in having if emitted.fields["size"] >= number)
        down = _firsts(emitted for emitted in having if emitted.fields["size"] <= number)
        found[f"p{percent}"] = float(number) if min(len(up), len(down)) >= K else None
    return found


def _text(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _reported(catalog: Path) -> list[Reported]:
    return reported([load(catalog)])


def published(data: Sequence[Emitted], catalog: Path) -> list[Row]:
    """Publish by the rule, with figures counted here."""
    days = publish(tally(data), _reported(catalog))
    return [*longer_periods(days), *(row for day in days.values() for row in day.rows)]


@pytest.mark.parametrize("seed", range(3))
def test_the_figures_of_the_store_are_those_that_anybody_counts(store: Path, catalog: Path, seed: int) -> None:
    data = draw(seed, days=2)
    keep(store, data)
    known = reported([load(catalog)])
    lines = ask(
        store,
        lambda made, _: figures_sql(made, known, MONDAY, MONDAY + dt.timedelta(days=9)),
        [],
        lambda asked: list(asked.objects()),
        pytest.fail,
    )

    found, counted = (sorted(map(_comparable, figures)) for figures in (map(decode_figure, lines), tally(data)))
    assert found == counted


def _comparable(figure: Figure) -> str:
    rounded = {
        name: number and round(number, 6)
        for name in ("mean", "p50", "p90", "p99")
        if (number := getattr(figure, name)) or True
    }
    return str(msgspec.to_builtins(msgspec.structs.replace(figure, **rounded)))


# What is withheld.


def _withheld(rows: Sequence[Row], data: Sequence[Emitted]) -> Iterator[tuple[Row, list[Emitted]]]:
    """Yield each withheld cell, with the events whose value it may be one of: those that no row with figures has."""
    told = {
        (row.start, row.event, row.field, row.value)
        for row in rows
        if row.about in {"value", "absent"} and not row.withheld
    }
    for row in rows:
        if row.withheld and row.about == "value":
            yield (
                row,
                [
                    emitted
                    for emitted in data
                    if (emitted.day, emitted.event) == (row.start, row.event)
                    and (row.start, row.event, row.field, _text(emitted.fields.get(row.field or ""))) not in told
                ],
            )


def _world(data: Sequence[Emitted], rest: Iterable[Emitted], field: str, value: object, number: int) -> list[Emitted]:
    """Return other data: of the rest, a field has a value in one event of each of some installations, and no other."""
    chosen = {session: emitted for emitted in rest if (session := emitted.session) and emitted.first.day}
    one = {id(chosen[session]) for session in sorted(chosen)[:number]}
    of_rest = {id(emitted) for emitted in rest}
    return [
        emitted._replace(fields={**emitted.fields, field: value if id(emitted) in one else None})
        if id(emitted) in of_rest
        else emitted
        for emitted in data
    ]


@pytest.mark.parametrize("seed", range(12))
def test_of_each_withheld_value_every_number_from_1_to_19_is_possible(catalog: Path, seed: int) -> None:
    data = draw(seed)
    rows = published(data, catalog)
    for row, rest in _withheld(rows, data):
        assert row.field
        value = {"true": True, "false": False}.get(row.value or "", row.value)
        for number in range(1, K):
            world = _world(data, rest, row.field, value, number)
            cell = [e for e in world if (e.day, e.event, e.fields[row.field]) == (row.start, row.event, value)]
            assert len(_firsts(cell)) == number
            assert published(world, catalog) == rows, "somebody who knows the rule can't tell the two worlds apart"


@pytest.mark.parametrize("seed", range(12))
def test_of_each_withheld_version_every_number_from_1_to_19_is_possible(catalog: Path, seed: int) -> None:
    data = draw(seed)
    rows = published(data, catalog)
    told = {(row.event, row.value) for row in rows if row.field == "release" and row.about == "value"}
    for rest_row in [row for row in rows if row.field == "release" and row.about == "rest"]:
        rest = [e for e in data if e.event == rest_row.event and (e.event, e.fields["release"]) not in told]
        for number in range(1, K):
            assert published(_world(data, rest, "release", "9.9", number), catalog) == rows


@pytest.mark.parametrize("seed", range(3))
def test_of_each_withheld_event_every_number_from_1_to_19_is_possible(catalog: Path, seed: int) -> None:
    data = draw(seed, days=7)
    rows = published(data, catalog)
    withheld = [row for row in rows if row.withheld and row.about == "event"]
    assert withheld
    for row in withheld[:5]:
        others = [e for e in data if (e.day, e.event) != (row.start, row.event)]
        for number in range(1, K):
            one = [
                Emitted(row.event or "", row.start, f"x{n}", ALL, {"engine": "batch", "size": 7}) for n in range(number)
            ]
            assert published([*others, *one], catalog) == rows


class Solver:
    """An attacker with nothing but rows, who bounds a withheld cell by sums and orders that hold between figures."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def bounds(self, cell: Row) -> tuple[int, int]:
        """Return the least and the greatest number of installations that a withheld value can have."""
        whole = next(row for row in self.rows if (row.start, row.event, row.about) == (cell.start, cell.event, "event"))
        of_field = [
            row for row in self.rows if (row.start, row.event, row.field) == (cell.start, cell.event, cell.field)
        ]
        given = [row for row in of_field if row.about in {"value", "absent"} and not row.withheld]
        unknown = [row for row in of_field if row.withheld]
        # What is left for the withheld values, of which absent may be one if it has no row.
        events = (whole.events or 0) - sum(row.events or 0 for row in given)
        most = min(events, whole.installations or 0)
        uncovered = (whole.installations or 0) - sum(row.installations or 0 for row in given)
        is_alone = len(unknown) == 1 and any(row.about == "absent" for row in given)
        least = max(uncovered, 1) if is_alone and events else 0
        return least, most


@pytest.mark.parametrize("seed", range(30))
def test_sums_and_differences_bound_no_withheld_value_within_1_to_19(catalog: Path, seed: int) -> None:
    rows = published(draw(seed), catalog)
    solver = Solver(rows)
    for row in rows:
        if row.withheld and row.about == "value":
            least, most = solver.bounds(row)
            assert least <= 1
            assert most >= K - 1


def test_the_solver_solves_a_report_that_withholds_small_cells_alone() -> None:
    solved = 0
    for seed in range(20):
        data = draw(seed)
        figures = [figure for figure in tally(data) if figure.kind in {"event", "value"}]
        naive = [
            Row(
                product="acme-db",
                start=f.day,
                event=f.event,
                field=f.field,
                value=f.value,
                about="event" if f.kind == "event" else "absent" if f.value is None else "value",
                withheld=f.installations < K,
                events=None if f.installations < K else round(f.events or 0),
                installations=None if f.installations < K else f.installations,
            )
            for f in figures
        ]
        for row in naive:
            if (
                row.withheld
                and row.about == "value"
                and any(w.event == row.event and w.about == "event" and not w.withheld for w in naive)
            ):
                least, most = Solver(naive).bounds(row)
                solved += least > 1 or most < K - 1
    assert solved


def test_numbers_tell_no_single_value_and_nothing_of_few_installations(catalog: Path) -> None:
    def world(installations: int) -> list[Emitted]:
        return [
            Emitted("done", MONDAY, f"s{n}", ALL, {"size": 123_456 if n < installations else None}) for n in range(60)
        ]

    few, enough = (
        next(row for row in published(world(number), catalog) if row.about == "numbers") for number in (K - 1, K)
    )
    assert (few.withheld, few.mean, few.p50, few.p99) == (True, None, None, None)
    assert (enough.withheld, enough.mean, enough.p50, enough.p99) == (False, 123_000.0, 123_000.0, 123_000.0)
    assert (enough.events, enough.sessions, enough.installations) == (None, None, None), "so the others' can't be told"


def test_a_percentile_is_the_number_of_no_few_installations(catalog: Path) -> None:
    """Of sixty installations five have a number that nobody else has."""
    data = [Emitted("done", MONDAY, f"s{n}", ALL, {"size": 904 if n < 5 else 10 + n % 3}) for n in range(60)]
    (row,) = [row for row in published(data, catalog) if row.about == "numbers"]
    assert (row.withheld, row.p50, row.p90, row.p99) == (False, 11.0, 12.0, None)


def test_a_week_and_a_month_are_told_if_each_of_their_days_is(catalog: Path) -> None:
    def world(days: int, gap: int = -1) -> list[Emitted]:
        return [
            Emitted(
                "done",
                MONDAY.replace(day=1) + dt.timedelta(days=day),
                f"{day}-{n}",
                First(day=True, week=day % 7 == 4, month=day == 0),
                {},
            )
            for day in range(days)
            for n in range(K - (day == gap))
        ]

    longer = {
        (row.period, row.start.day, row.event): row.installations
        for row in published(world(31), catalog)
        if row.period != "day"
    }
    weeks = {("week", start, event): K for start in (5, 12, 19) for event in (None, "done")}
    assert longer == {**weeks, **{("month", 1, event): K for event in (None, "done")}}
    with_gap = {(row.period, row.start.day) for row in published(world(31, gap=12), catalog) if row.period != "day"}
    assert with_gap == {("week", 5), ("week", 19)}


def test_a_week_of_few_installations_is_withheld_though_each_of_its_days_is_told(catalog: Path) -> None:
    data = [
        Emitted("done", MONDAY + dt.timedelta(days=day), f"{day}-{n}", First(day=True, week=(day, n) < (0, K - 1)), {})
        for day in range(7)
        for n in range(K)
    ]
    weeks = [row for row in published(data, catalog) if row.period == "week"]
    assert [(row.withheld, row.installations) for row in weeks] == [(True, None)] * 2


# What uploads say without a right to.


@pytest.mark.parametrize("weight", [-1e9, 0, 0.5, 1e308, "many"])
def test_no_weight_that_an_upload_says_has_a_small_cell_told(store: Path, weight: object) -> None:
    keep(store, [Emitted("done", MONDAY, f"s{n}", ALL, {"engine": "batch"}) for n in range(60)])
    keep(store, [Emitted("done", MONDAY, f"t{n}", ALL, {"engine": "stream"}) for n in range(3)])
    keep(store, [Emitted("done", MONDAY, f"u{n}", NONE, {"engine": "stream", "weight": weight}) for n in range(2)])
    rows = [row for row in rows_of(store) if row["event"] == "done"]
    whole = next(row for row in rows if row["about"] == "event")
    cell = next(row for row in rows if row["value"] == "stream")
    assert whole["events"] == 65, "each such event counts as one"
    assert (cell["withheld"], cell["installations"]) == (True, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("size", 2**63 - 1),
        ("count", 2**63 - 1),
        ("count", 0),
        ("count", -(2**63)),
        ("sum", 1.7e308),
        ("offset", 2**63 - 1),
        ("scale", -(2**63)),
        ("bucket_counts", [-(2**63), 2**63 - 1]),
        ("weight", 1e308),
        ("load", 1.7e308),
    ],
)
def test_no_number_that_an_upload_says_keeps_days_from_being_told(tmp_path: Path, name: str, said: object) -> None:
    kinds = {"done": "event", "hits": "counter", "times": "distribution"}
    values = "".join(
        EVENT.format(name=event, more=f'kind = "{kind}"') for event, kind in kinds.items() if event != "done"
    )
    text = "".join(line for line in values.splitlines(keepends=True) if not line.startswith("size"))
    of_done = EVENT.format(name="done", more="") + 'load = { type = "float", purpose = "p" }\n'
    (tmp_path / "acme.toml").write_text(CATALOG + text + of_done)
    keep_catalogs(tmp_path, [tmp_path / "acme.toml"])
    sums = {"count": 3, "sum": 6.0, "zero_count": 0, "scale": 3, "offset": 0, "bucket_counts": [1, 2]}
    keep(
        tmp_path,
        [
            Emitted(event, MONDAY, f"{n}", ALL, {"engine": "batch" if n < 60 else "stream", **sums, name: said})
            for event in kinds
            for n in range(63)
        ],
    )
    rows = rows_of(tmp_path)
    assert {row["event"] for row in rows if row["about"] == "event" and row["installations"] == 63} == {*kinds}
    assert all(row["withheld"] for row in rows if row["value"] == "stream")


# The command.


def rows_of(store: Path, today: dt.date = TODAY, note: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    def asks(sql: Any, take: Any) -> list[str]:
        return ask(store, sql, [], take, note)

    return [msgspec.to_builtins(row) for row in report(asks, store / "reports", today, note)]


def test_tables_tell_what_the_store_tells(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyiceberg")
    keep(store, draw(5, days=2))
    command = [sys.executable, "-m", "telemetry"]
    subprocess.run([*command, "load", str(store), "--tables", str(tmp_path / "t")], check=True, capture_output=True)
    told = subprocess.run(
        [*command, "report", "--tables", str(tmp_path / "t"), "--json"], check=True, capture_output=True
    )

    assert told.stderr == b""
    assert told.stdout == run(store, "--json").stdout != b""
    assert (tmp_path / "t" / "reports" / "acme-db" / "2026-01-05.json").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [([], "either"), (["--store", "a", "--tables", "b"], "either"), (["--tables", "s3://b/p"], "--keep")],
)
def test_without_a_place_to_read_and_to_keep_nothing_is_told(options: list[str], said: str) -> None:
    command = [sys.executable, "-m", "telemetry", "report", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_day_is_told_once_its_late_window_has_passed_and_takes_nothing_later(store: Path) -> None:
    data = [Emitted("done", MONDAY, f"s{number}", ALL, {}) for number in range(30)]
    keep(store, data[:25])
    keep(store, data[25:28], late_days=LATE_DAYS)
    keep(store, data[28:], late_days=LATE_DAYS + 1)

    assert rows_of(store, MONDAY + dt.timedelta(days=LATE_DAYS)) == []
    (row,) = [
        row
        for row in rows_of(store, MONDAY + dt.timedelta(days=LATE_DAYS + 1))
        if row["about"] == "event" and not row["withheld"]
    ]
    assert (row["events"], row["installations"]) == (28, 28)


def test_what_was_told_of_a_day_stays_whatever_comes_or_goes(store: Path) -> None:
    data = draw(1, days=3)
    keep(store, data)
    early = MONDAY + dt.timedelta(days=LATE_DAYS + 2)
    first = rows_of(store, early)
    assert {row["start"] for row in first} == {"2026-01-05", "2026-01-06"}

    keep(store, [emitted._replace(session=f"late-{emitted.session}") for emitted in data])
    second = rows_of(store)
    assert [row for row in second if row["start"] in {"2026-01-05", "2026-01-06"}] == first
    assert {row["start"] for row in second} == {"2026-01-05", "2026-01-06", "2026-01-07"}
    with contextlib.closing(Store(store)) as opened:
        assert sum(opened.expire("2026-03-01T00:00:00Z"))
    assert rows_of(store) == second


def test_a_session_counts_for_its_last_day_alone(store: Path) -> None:
    tuesday = MONDAY + dt.timedelta(days=1)
    keep(store, [Emitted("done", day, f"s{n}", ALL, {}) for n in range(25) for day in (MONDAY, tuesday)], late_days=1)

    told = {row["start"]: row["installations"] for row in rows_of(store) if row["event"] == "done"}
    assert told == {"2026-01-05": None, "2026-01-06": 25}


def test_two_reports_at_once_do_not_tell_two_things(store: Path) -> None:
    keep(store, draw(2))
    rows_of(store)
    held = try_lock(store / "reports" / "lock")
    assert held is not None
    with contextlib.closing(io.FileIO(held)), pytest.raises(ReportError, match="wait for it"):
        rows_of(store)


def test_what_was_kept_and_is_damaged_is_an_error_and_not_told_anew(store: Path) -> None:
    keep(store, draw(2))
    rows_of(store)
    (kept,) = (store / "reports" / "acme-db").iterdir()
    kept.write_bytes(kept.read_bytes()[:-3])
    with pytest.raises(ReportError, match="restore it"):
        rows_of(store)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("2026-01-04.json", '{"x":' + "[" * 100_000),
        ("9999-12-31.json", '{"rows":[],"weekly":{},"monthly":{}}'),
        ("notes.json", "{}"),
    ],
)
def test_what_is_no_day_that_was_kept_is_named(store: Path, name: str, content: str) -> None:
    keep(store, draw(2))
    rows_of(store)
    (store / "reports" / "acme-db" / name).write_text(content)
    with pytest.raises(ReportError, match=f"{name} is not what was kept there"):
        rows_of(store)


def test_without_a_catalog_nothing_is_told_and_that_is_said(tmp_path: Path) -> None:
    Store(tmp_path / "store").close()
    keep(tmp_path / "store", draw(2))
    notes: list[str] = []
    assert rows_of(tmp_path / "store", TODAY, notes.append) == []
    assert any("--catalog" in note for note in notes)


def run(store: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "telemetry", "report", "--store", str(store), *options]
    return subprocess.run(command, capture_output=True, check=False)


def test_all_formats_tell_the_same(store: Path, tmp_path: Path) -> None:
    keep(store, draw(3, days=2))
    told = {form: run(store, "--format", form) for form in ("json", "csv", "parquet", "table", "html")}
    assert {(done.returncode, done.stderr) for done in told.values()} == {(0, b"")}

    lines = [json.loads(line) for line in told["json"].stdout.splitlines()]
    assert any(line["withheld"] for line in lines)
    assert any(line["about"] == "rest" for line in lines)
    text = [{key: "" if cell is None else str(cell) for key, cell in line.items()} for line in lines]
    read = list(csv.DictReader(io.StringIO(told["csv"].stdout.decode())))
    assert [{**row, "withheld": row["withheld"].title()} for row in read] == text
    (tmp_path / "rows.parquet").write_bytes(told["parquet"].stdout)
    read_back = duckdb.read_parquet(f"{tmp_path}/rows.parquet")
    cells = [dict(zip(read_back.columns, row, strict=True)) for row in read_back.fetchall()]
    assert [{**row, "start": row["start"].isoformat()} for row in cells] == lines
    assert told["html"].stdout.count(b"<tr><td>") == len(lines)
    assert told["table"].stdout.count(b"acme-db") == len(lines)
    assert all(b"no machine and no person" in told[form].stdout for form in ("table", "html"))
    shown = Counter(re.findall(rb'<td class="withheld"[^>]*>withheld', told["html"].stdout))
    assert sum(shown.values()) == sum(line["withheld"] for line in lines)


def test_options_choose_among_what_is_told(store: Path) -> None:
    keep(store, draw(4, days=3))
    everything = [json.loads(line) for line in run(store, "--json").stdout.splitlines()]
    chosen = run(store, "--json", "--event", "done", "--since", "2026-01-06", "--until", "2026-01-06")
    wanted = [row for row in everything if row["event"] == "done" and row["start"] == "2026-01-06"]
    assert [json.loads(line) for line in chosen.stdout.splitlines()] == wanted != []
    assert run(store, "--json", "--product", "other").stdout == b""


def test_what_a_hostile_value_holds_reaches_no_terminal_and_no_markup(store: Path) -> None:
    evil = "<script>\x1b[31m"
    keep(store, [Emitted("done", MONDAY, f"s{n}", ALL, {"release": evil}) for n in range(25)])
    for form in ("html", "table"):
        told = run(store, "--format", form).stdout
        assert b"<script>" not in told or form == "table"
        assert b"\x1b" not in told
