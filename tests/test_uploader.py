"""Delivery against a real endpoint and a real spool: every row of the table of outcomes, and every event once."""

from __future__ import annotations

import logging
import random
import socket
from dataclasses import replace
from email.utils import formatdate
from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING

import msgspec
import pytest
from conftest import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st
from spools import (
    RESET,
    Answer,
    Endpoint,
    Request,
    add_segment,
    append,
    make_head,
    names,
    nobody_lives,
    open_spool,
    read_balanced,
    scratch,
)

from telemetry.consent import State, Stored
from telemetry.drops import DropReason
from telemetry.receipt import BATCH_HEADER, CONSENT_HEADER, Receipt, format_receipt
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery import uploader as delivery
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import IDLE_SECONDS, Uploader, cut, halve
from telemetry.shipper.encode import telemetry_pb2 as pb
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.permission import permission_of
from telemetry.spool import segment
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEADY = ShipperSettings(upload_jitter_seconds=0.0)
AT_ONCE = STEADY._replace(retry_min_seconds=0.0, retry_max_seconds=0.0, pause_seconds=0.0)
PATIENT = AT_ONCE._replace(pause_seconds=120.0)
PERMITTED = permission_of(Stored())
TRIPWIRE = Tripwire(lambda _: None)  # it takes a moment to make, and nothing here trips it


@pytest.fixture
def spool() -> Iterator[Spool]:
    with scratch() as directory:
        opened = open_spool(directory / "spool")
        yield opened
        opened.close()


class Clock:
    """Time that stands still unless it is moved."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def _uploader(
    spool: Spool,
    endpoint: Endpoint,
    settings: ShipperSettings = AT_ONCE,
    clock: Callable[[], float] = monotonic,
) -> Uploader:
    return Uploader(spool, HttpSink(endpoint.url, settings, {}), settings, lambda: PERMITTED, TRIPWIRE, clock)


def _deliver_all(uploader: Uploader, spool: Spool) -> None:
    deadline = monotonic() + 30
    while spool.waiting:
        uploader.step()
        assert monotonic() < deadline


def _numbers(requests: list[Request]) -> list[list[int]]:
    return [[int(line.split(b":")[-1].rstrip(b"}")) for line in request.lines] for request in requests]


def _refusing(status: int, *guilty: int) -> Endpoint:
    return Endpoint(decide=lambda request: status if set(guilty) & set(_numbers([request])[0]) else 200)


PAGE = (("Content-Type", "text/html"),)
NGINX = Answer(400, PAGE, b"<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>")


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_page_that_refuses_all_costs_nothing_and_all_goes_when_it_is_gone(spool: Spool, status: int) -> None:
    """A client certificate that has expired, and is renewed two hours later."""
    clock, broken = Clock(monotonic() + 1), [True]
    began = clock.seconds
    for _ in range(3):
        add_segment(spool, events=1 if status == 413 else 40)
    with Endpoint(decide=lambda _: NGINX._replace(status=status) if broken[0] else 200) as endpoint:
        uploader = _uploader(spool, endpoint, STEADY, clock)
        while clock.seconds < began + 7200:
            clock.seconds += uploader.step()
            assert uploader.state == "paused"
            assert "it asks for a client certificate" in uploader.cause
        assert len(endpoint.requests) <= 7200 / STEADY.pause_seconds + 1
        broken[0] = False
        while spool.waiting:
            clock.seconds += uploader.step()

    ledger = read_balanced(spool)
    assert (ledger.delivered, ledger.tally.dropped) == (3 if status == 413 else 120, {})


def test_a_collector_that_speaks_html_holds_up_the_event_that_it_means_and_no_other(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    clock, guilty = Clock(monotonic() + 1), [True]

    def decide(request: Request) -> int | Answer:
        """As an `abort(400)` of Flask."""
        answer = Answer(400, PAGE, b"<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>")
        return answer if guilty[0] and 321 in _numbers([request])[0] else 200

    add_segment(spool, events=1000)
    with Endpoint(decide=decide) as endpoint:
        uploader = _uploader(spool, endpoint, STEADY, clock)
        for _ in range(30):
            add_segment(spool)
            until = clock.seconds + 60.0
            while clock.seconds < until:
                clock.seconds = min(until, clock.seconds + max(uploader.step(), 0.001))
        ledger = read_balanced(spool)
        assert (ledger.delivered, ledger.on_disk, ledger.tally.dropped) == (1000 - 1 + 90, 1, {})
        assert uploader.cause == ""
        assert len(endpoint.requests) < 30 + 50
        guilty[0] = False
        clock.seconds += STEADY.pause_seconds
        while spool.waiting:
            clock.seconds += uploader.step()
    assert read_balanced(spool).delivered == 1000 + 90
    assert len([message for message in caplog.messages if "they wait apart" in message]) <= 30


def test_of_two_servers_behind_one_name_the_one_that_refuses_in_html_costs_nothing(spool: Spool) -> None:
    """One of them lacks the certificate of its clients' authority, and chance says which one is asked."""
    clock, dice = Clock(monotonic() + 1), random.Random(7)
    for _ in range(10):
        add_segment(spool, events=20)
    with Endpoint(decide=lambda _: NGINX if dice.random() < 0.5 else 200) as endpoint:
        uploader = _uploader(spool, endpoint, STEADY, clock)
        while spool.waiting:
            clock.seconds += max(uploader.step(), 0.001)
            assert clock.seconds < monotonic() + 30 * 86_400
    ledger = read_balanced(spool)
    assert (ledger.delivered, ledger.tally.dropped) == (200, {})


