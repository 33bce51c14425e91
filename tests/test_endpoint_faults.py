"""However an endpoint, a proxy or the network between misbehaves, its outcome is right, and it does no harm.

Nothing is lost that should not be, nobody is hammered, the log has a line for each change of state, no secret leaves.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from endpoint_faults.faults import FAULTS

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
