"""Walk along the way of an event, from the package to its losses, in the order in which things go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry.catalog.copies import digest_of
from telemetry.catalog.load import inspect
from telemetry.catalog.source import read_whole
from telemetry.doctor.declared import decide_here, examine_catalog, examine_consent
from telemetry.doctor.endpoint import examine_endpoint, examine_upload
from telemetry.doctor.machine import examine_package, examine_place
from telemetry.doctor.shipping import examine_losses, examine_shipper, examine_spool
from telemetry.doctor.step import Step, note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.settings import ShipperSettings


class Case(NamedTuple):
    """The subject of an examination.

    Attributes:
        product: the product whose events don't arrive.
        catalog: its file; None if it is not known.
        endpoints: its endpoints, with the settings for each; empty if none is known.
        report: the product's report by `telemetry status --json`.
        by_field: the number of values removed, by `event.field` and by reason.
        host: the program's own word: `on`, `technical`, `local`, `off`, or None.
        send: whether a batch of no events is uploaded to each endpoint.
    """

    product: str
    catalog: Path | None
    endpoints: dict[str, ShipperSettings]
    report: dict[str, Any]
    by_field: dict[str, dict[str, int]]
    host: str | None
    send: bool


def examine(case: Case) -> Iterator[Step]:
    """Yield the findings of each step; at each endpoint, the network may block for some seconds."""
    report, shipper = case.report, case.report["shipper"]
    hosts = [host for run in (shipper, *shipper["others"]) for host in run.get("hosts", ())]
    catalog = inspect(case.catalog)[0] if case.catalog else None
    decision = decide_here(case.product, catalog, case.host)

    yield from examine_package()
    if case.catalog is None:
        yield note("catalog", "no catalog is known here", "name it by --catalog")
    else:
        yield from examine_catalog(case.catalog, case.product)
    yield from examine_consent(case.product, decision, hosts)
    yield from examine_place()
    yield from examine_shipper(shipper)
    yield from examine_spool(report["spool"], shipper, report["errors"])
    if not case.endpoints:
        yield note("endpoint", "no endpoint is known here", "name it by --endpoint")
    for endpoint, settings in case.endpoints.items():
        yield from examine_endpoint(endpoint, settings)
        if case.send:
            version = f"{case.product}/{catalog.version if catalog else 1}"
            digest = digest_of(read_whole(case.catalog)) if case.catalog else ""
            yield from examine_upload(endpoint, settings, decision, version, digest)
    yield from examine_losses(report["ledger"], case.by_field)
