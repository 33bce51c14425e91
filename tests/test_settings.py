"""`help(ShipperSettings)` says of each setting what it is, in which unit, what it is by default, and why.

A program, the environment and a file set them, in this order.
"""

from __future__ import annotations

import pydoc
import re
from typing import TYPE_CHECKING, Any

import pytest

from telemetry import ConfigError, RemoteShipper, ShipperSettings
from telemetry.settings import check_settings, resolve

if TYPE_CHECKING:
    from pathlib import Path

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


# What a host's shipper is told: arguments, environment, file.


def _file(directory: Path, text: str) -> Path:
    path = directory / "settings.toml"
    path.write_text(text)
    return path


def test_what_the_program_says_goes_before_the_environment_and_that_before_the_default() -> None:
    environ = {"TELEMETRY_SEGMENT_SECONDS": "5", "TELEMETRY_SPOOL_BYTES": "1000", "TELEMETRY_ALLOW_HTTP": "1"}
    settings, sources = resolve(ShipperSettings(segment_seconds=7), environ)

    assert settings == ShipperSettings(segment_seconds=7, spool_bytes=1000, allow_http=True)
    assert sources == {"spool_bytes": "TELEMETRY_SPOOL_BYTES", "allow_http": "TELEMETRY_ALLOW_HTTP"}


def test_the_environment_goes_before_a_file_whose_paths_are_relative_to_it(tmp_path: Path) -> None:
    file = _file(tmp_path, 'segment_seconds = 7\nspool_segments = 9\nca_file = "ca.pem"\nreport = { nodes = 1 }\n')
    settings, sources = resolve(file, {"TELEMETRY_SEGMENT_SECONDS": "5"})

    ca_file = str(tmp_path / "ca.pem")
    assert settings == ShipperSettings(segment_seconds=5, spool_segments=9, ca_file=ca_file, report={"nodes": 1})
    said = {"segment_seconds": "TELEMETRY_SEGMENT_SECONDS"}
    assert sources == {**dict.fromkeys(["spool_segments", "ca_file", "report"], str(file)), **said}


@pytest.mark.parametrize("text", ["soon", "", "-1", "1e400"])
def test_a_variable_that_cannot_be_used_is_no_mistake_of_the_program_and_reaches_the_shipper(text: str) -> None:
    settings, _ = resolve(None, {"TELEMETRY_SEGMENT_SECONDS": text})
    assert settings != ShipperSettings()
    with pytest.raises(ConfigError, match="segment_seconds"):
        check_settings(settings._asdict(), "TELEMETRY_SEGMENT_SECONDS")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = _file(tmp_path, 'segment_secnds = 5\nspool_bytes = -1\nformat = "xml"\nproxy = "x"\n')
    with pytest.raises(ConfigError) as raised:
        resolve(file, {})
    assert [line.removeprefix(f"{file}: ").split()[0] for line in str(raised.value).splitlines()] == [
        "segment_secnds",
        "spool_bytes",
        "format",
        "proxy:",
    ]


@pytest.mark.parametrize("text", [None, "=", "[" * 100_000], ids=["none", "no TOML", "deep"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "none.toml" if text is None else _file(tmp_path, text)
    with pytest.raises(ConfigError, match=f"{file.name}.*give the path of a TOML file"):
        resolve(file, {})
