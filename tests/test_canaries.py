"""The shipper's self-test: redactor and tripwire each find every canary, and one that does not is taken out of use."""

from __future__ import annotations

from copy import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.names import gather
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.machine import names_of_this_machine
from telemetry.redact.names.name import names_to_find
from telemetry.shipper.canaries import missed_by_redactor, missed_by_tripwire, plant, prove
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.encode import open_format
from telemetry.shipper.encode.ndjson import NDJSON

OWN = names_to_find(
    {
        "user": ["janeroe", "bob", "root"],
        "host": ["jane-laptop", "db1"],
        "secret": ["c0rrect-h0rse", 'p"w\\d-17', "line one\nline two"],
        "path": ["/home/janeroe", "Big Plan"],
        "table": ["shop"],
        "ip": ["10.1.17.3", "fe80::1:2"],
        "mac": ["02:fc:00:00:00:05"],
    }
)
TEXTS = FreeTextRedactor(OWN)


def tripwire() -> Tripwire:
    armed = Tripwire(lambda _: None)
    armed.look_for(OWN)
    return armed


@pytest.mark.parametrize("name", ["ndjson", "risingwave"])
def test_redactor_and_tripwire_each_catch_every_canary(name: str) -> None:
    format_ = open_format(name, "compute")
    armed, canaries = tripwire(), plant(OWN)
    assert {kind for kind, _ in canaries} == {"pem", "token", *(f"own:{name.kind}" for name in OWN)}
    assert missed_by_tripwire(canaries, armed, format_) == set()
    assert missed_by_redactor(canaries, TEXTS, armed, format_) == set()
    assert prove(OWN, TEXTS, armed, format_) is TEXTS
    assert (armed.state, armed.hits) == ("armed", 0)


def test_this_machine_passes() -> None:
    own = names_to_find(names_of_this_machine())
    texts, armed = copy(TEXTS), Tripwire(lambda _: None)
    texts.look_for(own)
    armed.look_for(own)
    assert prove(own, texts, armed, NDJSON) is texts
    assert armed.state == "armed"


def test_a_redactor_that_misses_one_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    blind = FreeTextRedactor()
    armed = tripwire()
    assert prove(OWN, blind, armed, NDJSON) is None
    assert armed.state == "armed"
    assert "own:user" in caplog.text
    assert "janeroe" not in caplog.text


def test_a_tripwire_that_misses_one_is_dead(caplog: pytest.LogCaptureFixture) -> None:
    armed = tripwire()
    armed.look_for(())
    assert prove(OWN, TEXTS, armed, NDJSON) is TEXTS
    assert (armed.state, armed.cause) == ("dead", "tripwire: dead scanner")
    assert "janeroe" not in caplog.text


def test_a_self_test_that_fails_itself_stops_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("janeroe")

    monkeypatch.setattr("telemetry.shipper.delivery.tripwire._Scanner.scan", fail)
    armed = tripwire()
    prove(OWN, TEXTS, armed, NDJSON)
    assert armed.state == "dead"


KINDS = st.sampled_from(["user", "host", "secret", "path", "table", "ip", "mac", "of a later version"])
NAMES = st.text(max_size=30) | st.text("abAB01.-_/\\@\"' :%[]{}\n&#;=+", max_size=30) | st.ip_addresses().map(str)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(KINDS, NAMES), max_size=4))
def test_whatever_a_machine_is_called_its_names_can_be_known_and_pass(names: list[tuple[str, str]]) -> None:
    own = names_to_find(gather(names))
    texts, armed = copy(TEXTS), Tripwire(lambda _: None)
    texts.look_for(own)
    armed.look_for(own)
    assert prove(own, texts, armed, NDJSON) is texts
    assert armed.state == "armed"