@pytest.mark.parametrize("status", [200, 202, 204, 409])
def test_what_the_endpoint_takes_or_has_already_is_delivered(spool: Spool, status: int) -> None:
    add_segment(spool)
    with Endpoint(status) as endpoint:
        assert _uploader(spool, endpoint).step() == 0.0

    assert (read_balanced(spool).delivered, spool.waiting, len(endpoint.requests)) == (3, 0, 1)


@pytest.mark.parametrize("failure", [RESET, 408, 425, 429, 500, 502, 503], ids=str)
def test_a_failure_that_may_pass_is_retried_with_the_very_same_batch(spool: Spool, failure: int | Answer) -> None:
    head = add_segment(spool)
    with Endpoint(failure, failure, failure) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)
    first, *others = endpoint.requests

    assert len(others) == 3
    assert first.header(BATCH_HEADER) == head.id
    assert all((other.headers, other.body) == (first.headers, first.body) for other in others)
    assert read_balanced(spool).delivered == 3


def test_a_batch_is_the_same_after_a_restart(spool: Spool) -> None:
    add_segment(spool)
    with Endpoint(503) as endpoint:
        _uploader(spool, endpoint).step()
        spool.close()
        again = open_spool(spool.directory)
        _deliver_all(_uploader(again, endpoint), again)
        again.close()
    first, second = endpoint.requests

    assert (second.headers, second.body) == (first.headers, first.body)


def test_a_batch_that_waits_for_the_next_try_is_within_the_limits_again(spool: Spool) -> None:
    add_segment(spool)
    with Endpoint(503) as endpoint:
        _uploader(spool, endpoint, STEADY).step()
    spool.enforce(0, 0, 0.0)

    assert read_balanced(spool).tally.dropped == {"spool_full": 3}


def test_a_script_of_troubles_ends_in_delivery(spool: Spool) -> None:
    add_segment(spool)
    with Endpoint(503, Answer(429, (("Retry-After", "0"),)), RESET, 200) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)

    assert len(endpoint.requests) == 4
    assert read_balanced(spool).delivered == 3


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status) for status in (301, 302, 307, 401, 403, 404, 405, 411, 415, 501)),
        Answer(200, (("Content-Type", "text/html"),), b"<html>please log in</html>"),
    ],
    ids=lambda answer: str(answer.status),
)
def test_an_endpoint_that_is_not_what_we_take_it_for_pauses_the_uploads(spool: Spool, answer: Answer) -> None:
    add_segment(spool)
    with Endpoint(answer) as endpoint:
        uploader = _uploader(spool, endpoint, PATIENT)
        wait_seconds = uploader.step()

        assert 100 < wait_seconds <= 120
        assert 100 < uploader.step() <= 120
    assert (uploader.state, len(endpoint.requests), spool.waiting) == ("paused", 1, 1)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        pytest.param(lambda: "77", 76.0, 77.0, id="seconds"),
        pytest.param(lambda: formatdate(time() + 600, usegmt=True), 480.0, 600.0, id="date"),
        pytest.param(lambda: "1000000", 3599.0, 3600.0, id="more than we grant"),
    ],
)
def test_the_endpoint_may_ask_for_patience(spool: Spool, header: Callable[[], str], least: float, most: float) -> None:
    add_segment(spool)
    with Endpoint(Answer(429, (("Retry-After", header()),))) as endpoint:
        uploader = _uploader(spool, endpoint)

        assert least <= uploader.step() <= most
        assert least - 5 <= uploader.step() <= most
    assert len(endpoint.requests) == 1


