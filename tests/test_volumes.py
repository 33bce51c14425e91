"""Directories as pods have them: volumes of root's that everybody or a group may write in, shared and mounted twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import CATALOG, PROMPT, Collector
from test_paths import as_root, in_child

from telemetry import paths
from telemetry.consent import State, read_stored, store_choice
from telemetry.errors import ConfigError
from telemetry.files import private_dir, read_secret
from telemetry.rendezvous.directory import rendezvous_dir
from telemetry.rendezvous.keys import make_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PRODUCT, ENDPOINT = "acme-db", "https://t.acme.example/v1/batches"
ANN, BOB, GROUP = 1000, 1001, 2000

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else, and mount")

HOST = """
import json, os, sys, telemetry
init, settings = json.loads(sys.argv[1])
client = telemetry.init(**init, shipper=telemetry.ShipperSettings(**settings))
for _ in range(100):
    telemetry.emit("query_finished", duration_ms=1.5)
print(json.dumps([telemetry.flush(60.0, until="delivered"), str(client._link.transport.site.directory)]), flush=True)
if sys.argv[2:]:
    sys.stdin.read()
"""


def _volume(home: Path, mode: int, group: int = 0) -> Path:
    """A directory of root's in a home that others may enter."""
    home.chmod(0o711)
    volume = home / f"v{len(list(home.iterdir()))}"
    volume.mkdir()
    os.chown(volume, 0, group)
    volume.chmod(mode)
    return volume


def _as(uid: int, *groups: int) -> list[str]:
    told = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), *told]


@pytest.fixture(scope="module")
def python() -> Iterator[list[str]]:
    """How another user runs a Python with what we need: this one's own files may be root's alone."""
    packages = [str(Path(paths.__file__).parents[1]), *filter(os.path.isdir, sys.path)]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        command = [
            "env",
            f"PYTHONPATH={':'.join(packages[:1] + [p for p in packages if 'site-packages' in p])}",
            program,
        ]
        tried = [*_as(ANN), *command, "-c", "import os, sys, msgspec, zmq; os.execv(sys.executable, ['p', '-c', ''])"]
        if shutil.which("setpriv") and not subprocess.run(tried, capture_output=True, check=False).returncode:
            yield command
            return
    pytest.skip("no Python that another user may run has our packages, or there is no setpriv")


class Pod:
    """Runs hosts as containers of one pod would."""

    def __init__(self, home: Path, python: list[str], collector: Collector) -> None:
        self._python = python
        self._catalog = home / "acme.toml"
        self._catalog.write_text(CATALOG)
        self._catalog.chmod(0o644)
        self.store = collector.store
        self.init = {"product": PRODUCT, "catalog": str(self._catalog), "endpoint": collector.endpoint, "consent": "on"}

    def command(self, program: Sequence[str], **environment: str) -> list[str]:
        """A host's, after the command line of who runs it."""
        told = {"HOME": "/nonexistent", **environment}
        unset = [part for name in ("TELEMETRY_HOME", "XDG_RUNTIME_DIR", "TMPDIR") for part in ("-u", name)]
        variables = [f"{name}={value}" for name, value in told.items()]
        init = json.dumps([self.init, {**PROMPT, "segment_seconds": 3600.0}])
        return ["env", *unset, *variables, *program, *self._python, "-c", HOST, init]

    def run(self, program: Sequence[str], **environment: str) -> tuple[bool, Path]:
        """Whether all of a host's events were delivered, and where it met its shipper."""
        output = subprocess.run(
            self.command(program, **environment), check=True, capture_output=True, text=True, timeout=120
        )
        assert not output.stderr
        delivered, directory = json.loads(output.stdout)
        return delivered, Path(directory)


@pytest.fixture
def pod(home: Path, python: list[str], collector: Collector) -> Pod:
    return Pod(home, python, collector)


