"""Reasons for which events are lost: every loss has one of these and a count."""

from enum import StrEnum


class DropReason(StrEnum):
    """The reason that an event, or one field of it, did not leave this machine."""

    # In the host.
    QUEUE_FULL = "queue_full"  # the shipper is slower than the host for longer than the queue holds
    NO_SHIPPER = "no_shipper"  # none runs and none can be spawned
    UNENCODABLE = (
        "unencodable"  # a name that is no text; of a field, what is no scalar, over 64 bits, or half a character
    )
    TOO_LARGE = "too_large"  # one event over the size of a frame
    EXIT_UNCONFIRMED = "exit_unconfirmed"  # the host left before the shipper had confirmed
    # On the way.
    IN_TRANSIT = "in_transit"  # a hole in the producer's numbers
    # In the shipper, before disk.
    UNDECLARED = "undeclared"  # not in the catalog
    EXPIRED = "expired"  # in the catalog, past its date
    INVALID = "invalid"  # of the wrong type, out of range, too long
    REDACTION_FAILED = "redaction_failed"  # a text that can't be redacted with certainty
    SAMPLED = "sampled"  # by the catalog's sample or max_per_second
    THINNED = "thinned"  # the collector asked for less
    CONSENT = "consent"  # withdrawn before the upload
    WRITE_FAILED = "write_failed"  # the disk refused
    # On disk.
    SPOOL_FULL = "spool_full"  # the oldest segment, over the limit of bytes or count
    SPOOL_AGE = "spool_age"  # a segment over the limit of age
    CORRUPT = "corrupt"  # the segment is not what was written
    REJECTED = "rejected"  # by the endpoint
    REFUSED_BY_RECEIVER = "refused_by_receiver"  # in a batch that it took; which of its events, it does not say (OTLP)


HOST_REASONS = frozenset(
    {
        DropReason.QUEUE_FULL,
        DropReason.NO_SHIPPER,
        DropReason.UNENCODABLE,
        DropReason.TOO_LARGE,
        DropReason.EXIT_UNCONFIRMED,
    }
)
"""The reasons that a host itself counts, in the heads of its frames and when it ends; it may give no other."""