def test_the_bound_of_a_wait_doubles_with_each_failure_and_begins_anew_after_a_success(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)  # each wait is its bound
    clock = Clock(monotonic())
    settings = AT_ONCE._replace(retry_min_seconds=1.0, retry_max_seconds=3.0)
    waits = []
    with Endpoint(503, 503, 503, 200, 503) as endpoint:
        uploader = _uploader(spool, endpoint, settings, clock)
        for _ in range(2):
            add_segment(spool)
        clock.seconds += 60.0
        for _ in range(5):
            waits.append(uploader.step())
            clock.seconds += waits[-1]

    assert waits == [1.0, 2.0, 3.0, 0.0, 1.0]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_batch_is_split_down_to_the_guilty_event_and_the_rest_is_delivered(spool: Spool, status: int) -> None:
    add_segment(spool, events=11)
    with _refusing(status, 7) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)
    ledger = read_balanced(spool)

    assert (ledger.delivered, ledger.tally.dropped) == (10, {"rejected": 1})
    sent = _numbers(endpoint.requests)
    assert sorted(number for numbers in sent if 7 not in numbers for number in numbers) == [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        9,
        10,
    ]
    assert [7] in sent
    assert len({request.header(BATCH_HEADER) for request in endpoint.requests}) == len(endpoint.requests)


def test_two_guilty_events_side_by_side_are_told_from_their_neighbours(spool: Spool) -> None:
    add_segment(spool, events=8)
    with _refusing(400, 0, 2) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)
    ledger = read_balanced(spool)

    assert (ledger.delivered, ledger.tally.dropped) == (6, {"rejected": 2})


@pytest.mark.parametrize("status", [400, 422])
def test_a_batch_whose_first_halves_are_refused_alike_is_rejected_as_a_whole(spool: Spool, status: int) -> None:
    add_segment(spool, events=9)
    with Endpoint(decide=lambda _: status) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)

    assert len(endpoint.requests) == 3
    assert read_balanced(spool).tally.dropped == {"rejected": 9}
    assert len(names(spool.directory / "quarantine")) == 4


def test_a_refusal_for_good_is_said_and_followed_by_a_wait(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)  # each wait is its bound
    add_segment(spool, events=1)
    with Endpoint(400) as endpoint:
        assert _uploader(spool, endpoint, AT_ONCE._replace(retry_min_seconds=7.0, retry_max_seconds=9.0)).step() == 7.0

    assert caplog.messages == ["the endpoint refused 1 event for good (HTTP 400): quarantined"]


def test_a_batch_that_is_too_large_is_split_until_it_is_not(spool: Spool) -> None:
    add_segment(spool, events=16)
    with Endpoint(decide=lambda request: 413 if len(request.lines) > 4 else 200) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)

    assert [len(request.lines) for request in endpoint.requests].count(4) == 4
    assert read_balanced(spool).delivered == 16


def test_the_parts_of_a_batch_go_before_all_others(spool: Spool) -> None:
    add_segment(spool, events=8)
    add_segment(spool, events=3)
    with Endpoint(413, 413) as endpoint:
        uploader = _uploader(spool, endpoint)
        uploader.hurry()
        _deliver_all(uploader, spool)

    assert [len(request.lines) for request in endpoint.requests] == [8, 4, 2, 2, 4, 3]


def test_halves_that_are_refused_differently_are_settled_one_by_one(spool: Spool) -> None:
    add_segment(spool, events=2)
    with Endpoint(400, 400, 422) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)

    assert read_balanced(spool).tally.dropped == {"rejected": 2}


def test_a_half_that_can_t_be_delivered_now_is_retried_with_its_own_id(spool: Spool) -> None:
    add_segment(spool, events=4)
    with Endpoint(413, 503, 200, 200) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)
    whole, first, *others = endpoint.requests  # the halves go in either order

    assert (first.headers, first.body) in [(other.headers, other.body) for other in others]
    assert len({request.header(BATCH_HEADER) for request in (whole, *others)}) == 3
    assert sorted(_numbers(others)) == [[0, 1], [2, 3]]
    assert read_balanced(spool).delivered == 4


def test_a_split_goes_on_after_a_restart(spool: Spool) -> None:
    add_segment(spool, events=4)
    with Endpoint(413, 503) as endpoint:
        _uploader(spool, endpoint).step()
        spool.close()
        again = open_spool(spool.directory)
        _deliver_all(_uploader(again, endpoint), again)
        ledger = read_balanced(again)
        again.close()

    assert ledger.delivered == 4
    whole, first, *others = endpoint.requests
    assert first.body in [other.body for other in others]
    assert sorted(line for other in others for line in other.lines) == whole.lines


@pytest.mark.parametrize("compressed", [True, False], ids=["zstd", "plain"])
def test_halves_are_the_same_however_often_they_are_made(spool: Spool, compressed: bool) -> None:  # noqa: FBT001 a column
    active = spool.begin(make_head(compressed=compressed))
    append(active, 5)
    spool.seal(active, Tally())
    seal = spool.take()
    assert seal is not None
    body = spool.read(seal)
    assert body is not None
    halves = halve(seal, body, NDJSON)

    assert halves == halve(seal, body, NDJSON)
    assert [half.tally.kept for half, _ in halves] == [2, 3]
    ids = {seal.head.id, *(half.head.id for half, _ in halves)}
    assert [len(id_) for id_ in ids] == [len(seal.head.id)] * 3
    assert [(half.refusals, half.body_bytes) for half, _ in halves] == [(1, msgspec.UNSET)] * 2


