"""Catalogs by digest: an event is read by the catalog that its host was started with, whatever is installed since."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from typing import TYPE_CHECKING, Any

import msgpack
import msgspec
import pytest
from conftest import CATALOG, kill_shippers_of, wait_until
from spools import decompress

from telemetry.catalog import copies
from telemetry.catalog.load import load
from telemetry.errors import CatalogError, ConfigError
from telemetry.inspect.contents import catalogs_in, find_segments, read_batch
from telemetry.inspect.erase import erase_product
from telemetry.paths import product_dir
from telemetry.settings import ShipperSettings
from telemetry.shipper.catalogs import Catalogs
from telemetry.shipper.config import ShipperConfig, read_config
from telemetry.shipper.delivery.preview import Source as SpoolSource
from telemetry.shipper.shipper import Shipper
from telemetry.shipper.sockets import bind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Collector, StartHost

PRODUCT = "acme-db"
NEWER = CATALOG.replace("version = 3", "version = 4").replace('"batch", "stream"', '"batch", "stream", "vscode"')
CONTEXT: dict[str, Any] = {"pid": os.getpid(), "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}


def keep(text: str, original: Path) -> str:
    original.write_text(text)
    copies.keep(PRODUCT, text.encode(), original)
    return copies.digest_of(text.encode())


def config_of(catalog: Path, **more: Any) -> ShipperConfig:
    return ShipperConfig(PRODUCT, catalog, "http://127.0.0.1:9/", ShipperSettings(), **more)


@pytest.fixture
def file(home: Path, tmp_path: Path) -> Path:
    """A catalog of this home's product."""
    assert home.exists()
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


def _make_pipe(copy: Path) -> None:
    copy.unlink()
    os.mkfifo(copy)


class Running:
    """A shipper in this process, fed with frames."""

    def __init__(self, config: ShipperConfig, home: Path) -> None:
        self.sockets = bind(home)
        self.shipper = Shipper(config, self.sockets, home, spawned=False)
        self._first: dict[bytes, int] = {}

    def take_in(self, catalog: str, producer: bytes = b"p" * 16, **fields: object) -> None:
        first = self._first.get(producer, 0)
        self._first[producer] = first + 1
        events = [["query_finished", time.time_ns(), fields]]
        self.shipper._intake.take([msgpack.packb([1, producer, {**CONTEXT, "catalog": catalog}, first, {}, events])])

    def sealed(self) -> list[tuple[str, str, list[dict[str, Any]]]]:
        """What was sealed, by catalog."""
        self.shipper._intake.seal_all()
        spool = self.shipper._spool.directory
        batches = [read_batch(spool, found) for found in find_segments(spool)]
        return [
            (
                batch.seal.head.catalog,
                batch.seal.head.catalog_digest,
                [json.loads(line) for line in decompress(batch.data).splitlines()],
            )
            for batch in batches
        ]

    def close(self) -> None:
        self.shipper._sink.close()
        self.shipper._spool.close()
        self.shipper._catalogs.close()
        self.sockets.close()


@pytest.fixture
def running(file: Path, home: Path) -> Iterator[Running]:
    made = Running(config_of(file), home)
    yield made
    made.close()


def test_a_collecting_host_keeps_a_copy_once_that_only_its_user_can_read(
    start_host: StartHost, refusing: str, home: Path
) -> None:
    start_host(refusing)
    (copy,) = (home / "state" / PRODUCT / "catalogs").iterdir()
    assert copy.read_text() == CATALOG
    assert copy.name == copies.digest_of(CATALOG.encode())
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    first = copy.stat()
    start_host(refusing)
    assert copy.stat().st_ino == first.st_ino


def test_a_host_that_says_no_keeps_none(file: Path, home: Path, refusing: str) -> None:
    from telemetry.client import Client  # noqa: PLC0415 with the environment of `home`

    Client(product=PRODUCT, catalog=file, endpoint=refusing, consent="off").close()
    assert not list(home.rglob("catalogs"))


