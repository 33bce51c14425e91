"""`help(ShipperSettings)` says of each setting what it is, in which unit, what it is by default, and why."""

from __future__ import annotations

import pydoc
import re
from typing import Any

import pytest

from telemetry import RemoteShipper, ShipperSettings

PLAIN: Any = vars(pydoc)["plaintext"]
UNITS = {"s": 1.0, "h": 3600.0, "days": 86_400.0, "MiB": 1 << 20}
DEFAULTS = ShipperSettings()._asdict()


def _said() -> dict[str, str]:
    """Of each setting what `help` says, in one line."""
    said = pydoc.render_doc(ShipperSettings, renderer=PLAIN)
    attributes = said.partition("Attributes:")[2].partition("Method resolution order")[0]
    items = re.split(r"\n \|\s{6,8}(?=[a-z_]+: )", attributes)
    told = (item.partition(": ") for item in items[1:])
    return {name: " ".join(text.replace("|", "").split()) for name, _, text in told}


def _value(told: str) -> Any:
    """The default that a text begins with, such as `4 MiB` or `""`."""
    number, _, unit = told.partition(" ")
    if told.startswith(('"', "{")) or told in {"True", "False"}:
        return {"True": True, "False": False, "{}": {}}.get(told, told.strip('"'))
    return float(number.replace(",", "")) * UNITS.get(unit, 1)


def test_help_names_every_setting_and_no_other() -> None:
    assert list(_said()) == list(DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_help_tells_the_default_in_its_unit_and_more(name: str) -> None:
    told, _, reason = _said()[name].partition(". ")
    assert _value(told) == DEFAULTS[name]
    assert reason.endswith(".")
    is_seconds, is_bytes = name.endswith("_seconds"), name.endswith("_bytes")
    assert not is_seconds or told.endswith((" s", " h", " days"))
    assert not is_bytes or told.endswith(" MiB") or told == "0"


@pytest.mark.parametrize("name", RemoteShipper._fields)
def test_help_names_what_a_remote_shipper_needs(name: str) -> None:
    assert f"{name}: " in pydoc.render_doc(RemoteShipper, renderer=PLAIN)
