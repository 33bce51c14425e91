"""Sink for a stream of NATS JetStream: a message a batch, confirmed when the stream has stored it.

The batch's id is the message's Nats-Msg-Id, so within its window the stream keeps one of several. A connection lives
for one upload: it names neither client nor host, and nothing of it could join two sessions.

Beyond this machine everything is encrypted from the first byte on, which a server allows by `handshake_first` in its
`tls` block: the usual greeting in clear could be altered on the way.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import nats
from nats import errors
from nats.js import errors as js_errors

from telemetry.errors import ConfigError
from telemetry.files import read_secret
from telemetry.shipper.delivery.cancellable import Cancellable, CutOffError
from telemetry.shipper.delivery.cause import cause_of
from telemetry.shipper.delivery.http_sink import Token, upload_headers
from telemetry.shipper.delivery.recorder import RequestHead
from telemetry.shipper.outcome import Outcome, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.endpoint import SinkTarget
    from telemetry.settings import ShipperSettings
    from telemetry.spool.segment import Seal

MESSAGE_ID = "Nats-Msg-Id"
_CREDENTIALS = "-----BEGIN NATS USER JWT-----"
_TOO_LARGE = 413
_MESSAGE_TOO_LARGE = 10054  # JSStreamMessageExceedsMaximumErr
_CLOSE_SECONDS = 1.0
_WANTS_LOGIN = "it does not take the credentials: user and password in the endpoint, TELEMETRY_TOKEN, or token_file"


class NatsSink:
    """A sink that publishes batches to a subject of a stream.

    `token_file` holds a token, or the `.creds` of a user; a user and a password may stand in the endpoint.
    """

    def __init__(self, target: SinkTarget, settings: ShipperSettings, environ: Mapping[str, str]) -> None:
        self._target = target
        self._settings = settings
        self._is_creds = _is_creds(settings.token_file, environ)
        self._token = None if self._is_creds else Token(settings.token_file, environ)
        if target.login and self.is_authorized:
            raise ConfigError("endpoint: has a user in it, and a token is set: remove one")
        self._upload = Cancellable()
        self._tls = _tls(target, settings)

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Publish a batch and wait until the stream has it."""
        settings = self._settings
        try:
            is_repeat = self._upload.run(self._publish(seal, body), settings.upload_timeout_seconds)
        except CutOffError:
            return Reply(Outcome.RETRY, "cut off")
        except errors.MaxPayloadError:
            return Reply(Outcome.SPLIT, "larger than the server's max_payload: set it to 8 MiB", _TOO_LARGE)
        except Exception as fault:  # noqa: BLE001 of a library: whatever it is, the batch stays
            return _failed(fault)
        return Reply(Outcome.DELIVERED, "stored before" if is_repeat else "stored")

    async def _publish(self, seal: Seal, body: bytes) -> bool:
        settings, said = self._settings, list[BaseException]()

        async def note(fault: Exception) -> None:
            said.append(fault)  # else the library prints it

        if self._tls:
            self._tls = _tls(self._target, settings)  # read anew: a certificate may have been replaced
        connection = nats.NATS()
        try:
            await connection.connect(
                [f"nats://{peer}" for peer in self._target.peers],
                error_cb=note,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=settings.connect_timeout_seconds,
                tls=self._tls,
                tls_handshake_first=self._tls is not None,
                **self._credentials(),
            )
            if len(body) > connection.max_payload:
                raise errors.MaxPayloadError
            headers = {**upload_headers(seal), MESSAGE_ID: seal.head.id}
            stored = await connection.jetstream().publish(
                self._target.path, body, timeout=settings.read_timeout_seconds, headers=headers
            )
            return bool(stored.duplicate)
        except errors.NoServersError:
            raise next(iter(said), errors.NoServersError()) from None
        finally:
            await _close(connection)

    def _credentials(self) -> dict[str, Any]:
        if self._target.login:
            user, _, password = self._target.login.partition(":")
            return {"user": unquote(user), "password": unquote(password)}
        if self._is_creds:
            return {"user_credentials": self._settings.token_file}
        token = self._token.read() if self._token else ""
        return {"token": token} if token else {}

    def preview(self, seal: Seal, body: bytes) -> RequestHead:
        """Return the subject and the message's headers."""
        headers = {**upload_headers(seal), MESSAGE_ID: seal.head.id}
        return RequestHead(f"PUB {self._target.path} {len(body)}", list(headers.items()))

    @property
    def is_authorized(self) -> bool:
        """Whether a credential goes with each upload."""
        return self._is_creds or bool(self._token and self._token.last)

    def abort(self) -> None:
        """Cut off the upload under way; may be called from any thread."""
        self._upload.cut()

    def close(self) -> None:
        """Do nothing: a connection ends with its upload."""


async def _close(connection: Any) -> None:
    if connection.is_connected:  # otherwise it waits for what never comes
        with suppress(Exception):
            await asyncio.wait_for(connection.close(), _CLOSE_SECONDS)
    with suppress(Exception):  # where it did not come to stand, or broke, the library leaves its socket open
        connection._transport._io_writer.transport.abort()  # noqa: SLF001 there is no other way to it
    await asyncio.sleep(0)  # the loop closes it


def _failed(fault: BaseException) -> Reply:
    name = type(fault).__name__
    match fault:
        case js_errors.APIError(err_code=code) if code == _MESSAGE_TOO_LARGE:
            return Reply(Outcome.SPLIT, "larger than the stream's max_msg_size", _TOO_LARGE)
        case js_errors.APIError():
            return Reply(Outcome.RETRY, f"JetStream error {fault.err_code} (the stream is full, or without a leader)")
        case js_errors.NoStreamResponseError() | errors.NoRespondersError():
            return Reply(Outcome.RETRY, f"{name} (no stream listens to the subject, or none has a leader just now)")
        case errors.Error() if isinstance(fault, errors.AuthorizationError) or _is_of_login(fault):
            return Reply(Outcome.PAUSED, f"{name} ({_WANTS_LOGIN})")
    return Reply(Outcome.RETRY, str(fault) if isinstance(fault, ConfigError) else cause_of(fault))


def _is_of_login(fault: BaseException) -> bool:
    said = str(fault).lower()  # the library has no class for it
    return "authorization" in said or "permissions" in said


def _is_creds(file: str, environ: Mapping[str, str]) -> bool:
    if not file or environ.get("TELEMETRY_TOKEN"):
        return False
    return read_secret(Path(file), "token_file").startswith(_CREDENTIALS.encode())


def _tls(target: SinkTarget, settings: ShipperSettings) -> ssl.SSLContext | None:
    if not settings.ca_file and (target.is_this_machine or settings.allow_http):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.client_certificate:
            context.load_cert_chain(settings.client_certificate, password=lambda: "")
    except (OSError, ValueError) as fault:
        raise ConfigError(f"ca_file or client_certificate: {type(fault).__name__}; name a PEM file") from None
    return context
