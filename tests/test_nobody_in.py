"""Another user of this machine gets nothing in, nothing out, and nobody to follow what they put in the way."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
from conftest import CATALOG, kill_shippers_of, shipper_of, shippers_of, wait_until
from spools import Answer, Endpoint
from test_paths import NOBODY, as_root, in_child, mode

from telemetry import paths
from telemetry.cli.status import gather
from telemetry.client import Client
from telemetry.consent import State, read_stored, store_choice
from telemetry.errors import ShipperUnreachableError, SpoolError
from telemetry.files import check_private, private_dir
from telemetry.rendezvous.control import Control
from telemetry.rendezvous.directory import CONFIG_FILE, foreground_dir, rendezvous_dir
from telemetry.rendezvous.lock import LOCK_FILE, acquire, shipper_runs
from telemetry.rendezvous.refusal import REFUSED_FILE, refuse
from telemetry.shipper.log import _PrivateHandler
from telemetry.shipper.start import EXIT_CONFIG
from telemetry.spool.ledger import LedgerLog
from telemetry.spool.spool import Spool
from telemetry.wire import CONTROL_SOCKET, DATA_SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import StartHost

PRODUCT = "acme-db"
CONTEXT = {"pid": 1, "catalog": "", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}


@pytest.fixture(params=[0o000, 0o077], ids=["umask 0", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def _mine(home: Path) -> list[Path]:
    """Everything below a home, itself left out."""
    return [path for path in home.rglob("*") if "keys" not in path.parts]


@pytest.mark.usefixtures("umask")
def test_all_that_is_made_is_private_whatever_the_umask(home: Path, start_host: StartHost) -> None:
    """Lock, sockets, configuration, log, spool with all its folders, tombstones, sent copies, cache, stored choice."""
    home.chmod(0o700)
    store_choice(PRODUCT, State.ON, time.time())
    with Endpoint(Answer(500)) as endpoint:  # worth a line in the log
        host = start_host(endpoint.url, segment_seconds=0.05)
        host.emit(3)
        spool = paths.spool_dir(PRODUCT, endpoint.url)
        wait_until(lambda: [*(spool / "sent").glob("*.zst")])
        host.kill_with_shippers(home)
        client = _client(home, endpoint.url)  # leaves a tombstone
        client.emit("query_finished", duration_ms=1.0)
        client.close(0.0)
        made = {path: mode(path) for path in _mine(home)}

    names = {path.name for path in made}
    assert {LOCK_FILE, CONFIG_FILE, "ledger.log", "consent.json", "shipper.log", DATA_SOCKET} <= names
    assert any(path.parent.name == "tombstones" for path in made)
    directories = {path for path in made if path.is_dir() and not path.is_symlink()}
    assert {made[path] for path in directories} == {0o700}
    assert {made[path] & 0o077 for path in made.keys() - directories} == {0}
    assert {made[path] for path in made if path.is_file()} == {0o600}


def _client(home: Path, endpoint: str = "https://h/") -> Client:
    catalog = home / "acme.toml"
    catalog.write_text(CATALOG)
    catalog.chmod(0o600)
    return Client(product=PRODUCT, catalog=catalog, endpoint=endpoint, consent="on")


# Where the directory itself is not ours.


def _foreground(home: Path) -> subprocess.CompletedProcess[str]:
    """A shipper in the foreground for `_served`; it refuses, or the test hangs."""
    catalog = home / "acme.toml"
    catalog.write_text(CATALOG)
    config = home / "shipper.toml"
    config.write_text(f'product = "{PRODUCT}"\ncatalog = "acme.toml"\nendpoint = "https://h/"\n')
    command = [sys.executable, "-m", "telemetry", "ship", "--config", str(config)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def _rendezvous(home: Path) -> Path:
    (home / "acme.toml").write_text(CATALOG)
    digest = hashlib.sha256(CATALOG.encode()).hexdigest()
    return rendezvous_dir(PRODUCT, digest, "https://h/")


def _served() -> Path:
    """Where `_foreground` would be met."""
    return foreground_dir(PRODUCT, "https://h/")


def _link(directory: Path) -> None:
    directory.parent.mkdir(parents=True, mode=0o700)
    elsewhere = directory.parents[1] / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    directory.symlink_to(elsewhere)


def _wide(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    directory.chmod(0o770)


def _foreign(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    os.chown(directory, NOBODY, NOBODY)


def _foreign_parent(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    os.chown(directory.parent, NOBODY, NOBODY)


def _open_parent(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    directory.parent.chmod(0o777)


TRAPS = [
    _link,
    _wide,
    _open_parent,
    pytest.param(_foreign, marks=as_root),
    pytest.param(_foreign_parent, marks=as_root),
]


@pytest.mark.parametrize("spoil", TRAPS)
def test_a_shipper_refuses_a_runtime_directory_that_others_could_reach(
    home: Path, spoil: Callable[[Path], None]
) -> None:
    directory = _served()
    spoil(directory)
    before = sorted(home.rglob("*"))
    refused = _foreground(home)

    assert refused.returncode == EXIT_CONFIG
    assert "can't be used" in refused.stderr
    assert {path.name for path in {*home.rglob("*")} - {*before}} <= {"shipper.toml", "acme.toml"}


@pytest.mark.parametrize("spoil", TRAPS)
def test_a_host_sends_nothing_into_a_directory_that_others_could_reach_and_counts_it(
    home: Path, spoil: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    directory = _rendezvous(home)
    spoil(directory)
    client = _client(home)
    link = client._link
    assert link is not None
    wait_until(lambda: link.transport.is_missing)
    client.emit("query_finished", duration_ms=1.0)
    assert not client.flush(0.05)
    client.close(0.0)

    assert shippers_of(home) == []
    assert not list(directory.rglob("*"))
    assert capfd.readouterr() == ("", "")
    (tombstone,) = home.rglob("tombstones/*.json")
    assert json.loads(tombstone.read_bytes())["accepted"] == 1


@pytest.mark.parametrize("spoil", TRAPS)
def test_a_spool_that_others_could_reach_is_refused(home: Path, spoil: Callable[[Path], None]) -> None:
    spool = paths.spool_dir(PRODUCT, "https://h/")
    spoil(spool)
    with pytest.raises(SpoolError, match="can't be used as a spool"):
        Spool.open(spool, lambda *_: True)

    assert [*home.rglob("*.log")] == []


def test_a_shipper_with_a_spool_that_others_could_reach_does_not_start(home: Path) -> None:
    _wide(paths.spool_dir(PRODUCT, "https://h/"))
    refused = _foreground(home)

    assert (refused.returncode, "can't be used as a spool" in refused.stderr) == (EXIT_CONFIG, True)


@as_root
def test_who_is_first_under_the_short_name_in_tmp_only_sends_us_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sticky directory that everybody may write, and a squatter in it."""
    temporary = home / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    home.chmod(0o711)
    monkeypatch.delenv("TELEMETRY_HOME")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    squat = paths.runtime_root()
    assert squat.parent == temporary
    in_child(NOBODY, lambda: squat.mkdir(mode=0o700))
    elsewhere = paths.runtime_root()

    assert elsewhere != squat
    assert temporary not in elsewhere.parents
    check_private(elsewhere)
    assert list(squat.iterdir()) == []


