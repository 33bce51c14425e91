"""The vectors that authors of clients try their packers with are read as they say."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from conftest import CATALOG

from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.load import load
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.intake.validator import Validator
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from telemetry.catalog.compile import Compiled

VECTORS = json.loads((Path(__file__).parent / "vectors" / "frames.json").read_bytes())


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    path = tmp_path_factory.mktemp("catalog") / "acme.toml"
    path.write_text(CATALOG)
    return compile_catalog(load(path), dt.date(2026, 1, 1))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_vector_is_read_as_it_says(vector: dict[str, Any], compiled: Compiled) -> None:
    frame = decode_frame(bytes.fromhex(vector["frame"]))
    if frame is None:
        assert vector["reads"] is None
        return
    tally = Tally()
    kept = [msgspec.to_builtins(event.fields) for event in Validator(compiled).validate(frame.events, tally)]
    assert {
        "first": frame.first,
        "dropped": frame.dropped,
        "kept": [{name: value for name, value in fields.items() if name != "event"} for fields in kept],
        "events_dropped": tally.dropped,
        "fields_dropped": tally.fields_dropped,
    } == vector["reads"]
