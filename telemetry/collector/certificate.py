"""The collector's certificate for TLS, read again when its files change."""

from __future__ import annotations

import logging
import os
import ssl
from typing import TYPE_CHECKING

from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class Certificate:
    """A TLS certificate with its chain, and its key, in PEM.

    Args:
        certificate: the file of the certificate and its chain.
        key: the file of the key, readable by its owner alone.

    Raises:
        ConfigError: the files are no such pair.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = (certificate, key)
        self._context = _load(*self._paths)
        self._seen = self._look()

    def context(self) -> ssl.SSLContext:
        """Return the server's TLS context, for TLS 1.2 and newer."""
        return self._context

    def reload(self) -> None:
        """Load files that have changed, unless they are no pair, as in the middle of a change."""
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._context = _load(*self._paths)
            _log.warning("the certificate was reloaded")
        except ConfigError as fault:
            _log.error("the certificate stays as it was: %s", fault)

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(path) for path in self._paths]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _load(certificate: Path, key: Path) -> ssl.SSLContext:
    try:
        mode = key.stat().st_mode
        if mode & 0o077:
            raise ConfigError(f"{key}: others can read it (mode {mode & 0o777:o}); chmod 600 it")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # a client could ask for the dearest part over and over
        context.options |= ssl.OP_NO_TICKET  # a session that is taken up again tells that two uploads are of one client
        context.num_tickets = 0
        # Without a password: else OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as fault:
        reason = fault.reason or "the key is encrypted; save it without a passphrase"
        raise ConfigError(f"{certificate} and {key} are not a certificate and its key: {reason}") from None
    except OSError as fault:
        reason = os.strerror(fault.errno or 0)
        raise ConfigError(f"the files for TLS, {certificate} and {key}, can't be read: {reason}") from None
    return context
