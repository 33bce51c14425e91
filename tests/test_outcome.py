"""The table of outcomes."""

from __future__ import annotations

import pytest

from telemetry.shipper.delivery.outcome import Outcome, outcome_of

JSON, HTML = "application/json", "text/html; charset=utf-8"

TABLE = [
    *((status, JSON, Outcome.DELIVERED) for status in (200, 201, 202, 204, 299, 409)),
    *((status, JSON, Outcome.SPLIT) for status in (400, 413, 422)),
    *((status, JSON, Outcome.PAUSED) for status in (301, 302, 304, 307, 308, 401, 402, 403, 404, 405, 411, 415, 501)),
    *((status, JSON, Outcome.RETRY) for status in (408, 425, 429, 500, 502, 503, 504, 511, 599)),
    (200, HTML, Outcome.PAUSED),
    (202, "TEXT/HTML", Outcome.PAUSED),
    (409, HTML, Outcome.DELIVERED),
    (200, "", Outcome.DELIVERED),
    (100, JSON, Outcome.PAUSED),
]
PORTALS = (b"<!DOCTYPE html>\n<p>log in", b"\r\n  <html lang=en>", b"<HTML>")
COLLECTORS = (b"", b"ok", b"{}", b"<?xml version='1.0'?><ok/>", b"{'page': '<html>'}")


@pytest.mark.parametrize(
    ("status", "content_type", "outcome"), TABLE, ids=[f"{status} {kind or '-'}" for status, kind, _ in TABLE]
)
def test_a_status_has_its_outcome(status: int, content_type: str, outcome: Outcome) -> None:
    assert outcome_of(status, content_type) is outcome


def test_a_portal_is_known_by_what_it_says_whatever_it_calls_it() -> None:
    assert {outcome_of(200, JSON, body) for body in PORTALS} == {Outcome.PAUSED}
    assert {outcome_of(200, "", body) for body in COLLECTORS} == {Outcome.DELIVERED}
