"""The frame: what a producer sends to the shipper, one ZeroMQ message, one msgpack array that any language can write.

    [protocol, producer, context, first, dropped, events, kept]

    protocol   1
    producer   16 random bytes, new in every process, and under every consent; they never leave the machine
    context    {pid, catalog, consent, basis, notice, deployment, names, since}, in every frame, so that a new shipper
               knows it; `notice`, `names` and `since` may be left out
    first      the producer's running number of the first event in the frame, from 0
    dropped    {reason: running total} of what the producer itself has dropped
    events     [[name, unix_ns, {field: scalar}], ...]
    kept       for a producer that keeps its events until they are taken (telemetry/rendezvous/taken.py), the number of
               the first that it keeps; one that keeps none leaves it out

`names` is {kind: [name, ...]}, the producer's own names, which the shipper takes out of free text before
it reads the frame's events (telemetry/names.py). They go over the private socket, or encrypted, and are never written
down.

A value that its producer could not encode is an extension of code 1 without data: the shipper counts it, by event and
field, as `unencodable`, and the event goes on. Msgpack's own extension for a moment is read as text, ISO 8601.

A frame has at most `MAX_FRAME_BYTES` and `MAX_FRAME_EVENTS`, an event at most `MAX_EVENT_FIELDS`, and `names` at most
what telemetry/names.py allows: what is larger is no frame, or no event.

A whole number may be written as a float. What else stands behind `events`, and what else is in `context`, is passed
over; a reason that the shipper does not know counts as `in_transit`.

Only what is in a frame on its way gets a number, so a hole in the numbers is what was lost in transit. A frame with no
events says hello, or hands over counts. What a producer keeps is not lost: what is behind a hole that it can
fill is put off until it has sent all of that again, in order; and what is taken already is passed over.

While it lives, a producer holds a lock on a file in the spool (telemetry/rendezvous/life.py): `pid` tells its frames
from those of others, and says nothing of whether it runs, for it may come from another pid namespace. Without the lock
it is taken for gone a minute after its last frame.

The control socket speaks msgpack too: a request is a map with `op`, a reply is a map. What a host that ends leaves
behind goes through a third socket (telemetry/rendezvous/handover.py).

Standard library only: the host imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from telemetry.names import Names

PROTOCOL = 1
PRODUCER_BYTES = 16
MAX_FRAME_BYTES = 256 << 10
MAX_FRAME_EVENTS = 16_384
MAX_EVENT_FIELDS = 1024
UNENCODABLE = 1
"""The code of a msgpack extension, without data, that stands in the place of a value that can't be sent."""

DATA_SOCKET = "data.sock"
CONTROL_SOCKET = "control.sock"
HANDOVER_SOCKET = "handover.sock"


class Context(NamedTuple):
    """The sender of a frame, and the consent under which it collects.

    Attributes:
        pid: the producer's process.
        catalog: the SHA-256 of the catalog's file, in hexadecimal; empty for whichever the shipper has.
        consent: `on`, `technical` or `local`; a producer that is off sends nothing.
        basis: the voice that decided: `stored`, `environment`, `host`, `cloud-default` or `none`.
        notice: the version of the notice shown, 0 for none.
        deployment: `cloud`, `self-hosted`, `enterprise` or `unknown`.
        names: the process's own names, by kind.
        since: the date of the stored consent that the frame's events were emitted under, as UNIX seconds; 0 for none,
            and then it is left out. It tells which consent that was, whatever clocks say; it never goes to another
            machine.
    """

    pid: int
    catalog: str
    consent: str
    basis: str
    notice: int
    deployment: str
    names: Names
    since: float = 0.0
