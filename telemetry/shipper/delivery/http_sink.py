"""The sink that is an HTTP endpoint. Blocks for as long as an upload takes.

One connection is kept alive within a session of events, and none over its end: a server must not be able to join two
sessions by the connection they came on. No cookies, no redirects, no ~/.netrc.
"""

from __future__ import annotations

import os
import ssl
import time
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import requests
from requests.utils import get_environ_proxies, should_bypass_proxies
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from telemetry import receipt
from telemetry.errors import ConfigError
from telemetry.paths import read_secret
from telemetry.settings import without_credentials
from telemetry.shipper.delivery.backoff import retry_after
from telemetry.shipper.delivery.lines import Lines
from telemetry.shipper.delivery.outcome import Outcome, Reply, outcome_of
from telemetry.shipper.delivery.recorder import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.connectionpool import ConnectionPool

    from telemetry.settings import ShipperSettings
    from telemetry.shipper.delivery.recorder import RequestHead
    from telemetry.spool.segment import Seal
    from telemetry.spool.tally import Tally


MAX_REPLY_BYTES = 64 << 10
"""A reply's body is read only so that the connection can be used again; beyond this it is not worth it."""


class HttpSink:
    """Uploads batches to one endpoint.

    Raises:
        ConfigError: the endpoint is no http(s) URL, plain http beyond this machine, or a file or the token can't be
            read.
    """

    def __init__(self, endpoint: str, settings: ShipperSettings, environ: Mapping[str, str]) -> None:
        self._endpoint = check_endpoint(endpoint, allow_http=settings.allow_http)
        self._settings = settings
        self._token = _token(settings.token_file, environ)
        self._proxies = _proxies(endpoint, settings.proxy)
        _check_readable("ca_file", settings.ca_file)
        _check_certificate(settings.client_certificate)
        self._lines = Lines()
        self._session = self._new_session()
        self._events_session = ""

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Upload one batch; every fault of the network is a reply too."""
        if seal.head.session != self._events_session:
            self._session.close()
            self._session = self._new_session()
            self._events_session = seal.head.session
        self._lines.open()
        try:
            response = self._post(self._session, seal, body)
        except (requests.RequestException, HTTPError, OSError, ValueError) as fault:
            return Reply(Outcome.RETRY, _name(fault))
        with response:
            _discard_body(response)
            return Reply(
                outcome_of(response.status_code, response.headers.get("Content-Type", "")),
                f"HTTP {response.status_code}",
                response.status_code,
                retry_after(response.headers.get("Retry-After"), time.time()),
            )

    def preview(self, seal: Seal, body: bytes) -> RequestHead:
        """The head of the request that `deliver` would make, by the very code that makes it; nothing is sent.

        Raises:
            OSError: a file that TLS needs is gone.
        """
        return record(self._new_session(), lambda session: self._post(session, seal, body))

    @property
    def is_authorized(self) -> bool:
        """Whether a bearer token goes with each upload."""
        return bool(self._token)

    def abort(self) -> None:
        """Cut off the upload under way, if there is one, with what the kernel has not sent yet; from any thread."""
        self._lines.cut()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _post(self, session: requests.Session, seal: Seal, body: bytes) -> requests.Response:
        settings = self._settings
        return session.post(
            self._endpoint + seal.head.route,
            data=body,
            headers=self._headers(seal),
            timeout=(settings.connect_timeout_seconds, settings.read_timeout_seconds),
            allow_redirects=False,
            stream=True,
        )

    def _headers(self, seal: Seal) -> dict[str, str]:
        authorization = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return upload_headers(seal) | authorization

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Adapter(self._lines))
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.clear()
        session.headers["User-Agent"] = USER_AGENT
        session.proxies.update(self._proxies)
        session.verify = self._settings.ca_file or True
        session.cert = self._settings.client_certificate or None
        return session


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes connections that can be cut off."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> ConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **options)
        if isinstance(pool, HTTPConnectionPool):
            pool.ConnectionCls = self._lines.cuttable(pool.ConnectionCls)
        return pool


def upload_headers(seal: Seal) -> dict[str, str]:
    """The headers of a batch: the same on every try, also after a restart."""
    encoding = {"Content-Encoding": "zstd"} if seal.head.compressed else {}
    return {
        "Content-Type": seal.head.content_type,
        **encoding,
        receipt.BATCH_HEADER: seal.head.id,
        receipt.CATALOG_HEADER: seal.head.catalog,
        receipt.CONSENT_HEADER: receipt.format_receipt(seal.head.receipt),
        receipt.LEDGER_HEADER: _format_ledger(seal.session_tally),
    }


def check_endpoint(endpoint: str, *, allow_http: bool) -> str:
    """The endpoint without a final slash.

    Raises:
        ConfigError: it is no http(s) URL, or sends in clear over a network that was not allowed by name.
    """
    url, shown = _split_url(endpoint), without_credentials(endpoint)
    if url is None or url.query or url.fragment:
        raise ConfigError(f"endpoint={shown!r}: must be a URL such as https://telemetry.example/v1/batches")
    if url.scheme == "http" and not (allow_http or _is_loopback(url)):
        raise ConfigError(f"endpoint={shown!r}: plain http goes to this machine only; use https, or set allow_http")
    return endpoint.rstrip("/")


def _split_url(text: str) -> SplitResult | None:
    """A URL of http(s); None for what is none."""
    try:
        url = urlsplit(text)
        is_url = url.scheme in {"http", "https"} and url.hostname and (url.port is None or url.port)
    except ValueError:
        return None
    return url if is_url else None


def _is_loopback(url: SplitResult) -> bool:
    if url.hostname == "localhost":
        return True
    try:
        return ip_address(url.hostname or "").is_loopback
    except ValueError:
        return False


def _format_ledger(tally: Tally) -> str:
    counts = {"emitted": tally.emitted, "kept": tally.kept, **tally.dropped}
    return "; ".join(f"{name}={number}" for name, number in counts.items())


def _token(file: str, environ: Mapping[str, str]) -> str:
    if token := environ.get("TELEMETRY_TOKEN"):
        return _check_token(token, "TELEMETRY_TOKEN")
    if not file:
        return ""
    return _check_token(read_secret(Path(file), "token_file").decode(errors="replace"), f"token_file={file!r}")


def _check_token(text: str, where: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{where}: holds no token; write it there as one line of ASCII, without blanks")
    return token


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
        raise ConfigError(f"{name}={file!r}: no file can have that name; name one that is there") from None


def _check_certificate(file: str) -> None:
    """One that can't be used must be said now: each upload would fail, as if it were the network."""
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


def _proxies(endpoint: str, proxy: str) -> dict[str, str]:
    if proxy:
        if _split_url(proxy) is None:
            raise ConfigError("proxy: must be a URL such as http://proxy.example:3128")  # its value may hold a password
        return {"http": proxy, "https": proxy}
    if should_bypass_proxies(endpoint, no_proxy=None):
        return {}
    return dict(get_environ_proxies(endpoint))


def _discard_body(response: requests.Response) -> None:
    """Read a small body, so that the connection can be kept; what goes wrong here changes nothing of the reply."""
    with suppress(requests.RequestException, HTTPError, OSError, ValueError):
        if int(response.headers.get("Content-Length", "")) <= MAX_REPLY_BYTES:
            response.raw.read(MAX_REPLY_BYTES, decode_content=False)


def _name(fault: BaseException) -> str:
    """The kind of a fault; its text holds addresses and URLs."""
    return type(fault).__name__


def _user_agent() -> str:
    try:
        return f"telemetry/{version('telemetry')}"
    except PackageNotFoundError:  # run from a tree that is not installed
        return "telemetry"


USER_AGENT = _user_agent()
