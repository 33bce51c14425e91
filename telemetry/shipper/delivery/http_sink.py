"""Sink for an HTTP endpoint. It blocks for as long as an upload takes.

One connection is kept alive within a session of events, and none beyond its end: a server must not be able to link two
sessions by their connection. No cookies, no redirects, no ~/.netrc.
"""

from __future__ import annotations

import os
import ssl
import time
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import requests
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from telemetry import receipt
from telemetry.bearer import Token
from telemetry.endpoint import check_endpoint
from telemetry.errors import ConfigError
from telemetry.files import read_secret
from telemetry.shipper.delivery.backoff import retry_after
from telemetry.shipper.delivery.cause import cause_of, cause_of_status
from telemetry.shipper.delivery.lines import Lines
from telemetry.shipper.delivery.proxy import UnusableProxyError, find_proxy
from telemetry.shipper.delivery.recorder import record
from telemetry.shipper.encode import format_named
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.outcome import Outcome, Reply
from telemetry.thin import THIN_HEADER, parse_thin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.connectionpool import ConnectionPool

    from telemetry.settings import ShipperSettings
    from telemetry.shipper.delivery.recorder import RequestHead
    from telemetry.spool.segment import Head, Seal
    from telemetry.spool.tally import Tally


MAX_REPLY_BYTES = 64 << 10
"""How much of a reply's body is read, to tell a collector from a portal, and to use the connection again."""


class _Kept(msgspec.Struct):
    """The reply of a collector to a batch that it has."""

    batch: str
    stored: bool


_decode_kept = msgspec.json.Decoder(_Kept).decode


class UploadTimeout(Exception):  # noqa: N818 a kind of fault, as status and log call it
    """Raised when an upload takes longer than it may."""


class HttpSink:
    """A sink that uploads batches to one HTTP endpoint.

    Raises:
        ConfigError: the endpoint is no http(s) URL, plain http beyond this machine, or a file or the token can't be
            read.
    """

    def __init__(self, endpoint: str, settings: ShipperSettings, environ: Mapping[str, str]) -> None:
        target = check_endpoint(endpoint, allow_http=settings.allow_http)
        self._endpoint = endpoint
        self._settings = settings
        self._token = Token(settings.token_file, environ)
        if target.login and self._token.read():
            raise ConfigError(
                "endpoint: contains a user or password, and a token is set: a request can carry only one, so remove one"
            )
        self._obstacle = ""
        try:
            self._proxy = find_proxy(target, settings.proxy)
        except UnusableProxyError as fault:  # of the environment, which may not be ours to mend: what waits is kept
            self._proxy, self._obstacle = "", str(fault)
        self._read_files()
        _check_certificate(settings.client_certificate)
        self._lines = Lines(stays_here=target.scheme == "http" and not settings.allow_http)
        self._session = self._new_session()
        self._events_session = ""

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Upload one batch; every network fault becomes a reply.

        After an answer that does not concern the batch, the next connection is a new one, for which certificates are
        read and names are looked up again.
        """
        if seal.head.session != self._events_session:
            self._reconnect()
            self._events_session = seal.head.session
        reply = Reply(Outcome.PAUSED, self._obstacle) if self._obstacle else self._try(seal, body)
        if reply.outcome is Outcome.PAUSED:
            self._reconnect()
        return reply

    def _read_files(self) -> None:
        """Read the token, and check the certificates, which each connection reads.

        Raises ConfigError if one is unreadable.
        """
        self._token.read()
        for name in ("ca_file", "client_certificate"):
            _check_readable(name, getattr(self._settings, name))

    def _reconnect(self) -> None:
        self._session.close()
        self._session = self._new_session()

    def _try(self, seal: Seal, body: bytes) -> Reply:
        self._lines.open()
        upload = BytesIO(body)
        try:
            self._read_files()
        except ConfigError as fault:  # somebody is about to replace one
            return Reply(Outcome.RETRY, str(fault))
        try:
            with self._lines.within(self._settings.upload_timeout_seconds):
                response = self._post(self._session, seal, upload)
        except (requests.RequestException, HTTPError, OSError, ValueError) as fault:
            return Reply(Outcome.RETRY, cause_of(UploadTimeout() if self._lines.is_late else fault))
        if self._lines.is_late:  # a head that was cut short looks like a complete one
            response.close()
            return Reply(Outcome.RETRY, cause_of(UploadTimeout()))
        with response:
            return self._read(response, seal.head, is_whole=upload.tell() == len(body))

    def _read(self, response: requests.Response, head: Head, *, is_whole: bool) -> Reply:
        with self._lines.within(self._settings.read_timeout_seconds):
            said = _read_body(response)
        status, content_type = response.status_code, response.headers.get("Content-Type", "")
        answer = format_named(head.format).read_reply(status, content_type, said)
        if answer.outcome is Outcome.DELIVERED and not is_whole:
            return Reply(Outcome.RETRY, f"HTTP {status} before the end of the upload")
        cause = cause_of_status(status, content_type, said, answer.words, has_token=self.is_authorized)
        asked_seconds = retry_after(response.headers.get("Retry-After"), time.time())
        warning = answer.words if answer.outcome is Outcome.DELIVERED else ""
        thin = parse_thin(response.headers.get(THIN_HEADER, "{}")) if self._is_our_collector_s(said, head) else None
        return Reply(answer.outcome, cause, status, asked_seconds, answer.is_doubtful, answer.refused, warning, thin)

    def _is_our_collector_s(self, said: bytes, head: Head) -> bool:
        """Tell whether a reply is that of a collector that has shown who it is, to a batch in our own format."""
        if head.format != NDJSON.name or not (self._lines.stays_here or self._endpoint.startswith("https:")):
            return False
        with suppress(ValueError, RecursionError):
            return _decode_kept(said).batch == head.id
        return False

    def preview(self, seal: Seal, body: bytes) -> RequestHead:
        """Return the head of the request that `deliver` would make, by the same code; nothing is sent.

        Raises:
            OSError: a file that TLS needs is gone.
        """
        return record(self._new_session(), lambda session: self._post(session, seal, BytesIO(body)))

    @property
    def is_authorized(self) -> bool:
        """Whether a bearer token goes with each upload."""
        return bool(self._token.last)

    def abort(self) -> None:
        """Cut off the upload under way, including what the kernel has not sent yet; may be called from any thread."""
        self._lines.cut()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _post(self, session: requests.Session, seal: Seal, body: BytesIO) -> requests.Response:
        settings = self._settings
        return session.post(
            _with_route(self._endpoint, seal.head.route),
            # As a stream it goes piece by piece: given whole, all of it would have to be sent within one timeout.
            data=body,
            headers=self._headers(seal),
            timeout=(settings.connect_timeout_seconds, settings.read_timeout_seconds),
            allow_redirects=False,
            stream=True,
        )

    def _headers(self, seal: Seal) -> dict[str, str]:
        token = self._token.last
        return upload_headers(seal) | ({"Authorization": f"Bearer {token}"} if token else {})

    def _new_session(self) -> requests.Session:
        session = _Session()
        session.trust_env = False
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Adapter(self._lines))
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.clear()
        session.headers["User-Agent"] = USER_AGENT
        if self._proxy:
            session.proxies.update(dict.fromkeys(("http", "https"), self._proxy))
        session.verify = self._settings.ca_file or True
        session.cert = self._settings.client_certificate or None
        return session


class _Session(requests.Session):
    """A session that knows no redirects."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, so that a redirect's body is never read and unpacked, whatever its size."""


