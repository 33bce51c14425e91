"""The facts of the report, and that no exact one leaves."""

from __future__ import annotations

import datetime as dt
import math
import platform
import re
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
from conftest import CATALOG as HOST_CATALOG
from conftest import PROMPT, Host, wait_until
from hypothesis import given
from hypothesis import strategies as st
from spools import Endpoint, decompress

from telemetry import Client, ConfigError, ShipperSettings
from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.model import Catalog, Event, Field, Kind
from telemetry.cgroup import Limits
from telemetry.cli.status import gather
from telemetry.shipper.intake.report import facts, major_minor, power_of_two_above, raw_report

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {
    "memory_used_bytes",
    "memory_total_bytes",
    "cpu_count",
    "os_name",
    "os_distribution",
    "os_version",
    "kernel_version",
    "up_time_seconds",
}


def _event(name: str, kind: Kind, **types: str) -> Event:
    return Event(
        name=name,
        kind=kind,
        purpose="test",
        owner="test",
        expires=dt.date(2027, 1, 1),
        sensitivity="technical",
        fields={field: Field(name=field, type=of, purpose="test") for field, of in types.items()},
    )


CATALOG = Catalog(
    product="test",
    version=1,
    events={
        "query": _event("query", "event", cpu_count="int"),
        "memory": _event("memory", "report", memory_used_bytes="int", memory_total_bytes="int"),
        "system": _event("system", "report", kernel_version="version", cpu_count="int", licensee="text"),
    },
)


def test_the_facts_are_these_and_no_other() -> None:
    assert facts(90.0, Limits()).keys() <= NAMES
    assert facts(90.0, Limits()).keys() >= NAMES - {"os_version"}  # a rolling distribution has none


def test_memory_leaves_as_a_power_of_two() -> None:
    found = facts(0.0, Limits())
    total, used = found["memory_total_bytes"], found["memory_used_bytes"]
    assert isinstance(total, int)
    assert isinstance(used, int)
    assert total.bit_count() == used.bit_count() == 1
    assert psutil.virtual_memory().total <= total < 2 * psutil.virtual_memory().total


@given(st.integers(1, 2**62))
def test_rounding_up_to_a_power_of_two_less_than_doubles(number: int) -> None:
    power = power_of_two_above(number)
    assert power.bit_count() == 1
    assert number <= power < 2 * number


def test_no_patch_version_leaves() -> None:
    found = facts(0.0, Limits())
    for name in ("os_version", "kernel_version"):
        assert re.fullmatch(r"\d{1,4}(\.\d{1,4})?", str(found.get(name, "0")))
    assert platform.release() not in found.values()


@pytest.mark.parametrize(
    ("version", "kept"),
    [
        pytest.param("6.18.44-fc-v657", "6.18", id="kernel"),
        pytest.param("5.15.0-1051-aws", "5.15", id="kernel that names its cloud"),
        pytest.param("6.6-jane+", "6.6", id="kernel that names its builder"),
        pytest.param("24.04", "24.04", id="Ubuntu"),
        pytest.param("12", "12", id="Debian"),
        pytest.param("3.19.1", "3.19", id="Alpine"),
        pytest.param("14.5.1", "14.5", id="macOS"),
        pytest.param("20260104", None, id="a snapshot's date"),
        pytest.param("6.20260104", "6", id="a date as minor"),
        pytest.param("janes-kernel", None, id="no number"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_version_leaves_as_major_and_minor(version: str, kept: str | None) -> None:
    assert major_minor(version) == kept


@given(st.text() | st.from_regex(r"\A[0-9.]*\Z"))
def test_nothing_but_two_short_numbers_leaves_of_any_version(version: str) -> None:
    kept = major_minor(version)
    assert kept is None or (version.startswith(kept) and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4})?", kept))


@pytest.mark.parametrize(
    ("uptime_seconds", "up_time_seconds"),
    [
        pytest.param(0.0, 0, id="just started"),
        pytest.param(59.9, 0, id="within the first minute"),
        pytest.param(3661.5, 3660, id="an hour"),
        pytest.param(-1.0, 0, id="before the start"),
        pytest.param(math.nan, None, id="no number"),
        pytest.param(math.inf, None, id="endless"),
    ],
)
def test_the_uptime_leaves_in_whole_minutes(uptime_seconds: float, up_time_seconds: int | None) -> None:
    assert facts(uptime_seconds, Limits()).get("up_time_seconds") == up_time_seconds


@pytest.mark.skipif(sys.platform != "linux", reason="only there does psutil read /proc")
def test_a_fact_that_cannot_be_had_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    found = facts(90.0, Limits())
    assert not found.keys() & {"memory_used_bytes", "memory_total_bytes"}
    assert found["up_time_seconds"] == 60


@pytest.mark.parametrize("release", [{}, {"VERSION_ID": "rolling"}], ids=["none", "no number"])
@pytest.mark.skipif(sys.platform != "linux", reason="only there is os-release read")
def test_a_rolling_distribution_has_no_version(monkeypatch: pytest.MonkeyPatch, release: dict[str, str]) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"NAME": "Arch Linux", **release})
    assert facts(0.0, Limits()).keys() == NAMES - {"os_version"}


