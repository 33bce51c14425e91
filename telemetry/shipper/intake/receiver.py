"""Receiver of frames: bytes off the data socket become typed frames, and other messages are counted and dropped.

Format: telemetry/wire.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgpack
import msgspec
import zmq
from msgspec import Meta
from msgspec.structs import replace

from telemetry import wire
from telemetry.catalog.field_types import whole
from telemetry.drops import HOST_REASONS, DropReason
from telemetry.ground import Basis, Deployment  # noqa: TC001 msgspec reads the annotations
from telemetry.names import MAX_CHARACTERS, MAX_NAMES
from telemetry.receipt import Receipt
from telemetry.spool.positions import REMOTE_PID

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

DRAIN_BYTES = 512 << 10
"""The size of a drain, some 6,000 events: it bounds the memory of the stages after it, and most of what they
work on stays in the processor's cache. With all at once, 64,000 events, each cost a third more."""

DRAIN_MESSAGES = 1024
"""The number of messages in a drain: frames of a few bytes each must not keep the shipper from its other work."""

_Count = Annotated[int, Meta(ge=0, le=2**48)]
_Name = Annotated[str, Meta(max_length=2 * MAX_CHARACTERS)]
_Producer = Annotated[bytes, Meta(min_length=wire.PRODUCER_BYTES, max_length=wire.PRODUCER_BYTES)]
_Dropped = Annotated[dict[Annotated[str, Meta(max_length=64)], _Count], Meta(max_length=64)]
_MAX_KINDS = 16  # of names; there are seven


class FrameContext(msgspec.Struct, frozen=True, gc=False):
    """The sender of a frame, and the consent it was sent under; see `wire.Context`."""

    pid: _Count
    catalog: Annotated[str, Meta(max_length=64)]
    consent: Literal["on", "technical", "local"]
    basis: Literal[Basis, "none"]
    deployment: Literal[Deployment, "unknown"]
    notice: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    names: Annotated[
        dict[Annotated[str, Meta(max_length=16)], Annotated[list[_Name], Meta(max_length=MAX_NAMES)]],
        Meta(max_length=_MAX_KINDS),
    ] = {}
    since: float = 0.0

    @property
    def receipt(self) -> Receipt:
        """The receipt under which the frame's events were collected."""
        return Receipt(self.consent, self.basis, self.notice, self.deployment)


class Frame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A frame, whose events are not decoded yet. Further elements, of a later version, are passed over.

    `kept` is None where its producer keeps nothing.
    """

    protocol: Literal[1]
    producer: _Producer
    context: FrameContext
    first: _Count
    dropped: _Dropped
    events: msgspec.Raw
    kept: _Count | None = None


_ELEMENTS = 6  # that each frame has


_DECODER = msgspec.msgpack.Decoder(Frame)
_PARTS = msgspec.msgpack.Decoder(list[msgspec.Raw])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_frame(message: bytes) -> Frame | None:
    """Read a message as a frame; return None if it is none, or of a protocol this version does not know.

    A whole number may be written as a float, as some languages have no others. Events dropped for a reason that this
    version does not know count as lost in transit.
    """
    frame: Frame | None
    try:
        frame = _DECODER.decode(message)
    except _UNREADABLE:
        frame = _decode_with_floats(message)
    if frame is None or sum(map(len, frame.context.names.values())) > MAX_NAMES:
        return None
    return frame if frame.dropped.keys() <= HOST_REASONS else replace(frame, dropped=_by_known_reason(frame.dropped))


def _decode_with_floats(message: bytes) -> Frame | None:
    try:
        *head, events = _PARTS.decode(message)[:_ELEMENTS]
        protocol, producer, context, first, dropped = map(msgpack.unpackb, head)
        context, dropped = ({name: whole(value) for name, value in each.items()} for each in (context, dropped))
        return Frame(
            msgspec.convert(whole(protocol), Literal[1]),
            msgspec.convert(producer, _Producer),
            msgspec.convert(context, FrameContext),
            msgspec.convert(whole(first), _Count),
            msgspec.convert(dropped, _Dropped),
            events,
        )
    except (*_UNREADABLE, ValueError, AttributeError):
        return None


def _by_known_reason(dropped: dict[str, int]) -> dict[str, int]:
    known = Counter[str]()
    for reason, total in dropped.items():
        known[reason if reason in HOST_REASONS else DropReason.IN_TRANSIT] += total
    return dict(known)


def decode_left_frame(message: bytes) -> Frame | None:
    """Read a message that a producer has left when it ended, and that it will not send again, as a frame."""
    frame = decode_frame(message)
    return frame and replace(frame, kept=None)


def decode_remote_frame(message: bytes) -> Frame | None:
    """Read a message of a producer on another machine as a frame, whose pid becomes `REMOTE_PID`."""
    frame = decode_frame(message)
    return frame and replace(frame, context=replace(frame.context, pid=REMOTE_PID))


def receive_waiting(socket: zmq.Socket[bytes]) -> list[bytes]:
    """Return the messages that wait on a socket now, up to a drain's worth; never blocks."""
    return drain(lambda: socket.recv(zmq.NOBLOCK), len)


def drain(receive: Callable[[], T], size_bytes: Callable[[T], int]) -> list[T]:
    """Return what `receive` gives until it raises `zmq.Again`, up to a drain's worth.

    Args:
        receive: takes a message from a socket without waiting.
        size_bytes: returns the size of a message.
    """
    messages: list[T] = []
    size = 0
    try:
        while size < DRAIN_BYTES and len(messages) < DRAIN_MESSAGES:
            message = receive()
            messages.append(message)
            size += size_bytes(message)
    except zmq.Again:
        pass  # nothing more waits: that is how it is asked
    return messages