class _Adapter(requests.adapters.HTTPAdapter):
    """An adapter whose connections can be cut off."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> ConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **options)
        if isinstance(pool, HTTPConnectionPool):
            pool.ConnectionCls = self._lines.cuttable(pool.ConnectionCls)
        return pool


def _with_route(endpoint: str, route: str) -> str:
    """Append a format's route to an endpoint, unless the endpoint names it already."""
    base = endpoint.rstrip("/")
    return f"{base}{route}" if route and not base.endswith(route) else endpoint


def upload_headers(seal: Seal) -> dict[str, str]:
    """Return the headers of a batch, which are the same on every try, even after a restart."""
    encoding = {"Content-Encoding": seal.head.encoding} if seal.head.compressed else {}
    first = {receipt.FIRST_HEADER: receipt.format_first(seal.head.first)} if seal.head.first else {}
    return {
        "Content-Type": seal.head.content_type,
        **encoding,
        receipt.BATCH_HEADER: seal.head.id,
        receipt.CATALOG_HEADER: receipt.format_catalog(seal.head.catalog, seal.head.catalog_digest),
        receipt.CONSENT_HEADER: receipt.format_receipt(seal.head.receipt),
        receipt.LEDGER_HEADER: _format_ledger(seal.session_tally),
        **first,
    }


def _format_ledger(tally: Tally) -> str:
    counts = {"emitted": tally.emitted, "kept": tally.kept, **tally.dropped}
    return "; ".join(f"{name}={number}" for name, number in counts.items())


def _check_readable(name: str, file: str) -> None:
    if not file:
        return
    try:
        with Path(file).open("rb"):
            pass
    except OSError as fault:
        reason = os.strerror(fault.errno or 0)
        raise ConfigError(f"{name}={file!r}: {reason}; name a file that user {os.getuid()} can read") from None
    except ValueError:
        raise ConfigError(f"{name}={file!r}: no file can have that name; name an existing file") from None


def _check_certificate(file: str) -> None:
    """Raise ConfigError at once for an unusable certificate: otherwise each upload would fail as if for the network."""
    if not file:
        return
    read_secret(Path(file), "client_certificate")
    try:
        # A passphrase is not asked for: nobody may be there.
        ssl.create_default_context().load_cert_chain(file, password=lambda: "")
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            f"client_certificate={file!r}: must hold a certificate and its key, in PEM and without a passphrase"
        ) from None


def _read_body(response: requests.Response) -> bytes:
    """Read a reply's body, so that the connection can be kept; a fault here does not change the reply's status."""
    with suppress(requests.RequestException, HTTPError, OSError, ValueError):
        return response.raw.read(MAX_REPLY_BYTES, decode_content=False) or b""
    return b""


def _user_agent() -> str:
    try:
        return f"telemetry/{version('telemetry-shipper')}"
    except PackageNotFoundError:  # run from a tree that is not installed
        return "telemetry"


USER_AGENT = _user_agent()