CAPPED = replace(NDJSON, max_events=4)


def _add_batch(spool: Spool, events: int) -> None:
    active = spool.begin(make_head())
    append(active, events)
    spool.seal(active, Tally())


@pytest.fixture
def _cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint's cap of four events."""
    monkeypatch.setattr(delivery, "format_named", lambda _: CAPPED)


def _deliver_capped(spool: Spool, endpoint: Endpoint) -> list[int]:
    uploader = _uploader(spool, endpoint)
    uploader.hurry()
    _deliver_all(uploader, spool)
    return [len(request.lines) for request in endpoint.requests]


@pytest.mark.usefixtures("_cap")
def test_a_batch_of_more_events_than_the_endpoint_takes_goes_as_several(spool: Spool) -> None:
    _add_batch(spool, 10)
    _add_batch(spool, 3)
    with Endpoint() as endpoint:
        assert _deliver_capped(spool, endpoint) == [4, 4, 2, 3], "all its parts before another batch"

    assert len({request.header(BATCH_HEADER) for request in endpoint.requests}) == 4
    assert read_balanced(spool).delivered == 13


@pytest.mark.usefixtures("_cap")
def test_a_batch_over_the_cap_that_can_t_be_divided_is_rejected_unsent(spool: Spool) -> None:
    active = spool.begin(make_head())
    active.append(b"one line\n", Tally(emitted=5, kept=5), {})
    spool.seal(active, Tally())
    with Endpoint() as endpoint:
        assert _deliver_capped(spool, endpoint) == []

    assert read_balanced(spool).tally.dropped == {"rejected": 5}


@pytest.mark.usefixtures("_cap")
def test_an_endpoint_that_refuses_every_part_of_a_batch_gets_three_requests_a_part(spool: Spool) -> None:
    _add_batch(spool, 8)
    with Endpoint(decide=lambda _: 400) as endpoint:
        assert _deliver_capped(spool, endpoint) == [4, 2, 2] * 2  # not down to each event

    assert read_balanced(spool).tally.dropped == {"rejected": 8}


def test_parts_are_the_same_however_often_they_are_made(spool: Spool) -> None:
    _add_batch(spool, 9)
    seal = spool.take()
    assert seal is not None
    body = spool.read(seal)
    assert body is not None
    parts = cut(seal, body, CAPPED)

    assert parts == cut(seal, body, CAPPED)
    assert [part.tally.kept for part, _ in parts] == [4, 4, 1]


def test_a_batch_that_is_not_what_its_seal_says_is_rejected_and_not_split(spool: Spool) -> None:
    active = spool.begin(make_head())
    active.append(b"one line\n", Tally(emitted=5, kept=5), {})
    spool.seal(active, Tally())
    with Endpoint(400) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)

    assert len(endpoint.requests) == 1
    assert read_balanced(spool).tally.dropped == {"rejected": 5}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "of-2031"}, "no upload format 'of-2031'"),
        ({"compression": "lz4"}, "its compression is lz4"),
    ],
    ids=["format", "compression"],
)
def test_a_batch_that_a_newer_shipper_wrote_waits_for_one_and_keeps_no_other_waiting(
    spool: Spool, caplog: pytest.LogCaptureFixture, changes: dict[str, str], reason: str
) -> None:
    clock = Clock(monotonic() + 60)
    head = add_segment(spool)
    seal = segment.load(spool.directory / "sealed", head.file)
    newer = msgspec.structs.replace(seal.head, **changes)
    segment.store(msgspec.structs.replace(seal, head=newer), spool.directory / "sealed")
    add_segment(spool)
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint, PATIENT, clock)
        waits = []
        for _ in range(4):
            uploader.hurry()
            waits.append(uploader.step())
            clock.seconds += waits[-1]
        clock.seconds += PATIENT.pause_seconds
        uploader.step()

    assert (waits, len(endpoint.requests)) == ([0.0, 0.0, IDLE_SECONDS, IDLE_SECONDS], 1)
    assert (spool.waiting, read_balanced(spool).on_disk) == (1, 3)
    assert [reason in message for message in caplog.messages] == [True], "said once"


def test_an_altered_segment_is_quarantined_and_never_sent(spool: Spool) -> None:
    bad, good = add_segment(spool), add_segment(spool)
    path = spool.directory / "sealed" / bad.file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with Endpoint() as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)

    assert [request.header(BATCH_HEADER) for request in endpoint.requests] == [good.id]
    assert read_balanced(spool).tally.dropped == {"corrupt": 3}


