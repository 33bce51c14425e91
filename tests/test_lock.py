"""One holder of a lock at a time; a dead one holds nothing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from spools import names

from telemetry.paths import LOCK_FILE
from telemetry.producer.spawn import shipper_runs
from telemetry.shipper.lock import acquire
from telemetry.spool.disk import try_lock

if TYPE_CHECKING:
    from pathlib import Path

_HOLD = """
import sys
from pathlib import Path
from telemetry.shipper.lock import acquire
assert acquire(Path(sys.argv[1])) is not None
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_shipper_does_not_get_the_lock_until_the_first_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        assert (tmp_path / LOCK_FILE).read_text() == str(holder.pid)
        assert acquire(tmp_path) is None
        assert shipper_runs(tmp_path)
        holder.kill()
    lock = acquire(tmp_path)

    assert lock is not None
    assert (tmp_path / LOCK_FILE).read_text() == str(os.getpid())
    os.close(lock)
    assert not shipper_runs(tmp_path)


def test_a_producer_that_probes_does_not_keep_a_shipper_from_the_lock(tmp_path: Path) -> None:
    probe = os.open(tmp_path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(probe, fcntl.LOCK_SH)
    assert try_lock(tmp_path / LOCK_FILE) is None
    os.close(probe)
    lock = acquire(tmp_path)

    assert lock is not None
    os.close(lock)


def test_a_lock_that_is_not_had_leaves_no_descriptor(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    before = len(list(os.scandir("/dev/fd")))
    assert [try_lock(tmp_path / "lock") for _ in range(20)] == [None] * 20

    assert len(list(os.scandir("/dev/fd"))) == before
    os.close(lock)
    assert names(tmp_path) == {"lock"}


def test_a_symbolic_link_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        try_lock(tmp_path / "lock")

    assert names(tmp_path) == {"lock"}
