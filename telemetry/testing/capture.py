"""Capture of events: a recorder takes the place of every client for as long as a block lasts."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry import api
from telemetry.client import CHOICES, Client
from telemetry.testing.recorder import Event, Recorder

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence


class Captured:
    """Record of the events that a program has emitted in a block of `capture`.

    The methods that look for an event take some of its fields with the values that they leave with: an identifier
    leaves as a token, and an enum's value that is not declared as `other`.
    """

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._recorders: list[Recorder] = []
        self._let_go: dict[str, None] = {}

    @property
    def events(self) -> list[Event]:
        """The events that would leave, in order; those of `count` are summed up when they are asked for, and last."""
        for recorder in self._recorders:
            recorder.settle()
        return [event for recorder in self._recorders for event in recorder.events]

    @property
    def names(self) -> list[str]:
        """The names of `events`."""
        return [event.name for event in self.events]

    def all(self, name: str, /, **fields: Any) -> list[Event]:
        """Return the events of this name whose fields have these values, among others."""
        return [event for event in self.events if event.name == name and fields.items() <= event.items()]

    def one(self, name: str, /, **fields: Any) -> Event:
        """Return the only event of this name whose fields have these values.

        Raises:
            AssertionError: there is none, or there are several; the text lists the events emitted.
        """
        __tracebackhide__ = True
        found = self.all(name, **fields)
        if len(found) != 1:
            raise AssertionError(f"expected one {_call(name, fields)}, found {len(found)}; {self._told()}")
        return found[0]

    def none(self, name: str, /, **fields: Any) -> None:
        """Assert that there is no event of this name whose fields have these values.

        Raises:
            AssertionError: there is one; the text lists the events emitted.
        """
        __tracebackhide__ = True
        if found := self.all(name, **fields):
            raise AssertionError(f"expected no {_call(name, fields)}, found {len(found)}; {self._told()}")

    def take_problems(self) -> list[str]:
        """Return the problems, changes and losses of emitted events, in a sentence each, and forget them.

        A test that causes some on purpose takes them; for any that is left the fixture fails the test.
        """
        taken = self._problems()
        self._let_go.clear()
        for recorder in self._recorders:
            recorder.problems = []
        return taken

    @property
    def catalogs(self) -> Sequence[Path]:
        """The catalogs by which something was, or could have been, emitted."""
        return [recorder.catalog for recorder in self._recorders]

    def record_by(self, catalog: Path, packages: tuple[str, ...] = ()) -> Recorder:
        """Record by another catalog from now on. Raises CatalogError if it can't be used."""
        self._recorders.append(Recorder(catalog, packages, self._cache))
        return self._recorders[-1]

    def let_go(self, name: str, *_: Any) -> None:
        """Let go of an event that comes before there is a catalog, which is a problem."""
        self._let_go[str(name)] = None

    def _problems(self) -> list[str]:
        for recorder in self._recorders:
            recorder.settle()
        without = [
            f"{name} was emitted before init(), and without a catalog: set `telemetry_catalog` in pytest's "
            "configuration, or name one to capture()"
            for name in self._let_go
        ]
        return without + [problem for recorder in self._recorders for problem in recorder.problems]

    def _told(self) -> str:
        """Return the end of a failed assertion's text."""
        emitted = [f"emitted: {', '.join(map(repr, self.events)) or 'nothing'}"]
        problems = self._problems()
        return "; ".join(emitted + [f"problems: {', '.join(problems)}"] * bool(problems))


@contextmanager
def capture(catalog: str | os.PathLike[str] | None = None, *, cache: Path | None = None) -> Iterator[Captured]:
    """Record what this process emits while the block lasts, and send nothing.

    A client that is made in the block, by `telemetry.init` or by itself, records by its own catalog; its arguments are
    checked as always. One that was made before goes on when the block has ended, if it is that of `init`.

    Args:
        catalog: the path of the catalog by which the module-level calls record before `init` is called, for code that
            leaves that to its main program; None where there are none: one that comes is a problem.
        cache: a directory in which the scanner of free text is kept: making it takes a second. None keeps it for as
            long as the process lasts.

    Raises:
        CatalogError: the catalog can't be used.
    """
    captured = Captured(cache)
    before = api._client, api._record, api._tick, api._note, api._time  # noqa: SLF001 whose place is taken
    api._client, api._record, api._tick = None, captured.let_go, captured.let_go  # noqa: SLF001 as above
    api._note = api._time = captured.let_go  # noqa: SLF001 as above
    if catalog is not None:
        recorder = captured.record_by(Path(catalog))
        api._record, api._tick = recorder.record, recorder.tick  # noqa: SLF001 as above
        api._note, api._time = recorder.note, recorder.time  # noqa: SLF001 as above
    make = Client.__init__
    Client.__init__ = _made_for(captured, make)  # type: ignore[method-assign] # wherever its name was imported to
    try:
        yield captured
    finally:
        Client.__init__ = make  # type: ignore[method-assign] # as above
        api._client, api._record, api._tick, api._note, api._time = before  # noqa: SLF001 as above


def _made_for(captured: Captured, make: Any) -> Any:
    """Return a constructor of clients that check their arguments as always, and record."""

    def make_recording(client: Client, **options: Any) -> None:
        consent = options.get("consent")
        said = "off" if consent is None or consent in CHOICES else consent  # a wrong word is an error, here too
        make(client, **{**options, "consent": said, "strict": False, "handle_sigterm": False, "fields": None})
        catalog = Path(options["catalog"])
        recorder = captured.record_by(catalog, tuple(options.get("packages", ())))
        client.record, client.tick, client.note = recorder.record, recorder.tick, recorder.note
        if options.get("strict"):
            client._be_strict(catalog)  # noqa: SLF001 it is this client's own
        client.bind(**options.get("fields") or {})

    return make_recording


def _call(name: str, fields: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{field}={value!r}' for field, value in fields.items())})"