@pytest.mark.parametrize(
    ("mode", "group", "program"),
    [
        pytest.param(0o777, 0, _as(ANN), id="emptyDir"),
        pytest.param(0o777, 0, [], id="emptyDir, as root"),
        pytest.param(0o1777, 0, _as(ANN), id="sticky, as /tmp is"),
        pytest.param(0o2770, GROUP, _as(ANN, GROUP), id="fsGroup"),
    ],
)
def test_all_arrives_by_a_private_directory_in_a_volume(
    home: Path, pod: Pod, mode: int, group: int, program: list[str]
) -> None:
    volume = _volume(home, mode, group)
    delivered, directory = pod.run(program, TELEMETRY_HOME=str(volume))
    (own,) = volume.iterdir()

    assert delivered
    assert directory.is_relative_to(own)
    assert own.name == f"telemetry-{own.stat().st_uid}"
    assert not stat.S_IMODE(own.stat().st_mode) & 0o077
    assert stat.S_IMODE(volume.stat().st_mode) == mode


def test_two_users_of_one_volume_have_a_place_each(home: Path, pod: Pod) -> None:
    """Also where the group of the volume is their own, and the first of them has made the usual names."""
    volume = _volume(home, 0o2770, ANN)
    (ann, hers), (bob, his) = (
        pod.run([*_as(uid)[:4], str(ANN), "--clear-groups"], TELEMETRY_HOME=str(volume)) for uid in (ANN, BOB)
    )

    assert (ann, bob) == (True, True)
    assert hers.parent == volume / "run"
    assert his.parent == volume / f"telemetry-{BOB}" / "run"


def test_a_read_only_root_with_volumes_for_home_and_temporary_files_is_enough(home: Path, pod: Pod) -> None:
    """They are no sticky directories, as /tmp is on a machine."""
    place = _volume(home, 0o755)
    prepare = f'mount -t tmpfs -o mode=0777 none {place} && exec "$@"'
    program = ["unshare", "--mount", "sh", "-c", prepare, "sh", *_as(ANN)]

    assert pod.run(program, HOME=str(place), TMPDIR=str(place))[0]


def test_one_volume_at_two_mount_points_is_one_place(home: Path, pod: Pod) -> None:
    """Two containers, each with pids and mounts of its own: one shipper, one session, and all is counted once."""
    volume = _volume(home, 0o777)
    hosts, places = [], []
    for name in ("here", "elsewhere"):
        point = _volume(home, 0o755) / name
        point.mkdir()
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        program = [*own, "sh", "-c", f'mount --bind {volume} {point} && exec "$@"', "sh", *_as(ANN)]
        command = [*pod.command(program, TELEMETRY_HOME=str(point)), "stay"]
        hosts.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        output = hosts[-1].stdout
        assert output
        delivered, directory = json.loads(output.readline())
        assert delivered
        places.append(directory.removeprefix(str(point)))
    for host in hosts:
        host.kill()
        host.communicate()

    assert places[0] == places[1]
    assert len({line["session"] for line in _stored(pod.store)}) == 1
    assert len(_stored(pod.store)) == 200


REMOTE = """
import json, os, sys, telemetry
init, address = json.loads(sys.argv[1])
telemetry.init(**init, shipper=telemetry.RemoteShipper(address, "key", "../sidecar.pub"))
for _ in range(100):
    telemetry.emit("query_finished", duration_ms=1.5)
print(os.getuid(), telemetry.flush(60.0, until="delivered"))
"""


def test_two_users_of_one_pod_share_a_sidecar_by_its_port(home: Path, pod: Pod, python: list[str]) -> None:
    """Each with a key of their own; what a short host emits has left when its flush says so."""
    home.chmod(0o711)
    make_keys(home / "sidecar")
    (home / "sidecar.pub").chmod(0o644)
    for uid in (ANN, BOB):
        (home / str(uid)).mkdir()
        with (home / "clients").open("a") as clients:
            clients.write(make_keys(home / str(uid) / "key") + "\n")
        for path in (home / str(uid), home / str(uid) / "key"):
            os.chown(path, uid, uid)
    (home / "ship.toml").write_text(f"""
        product = "{PRODUCT}"
        catalog = "acme.toml"
        endpoint = "{pod.init["endpoint"]}"
        listen = "tcp://127.0.0.1:0"
        key_file = "sidecar"
        clients_file = "clients"
        segment_seconds = 3600.0
        upload_jitter_seconds = 3600.0""")
    ship = [sys.executable, "-m", "telemetry", "ship", "--config", str(home / "ship.toml")]
    with subprocess.Popen(ship, stderr=subprocess.PIPE, text=True) as sidecar:
        assert sidecar.stderr
        found = next(filter(None, (re.search(r"tcp://\S+", line) for line in sidecar.stderr)))
        said = []
        for uid in (ANN, BOB):
            told = json.dumps([{**pod.init, "endpoint": "https://h/"}, found[0]])
            command = [*_as(uid), *python, "-c", REMOTE, told]
            said.append(subprocess.run(command, check=True, capture_output=True, text=True, cwd=home / str(uid)).stdout)
        sidecar.terminate()

    assert said == [f"{ANN} True\n", f"{BOB} True\n"]
    assert len(_stored(pod.store)) == 200


