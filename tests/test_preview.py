"""`telemetry preview`: what it prints is what goes over the wire, byte for byte, and it changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from click.testing import CliRunner
from conftest import Collector, Host, StartHost, made_in, wait_until
from spools import decompress

from telemetry.cli.preview import EXIT_GONE, preview
from telemetry.consent import State, store_choice
from telemetry.drops import DropReason
from telemetry.inspect import contents
from telemetry.paths import spool_dir
from telemetry.receipt import Receipt
from telemetry.shipper.delivery.preview import NOT_KNOWN, NOT_SEALED, Source
from telemetry.shipper.delivery.uploader import halve
from telemetry.shipper.encode import open_format
from telemetry.shipper.encode import telemetry_pb2 as pb
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.encode.otlp import envelope, otlp
from telemetry.spool import segment
from telemetry.spool.segment import Head, Seal, load
from telemetry.spool.spool import Spool
from telemetry.spool.stream import ENDINGS
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from click.testing import Result

PRODUCT = "acme-db"
ENDPOINT = "http://127.0.0.1:9/v1/batches"
SEALED, ACTIVE, SENT, QUARANTINED, LOCAL, ACTIVE_LOCAL = (f"{number:x}" * 32 for number in range(1, 7))

CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.failed]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.failed.fields]
detail = { type = "text", max_length = 60, purpose = "tests" }
table = { type = "identifier", purpose = "tests" }
rows = { type = "int", purpose = "tests" }
"""


# Equality with what a server got.


class _Wire:
    """A server that keeps what it is sent as it comes off the socket, and answers by its script."""

    def __init__(self, *script: int) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self._script = iter(script)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}/v1/batches"
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(1 << 16)
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        while len(body) < int(length[1]):
            body += connection.recv(1 << 16)
        self.requests.append((head, body))
        connection.sendall(b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % next(self._script, 200))


