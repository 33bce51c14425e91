"""`telemetry metrics`: the figures of `telemetry status`, as a scraper reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from telemetry.cli.metrics import metrics
from telemetry.cli.status import status

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Collector, StartHost


def told(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels, key="product".__ne__))): sample.value
        for family in read_openmetrics(text)  # type: ignore[no-untyped-call] # prometheus-client's parser has no types
        for sample in family.samples
    }


def test_the_figures_are_those_of_status(home: Path, start_host: StartHost, collector: Collector) -> None:
    host = start_host(collector.endpoint)
    host.emit(5)
    host.emit(2, "nobody_declared_this")
    host.emit(1, engine="batch", wokers=3)

    figures = told(CliRunner().invoke(metrics, [], catch_exceptions=False).output)
    report = json.loads(CliRunner().invoke(status, ["--json"], catch_exceptions=False).output)

    ledger = report["ledger"]
    assert figures["telemetry_events_emitted_total", "acme-db"] == ledger["emitted"] == 8
    assert figures["telemetry_events_dropped_total", "acme-db", "undeclared"] == ledger["dropped"]["undeclared"] == 2
    assert figures["telemetry_fields_dropped_total", "acme-db", "undeclared"] == ledger["fields_dropped"]["undeclared"]
    assert figures["telemetry_events_on_disk", "acme-db"] == ledger["on_disk"] == 6
    assert figures["telemetry_events_unaccounted", "acme-db"] == 0
    assert figures["telemetry_spool_segments", "acme-db", "active"] == 1
    assert figures["telemetry_shippers", "acme-db"] == 1
    assert figures["telemetry_shipper_memory_bytes", "acme-db"] > 1 << 20
    assert figures["telemetry_consent", "acme-db", report["consent"]["state"]] == 1
    assert home.exists()


def test_a_textfile_is_replaced_in_one_step_and_read_by_anybody(home: Path, tmp_path: Path) -> None:
    assert home.exists()
    subprocess.run([sys.executable, "-m", "telemetry", "off", "--product", "acme-db"], check=True, capture_output=True)
    file = tmp_path / "telemetry.prom"
    file.write_text("old")
    assert CliRunner().invoke(metrics, ["--textfile", str(file)]).exit_code == 0

    samples = [sample for family in read_text(file.read_text()) for sample in family.samples]
    assert ("telemetry_consent", {"product": "acme-db", "state": "off"}, 1.0) in [sample[:3] for sample in samples]
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["telemetry.prom"]


def test_a_place_where_nothing_can_be_written_is_told(home: Path, tmp_path: Path) -> None:
    assert home.exists()
    done = CliRunner().invoke(metrics, ["--textfile", str(tmp_path / "none" / "telemetry.prom")])
    assert done.exit_code == 1
    assert "can't be written (No such file or directory)" in done.output
