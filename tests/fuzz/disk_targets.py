"""What is read from disk: a spool and all that is in it, catalogs, configurations, the user's choice, tombstones."""

from __future__ import annotations

import datetime as dt
import shutil
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import zstandard

from fuzz.run import Target
from fuzz.shipper_targets import CATALOG
from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.docs import privacy_page
from telemetry.catalog.lint import lint
from telemetry.catalog.load import inspect
from telemetry.catalog.machine import machine_form
from telemetry.catalog.schema import line_schema
from telemetry.catalog.stubs import stubs
from telemetry.consent import stored as consent
from telemetry.consent.decide import State
from telemetry.drops import DropReason
from telemetry.errors import ConfigError, SpoolError
from telemetry.inspect.account import read_account, verify
from telemetry.inspect.contents import find_segments, read_batch, read_body
from telemetry.receipt import Receipt
from telemetry.shipper.config import read_config
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.spool import segment, tombstones
from telemetry.spool.journal import write_line
from telemetry.spool.ledger import Acked, Dropped, Ledger, Noted, Quarantined, Sealed, Split, Total, replay
from telemetry.spool.positions import Position
from telemetry.spool.segment import Head, Mark, Seal
from telemetry.spool.spool import Spool
from telemetry.spool.stream import open_stream as stream_of
from telemetry.spool.tally import Tally, Touched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ID = "ab" * 16
_NAME = f"{1_800_000_000_000_000_000:020d}-{_ID}"
_FILE = f"{_NAME}.ndjson.zst"
_PRODUCER = "cd" * 16
_TALLY = Tally(
    5, 3, {"in_transit": 2}, {"invalid": 1}, {"ip": 1}, {"query_finished.detail": Touched({"ip": 1}, {"invalid": 1})}
)
_POSITIONS = {_PRODUCER: Position(7, 5, {"queue_full": 2})}
_HEAD = Head(
    _ID, _FILE, "ndjson", True, "application/x-ndjson", "", "acme-db/3", "s1", Receipt("on", "host", 0, "cloud"), 12.5  # noqa: FBT003 the Struct's own order
)  # fmt: skip
_BODY = b'{"event":"query_finished","n":1}\n' * 3
_SECTION = b"\x1e\x1e"


def targets(scratch: Path) -> Iterator[tuple[str, int, Callable[[], Target]]]:
    """Each target's name, its share of all inputs, and how to open it."""
    yield "ledger", 40, _ledger
    yield "marks", 20, lambda: _marks(scratch / "marks")
    yield "seal", 20, lambda: _seal(scratch / "seal")
    yield "spool", 3, lambda: _spool(scratch / "spool")
    yield "tombstone", 20, lambda: _tombstone(scratch / "tombstone")
    yield "consent", 20, lambda: _consent(scratch / "consent")
    yield "config", 8, lambda: _config(scratch / "config")
    yield "catalog", 10, lambda: _catalog(scratch / "catalog")


def _with_crc(lines: bytes) -> bytes:
    """Lines of JSON as a journal: else the CRC would stop every mutated one before it is read."""
    return b"".join(b"%08x %b\n" % (zlib.crc32(line), line) for line in lines.split(b"\n") if line)


def _json_lines(*records: msgspec.Struct) -> bytes:
    return b"\n".join(map(msgspec.json.encode, records))


def _ledger() -> Target:
    def read(data: bytes) -> object:
        replay(data)
        ledger = replay(_with_crc(data))
        ledger.total()
        write_line(ledger.total())
        return len(ledger.live), len(ledger.positions), tuple(ledger.tally.dropped), ledger.delivered > 0

    seeds = [_LEDGER, _json_lines(Total(_TALLY, 1, {_ID: 2}, _POSITIONS), Dropped(_ID, DropReason.SPOOL_AGE))]
    return Target("ledger", [*seeds, _with_crc(_LEDGER)], read)


_LEDGER = _json_lines(
    Sealed(_ID, _TALLY, _POSITIONS),
    Split(_ID, {"01": 1, "02": 2}),
    Acked("01"),
    Quarantined("02", DropReason.REJECTED),
    Noted("tombstone-x", Tally(2, 0, {"exit_unconfirmed": 2}), _POSITIONS),
)


def _marks(folder: Path) -> Target:
    folder.mkdir()
    file = folder / f"{_NAME}.marks"

    def read(data: bytes) -> object:
        found = []
        for form in (data, _with_crc(data)):
            file.write_bytes(form)
            found.append(segment.read_marks(file))
        return tuple(marks and (len(marks[1]), marks[0].compressed) for marks in found)

    return Target("marks", [_MARKS, _with_crc(_MARKS)], read)


_MARKS = _json_lines(_HEAD, Mark(20, 123, _TALLY, _POSITIONS), Mark(40, 456, _TALLY))


def _seal(folder: Path) -> Target:
    folder.mkdir()
    segment.store(_SEAL, folder)
    file = folder / segment.seal_name(_FILE)

    def read(data: bytes) -> object:
        file.write_bytes(_with_check(data))
        try:
            seal = segment.load(folder, _FILE)
        except ValueError:
            return None
        return len(seal.positions), seal.head.compressed, seal.depth

    return Target("seal", [file.read_bytes()], read)


_DATA = zstandard.compress(_BODY)
_SEAL = Seal(_HEAD, len(_DATA), zlib.crc32(_DATA), _TALLY, _POSITIONS, _TALLY)


def _with_check(data: bytes) -> bytes:
    """A Seal with the check that it should have; what is no Seal, as it is."""
    with suppress(ValueError, RecursionError):
        seal = msgspec.json.decode(data, type=Seal)
        return msgspec.json.encode(msgspec.structs.replace(seal, check=segment._check(seal)))
    return data


