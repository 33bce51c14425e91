"""One holder of a lock at a time; a dead one holds nothing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from spools import names

from telemetry.files import try_lock
from telemetry.rendezvous.lock import LOCK_FILE, acquire, shipper_runs

if TYPE_CHECKING:
    from pathlib import Path

_HOLD = """
import sys
from pathlib import Path
from telemetry.rendezvous.lock import acquire
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
        assert int((tmp_path / LOCK_FILE).read_text()) == holder.pid
        assert acquire(tmp_path) is None
        assert shipper_runs(tmp_path)
        holder.kill()
    lock = acquire(tmp_path)

    assert lock is not None
    assert int((tmp_path / LOCK_FILE).read_text()) == os.getpid()
    os.close(lock)
    assert not shipper_runs(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a holder has no lock that can be seen")
def test_a_producer_asks_without_taking_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = acquire(tmp_path)
    assert lock is not None

    def take(*_: object) -> None:
        raise AssertionError("a child forked now would keep it")

    monkeypatch.setattr(fcntl, "flock", take)
    assert shipper_runs(tmp_path)
    os.close(lock)
    assert not shipper_runs(tmp_path)
    assert not shipper_runs(tmp_path / "nowhere")


def test_the_lock_outlasts_other_descriptors_of_its_file_and_forked_children(tmp_path: Path) -> None:
    code = _HOLD.replace(
        "print(", "(Path(sys.argv[1]) / 'lock').read_text(); os.fork() or os._exit(0); os.wait(); print("
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"import os\n{code}", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        assert shipper_runs(tmp_path)
        assert acquire(tmp_path) is None
        holder.kill()
    assert not shipper_runs(tmp_path)


def test_a_shipper_of_an_older_version_is_seen_and_sees_us(tmp_path: Path) -> None:
    """It has a lock by flock(2) alone, and asks for a shared one."""
    older = try_lock(tmp_path / LOCK_FILE)
    assert older is not None
    os.write(older, str(os.getpid()).encode())
    assert shipper_runs(tmp_path)
    assert acquire(tmp_path) is None
    os.close(older)
    assert not shipper_runs(tmp_path)

    lock = acquire(tmp_path)
    assert lock is not None
    probe = os.open(tmp_path / LOCK_FILE, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(probe)
    os.close(lock)


def test_a_producer_of_an_older_version_that_probes_keeps_no_shipper_out(tmp_path: Path) -> None:
    probe = os.open(tmp_path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(probe, fcntl.LOCK_SH)
    assert try_lock(tmp_path / LOCK_FILE) is None
    os.close(probe)
    lock = acquire(tmp_path)

    assert lock is not None
    os.close(lock)


def test_a_child_forked_while_an_older_one_is_asked_about_keeps_no_shipper_out(
    tmp_path: Path, inherited: list[int]
) -> None:
    (tmp_path / LOCK_FILE).touch(mode=0o600)
    assert not shipper_runs(tmp_path)
    lock = acquire(tmp_path)

    assert inherited
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
