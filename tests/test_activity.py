"""The day on which an installation was last active: which session is the first of a day, a week and a month."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import Host, shippers_of, wait_until
from spools import Endpoint

from telemetry.collector.judge import Upload, judge
from telemetry.collector.stream.message import headers_of
from telemetry.paths import activity_file, product_dir
from telemetry.receipt import NOT_FIRST, First, Receipt, format_first, parse_first
from telemetry.spool.activity import claim, first_of

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartHost

DAY = dt.date(2026, 1, 7)  # a Wednesday
ENDPOINT = "https://acme.example"
FIRST_OF_ALL = First(day=True, week=True, month=True)


@pytest.mark.parametrize(
    ("last", "today", "first"),
    [
        (None, "2026-01-07", "day, week, month"),
        ("2026-01-07", "2026-01-07", ""),
        ("2026-01-06", "2026-01-07", "day"),
        ("2026-01-04", "2026-01-05", "day, week"),  # a Sunday, a Monday
        ("2025-12-31", "2026-01-01", "day, month"),  # of one week of the ISO calendar
        ("2026-01-31", "2026-03-01", "day, week, month"),
        ("2025-01-07", "2026-01-07", "day, week, month"),
        ("2026-01-08", "2026-01-07", ""),  # a clock set back over midnight counts no day twice
        ("2099-01-01", "2026-01-07", "day, week, month"),  # one that was wrong does not silence it for ever
    ],
)
def test_a_session_is_the_first_of_what_its_installation_has_not_seen_yet(
    last: str | None, today: str, first: str
) -> None:
    found = first_of(dt.date.fromisoformat(last) if last else None, dt.date.fromisoformat(today))

    assert format_first(found) == first
    assert parse_first(first) == found


@pytest.mark.parametrize("header", ["", "week", "day,week", "day, day", "DAY", "day, week, month, year", "day=1", "é"])
def test_what_no_shipper_says_is_the_first_of_nothing(header: str) -> None:
    assert parse_first(header) == NOT_FIRST


@pytest.fixture
def product(home: Path) -> Path:
    assert home.exists()
    directory = product_dir("acme-db")
    directory.mkdir(parents=True, mode=0o700)
    return directory


def test_of_many_that_ask_at_once_one_is_the_first(product: Path) -> None:
    program = (
        "import datetime as dt, sys; from telemetry.spool.activity import claim; sys.stdin.readline(); "
        f"print(sum(claim('acme-db', {ENDPOINT!r}, dt.date(2026, 1, 19)).day for _ in range(100)))"
    )
    command = [sys.executable, "-c", program]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    won = [int(racer.communicate()[0]) for racer in racers]

    assert sum(won) == 1
    assert claim("acme-db", ENDPOINT, dt.date(2026, 1, 20)).day
    assert activity_file("acme-db", ENDPOINT).read_text() == "2026-01-20\n"
    assert list(product.iterdir()) == [activity_file("acme-db", ENDPOINT)]


def test_each_endpoint_has_a_count_of_its_own(product: Path) -> None:
    assert claim("acme-db", ENDPOINT, DAY) == claim("acme-db", "https://other.example", DAY) == FIRST_OF_ALL
    assert claim("acme-db", ENDPOINT, DAY) == NOT_FIRST
    assert all((path.stat().st_mode & 0o777) == 0o600 for path in product.iterdir())


def test_a_link_is_not_followed_and_a_pipe_is_not_waited_for(product: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    activity_file("acme-db", ENDPOINT).symlink_to(target)
    os.mkfifo(activity_file("acme-db", "https://other.example"))

    assert claim("acme-db", ENDPOINT, DAY) == claim("acme-db", "https://other.example", DAY) == NOT_FIRST
    assert not target.exists()
    assert product.exists()


def test_who_holds_the_file_makes_nobody_wait_and_nobody_count_twice(product: Path) -> None:
    path = product / activity_file("acme-db", ENDPOINT).name
    with path.open("w") as held:
        path.chmod(0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        assert claim("acme-db", ENDPOINT, DAY) == NOT_FIRST
    assert claim("acme-db", ENDPOINT, DAY) == FIRST_OF_ALL


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 11, b"yesterday\n", b"2026-01-07 and more", b"\xff" * 4096])
def test_rubbish_in_the_file_is_a_day_that_is_not_known(product: Path, rubbish: bytes) -> None:
    path = product / activity_file("acme-db", ENDPOINT).name
    path.write_bytes(rubbish)
    path.chmod(0o600)

    assert claim("acme-db", ENDPOINT, DAY) == FIRST_OF_ALL
    assert path.read_bytes() == b"2026-01-07\n"


def test_a_disk_that_is_full_makes_no_session_a_first_one(product: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("telemetry.spool.activity.write_all", refuse)

    assert claim("acme-db", ENDPOINT, DAY) == NOT_FIRST
    assert product.exists()


# Real hosts.


def _kept() -> list[Path]:
    return list(product_dir("acme-db").glob("active-*"))


@pytest.mark.parametrize("command", [["off", "--product", "acme-db"], ["purge", "--product", "acme-db", "--yes"]])
@pytest.mark.parametrize("lives", [True, False])
def test_off_and_purge_erase_the_day(start_host: StartHost, home: Path, command: list[str], *, lives: bool) -> None:
    with Endpoint() as endpoint:
        host = start_host(endpoint.url)
        host.emit(3)
        wait_until(_kept)
        if not lives:
            host.leave()
            wait_until(lambda: not shippers_of(home))
        subprocess.run([sys.executable, "-m", "telemetry", *command], check=True, capture_output=True)
        wait_until(lambda: not _kept())


def test_what_stays_on_this_machine_claims_no_day(start_host: StartHost) -> None:
    subprocess.run(
        [sys.executable, "-m", "telemetry", "local", "--product", "acme-db"], check=True, capture_output=True
    )
    with Endpoint() as endpoint:
        host: Host = start_host(endpoint.url)
        host.emit(3)
        assert _kept() == []


# Beyond one machine.


@pytest.mark.parametrize("first", [NOT_FIRST, First(day=True), FIRST_OF_ALL])
def test_a_message_of_a_stream_says_it_in_the_words_of_the_upload(first: First) -> None:
    receipt = Receipt("on", "host", 0, "unknown")
    upload = Upload("0" * 32, ".ndjson.zst", "acme-db/3", "", receipt, None, first)
    headers = {name.lower(): [value] for name, value in headers_of(upload, "/v1").items()}

    assert judge(headers) == upload
