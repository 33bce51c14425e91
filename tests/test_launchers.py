"""How a host is started, in all quick ways: a shipper comes up and all arrives, or everybody knows why not.

`tools/launchers` runs all of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bench.launchers.place import site
from bench.launchers.rows import ROWS
from bench.launchers.run import missing, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from bench.launchers.place import Place
    from bench.launchers.rows import Row
    from bench.launchers.run import Result

QUICK = [row for row in ROWS if row.quick]
SIDE_BY_SIDE = 2


@pytest.fixture(scope="module")
def make_place() -> Iterator[Callable[[], AbstractContextManager[Place]]]:
    with site() as found:
        yield found


@pytest.fixture(scope="module")
def results(
    make_place: Callable[[], AbstractContextManager[Place]], request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Result]]]:
    """The rows that were asked for run side by side: most of the time they wait for one another's processes."""

    def launch(row: Row) -> Result:
        with make_place() as place:
            return run(row, place)

    asked = {getattr(item, "callspec").params["row"].name for item in request.session.items if _is_ours(item)}  # noqa: B009
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        yield {row.name: threads.submit(launch, row) for row in QUICK if row.name in asked and not missing(row)}


def _is_ours(item: pytest.Item) -> bool:
    return getattr(item, "originalname", "") == test_all_arrives_or_the_reason_is_told.__name__


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in QUICK])
def test_all_arrives_or_the_reason_is_told(row: Row, results: dict[str, Future[Result]]) -> None:
    """And the host has ended as it would without us, and printed nothing of ours."""
    if lacks := missing(row):
        pytest.skip(f"needs {', '.join(lacks)}")
    assert results[row.name].result().faults == []


def test_the_table_has_fifty_launches_of_different_names() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 50
