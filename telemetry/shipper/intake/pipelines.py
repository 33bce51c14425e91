"""Pipelines of the catalogs by which events are read, made anew for each session and day."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from telemetry.shipper.day import utc_day
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.validator import MAX_UNDECLARED
from telemetry.shipper.lane import ONLY, Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry.shipper.catalogs import Catalogs, Source
    from telemetry.shipper.encode.format import Format
    from telemetry.shipper.intake.session import Session
    from telemetry.shipper.own_names import OwnNames
    from telemetry.shipper.texts import Texts


class Pipelines:
    """The pipelines of one shipper, by catalog.

    A day that has passed never returns: a clock that is set back revives nothing that has expired.

    Args:
        catalogs: the known catalogs.
        names: told the words of each catalog before its first event is read.
        format_: the format of the uploads.
        texts: supplies the redactor of free text to catalogs that need it.
        clock: returns UNIX seconds, by which events expire.
        shares_of: returns, for a session's id, the shares of events that the collector asks for.
        lane: the lane of the shipper, which has a share of what a catalog lets through in a second.
    """

    def __init__(
        self,
        catalogs: Catalogs,
        names: OwnNames,
        format_: Format,
        texts: Texts,
        clock: Callable[[], float],
        shares_of: Callable[[str], Mapping[str, float]],
        lane: Lane = ONLY,
    ) -> None:
        self._catalogs = catalogs
        self._names = names
        self._format = format_
        self._texts = texts
        self._clock = clock
        self._lane = lane
        self._shares_of = shares_of
        self._today = catalogs.own.written
        self._made: dict[str, Pipeline] = {}
        self._undeclared: Counter[str] = Counter()

    @property
    def undeclared(self) -> Counter[str]:
        """How often an event or a field was met that its catalog does not declare, by name, in this shipper's life."""
        return sum((pipeline.undeclared for pipeline in self._made.values()), self._undeclared)

    def begin(self, session: Session) -> None:
        """Make all pipelines anew for a session; others than the own catalog's when their first event arrives."""
        self._session = session
        self._today = max(self._today, utc_day(self._clock()))
        self._undeclared = Counter(dict(self.undeclared.most_common(MAX_UNDECLARED)))
        self._made = {}
        self.of(self._catalogs.own)

    def look_at_the_day(self) -> None:
        """Make all pipelines anew if another day has begun, so that what has expired by now is dropped."""
        if utc_day(self._clock()) > self._today:
            self.begin(self._session)

    def of(self, source: Source) -> Pipeline:
        """Return the pipeline of a catalog."""
        if (pipeline := self._made.get(source.digest)) is None:
            self._names.allow(source.catalog)
            today = max(self._today, source.written)
            texts = self._texts.redactor_for(source.catalog)
            pipeline = Pipeline(
                source.catalog,
                today,
                self._format,
                texts,
                self._session,
                random.random,
                self._lane,
                self._shares_of,
            )
            self._made[source.digest] = pipeline
        return pipeline