def test_each_event_is_read_by_the_catalog_that_its_host_named(running: Running, tmp_path: Path) -> None:
    newer = keep(NEWER, tmp_path / "newer.toml")
    older = copies.digest_of(CATALOG.encode())
    running.take_in(older, engine="vscode")
    running.take_in(newer, b"q" * 16, engine="vscode")
    running.take_in(older, engine="batch")
    by_label = {label: (digest, [event["engine"] for event in events]) for label, digest, events in running.sealed()}
    assert by_label == {"acme-db/3": (older, ["other", "batch"]), "acme-db/4": (newer, ["vscode"])}


def test_a_catalog_replaced_in_place_relabels_nothing(file: Path, home: Path) -> None:
    older = keep(CATALOG, file)
    file.write_text(NEWER)
    running = Running(config_of(file, catalog_digest=older), home)
    try:
        running.take_in(older, engine="vscode")
        ((label, digest, (event,)),) = running.sealed()
        assert (label, digest, event["engine"]) == ("acme-db/3", older, "other")
    finally:
        running.close()


def test_an_event_of_a_catalog_that_is_not_here_is_dropped_as_undeclared(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        running.take_in("ab" * 32, engine="batch")
    assert running.sealed() == []
    ledger = running.shipper._spool.ledger()
    assert (ledger.tally.dropped, ledger.balance) == ({"undeclared": 3}, 0)
    assert len([line for line in caplog.messages if "abababababab" in line]) == 1


def test_a_host_on_another_machine_chooses_among_the_configured_ones_alone(file: Path, home: Path) -> None:
    kept = keep(NEWER, file.with_name("kept.toml"))
    older_file = file.with_name("older.toml")
    older_file.write_text(CATALOG.replace("version = 3", "version = 2"))
    catalogs = Catalogs(config_of(file, older_catalogs=(older_file,)))
    older = copies.digest_of(older_file.read_bytes())
    assert home.exists()
    assert catalogs.find(kept, is_remote=True) is catalogs.nothing
    assert catalogs.find(older, is_remote=True).label == "acme-db/2"
    assert catalogs.find(kept).label == "acme-db/4"
    catalogs.close()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda copy: copy.write_bytes(bytes(copy.stat().st_size)), id="zeros"),
        pytest.param(lambda copy: copy.write_text(NEWER), id="another catalog"),
        pytest.param(
            lambda copy: (copy.rename(copy.with_name("x")), copy.symlink_to(copy.with_name("x"))), id="a link"
        ),
        pytest.param(_make_pipe, id="a pipe"),
        pytest.param(lambda copy: (copy.unlink(), copy.mkdir()), id="a directory"),
    ],
)
def test_a_copy_that_is_not_what_its_name_says_is_not_read(file: Path, spoil: Any) -> None:
    digest = keep(CATALOG, file)
    spoil(product_dir(PRODUCT) / "catalogs" / digest)
    assert copies.read(PRODUCT, digest) is None


def test_what_a_power_cut_has_made_of_a_copy_is_kept_anew(file: Path) -> None:
    digest = keep(CATALOG, file)
    copy = product_dir(PRODUCT) / "catalogs" / digest
    copy.write_bytes(bytes(copy.stat().st_size))
    assert copies.read(PRODUCT, digest) is None
    keep(CATALOG, file)
    found = copies.read(PRODUCT, digest)
    assert found
    assert found.data == CATALOG.encode()
    os.close(found.lock)


@pytest.mark.parametrize("name", ["", "x", "../../consent.json", "AB" * 32, "ab" * 33, "ab" * 31 + "/."])
def test_no_name_leads_out_of_the_folder(home: Path, name: str) -> None:
    assert home.exists()
    assert copies.read(PRODUCT, name) is None


