"""Every way in which a host can end: what was emitted arrives, and the end is not delayed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bench.exits.rows import DELAYED, ROWS, ROWS_THAT_SPAWN
from bench.exits.run import missing, site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from bench.exits.rows import Row
    from bench.exits.run import Result, Site

SIDE_BY_SIDE = 3
SPAWNING = ("os.fork, ", "multiprocessing, ", "SIGTERM, handle", "gevent, ", "eventlet, ", "gunicorn, gevent, preload")
"""Of the rows whose program spawns the shipper itself, those that are run here; `tools/exits` runs all."""
TESTED = [*ROWS, *(row for row in ROWS_THAT_SPAWN if row.name.startswith(SPAWNING))]
EXIT_SECONDS = 0.3
SLACK_SECONDS = 5.0
"""For a busy machine; without a bound, an exit that waits for a black hole takes 30 s."""


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    with site() as found:
        yield found


@pytest.fixture(scope="module")
def results(place: Site, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Result]]]:
    """The rows that were asked for run side by side: most of the time they wait for one another's processes."""
    asked = {getattr(item, "callspec").params["row"].name for item in request.session.items if _is_ours(item)}  # noqa: B009
    rows = [row for row in TESTED if row.name in asked and not missing(row)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        yield {row.name: threads.submit(place.run, row) for row in rows}


def _is_ours(item: pytest.Item) -> bool:
    return getattr(item, "originalname", "") == test_what_was_emitted_arrives.__name__


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TESTED])
def test_what_was_emitted_arrives(row: Row, results: dict[str, Future[Result]]) -> None:
    """All of it, once; of a host that is killed, all but what the last interval held."""
    if lacks := missing(row):
        pytest.skip(f"needs {', '.join(lacks)}")
    result = results[row.name].result()
    kept = result.emitted if row.kept is None else row.kept
    assert result.duplicates == 0
    assert kept <= result.arrived
    assert kept <= result.counted
    # Where the program tells how much it has emitted, a thread goes on after that.
    assert row.emitted is None or max(result.arrived, result.counted) <= result.emitted


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in DELAYED])
def test_the_end_is_not_delayed(row: Row, place: Site) -> None:
    plain = place.exit_seconds(row, plain=True)
    assert place.exit_seconds(row) < plain + EXIT_SECONDS + SLACK_SECONDS
