"""A pytest plugin: the fixture `telemetry_events`, and a report of events that no test emitted.

    [tool.pytest.ini_options]
    telemetry_catalog = "src/acme/acme.toml"

    def test_a_query_is_told_of(telemetry_events):
        run_query("select 1")
        telemetry_events.one("query_finished", engine="batch")

A test fails if it emits an event that would not leave as it is, with an undeclared field or a text that is too long,
unless it takes the problems itself (`Captured.take_problems`). `pytest --telemetry-report` lists at the end the events
of the catalogs that no test has emitted. pytest loads this module by its entry point in each run, so it imports little.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.testing.capture import Captured

_EMITTED = pytest.StashKey[dict[str, set[str]]]()
_OF_WORKER = "telemetry_emitted"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the catalog to the configuration, and the report to the options."""
    parser.addini("telemetry_catalog", "the catalog by which `telemetry_events` records", type="string", default="")
    group = parser.getgroup("telemetry")
    group.addoption(
        "--telemetry-report", action="store_true", help="list the events of the catalogs that no test emitted"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing emitted."""
    config.stash[_EMITTED] = {}


@pytest.fixture
def telemetry_events(request: pytest.FixtureRequest) -> Iterator[Captured]:
    """Record the events that the test's code emits, and fail a test whose events would not leave as they are."""
    from telemetry.errors import CatalogError  # noqa: PLC0415 for the runs that use it
    from telemetry.testing.capture import capture  # noqa: PLC0415 as above

    config = request.config
    said = config.getini("telemetry_catalog")
    catalog = config.rootpath / said if said else None
    # A directory that is not there yet: it is made for this user alone, as what is loaded from it must be.
    kept = config.cache and config.cache.mkdir("telemetry") / "scanner"
    with ExitStack() as stack:
        try:
            captured = stack.enter_context(capture(catalog, cache=kept))
        except CatalogError as fault:
            pytest.fail(str(fault), pytrace=False)
        yield captured
    problems = captured.take_problems()
    emitted = config.stash[_EMITTED]
    for used in captured.catalogs:
        emitted.setdefault(str(used.resolve()), set()).update(captured.names)
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the events emitted in a worker of pytest-xdist to the process that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_OF_WORKER] = {catalog: sorted(names) for catalog, names in session.config.stash[_EMITTED].items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take over the events emitted in a worker."""
    config: pytest.Config = node.config  # type: ignore[attr-defined] # pytest-xdist has no types
    for catalog, names in getattr(node, "workeroutput", {}).get(_OF_WORKER, {}).items():
        config.stash[_EMITTED].setdefault(catalog, set()).update(names)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the report, if it was asked for."""
    config = terminalreporter.config
    if not config.getoption("telemetry_report"):
        return
    from telemetry.catalog.load import load  # noqa: PLC0415 as above
    from telemetry.terminal import counted  # noqa: PLC0415 as above

    terminalreporter.section("telemetry")
    said = config.getini("telemetry_catalog")
    wanted = {str((config.rootpath / said).resolve())} if said else set()
    for catalog in sorted(wanted | config.stash[_EMITTED].keys()):
        declared = [event.name for event in load(Path(catalog)).events.values() if event.kind != "report"]
        missing = [name for name in declared if name not in config.stash[_EMITTED].get(catalog, ())]
        events = counted(len(declared), "event")
        terminalreporter.line(f"{catalog}: {len(declared) - len(missing)} of {events} emitted")
        for name in missing:
            terminalreporter.line(f"  never emitted: {name}")
