"""Check of the facts that a host gives for reports against the catalog, as a slip in a name would be silent."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from telemetry.catalog.model import Catalog


def faults_of_report(catalog: Catalog, report: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each fact of `ShipperSettings.report` that no report of the catalog has a field for."""
    declared = {name for event in catalog.events.values() if event.kind == "report" for name in event.fields}
    for fact in report:
        if fact not in declared:
            close = "".join(f"did you mean {name}?" for name in get_close_matches(fact, declared, 1))
            yield f"report: no report of the catalog has a field {fact!r}; {close or 'declare it there, or remove it'}"
