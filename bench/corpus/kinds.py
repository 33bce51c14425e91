"""Every kind of private data that is measured, and how much of it must be found."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from bench.corpus import databases, network, numbers, people, secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.corpus.canary import Canary


class Kind(NamedTuple):
    """A kind of private data.

    Attributes:
        make: draws a canary.
        goal: the share of planted ones of which no trace may be left.
    """

    make: Callable[[Random], Canary]
    goal: float


KINDS = {
    "ipv4": Kind(network.ipv4, 1.0),
    "ipv6": Kind(network.ipv6, 1.0),
    "mac": Kind(network.mac, 1.0),
    "email": Kind(people.email, 1.0),
    "url": Kind(network.url, 1.0),
    "url credentials": Kind(network.url_credentials, 1.0),
    "host": Kind(network.host, 0.995),
    "posix path": Kind(network.posix_path, 1.0),
    "windows path": Kind(network.windows_path, 1.0),
    "jwt": Kind(secrets.jwt, 1.0),
    "token": Kind(secrets.token, 1.0),
    "key": Kind(secrets.key, 1.0),
    "connection string": Kind(secrets.dsn, 1.0),
    "secret": Kind(secrets.secret, 0.995),
    "card": Kind(numbers.card, 1.0),
    "iban": Kind(numbers.iban, 1.0),
    "uuid": Kind(numbers.identifier, 1.0),
    "phone": Kind(people.phone, 0.995),
    "national id": Kind(people.national_id, 0.995),
    "user": Kind(people.user, 0.995),
    "opaque": Kind(people.opaque, 0.995),
    "sql": Kind(databases.statement, 0.995),
    "driver error": Kind(databases.driver_error, 0.995),
    "exception": Kind(databases.exception, 0.995),
}


def canaries(kind: str, number: int, seed: int = 1) -> Iterator[Canary]:
    """Draw canaries of a kind; the same ones for the same seed."""
    dice = Random(f"{kind} {seed}")
    return (KINDS[kind].make(dice) for _ in range(number))
