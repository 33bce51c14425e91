"""How a failed upload is called: its kind, what to do about it, and never a word of a fault's or a reply's own text."""

from __future__ import annotations

import ssl
from http.client import BadStatusLine, RemoteDisconnected

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NameResolutionError, ProxyError

from telemetry.shipper.delivery.cause import cause_of, cause_of_status


def _tls(reason: str) -> ssl.SSLError:
    fault = ssl.SSLError(1, "canary.example")
    fault.reason = reason
    return fault


def _untrusted(message: str) -> ssl.SSLCertVerificationError:
    fault = ssl.SSLCertVerificationError(1, "canary.example")
    fault.verify_message = message
    return fault


def _wrapped(fault: Exception) -> requests.ConnectionError:
    """A fault as `requests` raises it."""
    return requests.ConnectionError(MaxRetryError(None, "https://canary.example", fault))  # type: ignore[arg-type]


def _nested(links: int) -> Exception:
    return ValueError(_nested(links - 1)) if links else ConnectionRefusedError("canary")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (_wrapped(ConnectionRefusedError(111, "canary")), "ConnectionRefusedError (nobody listens there)"),
        (
            _wrapped(NameResolutionError("canary.example", None, OSError())),  # type: ignore[arg-type]
            "NameResolutionError (its name can't be resolved)",
        ),
        (_wrapped(RemoteDisconnected("canary")), "RemoteDisconnected (it hangs up without an answer: "),
        (_tls("wrong version number"), "SSLError: WRONG_VERSION_NUMBER (it does not speak TLS: "),
        (_tls("TLSV1_ALERT_NO_APPLICATION_PROTOCOL"), "SSLError: TLSV1_ALERT_NO_APPLICATION_PROTOCOL (it speaks only "),
        (
            _tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            "SSLError: TLSV13_ALERT_CERTIFICATE_REQUIRED (it asks for a client",
        ),
        (_tls(""), "SSLError"),
        (
            _untrusted("Hostname mismatch, certificate is not valid for 'canary.example'."),
            "SSLCertVerificationError: Hostname mismatch (its certificate is for another name)",
        ),
        (
            _untrusted("certificate has expired"),
            "SSLCertVerificationError: certificate has expired (its certificate; or ",
        ),
        (_untrusted("self-signed"), "SSLCertVerificationError: self-signed (its certificate is not trusted here: "),
        (
            ProxyError("canary", OSError("Tunnel connection failed: 407 canary")),
            "proxy: HTTP 407 (the proxy asks for a user and a password: ",
        ),
        (
            ProxyError("canary", OSError("Tunnel connection failed: 502 canary")),
            "proxy: HTTP 502 (the proxy does not let us through to it)",
        ),
        (
            ProxyError("canary", ConnectionRefusedError("canary")),
            "proxy: ConnectionRefusedError (nobody listens there)",
        ),
        (BadStatusLine("\x15\x03\x01\0\2\2F"), "BadStatusLine (it speaks TLS: "),
        (BadStatusLine("\5\xff"), "BadStatusLine (a SOCKS proxy answers there)"),
        (BadStatusLine("\0[\0\0"), "BadStatusLine (a SOCKS proxy answers there)"),
        (BadStatusLine("\0\0\6\4"), "BadStatusLine (it speaks only HTTP/2, "),
        (BadStatusLine("\0\0\6\7\0"), "BadStatusLine (it speaks only HTTP/2, "),
        (BadStatusLine("\0\0\6\5\0"), "BadStatusLine (no HTTP is spoken there)"),
        (BadStatusLine("\1\0\6\4\0"), "BadStatusLine (no HTTP is spoken there)"),
        (BadStatusLine("\0\0\6"), "BadStatusLine (no HTTP is spoken there)"),
        (BadStatusLine("SSH-2.0-canary"), "BadStatusLine (no HTTP is spoken there)"),
        (KeyError("canary"), "KeyError"),
        (_nested(15), "ConnectionRefusedError (nobody listens there)"),
        (_nested(16), "ValueError"),
    ],
    ids=repr,
)
def test_a_fault_is_called_by_its_kind_and_what_to_do_and_not_by_its_text(fault: Exception, cause: str) -> None:
    found = cause_of(fault)

    assert found.startswith(cause)
    assert found.endswith(")") == ("(" in cause)
    assert "canary" not in found


PAGE = b"<html><body>canary %s</body></html>"
IN_BETWEEN = "this comes from a server or a proxy in between, not from a collector"


@pytest.mark.parametrize(
    ("status", "body", "said", "cause"),
    [
        (200, b"", "", "HTTP 200"),
        (200, PAGE, "", "HTTP 200 (an HTML page, not a collector's answer: "),
        (300, b"", "", "HTTP 300 (it redirects, "),
        (308, PAGE, "", "HTTP 308 (it redirects, "),
        (400, b"canary", "", "HTTP 400"),
        (400, PAGE, "", f"HTTP 400 ({IN_BETWEEN})"),
        (400, PAGE % b"No required SSL certificate was sent", "", "HTTP 400 (it asks for a client certificate, "),
        (400, PAGE % b"sent to HTTPS port", "", "HTTP 400 (it speaks TLS: "),
        (400, b"canary", "INVALID_ARGUMENT", "HTTP 400 (INVALID_ARGUMENT)"),
        (401, b"", "", "HTTP 401 (it asks for a token, and none is set: TELEMETRY_TOKEN, or token_file)"),
        (403, PAGE, "", "HTTP 403 (it refuses access: "),
        (403, PAGE % b"client certificate", "", "HTTP 403 (it asks for a client certificate, "),
        (404, b"", "", "HTTP 404 (nothing takes batches there: "),
        (407, b"", "", "HTTP 407 (the proxy asks for a user and a password: "),
        (499, PAGE, "", f"HTTP 499 ({IN_BETWEEN})"),
        (500, PAGE, "", "HTTP 500"),
        (505, b"", "", "HTTP 505 (it asks for a protocol other than HTTP/1.1)"),
        (511, b"", "", "HTTP 511 (the network asks for a login)"),
    ],
)
def test_a_reply_is_called_by_its_status_and_what_to_do_and_not_by_its_text(
    status: int, body: bytes, said: str, cause: str
) -> None:
    content_type = "text/html" if body.startswith(PAGE[:6]) else "text/plain"
    found = cause_of_status(status, content_type, body, said, has_token=False)

    assert found.startswith(cause)
    assert found.endswith(")") == ("(" in cause)
    assert "canary" not in found


def test_a_401_tells_whether_there_was_a_token_to_refuse() -> None:
    assert cause_of_status(401, "", b"", has_token=True).startswith("HTTP 401 (it does not accept the token: ")
