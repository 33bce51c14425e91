"""`telemetry status`, beside real hosts and shippers; and the account of a spool that it rests on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from conftest import CATALOG, Collector, Host, StartHost, kill_shippers_of, made_in, shipper_of, shippers_of, wait_until

from telemetry import paths
from telemetry.cli.status import EXIT_MISSING, status
from telemetry.consent import State, store_choice
from telemetry.files import private_dir
from telemetry.inspect.account import read_account
from telemetry.receipt import Receipt
from telemetry.rendezvous.lock import LOCK_FILE
from telemetry.rendezvous.refusal import refuse
from telemetry.spool.positions import Position
from telemetry.spool.segment import ActiveSegment, Head
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

DEAD = Position(2**22 + 1)  # a pid that no process can have
NO_EVENTS: dict[str, Any] = {
    "emitted": 0,
    "delivered": 0,
    "on_disk": 0,
    "in_flight": 0,
    "owed": 0,
    "dropped": {},
    "fields_dropped": {},
    "unmatched": {},
    "balance": 0,
}


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(status, arguments, catch_exceptions=False)


def _ask(product: str = "acme-db") -> dict[str, Any]:
    result = _run("--product", product, "--json")
    assert result.exit_code in {0, EXIT_MISSING}
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["ledger"]["balance"] == 0
    return report


def _tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in directory.rglob("*")
    }


# Without a shipper.


def test_where_nothing_is_all_is_zero_and_nothing_is_made(home: Path) -> None:
    report = _ask()
    assert report["ledger"] == NO_EVENTS
    assert report["shipper"] == {"running": False, "pid": None, "refused": None, "others": []}
    assert report["spool"]["directories"] == []
    assert report["errors"] == []
    assert not report["known"]
    assert _run("--product", "acme-db").exit_code == EXIT_MISSING
    assert not made_in(home)


@pytest.mark.parametrize("arguments", [(), ("--product", "../acme")], ids=["none known", "no name"])
def test_a_product_that_can_not_be_meant_ends_with_2(arguments: tuple[str, ...], home: Path) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert "product" in result.stderr
    assert not made_in(home)


def test_consent_is_judged_by_the_stored_choice_and_this_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.exists()
    consent = _ask()["consent"]
    assert (consent["state"], consent["rule"], consent["deployment"]) == ("off", "deployment unknown", "unknown")
    assert "not known here" in consent["judged_by"]
    store_choice("acme-db", State.ON, time.time())
    consent = _ask()["consent"]
    assert (consent["state"], consent["rule"], consent["basis"]) == ("on", "stored choice", "stored")
    assert (consent["stored"]["choice"], consent["stored"]["fault"]) == ("on", "")
    store_choice("acme-db", State.TECHNICAL, time.time())
    assert _ask()["consent"]["state"] == "technical"
    assert "technical events are sent" in _run("--product", "acme-db").stdout
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert _ask()["consent"]["rule"] == "DO_NOT_TRACK=1"


def test_a_damaged_choice_is_named_and_counts_as_off(home: Path) -> None:
    assert home.exists()
    store_choice("acme-db", State.ON, time.time())
    paths.consent_file("acme-db").write_text("{")
    consent = _ask()["consent"]
    assert consent["state"] == "off"
    assert "damaged" in consent["stored"]["fault"]
    assert "damaged" in _run("--product", "acme-db").stdout


def test_a_spool_of_another_version_is_named_and_not_read(home: Path) -> None:
    spool = home / "state" / "acme-db" / "spool-0123456789abcdef"
    Spool.open(spool, lambda *_: False)
    (spool / "format").write_text("99")
    report = _ask()
    assert report["spool"]["directories"] == []
    (error,) = report["errors"]
    assert "'99'" in error


def test_it_imports_nothing_that_takes_long(home: Path) -> None:
    assert home.exists()
    code = (
        "import sys\nfrom telemetry.cli.status import gather\ngather('acme-db')\n"
        "heavy = {'duckdb', 'starlette', 'hyperscan', 'requests', 'rich', 'psutil', 'zmq', 'asyncio'}\n"
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# With real hosts and shippers.


def test_beside_a_running_shipper_the_ledger_balances(start_host: StartHost, home: Path, refusing: str) -> None:
    host = start_host(refusing)
    host.emit(1000)
    report = _ask()
    shipper = shipper_of(home)
    assert report["shipper"]["running"]
    assert report["shipper"]["pid"] == shipper.pid
    assert report["shipper"]["endpoint"] == refusing
    assert report["shipper"]["memory_bytes"] > 1 << 20
    assert report["shipper"]["cpu_seconds"] > 0
    assert report["spool"]["segments"]["active"] == 1
    assert report["ledger"] == {**NO_EVENTS, "emitted": 1000, "on_disk": 1000}


def test_what_running_hosts_said_comes_before_what_holds_for_one_that_says_nothing(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing)
    host.emit(1)
    text = _run("--product", "acme-db").stdout
    before, said, after = text.partition("consent  on by host in 1 running host\n")
    assert said
    assert "consent" not in before
    assert after.lstrip().startswith("a program that says nothing itself: off, by deployment unknown")
    assert ", 1 producer\n" in text

    host.kill_with_shippers(home)
    assert "consent  no program that collects runs now\n" in _run("--product", "acme-db").stdout


def test_what_an_endpoint_refuses_stays_on_disk_and_the_cause_is_named(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    assert home.exists()
    host = start_host(refusing)
    host.emit(50)
    host.leave()
    report: dict[str, Any] = {}

    def waits_for_the_next_try() -> bool:
        report.update(_ask())
        return report["shipper"].get("upload") == "retrying" and not report["ledger"]["in_flight"]

    wait_until(waits_for_the_next_try)
    assert report["shipper"]["cause"]
    assert report["ledger"] == {**NO_EVENTS, "emitted": 50, "on_disk": 50}
    assert report["spool"]["segments"]["sealed"] == 1
    assert report["spool"]["bytes"]["sealed"] > 0
    assert 0 <= report["spool"]["oldest_sealed_seconds"] < 60
    assert any("WARNING upload failed" in line for line in report["errors"])
    wait_until(lambda: "50 emitted = 0 delivered + 50 on disk" in _run("--product", "acme-db").stdout)
    text = _run("--product", "acme-db").stdout
    assert f"pid {report['shipper']['pid']}" in text
    assert "upload retrying" in text


def test_after_the_delivery_all_is_delivered(start_host: StartHost, collector: Collector) -> None:
    host = start_host(collector.endpoint)
    host.emit(300)
    host.leave()
    wait_until(lambda: _ask()["ledger"]["delivered"] == 300)
    report = _ask()
    assert report["ledger"] == {**NO_EVENTS, "emitted": 300, "delivered": 300}
    assert report["spool"]["segments"]["sent"] == 1
    wait_until(lambda: not _ask()["shipper"]["running"])
    assert _run("--product", "acme-db").exit_code == 0


def test_a_batch_on_its_way_is_in_flight_and_not_on_disk(start_host: StartHost, silent: str) -> None:
    host = start_host(silent)
    host.emit(70)
    host.leave()
    wait_until(lambda: _ask()["ledger"]["in_flight"] == 70)
    assert _ask()["ledger"] == {**NO_EVENTS, "emitted": 70, "in_flight": 70}


def test_drops_and_removed_fields_are_counted_by_reason(start_host: StartHost, home: Path, refusing: str) -> None:
    host = start_host(refusing)
    host.emit(3, "never_heard_of")
    host.emit(5, "query_finished", duration_ms=1.0, shoe_size=44)
    assert _ask()["shipper"]["undeclared"] == {"query_finished.shoe_size": 5, "never_heard_of": 3}
    host.kill_with_shippers(home)
    ledger = _ask()["ledger"]
    assert ledger["dropped"] == {"undeclared": 3}
    assert ledger["fields_dropped"] == {"undeclared": 5}
    assert (ledger["emitted"], ledger["on_disk"]) == (8, 5)


def test_a_killed_shippers_active_segment_counts_and_status_ends_with_3(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing)
    host.emit(400)
    host.kill_with_shippers(home)
    report = _ask()
    assert (report["shipper"]["running"], report["shipper"]["pid"]) == (False, None)
    assert report["spool"]["segments"]["active"] == 1
    assert report["ledger"] == {**NO_EVENTS, "emitted": 400, "on_disk": 400}
    assert _run("--product", "acme-db").exit_code == EXIT_MISSING
    assert "none runs" in _run("--product", "acme-db").stdout


def test_it_changes_nothing_on_disk(start_host: StartHost, home: Path, refusing: str) -> None:
    host = start_host(refusing)
    host.emit(10)
    host.kill_with_shippers(home)
    before = _tree(home)
    _ask()
    _run("--product", "acme-db")
    assert _tree(home) == before


def test_a_shipper_that_does_not_answer_is_named_and_waited_for_only_briefly(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing)
    host.emit(10)
    shipper = shipper_of(home)
    shipper.suspend()
    began = time.monotonic()
    report = _ask()
    assert time.monotonic() - began < 5
    assert (report["shipper"]["running"], report["shipper"]["pid"]) == (True, shipper.pid)
    assert "no shipper answered" in report["shipper"]["fault"]
    assert report["ledger"] == {**NO_EVENTS, "emitted": 10, "on_disk": 10}
    assert "does not answer" in _run("--product", "acme-db").stdout


def test_several_shippers_are_listed_and_their_spools_add_up(
    start_host: StartHost, home: Path, refusing: str, silent: str
) -> None:
    hosts = [start_host(endpoint) for endpoint in (refusing, silent)]
    for host in hosts:
        host.emit(20)
    report = _ask()
    runs = [report["shipper"], *report["shipper"]["others"]]
    assert {run["pid"] for run in runs} == {process.pid for process in shippers_of(home)}
    assert {run["endpoint"] for run in runs} == {refusing, silent}
    assert len(report["spool"]["directories"]) == 2
    assert report["ledger"]["emitted"] == report["ledger"]["on_disk"] == 40


def test_another_products_shipper_is_not_listed(start_host: StartHost, refusing: str) -> None:
    start_host(refusing, product="acme-db-2").emit(1)
    report = _ask("acme-db")
    assert (report["shipper"]["running"], report["ledger"]) == (False, NO_EVENTS)
    assert _ask("acme-db-2")["shipper"]["running"]


def test_a_product_whose_long_name_begins_alike_is_told_apart(start_host: StartHost, refusing: str) -> None:
    one, other = "a" * 24 + "-one", "a" * 24 + "-other"
    start_host(refusing, product=one).emit(1)
    assert _ask(one)["shipper"]["running"]
    assert not _ask(other)["shipper"]["running"]


def test_why_a_shipper_could_not_start_is_said(home: Path, refusing: str, tmp_path: Path) -> None:
    catalog = tmp_path / "bad.toml"
    catalog.write_text("[catalog]\n")
    host = Host({"product": "acme-db", "catalog": str(catalog), "endpoint": refusing, "consent": "on"}, {})
    try:
        wait_until(lambda: (_ask()["shipper"]["refused"] or "").startswith(str(catalog)))
    finally:
        host.kill()
    assert "could not start" in _run("--product", "acme-db").stdout
    wait_until(lambda: not shippers_of(home))


def test_what_kept_one_from_starting_is_past_once_another_has_come_up_after_it(home: Path) -> None:
    assert home.exists()
    failed, good = (paths.runtime_root() / f"acme-db-{digit * 16}" for digit in "ab")
    for directory in (failed, good):
        private_dir(directory)
    refuse(failed, "its token's file is gone", None)
    (good / LOCK_FILE).write_text("1")

    for served_at, said in ((time.time() - 60, "its token's file is gone"), (time.time() + 1, None)):
        os.utime(good / LOCK_FILE, (served_at, served_at))
        assert _ask()["shipper"]["refused"] == said


def test_a_shipper_in_the_foreground_is_found(home: Path, refusing: str, tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(CATALOG)
    config = tmp_path / "ship.toml"
    config.write_text(f'product = "acme-db"\ncatalog = "acme.toml"\nendpoint = "{refusing}"\n')
    assert home.exists()
    command = [sys.executable, "-m", "telemetry", "ship", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _ask()["shipper"].get("upload") == "idle")
            assert _ask()["shipper"]["pid"] == process.pid
        finally:
            process.terminate()


def test_a_home_whose_path_is_too_long_for_sockets_finds_its_own_shipper_only(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refusing: str
) -> None:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    homes = [home / ("a" * 80), home / ("b" * 80)]
    hosts, places = [], []
    try:
        for long in homes:
            monkeypatch.setenv("TELEMETRY_HOME", str(long))
            init = {"product": "acme-db", "catalog": str(catalog), "endpoint": refusing, "consent": "on"}
            hosts.append(Host(init, {}))
            hosts[-1].emit(1)
            report = _ask()
            shipper = shipper_of(long)
            assert (report["shipper"]["pid"], report["shipper"]["others"]) == (shipper.pid, [])
            places.append(Path(report["shipper"]["directory"]))
            assert home not in places[-1].parents
    finally:
        for host in hosts:
            host.kill()
        for long in homes:
            kill_shippers_of(long)
        for place in places:
            shutil.rmtree(place)


# The account of a spool.


def _head(number: int, level: str = "on") -> Head:
    id_ = f"{number:032x}"
    return Head(
        id=id_,
        file=f"{number:020d}-{id_}.ndjson.zst",
        format="ndjson",
        compressed=True,
        content_type="application/x-ndjson",
        route="",
        catalog="acme-db/3",
        session="s",
        receipt=Receipt(level, "host", 0, "unknown"),
    )


def _fill(spool: Spool, number: int, events: int) -> ActiveSegment:
    active = spool.begin(_head(number))
    tally = Tally(emitted=events + 1, kept=events, dropped={"invalid": 1})
    active.append(b"{}\n" * events, tally, {"ab": DEAD})
    return active


def test_a_segment_counts_once_at_every_moment_of_its_sealing(tmp_path: Path) -> None:
    spool, _ = Spool.open(tmp_path / "spool", lambda *_: False)
    active = _fill(spool, 1, 10)
    marks = active.marks_path.read_bytes()

    def check() -> None:
        account = read_account(spool.directory)
        assert (account.tally.emitted, account.on_disk, account.balance) == (11, 10, 0)

    check()
    spool.seal(active, Tally())
    check()
    active.marks_path.write_bytes(marks)  # a crash between the ledger's line and the end of the marks
    check()


def test_marks_with_a_torn_tail_count_as_far_as_they_can_be_read(tmp_path: Path) -> None:
    spool, _ = Spool.open(tmp_path / "spool", lambda *_: False)
    active = _fill(spool, 1, 10)
    active.append(b"{}\n", Tally(emitted=1, kept=1), {})
    active.close()
    active.marks_path.write_bytes(active.marks_path.read_bytes()[:-5])
    assert read_account(spool.directory).on_disk == 10


STEPS: dict[str, Callable[[Spool, Any], object]] = {
    "ack": lambda spool, seal: spool.ack(seal, 1 << 20),
    "reject": lambda spool, seal: spool.quarantine(seal, "rejected"),  # type: ignore[arg-type] # a StrEnum's value
    "put back": lambda spool, _: spool.put_back(),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_the_account_is_the_ledgers_own_after_whatever_delivery_did(
    step: Callable[[Spool, Any], object], tmp_path: Path
) -> None:
    spool, _ = Spool.open(tmp_path / "spool", lambda *_: False)
    spool.seal(_fill(spool, 1, 10), Tally())
    seal = spool.take()
    step(spool, seal)
    _fill(spool, 2, 5).close()
    account, ledger = read_account(spool.directory), spool.log.read()
    assert account.balance == 0
    assert account.tally.emitted == ledger.tally.emitted + 6
    assert (account.delivered, account.on_disk) == (ledger.delivered, ledger.on_disk + 5)