def test_a_copy_stays_while_a_segment_or_a_shipper_names_it(running: Running, tmp_path: Path) -> None:
    named, held, old = (
        keep(CATALOG.replace("version = 3", f"version = {number}"), tmp_path / f"{number}.toml") for number in (5, 6, 7)
    )
    running.take_in(named, engine="batch")
    running.sealed()
    found = copies.read(PRODUCT, held)
    assert found
    later = time.time() + 2 * copies.KEEP_SECONDS
    own = running.shipper._catalogs.own.digest
    spool = running.shipper._spool.directory
    copies.drop_unnamed(PRODUCT, lambda: catalogs_in(spool))
    assert {copy.name for copy in (product_dir(PRODUCT) / "catalogs").iterdir()} == {own, named, held, old}
    copies.drop_unnamed(PRODUCT, lambda: None, later)
    assert {copy.name for copy in (product_dir(PRODUCT) / "catalogs").iterdir()} == {own, named, held, old}
    copies.drop_unnamed(PRODUCT, lambda: catalogs_in(spool), later)
    assert {copy.name for copy in (product_dir(PRODUCT) / "catalogs").iterdir()} == {named, held}
    os.close(found.lock)


def test_purge_takes_the_copies(file: Path) -> None:
    keep(CATALOG, file)
    erase_product(PRODUCT)
    assert not product_dir(PRODUCT).exists()


def test_a_shipper_that_is_respawned_after_the_file_was_replaced_reads_by_the_copy(
    home: Path, tmp_path: Path, start_host: StartHost, collector: Collector
) -> None:
    host = start_host(collector.endpoint, segment_seconds=0.1)
    host.emit(1, engine="batch")
    (tmp_path / "acme.toml").write_text(NEWER)
    kill_shippers_of(home)
    host.emit(1, engine="stream")  # may be lost on its way to the one that was killed
    host.emit(1, engine="stream")
    host.leave()
    records = collector.store / "batches"
    wait_until(lambda: len(list(records.glob("*.ndjson.zst"))) >= 2)
    found = [json.loads(path.read_text()) for path in records.glob("*.json")]
    assert {record["catalog"] for record in found} == {"acme-db/3"}
    assert {record["catalog_digest"] for record in found} == {copies.digest_of(CATALOG.encode())}


def test_the_header_tells_product_version_and_digest(running: Running) -> None:
    digest = copies.digest_of(CATALOG.encode())
    running.take_in(digest, engine="batch")
    running.sealed()
    source = SpoolSource(running.shipper._spool.directory, None)
    (found,) = find_segments(source.directory)
    batch = source.read(found)
    assert batch
    assert ("Telemetry-Catalog", f"acme-db/3; sha256={digest}") in source.show(batch).request.headers


def test_a_segment_of_a_version_without_digests_is_read(running: Running) -> None:
    running.take_in("", engine="batch")
    running.sealed()
    (found,) = find_segments(running.shipper._spool.directory)
    head = read_batch(running.shipper._spool.directory, found).seal.head
    assert running.shipper._catalogs.of_segment(head) is running.shipper._catalogs.own.catalog
    bare = msgspec.structs.replace(head, catalog_digest="")
    assert running.shipper._catalogs.of_segment(bare) is running.shipper._catalogs.own.catalog
    assert running.shipper._catalogs.of_segment(msgspec.structs.replace(bare, catalog="acme-db/9")) is None


def test_a_shipper_refuses_another_products_catalog(file: Path) -> None:
    file.write_text(CATALOG.replace("acme-db", "shop"))
    with pytest.raises(ConfigError, match="'shop', not of 'acme-db'"):
        Catalogs(config_of(file))


def test_a_file_replaced_where_no_copy_could_be_kept_is_said(file: Path) -> None:
    with pytest.raises(CatalogError, match="was replaced after its host had started"):
        Catalogs(config_of(file, catalog_digest="ab" * 32))


def test_a_persons_configuration_names_older_catalogs_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ship.toml"
    path.write_text('product = "a"\ncatalog = "a.toml"\nendpoint = "https://h/"\nolder_catalogs = ["a-2.toml"]\n')
    assert read_config(path).older_catalogs == (tmp_path / "a-2.toml",)
    path.write_text('product = "a"\ncatalog = "a.toml"\nendpoint = "https://h/"\nolder_catalogs = "a-2.toml"\n')
    with pytest.raises(ConfigError, match="older_catalogs must be a list"):
        read_config(path)