def _command(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "telemetry", "preview", "--product", PRODUCT, *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def _request_of(output: bytes) -> tuple[bytes, bytes]:
    """Head and body of the one request printed: all that is no remark."""
    lines = [line for line in output.strip(b"\n").split(b"\n") if not line.startswith(b"#")]
    head, _, body = b"\n".join(lines).lstrip(b"\n").partition(b"\n\n")
    return head, body.rstrip(b"\n") + b"\n"


def _emit_failures(host: Host) -> None:
    host.emit(2, "failed", detail="no route to 10.1.17.3", table="canary_table", rows=5)
    host.emit(1, "failed", detail="mail bob@acme.example or 10.1.17.3", rows="x", canary_field=1)


def test_it_prints_what_the_server_gets_byte_for_byte(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TELEMETRY_TOKEN", "canary-token")
    monkeypatch.setattr("conftest.CATALOG", CATALOG)
    assert tmp_path.exists()
    with _Wire(503) as wire:
        host = start_host(wire.endpoint, retry_min_seconds=3600.0, retry_max_seconds=3600.0)
        _emit_failures(host)
        host.leave()
        wait_until(lambda: wire.requests)
        waiting, raw = _command(), _command("--raw")
        ((head, body),) = wire.requests

    assert (waiting.returncode, waiting.stderr, raw.returncode, raw.stderr) == (0, b"", 0, b"")
    assert _request_of(waiting.stdout) == (
        head.replace(b"\r\n", b"\n").replace(b"canary-token", b"[secret]"),
        decompress(body),
    )
    assert b"Bearer [secret]" in waiting.stdout
    assert hashlib.sha256(body).hexdigest().encode() in waiting.stdout
    assert raw.stdout == body
    assert b"canary" not in waiting.stdout
    rows = [line[2:].split() for line in waiting.stdout.decode().splitlines() if line.startswith("# failed.")]
    assert rows == [
        ["failed.[field]", "removed:", "undeclared", "1"],
        ["failed.detail", "email", "1"],
        ["failed.detail", "ip", "3"],
        ["failed.rows", "removed:", "invalid", "1"],
        ["failed.table", "identifier", "2"],
    ]


def test_from_sent_it_prints_what_went(start_host: StartHost, home: Path) -> None:
    with _Wire() as wire:
        host = start_host(wire.endpoint)
        host.emit(3)
        host.leave()
        wait_until(lambda: list(home.glob("state/*/spool-*/sent/*.zst")))
        ((head, body),) = wire.requests
        assert _command().stdout.count(b"POST") == 0
        sent, raw = _command("--sent"), _command("--sent", "--raw")

    assert _request_of(sent.stdout) == (head.replace(b"\r\n", b"\n"), decompress(body))
    assert b"# sent: went like this" in sent.stdout
    assert raw.stdout == body


# The states of a spool, without a shipper.


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(preview, ["--product", PRODUCT, *arguments], catch_exceptions=False)


def _rows(*arguments: str) -> dict[str, dict[str, Any]]:
    result = _run("--json", *arguments)
    assert result.exit_code == 0
    return {row["id"]: row for row in map(json.loads, result.stdout.splitlines())}


def _head(id_: str, level: str, format_: str = "ndjson", route: str = "") -> Head:
    format_of = open_format(format_, "compute")
    suffix = format_of.suffix + ENDINGS[format_of.compression]
    return Head(
        id=id_,
        file=f"{int(id_[0], 16):020d}-{id_}{suffix}",
        format=format_,
        compressed=format_of.compression != "none",
        content_type=format_of.content_type,
        route=route,
        catalog="acme-db/3",
        session="0123abcd",
        receipt=Receipt(level, "host", 0, "unknown"),
    )


def _begin(spool: Spool, id_: str, level: str = "on", body: bytes = b"") -> segment.ActiveSegment:
    """An active segment of three events, or of the body given."""
    active = spool.begin(_head(id_, level))
    for number in range(3):
        tally = Tally(emitted=2, kept=1, dropped={"invalid": 1})
        tally.redact("failed.detail", "ip")
        active.append(body or b'{"event":"failed","number":%d}\n' % number, tally, {})
    return active


@pytest.fixture
def opened(home: Path) -> Iterator[Spool]:
    assert home.exists()
    spool, _ = Spool.open(spool_dir(PRODUCT, ENDPOINT), lambda *_: False)
    yield spool
    spool.close()


@pytest.fixture
def full(opened: Spool) -> Path:
    """A spool with a segment in each state."""
    for id_ in (SENT, QUARANTINED):
        opened.seal(_begin(opened, id_), Tally())
        seal = opened.take()
        assert seal
        if id_ == SENT:
            opened.ack(seal, 1 << 20)
        else:
            opened.quarantine(seal, DropReason.REJECTED)
    opened.seal(_begin(opened, LOCAL, "local"), Tally())
    opened.seal(_begin(opened, SEALED), Tally(emitted=6, kept=3, dropped={"invalid": 3}))
    _begin(opened, ACTIVE).close()
    _begin(opened, ACTIVE_LOCAL, "local").close()
    opened.close()
    return opened.directory


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The file of a shipper in the foreground."""
    path = tmp_path / "ship.toml"
    path.write_text(f'product = "{PRODUCT}"\ncatalog = "acme.toml"\nendpoint = "{ENDPOINT}"\n')
    return str(path)


def _tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in directory.rglob("*")
    }


def test_what_waits_is_shown_and_what_else_there_is_is_counted(full: Path) -> None:
    assert full.exists()
    result = _run()
    assert list(_rows()) == [SEALED, ACTIVE, ACTIVE_LOCAL]
    assert "# not shown: 1 local, 1 quarantine, 1 sent" in result.stdout
    assert list(_rows("--sent")) == [SENT, SEALED, ACTIVE, ACTIVE_LOCAL]


def test_each_batch_says_what_becomes_of_it(full: Path) -> None:
    assert full.exists()
    rows = _rows("--all")
    assert {id_: row["state"] for id_, row in rows.items()} == {
        SENT: "sent",
        SEALED: "sealed",
        ACTIVE: "active",
        ACTIVE_LOCAL: "local",
        LOCAL: "local",
        QUARANTINED: "quarantined",
    }
    text = _run("--all").stdout
    assert text.count("is never sent") == 2
    assert text.count("is no longer sent") == 1


def test_it_changes_nothing(full: Path, home: Path) -> None:
    assert full.exists()
    before = _tree(home)
    _run("--all")
    _run("--all", "--json")
    _run("--batch", SEALED, "--raw")
    assert _tree(home) == before


def test_where_nothing_is_nothing_is_shown_or_made(home: Path) -> None:
    result = _run()
    assert (result.exit_code, result.stdout) == (0, "")
    assert not made_in(home)


def test_of_an_active_one_what_is_not_settled_is_left_open(full: Path) -> None:
    headers = dict(_rows("--batch", ACTIVE)[ACTIVE]["request"]["headers"])
    assert (headers["Content-Length"], headers["Telemetry-Ledger"]) == (NOT_SEALED, NOT_SEALED)
    assert headers["Idempotency-Key"] == ACTIVE
    result = _run("--batch", ACTIVE, "--raw")
    (file,) = full.glob(f"active/*{ACTIVE}.ndjson.zst")
    assert result.stdout_bytes == file.read_bytes()


def test_an_endpoint_that_nobody_left_word_of_is_said_to_be_unknown(full: Path, config: str) -> None:
    assert full.exists()
    row = _rows("--batch", SEALED)[SEALED]
    assert row["endpoint"] is None
    assert row["request"]["line"] == f"POST {NOT_KNOWN} HTTP/1.1"
    assert dict(row["request"]["headers"])["Host"] == NOT_KNOWN
    assert "invalid" not in str(row["request"]["headers"][0])

    row = _rows("--batch", SEALED, "--config", config)[SEALED]
    assert row["endpoint"] == ENDPOINT
    assert row["request"]["line"] == "POST /v1/batches HTTP/1.1"
    assert dict(row["request"]["headers"])["Host"] == "127.0.0.1:9"


def test_no_credential_of_the_endpoint_is_shown(home: Path, config: str) -> None:
    assert home.exists()
    endpoint = ENDPOINT.replace("//", "//canary:canary@")
    Path(config).write_text(Path(config).read_text().replace(ENDPOINT, endpoint))
    Path(config).chmod(0o600)
    other, _ = Spool.open(spool_dir(PRODUCT, endpoint), lambda *_: False)
    other.seal(_begin(other, SEALED), Tally())
    other.close()
    for arguments in ((), ("--json",)):
        result = _run("--config", config, *arguments)
        assert "canary" not in result.output
        assert "Basic [secret]" in result.stdout


def test_a_configuration_that_can_not_be_used_is_named_and_the_batches_are_shown(full: Path, config: str) -> None:
    assert full.exists()
    with Path(config).open("a") as file:
        file.write('token_file = "nowhere"\n')
    result = _run("--config", config)
    assert "can't be used: token_file" in result.stdout
    assert f"POST {NOT_KNOWN}" in result.stdout


def test_a_no_of_the_user_is_said(full: Path) -> None:
    assert full.exists()
    said = "# but the user's choice does not let it leave"
    assert said not in _run("--all").stdout
    assert {id_ for id_, row in _rows("--all").items() if row["leaves"]} == {SEALED, ACTIVE}
    store_choice(PRODUCT, State.LOCAL, 1e9)
    assert _run("--all").stdout.count(said) == 2
    assert not any(row["leaves"] for row in _rows("--all").values())


def test_json_holds_the_events_as_they_stand_and_what_was_done_to_them(full: Path) -> None:
    (file,) = full.glob(f"sealed/*{SEALED}.ndjson.zst")
    row = _rows("--batch", SEALED[:6])[SEALED]
    assert row["body"] == {
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "lines": 3,
        "events": [{"event": "failed", "number": number} for number in range(3)],
    }
    assert row["touched"] == {"failed.detail": {"redacted": {"ip": 3}, "dropped": {}}}
    assert (row["redacted"], row["dropped"]) == ({"ip": 3}, {"invalid": 3})
    assert dict(row["request"]["headers"])["Telemetry-Ledger"] == "emitted=6; kept=3; invalid=3"


def test_of_otlp_the_resource_around_the_events_is_shown_too(opened: Spool) -> None:
    otlp_ = otlp("acme-db", "2.1")
    head = msgspec.structs.replace(
        _head("ab" * 16, "on", "otlp", otlp_.route), wraps=envelope("2.1", "acme-db/3", ""), compression="gzip"
    )
    active = opened.begin(head)
    active.append(b"\x12\x00", Tally(emitted=1, kept=1), {})  # a record without a field
    opened.seal(active, Tally())
    opened.close()

    shown = _run("--product", PRODUCT, "--batch", "ab" * 16).output
    line, _ = [line for line in shown.splitlines() if line.startswith("{")]
    (row,) = [json.loads(line) for line in _run("--product", PRODUCT, "--json").output.splitlines() if line[:1] == "{"]
    assert json.loads(line) == row["body"]["envelope"]
    assert json.loads(line)["resource"]["service.version"] == "2.1"
    assert json.loads(line)["scope"]["attributes"] == {"telemetry.catalog.version": 3}


def test_a_long_spool_is_shown_in_part_the_next_to_go_and_the_newest_sent(opened: Spool) -> None:
    ids = [f"{number:x}" * 32 for number in range(1, 11)]
    for number, id_ in enumerate(ids):
        opened.seal(_begin(opened, id_), Tally())
        if number < 5:
            seal = opened.take()
            assert seal
            opened.ack(seal, 1 << 20)
    assert list(_rows("--sent", "--limit", "2")) == [*ids[3:5], *ids[5:7]]
    assert "# not shown: 3 sealed, 3 sent" in _run("--sent", "--limit", "2").stdout


def test_a_long_body_is_shown_in_part_when_asked(full: Path) -> None:
    assert full.exists()
    text = _run("--batch", SEALED, "--events", "1").stdout
    assert text.count('"number"') == 1
    assert "# and 2 more events: --events 3 shows all" in text
    assert len(_rows("--batch", SEALED, "--events", "0")[SEALED]["body"]["events"]) == 0


def test_no_letter_steers_the_terminal(opened: Spool) -> None:
    hostile = '{"event":"failed","detail":"\x9b31m\u202e\x7f\U000e0041"}\n'
    opened.seal(_begin(opened, SEALED, body=hostile.encode()), Tally())
    text = _run().stdout
    assert all(letter.isprintable() for letter in text if letter != "\n")
    line = next(line for line in text.splitlines() if line.startswith("{"))
    assert json.loads(line) == json.loads(hostile)
    assert _rows()[SEALED]["body"]["events"] == [json.loads(hostile)] * 3


# What is wrong.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--batch", "77"), "not exactly one batch"),
        (("--batch", ""), "--raw writes one batch"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
        (("--product", "../acme"), "is no product name"),
    ],
)
def test_what_is_not_there_can_not_be_shown(full: Path, arguments: tuple[str, ...], said: str) -> None:
    assert full.exists()
    result = _run("--raw", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("harm", ["flip", "cut", "seal", "no seal"])
def test_a_batch_that_is_not_what_was_written_is_named_and_the_others_are_shown(full: Path, harm: str) -> None:
    (data,) = full.glob(f"sealed/*{SEALED}.ndjson.zst")
    seal = data.with_name(segment.seal_name(data.name))
    match harm:
        case "flip":
            data.write_bytes(data.read_bytes()[:-1] + b"!")
        case "cut":
            data.write_bytes(data.read_bytes()[:-1])
        case "seal":
            seal.write_bytes(b"{}")
        case _:
            seal.unlink()
    result = _run()
    assert result.exit_code == 1
    assert SEALED in result.stderr
    assert ACTIVE in result.stdout
    assert _run("--batch", SEALED, "--raw").exit_code in {1, EXIT_GONE}


def test_what_is_corrupt_in_quarantine_is_where_it_belongs(full: Path) -> None:
    (seal,) = full.glob(f"quarantine/*{QUARANTINED}.json")
    seal.unlink()
    result = _run("--all")
    assert (result.exit_code, QUARANTINED in result.stderr) == (0, True)


class _Moving(NamedTuple):
    """A shipper that moves a segment at the moment it is read."""

    spool: Path
    folder: str | None

    def __call__(self, spool: Path, found: contents.Found) -> contents.Batch:
        if found.folder == "sealed":
            for path in list(self.spool.glob(f"sealed/*{SEALED}*")):
                path.replace(self.spool / self.folder / path.name) if self.folder else path.unlink()
        return contents.read_batch(spool, found)


@pytest.mark.parametrize(("folder", "exit_code"), [("sent", 0), (None, EXIT_GONE)])
def test_a_batch_that_moves_while_it_is_read_is_followed(
    full: Path, monkeypatch: pytest.MonkeyPatch, folder: str | None, exit_code: int
) -> None:
    monkeypatch.setattr("telemetry.shipper.delivery.preview.read_batch", _Moving(full, folder))
    result = _run("--batch", SEALED)
    assert result.exit_code == exit_code
    assert ("# sent: went like this" in result.stdout) == bool(folder)


def test_beside_a_busy_shipper_nothing_is_found_that_is_not_so(start_host: StartHost, collector: Collector) -> None:
    host = start_host(collector.endpoint, segment_bytes=4096, segment_seconds=0.1)
    ids: set[str] = set()
    states: set[str] = set()
    rounds = 0
    while rounds < 8 or not {"active", "sent"} <= states:
        rounds += 1
        host.emit(2000)
        result = _run("--all", "--limit", "100", "--json", "--events", "0")
        assert (result.exit_code, rounds < 100) == (0, True), result.stderr
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        ids |= {row["id"] for row in rows}
        states |= {row["state"] for row in rows}
    assert len(ids) >= 2


def test_a_reader_that_leaves_early_is_not_told_about_it(opened: Spool) -> None:
    opened.seal(_begin(opened, SEALED, body=b'{"event":"failed"}\n' * 50_000), Tally())
    command = f"{sys.executable} -m telemetry preview --product {PRODUCT} | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602 a pipe
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("# acme-db to ")


def test_raw_bytes_are_not_written_to_a_terminal_and_there_the_body_is_cut(opened: Spool) -> None:
    opened.seal(_begin(opened, SEALED, body=b'{"event":"failed"}\n' * 50), Tally())
    for arguments, code in ((["--raw"], 2), ([], 0)):
        terminal, theirs = pty.openpty()
        command = [sys.executable, "-m", "telemetry", "preview", "--product", PRODUCT, *arguments]
        with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE) as process:
            os.close(theirs)
            shown = b""
            try:
                while chunk := os.read(terminal, 1 << 16):
                    shown += chunk
            except OSError:  # how Linux says that nobody writes any more
                pass
        os.close(terminal)
        assert process.returncode == code
        assert shown.count(b'{"event"') == (0 if code else 20)


# The account that is kept beside a segment.


def test_a_half_does_not_claim_what_was_counted_for_the_whole(opened: Spool) -> None:
    active = opened.begin(_head(SEALED, "on"))
    tally = Tally(emitted=2, kept=2)
    tally.redact("failed.detail", "ip", 2)
    active.append(b'{"event":"failed"}\n' * 2, tally, {})
    opened.seal(active, tally)
    seal = opened.take()
    assert seal
    body = opened.read(seal)
    assert body
    opened.split(seal, halve(seal, body, NDJSON))
    assert _run().stdout.count("# part of a batch") == 2
    assert {row["body"]["lines"] for row in _rows().values()} == {1}


def test_a_seal_of_before_fields_were_told_apart_is_read_and_says_so(opened: Spool) -> None:
    active = opened.begin(_head(SEALED, "on"))
    active.append(b'{"event":"failed"}\n', Tally(emitted=1, kept=1, redacted={"ip": 1}), {})
    opened.seal(active, Tally())
    (seal,) = opened.directory.glob("sealed/*.json")
    assert b"touched" not in seal.read_bytes(), "what a version before wrote"
    assert "# written by a version that did not count field by field" in _run().stdout


def test_which_field_was_touched_is_kept_over_a_crash_and_goes_into_no_header(opened: Spool) -> None:
    _begin(opened, SEALED).close()
    opened.salvage()
    seal = load(opened.directory / "sealed", next(opened.directory.glob("sealed/*.zst")).name)
    assert msgspec.to_builtins(seal.tally.touched) == {"failed.detail": {"redacted": {"ip": 3}}}
    source = Source(opened.directory, None)
    (found,) = contents.find_segments(opened.directory)
    batch = source.read(found)
    assert batch
    assert "failed" not in str(source.show(batch).request)


# RisingWave's messages.

STAGE = "TELEMETRY_EVENT_STAGE_CREATE_STREAM_JOB"


def _write(spool: Spool, id_: str, route: str, message: bytes) -> Seal:
    active = spool.begin(_head(id_, "on", "risingwave", route))
    active.append(message, Tally(emitted=1, kept=1), {})
    spool.seal(active, Tally())
    return load(spool.directory / "sealed", active.head.file)


def test_protobuf_is_shown_by_the_names_of_its_fields(opened: Spool) -> None:
    event = pb.EventMessage(tracking_id="s", event_name="create", catalog_id=7, event_stage=STAGE)
    batch = pb.BatchEventMessage(events=[event, event]).SerializeToString()
    report = pb.ComputeReport(base=pb.ReportBase(session_id="s", up_time=2**63)).SerializeToString()
    _write(opened, SEALED, "/events", batch)
    _write(opened, SENT, "/compute", report)
    rows = _rows()
    shown = {"tracking_id": "s", "event_stage": STAGE}
    assert [event | shown for event in rows[SEALED]["body"]["events"]] == rows[SEALED]["body"]["events"]
    assert rows[SENT]["body"]["events"] == [{"base": {"session_id": "s", "up_time": 2**63}}]
    assert rows[SENT]["request"]["line"] == f"POST {NOT_KNOWN}/compute HTTP/1.1"
    assert _run("--batch", SENT, "--raw").stdout_bytes == report


def test_a_body_that_is_no_message_of_its_route_is_a_finding(opened: Spool) -> None:
    _write(opened, SEALED, "/events", b"\xff\xff\xff")
    result = _run()
    assert (result.exit_code, "can't be read as risingwave" in result.stderr) == (1, True)
