"""The table of outcomes."""

from __future__ import annotations

import pytest

from telemetry.shipper.outcome import Outcome, is_doubtful, outcome_of

JSON, HTML = "application/json", "text/html; charset=utf-8"

TABLE = [
    *((status, JSON, Outcome.DELIVERED) for status in (200, 201, 202, 204, 299, 409)),
    *((status, JSON, Outcome.SPLIT) for status in (400, 413, 422)),
    *((status, "", Outcome.SPLIT) for status in (400, 413, 422)),
    *(
        (status, JSON, Outcome.PAUSED)
        for status in (300, 301, 302, 304, 307, 308, 401, 402, 403, 404, 405, 411, 415, 501)
    ),
    *((status, HTML, Outcome.PAUSED) for status in (400, 409, 421, 422, 426, 431, 451, 494, 495, 496, 497, 505)),
    (413, HTML, Outcome.SPLIT),
    *((status, JSON, Outcome.RETRY) for status in (408, 425, 429, 500, 502, 503, 504, 511, 599)),
    (200, HTML, Outcome.PAUSED),
    (202, "TEXT/HTML", Outcome.PAUSED),
    (200, "", Outcome.DELIVERED),
    (100, JSON, Outcome.PAUSED),
]
PORTALS = (
    b"<!DOCTYPE html>\n<p>log in",
    b"\r\n  <html lang=en>",
    b"<HTML>",
    b"\xef\xbb\xbf<html>",
    "\ufeff<html>".encode("utf-16-le"),
    b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">',
    b"<!-- a proxy -->\n<head>",
    b"<script>location='http://portal'</script>",
    b'<meta http-equiv="refresh" content="0;url=/login">',
    b"<h1>Bad Request (400)</h1>",
)
COLLECTORS = (b"", b"ok", b"{}", b"<?xml version='1.0'?><ok/>", b"{'page': '<html>'}", b"<batch/>", b"<pre")


@pytest.mark.parametrize(
    ("status", "content_type", "outcome"), TABLE, ids=[f"{status} {kind or '-'}" for status, kind, _ in TABLE]
)
def test_a_status_has_its_outcome(status: int, content_type: str, outcome: Outcome) -> None:
    assert outcome_of(status, content_type) is outcome


def test_a_portal_is_known_by_what_it_says_whatever_it_calls_it() -> None:
    assert {outcome_of(200, JSON, body) for body in PORTALS} == {Outcome.PAUSED}
    assert {outcome_of(200, "", body) for body in COLLECTORS} == {Outcome.DELIVERED}


REFUSALS_OF_A_BODY = [
    (JSON, b'{"error": "line 3 is no event"}'),
    ("text/html; charset=utf-8", b'{"error": "of PHP, which calls all it says HTML"}'),
    ("text/plain", b"line 3 is no event"),
    ("text/plain; charset=utf-8", b"400: Bad Request"),
    ("application/problem+json", b'{"title": "Bad Request"}'),
    ("application/x-protobuf", b"\x08\x03\x12\x07invalid"),
    ("application/xml", b'<?xml version="1.0"?><Error><Code>InvalidRequest</Code></Error>'),
    ("", b""),
]
REFUSALS_OF_ANOTHER = [
    ("text/html", b"<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>"),
    ("text/html; charset=utf-8", b"<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>"),
    ("text/html", b"bad event"),
    ("text/plain", b"Invalid host header"),
    ("", b"Client sent an HTTP request to an HTTPS server.\n"),
    ("text/plain;charset=UTF-8", b"Bad Request\r\nThis combination of host and port requires TLS.\r\n"),
    ("text/plain; charset=utf-8", b"400 Bad Request: malformed Host header"),
    ("text/plain; charset=utf-8", b"Invalid HTTP request received."),
]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(("content_type", "body"), REFUSALS_OF_A_BODY)
def test_who_refuses_a_body_in_words_for_a_program_has_it_split(status: int, content_type: str, body: bytes) -> None:
    assert outcome_of(status, content_type, body) is Outcome.SPLIT
    assert not is_doubtful(status, content_type, body)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(("content_type", "body"), REFUSALS_OF_ANOTHER)
def test_a_page_or_a_server_s_own_words_refuse_no_body(status: int, content_type: str, body: bytes) -> None:
    assert outcome_of(status, content_type, body) is Outcome.PAUSED
    assert is_doubtful(status, content_type, body)


def test_a_server_s_words_are_looked_for_in_the_first_512_bytes() -> None:
    words = b"Invalid host header"
    assert is_doubtful(400, "text/plain", words.rjust(512))
    assert not is_doubtful(400, "text/plain", words.rjust(513))


@pytest.mark.parametrize("status", [301, 401, 403, 404, 407, 431, 500, 502])
def test_what_nobody_says_of_a_body_is_not_in_doubt(status: int) -> None:
    assert not is_doubtful(status, HTML, b"<html>")
