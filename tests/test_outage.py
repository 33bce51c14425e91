"""A short outage by the very code that measures a long one: `python -m bench outage`."""

from __future__ import annotations

from bench.outage import wrong
from bench.site import site


def test_an_outage_costs_the_oldest_events_alone_and_its_backlog_starves_nobody() -> None:
    spool_bytes, events_per_second = 4 << 20, 1000
    with site() as place:
        figures = place.run("bench.outage_day", place.endpoint, 2500, events_per_second, spool_bytes)

    assert wrong(figures) == []
    assert figures["bytes_written"] > 5 * spool_bytes
    assert figures["most_bytes"] > 0.85 * spool_bytes
    assert figures["memory_growth"] < 0.1  # of so short a run: allocators keep a page more or less
    # Jitter, one upload of a backlog's segment at a bandwidth of twice what is emitted, and a second's grain.
    segment_seconds = spool_bytes / 8 / (figures["bytes_written"] / 2500 * 2)
    assert max(figures["fresh_delays"]) < 5 + 2 * segment_seconds + 1
    # Backlog and fresh batches share the bandwidth: it is gone as soon as can be, and not before.
    assert figures["drain_seconds"] < 1.5 * spool_bytes / (figures["bytes_written"] / 2500)