# What somebody has put in a file's place.


def _symlink(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def _hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def _pipe(path: Path, victim: Path) -> None:
    assert victim.exists()
    os.mkfifo(path)


@pytest.mark.parametrize("put", [_symlink, _hard_link, _pipe])
@pytest.mark.parametrize("name", ["lock", "log", "ledger", "ledger lock", "delivery lock", "format", "refused"])
def test_nothing_is_written_through_what_stands_in_a_files_place(
    home: Path, name: str, put: Callable[[Path, Path], None]
) -> None:
    victim = home / "victim"
    victim.write_text("keep me")
    directory = home / "d"
    private_dir(directory)
    spool = home / "spool"

    uses: dict[str, tuple[Path, Callable[[], object]]] = {
        "lock": (directory / LOCK_FILE, lambda: acquire(directory)),
        "log": (directory / "shipper.log", lambda: _PrivateHandler(directory / "shipper.log")),
        "refused": (directory / REFUSED_FILE, lambda: refuse(directory, "because", b"")),
        "ledger": (directory / "ledger.log", lambda: LedgerLog(directory).append()),
        "ledger lock": (directory / "ledger.lock", lambda: LedgerLog(directory).append()),
        "delivery lock": (spool / "delivery.lock", lambda: Spool.open(spool, lambda *_: True)),
        "format": (spool / "format", lambda: Spool.open(spool, lambda *_: True)),
    }
    path, use = uses[name]
    private_dir(path.parent)
    put(path, victim)
    with suppress(Exception):  # it refuses, or does without
        use()

    assert victim.read_text() == "keep me"


@pytest.mark.parametrize("put", [_symlink, _hard_link, _pipe])
def test_a_host_takes_no_such_lock_for_a_shipper_and_writes_no_configuration_through_one(
    home: Path, put: Callable[[Path, Path], None]
) -> None:
    victim = home / "victim"
    victim.write_text("keep me")
    directory = _rendezvous(home)
    private_dir(directory)
    put(directory / LOCK_FILE, victim)
    put(directory / CONFIG_FILE, victim)
    put(directory / f"{CONFIG_FILE}.{os.getpid()}", victim)
    os.utime(directory / CONFIG_FILE, (0, 0))  # else it looks as if another host had spawned a shipper a moment ago
    assert not shipper_runs(directory)
    client = _client(home)
    client.close(0.0)
    kill_shippers_of(home)

    assert victim.read_text() == "keep me"
    assert stat.S_ISREG((directory / CONFIG_FILE).lstat().st_mode)


def _give_away(file: Path) -> None:
    os.chown(file, NOBODY, NOBODY)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(_give_away, marks=as_root, id="another user's"),
        pytest.param(lambda file: file.chmod(0o602), id="others may write it"),
    ],
)
def test_a_yes_that_others_could_have_written_is_none(home: Path, spoil: Callable[[Path], None]) -> None:
    assert home.exists()
    store_choice(PRODUCT, State.ON, time.time())
    spoil(paths.consent_file(PRODUCT))

    assert read_stored(PRODUCT).choice is State.OFF


