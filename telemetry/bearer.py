"""Bearer token of those who upload: from the environment, or from a file that may change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.errors import ConfigError
from telemetry.files import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping


class Token:
    """The bearer token, from the environment or from a file, which is read again whenever it has changed.

    Attributes:
        last: the token as last read; empty for none.
    """

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        """Read the token. Raises ConfigError if it can't be read or is no token."""
        given = environ.get("TELEMETRY_TOKEN", "")
        self.last = _check_token(given, "TELEMETRY_TOKEN") if given else ""
        self._file = None if given or not file else Path(file)
        self._seen: tuple[int, ...] | None = None
        self.read()

    def read(self) -> str:
        """Return the present token; empty for none.

        Raises:
            ConfigError: its file now holds no token.
        """
        if self._file is not None and (found := _identity(self._file)) != self._seen:
            text = read_secret(self._file, "token_file").decode(errors="replace")
            self.last, self._seen = _check_token(text, f"token_file={str(self._file)!r}"), found
        return self.last


def _identity(file: Path) -> tuple[int, ...]:
    """Return values that change when a file is written or replaced, even behind a link, as in a Kubernetes volume."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_token(text: str, where: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{where}: holds no token; write it there as one line of ASCII, without blanks")
    return token
