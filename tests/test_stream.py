"""Collectors beyond one machine: what is confirmed is in the stream, once, whatever happens to its servers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats
import pytest
import requests
from cluster.collectors import HEADERS, Collector, Uploads
from cluster.servers import NatsCluster
from endpoint_faults import certificates

from telemetry.collector.stream.create import Made
from telemetry.collector.stream.create import create as make_stream
from telemetry.collector.stream.link import Link
from telemetry.collector.stream.shape import Shape, config_of, differences, parse_stream, partition_of
from telemetry.collector.stream.source import StreamSource
from telemetry.collector.tables.source import Batch, SourceError
from telemetry.doctor.stream import examine_stream
from telemetry.errors import ConfigError
from telemetry.jetstream import Access, Servers

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parent.parent / "tools" / "deploy"
ID = "0123456789abcdef0123456789abcdef"
CATALOG = b"""
[catalog]
product = "acme-db"
version = 3
policy_url = "https://acme.example/privacy"
[events.started]
purpose = "count active installations"
owner = "platform team"
expires = "2099-12-31"
sensitivity = "technical"
"""


def create(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "telemetry", "stream", "create", url, *options]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "TELEMETRY_TOKEN": ""}
    )


def make(url: str, partitions: int = 8, replicas: int = 1, max_bytes: int | None = None) -> Made:
    """Make a stream in this process: to start another takes a second."""
    target, name = parse_stream(url)
    shape = Shape(partitions, replicas, max_bytes)
    return asyncio.run(make_stream(Servers(target, Access(), {}), name, shape))


def read(url: str, after: int = 0) -> list[Batch]:
    """All batches of a stream, partition by partition."""
    with source_of(url) as source:
        return [batch for partition in source.partitions() for batch in source.read(partition, after)]


@contextmanager
def source_of(url: str) -> Iterator[StreamSource]:
    source = StreamSource(url, Access(), {})
    try:
        yield source
    finally:
        source.close()


def ask(url: str, what: str, question: dict[str, Any] | None = None, seconds: float = 20) -> dict[str, Any]:
    """Ask JetStream in its own words."""

    async def asking() -> bytes:
        connection = await nats.connect(url.rpartition("/")[0], error_cb=_ignore)
        try:
            answer = await connection.request(f"$JS.API.{what}", json.dumps(question or {}).encode(), timeout=seconds)
            return bytes(answer.data)
        finally:
            await connection.close()

    answered: dict[str, Any] = json.loads(asyncio.run(asking()))
    assert "error" not in answered, answered
    return answered


async def _ignore(_: Exception) -> None:
    """Say nothing: the library would."""


def publish(url: str, subject: str, body: bytes, headers: dict[str, str], seconds: float = 20) -> None:
    async def publishing() -> None:
        connection = await nats.connect(url.rpartition("/")[0], error_cb=_ignore)
        try:
            await connection.jetstream().publish(subject, body, headers=headers, timeout=seconds)
        finally:
            await connection.close()

    asyncio.run(publishing())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    made = NatsCluster(tmp_path_factory.mktemp("one"), 1, max_payload="1MB")
    yield made
    made.end()


@pytest.fixture
def url(server: NatsCluster) -> str:
    made = f"{server.url}/s{secrets.token_hex(4)}"
    make(made, 4)
    return made


@pytest.fixture
def collector(url: str, tmp_path: Path) -> Iterator[Collector]:
    with Collector(tmp_path, url) as started:
        yield started


# ---- What is taken, and what is not ----


def test_a_body_goes_into_the_stream_unopened_with_what_its_upload_says(collector: Collector, url: str) -> None:
    answer = collector.post(ID, b"no zstd at all", Telemetry_Catalog=f"acme-db/3; sha256={'0' * 64}")
    assert answer.json() == {"batch": ID, "stored": True}
    (batch,) = read(url)
    assert (batch.batch, batch.body, batch.suffix) == (ID, b"no zstd at all", ".ndjson.zst")
    assert batch.ledger == "emitted=1; kept=1"
    assert (batch.catalog, batch.catalog_digest, batch.route) == ("acme-db/3", "0" * 64, "/v1/batches")
    assert batch.receipt is not None
    assert batch.receipt._asdict() == {"level": "on", "basis": "host", "notice": 0, "deployment": "cloud"}
    assert abs(batch.received.timestamp() - time.time()) < 300


def test_a_batch_that_comes_again_is_confirmed_and_kept_once(collector: Collector, url: str) -> None:
    assert [collector.post(ID, b"x").json()["stored"] for _ in range(3)] == [True, False, False]
    assert len(read(url)) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Telemetry_Consent": ""}, 403),
        ({"Telemetry_Consent": "level=local; basis=host; notice=0; deployment=cloud"}, 403),
        ({"Telemetry_Catalog": "no catalog"}, 400),
        ({"Content_Encoding": "br"}, 415),
    ],
)
def test_a_batch_without_a_receipt_or_with_other_headers_that_do_not_serve_is_refused(
    collector: Collector, url: str, headers: dict[str, str], status: int
) -> None:
    assert collector.post(ID, b"x", **headers).status_code == status
    assert read(url) == []


def test_a_body_beyond_what_the_servers_take_is_too_large_with_its_headers_too(collector: Collector, url: str) -> None:
    assert collector.post(ID, bytes(1 << 20)).status_code == 413
    assert collector.post(ID, bytes((1 << 20) - 100)).status_code == 413
    assert collector.post(ID, bytes((1 << 20) + 1)).status_code == 413
    assert collector.post(ID, bytes((1 << 20) - 2000)).status_code == 200
    assert len(read(url)) == 1


def test_a_full_stream_loses_nothing_and_asks_to_come_again(server: NatsCluster, tmp_path: Path) -> None:
    full = f"{server.url}/full"
    make(full, max_bytes=1 << 20)
    with Collector(tmp_path, full) as collector:
        answers = [collector.post(secrets.token_hex(16), bytes(200_000)) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [503] * 2
        assert answers[-1].headers["Retry-After"] == "60"
        assert collector.log.read_text().count("the stream is full") == 1
        health = requests.get(f"{collector.url}/healthz", timeout=20)
        assert (health.status_code, health.json()["reason"]) == (503, "the stream is full")
    assert len(read(full)) == 5


def test_more_than_may_be_held_is_asked_to_come_again(url: str, tmp_path: Path) -> None:
    with Collector(tmp_path, url, "--max-held-bytes", "100000") as collector:
        answer = collector.post(ID, bytes(200_000))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert collector.post(ID, bytes(90_000)).status_code == 200
        assert collector.post(secrets.token_hex(16), bytes(90_000)).status_code == 200, "what is stored is not held"
        assert "telemetry_collector_held_bytes 0.0" in requests.get(f"{collector.url}/metrics", timeout=20).text


def test_without_servers_it_asks_to_come_again_and_takes_batches_when_they_are_back(tmp_path: Path) -> None:
    server = NatsCluster(tmp_path, 1)
    url = f"{server.url}/telemetry"
    try:
        make(url)
        with Collector(tmp_path, url) as collector:
            assert collector.post(ID, b"x").status_code == 200
            server.kill(0)
            refused = collector.post(secrets.token_hex(16), b"y")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
            assert requests.get(f"{collector.url}/healthz", timeout=20).status_code == 503
            server.start(0)
            server.await_ready()
            assert collector.post(ID, b"x").json()["stored"] is False, "the server still knows it"
            assert collector.post(secrets.token_hex(16), b"y").status_code == 200
            deadline = time.monotonic() + 30  # an answer is given again for a moment
            while not requests.get(f"{collector.url}/healthz", timeout=20).json()["ok"]:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert "sesame" not in collector.log.read_text()
    finally:
        server.end()


def test_a_collector_may_start_before_the_servers(tmp_path: Path) -> None:
    server = NatsCluster(tmp_path, 1)
    url = f"{server.url}/telemetry"
    try:
        make(url)
        server.kill(0)
        with Collector(tmp_path, url) as collector:
            assert requests.get(f"{collector.url}/healthz", timeout=20).status_code == 503
            server.start(0)
            server.await_ready()
            assert collector.post(ID, b"x").status_code == 200
    finally:
        server.end()


# ---- Whom it lets in, and what it is called with ----


def _refused(*options: str) -> str:
    command = [sys.executable, "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", *options]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 2, told
    return told.stderr


def test_it_says_at_once_what_no_waiting_mends(server: NatsCluster, tmp_path: Path) -> None:
    assert "make it by: telemetry stream create" in _refused("--stream", f"{server.url}/none")
    assert "do not take the credentials" in _refused("--stream", f"{server.url}/none".replace("sesame", "wrong"))
    assert "give either --store DIR or --stream" in _refused("--stream", f"{server.url}/x", "--store", str(tmp_path))
    assert "names no stream" in _refused("--stream", f"{server.url}/a.b")
    ask(f"{server.url}/x", "STREAM.CREATE.other", {"name": "other", "subjects": ["other"]})
    assert "was not made for batches" in _refused("--stream", f"{server.url}/other")


def test_everything_is_encrypted_where_an_authority_is_named(tmp_path: Path) -> None:
    authority, leaf = tmp_path / "authority.pem", tmp_path / "server.pem"
    authority.write_bytes(certificates.authority_pem())
    certificates._certificate("good").private_key_and_cert_chain_pem.write_to_path(str(leaf))
    server = NatsCluster(tmp_path, 1, more=f'tls {{ cert_file: "{leaf}", key_file: "{leaf}", handshake_first: true }}')
    url = f"{server.url}/telemetry"
    try:
        told = create(url, "--replicas", "1", "--stream-ca-file", str(authority))
        assert told.returncode == 0, told.stderr
        with Collector(tmp_path, url, "--stream-ca-file", str(authority)) as collector:
            assert collector.post(ID, b"x").status_code == 200
        assert "SSL" in create(url, "--replicas", "1", "--stream-ca-file", "/etc/ssl/certs/ca-certificates.crt").stderr
    finally:
        server.end()


def test_no_user_of_the_servers_file_may_do_more_than_its_part(tmp_path: Path) -> None:
    said = (DEPLOY / "nats-server.conf").read_text()
    (users,) = re.findall(r"users = \[(.*)\]\n}", said, re.DOTALL)
    users = re.sub(r"\$NATS_[A-Z]+", "sesame", users)
    server = NatsCluster(tmp_path, 1, users="{ user: fleet, password: sesame } " + users)
    (tmp_path / "acme.toml").write_bytes(CATALOG)
    owner, collector, loader = (
        f"{server.url.replace('fleet', user)}/telemetry" for user in ("owner", "collector", "loader")
    )
    try:
        make(owner)
        with Collector(tmp_path, collector, "--catalog", str(tmp_path / "acme.toml")) as started:
            assert started.post(ID, b"x").status_code == 200
            with source_of(loader) as source:
                _await_catalogs(source)
        assert [batch.batch for batch in read(loader)] == [ID]
        for user, what in [
            (collector, "DIRECT.GET.telemetry"),
            (collector, "STREAM.MSG.GET.telemetry"),
            (collector, "CONSUMER.CREATE.telemetry"),
            (collector, "STREAM.DELETE.telemetry"),
            (loader, "STREAM.DELETE.telemetry"),
            (loader, "STREAM.PURGE.telemetry"),
        ]:
            with pytest.raises(nats.errors.TimeoutError):  # nobody hears what a server does not let pass
                ask(user, what, seconds=0.3)
        with pytest.raises(nats.errors.TimeoutError):
            publish(loader, "telemetry.0", b"x", {}, seconds=0.3)
        assert len(read(loader)) == 1
    finally:
        server.end()


# ---- The stream's shape ----


def test_a_stream_is_made_as_it_must_be_and_again_as_it_is(server: NatsCluster) -> None:
    url = f"{server.url}/shaped"
    first, again = (json.loads(create(url, "--replicas", "1", "--json").stdout) for _ in range(2))
    assert (first["is_new"], again["is_new"], again["partitions"]) == (True, False, 8)
    config = ask(url, "STREAM.INFO.shaped")["config"]
    assert (config["discard"], config["storage"], config["max_age"]) == ("new", "file", 14 * 86_400 * 10**9)
    assert config["subjects"] == [f"shaped.{number}" for number in range(8)]


def test_another_number_of_partitions_is_refused_and_other_settings_are_brought_in_order(server: NatsCluster) -> None:
    url = f"{server.url}/fixed"
    make(url, max_bytes=8 << 20)
    told = create(url, "--replicas", "1", "--partitions", "9")
    assert (told.returncode, "has 8 partitions, for ever" in told.stderr) == (2, True)
    config = ask(url, "STREAM.INFO.fixed")["config"]
    ask(url, "STREAM.UPDATE.fixed", {**config, "discard": "old", "max_age": 0})
    assert make(url).is_new is False
    mended = ask(url, "STREAM.INFO.fixed")["config"]
    assert (mended["discard"], mended["max_bytes"], mended["metadata"]) == ("new", 8 << 20, config["metadata"])


def test_what_of_a_stream_is_not_as_it_must_be_is_told() -> None:
    good = config_of("s", Shape(4, 3), "0")
    assert list(differences("s", good)) == []
    assert list(differences("s", good.evolve(num_replicas=1, max_age=60.0))) == [
        ("max_age", 60.0, 14 * 86_400.0),
        ("num_replicas", 1, 3),
    ]


def test_batches_spread_over_all_partitions_evenly_and_for_ever() -> None:
    counts = [0] * 8
    for _ in range(8000):
        counts[partition_of(secrets.token_hex(16), 8)] += 1
    assert min(counts) > 800
    assert partition_of(ID, 8) == 6, "another language's loader counts on it: CRC-32"


@pytest.mark.parametrize("url", ["nats://a/", "nats://a/b.c", "kafka://a/b", "http://a/b", "a", "nats://u:secret@a/ b"])
def test_what_names_no_stream_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_stream(url)
    assert "secret" not in str(refused.value)


# ---- Reading ----


def test_each_partition_is_read_in_order_beyond_a_sequence_page_by_page(
    collector: Collector, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telemetry.collector.stream.source._PAGE_MESSAGES", 3)
    ids = [secrets.token_hex(16) for _ in range(40)]
    for id_ in ids:
        assert collector.post(id_, id_.encode()).status_code == 200
    with source_of(url) as source:
        names = source.partitions()
        by_partition = {name: list(source.read(name, 0)) for name in names}
        assert sorted(batch.batch for batches in by_partition.values() for batch in batches) == sorted(ids)
        for number, (name, batches) in enumerate(by_partition.items()):
            assert [batch.batch for batch in batches] == [id_ for id_ in ids if partition_of(id_, 4) == number]
            assert all(batch.body == batch.batch.encode() for batch in batches)
            middle = batches[len(batches) // 2].sequence
            assert list(source.read(name, middle)) == [batch for batch in batches if batch.sequence > middle]
            assert source.first(name) == 1
        late = secrets.token_hex(16)
        collector.post(late, b"late")
        name = names[partition_of(late, 4)]
        assert [batch.batch for batch in source.read(name, by_partition[name][-1].sequence)] == [late]
    with source_of(url) as source:
        assert source.partitions() == names, "the same at every start"


def test_what_the_stream_no_longer_holds_is_seen_by_its_first_sequence(collector: Collector, url: str) -> None:
    for _ in range(5):
        collector.post(secrets.token_hex(16), b"x")
    ask(url, f"STREAM.PURGE.{url.rpartition('/')[2]}", {"seq": 4})
    with source_of(url) as source:
        assert {source.first(name) for name in source.partitions()} == {4}
        assert sorted(batch.sequence for batch in read(url)) == [4, 5]
        ask(url, f"STREAM.PURGE.{url.rpartition('/')[2]}")
        assert {source.first(name) for name in source.partitions()} == {6}, "the next one"


def test_a_stream_made_anew_has_other_partitions_and_one_that_went_back_is_refused(url: str) -> None:
    with source_of(url) as source:
        before = source.partitions()
        with pytest.raises(SourceError, match="ends at 0, and 7 was read from it before"):
            list(source.read(before[0], 7))
    ask(url, f"STREAM.DELETE.{url.rpartition('/')[2]}")
    make(url, 4)
    with source_of(url) as source:
        assert set(source.partitions()).isdisjoint(before)


def test_what_is_no_batch_comes_without_a_receipt(url: str) -> None:
    name = url.rpartition("/")[2]
    publish(url, f"{name}.1", b"rubbish", {"Some": "header"})
    publish(url, f"{name}.1", b"no receipt", {"Nats-Msg-Id": ID, **HEADERS, "Telemetry-Consent": "level=off"})
    batches = read(url)
    assert [(batch.receipt, batch.body) for batch in batches] == [(None, b"rubbish"), (None, b"no receipt")]
    assert [batch.batch for batch in batches] == [f"{1:032x}", ID]


def test_loaders_find_the_catalogs_that_collectors_were_given(url: str, tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_bytes(CATALOG)
    for _ in range(2):
        with Collector(tmp_path, url, "--catalog", str(tmp_path / "acme.toml")), source_of(url) as source:
            _await_catalogs(source)


def _await_catalogs(source: StreamSource) -> None:
    deadline = time.monotonic() + 30
    while list(source.catalogs()) != [CATALOG]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_loader_is_told_of_a_stream_without_its_password(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "telemetry", "load", "--tables", str(tmp_path / "tables")]
    environ = {**os.environ, "TELEMETRY_TOKEN": "", "TELEMETRY_STREAM": url}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert (told.returncode, "keeps no catalog" in told.stderr, "sesame" in told.stderr) == (2, True, False)
    (tmp_path / "acme.toml").write_bytes(CATALOG)
    command += ["--catalog", str(tmp_path / "acme.toml"), "--partition", "4"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert (told.returncode, "there is no partition 4; there are " in told.stderr) == (2, True)


# ---- What doctor says ----


def _said(url: str, *monitors: str) -> list[tuple[str, str, str]]:
    return [(step.step, str(step.verdict), step.found) for step in examine_stream(url, Access(), monitors, {})]


def test_doctor_says_what_of_a_stream_and_its_servers_is_as_it_must_be(server: NatsCluster, url: str) -> None:
    name = url.rpartition("/")[2]
    said = _said(url, server.monitors[0])
    assert [verdict for _, verdict, _ in said] == ["note", "good", "note", "good", "note"]
    assert said[0][2].endswith("takes messages of up to 1048576 bytes")
    assert said[1] == ("stream", "good", f"{name} has 4 partitions and is as it must be")
    assert "up to 120 s before they are on its disk" in said[4][2]

    ask(url, f"STREAM.UPDATE.{name}", {**ask(url, f"STREAM.INFO.{name}")["config"], "discard": "old", "max_age": 0})
    ask(url, f"STREAM.DELETE.KV_{name}_catalogs")
    faults = [found for _, verdict, found in _said(url) if verdict == "fault"]
    assert faults == [
        f"{name}: discard is old, and must be new",
        f"{name}: max_age is 0.0, and must be {14 * 86_400.0}",
        f"{name} has no bucket for catalogs",
    ]
    make(url, 4)
    assert not [found for _, verdict, found in _said(url) if verdict == "fault"]


def test_doctor_names_what_is_in_the_way_of_a_stream(server: NatsCluster) -> None:
    assert "there is no such stream" in _said(f"{server.url}/none")[1][2]
    assert "do not take the credentials" in _said(f"{server.url}/none".replace("sesame", "wrong"))[0][2]
    command = [sys.executable, "-m", "telemetry", "doctor", "--json", "--stream", "nats://u:sesame@127.0.0.1:1/x"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (told.returncode, "sesame" in told.stdout) == (1, False)
    assert "ConnectionRefusedError" in json.loads(told.stdout)["steps"][0]["found"]


# ---- Three servers ----


def test_every_confirmed_batch_is_there_once_though_its_leader_is_killed_under_load(tmp_path: Path) -> None:
    servers = NatsCluster(tmp_path)
    url = f"{servers.url}/telemetry"
    try:
        assert make(url, replicas=3).replicas == 3
        with Collector(tmp_path, url) as one, Collector(tmp_path, url) as two:
            uploads = Uploads([one.url, two.url], 8, bytes(4096))
            _await_more(uploads, 100)
            leader = servers.leader("telemetry")
            servers.kill(leader)
            _await_more(uploads, len(uploads.confirmed) + 100)  # by the two that are left
            deadline = time.monotonic() + 120
            while f"s{leader} is away or behind" not in str(_said(url)):
                assert time.monotonic() < deadline
            servers.start(leader)
            servers.await_ready()
            _await_more(uploads, len(uploads.confirmed) + 100)
            uploads.end(120)
        stored = [batch.batch for batch in read(url)]
        assert uploads.confirmed <= set(stored)
        assert len(stored) == len(set(stored))
        assert set(uploads.answers) <= {0, 200, 503}
    finally:
        servers.end()


def _await_more(uploads: Uploads, confirmed: int) -> None:
    deadline = time.monotonic() + 120
    while len(uploads.confirmed) < confirmed:
        assert time.monotonic() < deadline, uploads.answers
        time.sleep(0.05)


def test_a_connection_that_ended_without_a_word_is_made_anew(url: str) -> None:
    async def use() -> tuple[bool, bool, bool]:
        target, name = parse_stream(url)
        link = Link(Servers(target, Access(), {}), name)
        first = await link.line()
        # As the library does where the connection breaks while bytes are on their way: its last flush raises.
        first.connection._closed_cb = None
        await first.connection._close(first.connection.CLOSED)
        was_told = first.is_closed.done()
        second = await link.line()
        await second.jetstream.stream_info(name)
        found = was_told, first.is_closed.done(), second is first
        await link.close()
        return found

    assert asyncio.run(use()) == (False, True, False)
