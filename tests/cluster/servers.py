"""Servers of a fleet as processes, each of which can be killed and started again where it was."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from far_sides import await_port, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

_BIN = Path(sys.executable).parent
_POSTGRES = Path("/usr/lib/postgresql")
_DEADLINE_SECONDS = 120
_LEAVE_SECONDS = 20
_USERS = "{ user: fleet, password: sesame }"


class NatsCluster:
    """Servers of NATS as one cluster.

    Attributes:
        url: their URL, with user and password, without a stream.
        monitors: the URL of each server's monitoring.
        pids: the process id of each server that runs, by its number.
    """

    def __init__(
        self, place: Path, servers: int = 3, *, max_payload: str = "8MB", users: str = _USERS, more: str = ""
    ) -> None:
        self._place = place
        self._ports = [(free_port(), free_port(), free_port()) for _ in range(servers)]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.peers = [f"127.0.0.1:{client}" for client, _, _ in self._ports]
        self.url = f"nats://fleet:sesame@{','.join(self.peers)}"
        self.monitors = [f"http://127.0.0.1:{monitor}" for _, monitor, _ in self._ports]
        routes = ", ".join(f'"nats://127.0.0.1:{route}"' for _, _, route in self._ports)
        for number, (client, monitor, route) in enumerate(self._ports):
            (place / f"nats-{number}.conf").write_text(
                f"""
                server_name: "s{number}"
                listen: "127.0.0.1:{client}"
                http: "127.0.0.1:{monitor}"
                max_payload: {max_payload}
                jetstream {{ store_dir: "{place}/nats-{number}" }}
                authorization {{ users = [ {users} ] }}
                {more}
                """
                + (f'cluster {{ name: fleet, listen: "127.0.0.1:{route}", routes: [{routes}] }}' if servers > 1 else "")
            )
            self.start(number)
        self.await_ready()

    @property
    def pids(self) -> dict[int, int]:
        return {number: process.pid for number, process in self._running.items()}

    def start(self, number: int) -> None:
        """Start a server, with what it had stored."""
        with (self._place / f"nats-{number}.log").open("ab") as log:
            self._running[number] = subprocess.Popen(
                [str(_BIN / "nats-server"), "-c", str(self._place / f"nats-{number}.conf")],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, number: int) -> None:
        """End a server as a power cut would."""
        process = self._running.pop(number)
        process.kill()
        process.wait()

    def end(self) -> None:
        """End all servers."""
        for number in tuple(self._running):
            self.kill(number)

    def await_ready(self) -> None:
        """Wait until each server that runs takes part in JetStream."""
        for number in self._running:
            await_port(self._ports[number][0])
            self._await(number, "healthz", lambda answer: answer.get("status") == "ok")

    def leader(self, stream: str) -> int:
        """Return the number of the server that leads a stream."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            for number in self._running:
                for known in self._streams(number):
                    leader = (known.get("cluster") or {}).get("leader", "")
                    if known["name"] == stream and leader and int(leader[1:]) in self._running:
                        return int(leader[1:])
            time.sleep(0.05)
        raise AssertionError(f"nobody leads {stream}")

    def _streams(self, number: int) -> list[dict[str, Any]]:
        with suppress(requests.RequestException):
            found = requests.get(f"{self.monitors[number]}/jsz?streams=true", timeout=5).json()
            return [stream for account in found.get("account_details", ()) for stream in account["stream_detail"]]
        return []

    def _await(self, number: int, page: str, is_so: Any) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                if is_so(requests.get(f"{self.monitors[number]}/{page}", timeout=5).json()):
                    return
            time.sleep(0.05)
        raise AssertionError(f"{self.monitors[number]}/{page} does not become ready")


class Postgres:
    """A server of PostgreSQL, of Debian's package: as root it runs as the package's user, for it refuses root.

    Attributes:
        url: the URL of its database.
        pid: its process id.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._is_root = os.getuid() == 0
        self._user = "postgres" if self._is_root else getpass.getuser()
        self._place = Path(tempfile.mkdtemp(prefix="telemetry-postgres-"))  # a test's own directory is closed to others
        self._port = free_port()
        self.url = f"postgresql://fleet@127.0.0.1:{self._port}/postgres"
        if self._is_root:
            owner = pwd.getpwnam(self._user)
            os.chown(self._place, owner.pw_uid, owner.pw_gid)
        self._command("initdb", "-D", self._data, "-A", "trust", "-U", "fleet", "--no-sync", "--no-instructions").wait()
        self._process = self._begin()

    @property
    def _data(self) -> str:
        return str(self._place / "data")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def directory(self) -> Path:
        """The directory that `end` removes."""
        return self._place

    def _begin(self) -> subprocess.Popen[bytes]:
        where = ("-h", "127.0.0.1", "-p", str(self._port), "-k", str(self._place))
        process = self._command("postgres", "-D", self._data, *where, "-F")
        await_port(self._port)
        return process

    def restart(self) -> None:
        """End the server at once, and start it again."""
        self._process.terminate()  # "smart": it waits for its clients
        self._process.send_signal(3)  # "immediate", as after a power cut
        self._process.wait(_LEAVE_SECONDS)
        self._process = self._begin()

    def end(self) -> None:
        """End the server, and remove what it had."""
        self._process.send_signal(3)
        self._process.wait(_LEAVE_SECONDS)
        shutil.rmtree(self._place)

    def _command(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        as_other: dict[str, Any] = (
            {"user": self._user, "group": self._user, "extra_groups": []} if self._is_root else {}
        )
        with (self._place / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._programs / name), *arguments],
                stdout=log,
                stderr=log,
                cwd=self._place,
                start_new_session=True,
                **as_other,
            )


def postgres_programs() -> Path | None:
    """Return the directory of PostgreSQL's programs; None where Debian's package is not installed."""
    found: Sequence[Path] = sorted(_POSTGRES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None
