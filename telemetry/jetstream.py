"""Connections to servers of NATS JetStream: who logs in, what is encrypted, and what a failure means.

A connection names neither client nor host. Beyond this machine everything is encrypted from the first byte on, which a
server allows by `handshake_first` in its `tls` block: the usual greeting in clear could be altered on the way.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import nats
from nats import errors
from nats.js import errors as js_errors

from telemetry.bearer import Token
from telemetry.errors import ConfigError
from telemetry.files import read_secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from telemetry.endpoint import SinkTarget

MESSAGE_ID = "Nats-Msg-Id"

_CREDENTIALS = "-----BEGIN NATS USER JWT-----"
_MESSAGE_TOO_LARGE = 10054  # JSStreamMessageExceedsMaximumErr
_CLOSE_SECONDS = 1.0
_HEAD_BYTES = len(b"NATS/1.0\r\n\r\n")
_HEADER_BYTES = len(b": \r\n")


class Access(NamedTuple):
    """Settings of a connection.

    Attributes:
        token_file: a file, 0600, with a token, or the `.creds` of a user; empty for none.
        ca_file: a PEM file of authorities to trust instead of the public ones; empty for those.
        client_certificate: a PEM file with a certificate and its key; empty for none.
        allow_clear: whether another machine may be spoken to in clear.
    """

    token_file: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    allow_clear: bool = False


class Servers:
    """Servers that make up one NATS, and the login there.

    Args:
        target: the servers, with the user and the password that their URL may hold.
        access: the settings.
        environ: the environment, whose TELEMETRY_TOKEN goes before the file.

    Raises:
        ConfigError: a file can't be read or used, or two credentials are given.
    """

    def __init__(self, target: SinkTarget, access: Access, environ: Mapping[str, str]) -> None:
        self._target = target
        self._access = access
        self._is_creds = _is_creds(access.token_file, environ)
        self._token = None if self._is_creds else Token(access.token_file, environ)
        if target.login and self.is_authorized:
            raise ConfigError("endpoint: has a user in it, and a token is set: remove one")
        self._tls()

    @property
    def is_authorized(self) -> bool:
        """Whether a credential other than that in the URL goes with a connection."""
        return self._is_creds or bool(self._token and self._token.last)

    async def connect(self, timeout_seconds: float, on_close: Callable[[], Awaitable[None]] | None = None) -> nats.NATS:
        """Return a connection to one of the servers, which is not made anew when it breaks.

        Files of certificates and tokens are read anew: they may have been replaced.

        Args:
            timeout_seconds: the time for each server.
            on_close: called when the connection has ended, by whichever side.

        Raises:
            ConfigError: a file can't be read or used any more.
            Exception: no server can be had, or the login failed; of the library, or of the system.
        """
        said = list[BaseException]()

        async def note(fault: Exception) -> None:
            said.append(fault)  # else the library prints it

        tls = self._tls()
        connection = nats.NATS()
        try:
            await connection.connect(
                [f"nats://{peer}" for peer in self._target.peers],
                error_cb=note,
                closed_cb=on_close,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=timeout_seconds,
                tls=tls,
                tls_handshake_first=tls is not None,
                **self._credentials(),
            )
        except errors.NoServersError:
            await close(connection)
            raise next(iter(said), errors.NoServersError()) from None
        except BaseException:
            await close(connection)
            raise
        return connection

    def _tls(self) -> ssl.SSLContext | None:
        access = self._access
        if not access.ca_file and (self._target.is_this_machine or access.allow_clear):
            return None
        try:
            context = ssl.create_default_context(cafile=access.ca_file or None)
            if access.client_certificate:
                context.load_cert_chain(access.client_certificate, password=lambda: "")
        except (OSError, ValueError) as fault:
            raise ConfigError(f"ca_file or client_certificate: {type(fault).__name__}; name a PEM file") from None
        return context

    def _credentials(self) -> dict[str, Any]:
        if self._target.login:
            user, _, password = self._target.login.partition(":")
            return {"user": unquote(user), "password": unquote(password)}
        if self._is_creds:
            return {"user_credentials": self._access.token_file}
        token = self._token.read() if self._token else ""
        return {"token": token} if token else {}


async def close(connection: Any) -> None:
    """End a connection, whatever state it is in."""
    if connection.is_connected:  # otherwise it waits for what never comes
        with suppress(Exception):
            await asyncio.wait_for(connection.close(), _CLOSE_SECONDS)
    with suppress(Exception):  # where it did not come to stand, or broke, the library leaves its socket open
        connection._transport._io_writer.transport.abort()  # noqa: SLF001 there is no other way to it
    await asyncio.sleep(0)  # the loop closes it


def message_bytes(headers: Mapping[str, str], body: bytes | bytearray) -> int:
    """Return the size of a message as a server counts it: its `max_payload` bounds the headers too."""
    heads = sum(len(name.encode()) + len(value.encode()) + _HEADER_BYTES for name, value in headers.items())
    return _HEAD_BYTES + heads + len(body)


def is_too_large(fault: BaseException) -> bool:
    """Tell whether a message was refused because of its size, which another try does not change."""
    is_of_stream = isinstance(fault, js_errors.APIError) and fault.err_code == _MESSAGE_TOO_LARGE
    return is_of_stream or isinstance(fault, errors.MaxPayloadError)


def is_of_login(fault: BaseException) -> bool:
    """Tell whether the server takes the credentials for too little, or for none."""
    said = str(fault).lower()  # the library has no class for it
    is_library_s = isinstance(fault, errors.Error) and not isinstance(fault, js_errors.APIError)
    return is_library_s and (
        isinstance(fault, errors.AuthorizationError) or "authorization" in said or "permissions" in said
    )


def explain(fault: BaseException) -> str:
    """Name a failure of JetStream, and in brackets its meaning; empty for one that is none of its own."""
    name = type(fault).__name__
    match fault:
        case js_errors.APIError():
            return f"JetStream error {fault.err_code} (the stream is full, or without a leader)"
        case js_errors.NoStreamResponseError() | errors.NoRespondersError():
            return f"{name} (no stream listens to the subject, or none has a leader just now)"
    return ""


def _is_creds(file: str, environ: Mapping[str, str]) -> bool:
    if not file or environ.get("TELEMETRY_TOKEN"):
        return False
    return read_secret(Path(file), "token_file").startswith(_CREDENTIALS.encode())
