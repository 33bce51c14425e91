"""Tests of a program that emits: the events that would leave, after the real checks and the real redaction.

    from telemetry.testing import capture

    with capture("acme.toml") as events:
        run_query("select 1")
    assert events.one("query_finished")["engine"] == "batch"

No process is started, no socket opened, nothing is sent, and nobody's consent is asked. Events of a child process are
not seen. For pytest there is the fixture `telemetry_events` (telemetry/pytest_plugin.py), which needs no import.
"""

from telemetry.testing.capture import Captured, capture
from telemetry.testing.recorder import Event

__all__ = ["Captured", "Event", "capture"]
