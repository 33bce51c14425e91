"""The module-level calls, as a program uses them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from standin import ENDPOINT, PRODUCT, stand_in, write_catalog

import telemetry
from telemetry import count, emit, flush, timer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Iterator[Path]:
    assert home.exists()
    yield write_catalog(tmp_path)
    telemetry.close()


def init(catalog: Path, **options: Any) -> telemetry.Client:
    arguments: dict[str, Any] = {"product": PRODUCT, "catalog": catalog, "endpoint": ENDPOINT, "consent": "on"}
    return telemetry.init(**arguments | options)


def test_names_imported_before_init_work_after_it(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        emit("query_finished", number=0)
        init(catalog)
        emit("query_finished", number=1)
        count("queries", 2, engine="batch")
        with timer("query_finished", number=2):
            pass
        assert flush(60)
        assert shipper.values("number") == [1, 2]
        assert shipper.values("count") == [2]


def test_a_function_decorated_before_init_is_timed_after_it(catalog: Path) -> None:
    @timer("query_finished", engine="batch")
    def work() -> None:
        """Nothing."""

    with stand_in(catalog) as shipper:
        work()
        init(catalog)
        work()
        assert flush(60)
        assert shipper.values("engine") == ["batch"]


def test_before_init_and_after_close_everything_does_nothing(catalog: Path) -> None:
    def all_of_it() -> None:
        emit("query_finished", number=1)
        count("queries")
        with timer("query_finished"):
            pass
        assert flush(0.0)
        telemetry.close()

    all_of_it()
    with stand_in(catalog) as shipper:
        init(catalog)
        telemetry.close(30)
        all_of_it()
        assert shipper.events == []
        assert len(shipper.left) == 1


def test_a_second_init_closes_the_first_client_and_takes_its_place(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        first = init(catalog)
        emit("query_finished", number=1)
        second = init(catalog)
        emit("query_finished", number=2)
        first.emit("query_finished", number=3)
        assert flush(60)
        assert first is not second
        assert shipper.values("number") == [1, 2]
        assert len(shipper.producers) == 2
        shipper.assert_unbroken()


def test_init_again_with_consent_off_ends_everything(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        init(catalog)
        init(catalog, consent="off")
        emit("query_finished", number=1)
        assert flush(0.0)
        assert shipper.events == []


def test_close_hands_over_what_waits(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        init(catalog, flush_interval_seconds=60)
        for number in range(100):
            emit("query_finished", number=number)
        telemetry.close(30)
        assert shipper.values("number") == list(range(100))


def test_flush_tells_that_nobody_confirmed(catalog: Path) -> None:
    with stand_in(catalog, deaf=True):
        init(catalog)
        emit("started")
        assert not flush(0.1)


def test_a_wrong_argument_leaves_the_program_without_a_client(catalog: Path) -> None:
    with pytest.raises(telemetry.ConfigError):
        init(catalog, consent="yes")
    emit("started")
    assert flush(0.0)


@pytest.mark.parametrize("consent", [None, "off", "on"], ids=["no client", "off", "on"])
def test_a_slip_in_what_flush_waits_for_raises_whatever_the_consent(catalog: Path, consent: str | None) -> None:
    if consent:
        init(catalog, consent=consent)
    slip: Any = "delivred"
    with pytest.raises(telemetry.ConfigError, match="until='delivred': must be 'disk' or 'delivered'"):
        flush(0.0, until=slip)


@pytest.mark.parametrize("name", telemetry.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(telemetry, name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        telemetry.nothing  # noqa: B018


def test_importing_the_package_loads_next_to_nothing() -> None:
    """Compared with a Python that loads nothing but the annotations' own future."""
    code = "import sys; before = set(sys.modules); import telemetry; print(*sorted(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(result.stdout.split()) <= {"__future__", "telemetry", "telemetry.api"}