def test_each_change_of_state_is_said_once_and_no_event_is_in_the_log(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "telemetry.shipper")
    add_segment(spool)
    with Endpoint(503, 503, 503, 401, 401, 503, 200) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)

    assert [message.partition(" (")[0] for message in caplog.messages] == [
        "upload failed, to be retried: HTTP 503",
        "upload paused: HTTP 401",
        "upload failed, to be retried: HTTP 503",
        "uploads succeed again",
    ]


def test_ten_thousand_failures_in_a_row_do_no_harm(spool: Spool) -> None:
    add_segment(spool)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    uploader = Uploader(spool, HttpSink(f"http://127.0.0.1:{port}", AT_ONCE, {}), AT_ONCE, lambda: PERMITTED, TRIPWIRE)
    uploader._failures = 9_950  # real ones would take a while
    for _ in range(100):
        uploader.step()

    assert (uploader._failures, uploader.state, uploader.cause) == (
        10_050,
        "retrying",
        "ConnectionRefusedError (nobody listens there)",
    )
    assert read_balanced(spool).on_disk == 3


def test_a_disk_that_refuses_the_ack_makes_the_batch_come_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    add_segment(spool)
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint)
        real, refusals = spool.log.append, iter(range(2))

        def append_later(*lines: object) -> None:
            if next(refusals, None) is not None:
                raise OSError(28, "full")
            real(*lines)  # type: ignore[arg-type] # as it came

        monkeypatch.setattr(spool.log, "append", append_later)
        thread = Thread(target=uploader.run)
        thread.start()
        wait_until(lambda: not spool.waiting)
        uploader.stop()
        thread.join(30)
    first, *others = endpoint.requests

    assert len(others) == 2
    assert all((other.headers, other.body) == (first.headers, first.body) for other in others)
    assert read_balanced(spool).delivered == 3


def test_what_was_erased_as_it_was_split_is_not_sent(spool: Spool) -> None:
    add_segment(spool, events=4)

    def decide(_: Request) -> int:
        spool.wipe(DropReason.CONSENT)
        return 413

    with Endpoint(decide=decide) as endpoint:
        _uploader(spool, endpoint).step()

    assert len(endpoint.requests) == 1
    assert names(spool.directory / "sealed") == set()
    assert read_balanced(spool).tally.dropped == {"consent": 4}


def test_a_shipper_that_does_not_deliver_leaves_the_segments_alone(spool: Spool) -> None:
    other = open_spool(spool.directory)
    add_segment(other)
    add_segment(spool)
    with Endpoint() as endpoint:
        uploader = _uploader(other, endpoint)
        uploader.state = "retrying"  # as before another took delivery over
        assert uploader.step() == IDLE_SECONDS

    assert (endpoint.requests, uploader.state) == ([], "idle")
    assert (spool.claim(), other.waiting) == (True, 2)


def test_what_another_shipper_seals_is_found_when_nothing_else_waits(spool: Spool) -> None:
    other = open_spool(spool.directory)
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint)
        assert uploader.step() == IDLE_SECONDS
        add_segment(other)
        assert [uploader.step(), uploader.step(), len(endpoint.requests)] == [0.0, 0.0, 1]


def test_a_failure_is_told_until_an_upload_goes_through_even_if_nothing_waits_any_more(spool: Spool) -> None:
    add_segment(spool)
    with Endpoint(503) as endpoint:
        uploader = _uploader(spool, endpoint)
        told = [(uploader.state, uploader.cause)]
        uploader.step()
        spool.wipe(DropReason.SPOOL_FULL)
        uploader.step()
        told.append((uploader.state, uploader.cause))
        add_segment(spool)
        uploader.step()
        told.append((uploader.state, uploader.cause))
        uploader.step()
        told.append((uploader.state, uploader.cause))

    assert told == [("idle", ""), ("retrying", "HTTP 503"), ("uploading", ""), ("idle", "")]


def test_the_loop_delivers_what_comes_and_ends_when_told(spool: Spool) -> None:
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint)
        thread = Thread(target=uploader.run)
        thread.start()
        for number in range(5):
            add_segment(spool)
            uploader.nudge()
            wait_until(lambda number=number: len(endpoint.requests) > number)  # type: ignore[misc] # a default binds
        add_segment(spool)
        uploader.nudge()
        wait_until(lambda: not uploader.goes_well)
        uploader.stop()
        thread.join(30)

    assert not thread.is_alive()
    assert (len(endpoint.requests), spool.waiting) == (6, 0)
    assert read_balanced(spool).delivered == 18