# Another user, with a process of their own.


@as_root
def test_another_user_can_neither_push_nor_ask_nor_read(home: Path, start_host: StartHost) -> None:
    """Whoever knows every path, on a machine where all parents are open."""
    home.chmod(0o711)
    host = start_host("https://127.0.0.1:9/")
    host.emit(5)
    (directory,) = home.glob("run/*")
    spool = next(home.glob("state/*/spool-*"))
    known = [path for path in home.rglob("*") if path.parent != home]

    def work() -> None:
        with zmq.Context() as context:
            with context.socket(zmq.PUSH) as push:
                push.linger = 0
                push.connect(f"ipc://{directory / DATA_SOCKET}")
                push.send(msgpack.packb([1, bytes(16), CONTEXT, 0, {}, [["query_finished", 1, {}]]]))
            with Control(context, directory) as control, pytest.raises(ShipperUnreachableError):
                control.ask({"op": "stop"}, 0.5)
        for path in known:
            with pytest.raises(PermissionError):
                path.stat()
        for path in (directory / "new", spool / "new", spool / "tombstones" / "0.json"):
            with pytest.raises(PermissionError):
                path.touch()
        with pytest.raises(PermissionError):
            directory.rename(home / "mine")
        with pytest.raises(PermissionError):
            os.kill(shipper, 15)

    shipper = shipper_of(home).pid
    in_child(NOBODY, work)
    host.emit(5)
    report: dict[str, Any] = {}
    wait_until(lambda: report.update(gather(PRODUCT)) or "unreadable_frames" in report["shipper"])

    assert (report["ledger"]["emitted"], report["ledger"]["dropped"]) == (10, {})
    assert report["shipper"]["unreadable_frames"] == 0
    assert (directory / CONTROL_SOCKET).exists()
