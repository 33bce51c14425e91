"""Examination of what may be collected: the catalog, and consent, here and in each running host."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from telemetry.catalog.lint import lint
from telemetry.catalog.load import inspect
from telemetry.consent import State, evaluate, read_stored
from telemetry.doctor.step import Step, fault, good, note
from telemetry.settings import DEBUG, is_debugging
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.catalog.model import Catalog
    from telemetry.consent import Decision


_TECHNICAL = 'only events of sensitivity = "technical" are uploaded, the others are for this machine\'s user'


def examine_catalog(file: Path, product: str) -> Iterator[Step]:
    """Read the catalog as a shipper would, and name the events and fields that have expired."""
    catalog, faults = inspect(file)
    if catalog is None:
        for found in faults:
            yield fault("catalog", found.line(file), f"telemetry catalog check {file}")
        return
    if catalog.product != product:
        yield fault(
            "catalog", f"{file} is the catalog of {catalog.product}, not of {product}", "init the product it is of"
        )
    expired = [found for found in lint(catalog, dt.datetime.now(dt.UTC).date()) if found.code == "expired"]
    for found in expired:
        yield fault("catalog", found.line(file), "what is expired is dropped and counted")
    if not expired:
        yield good("catalog", f"{file}: version {catalog.version}, {counted(len(catalog.events), 'event')}")


def examine_consent(product: str, decision: Decision, hosts: list[dict[str, Any]]) -> Iterator[Step]:
    """Report the decision of each host that a shipper has heard of, and the one that would be made here."""
    if fault_found := read_stored(product).fault:
        yield fault(
            "consent", f"the stored choice {fault_found}, so it counts as off", "telemetry on, or off, writes it anew"
        )
    for host in hosts:
        said = f"process {host['pid']}: {host['consent']} (by {host['basis']}, deployment {host['deployment']})"
        if host["consent"] == State.LOCAL:
            yield note("consent", said, "it collects for this machine's user only, nothing of it is uploaded")
        elif host["consent"] == State.TECHNICAL:
            yield note("consent", said, _TECHNICAL)
        else:
            yield good("consent", said)
    if not hosts:
        here = f"no running host is known; what would be decided in this environment: {decision.state}"
        yield note("consent", f"{here} ({decision.rule})", _advice(decision))
    elif decision.state is State.OFF and decision.basis in {"stored", "environment"}:
        yield note("consent", f"a host started in this environment is off ({decision.rule})", _advice(decision))
    if is_debugging():
        yield fault("consent", f"{DEBUG} is set here: a host prints, and sends nothing", f"unset {DEBUG}")


def _advice(decision: Decision) -> str:
    if decision.state is State.ON:
        return "a host that says nothing else collects and uploads"
    if decision.state is State.TECHNICAL:
        return _TECHNICAL
    if decision.basis == "environment":
        return "the environment says so, and nothing overrides it: unset that variable, if it was not meant"
    if decision.basis == "stored":
        return "the user said so: telemetry on, if that was not meant"
    if decision.rule in {"CI", "pytest"}:
        return f'under {decision.rule} a host is off, unless its user or it itself says yes: init(consent="on")'
    return 'a host is off unless its user says yes (telemetry on) or it says so itself: init(consent="on")'


def decide_here(product: str, catalog: Catalog | None, host: str | None) -> Decision:
    """Decide as a host in this environment would, by its catalog, if known, and its own word."""
    no_unless = catalog.no_unless if catalog else None
    return evaluate(product=product, host=host, deployment=None, callback=None, may_tell=False, no_unless=no_unless)