def test_an_end_does_not_wait_for_an_endpoint_in_trouble(spool: Spool) -> None:
    add_segment(spool)
    with Endpoint(decide=lambda _: 503) as endpoint:
        uploader = _uploader(spool, endpoint, STEADY)
        thread = Thread(target=uploader.run)
        thread.start()
        wait_until(lambda: uploader.cause)
        assert not uploader.goes_well
        uploader.stop()
        thread.join(30)

    assert not thread.is_alive()
    assert spool.waiting == 1


# Jitter: the moment of an upload must not tell when its segment was sealed.


JITTERED = AT_ONCE._replace(upload_jitter_seconds=1000.0)


def test_a_first_upload_waits_for_a_random_time(spool: Spool) -> None:
    add_segment(spool)
    add_segment(spool)
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint, JITTERED)
        first, second = uploader.step(), uploader.step()
        assert 0 < second < first <= 1000, "the same time however often it is looked at"
        assert endpoint.requests == []
        uploader.hurry()
        assert (uploader.step(), uploader.step()) == (0.0, 0.0)

    assert read_balanced(spool).delivered == 6


def test_the_times_are_spread_over_the_whole_of_the_jitter(spool: Spool) -> None:
    with Endpoint() as endpoint:
        waits = []
        for _ in range(60):
            add_segment(spool)
            uploader = _uploader(spool, endpoint, JITTERED)
            waits.append(uploader.step())
            uploader.hurry()
            uploader.step()

    assert min(waits) < 250
    assert max(waits) > 750
    assert all(0 < wait <= 1000 for wait in waits)


def test_a_backlog_waits_once_and_not_segment_by_segment(spool: Spool) -> None:
    now = Clock(monotonic())
    for _ in range(20):
        add_segment(spool)
    now.seconds = monotonic() + JITTERED.upload_jitter_seconds  # all have waited out their jitter
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint, JITTERED, now)
        for _ in range(20):
            assert uploader.step() == 0.0

    assert read_balanced(spool).delivered == 60


def test_what_is_sealed_after_a_hurry_waits_again(spool: Spool) -> None:
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint, JITTERED)
        uploader.hurry()
        add_segment(spool)
        assert uploader.step() > 0
    assert endpoint.requests == []


def test_halves_and_retries_wait_no_second_time(spool: Spool) -> None:
    add_segment(spool, events=4)
    with Endpoint(503, 413, 503) as endpoint:
        uploader = _uploader(spool, endpoint, JITTERED)
        uploader.hurry()
        _deliver_all(uploader, spool)

    assert len(endpoint.requests) == 5


# Order: a backlog drains, and keeps nobody waiting.


def _order(endpoint: Endpoint) -> list[str | None]:
    return [request.header(BATCH_HEADER) for request in endpoint.requests]


def test_one_turn_of_four_is_the_oldest_batch_s_and_three_the_newest_s(spool: Spool) -> None:
    heads = [add_segment(spool).id for _ in range(6)]
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint)
        uploader.hurry()
        _deliver_all(uploader, spool)

    assert _order(endpoint) == [heads[number] for number in (0, 5, 4, 3, 1, 2)]


def test_the_first_upload_is_the_newest_s_if_all_are_fresh(spool: Spool) -> None:
    clock = Clock(0.0)
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint, clock=clock)
        heads = [add_segment(spool).id for _ in range(2)]
        clock.seconds = monotonic()
        _deliver_all(uploader, spool)

    assert _order(endpoint) == [heads[1], heads[0]]


def test_a_fresh_batch_waits_for_two_uploads_at_most_however_long_the_backlog_is(spool: Spool) -> None:
    for _ in range(50):
        add_segment(spool)
    fresh = []
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint)
        uploader.hurry()
        for _ in range(10):
            fresh.append(add_segment(spool).id)
            uploader.hurry()
            before = len(endpoint.requests)
            while fresh[-1] not in _order(endpoint):
                uploader.step()
            assert len(endpoint.requests) - before <= 2
        assert len(endpoint.requests) == 13, "the backlog has had its turns, one of five"
        _deliver_all(uploader, spool)

    assert read_balanced(spool).delivered == 180


def test_a_fresh_batch_that_may_not_leave_yet_keeps_no_backlog_waiting(spool: Spool) -> None:
    old = [add_segment(spool).id for _ in range(3)]
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint, JITTERED)
        uploader.hurry()
        add_segment(spool)
        assert [uploader.step() for _ in range(3)] == [0.0] * 3
        assert uploader.step() > 0

    assert _order(endpoint) == [old[0], old[2], old[1]]


