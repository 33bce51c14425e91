"""The command `telemetry metrics`: prints the figures of `telemetry status` as OpenMetrics, or keeps them in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from telemetry.cli.consent import CommandError, FailedError, lane_option, product_option
from telemetry.cli.extras import not_installed
from telemetry.cli.status import gather
from telemetry.consent import find_product, known_products
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.registry import Collector


@click.command()
@product_option
@lane_option
@click.option(
    "--textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write this file instead, in one step, for the textfile collector of node_exporter: NAME.prom.",
)
def metrics(product: str | None, lane: int | None, textfile: Path | None) -> None:
    """Print events, drops, spool and shipper of each product as OpenMetrics.

    Exit codes: 0, good; 1, the file can't be written; 2, no such product can be, or a library is missing.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 of an extra
        from prometheus_client.openmetrics import exposition  # noqa: PLC0415 as above
    except ImportError as fault:
        raise CommandError(not_installed(fault)) from None
    try:
        names = known_products() if product is None else [find_product(product)]
        reports = [gather(name, lane) for name in names]
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    except OSError as fault:
        raise CommandError(f"{fault.filename}: {fault.strerror}; run this as the user whose programs collect") from None
    registry = CollectorRegistry()
    registry.register(_collector(reports))
    if textfile is None:
        written: bytes = exposition.generate_latest(registry)  # type: ignore[no-untyped-call] # it has no types
        click.echo(written.decode(), nl=False)
        return
    try:
        _put(textfile, generate_latest(registry))
    except OSError as fault:
        raise FailedError(f"{textfile} can't be written ({fault.strerror})") from None


def _collector(reports: list[dict[str, Any]]) -> Collector:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 of an extra
    from prometheus_client.registry import Collector  # noqa: PLC0415 as above

    class Reports(Collector):
        """The figures of some reports, each family with all of its samples."""

        def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
            """Yield the families."""
            for name, (kind, help_, label) in FAMILIES.items():
                make: Any = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
                samples: Callable[[dict[str, Any]], dict[str, float]] = _SAMPLES[name]
                family = make(f"telemetry_{name}", help_, labels=["product", *([label] if label else [])])
                for report in reports:
                    for value, number in samples(report).items():
                        family.add_metric([report["product"], *([value] if label else [])], number)
                yield family

    return Reports()


FAMILIES = {
    "events_emitted": ("counter", "Events that producers have emitted.", ""),
    "events_delivered": ("counter", "Events that the endpoint has confirmed.", ""),
    "events_dropped": ("counter", "Events that were dropped.", "reason"),
    "fields_dropped": ("counter", "Fields that were removed from events.", "reason"),
    "events_on_disk": ("gauge", "Events that wait on disk, or are kept there.", ""),
    "events_in_flight": ("gauge", "Events of batches under way.", ""),
    "events_unaccounted": ("gauge", "Events that nothing accounts for: 0, or there is a bug.", ""),
    "spool_segments": ("gauge", "Segments on disk.", "folder"),
    "spool_bytes": ("gauge", "Bytes of the segments on disk.", "folder"),
    "spool_oldest_sealed_seconds": ("gauge", "The time for which the oldest sealed segment has waited.", ""),
    "consent": ("gauge", "1 for the consent of a program that says nothing itself.", "state"),
    "shippers": ("gauge", "Shippers that run.", ""),
    "shipper_uploads": ("gauge", "Shippers whose uploads are in a state.", "state"),
    "shipper_memory_bytes": ("gauge", "Memory of the shippers that answer.", ""),
    "shipper_cpu_seconds": ("counter", "CPU time of the shippers that answer.", ""),
}
"""The kind of each family, its help, and its label beside the product."""


def _runs(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [run for run in (report["shipper"], *report["shipper"]["others"]) if run["running"]]


def _sum(report: dict[str, Any], figure: str) -> dict[str, float]:
    return {"": sum(run.get(figure, 0) for run in _runs(report))}


def _uploads(report: dict[str, Any]) -> dict[str, int]:
    states = [run.get("upload", "silent") for run in _runs(report)]
    return {state: states.count(state) for state in states}


_SAMPLES = {
    "events_emitted": lambda report: {"": report["ledger"]["emitted"]},
    "events_delivered": lambda report: {"": report["ledger"]["delivered"]},
    "events_dropped": lambda report: report["ledger"]["dropped"],
    "fields_dropped": lambda report: report["ledger"]["fields_dropped"],
    "events_on_disk": lambda report: {"": report["ledger"]["on_disk"]},
    "events_in_flight": lambda report: {"": report["ledger"]["in_flight"]},
    "events_unaccounted": lambda report: {"": report["ledger"]["balance"]},
    "spool_segments": lambda report: report["spool"]["segments"],
    "spool_bytes": lambda report: report["spool"]["bytes"],
    "spool_oldest_sealed_seconds": lambda report: {"": report["spool"]["oldest_sealed_seconds"] or 0},
    "consent": lambda report: {str(report["consent"]["state"]): 1},
    "shippers": lambda report: {"": len(_runs(report))},
    "shipper_uploads": _uploads,
    "shipper_memory_bytes": lambda report: _sum(report, "memory_bytes"),
    "shipper_cpu_seconds": lambda report: _sum(report, "cpu_seconds"),
}
"""The samples of each family, by the value of its label."""


def _put(file: Path, data: bytes) -> None:
    """Write a file for all to read, in one step: the collector must never find half of it, or half of its name."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_bytes(data)
        fresh.chmod(0o644)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
