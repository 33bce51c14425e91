"""Bearer tokens with names, from a file or the environment, and the allowance of each name."""

from __future__ import annotations

import hmac
import logging
import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.collector.limits import REFUSALS_PER_SECOND, Bucket
from telemetry.errors import ConfigError
from telemetry.files import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)

_LINE = re.compile(r"(?:([A-Za-z0-9._-]{1,64}):)?(\S+)")
_EVERYBODY = "anybody"


class Token(NamedTuple):
    """A secret that permits uploads, and the name by which logs and metrics know it."""

    name: str
    secret: bytes


class Holder:
    """All bearers of tokens of one name, who share an allowance.

    Attributes:
        name: the tokens' name.
        bucket: the allowance for the cost of their uploads.
        refusals: the allowance for refusals that are answered at once.
    """

    def __init__(self, name: str, bytes_per_second: int) -> None:
        self.name = name
        self.bucket = Bucket(bytes_per_second)
        self.refusals = Bucket(REFUSALS_PER_SECOND)


class Tokens:
    """The tokens that are valid now; if there are none, every upload is permitted.

    Args:
        read: returns the tokens; called again by `reload`.
        bytes_per_second: the rate at which a name's allowance is refilled.

    Raises:
        ConfigError: raised by `read`.
    """

    def __init__(self, read: Callable[[], tuple[Token, ...]], bytes_per_second: int) -> None:
        self._read = read
        self._bytes_per_second = bytes_per_second
        self._tokens = read()
        self._holders: dict[str, Holder] = {}
        self.fault = ""

    @property
    def are_needed(self) -> bool:
        """Whether an upload has to bear a token."""
        return bool(self._tokens)

    @property
    def names(self) -> list[str]:
        """The names of the tokens, sorted."""
        return sorted({token.name for token in self._tokens})

    def holder_of(self, authorization: str) -> Holder | None:
        """Return the holder named by an `Authorization` header, or None; every token takes equally long to compare."""
        if not self._tokens:
            return self._holder(_EVERYBODY)
        scheme, _, presented = authorization.partition(" ")
        given = presented.strip().encode(errors="replace")
        same = [token.name for token in self._tokens if hmac.compare_digest(given, token.secret)]
        return self._holder(same[0]) if scheme.lower() == "bearer" and same else None

    def reload(self) -> None:
        """Read the tokens again. If that fails, the present ones stay valid, and the fault is logged once."""
        try:
            tokens = self._read()
        except (ConfigError, OSError) as fault:
            if str(fault) != self.fault:
                _log.error("the tokens stay as they were: %s", fault)
            self.fault = str(fault)
            return
        if tokens != self._tokens:
            self._tokens = tokens
            _log.warning("tokens reloaded: %s", ", ".join(self.names))
        self.fault = ""

    def _holder(self, name: str) -> Holder:
        if name not in self._holders:
            self._holders[name] = Holder(name, self._bytes_per_second)
        return self._holders[name]


def read_token_file(path: Path) -> tuple[Token, ...]:
    """Return the tokens in a file that only its owner can read.

    Raises:
        ConfigError: there are none, or others can read the file.
    """
    return parse_tokens(read_secret(path, "--token-file").decode(errors="replace"), str(path))


def parse_tokens(text: str, where: str) -> tuple[Token, ...]:
    """Parse tokens separated by white space, each as `NAME:TOKEN` or `TOKEN`; those without a name are numbered.

    Tokens of one name, as while they are being rotated, share one allowance.

    Raises:
        ConfigError: there is no token, or one that no header can carry; the text names `where`, never a token.
    """
    words = text.split()
    if not words:
        raise ConfigError(f"{where} holds no token; write one NAME:TOKEN a line, or leave the option out")
    if not all(word.isascii() and word.isprintable() for word in words):
        raise ConfigError(f"{where} holds a token that is not ASCII; write one that is")
    tokens = []
    for number, word in enumerate(words, 1):
        found = _LINE.fullmatch(word)
        assert found is not None  # noqa: S101 any word without spaces fits
        tokens.append(Token(found[1] or str(number), found[2].encode()))
    return tuple(tokens)
