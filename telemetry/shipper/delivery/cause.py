"""Names for failed uploads, in the log and in `telemetry status`: the kind of fault, and in brackets its meaning.

    ConnectionRefusedError (nobody listens there)
    SSLError: WRONG_VERSION_NUMBER (no TLS is spoken there: is its address http://, or its port another?)
    HTTP 401 (it asks for a token, and none is set: TELEMETRY_TOKEN, or token_file)

A fault's own text is never used, nor a reply's: those hold URLs with their passwords, addresses, and whatever an
endpoint has written.
"""

from __future__ import annotations

import re
import ssl
from http.client import BadStatusLine, RemoteDisconnected
from typing import TYPE_CHECKING

from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, ProxyError, ReadTimeoutError

from telemetry.shipper.outcome import is_in_the_way, is_page

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = (ConnectTimeoutError, NameResolutionError, ReadTimeoutError)
"""The exceptions that say more than those they were made from."""

_MOST_LINKS = 16
_REFUSED_BY_PROXY = re.compile(r"Tunnel connection failed: (\d{3})")

_HTTP_2 = "it speaks only HTTP/2, and uploads are HTTP/1.1: enable that there"
_NO_TLS = "it does not speak TLS: should the address begin with http://, or is the port wrong?"
_WANTS_TLS = "it speaks TLS: the address must begin with https://"
_WANTS_CERTIFICATE = "it asks for a client certificate, or a different one: set client_certificate"
_KINDS = {
    r"ConnectionRefusedError": "nobody listens there",
    r"NameResolutionError": "its name can't be resolved",
    r"ConnectTimeoutError": "nothing answers there: a firewall?",
    r"ReadTimeoutError|TimeoutError": "it is silent",
    r"UploadTimeout": "it takes longer than upload_timeout_seconds",
    r"LeavesThisMachineError": "plain http to another machine: use https, or set allow_http",
    r"RemoteDisconnected|ConnectionResetError": "it hangs up without an answer: does it speak HTTP/1.1, without TLS?",
    r"SSLEOFError|SSLZeroReturnError": "it hangs up: is a client certificate missing, or HTTP/2?",
    r"SSLError: (WRONG_VERSION_NUMBER|HTTP_REQUEST|UNKNOWN_PROTOCOL|RECORD_LAYER_FAILURE|PACKET_LENGTH\w+)": _NO_TLS,
    r"SSLError: TLSV1_ALERT_NO_APPLICATION_PROTOCOL": _HTTP_2,
    r"SSLError: (TLSV1_ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL)": "it does not speak TLS 1.2 or newer",
    r"SSLError: SSLV3_ALERT_CERTIFICATE_EXPIRED": "our client certificate has expired: client_certificate",
    r"SSLError: \w+_ALERT_(HANDSHAKE_FAILURE|UNKNOWN_CA|\w*CERTIFICATE\w*)": _WANTS_CERTIFICATE,
    r"SSLCertVerificationError: .*(expired|not yet valid)": "its certificate; or this machine's clock is wrong",
    r"SSLCertVerificationError: .*(mismatch|valid for)": "its certificate is for another name",
    r"SSLCertVerificationError: .*": "its certificate is not trusted here: set ca_file to its authority",
    r"proxy: HTTP 407": "the proxy asks for a user and a password: put them in its URL",
    r"proxy: HTTP \d+": "the proxy does not let us through to it",
}
_FIRST_BYTES = {
    b"\x15\x03": _WANTS_TLS,
    b"\x05": "a SOCKS proxy answers there",
    b"\0[": "a SOCKS proxy answers there",
}
"""The first bytes of replies that are not HTTP: an alert of TLS; the refusals of SOCKS 5 and 4."""

_FRAME_TYPES = b"\x04\x07"
"""The types of SETTINGS and GOAWAY, with which an HTTP/2 server begins, or ends at once (RFC 9113, 3.4 and 6)."""