def test_a_catalog_dated_in_the_future_counts_as_written_when_this_machine_wrote_it(file: Path) -> None:
    ahead = time.time() + 4e9
    os.utime(file, (ahead, ahead))
    assert copies.written_unix_seconds(file) <= time.time()
    copies.keep(PRODUCT, CATALOG.encode(), file)
    catalogs = Catalogs(config_of(file, catalog_digest=copies.digest_of(CATALOG.encode())))
    assert catalogs.own.written.year < 2100
    catalogs.close()


def test_a_rolling_deploy_stops_no_upload(
    running: Running, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(tmp_path / "acme.toml").version == 3
    newer = keep(NEWER.replace("[events.query_finished.fields]", FIELDS), tmp_path / "newer.toml")
    monkeypatch.setattr("telemetry.shipper.own_names.OwnNames.covers", lambda *_: True)
    assert home.exists()
    spool, tripwire = running.shipper._spool, running.shipper._tripwire
    for _ in range(2):
        running.shipper._intake.take(
            [_frame_of("vscode", newer, {"engine": "vscode", "detail": "the vscode plugin failed"})]
        )
        running.shipper._intake.renew_session()
    while (seal := spool.take()) is not None:
        body = spool.read(seal)
        assert body
        assert tripwire.passes(seal, body)
        spool.ack(seal, 0)
    assert (tripwire.state, tripwire.hits) == ("armed", 0)


FIELDS = '[events.query_finished.fields]\ndetail = { type = "text", max_length = 200, purpose = "why it failed" }'
_numbers = iter(range(100))


def _frame_of(user: str, catalog: str, fields: dict[str, object]) -> bytes:
    context = {**CONTEXT, "catalog": catalog, "names": {"user": [user]}}
    producer = f"{next(_numbers):016d}".encode()
    packed: bytes = msgpack.packb([1, producer, context, 0, {}, [["query_finished", time.time_ns(), fields]]])
    return packed


# Replaced under a shipper in the foreground.


def test_a_configured_catalog_that_is_replaced_is_taken_and_the_one_before_still_known(file: Path) -> None:
    catalogs = Catalogs(config_of(file))
    before = catalogs.own
    assert not catalogs.renew_own(file)
    file.write_text("[catalog]\nproduct = 5\n")
    assert not catalogs.renew_own(file)
    assert catalogs.own == before, "one with faults is passed over"
    file.write_text(NEWER)
    assert catalogs.renew_own(file)
    assert not catalogs.renew_own(file)
    assert catalogs.own.label == "acme-db/4"
    assert catalogs.find(before.digest, is_remote=True) == before
    assert catalogs.find(catalogs.own.digest, is_remote=True) == catalogs.own
    file.unlink()
    assert not catalogs.renew_own(file)
    catalogs.close()


def test_a_configured_catalog_is_kept_and_read_by_after_it_was_replaced_and_the_shipper_started_anew(
    running: Running, file: Path
) -> None:
    """A host on another machine, or in another language, keeps no copy."""
    running.take_in("", engine="batch")
    running.sealed()
    (found,) = find_segments(running.shipper._spool.directory)
    head = read_batch(running.shipper._spool.directory, found).seal.head
    before = running.shipper._catalogs.own
    file.write_text(NEWER)
    catalogs = Catalogs(config_of(file))
    assert catalogs.own.label == "acme-db/4"
    assert catalogs.of_segment(head) == before.catalog
    assert copies.path_of(PRODUCT, before.digest).stat().st_mode & 0o777 == 0o600
    catalogs.close()


def test_a_shipper_serves_without_a_disk_for_copies(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copies, "keep", refuse)
    catalogs = Catalogs(config_of(file))
    assert catalogs.own.label == "acme-db/3"
    catalogs.close()
