"""Collectors of a fleet as processes, and clients that upload to them as fast as they are answered."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import requests

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = {
    "Telemetry-Consent": "level=on; basis=host; notice=0; deployment=cloud",
    "Telemetry-Catalog": "acme-db/3",
    "Telemetry-Ledger": "emitted=1; kept=1",
    "Content-Type": "application/x-ndjson",
    "Content-Encoding": "zstd",
}


class Collector:
    """A process of `telemetry collect --stream`.

    Attributes:
        url: its URL.
        log: the file of what it says.
        process: the process.
    """

    def __init__(self, place: Path, stream: str, *options: str, listen: str = "127.0.0.1:0") -> None:
        self.log = place / f"collector-{secrets.token_hex(4)}.log"
        command = [sys.executable, "-m", "telemetry", "collect", "--listen", listen, "--stream", stream, *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "TELEMETRY_TOKEN": ""}
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.url = json.loads(line)["listening"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self._leave()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self._leave()

    def _leave(self) -> None:
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def post(self, batch: str, body: bytes, **headers: str) -> requests.Response:
        """Upload a batch."""
        said = {
            **HEADERS,
            "Idempotency-Key": batch,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return requests.post(f"{self.url}/v1/batches", data=body, headers=said, timeout=60)


class Uploads:
    """Clients that each upload batch upon batch, repeat each until it is confirmed, and go on until they are ended.

    Attributes:
        confirmed: the ids of the batches that were confirmed.
        answers: the number of answers by status; 0 counts connections that broke.
    """

    def __init__(self, urls: list[str], clients: int, body: bytes, most: int = 1_000_000) -> None:
        self.confirmed: set[str] = set()
        self.answers: dict[int, int] = {}
        self._urls = urls
        self._body = body
        self._left = most
        self._is_ending = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._upload, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def end(self, seconds: float) -> None:
        """Let each client finish the batch that it has; it is given up after so many seconds."""
        self._is_ending = True
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), self.answers

    def _upload(self, number: int) -> None:
        with requests.Session() as session:
            while not self._is_ending and self._take_one():
                batch = secrets.token_hex(16)
                tries = number
                while self._ask(session, self._urls[tries % len(self._urls)], batch) != 200:
                    tries += 1
                    time.sleep(0.05)
                with self._lock:
                    self.confirmed.add(batch)

    def _take_one(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _ask(self, session: requests.Session, url: str, batch: str) -> int:
        headers: dict[str, Any] = {**HEADERS, "Idempotency-Key": batch}
        try:
            status = session.post(f"{url}/v1/batches", data=self._body, headers=headers, timeout=60).status_code
        except requests.RequestException:
            status = 0
        with self._lock:
            self.answers[status] = self.answers.get(status, 0) + 1
        return status
