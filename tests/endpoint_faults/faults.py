"""The list: what an endpoint, a proxy or the network between may do, and what must come of it."""

from __future__ import annotations

from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from endpoint_faults import behaviours as does
from endpoint_faults.behaviours import HTML, answers, reply
from endpoint_faults.server import OK, takes_all
from endpoint_faults.stage import TRAP
from telemetry.shipper.outcome import Outcome

if TYPE_CHECKING:
    from endpoint_faults.server import Behaviour

ELSEWHERE = f"Location: http://{TRAP}/v1/batches"
BATCHES = 2
"""So many wait when a fault begins."""
LARGE_EVENTS = 60_000
"""Their batch is larger than what the kernel takes on a connection that nobody reads."""

SOON = {"connect_timeout_seconds": 0.4, "read_timeout_seconds": 0.4}
SLOW = {"connect_timeout_seconds": 1.0}
"""Less than such an upload takes in all."""
LATE = {"upload_timeout_seconds": 0.4}


class Fault(NamedTuple):
    """One fault, in an outage of ten minutes.

    Attributes:
        name: of the fault.
        behave: what the server does; None when nobody listens.
        outcome: of the first upload.
        says: what the log and `telemetry status` call it, a regular expression; empty when nothing goes wrong.
        uploads: the most that may be tried in the ten minutes.
        lost: the most events that may be rejected for good.
        lines: the most in the log, until the fault is over; in trouble there is one.
        events: in each batch.
        tls: the certificate's kind, or `none` for none where there should be one; empty for plain http.
        place: `endpoint`; `proxy`, of a plain endpoint; `tls proxy`, of one behind TLS; `name`, when it is the
            endpoint's that can't be resolved; `backlog`, when it is that of a server that accepts nobody.
        settings: of the shipper.
        sees_token: whether the server may be shown the token.
    """

    name: str
    behave: Behaviour | None
    outcome: Outcome
    says: str = ""
    uploads: int = 30
    lost: int = 0
    lines: int = 1
    events: int = 3
    tls: str = ""
    place: str = "endpoint"
    settings: dict[str, Any] = {}  # noqa: RUF012 never changed
    sees_token: bool = True


def _delivered(name: str, behave: Behaviour, **more: Any) -> Fault:
    return Fault(name, behave, Outcome.DELIVERED, **{"uploads": 2, "lines": 0, **more})


def _retry(name: str, behave: Behaviour | None, says: str, **more: Any) -> Fault:
    return Fault(name, behave, Outcome.RETRY, says, **more)


def _paused(name: str, behave: Behaviour, says: str, **more: Any) -> Fault:
    return Fault(name, behave, Outcome.PAUSED, says, **{"uploads": 3, **more})


def _split(name: str, behave: Behaviour, says: str, lost: int, **more: Any) -> Fault:
    return Fault(name, behave, Outcome.SPLIT, says, lost=lost, **more)


def _guilty(name: str, status: int, *numbers: int) -> Fault:
    """In each of both batches; ten halvings ask for at most 20 uploads more than one, for each of the guilty."""
    lost = BATCHES * len(numbers)
    behave = does.refuses(status, *numbers)
    return _split(name, behave, f"HTTP {status}", lost, events=1000, uploads=21 * lost, lines=lost)


def _all_guilty(name: str, behave: Behaviour, says: str) -> Fault:
    return _split(name, behave, says, lost=BATCHES * 1000, events=1000, uploads=BATCHES * 3, lines=BATCHES)


def _no_tls(name: str, behave: Behaviour, says: str, **more: Any) -> Fault:
    return _retry(name, behave, says, **{"tls": "none", "sees_token": False, **more})


def _unverified(name: str, says: str) -> Fault:
    return _no_tls(f"certificate {name}", takes_all, says, tls=name)


def _waits(name: str, header: str, uploads: int) -> Fault:
    return _retry(
        f"429, Retry-After {name}", answers(lambda _: reply(429, f"Retry-After: {header}")), "HTTP 429", uploads=uploads
    )


def _date(seconds: float) -> Behaviour:
    return answers(lambda _: reply(429, f"Retry-After: {formatdate(time() + seconds, usegmt=True)}"))


