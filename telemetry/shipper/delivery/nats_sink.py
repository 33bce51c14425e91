"""Sink for a stream of NATS JetStream: a message a batch, confirmed when the stream has stored it.

The batch's id is the message's Nats-Msg-Id, so within its window the stream keeps one of several. A connection lives
for one upload: nothing of it could join two sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats import errors

from telemetry.errors import ConfigError
from telemetry.jetstream import (
    MESSAGE_ID,
    Access,
    Servers,
    close,
    explain,
    is_of_login,
    is_too_large,
    message_bytes,
)
from telemetry.shipper.delivery.cancellable import Cancellable, CutOffError
from telemetry.shipper.delivery.cause import cause_of
from telemetry.shipper.delivery.http_sink import upload_headers
from telemetry.shipper.delivery.recorder import RequestHead
from telemetry.shipper.outcome import Outcome, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.endpoint import SinkTarget
    from telemetry.settings import ShipperSettings
    from telemetry.spool.segment import Seal

_TOO_LARGE = 413
_WANTS_LOGIN = "it does not take the credentials: user and password in the endpoint, TELEMETRY_TOKEN, or token_file"


class NatsSink:
    """A sink that publishes batches to a subject of a stream.

    `token_file` holds a token, or the `.creds` of a user; a user and a password may stand in the endpoint.
    """

    def __init__(self, target: SinkTarget, settings: ShipperSettings, environ: Mapping[str, str]) -> None:
        self._subject = target.path
        self._settings = settings
        access = Access(settings.token_file, settings.ca_file, settings.client_certificate, settings.allow_http)
        self._servers = Servers(target, access, environ)
        self._upload = Cancellable()

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Publish a batch and wait until the stream has it."""
        settings = self._settings
        try:
            is_repeat = self._upload.run(self._publish(seal, body), settings.upload_timeout_seconds)
        except CutOffError:
            return Reply(Outcome.RETRY, "cut off")
        except Exception as fault:  # noqa: BLE001 of a library: whatever it is, the batch stays
            return _failed(fault)
        return Reply(Outcome.DELIVERED, "stored before" if is_repeat else "stored")

    async def _publish(self, seal: Seal, body: bytes) -> bool:
        settings, headers = self._settings, _headers(seal)
        connection = await self._servers.connect(settings.connect_timeout_seconds)
        try:
            if message_bytes(headers, body) > connection.max_payload:
                raise errors.MaxPayloadError
            stored = await connection.jetstream().publish(
                self._subject, body, timeout=settings.read_timeout_seconds, headers=headers
            )
            return bool(stored.duplicate)
        finally:
            await close(connection)

    def preview(self, seal: Seal, body: bytes) -> RequestHead:
        """Return the subject and the message's headers."""
        return RequestHead(f"PUB {self._subject} {len(body)}", list(_headers(seal).items()))

    @property
    def is_authorized(self) -> bool:
        """Whether a credential goes with each upload."""
        return self._servers.is_authorized

    def abort(self) -> None:
        """Cut off the upload under way; may be called from any thread."""
        self._upload.cut()

    def close(self) -> None:
        """Do nothing: a connection ends with its upload."""


def _headers(seal: Seal) -> dict[str, str]:
    return {**upload_headers(seal), MESSAGE_ID: seal.head.id}


def _failed(fault: BaseException) -> Reply:
    if isinstance(fault, errors.MaxPayloadError):
        return Reply(Outcome.SPLIT, "larger than the server's max_payload: set it to 8 MiB", _TOO_LARGE)
    if is_too_large(fault):
        return Reply(Outcome.SPLIT, "larger than the stream's max_msg_size", _TOO_LARGE)
    if is_of_login(fault):
        return Reply(Outcome.PAUSED, f"{type(fault).__name__} ({_WANTS_LOGIN})")
    if isinstance(fault, ConfigError):
        return Reply(Outcome.RETRY, str(fault))
    return Reply(Outcome.RETRY, explain(fault) or cause_of(fault))
