"""The shipper's configuration: a good one is read, a bad one is refused with one clear error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from spools import NOBODY

from telemetry.errors import ConfigError
from telemetry.settings import ShipperSettings
from telemetry.shipper.config import read_config

GOOD = 'product = "acme-db"\ncatalog = "acme.toml"\nendpoint = "https://t.example/v1"\n'


def _write(tmp_path: Path, text: str, name: str = "ship.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_configuration_is_read_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    config = read_config(
        _write(tmp_path, GOOD + 'segment_seconds = 5\nallow_http = true\ntoken_file = "token"\nca_file = "/ca.pem"\n')
    )

    assert (config.product, config.endpoint) == ("acme-db", "https://t.example/v1")
    assert config.catalog == tmp_path / "acme.toml"
    assert config.settings == ShipperSettings(
        segment_seconds=5, allow_http=True, token_file=str(tmp_path / "token"), ca_file="/ca.pem"
    )


def test_the_mark_that_some_editors_put_before_utf_8_is_passed_over(tmp_path: Path) -> None:
    text = '\ufeffproduct = "acme-db"\ncatalog = "acme.toml"\nendpoint = "https://h/"\n'
    assert read_config(_write(tmp_path, text)).product == "acme-db"


def test_what_a_producer_writes_is_read(tmp_path: Path) -> None:
    settings = ShipperSettings(segment_bytes=7, read_timeout_seconds=1.5, report={"rw_version": "2.6", "nodes": 3})
    text = json.dumps({"product": "a", "catalog": "/c.toml", "endpoint": "https://h/", **settings._asdict()})
    config = read_config(_write(tmp_path, text, "shipper.json"))

    assert (config.catalog, config.settings) == (Path("/c.toml"), settings)


def test_every_default_is_a_value_that_is_taken(tmp_path: Path) -> None:
    text = json.dumps({"product": "a", "catalog": "c", "endpoint": "e", **ShipperSettings()._asdict()})

    assert read_config(_write(tmp_path, text, "shipper.json")).settings == ShipperSettings()


BAD = [
    pytest.param("", "product, catalog, endpoint must be given", id="empty"),
    pytest.param('product = "a"\n', "catalog, endpoint must be given", id="parts missing"),
    pytest.param(GOOD.replace('"acme.toml"', "7"), "catalog must be given, as text", id="a number for a path"),
    pytest.param("product = ", "it must be TOML", id="no TOML"),
    pytest.param(GOOD.replace("acme-db", "../x"), "product = '../x' is no product name", id="a product that is a path"),
    pytest.param(
        GOOD + "segment_secnds = 5\n", "segment_secnds is not a setting.*did you mean segment_seconds", id="misspelt"
    ),
    pytest.param(GOOD + "report = 5\n", "report must be a table of facts", id="a number for facts"),
    pytest.param(GOOD + "report = { nodes = [1] }\n", "report must be a table of facts", id="a list for a fact"),
    pytest.param(GOOD + "colour = 5\n", "colour is not a setting of a shipper; remove it", id="unknown"),
    pytest.param(
        GOOD + "colour = 5\n", "or take one of format, segment_bytes, .*, token_file, shippers$", id="all are named"
    ),
    pytest.param(
        GOOD + 'segment_seconds = "5"\n', "segment_seconds = '5' must be of type float", id="text for seconds"
    ),
    pytest.param(GOOD + "segment_bytes = 1.5\n", "segment_bytes = 1.5 must be of type int", id="half a byte"),
    pytest.param(GOOD + "segment_bytes = true\n", "segment_bytes = True must be of type int", id="a bool for bytes"),
    pytest.param(GOOD + "segment_seconds = true\n", "segment_seconds = True must be of", id="a bool for seconds"),
    pytest.param(GOOD + "allow_http = 1\n", "allow_http = 1 must be of type bool", id="a number for a bool"),
    pytest.param(GOOD + "proxy = 3128\n", "proxy = 3128 must be of type str", id="a number for a text"),
    pytest.param(GOOD + "spool_bytes = -1\n", "spool_bytes = -1 must not be negative", id="negative"),
    pytest.param(GOOD + "segment_seconds = -0.5\n", "segment_seconds = -0.5 must not be", id="negative seconds"),
    pytest.param(GOOD + "segment_seconds = nan\n", "segment_seconds = nan must not be", id="no number"),
    pytest.param(GOOD + "spool_seconds = inf\n", "spool_seconds = inf must be at most", id="infinite"),
    pytest.param(GOOD + "read_timeout_seconds = 1e300\n", "read_timeout_seconds = 1e.300 must be at most", id="huge"),
    pytest.param(GOOD + "connect_timeout_seconds = 0\n", "connect_timeout_seconds = 0 must be greater", id="no time"),
    pytest.param(GOOD + "[token_file]\nx = 1\n", "token_file = .* must be of type str", id="a table for a text"),
]


@pytest.mark.parametrize(("text", "error"), BAD)
def test_a_bad_configuration_is_refused_naming_file_name_value_and_remedy(
    tmp_path: Path, text: str, error: str
) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError, match=error) as refused:
        read_config(path)

    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    "text", ["[]", "null", "7", "{", "[" * 100_000, '"x"'], ids=["list", "null", "7", "{", "deep", "text"]
)
def test_json_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = _write(tmp_path, text, "shipper.json")
    with pytest.raises(ConfigError, match=r"ship.*must "):
        read_config(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ship.toml"
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(ConfigError, match="it must be TOML"):
        read_config(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: No such file or directory; give the path"):
        read_config(tmp_path / "none.toml")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        read_config(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second uid")
def test_a_file_that_may_not_be_read_is_refused() -> None:
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = _write(Path(directory), GOOD)
        path.chmod(0o600)
        child = os.fork()
        if not child:
            status = 1
            try:
                os.setuid(NOBODY)
                read_config(path)
            except ConfigError as refused:
                status = 0 if "Permission denied" in str(refused) else 2
            finally:
                os._exit(status)

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_a_producer_of_another_version_wrote_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    told = {"product": "a", "catalog": "/c.toml", "endpoint": "https://h/", "segment_seconds": 1.5, "of_tomorrow": [1]}
    assert read_config(_write(tmp_path, json.dumps(told), "shipper.json")).settings == ShipperSettings(
        segment_seconds=1.5
    )
    with pytest.raises(ConfigError, match="of_tomorrow"):
        read_config(_write(tmp_path, 'product="a"\ncatalog="c"\nendpoint="e"\nof_tomorrow = 1\n', "ship.toml"))
