"""Waiting: bounded, spread evenly, and as long as the endpoint asks, within reason."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, formatdate
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telemetry.shipper.delivery.backoff import MAX_RETRY_AFTER_SECONDS, full_jitter, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("failures", "bound"),
    [(1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (10_000, 300.0), (10**9, 300.0)],
)
def test_the_bound_doubles_up_to_the_most(failures: int, bound: float) -> None:
    assert full_jitter(failures, 1.0, 300.0, lambda: 1.0) == bound
    assert full_jitter(failures, 1.0, 300.0, lambda: 0.0) == 0.0
    assert full_jitter(failures, 1.0, 300.0, lambda: 0.5) == bound / 2


@pytest.fixture
def _in_tokyo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 7 ", 7.0, id="with blanks"),
        pytest.param("0", 0.0, id="none"),
        pytest.param(formatdate(NOW + 90, usegmt=True), 90.0, id="a date"),
        pytest.param(formatdate(NOW + 90).replace("-0000", ""), 90.0, id="a date without a zone"),
        pytest.param(
            format_datetime(datetime.fromtimestamp(NOW + 90, timezone(timedelta(hours=2)))),
            90.0,
            id="a date in another zone",
        ),
        pytest.param(formatdate(NOW - 90, usegmt=True), 0.0, id="a date that is past"),
        pytest.param("99999999", MAX_RETRY_AFTER_SECONDS, id="a year"),
        pytest.param("9" * 400, MAX_RETRY_AFTER_SECONDS, id="more than a float holds"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_SECONDS, id="the last date"),
        pytest.param("-5", 0.0, id="negative"),
        pytest.param("\u00b2", 0.0, id="a digit that is no number"),
        pytest.param("soon", 0.0, id="a word"),
        pytest.param("", 0.0, id="empty"),
        pytest.param(None, 0.0, id="no header"),
    ],
)
@pytest.mark.usefixtures("_in_tokyo")
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float) -> None:
    assert retry_after(header, NOW) == pytest.approx(seconds)


@settings(deadline=None)
@given(st.text())
@example("Mon, 99 Foo 0 99:99:99 +9999")
@example("1 Jan 1 0:0 +2400")
def test_no_header_can_do_harm(header: str) -> None:
    assert 0.0 <= retry_after(header, NOW) <= MAX_RETRY_AFTER_SECONDS
