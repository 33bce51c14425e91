"""The redactor of free text is opened for a catalog that needs it, tested before it is used, and told of names."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from telemetry.catalog.matcher import matcher_of
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.names import gather
from telemetry.paths import cache_dir
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.shipper import texts as module
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.own_names import OwnNames
from telemetry.shipper.texts import Texts

if TYPE_CHECKING:
    from pathlib import Path


def _catalog(**types: str) -> Catalog:
    fields = {name: Field(name=name, type=type_, purpose="a test") for name, type_ in types.items()}
    event = Event(
        name="done", purpose="a test", owner="us", expires=dt.date.max, sensitivity="technical", fields=fields
    )
    return Catalog(product="acme-db", version=1, events={"done": event})


def _texts(armed: Tripwire) -> Texts:
    names = OwnNames([_catalog()], lambda: gather([("user", "janeroe")]))
    armed.look_for(names.known)
    return Texts(names, armed, NDJSON)


def test_a_catalog_without_free_text_has_nothing_compiled(home: Path) -> None:
    for file in cache_dir().iterdir():
        file.unlink()
    armed = Tripwire(lambda _: None)
    texts = _texts(armed)

    assert texts.redactor_for(_catalog(ms="float", kind="enum", why="message", table="identifier", sql="sql")) is None
    assert [*cache_dir().glob("scanner-*")] == []
    assert (texts.are_dropped, armed.state, home.exists()) == (False, "armed", True)


def test_many_templates_of_messages_are_compiled_once_and_kept(home: Path) -> None:
    for file in cache_dir().iterdir():
        file.unlink()
    templates = tuple(f"step {n} of {{job}} was left out" for n in range(100))
    why = Field(name="why", type="message", purpose="a test", templates=templates)
    catalog = _catalog(ms="float")
    catalog.events["done"].fields["why"] = why
    texts = _texts(Tripwire(lambda _: None))

    assert texts.redactor_for(catalog) is None
    assert texts.redactor_for(catalog) is None
    assert len([*cache_dir().glob("scanner-*")]) == 1
    said = ["step 7 of night-run was left out", "step 7 of was left out"] * 5
    assert matcher_of(templates).match_all(said) == list(map(matcher_of(templates).match, said))
    assert home.exists()


@pytest.mark.parametrize("type_", ["text", "error"])
def test_one_that_comes_later_and_has_some_is_given_a_redactor_that_knows_the_names(home: Path, type_: str) -> None:
    texts = _texts(Tripwire(lambda _: None))
    assert texts.redactor_for(_catalog(ms="float")) is None
    redactor = texts.redactor_for(_catalog(ms="float", detail=type_))

    assert redactor is not None
    assert redactor.redact(["refused user=janeroe"])[0].text == "refused user=[user]"
    assert texts.redactor_for(_catalog(detail=type_)) is redactor
    assert home.exists()


def test_where_none_can_be_had_it_is_said_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ScannerUnavailableError("none for this platform")

    monkeypatch.setattr(module, "FreeTextRedactor", refuse)
    texts = _texts(Tripwire(lambda _: None))

    assert texts.redactor_for(_catalog(detail="text")) is texts.redactor_for(_catalog(other="text")) is None
    assert texts.are_dropped
    assert [record.message for record in caplog.records] == ["free text is dropped: none for this platform"]
    assert home.exists()