def _by_proxy(name: str, behave: Behaviour | None, says: str, **more: Any) -> Fault:
    return _retry(f"proxy of TLS: {name}", behave, says, place="tls proxy", sees_token=False, **more)


CONNECTIONS = [
    _retry("refused", None, "ConnectionRefusedError"),
    _retry("no such name", takes_all, "NameResolutionError", place="name"),
    _retry("black hole at connect", None, "ConnectTimeoutError", place="backlog", settings=SOON),
    _retry("black hole", does.silent, "ReadTimeoutError", settings=SOON),
    _retry("takes nothing in", does.deaf, "TimeoutError", settings=SOON, events=LARGE_EVENTS),
    _delivered("takes it in slowly", does.reads_slowly, settings=SLOW, events=LARGE_EVENTS),
    _retry("closes at once", does.closes_at_once, "ConnectionResetError|RemoteDisconnected", lines=2),
    _retry("closes before the reply", does.closes, "RemoteDisconnected"),
    _retry("resets before the reply", does.resets, "ConnectionResetError"),
    _retry(
        "resets mid-body", does.resets_mid_body, "ConnectionResetError|RemoteDisconnected", events=LARGE_EVENTS, lines=2
    ),
    _delivered("closes a kept connection", does.closes_after(OK)),
    _delivered("resets a kept connection", does.resets_the_second, uploads=3, lines=2),
]

REPLIES = [
    _delivered("100-Continue", answers(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)),
    _retry("100-Continue without end", does.goes_on_for_ever(b"HTTP/1.1 100 \r\n\r\n"), "UploadTimeout", settings=LATE),
    _paused("103 first", answers(b"HTTP/1.1 103 Early\r\n\r\n" + OK), "HTTP 103"),
    _retry("drips its head", does.drips(b"HTTP/1.1 200 OK\r\nX: "), "UploadTimeout", settings=LATE),
    _delivered("drips its body", does.drips(reply(200, length=50_000)), settings=SOON),
    _delivered("truncated body", does.closes_after(reply(200, body=b"half", length=500))),
    _delivered("truncated head", does.closes_after(b"HTTP/1.1 200 OK\r\nContent-Ty")),
    _retry("truncated status", does.closes_after(b"HTTP/1.1 2"), "BadStatusLine"),
    _retry("another protocol", does.closes_after(b"SSH-2.0-OpenSSH_9.2\r\n"), "BadStatusLine"),
    _retry("zeros", does.closes_after(bytes(100)), "BadStatusLine"),
    _retry("a header line without end", does.goes_on(b"HTTP/1.1 200 OK\r\nX: ", bytes(1 << 16)), "LineTooLong"),
    _retry("headers without end", does.goes_on(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000), "HTTPException"),
    _delivered("a body without end", does.goes_on(b"HTTP/1.1 200 OK\r\n\r\n", bytes(1 << 16))),
    _delivered("a header that is none", answers(reply(200, "no header", ": none", "\0: zero")), settings=SOON),
    _delivered("gzip bomb", does.bomb(200)),
    _paused("redirect, gzip bomb", does.bomb(302, ELSEWHERE), "HTTP 302"),
    _paused(
        "redirect, a body without end",
        does.goes_on(f"HTTP/1.1 302 Found\r\n{ELSEWHERE}\r\n\r\n".encode(), bytes(1 << 16)),
        "HTTP 302",
    ),
    _paused("redirect to nonsense", answers(reply(302, "Location: http://[::1/\x80")), "HTTP 302"),
    _delivered("Set-Cookie", answers(reply(200, "Set-Cookie: id=42; Path=/"))),
    _paused("portal's HTML", answers(reply(200, "Content-Type: text/html", body=HTML)), "HTTP 200"),
    _paused("portal's HTML, untyped", answers(reply(200, body=HTML)), "HTTP 200"),
    _paused(
        "portal's HTML, chunked",
        answers(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HTML), HTML)
        ),
        "HTTP 200",
    ),
    _retry(
        "200 before the body is read",
        does.answers_early(OK),
        "HTTP 200 before the end of the upload|Conn.*",
        events=LARGE_EVENTS,
        lines=2,
    ),
    _paused("401 before the body is read", does.answers_early(reply(401)), "HTTP 401", events=LARGE_EVENTS),
    _retry("502 and 503 in turn", does.in_turn(reply(502), reply(503)), "HTTP 50[23]", lines=2),
]

