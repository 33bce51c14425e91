"""One trial: a collector, a shipper's uploads alone, the same beside an attack, and what is left of the collector."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import psutil
import trustme

from hostile_clients.bodies import fit, head

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS, THEIRS = "our-token", "their-token"
_DEADLINE_SECONDS = 30.0
_BODY = fit()


class Result(NamedTuple):
    """What came of an attack.

    Attributes:
        attack: its name.
        alone: a shipper's batches a second before it.
        beside: ... and meanwhile.
        memory_mb: most that all processes of the collector held together.
        log_lines: that it wrote.
        attempts: of the attack.
    """

    attack: str
    alone: float
    beside: float
    memory_mb: float
    log_lines: int
    attempts: int


class Collector(NamedTuple):
    """A running one, in a directory of its own."""

    process: psutil.Popen
    host: str
    port: int
    directory: Path
    tls: ssl.SSLContext | None

    def memory_mb(self) -> float:
        """Of all its processes."""
        processes = [self.process, *self.process.children()]
        return sum(process.memory_info().rss for process in processes) / 1e6

    def log_lines(self) -> int:
        """So far."""
        return (self.directory / "log").read_text().count("\n")


@contextmanager
def collector(*, tls: bool) -> Iterator[Collector]:
    """A collector with two tokens."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "tokens").touch(0o600)
        (directory / "tokens").write_text(f"ours:{OURS}\ntheirs:{THEIRS}\n")
        options = ["--token-file", str(directory / "tokens")]
        context = None
        if tls:
            authority = trustme.CA()
            leaf = authority.issue_cert("127.0.0.1")
            (directory / "key.pem").touch(0o600)
            leaf.private_key_pem.write_to_path(directory / "key.pem")
            leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")
            options += ["--tls-cert", str(directory / "cert.pem"), "--tls-key", str(directory / "key.pem")]
            context = ssl.create_default_context()
            authority.configure_trust(context)
        store = ("--listen", "127.0.0.1:0", "--store", str(directory / "store"))
        command = [sys.executable, "-m", "telemetry", "collect", *store, *options]
        with (directory / "log").open("w") as log:
            process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            address = urlsplit(json.loads(process.stdout.readline())["listening"])
            yield Collector(process, address.hostname or "", address.port or 0, directory, context)
        finally:
            process.terminate()
            process.wait(_DEADLINE_SECONDS)
            process.stdout.close()


class Shipper:
    """Uploads one batch after another by a connection that it keeps, and comes again when it is cut off."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._line: socket.socket | None = None

    def upload(self, until: float) -> bool:
        """One batch; False when the time is over before it is stored."""
        request = head(len(_BODY), OURS) + _BODY
        while time.monotonic() < until:
            try:
                if self._line is None:
                    self._line = self._connect(max(0.01, until - time.monotonic()))
                self._line.settimeout(max(0.01, until - time.monotonic()))
                self._line.sendall(request)
                if b'"stored":true' in self._answer(self._line):
                    return True
            except OSError:
                pass
            self.close()
            time.sleep(0.01)
        return False

    def rate(self, seconds: float) -> float:
        """Batches a second."""
        begun = time.monotonic()
        count = 0
        while self.upload(begun + seconds):
            count += 1
        return count / (time.monotonic() - begun)

    def close(self) -> None:
        """End the connection."""
        if self._line is not None:
            self._line.close()
        self._line = None

    def _connect(self, timeout: float) -> socket.socket:
        line = socket.create_connection((self._collector.host, self._collector.port), timeout=timeout)
        if self._collector.tls is None:
            return line
        return self._collector.tls.wrap_socket(line, server_hostname="127.0.0.1")

    @staticmethod
    def _answer(line: socket.socket) -> bytes:
        answer = b""
        while not answer.endswith(b"}"):
            piece = line.recv(65_536)
            if not piece:
                raise ConnectionError
            answer += piece
        return answer


def try_out(attack: str, seconds: float, *, tls: bool) -> Result:
    """Run one attack against a collector of its own."""
    with collector(tls=tls) as running:
        shipper = Shipper(running)
        for _ in range(5):
            shipper.upload(time.monotonic() + _DEADLINE_SECONDS)
        alone = shipper.rate(seconds)
        shipper.close()  # beside the attack it has to come in anew, which is the harder part
        command = [sys.executable, "-m", "hostile_clients.attacks", attack, running.host, str(running.port), THEIRS]
        with subprocess.Popen([*command, str(seconds + 2)], stdout=subprocess.PIPE, text=True) as hostile:
            time.sleep(1.5)  # until it is at work
            beside = shipper.rate(seconds)
            memory_mb = running.memory_mb()
            attempts = int(hostile.communicate(timeout=_DEADLINE_SECONDS)[0] or 0)
        shipper.close()
        if not shipper.upload(time.monotonic() + _DEADLINE_SECONDS):
            beside = 0.0  # whatever it was meanwhile
        return Result(attack, round(alone, 1), round(beside, 1), round(memory_mb), running.log_lines(), attempts)
