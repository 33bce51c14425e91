"""Remedies for each reason for which events, or fields of them, are dropped."""

from __future__ import annotations

from telemetry.drops import DropReason

REMEDIES = {
    DropReason.QUEUE_FULL: (
        "the shipper was slower than the host for longer than the queue holds: raise queue_bytes, cap or sample "
        "what is emitted most in the catalog, or give the shipper more of the processor (niceness)"
    ),
    DropReason.NO_SHIPPER: "no shipper ran and none could be started: see the step `shipper` for the reason",
    DropReason.UNENCODABLE: "a value was of a type that no field can have: TELEMETRY_DEBUG=1 or strict=True names it",
    DropReason.TOO_LARGE: "one event was larger than a frame, 256 KiB: shorten what it holds",
    DropReason.EXIT_UNCONFIRMED: (
        "a host ended before the shipper had confirmed: end it in order, or call flush() before"
    ),
    DropReason.IN_TRANSIT: (
        "a shipper or a host was killed, and what was between them is gone: look for what kills it (the log of the"
        " machine, memory limits, the end of a container)"
    ),
    DropReason.UNDECLARED: (
        "the program emits an event or a field that its catalog does not name: declare it, or correct the name; "
        "strict=True raises where it is emitted, TELEMETRY_DEBUG=1 prints its name"
    ),
    DropReason.EXPIRED: "its last day in the catalog has passed: give it a new date if it is still needed",
    DropReason.INVALID: (
        "a value is of the wrong type, out of its bounds or too long: fix it or the catalog; strict=True raises "
        "where it is emitted"
    ),
    DropReason.REDACTION_FAILED: (
        "a text could not be redacted with certainty, or no scanner is there to do it: declare the field as "
        "another type (`message`, `enum`, `error`), or install hyperscan; of a message's hole, the text can be read in "
        "more than one way"
    ),
    DropReason.SAMPLED: (
        "the catalog caps or samples it, as it should; the weight of what is kept says for how many it stands"
    ),
    DropReason.THINNED: (
        "the collector asked for less, by its file --thin; the weight of what is kept says for how many it stands"
    ),
    DropReason.CONSENT: "the user withdrew consent, or it was collected before the consent: nothing to fix",
    DropReason.WRITE_FAILED: "the disk refused: free it, or move the spool with TELEMETRY_HOME",
    DropReason.SPOOL_FULL: (
        "uploads have failed for longer than the disk buffer holds: fix what the step `endpoint` says, or raise "
        "spool_bytes"
    ),
    DropReason.SPOOL_AGE: "uploads have failed for longer than spool_seconds: fix what the step `endpoint` says",
    DropReason.CORRUPT: "what lay on disk is not what was written: look at the disk (`telemetry spool verify`)",
    DropReason.REJECTED: (
        "the endpoint refused it for good: its log says why; `telemetry spool requeue` sends it again"
    ),
    DropReason.REFUSED_BY_RECEIVER: "the receiver took the batch and said how many of it it did not: its log says why",
}
