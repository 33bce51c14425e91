"""What can be set about a shipper, with the defaults. Standard library only: the host imports it."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from telemetry.errors import ConfigError

DEBUG = "TELEMETRY_DEBUG"


def is_debugging() -> bool:
    """Whether the host prints what would be sent, and nothing is sent: `DEBUG` is set, to anything but nothing or 0."""
    return os.environ.get(DEBUG, "") not in {"", "0"}


class ShipperSettings(NamedTuple):
    """How the shipper coalesces, keeps and uploads. The same names stand in the file of `telemetry ship --config`."""

    format: str = "ndjson"
    """The upload format: `ndjson` or `risingwave`."""
    segment_bytes: int = 4 << 20
    """A segment is sealed at this size on disk. Collectors commonly take bodies of up to 10 MiB."""
    segment_seconds: float = 10.0
    """... or at this age; RisingWave's own interval."""
    fsync_interval_seconds: float = 0.5
    """At most this much is lost in a power cut; Vector's figure."""
    spool_bytes: int = 256 << 20
    """The oldest sealed segment is dropped beyond this total; 256 MiB is Vector's smallest buffer."""
    spool_segments: int = 10_000
    """... or beyond this number of segments."""
    spool_seconds: float = 7 * 86_400.0
    """... or at this age."""
    sent_bytes: int = 16 << 20
    """Copies of what was sent are kept in `sent/` up to this total, for the user to read; 0 keeps none."""
    upload_jitter_seconds: float = 5.0
    """A sealed segment waits for a random time up to this, so that uploads can't be joined by their rhythm; half of
    `segment_seconds`. It does not wait when the shipper is about to leave."""
    connect_timeout_seconds: float = 5.0
    """How long a connection to the endpoint may take to stand."""
    read_timeout_seconds: float = 30.0
    """How long the endpoint may be silent."""
    retry_min_seconds: float = 1.0
    """The first bound of the full-jitter backoff."""
    retry_max_seconds: float = 300.0
    """The last bound of it."""
    pause_seconds: float = 300.0
    """How often an endpoint that refuses us (401, 404, a captive portal) is tried again."""
    linger_seconds: float = 30.0
    """How long a spawned shipper whose producers are gone goes on trying to upload."""
    session_seconds: float = 86_400.0
    """A session id lives at most this long."""
    report_seconds: float = 6 * 3600.0
    """The interval of the catalog's `report` events; RisingWave's own."""
    node: str = "compute"
    """With `format = "risingwave"`: whose report it is (meta, compute, frontend or compactor)."""
    allow_http: bool = False
    """Whether plain http may go beyond the loopback address."""
    proxy: str = ""
    """The proxy's URL; when empty, HTTPS_PROXY, HTTP_PROXY and NO_PROXY are read."""
    ca_file: str = ""
    """A PEM file of certificate authorities to trust instead of the public ones."""
    client_certificate: str = ""
    """A PEM file with our certificate and key, for endpoints that ask for one."""
    token_file: str = ""
    """A file, 0600, with the bearer token; TELEMETRY_TOKEN goes before it."""

    def __repr__(self) -> str:
        # A proxy's URL may hold a password, and a repr ends up in logs and reports of errors.
        values = self._asdict().items()
        return f"ShipperSettings({', '.join(f'{name}={shown(name, value)}' for name, value in values)})"


class RemoteShipper(NamedTuple):
    """A shipper on another machine, `telemetry ship` with `listen` in its configuration: none is spawned then.

    Both sides have a pair of keys, made by `telemetry keys FILE`, and know each other's public key: over TCP nothing
    goes that is not encrypted, and to or from nobody else.
    """

    address: str
    """Where it listens, as in `tcp://10.0.0.5:4381`."""
    key_file: str
    """Our secret key, 0600. The shipper knows us by the public key beside it."""
    shipper_key_file: str
    """The shipper's public key."""


def without_credentials(url: str) -> str:
    """A URL as it may be shown: without the user and password that it may hold."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def shown(name: str, value: object) -> str:
    """A setting's value as an error may repeat it."""
    return "..." if name == "proxy" and value and not isinstance(value, int | float) else repr(value)


_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:.%a-z]+\]|[^\s/:@;]+):([0-9]{1,5})")
_MAX_PORT = 65_535


def check_tcp(name: str, address: object) -> None:
    """Raise ConfigError, which names the setting, unless `address` is one that ZeroMQ's TCP takes."""
    found = _TCP.fullmatch(address) if isinstance(address, str) else None
    if found is None or int(found[2]) > _MAX_PORT:
        raise ConfigError(f"{name}={address!r}: must be an address such as tcp://10.0.0.5:4381")