def _stored(store: Path) -> list[dict[str, Any]]:
    import zstandard  # noqa: PLC0415 not where another user runs

    bodies = (
        zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
        for path in store.glob("batches/*.zst")
    )
    return [json.loads(line) for body in bodies for line in body.splitlines()]


# What is no volume, and what stays where it was.


def _place(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEMETRY_HOME", str(home))
    return rendezvous_dir(PRODUCT, "digest", ENDPOINT)


def test_the_place_in_a_named_home_does_not_depend_on_where_it_is_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (_place(Path(name), monkeypatch) for name in ("/a", "/b/c"))

    assert one.relative_to("/a") == other.relative_to("/b/c")


def test_a_directory_of_another_user_s_is_no_volume(home: Path) -> None:
    volume = _volume(home, 0o777)
    os.chown(volume, BOB, BOB)

    def work() -> None:
        os.environ["TELEMETRY_HOME"] = str(volume)
        with pytest.raises(PermissionError, match="another user"):
            private_dir(rendezvous_dir(PRODUCT, "digest", ENDPOINT))

    in_child(ANN, work)


def test_what_was_put_into_a_volume_in_our_name_is_not_used(home: Path) -> None:
    volume = _volume(home, 0o777)
    trap = volume / f"telemetry-{ANN}"
    trap.mkdir(mode=0o777)
    os.chown(trap, BOB, BOB)

    def work() -> None:
        os.environ["TELEMETRY_HOME"] = str(volume)
        with pytest.raises(PermissionError, match="another user"):
            private_dir(rendezvous_dir(PRODUCT, "digest", ENDPOINT))

    in_child(ANN, work)


def test_a_directory_that_nobody_named_or_mounted_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = _volume(home, 0o777)
    monkeypatch.delenv("TELEMETRY_HOME")
    monkeypatch.setenv("TMPDIR", str(temporary))
    with pytest.raises(PermissionError, match=r"chmod \+t"):
        private_dir(paths.runtime_root())


@pytest.mark.parametrize(("owner", "mode", "reads"), [(0, 0o440, True), (0, 0o444, False), (ANN, 0o440, False)])
def test_a_secret_of_root_s_that_our_group_may_read_is_one(home: Path, owner: int, mode: int, *, reads: bool) -> None:
    """As in a volume of secrets with an fsGroup."""
    home.chmod(0o711)
    secret = home / "token"
    secret.write_text("secret")
    os.chown(secret, owner, ANN)
    secret.chmod(mode)

    def work() -> None:
        if reads:
            assert read_secret(secret, "token_file") == b"secret"
        else:
            with pytest.raises(ConfigError, match="others can read it"):
                read_secret(secret, "token_file")

    in_child(ANN, work)


@as_root
def test_a_choice_is_kept_in_a_volume_and_one_in_its_usual_place_counts(home: Path) -> None:
    """As an administrator mounts one."""
    volume = _volume(home, 0o777)

    def store() -> None:
        os.environ["TELEMETRY_HOME"] = str(volume)
        store_choice(PRODUCT, State.OFF, time.time())
        assert read_stored(PRODUCT).choice == "off"

    in_child(ANN, store)
    usual = volume / "config" / PRODUCT
    usual.mkdir(parents=True, mode=0o755)
    (usual / "consent.json").write_text(json.dumps({"nonsense": 1}))

    def read() -> None:
        os.environ["TELEMETRY_HOME"] = str(volume)
        assert read_stored(PRODUCT).fault

    in_child(ANN, read)
