"""Certificates of servers that are trusted, and of those that must not be. Made anew in each run."""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache

import trustme

_DAY = timedelta(days=1)
_HOST = "127.0.0.1"
FAR_HOST = "far.example"
"""Behind a proxy: to this machine none is asked."""


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


def authority_pem() -> bytes:
    """The one authority that is trusted."""
    return _authority().cert_pem.bytes()


def tls(kind: str) -> ssl.SSLContext:
    """A server's side of TLS: `good`, or what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if kind == "self-signed":
        own = trustme.CA()
        with own.cert_pem.tempfile() as certificate, own.private_key_pem.tempfile() as key:
            context.load_cert_chain(certificate, key)
        return context
    _certificate(kind).configure_cert(context)
    if kind == "TLS 1.0":
        _speak_tls_1_0(context)
    if kind == "asks for a certificate":
        context.verify_mode = ssl.CERT_REQUIRED
        _authority().configure_trust(context)
    return context


def _certificate(kind: str) -> trustme.LeafCert:
    now = datetime.now(UTC)
    match kind:
        case "expired":
            return _authority().issue_cert(_HOST, not_before=now - 3 * _DAY, not_after=now - _DAY)
        case "not yet valid":
            return _authority().issue_cert(_HOST, not_before=now + _DAY, not_after=now + 3 * _DAY)
        case "of an unknown authority":
            return trustme.CA().issue_cert(_HOST)
        case "for another name":
            return _authority().issue_cert("telemetry.example")
        case _:
            return _authority().issue_cert(_HOST, FAR_HOST)


def _speak_tls_1_0(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
