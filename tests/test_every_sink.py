"""Every format by every sink: what is at the far side is what was emitted, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from every_sink import FORMATS, SINKS, send

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 2000  # `tools/every-sink` sends a million


@pytest.mark.parametrize("sink", [sink for sink in SINKS if sink != "s3"])
@pytest.mark.parametrize("format_", FORMATS)
def test_events_arrive_as_they_were_made(format_: str, sink: str, tmp_path: Path) -> None:
    outcome = send(format_, sink, EVENTS, tmp_path)
    assert outcome[:3] == (EVENTS, 0, 0), outcome


def test_they_do_by_an_object_store_too(tmp_path: Path) -> None:
    outcome = send("otlp", "s3", EVENTS, tmp_path)  # it takes seconds to start
    assert outcome[:3] == (EVENTS, 0, 0), outcome
