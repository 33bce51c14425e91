"""A sign of life: a lock that the kernel drops with its process, and with nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from conftest import wait_until

from telemetry.paths import LIVING
from telemetry.rendezvous.life import Sign, gone_in, is_held, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRODUCER = bytes(range(16))
NAME = PRODUCER.hex()

# Holds a sign, and does what it reads, a line of Python each; answers each line.
HOLDER = """
import os, sys, time
from pathlib import Path
from telemetry.rendezvous.life import Sign
spool, producer = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
sign = Sign()
sign.hold(spool, producer)
print(flush=True)
for line in sys.stdin:
    exec(line)
    print(flush=True)
"""


class Holder:
    """A process that holds a sign of life."""

    def __init__(self, spool: Path, producer: str = NAME) -> None:
        command = [sys.executable, "-c", HOLDER, str(spool), producer]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._await()

    def do(self, line: str) -> None:
        """Have it run a line of Python, and wait until it has."""
        assert self.process.stdin
        print(line, file=self.process.stdin, flush=True)
        self._await()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):  # not read to the end: a child may hold it open
            assert pipe
            pipe.close()

    def _await(self) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == "\n"


@contextmanager
def holder(spool: Path, producer: str = NAME) -> Iterator[Holder]:
    held = Holder(spool, producer)
    try:
        yield held
    finally:
        held.kill()


def test_it_is_held_until_the_process_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as living:
        assert is_held(tmp_path, NAME) is True
        living.process.send_signal(signal.SIGSTOP)
        assert is_held(tmp_path, NAME) is True
        living.kill()

    assert is_held(tmp_path, NAME) is False


def test_who_has_made_no_file_holds_nothing_and_nothing_is_made_by_asking(tmp_path: Path) -> None:
    assert is_held(tmp_path, NAME) is None
    assert is_held(tmp_path, "../" * 9) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fork", ["os.fork()", "os.forkpty()[0]"])
def test_a_forked_child_is_not_taken_for_its_parent(tmp_path: Path, fork: str) -> None:
    with holder(tmp_path) as parent:
        parent.do(f"child = {fork} or time.sleep(60)")
        parent.do(f"Path({str(tmp_path / 'child')!r}).write_text(str(child))")
        child = int((tmp_path / "child").read_text())
        try:
            assert is_held(tmp_path, NAME) is True
            parent.kill()
            assert is_held(tmp_path, NAME) is False
            os.kill(child, 0)  # it lives
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_that_takes_a_sign_of_its_own_leaves_its_parent_s(tmp_path: Path) -> None:
    own = b"\xff" * 16
    with holder(tmp_path) as parent:
        parent.do(f"child = os.fork() or (sign.hold(spool, {own!r}), time.sleep(60))")
        parent.do(f"Path({str(tmp_path / 'child')!r}).write_text(str(child))")
        wait_until(lambda: is_held(tmp_path, own.hex()))
        assert is_held(tmp_path, NAME) is True
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
        wait_until(lambda: not is_held(tmp_path, own.hex()))

        assert is_held(tmp_path, NAME) is True


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param("os.closerange(3, 256)", id="it closes all it has not opened"),
        pytest.param("[os.dup2(0, number) for number in range(3, 32)]", id="it puts other files in their places"),
        pytest.param("(spool / 'living' / producer.hex()).read_bytes()", id="it reads the file"),
        pytest.param("(spool / 'living' / producer.hex()).unlink()", id="the file is deleted"),
        pytest.param(
            "(spool / 'new').touch(); (spool / 'new').replace(spool / 'living' / producer.hex())",
            id="the file is replaced",
        ),
        pytest.param("__import__('shutil').rmtree(spool)", id="the spool is removed"),
    ],
)
def test_what_is_lost_is_taken_again_at_the_next_look(tmp_path: Path, loss: str) -> None:
    spool = tmp_path / "spool"
    with holder(spool) as living:
        living.do(loss)
        assert not is_held(spool, NAME)
        living.do("sign.hold(spool, producer)")
        assert is_held(spool, NAME) is True
        living.do("sign.hold(spool, producer)")

        assert is_held(spool, NAME) is True


def test_a_descriptor_that_is_the_host_s_by_now_is_not_closed(tmp_path: Path) -> None:
    with holder(tmp_path) as living:
        living.do("os.closerange(3, 256); files = [os.open(os.devnull, 0) for _ in range(8)]")
        living.do("sign.let_go()")
        living.do("[os.fstat(file) for file in files]")

        assert living.process.poll() is None


def test_it_never_takes_a_standard_descriptor(tmp_path: Path) -> None:
    with holder(tmp_path) as living:
        living.do("sign.let_go(); os.close(2); sign.hold(spool, producer); assert sign._held[0] > 2")

        assert is_held(tmp_path, NAME) is True


def test_who_lets_go_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as living:
        living.do("sign.let_go(); sign.let_go()")
        assert is_held(tmp_path, NAME) is False
        living.do("sign.hold(spool, producer)")

        assert is_held(tmp_path, NAME) is True


def test_another_process_s_sign_is_not_taken(tmp_path: Path) -> None:
    with holder(tmp_path), pytest.raises(OSError, match=r"Errno"):
        Sign().hold(tmp_path, PRODUCER)


def test_what_nobody_holds_is_swept_away_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / LIVING).mkdir(mode=0o700)
    (tmp_path / LIVING / "dead").touch()
    (tmp_path / LIVING / "strange").mkdir()
    with holder(tmp_path):
        sweep(tmp_path, gone_in(tmp_path))
        assert {path.name for path in (tmp_path / LIVING).iterdir()} == {NAME, "strange"}
    shutil.rmtree(tmp_path / LIVING)

    sweep(tmp_path, gone_in(tmp_path))  # nothing to sweep


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="a pid namespace takes root and unshare")
def test_it_is_seen_from_another_pid_namespace_and_is_gone_with_it(tmp_path: Path) -> None:
    code = f"import sys; sys.argv[1:] = {[str(tmp_path), NAME]!r}\n{HOLDER}"
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "\n"
        assert is_held(tmp_path, NAME) is True
        process.kill()
    wait_until(lambda: is_held(tmp_path, NAME) is False)
