"""The names that a shipper knows, from its machine and its producers; and that they are nowhere but in its memory."""

from __future__ import annotations

import base64
import datetime as dt
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgpack
import psutil
import pytest
import zstandard
from conftest import Collector, Host, kill_shippers_of, shipper_of, shippers_of, wait_until
from spools import make_head

from telemetry.catalog.model import Catalog, Event, Field
from telemetry.paths import spool_dir
from telemetry.shipper import own_names
from telemetry.shipper.intake.receiver import Frame, decode_frame
from telemetry.shipper.own_names import OwnNames, constants_of
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.names import Names

EVENT = Event(
    name="query_finished",
    purpose="p",
    owner="o",
    expires=dt.date.max,
    sensitivity="technical",
    fields={"engine": Field(name="engine", type="enum", purpose="p", values=("batch-mode", "stream"))},
)
CATALOG = Catalog(product="acme-db", version=1, events={EVENT.name: EVENT})


def frame(producer: int, names: Names | None = None) -> Frame:
    context = {"pid": 7, "catalog": "", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}
    context |= {} if names is None else {"names": names}
    decoded = decode_frame(msgpack.packb([1, bytes([producer]) * 16, context, 0, {}, []]))
    assert decoded is not None
    return decoded


def known(own: OwnNames) -> set[str]:
    return {name.folded for name in own.known}


def test_the_constants_of_a_catalog_are_its_words() -> None:
    assert constants_of(CATALOG) >= {
        "query_finished",
        "query",
        "finished",
        "engine",
        "batch",
        "mode",
        "acme",
        "session",
    }


def test_the_machine_is_known_at_once_and_looked_at_again() -> None:
    answers = iter([{"user": ["janedoe"]}, {"user": ["janedoe"]}, {"ip": ["10.1.17.3"]}])
    own = OwnNames([CATALOG], lambda: next(answers))
    assert known(own) == {"janedoe"}
    assert not own.look()
    assert own.look()
    assert known(own) == {"janedoe", "10.1.17.3"}


def test_a_producer_is_heard_once_and_what_is_known_already_changes_nothing() -> None:
    own = OwnNames([CATALOG], lambda: {"user": ["janedoe"]})
    assert not own.hear([frame(1)])
    assert own.hear([frame(2, {"secret": ["hunter2000"]}), frame(1)])
    assert not own.hear([frame(2, {"secret": ["hunter2000"]})])
    assert not own.hear([frame(3, {"secret": ["hunter2000"]}), frame(4, {"user": ["janedoe"]})])
    assert known(own) == {"janedoe", "hunter2000"}


def test_of_ever_new_producers_the_last_are_known_and_one_that_comes_back_is_known_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_names, "MAX_ENVIRONMENTS", 3)
    own = OwnNames([CATALOG], lambda: {"user": ["janedoe"]})
    for number in range(6):
        assert own.hear([frame(number, {"secret": [f"secret-{number}"]})])
    assert known(own) == {"janedoe", "secret-3", "secret-4", "secret-5"}
    assert own.hear([frame(0, {"secret": ["secret-0"]})])
    assert known(own) >= {"secret-0", "janedoe"}


# ---- With real processes.

TEXTS = """
[catalog]
product = "acme-db"
version = 1

[events.failed]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.failed.fields]
detail = { type = "text", max_length = 200, purpose = "tests" }
"""
ENVIRONMENT = {
    "USER": "janeroe77",
    "HOSTNAME": "janes-own-laptop",
    "ACME_SECRET_TOKEN": "Tr0ub4dor-and-3",
    "DATABASE_URL": "postgres://reporting9:c0rrect-h0rse@warehouse-eu-7.lan/orders_2031",
}
CANARIES = (
    "janeroe77",
    "janes-own-laptop",
    "Tr0ub4dor-and-3",
    "reporting9",
    "c0rrect-h0rse",
    "warehouse-eu-7",
    "orders_2031",
)


@pytest.fixture
def hosts(home: Path, tmp_path: Path) -> Iterator[_Hosts]:
    assert home.exists()
    started = _Hosts(tmp_path / "acme.toml")
    yield started
    for host in started.all:
        host.kill()


class _Hosts:
    def __init__(self, catalog: Path) -> None:
        self.all: list[Host] = []
        self._catalog = catalog
        catalog.write_text(TEXTS)

    def start(self, endpoint: str) -> Host:
        init = {"product": "acme-db", "catalog": str(self._catalog), "endpoint": endpoint, "consent": "on"}
        self.all.append(Host(init, {"segment_seconds": 0.2, "linger_seconds": 2.0}))
        return self.all[-1]


def _status() -> dict[str, Any]:
    command = [sys.executable, "-m", "telemetry", "status", "--product", "acme-db"]
    spoken = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    asked = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False).stdout
    report: dict[str, Any] = json.loads(asked)
    return {**report, "spoken": spoken}


def _stored(store: Path) -> list[str]:
    bodies = [path.read_bytes() for path in sorted(store.glob("batches/*.ndjson.zst"))]
    plain = b"".join(zstandard.ZstdDecompressor().decompressobj().decompress(body) for body in bodies)
    return [json.loads(line)["detail"] for line in plain.splitlines()]