STATUSES = [
    *(_delivered(str(status), answers(reply(status))) for status in (201, 202, 204, 299, 409)),
    *(
        _paused(str(status), answers(reply(status, ELSEWHERE)), f"HTTP {status}")
        for status in (301, 302, 303, 307, 308)
    ),
    *(
        _paused(str(status), answers(reply(status)), f"HTTP {status}")
        for status in (304, 401, 402, 403, 404, 405, 407, 411, 415, 451, 501)
    ),
    *(
        _retry(str(status), answers(reply(status)), f"HTTP {status}")
        for status in (408, 425, 429, 500, 502, 503, 504, 511, 999)
    ),
    *(_retry(f"status {status}", answers(reply(status)), "BadStatusLine") for status in ("099", "1000", "two")),
]

PATIENCE = [
    _waits("in seconds", "120", 6),
    _waits("of years", "9" * 30, 1),
    _waits("negative", "-120", 30),
    _waits("nonsense", "soon, 120", 30),
    _retry("429, Retry-After a date", _date(120), "HTTP 429", uploads=7),
    _retry("429, Retry-After a past date", _date(-120), "HTTP 429"),
    _retry("503, Retry-After", answers(reply(503, "Retry-After: 120")), "HTTP 503", uploads=6),
    _paused("403, Retry-After", answers(reply(403, "Retry-After: 3000")), "HTTP 403", uploads=1),
]

REFUSALS = [
    # A guilty event among a thousand costs itself: each halving asks twice.
    *(_guilty(f"{status} for one event", status, 321) for status in (400, 413, 422)),
    _guilty("400 for two events of one half", 400, 7, 321),
    _guilty("413 for two events", 413, 7, 821),
    # Nobody can tell these from an endpoint that refuses everything: no more of a batch is tried than its halves.
    _all_guilty("400 for an event of each half", does.refuses(400, 7, 821), "HTTP 400"),
    _all_guilty("400 for everything", answers(reply(400)), "HTTP 400"),
    _all_guilty("422 for everything", answers(reply(422)), "HTTP 422"),
    # What is too large is halved, but when single events are too large, there is a wait after each.
    _split("413 for everything", answers(reply(413)), "HTTP 413", lost=30, events=1000, uploads=60, lines=30),
]

TLS = [
    _unverified("expired", "SSLCertVerificationError: certificate has expired"),
    _unverified("not yet valid", "SSLCertVerificationError: certificate is not yet valid"),
    _unverified("self-signed", "SSLCertVerificationError: self-signed certificate"),
    _unverified("of an unknown authority", "SSLCertVerificationError: unable to get local .*"),
    _unverified("for another name", "SSLCertVerificationError: IP address mismatch"),
    _no_tls("TLS 1.0", takes_all, "SSLError: .*", tls="TLS 1.0"),
    _no_tls("a certificate is asked for", takes_all, "SSL.*|Conn.*", tls="asks for a certificate", lines=3),
    _no_tls("no TLS on the TLS port", does.speaks_first(reply(400)), "SSLError: .*"),
    _no_tls("silent in the handshake", does.deaf, "ReadTimeoutError", settings=SOON),
    _no_tls("closes in the handshake", does.closes_at_once, "SSLEOFError.*|Conn.*", lines=2),
]

