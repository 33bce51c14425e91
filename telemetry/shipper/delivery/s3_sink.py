"""Sink for a bucket of an object store that speaks S3: an object a batch, written only if there is none of its name.

Credentials, region and the store's address come from AWS's usual variables, or from those with TELEMETRY_ before their
names, which alone reach a shipper that a program spawns. A client lives for one session of events.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions
from obstore.store import S3Store

from telemetry.endpoint import check_endpoint
from telemetry.errors import ConfigError
from telemetry.shipper.delivery.cancellable import Cancellable, CutOffError
from telemetry.shipper.delivery.http_sink import USER_AGENT, upload_headers
from telemetry.shipper.delivery.recorder import RequestHead
from telemetry.shipper.outcome import Outcome, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.endpoint import SinkTarget
    from telemetry.settings import ShipperSettings
    from telemetry.spool.segment import Seal

_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_REGION": "region",
    "AWS_DEFAULT_REGION": "default_region",
    "AWS_ENDPOINT_URL": "endpoint",
}
_OF_HTTP = {"Content-Type", "Content-Encoding"}
_FINISH_SECONDS = 0.05
_TOO_LARGE = 413
_SAYS_TOO_LARGE = re.compile(rf"status code: {_TOO_LARGE}|<Code>EntityTooLarge<")
_WANTS_KEYS = "it does not take the keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


class S3Sink:
    """A sink that writes batches to a bucket, under a prefix."""

    def __init__(self, target: SinkTarget, settings: ShipperSettings, environ: Mapping[str, str]) -> None:
        self._target = target
        self._settings = settings
        self._config = _read(environ)
        if address := self._config.get("endpoint"):
            try:
                check_endpoint(address, allow_http=settings.allow_http)
            except ConfigError as fault:
                raise ConfigError(f"AWS_ENDPOINT_URL: {fault}") from None
        if settings.ca_file or settings.client_certificate:
            raise ConfigError("ca_file, client_certificate: s3:// has no use for them; SSL_CERT_FILE names authorities")
        self._upload = Cancellable()
        self._events_session = ""
        self._store = self._new_store()

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Write a batch, unless it is there."""
        if seal.head.session != self._events_session:
            self._store = self._new_store()
            self._events_session = seal.head.session
        try:
            self._upload.run(self._put(seal, body), self._settings.upload_timeout_seconds)
        except CutOffError:
            return Reply(Outcome.RETRY, "cut off")
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            return Reply(Outcome.DELIVERED, "stored before")
        except Exception as fault:  # noqa: BLE001 of a library: whatever it is, the batch stays
            return _failed(fault)
        return Reply(Outcome.DELIVERED, "stored")

    async def _put(self, seal: Seal, body: bytes) -> None:
        await obstore.put_async(
            self._store, self._key(seal), body, attributes=_attributes(seal), mode="create", use_multipart=False
        )

    def preview(self, seal: Seal, body: bytes) -> RequestHead:
        """Return the object's name and its metadata."""
        return RequestHead(
            f"PUT {self._target.peers[0]}/{self._key(seal)} {len(body)}", list(_attributes(seal).items())
        )

    @property
    def is_authorized(self) -> bool:
        """Whether requests are signed."""
        return "access_key_id" in self._config

    def abort(self) -> None:
        """Cut off the upload under way; may be called from any thread."""
        self._upload.cut()

    def close(self) -> None:
        """Let the connections go, and the library's threads finish: one that wakes while Python ends aborts it."""
        self._store = self._new_store()
        time.sleep(_FINISH_SECONDS)

    def _key(self, seal: Seal) -> str:
        name = f"{seal.head.id}{seal.head.file[seal.head.file.index('.') :]}"
        return f"{self._target.path}/{name}" if self._target.path else name

    def _new_store(self) -> Any:
        settings = self._settings
        (bucket,) = self._target.peers
        options: dict[str, Any] = {
            "connect_timeout": timedelta(seconds=settings.connect_timeout_seconds),
            "timeout": timedelta(seconds=settings.upload_timeout_seconds),
            "user_agent": USER_AGENT,
            "allow_http": self._config.get("endpoint", "").startswith("http:"),
        }
        if settings.proxy:
            options["proxy_url"] = settings.proxy
        config = {**self._config, "conditional_put": "etag"}
        if not self.is_authorized:
            config["skip_signature"] = "true"
        # The uploader tries again, and counts.
        return S3Store(bucket, config=config, client_options=options, retry_config={"max_retries": 0})


def _read(environ: Mapping[str, str]) -> dict[str, str]:
    given = {key: environ.get(f"TELEMETRY_{name}") or environ.get(name) for name, key in _VARIABLES.items()}
    return {key: value for key, value in given.items() if value}


def _attributes(seal: Seal) -> dict[str, str]:
    """Return the batch's headers; those that HTTP does not know become the object's metadata, in small letters."""
    headers = upload_headers(seal).items()
    return {name if name in _OF_HTTP else name.lower(): value for name, value in headers}


def _failed(fault: BaseException) -> Reply:
    # The library's texts hold addresses, and what the store has said: they are looked through, and never repeated.
    name, text = type(fault).__name__, str(fault)
    if _SAYS_TOO_LARGE.search(text):
        return Reply(Outcome.SPLIT, f"{name} (larger than the store takes)", _TOO_LARGE)
    if "InvalidCertificate" in text:
        return Reply(
            Outcome.RETRY, f"{name} (its certificate is not trusted: expired, or SSL_CERT_FILE lacks its authority)"
        )
    match fault:
        case exceptions.PermissionDeniedError() | exceptions.UnauthenticatedError():
            return Reply(Outcome.PAUSED, f"{name} ({_WANTS_KEYS})")
        case exceptions.NotFoundError():
            return Reply(Outcome.PAUSED, f"{name} (there is no such bucket)")
        case exceptions.NotSupportedError():
            return Reply(Outcome.PAUSED, f"{name} (it does not know If-None-Match: another store is needed)")
    return Reply(Outcome.RETRY, f"{name} (nobody answers there, or it is in trouble)")