def test_a_batch_that_fails_again_and_again_keeps_no_other_waiting(spool: Spool) -> None:
    bad, *_ = [add_segment(spool).id for _ in range(4)]
    with Endpoint(decide=lambda request: 500 if request.header(BATCH_HEADER) == bad else 200) as endpoint:
        uploader = _uploader(spool, endpoint)
        for _ in range(8):
            uploader.hurry()
            uploader.step()

    assert (spool.waiting, read_balanced(spool).delivered) == (1, 9)


@given(st.lists(st.sampled_from([200, 409, 500, 503, 413, 400]), max_size=20), st.sets(st.integers(0, 7)))
@settings(max_examples=25, deadline=None)
def test_in_whatever_order_each_event_is_settled_once_under_its_own_receipt_and_none_older_than_the_consent_leaves(
    answers: list[int], older: set[int]
) -> None:
    said = permission_of(Stored(State.ON, since_unix_seconds=2.0))
    with scratch() as directory, Endpoint(*answers) as endpoint:
        spool = open_spool(directory / "spool")
        receipts = {}
        for number in range(8):
            receipt = Receipt("on", "stored", number, "cloud")
            since = 1.0 if number in older else 2.0
            active = spool.begin(msgspec.structs.replace(make_head(), receipt=receipt, since_unix_seconds=since))
            append(active, 4, 4 * number)
            spool.seal(active, Tally())
            receipts[format_receipt(receipt)] = set(range(4 * number, 4 * number + 4))
        sink = HttpSink(endpoint.url, AT_ONCE, {})
        _deliver_all(Uploader(spool, sink, AT_ONCE, lambda: said, TRIPWIRE), spool)
        ledger = read_balanced(spool)
        spool.close()
    sent = list(zip(endpoint.requests, _numbers(endpoint.requests), strict=True))

    assert all(receipts[request.header(CONSENT_HEADER) or ""] >= set(numbers) for request, numbers in sent)
    assert {number // 4 for _, numbers in sent for number in numbers} == set(range(8)) - older
    assert ledger.tally.emitted == 32
    assert ledger.on_disk == 4 * len(older), "withheld, for its owner to see"
    assert ledger.delivered + ledger.tally.dropped.get("rejected", 0) == 32 - 4 * len(older)


def test_what_waited_out_an_outage_leaves_with_pauses_and_what_is_fresh_without() -> None:
    clock = Clock(1000.0)

    def decide(_: Request) -> int:
        clock.seconds += 0.4  # a slow upload
        return 200

    with scratch() as directory, Endpoint(503, decide=decide) as endpoint:
        spool, _ = Spool.open(directory / "spool", nobody_lives, clock)
        uploader = _uploader(spool, endpoint, AT_ONCE, clock)
        clock.seconds += 1.0  # what was there at the start is backlog too
        for _ in range(40):
            add_segment(spool)
        pauses = []
        while spool.waiting > 10:
            if pause := uploader.step():
                pauses.append(pause)
                clock.seconds += pause
        assert len(pauses) > 20
        assert max(pauses) <= 0.8
        assert max(pauses) > 2 * min(pauses), "by chance, so that shippers that come back together part"

        for _ in range(5):
            fresh = add_segment(spool).id
            clock.seconds += 0.001
            uploader.step()
            uploader.step()
            assert fresh in _order(endpoint)
        spool.close()


# Bandwidth.


def test_uploads_keep_to_the_bandwidth_and_wait_for_nothing_else(spool: Spool) -> None:
    clock = Clock(monotonic() + 1)
    for _ in range(10):
        add_segment(spool, events=100)
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint, AT_ONCE._replace(upload_bytes_per_second=1000), clock)
        uploader.hurry()
        began = clock.seconds
        for _ in range(100):
            clock.seconds += uploader.step()
            if not spool.waiting:
                break
    bytes_sent = sum(len(request.body) for request in endpoint.requests)

    assert (bytes_sent - len(endpoint.requests[-1].body)) / 1000 == pytest.approx(clock.seconds - began)
    assert read_balanced(spool).delivered == 1000


def test_a_low_bandwidth_delays_neither_an_end_nor_a_no(spool: Spool) -> None:
    for _ in range(2):
        add_segment(spool, events=100)
    said = PERMITTED
    settings = AT_ONCE._replace(upload_bytes_per_second=1)
    with Endpoint() as endpoint:
        uploader = Uploader(spool, HttpSink(endpoint.url, settings, {}), settings, lambda: said, TRIPWIRE)
        thread = Thread(target=uploader.run)
        thread.start()
        wait_until(lambda: spool.waiting == 1)
        said = permission_of(Stored(State.OFF))
        spool.wipe(DropReason.CONSENT)
        uploader.stop()
        thread.join(30)

    assert not thread.is_alive()
    assert len(endpoint.requests) == 1
    assert read_balanced(spool).tally.dropped == {"consent": 100}


# Consent.