def test_a_report_has_the_declared_facts_only_and_passes_the_catalogs_decoder() -> None:
    decoder = compile_catalog(CATALOG, today=dt.date(2026, 1, 1)).decoder
    memory, system = decoder.decode(raw_report(CATALOG, {}, uptime_seconds=90.0, now_ns=1_700_000_000 * 10**9))
    known = facts(90.0, Limits())
    assert memory.time_ns == system.time_ns == 1_700_000_000 * 10**9
    assert memory.fields.memory_total_bytes == known["memory_total_bytes"]
    assert system.fields.kernel_version == known["kernel_version"]
    assert system.fields.cpu_count == known["cpu_count"]
    assert system.fields.licensee is None


def test_a_catalog_without_reports_makes_an_empty_one() -> None:
    silent = Catalog(product="test", version=1, events={"query": CATALOG.events["query"]})
    assert raw_report(silent, {}, uptime_seconds=90.0, now_ns=0) == b"\x90"


def test_given_facts_leave_where_the_machine_has_none_of_that_name() -> None:
    facts_given: dict[str, int | float | str] = {"colour": "green", "cpu_count": 0, "undeclared": 1}
    catalog = Catalog(
        product="test", version=1, events={"system": _event("system", "report", colour="text", cpu_count="int")}
    )
    [[_, _, sent]] = msgspec.msgpack.decode(raw_report(catalog, facts_given, uptime_seconds=90.0, now_ns=0))
    assert sent == {"colour": "green", "cpu_count": psutil.cpu_count()}


REPORTING = """
[events.machine]
kind = "report"
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.machine.fields]
cpu_count = { type = "int", purpose = "tests" }
"""


@pytest.fixture
def reporting(tmp_path: Path) -> Path:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(HOST_CATALOG + REPORTING)
    return catalog


def test_under_strict_a_slip_in_the_name_of_a_fact_raises_and_the_nearest_is_named(home: Path, reporting: Path) -> None:
    assert home.exists()
    init: dict[str, Any] = {"product": "acme-db", "catalog": reporting, "endpoint": "http://127.0.0.1:9/v1"}
    slip = ShipperSettings(report={"cpu_count": 1, "cpu_cuont": 1})
    with pytest.raises(ConfigError, match="'cpu_cuont'; did you mean cpu_count"):
        Client(**init, consent="off", strict=True, shipper=slip)
    Client(**init, consent="off", shipper=slip).close()  # the catalog is not read for it


def test_a_slip_in_the_name_of_a_fact_stands_in_the_shippers_log_and_costs_nothing(home: Path, reporting: Path) -> None:
    assert home.exists()
    with Endpoint() as endpoint:
        init = {"product": "acme-db", "catalog": str(reporting), "endpoint": endpoint.url, "consent": "on"}
        host = Host(init, {**PROMPT, "segment_seconds": 0.1, "report": {"cpu_cuont": 1}})
        try:
            wait_until(lambda: endpoint.requests)
            (told,) = [error for error in gather("acme-db")["errors"] if "cpu_cuont" in error]
        finally:
            host.kill()
    assert "WARNING report: " in told


def test_a_host_that_emits_nothing_is_reported_on_again_and_again(home: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(HOST_CATALOG + REPORTING)
    assert home.exists()
    with Endpoint() as endpoint:
        init = {"product": "acme-db", "catalog": str(catalog), "endpoint": endpoint.url, "consent": "on"}
        host = Host(init, {**PROMPT, "segment_seconds": 0.1, "report_seconds": 0.5})
        try:
            wait_until(lambda: len(endpoint.requests) >= 4)
        finally:
            host.kill()

    assert all(b'"machine"' in decompress(request.body) for request in endpoint.requests)
