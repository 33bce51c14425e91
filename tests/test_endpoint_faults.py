"""However an endpoint, a proxy or the network between misbehaves, its outcome is right, and it does no harm.

Nothing is lost that should not be, nobody is hammered, the log has a line for each change of state, no secret leaves.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING, Any

import pytest
from conftest import StartHost, wait_until
from endpoint_faults.faults import FAULTS
from endpoint_faults.stage import Resolver, set_stage
from endpoint_faults.trial import TOKEN

from telemetry.cli.status import gather
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.settings import ShipperSettings

if TYPE_CHECKING:
    from endpoint_faults.stage import Stage

SHIPPED = {
    "refused-401": "401",
    "behind-a-proxy": "proxy of TLS: 407",
}
"""Tried with a whole shipper: the product of each, and the fault."""
MOST_MEMORY_BYTES = 200 << 20
"""Of all trials side by side. One reply of the list unpacks to 256 MiB, others go on for 100 MiB."""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What `tools/endpoint-faults --json` prints; in a process of its own, whose memory is that of the trials."""
    command = [sys.executable, "-m", "endpoint_faults", "--json"]
    done = run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=110)
    assert done.stderr == "", "what a library logs would be printed here"
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
def test_a_fault_has_its_outcome_and_does_no_harm(found: dict[str, Any], name: str) -> None:
    (result,) = [result for result in found["faults"] if result["fault"] == name]

    assert result["wrong"] == []


def test_no_reply_fills_the_memory(found: dict[str, Any]) -> None:
    assert found["memory_bytes"] < MOST_MEMORY_BYTES


def test_a_shipper_s_log_and_status_name_the_fault_once_and_hold_no_secret(
    start_host: StartHost, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEMETRY_TOKEN", TOKEN)
    faults = {product: next(fault for fault in FAULTS if fault.name == name) for product, name in SHIPPED.items()}
    with ExitStack() as stack:
        stages = {name: stack.enter_context(set_stage(fault, tmp_path, Resolver())) for name, fault in faults.items()}
        for product, stage in stages.items():
            host = start_host(stage.url, product=product, **_changed(stage))
            host.emit(10)
            host.leave()
        for product, stage in stages.items():
            wait_until(lambda stage=stage: _tries(stage) > 2)  # type: ignore[misc] # a default binds
            report = gather(product)
            assert re.fullmatch(rf"{faults[product].says} \(.+\)", report["shipper"]["cause"])
            assert report["ledger"]["on_disk"] + report["ledger"]["in_flight"] == 10
            assert sum("upload" in line for line in report["errors"]) == 1
            stage.heal()
        for product in stages:
            wait_until(lambda product=product: gather(product)["ledger"]["delivered"] == 10)  # type: ignore[misc] # the same
    for path in home.rglob("*"):
        if path.is_file() and path.name != CONFIG_FILE:  # a proxy's password must be there, 0600
            assert b"canary" not in path.read_bytes(), path


def _tries(stage: Stage) -> int:
    """How often it was tried: on connections of their own, or on one that is kept."""
    return max(stage.server.connections, len(stage.server.heads))


def _changed(stage: Stage) -> dict[str, Any]:
    """Settings that are not the default, and a pause that is over soon."""
    settings = stage.settings._replace(pause_seconds=0.3)._asdict()
    return {name: value for name, value in settings.items() if value != getattr(ShipperSettings(), name)}