PROXIES = [
    _retry("proxy refused", None, "proxy: ConnectionRefusedError", place="proxy"),
    _paused("proxy: 407", answers(reply(407, "Proxy-Authenticate: Basic")), "HTTP 407", place="proxy"),
    _paused("proxy: HTML", answers(reply(200, "Content-Type: text/html", body=HTML)), "HTTP 200", place="proxy"),
    _retry("proxy: 502", answers(reply(502)), "HTTP 502", place="proxy"),
    _by_proxy("refused", None, "proxy: ConnectionRefusedError"),
    _by_proxy("407", answers(reply(407, "Proxy-Authenticate: Basic")), "proxy: HTTP 407"),
    _by_proxy("403", answers(reply(403)), "proxy: HTTP 403"),
    _by_proxy("HTML", does.closes_after(reply(200, body=HTML)), "SSL.*|Conn.*", lines=2),
    _by_proxy("silent", does.silent, "(proxy: )?ReadTimeoutError", settings=SOON),
    _by_proxy("drips", does.drips(b"HTTP/1.1 200 OK\r\nX: "), "UploadTimeout", settings=LATE),
    _by_proxy("headers without end", does.drips(b"HTTP/1.1 200 \r\n", b"X: y\r\n" * 9), "UploadTimeout", settings=LATE),
    _delivered("proxy of TLS, with its password", does.tunnels, place="tls proxy", sees_token=False),
]

NGINX = b"<html>\r\n<head><title>400 The SSL certificate error</title></head>\r\n<body>"
HAPROXY = b"<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n"
SQUID = b'<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">\n<html><head>'
GO = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
HTTP_2 = bytes.fromhex("000012040000000000 000300000064 000400100000 000600010000".replace(" ", ""))
GOAWAY = bytes.fromhex("000008070000000000 0000000000000001".replace(" ", ""))


def _page(name: str, status: int, body: bytes, says: str, content_type: str = "text/html", **more: Any) -> Fault:
    answer = reply(status, f"Content-Type: {content_type}", body=body)
    return _paused(f"{status}, {name}", answers(answer), f"HTTP {status} \\({says}.*\\)", **more)


IN_THE_WAY = [
    _page("nginx without a client certificate", 400, NGINX, "it asks for a client certificate"),
    _page("nginx over a batch of a thousand", 400, NGINX, "it asks for a client certificate", events=1000),
    _page("haproxy", 400, HAPROXY, "this comes from a server or a proxy in between"),
    _page("squid, taken for a collector", 400, SQUID, "this comes from a server or a proxy in between"),
    _page(
        "Flask",
        422,
        b"<!doctype html>\n<html lang=en>\n<title>422</title>",
        "this comes from a server or a proxy in between",
    ),
    _page(
        "Django's hosts", 400, b'\n<!doctype html>\n<html lang="en">', "this comes from a server or a proxy in between"
    ),
    _page(
        "Starlette's hosts",
        400,
        b"Invalid host header",
        "this comes from a server or a proxy",
        "text/plain; charset=utf-8",
    ),
    _page("Tomcat of TLS", 400, b"This combination of host and port requires TLS.", "it speaks TLS", "text/plain"),
    _page(
        "Cloudflare, of a name",
        409,
        b"<!DOCTYPE html>\n<html>error code: 1001",
        "this comes from a server or a proxy in between",
    ),
    _page(
        "of nginx, an event at a time",
        413,
        b"<html><title>413 Request Entity Too Large",
        "this comes from a server",
        events=1,
    )._replace(outcome=Outcome.SPLIT),
    _paused("400, Go of TLS", does.closes_after(GO), "HTTP 400 \\(it speaks TLS.*\\)"),
    _retry("HTTP/2 alone", does.closes_after(HTTP_2), "BadStatusLine \\(it speaks only HTTP/2.*\\)"),
    _retry("HTTP/2 alone, GOAWAY", does.closes_after(GOAWAY), "BadStatusLine \\(it speaks only HTTP/2.*\\)"),
    _retry("an alert of TLS", does.closes_after(b"\x15\x03\x03\0\x02\x02\x46"), "BadStatusLine \\(it speaks TLS.*\\)"),
    _retry("a SOCKS proxy", does.closes_after(b"\x05\xff"), "BadStatusLine \\(a SOCKS proxy.*\\)"),
    *(
        _paused(f"{status}, a page", answers(reply(status, "Content-Type: text/html", body=HTML)), f"HTTP {status}")
        for status in (421, 426, 431, 494, 495, 496, 497, 505)
    ),
]

FAULTS = [*IN_THE_WAY, *CONNECTIONS, *REPLIES, *STATUSES, *PATIENCE, *REFUSALS, *TLS, *PROXIES]