_PAGE_SAYS = {
    rb"SSL certificate|client certificate": _WANTS_CERTIFICATE,
    rb"HTTPS port|HTTPS server|SSL-enabled|requires TLS": _WANTS_TLS,
    rb"": "this comes from a server or a proxy in between, not from a collector",
}
_STATUSES = {
    r"2\d\d": "an HTML page, not a collector's answer: a portal or a proxy in between, or the wrong address",
    r"3\d\d": "it redirects, and redirects are not followed: set the endpoint to the final address",
    r"403": "it refuses access: because of the token, the level of consent, or a firewall",
    r"40[45]": "nothing takes batches there: is the path right?",
    r"407": "the proxy asks for a user and a password: put them in its URL",
    r"415": "it does not accept this format, or this compression",
    r"421": "it serves no such host",
    r"426|505": "it asks for a protocol other than HTTP/1.1",
    r"431": "the headers are too long for it: is the token too long?",
    r"451": "it is blocked for legal reasons",
    r"49[56]": _WANTS_CERTIFICATE,
    r"497": _WANTS_TLS,
    r"511": "the network asks for a login",
}


def cause_of(fault: BaseException) -> str:
    """Name a fault by the innermost of the exceptions that `requests` and `urllib3` wrap it in."""
    chain = list(_unwrap(fault))
    root = next((link for link in chain if type(link) in _PLAIN), chain[-1])
    by_proxy = any(isinstance(link, ProxyError) for link in chain)
    kind = ("proxy: " if by_proxy else "") + _name(root)
    return _explained(kind, _words_of_line(root) or _find(_KINDS, kind, kind.removeprefix("proxy: ")))


def cause_of_status(status: int, content_type: str, body: bytes, said: str = "", *, has_token: bool) -> str:
    """Name a reply that confirms nothing; `said` are the words that its format has for it."""
    kind = f"HTTP {status}"
    if status == 401:  # noqa: PLR2004 of HTTP
        missing = "it does not accept the token" if has_token else "it asks for a token, and none is set"
        return _explained(kind, f"{missing}: TELEMETRY_TOKEN, or token_file")
    is_refusal = 400 <= status < 500  # noqa: PLR2004 the class of HTTP statuses
    if is_refusal and is_in_the_way(content_type, body):
        specific = next(words for pattern, words in _PAGE_SAYS.items() if re.search(pattern, body, re.IGNORECASE))
        general = _find(_STATUSES, str(status))
        return _explained(kind, general if general and specific == _PAGE_SAYS[rb""] else specific)
    if said:
        return _explained(kind, said)
    words = _find(_STATUSES, str(status))
    return _explained(kind, words if status >= 300 or is_page(content_type, body) else "")  # noqa: PLR2004 the same


def _explained(kind: str, words: str) -> str:
    return f"{kind} ({words})" if words else kind


def _find(known: dict[str, str], *kinds: str) -> str:
    return next((words for kind in kinds for pattern, words in known.items() if re.fullmatch(pattern, kind)), "")


def _unwrap(fault: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = fault
    for _ in range(_MOST_LINKS):
        if link is None:
            return
        yield link
        inner = (getattr(link, "reason", None), *link.args, link.__cause__)
        link = next((value for value in inner if isinstance(value, BaseException)), None)


def _name(fault: BaseException) -> str:
    kind = type(fault).__name__
    if isinstance(fault, ssl.SSLCertVerificationError):
        # OpenSSL's own words; behind a comma Python names the host.
        return f"{kind}: {fault.verify_message.partition(',')[0]}"
    if isinstance(fault, ssl.SSLError) and fault.reason:
        return f"{kind}: {fault.reason.replace(' ', '_').upper()}"
    if refused := _REFUSED_BY_PROXY.search(str(fault)):
        return f"HTTP {refused[1]}"
    return kind


def _words_of_line(fault: BaseException) -> str:
    """Tell from the first bytes of a reply which protocol it speaks instead of HTTP."""
    if not isinstance(fault, BadStatusLine) or isinstance(fault, RemoteDisconnected):
        return ""
    said = str(fault.args[0]).strip("'").encode("latin-1", errors="replace")
    if len(said) > 3 and said[0] == 0 and said[3] in _FRAME_TYPES:  # noqa: PLR2004 a frame's type is its fourth byte
        return _HTTP_2
    found = (words for first, words in _FIRST_BYTES.items() if said.startswith(first))
    return next(found, "no HTTP is spoken there")