def _written(home: Path) -> bytes:
    """Everything under a home, compressed or not."""
    files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    bodies = [data for data in files if data.startswith(zstandard.FRAME_HEADER)]
    return b"\n".join([*files, *(zstandard.ZstdDecompressor().decompressobj().decompress(body) for body in bodies)])


def test_a_frame_whose_names_find_no_room_is_not_covered_and_takes_nobody_elses_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_names, "MAX_KNOWN_NAMES", 3)
    own = OwnNames([CATALOG], dict)
    one, other = frame(1, {"secret": ["secret-1", "secret-2"]}), frame(2, {"secret": ["secret-3", "secret-4"]})
    own.hear([one])
    own.hear([one, other])  # both in hand, room for one
    assert (own.covers(one), own.covers(other)) == (True, False)
    own.hear([other])
    assert (own.covers(one), own.covers(other)) == (False, True)
    own.hear([frame(3, {"secret": [f"secret-{number}" for number in range(9)]})])

    assert len(own.known) <= 3


def test_the_names_of_a_host_in_another_environment_are_taken_out_and_written_nowhere(
    hosts: _Hosts, home: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hosts.start(collector.endpoint)
    first.emit(1, "failed", detail="all is well")
    shipper = shipper_of(home)
    assert not any(canary in str(shipper.environ()) for canary in CANARIES)

    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    second = hosts.start(collector.endpoint)
    for name in ENVIRONMENT:
        monkeypatch.delenv(name)
    for canary in CANARIES:
        second.emit(1, "failed", detail=f"refused {canary} twice")
        second.emit(1, "failed", detail=f"refused {canary.upper()} twice")
        second.emit(1, "failed", detail=f"refused {base64.b64encode(b'x ' + canary.encode()).decode()} twice")
    wait_until(lambda: len(_stored(collector.store)) == 1 + 3 * len(CANARIES))

    assert [one.pid for one in shippers_of(home)] == [shipper.pid]
    kinds = {"refused [user] twice", "refused [host] twice", "refused [secret] twice", "refused [table] twice"}
    # In base64 some look like a key that only a machine makes: then that rule has them.
    made = {"refused [opaque] twice", "refused [secret:other] twice"}
    assert set(_stored(collector.store)) - made == {"all is well", *kinds}
    report = _status()
    assert report["shipper"]["tripwire"] == {"hits": 0, "state": "armed"}
    lines = [" ".join(process.cmdline()) for process in psutil.process_iter() if process.pid == shipper.pid]
    seen = _written(home) + _written(collector.store) + json.dumps([report, lines]).encode()
    assert not [canary for canary in CANARIES if canary.lower().encode() in seen.lower()]


def test_a_shipper_that_was_respawned_knows_them_before_the_first_text(
    hosts: _Hosts, home: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_SECRET_TOKEN", "Tr0ub4dor-and-3")
    secretive = hosts.start(collector.endpoint)
    secretive.emit(1, "failed", detail="with Tr0ub4dor-and-3")
    monkeypatch.delenv("ACME_SECRET_TOKEN")
    old_environment = shipper_of(home).environ()
    secretive.process.send_signal(signal.SIGSTOP)  # so that it is the other that spawns the next one
    kill_shippers_of(home)
    other = hosts.start(collector.endpoint)
    other.emit(1, "failed", detail="all is well")
    new = shipper_of(home)
    assert "Tr0ub4dor-and-3" not in f"{old_environment} {new.environ()}"  # it stays with the host
    secretive.process.send_signal(signal.SIGCONT)
    secretive.emit(1, "failed", detail="again Tr0ub4dor-and-3")
    other.emit(1, "failed", detail="and Tr0ub4dor-and-3")
    wait_until(lambda: len(_stored(collector.store)) == 4)

    assert set(_stored(collector.store)) == {"with [secret]", "all is well", "again [secret]", "and [secret]"}


def test_the_tripwire_stops_what_lies_in_the_spool_and_status_says_so(
    hosts: _Hosts, home: Path, collector: Collector
) -> None:
    spool = Spool.open(spool_dir("acme-db", collector.endpoint), lambda *_: False)[0]
    for number in range(2):
        active = spool.begin(make_head())
        line = b'{"event":"failed","detail":"canary-%d -----BEGIN RSA PRIVATE KEY-----"}\n' % number
        active.append(line, Tally(emitted=1, kept=1), {})
        spool.seal(active, Tally(emitted=1, kept=1))
    spool.close()
    host = hosts.start(collector.endpoint)
    wait_until(lambda: _status()["shipper"].get("upload") == "paused")
    host.emit(1, "failed", detail="all is well")

    report = _status()
    assert report["shipper"]["cause"] == "tripwire: pem"
    assert report["shipper"]["tripwire"] == {"hits": 2, "state": "paused"}
    assert report["ledger"]["dropped"] == {"redaction_failed": 2}
    assert report["ledger"]["delivered"] == 0
    assert "tripwire paused: 2 segments held back" in report["spoken"]
    assert "telemetry tripwire show" in report["spoken"]
    assert not list(collector.store.glob("batches/*"))
    log = b"".join(path.read_bytes() for path in home.rglob("shipper.log*"))
    assert b"pem in 1 of 1 event:" in log
    assert b"canary-" not in log
