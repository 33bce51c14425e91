"""A program's events as OTLP, from `emit` to what opentelemetry-proto, our own collector and `telemetry query` read."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service
from spools import Endpoint
from test_distributions import CATALOG as DISTRIBUTIONS

from telemetry.exponential import by_bound

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Collector

_OBSERVE = """
import json, sys, telemetry
catalog, endpoint, numbers = json.loads(sys.argv[1])
settings = telemetry.ShipperSettings(format="otlp", upload_jitter_seconds=0.0)
telemetry.init(product="acme-db", catalog=catalog, endpoint=endpoint, consent="on", shipper=settings)
for number in numbers:
    telemetry.observe("query_times", number, engine="batch")
sys.exit(not telemetry.flush(60, until="delivered"))
"""

_EMIT = """
import json, sys, telemetry
catalog, endpoint, first, settings = json.loads(sys.argv[1])
settings = telemetry.ShipperSettings(upload_jitter_seconds=0.0, retry_max_seconds=1.0, **settings)
telemetry.init(product="acme-db", catalog=catalog, endpoint=endpoint, consent="on", shipper=settings)
for number in range(first, first + 50):
    telemetry.emit("done", number=number, ok=number % 2 == 0, engine="batch", share=number / 7)
sys.exit(not telemetry.flush(60, until="delivered"))
"""

CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.done]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.done.fields]
number = { type = "int", purpose = "tests" }
ok = { type = "bool", purpose = "tests" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "tests" }
share = { type = "float", purpose = "tests" }
"""


def _run(program: str, *arguments: Any) -> None:
    subprocess.run([sys.executable, "-c", program, json.dumps(arguments)], check=True, timeout=120)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_value(each) for each in found.values] if kind == "array_value" else found


def test_a_distribution_leaves_as_the_attributes_that_otlp_has_for_one(home: Path, tmp_path: Path) -> None:
    assert home.exists()
    catalog = tmp_path / "acme.toml"
    catalog.write_text(DISTRIBUTIONS)
    numbers = [0.001 * 1.3**number for number in range(60)]
    with Endpoint() as endpoint:
        _run(_OBSERVE, str(catalog), endpoint.url, numbers)
    counted: Counter[float] = Counter()
    count, least, total = 0, [], 0.0
    for request in endpoint.requests:
        for resource_logs in service.ExportLogsServiceRequest.FromString(gzip.decompress(request.body)).resource_logs:
            for record in resource_logs.scope_logs[0].log_records:
                assert record.event_name == "acme_db.query_times"
                found = {pair.key: _value(pair.value) for pair in record.attributes}
                own = {"count", "sum", "scale", "offset", "bucket_counts", "min", "max"}
                assert found.keys() - {"zero_count"} == own | {"session.id", "engine"}
                assert sum(found["bucket_counts"]) == found["count"]
                count += found["count"]
                total += found["sum"]
                least.append(found["min"])
                for index, number in enumerate(found["bucket_counts"], found["offset"] + 1):
                    if number:
                        counted[2.0 ** (index * 2.0 ** -found["scale"])] += number
    assert count == len(numbers)
    assert abs(total / sum(numbers) - 1) < 0.05
    assert abs(min(least) / numbers[0] - 1) < 0.05
    bounds = by_bound(numbers, 4)
    if len(least) == 1:  # one second's, at the scale of the catalog
        assert len(counted) == len(bounds)


def test_our_own_collector_takes_each_format_and_compression_and_a_query_reads_them_as_one(
    home: Path, tmp_path: Path, collector: Collector
) -> None:
    assert home.exists()
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    kinds: list[dict[str, str]] = [
        {"format": "ndjson"},
        {"format": "otlp"},
        {"format": "ndjson", "compression": "gzip"},
        {"format": "otlp", "compression": "none"},
        {"format": "otlp", "compression": "zstd"},
    ]
    for number, kind in enumerate(kinds):
        _run(_EMIT, str(catalog), collector.endpoint, 50 * number, kind)
    names = {path.name.partition(".")[2] for path in (collector.store / "batches").iterdir()}
    assert names == {"ndjson.zst", "ndjson.gz", "pb.gz", "pb", "pb.zst", "json"}

    sql = "SELECT number, ok, engine, share, product FROM done ORDER BY number"
    command = [sys.executable, "-m", "telemetry", "query", sql, "--store", str(collector.store), "--json"]
    told = subprocess.run([*command, "--catalog", str(catalog)], capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in told.stdout.splitlines()] == [
        {"number": number, "ok": number % 2 == 0, "engine": "batch", "share": number / 7, "product": "acme-db"}
        for number in range(250)
    ]
