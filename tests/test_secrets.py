"""Tokens, passwords and keys are planted wherever one may be given, and looked for wherever one may come out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from conftest import CATALOG, Host, shipper_of, wait_until
from spools import Answer, Endpoint

from telemetry import paths
from telemetry.cli.status import gather
from telemetry.client import Client
from telemetry.endpoint import without_credentials
from telemetry.errors import ConfigError
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.settings import ShipperSettings
from telemetry.shipper.config import read_config, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN = "canary-token-7f3a"
PASSWORD = "canary-proxy-91bc"
HOSTS_OWN = "canary-of-the-host-55d0"
ENDPOINTS = "canary-endpoint-2e8f"
CANARIES = (TOKEN, PASSWORD, HOSTS_OWN, ENDPOINTS)


def _text_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "telemetry", *command, "--product", "acme-db"], check=False, capture_output=True
    )
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize(("token", "login"), [(TOKEN, ""), ("", f"user:{ENDPOINTS}@")], ids=["token", "login"])
def test_no_secret_is_in_argv_log_status_or_a_file_that_has_no_need_of_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, token: str, login: str
) -> None:
    monkeypatch.setenv("TELEMETRY_TOKEN", token)
    monkeypatch.setenv("ACME_DATABASE_PASSWORD", HOSTS_OWN)
    (home / "acme.toml").write_text(CATALOG)
    with Endpoint(Answer(500), decide=lambda _: 403) as endpoint:
        url = f"http://{login}telemetry.example/v1/batches"
        proxy = f"http://user:{PASSWORD}@127.0.0.1:{endpoint.port}"
        init = {"product": "acme-db", "catalog": str(home / "acme.toml"), "endpoint": url, "consent": "on"}
        settings = {"segment_seconds": 0.05, "upload_jitter_seconds": 0.0, "retry_max_seconds": 0.1, "proxy": proxy}
        settings["allow_http"] = True
        host = Host(init, settings)
        host.emit(3)
        wait_until(lambda: len(endpoint.requests) > 1)
        shipper = shipper_of(home)
        argv = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        environ = shipper.environ()
        wait_until(lambda: gather("acme-db")["shipper"].get("upload") == "paused")
        said = [_text_of("status"), json.dumps(gather("acme-db")), _text_of("preview")]
        host.leave()
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    log = (paths.product_dir("acme-db") / "shipper.log").read_text()

    assert any(request.header("Proxy-Authorization") for request in endpoint.requests)
    assert log
    ours = [line for line in argv if "telemetry" in line and "-c" not in line.split()]
    assert not [line for line in [*ours, *said, log] if any(canary in line for canary in CANARIES)]
    assert not any(canary in json.dumps(environ) for canary in (PASSWORD, HOSTS_OWN, ENDPOINTS))
    assert environ.get("TELEMETRY_TOKEN", "") == token  # the one that it has need of
    holders = {path.name for path, data in files.items() if any(canary.encode() in data for canary in CANARIES)}
    assert holders <= {CONFIG_FILE}


def _client(**wrong: object) -> Callable[[], object]:
    return lambda: Client(**{"product": "acme-db", "catalog": "x.toml", "endpoint": "https://h/"} | wrong)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_client(endpoint=f"user:{ENDPOINTS}@h/v1"), id="an endpoint without a scheme"),
        pytest.param(_client(shipper=ShipperSettings(proxy=PASSWORD.encode())), id="a proxy of bytes"),  # type: ignore[arg-type] # wrong on purpose
        pytest.param(lambda: read_settings({"proxy": [PASSWORD]}, "f"), id="a proxy that is a list"),
    ],
)
def test_a_refusal_does_not_repeat_a_secret(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError) as refused:
        make()

    assert "canary" not in str(refused.value)
    assert "canary" not in str(refused.value.__cause__)


def test_a_configuration_that_is_no_toml_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "shipper.toml"
    path.write_text(f'proxy = "http://u:{PASSWORD}@h:1\n')
    with pytest.raises(ConfigError) as refused:
        read_config(path)

    assert "canary" not in str(refused.value)


def test_a_configuration_with_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shipper.toml"
    path.write_text(f'product = "p"\ncatalog = "c"\nendpoint = "https://h/"\nproxy = "http://u:{PASSWORD}@h:1"\n')
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=r"mode 640\); chmod 600") as refused:
        read_config(path)
    path.chmod(0o600)

    assert "canary" not in str(refused.value)
    assert read_config(path).settings.proxy


def test_settings_show_no_password_of_a_proxy() -> None:
    assert "canary" not in repr(ShipperSettings(proxy=f"http://u:{PASSWORD}@h"))
    assert "segment_bytes=" in repr(ShipperSettings())


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://u:p@h:1/a@b", "https://h:1/a@b"),
        ("https://h/a", "https://h/a"),
        ("u:p@h/a", "h/a"),
        ("h", "h"),
    ],
)
def test_a_url_is_shown_without_credentials(url: str, text: str) -> None:
    assert without_credentials(url) == text
