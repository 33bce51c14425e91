"""What can be set about a shipper, with the defaults. Standard library only: the host imports it."""

from __future__ import annotations

import os
from typing import NamedTuple

DEBUG = "TELEMETRY_DEBUG"


def is_debugging() -> bool:
    """Whether the host prints what would be sent, and nothing is sent: `DEBUG` is set, to anything but nothing or 0."""
    return os.environ.get(DEBUG, "") not in {"", "0"}


class ShipperSettings(NamedTuple):
    """How the shipper coalesces, keeps and uploads. The same names stand in the file of `telemetry ship --config`."""

    format: str = "ndjson"
    """The upload format: `ndjson` or `risingwave`."""
    segment_bytes: int = 4 << 20
    """A segment is sealed at this size on disk, or an eighth of `spool_bytes`. Collectors commonly take bodies of up to
    10 MiB."""
    segment_seconds: float = 10.0
    """... or at this age; RisingWave's own interval."""
    fsync_interval_seconds: float = 0.5
    """At most this much is lost in a power cut; Vector's figure."""
    spool_bytes: int = 256 << 20
    """The oldest sealed segment is dropped rather than that all that waits, with its ledger, takes more than this;
    256 MiB is Vector's smallest buffer. What is kept under the consent "local", and the quarantine, may take as much
    each."""
    spool_segments: int = 10_000
    """... or beyond this number of segments."""
    spool_seconds: float = 7 * 86_400.0
    """... or at this age."""
    sent_bytes: int = 16 << 20
    """Copies of what was sent are kept in `sent/` up to this total, for the user to read; 0 keeps none."""
    upload_jitter_seconds: float = 5.0
    """A sealed segment waits for a random time up to this, so that uploads can't be joined by their rhythm; half of
    `segment_seconds`. It does not wait when the shipper is about to leave."""
    upload_bytes_per_second: int = 0
    """Bodies are uploaded at this rate over time, each of them at full speed; 0 sets no bound. A consent that is
    withdrawn acts at once; what does not leave before the shipper does waits on disk."""
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
    niceness: int = 10
    """A spawned shipper leaves the processor to its host: added to the niceness that it inherits; 0 adds nothing."""
    memory_limit_bytes: int = 256 << 20
    """A shipper that takes more makes room: it seals what it has and ends, and the next one, which producers spawn or
    a service manager starts, goes on where it left off. 0 sets no bound. It lives for a minute at least."""
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
