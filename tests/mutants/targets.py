"""Which modules are changed, and which tests belong to each, the quickest first: a mutant ends with a first failure."""

from __future__ import annotations

TARGETS: dict[str, tuple[str, ...]] = {
    "consent/decide.py": ("consent_decide", "consent_notice"),
    "consent/stored.py": ("consent_stored", "consent_cli"),
    "shipper/delivery/backoff.py": ("backoff", "uploader"),
    "shipper/outcome.py": ("outcome", "endpoint_faults"),
    "shipper/delivery/pace.py": ("pace", "queue", "uploader"),
    "shipper/delivery/queue.py": ("queue", "uploader"),
    "shipper/delivery/tripwire.py": ("tripwire", "tripwire_command"),
    "shipper/delivery/uploader.py": ("uploader", "endpoint_faults", "tripwire"),
    "shipper/permission.py": ("uploader", "withdrawal"),
    "spool/journal.py": ("journal", "ledger", "recovery"),
    "spool/ledger.py": ("ledger", "ledger_equation", "spool"),
    "spool/tally.py": ("tally", "ledger_equation"),
    "spool/folder.py": ("spool", "queue"),
    "spool/recovery.py": ("recovery", "damage"),
    "spool/segment.py": ("segment", "spool", "recovery"),
    "spool/spool.py": ("spool", "spool_machine", "disk_faults"),
    "spool/reconcile.py": ("spool", "spool_machine", "disk_faults"),
    "shipper/intake/intake.py": ("expiry", "clocks", "unlinkable", "two_shippers"),
    "shipper/intake/pipeline.py": ("pipeline", "accounting"),
    "shipper/intake/validator.py": ("validator", "pipeline"),
    "shipper/intake/writer.py": ("writer",),
    "producer/backlog.py": ("backlog", "outbox"),
    "producer/counters.py": ("counters",),
    "producer/outbox.py": ("outbox",),
    "redact/checksum.py": ("redact_rules",),
    "redact/text.py": ("redact_rules", "hostile"),
    "collector/body.py": ("collector_body", "collector"),
    "collector/store.py": ("collector_store", "collector"),
    "collector/tokens.py": ("collector_guard", "collector"),
}
"""By the path below `telemetry/`, names of files `tests/test_*.py`."""