def _spool(folder: Path) -> Target:
    """Marks, data, a Seal, sealed data and a ledger, as a shipper finds them when it starts."""

    def read(data: bytes) -> object:
        marks, active, seal, sealed, ledger, *_ = [*data.split(_SECTION), b"", b"", b"", b"", b""]
        Spool.open(folder, lambda *_: False)[0].close()
        for path, content in (
            ("active/" + segment.marks_name(_FILE), _with_crc(marks)),
            ("active/" + _FILE, active),
            ("sealed/" + segment.seal_name(_OTHER), _with_check(seal)),
            ("sealed/" + _OTHER, sealed),
            ("ledger.log", _with_crc(ledger)),
        ):
            (folder / path).write_bytes(content)
        try:
            return _look(folder)
        finally:
            shutil.rmtree(folder)

    stream = stream_of("zstd")
    active = stream.write(_BODY)
    marks = _json_lines(_HEAD, Mark(len(active), zlib.crc32(active), Tally(3, 3), _POSITIONS))
    head = msgspec.structs.replace(_HEAD, id="ef" * 16, file=_OTHER)
    seal = msgspec.json.encode(msgspec.structs.replace(_SEAL, head=head, tally=Tally(3, 3)))
    ledger = _json_lines(Sealed("ef" * 16, Tally(3, 3), _POSITIONS), Noted("x", Tally(1, 0, {"corrupt": 1})))
    return Target("spool", [_SECTION.join([marks, active, seal, _DATA, ledger])], read)


_OTHER = f"{1_800_000_000_000_000_001:020d}-{'ef' * 16}.ndjson.zst"


def _look(folder: Path) -> object:
    """What is read of a spool without a shipper, before one and after one has opened it."""
    before = len(verify(folder)), read_account(folder).on_disk
    spool, _ = Spool.open(folder, lambda *_: False)
    assert not spool.is_unfinished, "what lies there stops recovery"
    for found in find_segments(folder):
        for what in (read_batch, read_body):
            with suppress(SpoolError, FileNotFoundError):
                what(folder, found)
    for _ in range(5):
        seal = spool.take()
        if seal is None:
            break
        if spool.read(seal) is not None:
            spool.ack(seal, 0)
    spool.enforce(1, 1, 1e9)
    spool.close()
    return before, len(find_segments(folder)), tuple(read_account(folder).tally.dropped)


def _tombstone(folder: Path) -> Target:
    folder.mkdir()
    file = folder / "x.json"

    class _Spool:
        """What a tombstone is counted in."""

        directory = folder

        def note(self, _id: str, tally: Tally, _positions: object) -> None:
            """It must balance."""
            assert tally.balance == 0, tally

        def ledger(self) -> Ledger:
            """Another shipper's is empty."""
            return Ledger()

    spool: Any = _Spool()

    def read(data: bytes) -> object:
        file.write_bytes(data)
        found = tombstones._read(file)
        if found:
            tombstones._bury(spool, {found.producer: Position(7, 5)}, found, tombstones.STRANGER_SECONDS)
        return found and (len(found.dropped), found.accepted > 5)

    seed = {"producer": _PRODUCER, "pid": 7, "accepted": 9, "dropped": {"queue_full": 2, "exit_unconfirmed": 1}}
    return Target("tombstone", [msgspec.json.encode(seed)], read)


def _consent(folder: Path) -> Target:
    folder.mkdir()
    file = folder / "consent.json"

    def read(data: bytes) -> object:
        file.write_bytes(data)
        found = consent._read(file)
        consent._format(found)
        return found.choice, found.fault, found.notice > 0

    stored = [consent._format(consent.Stored(choice, 1.8e9, 1)) for choice in (None, *State)]
    return Target("consent", [*stored, stored[0].replace(b".000Z", b"+05:30")], read)


def _config(folder: Path) -> Target:
    folder.mkdir()

    def read(data: bytes) -> object:
        is_json = data.startswith(b"{")
        file = folder / f"shipper.{'json' if is_json else 'toml'}"
        file.write_bytes(data)
        try:
            config = read_config(file)
            HttpSink(config.endpoint, config.settings, {}).close()
            inspect(config.catalog)
        except ConfigError:
            return is_json
        return is_json, repr(config.settings._replace(token_file="", ca_file="", client_certificate=""))

    toml = b"""product = "acme-db"
catalog = "acme.toml"
endpoint = "https://t.acme.example/v1/batches"
segment_seconds = 5.0
spool_bytes = 1000
allow_http = true
token_file = "t"
proxy = "http://p:1"
format = "ndjson"
"""
    as_json = (
        b'{"product": "acme-db", "catalog": "a.toml", "endpoint": "http://127.0.0.1:1/", "ca_file": "", "node": "meta"}'
    )
    return Target("config", [toml, as_json, toml.replace(b'token_file = "t"\n', b"")], read)


def _catalog(folder: Path) -> Target:
    folder.mkdir()
    file = folder / "acme.toml"
    today = dt.date(2026, 1, 1)

    def read(data: bytes) -> object:
        file.write_bytes(data)
        catalog, faults = inspect(file)
        for fault in faults:
            fault.line(file).encode()
        if catalog is None:
            return tuple(sorted({fault.fault[:20] for fault in faults}))
        compile_catalog(catalog, today)
        privacy_page(catalog).encode()
        compile(stubs(catalog), "stubs", "exec")
        msgspec.json.encode([machine_form(catalog), line_schema(catalog)])
        return tuple(sorted({fault.code for fault in lint(catalog, today)}))

    parts = CATALOG.split("[events.")
    seeds = [CATALOG, *(f"{parts[0]}[events.{part}" for part in parts[1:] if "fields" not in part[:20])]
    return Target("catalog", [seed.encode() for seed in seeds], read)
