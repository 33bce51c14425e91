"""Which modules are changed, all that carry a promise; and the files of tests that are asked.

Which of the tests reach a statement is measured: a file may stand here for what it tests on the way.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[2] / "telemetry"
_ROOMS = {
    "consent": "consent_decide consent_stored consent_cli consent_notice",
    "shipper/permission.py": "permission uploader",
    "shipper/delivery": """
        backoff outcome cause lines pace queue tripwire uploader http_sink proxy tripwire_command preview canaries
        encode_otlp
    """,
    "shipper/outcome.py": "outcome uploader",
    "spool": """
        tally journal ledger segment spool recovery tombstones ledger_equation spool_machine spool_command queue writer
        damage disk_faults hostile_spool producers uploader two_shippers
    """,
    "shipper/intake": """
        pipeline validator writer sampler redactor receiver handovers cgroup expiry clocks unlinkable two_shippers
        accounting message values
    """,
    "shipper/intake/order.py": "order",
    "shipper/intake/validator.py": "validator message values expiry",
    "shipper/intake/sampler.py": "sampler pipeline",
    "shipper/intake/pipeline.py": "pipeline expiry clocks",
    "shipper/intake/writer.py": "writer",
    "shipper/intake/handovers.py": "handovers",
    "shipper/intake/receiver.py": "receiver message",
    "shipper/intake/redactor.py": "redactor message",
    "producer/outbox.py": "outbox backlog flusher counters transport exits",
    "producer/backlog.py": "backlog outbox flusher transport exits taken_machine",
    "producer/counters.py": "counters distributions outbox",
    "rendezvous/taken.py": "taken taken_machine backlog",
    "collector/body.py": "collector_body collector",
    "collector/judge.py": "collector_body collector collector_guard",
    "collector/checks.py": "collector_guard collector_turns collector",
    "collector/turns.py": "collector_turns",
    "collector/store.py": "collector_store collector",
    "collector/bodies.py": "query_store query",
    "collector/tokens.py": "collector_guard collector",
    "redact": """
        redact_rules redact_fields redact_scanner redact_encoded redact_sql redact_known settled database_errors
        sql_in_text hostile redact_recall redact_names redact_command canaries
    """,
    "redact/names": "redact_names redact_known redact_encoded redact_rules own_names",
    "redact/rules": """
        redact_rules redact_encoded redact_known database_errors sql_in_text redact_recall redact_command hostile
        redact_scanner
    """,
}
"""The rooms and modules, those that matter most first, each with names of files `tests/test_*.py`; a module may follow
its room with files of its own."""

_DATA = {"redact/names/everyday_words.py", "redact/tlds.py", "redact/rules/keys.py"}
"""Lists of words, of which each is a case of its own."""


def _modules() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for room, tests in _ROOMS.items():
        paths = [_PACKAGE / room] if room.endswith(".py") else sorted((_PACKAGE / room).glob("*.py"))
        for path in paths:
            if path.name != "__init__.py" and (module := str(path.relative_to(_PACKAGE))) not in _DATA:
                found[module] = tuple(tests.split())
    return found


MODULES: dict[str, tuple[str, ...]] = _modules()
"""The paths below `telemetry/`, and the tests that are asked."""
