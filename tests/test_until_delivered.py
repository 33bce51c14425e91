"""`flush(until="delivered")`: for programs whose machine ends with them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from conftest import CATALOG, Collector
from spools import Endpoint, Request, add_segment, open_spool

from telemetry.cli.status import gather
from telemetry.consent import State, store_choice
from telemetry.paths import spool_dir

if TYPE_CHECKING:
    from pathlib import Path

# A job: emits, flushes as it is told, says what came of it and how long it took, and ends without a chance.
JOB = """
import json, os, sys, time, telemetry
init, settings, number, timeout, until = json.loads(sys.argv[1])
telemetry.init(**init, shipper=telemetry.ShipperSettings(**settings))
for _ in range(number):
    telemetry.emit("query_finished", duration_ms=1.5)
if until == "delivered after disk":
    assert telemetry.flush(60.0)
    until = "delivered"
began = time.monotonic()
print(json.dumps([telemetry.flush(timeout, until=until), time.monotonic() - began]), flush=True)
os._exit(0)
"""

# Ten threads that flush one after the other, three times each.
STORM = """
import json, sys, threading, time, telemetry
init, settings = json.loads(sys.argv[1])
telemetry.init(**init, shipper=telemetry.ShipperSettings(**settings))
telemetry.emit("query_finished")
telemetry.flush(60.0)
done = []
def work():
    for _ in range(3):
        telemetry.emit("query_finished", duration_ms=1.5)
        done.append(telemetry.flush(60.0, until="delivered"))
began = time.monotonic()
threads = [threading.Thread(target=work) for _ in range(10)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps([done, time.monotonic() - began]))
"""

PATIENCE_SECONDS = 60.0
"""What a flush may take; who has to say no at once needs much less, on however busy a machine."""

SLOW = {"segment_seconds": 3600.0, "upload_jitter_seconds": 3600.0, "retry_max_seconds": 1.0}
"""Settings under which nothing leaves by itself while a test looks."""


class Job:
    """Runs jobs of one product against an endpoint."""

    def __init__(self, catalog: Path) -> None:
        self._catalog = catalog
        catalog.write_text(CATALOG)

    def __call__(
        self,
        endpoint: str,
        *,
        number: int = 100,
        timeout: float = PATIENCE_SECONDS,
        until: str = "delivered",
        consent: str = "on",
        **settings: Any,
    ) -> tuple[bool, float]:
        init = {"product": "acme-db", "catalog": str(self._catalog), "endpoint": endpoint, "consent": consent}
        told = json.dumps([init, {**SLOW, **settings}, number, timeout, until])
        output = subprocess.run([sys.executable, "-c", JOB, told], capture_output=True, text=True, check=True).stdout
        done, seconds = json.loads(output)
        return done, seconds


@pytest.fixture
def job(home: Path, tmp_path: Path) -> Job:
    assert home.exists()
    return Job(tmp_path / "acme.toml")


def _ledger() -> dict[str, Any]:
    ledger: dict[str, Any] = gather("acme-db")["ledger"]
    return ledger


def test_what_a_short_job_emitted_has_left_when_it_says_so(job: Job, collector: Collector) -> None:
    done, _ = job(collector.endpoint)

    assert done
    assert _ledger()["delivered"] == 100


def test_on_disk_is_not_delivered(job: Job, refusing: str) -> None:
    assert not job(refusing, timeout=1.0, until="delivered after disk")[0]
    assert _ledger()["on_disk"] == 100


def test_what_is_sealed_and_waits_for_its_jitter_leaves_as_well(job: Job, collector: Collector) -> None:
    done, _ = job(collector.endpoint, until="delivered after disk", segment_seconds=0.0)

    assert done
    assert _ledger()["delivered"] == 100


def test_under_local_it_says_no_at_once(job: Job, collector: Collector) -> None:
    done, seconds = job(collector.endpoint, consent="local", until="delivered after disk")

    assert not done
    assert seconds < PATIENCE_SECONDS
    assert _ledger()["delivered"] == 0


def test_when_the_user_said_local_it_says_no_at_once(job: Job, collector: Collector) -> None:
    store_choice("acme-db", State.LOCAL, time.time())
    done, seconds = job(collector.endpoint)

    assert not done
    assert seconds < PATIENCE_SECONDS
    assert _ledger()["delivered"] == 0


def test_while_uploads_pause_it_says_no_at_once(job: Job) -> None:
    with Endpoint(decide=lambda _: 401) as endpoint:
        first, _ = job(endpoint.url)
        second, seconds = job(endpoint.url)

    assert (first, second) == (False, False)
    assert seconds < PATIENCE_SECONDS


def test_a_batch_that_is_split_has_left_when_its_last_half_has(job: Job) -> None:
    def decide(request: Request) -> int:
        events = zstandard.ZstdDecompressor().decompressobj().decompress(request.body).count(b"\n")
        return 413 if events > 2 else 200

    with Endpoint(decide=decide) as endpoint:
        done, _ = job(endpoint.url, number=16)
        ledger = _ledger()

    assert done
    assert (ledger["delivered"], ledger["on_disk"], ledger["in_flight"]) == (16, 0, 0)


def test_what_is_refused_for_good_is_counted_and_not_waited_for(job: Job) -> None:
    with Endpoint(decide=lambda _: 422) as endpoint:
        done, _ = job(endpoint.url, number=4)

    assert done
    assert _ledger()["dropped"] == {"rejected": 4}


def test_a_job_does_not_wait_for_the_backlog_of_others(job: Job) -> None:
    """Of hundreds of batches that wait it is the fresh one that leaves first, and the job's is all it asks about."""
    with Endpoint() as endpoint:
        spool = open_spool(spool_dir("acme-db", endpoint.url))
        for _ in range(300):
            add_segment(spool, events=1)
        spool.close()
        done, _ = job(endpoint.url, number=4, upload_bytes_per_second=2_000)

    assert done
    assert _ledger()["on_disk"] > 0


def test_many_that_flush_at_once_are_served_together_once_a_second(home: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    assert home.exists()
    with Endpoint() as endpoint:
        init = {"product": "acme-db", "catalog": str(catalog), "endpoint": endpoint.url, "consent": "on"}
        told = json.dumps([init, SLOW])
        output = subprocess.run([sys.executable, "-c", STORM, told], capture_output=True, text=True, check=True).stdout
        done, seconds = json.loads(output)

    assert done == [True] * 30
    assert len(endpoint.requests) <= seconds + 1