def test_nothing_is_taken_while_nothing_may_leave(spool: Spool) -> None:
    add_segment(spool)
    with Endpoint() as endpoint:
        said = permission_of(Stored(State.LOCAL))
        uploader = Uploader(spool, HttpSink(endpoint.url, AT_ONCE, {}), AT_ONCE, lambda: said, TRIPWIRE)
        assert uploader.step() == IDLE_SECONDS
        said = PERMITTED
        assert uploader.step() == 0.0

    assert len(endpoint.requests) == 1


def test_a_consent_withdrawn_between_the_halves_of_a_batch_stops_the_second(spool: Spool) -> None:
    add_segment(spool, events=4)
    with Endpoint(413) as endpoint:
        uploader = Uploader(
            spool,
            HttpSink(endpoint.url, AT_ONCE, {}),
            AT_ONCE,
            lambda: permission_of(Stored(State.OFF)) if len(endpoint.requests) == 2 else PERMITTED,
            TRIPWIRE,
        )
        uploader.step()

    assert len(endpoint.requests) == 2


def test_a_consent_withdrawn_while_a_batch_is_made_ready_stops_it(spool: Spool) -> None:
    add_segment(spool)
    asked = iter([PERMITTED])
    with Endpoint() as endpoint:
        uploader = Uploader(
            spool,
            HttpSink(endpoint.url, AT_ONCE, {}),
            AT_ONCE,
            lambda: next(asked, permission_of(Stored(State.OFF))),
            TRIPWIRE,
        )
        uploader.step()

    assert (endpoint.requests, spool.waiting) == ([], 1)


def test_a_batch_is_split_by_its_own_format_whichever_the_shipper_writes(spool: Spool) -> None:
    messages = [
        pb.BatchEventMessage(events=[pb.EventMessage(event_name=f"e{n}")]).SerializeToString() for n in range(4)
    ]
    active = spool.begin(msgspec.structs.replace(make_head(compressed=False), format="risingwave", route="/events"))
    active.append(b"".join(messages), Tally(emitted=4, kept=4), {})
    spool.seal(active, Tally())
    add_segment(spool)
    with Endpoint(decide=lambda request: 400 if messages[2] in request.body else 200) as endpoint:
        _deliver_all(_uploader(spool, endpoint), spool)

    assert (read_balanced(spool).delivered, read_balanced(spool).tally.dropped) == (6, {"rejected": 1})


class _Told:
    """An event that tells what is done with it, and never waits."""

    def __init__(self) -> None:
        self.done: list[object] = []

    def wait(self, seconds: float) -> None:
        self.done.append(seconds)

    def clear(self) -> None:
        self.done.append("clear")

    def set(self) -> None:
        self.done.append("set")


def test_the_loop_waits_as_long_as_a_step_says_unless_it_is_woken(spool: Spool, refusing: str) -> None:
    uploader = Uploader(spool, HttpSink(refusing, STEADY, {}), STEADY, lambda: PERMITTED, TRIPWIRE)
    told = _Told()
    left: list[float | Exception] = [5.0, 0.0, OSError(28, "full"), ValueError("a mistake"), 7.0]
    made_way: list[OSError] = []
    uploader._wake = told  # type: ignore[assignment] # it is asked for no more
    spool.make_way = made_way.append  # type: ignore[assignment, method-assign] # the same

    def step() -> float:
        now = left.pop(0)
        if not left:
            uploader.stop()
        if isinstance(now, Exception):
            raise now
        return now

    uploader.step = step  # type: ignore[method-assign] # the loop alone is looked at
    uploader.run()

    first, cleared, of_disk, second, of_mistake, third, *rest = told.done
    assert (first, cleared, second, third, rest) == (5.0, "clear", "clear", "clear", ["set", 7.0, "clear"])
    assert isinstance(of_disk, float)
    assert isinstance(of_mistake, float)
    assert 0 <= of_disk <= STEADY.retry_min_seconds
    assert 0 <= of_mistake <= 2 * STEADY.retry_min_seconds
    assert [fault.errno for fault in made_way] == [28]
    assert (uploader.state, uploader.cause) == ("retrying", "fault: ValueError")

    told.done.clear()
    uploader.nudge()
    uploader.hurry()
    assert told.done == ["set", "set"]


def test_it_goes_well_if_something_waits_and_nothing_stands_against_it(spool: Spool, refusing: str) -> None:
    uploader = Uploader(spool, HttpSink(refusing, AT_ONCE, {}), AT_ONCE, lambda: PERMITTED, TRIPWIRE)
    found = [uploader.goes_well]
    assert uploader.in_flight == 0
    add_segment(spool)
    found.append(uploader.goes_well)
    uploader.step()
    found.append(uploader.goes_well)
    assert (found, bool(uploader.cause)) == ([False, True, False], True)
