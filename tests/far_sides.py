"""The far sides of the sinks, real servers but for HTTP's: where batches are kept, stopped, started and asked."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from base64 import b64decode, urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import nats
import nkeys
import obstore
import requests
from confluent_kafka import Consumer, Producer, TopicPartition
from obstore.store import S3Store
from spools import Answer, Endpoint, Request

from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.directory_sink import HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterator

_BIN = Path(sys.executable).parent
KEYS = {
    "AWS_ACCESS_KEY_ID": "telemetry",
    "AWS_SECRET_ACCESS_KEY": "secret-secret",
    "AWS_REGION": "us-east-1",
}


class Stored(NamedTuple):
    """A batch as it is kept."""

    id: str
    body: bytes
    headers: dict[str, str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def await_port(port: int) -> None:
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens at {port}")


class FarSide(ABC):
    """A place for batches.

    Attributes:
        url: the endpoint.
        environ: the environment of a shipper that may write there.
        keeps_one: whether it keeps one of several batches of one id.
    """

    url = ""
    keeps_one = True

    def __init__(self) -> None:
        self.environ: dict[str, str] = {}

    @abstractmethod
    def stored(self) -> list[Stored]:
        """All that is kept."""

    @abstractmethod
    def stop(self) -> None:
        """Be gone."""

    @abstractmethod
    def start(self) -> None:
        """Be back, with what was stored before."""

    def end(self) -> None:
        """Be gone for good."""
        self.stop()

    def wrong(self) -> tuple[str, dict[str, str]] | None:
        """Endpoint and environment of a shipper with wrong credentials; None where there are none."""
        return None


class Http(FarSide):
    keeps_one = False

    def __init__(self, _: Path) -> None:
        super().__init__()
        self._kept: list[Request] = []
        self.environ = {"TELEMETRY_TOKEN": "sesame"}
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/v1/batches"
        self.start()

    def _answer(self, request: Request) -> Answer:
        if request.header("Authorization") != "Bearer sesame":
            return Answer(401)
        self._kept.append(request)
        return Answer(200)

    def stored(self) -> list[Stored]:
        found = [(dict(request.headers), request.body) for request in self._kept]
        return [Stored(headers["Idempotency-Key"], body, headers) for headers, body in found]

    def stop(self) -> None:
        self._endpoint.__exit__()

    def start(self) -> None:
        self._endpoint = Endpoint(decide=self._answer, port=self._port)
        self._endpoint.__enter__()

    def wrong(self) -> tuple[str, dict[str, str]]:
        return self.url, {"TELEMETRY_TOKEN": "wrong"}


class Directory(FarSide):
    def __init__(self, place: Path) -> None:
        super().__init__()
        self._directory = place / "batches"
        self._away = place / "away"
        self._directory.mkdir()
        self.url = f"file://{self._directory}"

    def stored(self) -> list[Stored]:
        bodies = [path for path in self._directory.iterdir() if not path.name.endswith(HEADERS)]
        found = [(path.name.partition(".")[0], path) for path in bodies]
        return [
            Stored(id_, path.read_bytes(), json.loads((self._directory / f"{id_}{HEADERS}").read_bytes()))
            for id_, path in found
        ]

    def stop(self) -> None:
        self._directory.rename(self._away)

    def start(self) -> None:
        self._away.rename(self._directory)


class _Server(FarSide):
    """A far side that is a process."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    def _run(self, *command: str) -> None:
        with (self._place / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._place, start_new_session=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # as by a power cut, and some take half a minute to say goodbye
            self._process.wait()
            self._process = None


class Nats(_Server):
    def __init__(self, place: Path, tls: str = "", token: str = "") -> None:
        super().__init__(place)
        self._login = {"auth_token": token} if token else {"user": "shipper", "pass": "sesame"}
        users = "users = [ { user: shipper, password: sesame } ]"
        self._port, self._monitor = free_port(), free_port()
        self.url = f"nats://shipper:sesame@127.0.0.1:{self._port}/acme.batches"
        (place / "nats.conf").write_text(
            f"""
            listen: "127.0.0.1:{self._port}"
            http: "127.0.0.1:{self._monitor}"
            jetstream {{ store_dir: "{place}/store", sync_interval: always }}
            max_payload: 64KB
            authorization {{ {f"token: {token}" if token else users} }}
            {tls}
            """
        )
        self.start()
        self.ask("STREAM.CREATE.ACME", {"name": "ACME", "subjects": ["acme.*"], "storage": "file"})

    def start(self) -> None:
        self._run(str(_BIN / "nats-server"), "-c", "nats.conf")
        await_port(self._port)

    def ask(self, _what: str, _question: dict[str, Any]) -> dict[str, Any]:
        """Ask JetStream in its own protocol, by no library's help."""
        with socket.create_connection(("127.0.0.1", self._port), 20) as connection, connection.makefile("rb") as lines:
            lines.readline()
            body = json.dumps(_question).encode()
            login = json.dumps({"verbose": False, **self._login}).encode()
            connection.sendall(b"CONNECT %b\r\nSUB answer 1\r\n" % login)
            connection.sendall(b"PUB $JS.API.%b answer %d\r\n%b\r\n" % (_what.encode(), len(body), body))
            while not (line := lines.readline()).startswith(b"MSG"):
                assert line
            answer: dict[str, Any] = json.loads(lines.read(int(line.split()[-1])))
            return answer

    def stored(self) -> list[Stored]:
        state = self.ask("STREAM.INFO.ACME", {})["state"]
        found = []
        for number in range(max(1, state["first_seq"]), state["last_seq"] + 1):
            message = self.ask("STREAM.MSG.GET.ACME", {"seq": number})["message"]
            lines = b64decode(message["hdrs"]).decode().splitlines()[1:]
            headers = dict(line.split(": ", 1) for line in lines if line)
            found.append(Stored(headers["Nats-Msg-Id"], b64decode(message["data"]), headers))
        return found

    def connections(self) -> list[dict[str, Any]]:
        """What the server knows of those who were connected."""
        asked = requests.get(f"http://127.0.0.1:{self._monitor}/connz?state=closed", timeout=10).json()
        known: list[dict[str, Any]] = asked["connections"]
        return known

    def wrong(self) -> tuple[str, dict[str, str]]:
        return self.url.replace("sesame", "wrong"), {}


class JwtNats(_Server):
    """A server of NATS that knows its users by their JWTs, which an account has signed, which an operator has."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        operator, account, system, user = (_key(prefix) for prefix in (b"O", b"A", b"A", b"U"))
        limits = {"subs": -1, "conn": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True}
        storage = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
        of_account = _jwt(operator, _public(account), {"type": "account", "limits": limits | storage})
        of_system = _jwt(operator, _public(system), {"type": "account", "limits": limits})
        self._port = free_port()
        (place / "nats.conf").write_text(
            f"""
            listen: "127.0.0.1:{self._port}"
            jetstream {{ store_dir: "{place}/store" }}
            system_account: {_public(system)}
            operator: {_jwt(operator, _public(operator), {"type": "operator"})}
            resolver: MEMORY
            resolver_preload: {{ {_public(account)}: {of_account}, {_public(system)}: {of_system} }}
            """
        )
        of_user = _jwt(account, _public(user), {"type": "user", "subs": -1, "data": -1, "payload": -1})
        self.creds = place / "user.creds"
        self.creds.write_text(
            f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )
        self.creds.chmod(0o600)
        self.url = f"nats://127.0.0.1:{self._port}/acme.batches"
        self.start()
        self._ask(self._make)

    def start(self) -> None:
        self._run(str(_BIN / "nats-server"), "-c", "nats.conf")
        await_port(self._port)

    def _ask(self, question: Any) -> Any:
        async def ask() -> Any:
            connection = await nats.connect(f"nats://127.0.0.1:{self._port}", user_credentials=str(self.creds))
            try:
                return await question(connection.jetstream())
            finally:
                await connection.close()

        return asyncio.run(ask())

    @staticmethod
    async def _make(stream: Any) -> None:
        await stream.add_stream(name="ACME", subjects=["acme.*"])

    def stored(self) -> list[Stored]:
        async def read(stream: Any) -> list[Stored]:
            state = (await stream.stream_info("ACME")).state
            found = [await stream.get_msg("ACME", number) for number in range(1, state.messages + 1)]
            return [Stored(each.headers["Nats-Msg-Id"], each.data, each.headers) for each in found]

        kept: list[Stored] = self._ask(read)
        return kept


def _key(prefix: bytes) -> Any:
    kinds = {b"O": nkeys.PREFIX_BYTE_OPERATOR, b"A": nkeys.PREFIX_BYTE_ACCOUNT, b"U": nkeys.PREFIX_BYTE_USER}
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), kinds[prefix]))


def _public(key: Any) -> str:
    public: bytes = key.public_key
    return public.decode()


def _jwt(issuer: Any, subject: str, claims: dict[str, Any]) -> str:
    """A JWT as NATS has them: signed by an nkey."""
    own = {"jti": os.urandom(8).hex(), "iat": int(time.time()), "iss": _public(issuer), "name": "x", "sub": subject}
    parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, own | {"nats": claims | {"version": 2}})
    text = b".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return b".".join((text, urlsafe_b64encode(issuer.sign(text)).rstrip(b"="))).decode()


class S3(_Server):
    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self._ports = [free_port() for _ in range(8)]  # it is to be found where it was
        self._s3 = self._ports[3]
        self.url = "s3://acme/batches"
        self.environ = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._s3}"}
        keys = {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
        rights = ["Admin", "Read", "Write", "List"]
        (place / "s3.json").write_text(
            json.dumps({"identities": [{"name": "all", "credentials": [keys], "actions": rights}]})
        )
        self._begin()
        requests.post(f"http://127.0.0.1:{self._ports[2]}/buckets/acme/", timeout=20).raise_for_status()

    def stop(self) -> None:
        """Take connections and say nothing: to end and begin anew takes it a minute."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def start(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        super().stop()

    def _begin(self) -> None:
        master, volume, filer, s3, *inner = self._ports
        self._run(
            *(str(_BIN / "weed"), "server", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}"),
            *(f"-volume.port={volume}", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", "-s3.config=s3.json"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),  # it would tell its makers
            *("-volume.max=3", "-master.volumeSizeLimitMB=64", f"-master.port.grpc={inner[0]}"),
            *(f"-volume.port.grpc={inner[1]}", f"-filer.port.grpc={inner[2]}", f"-s3.port.grpc={inner[3]}"),
        )
        for port in (filer, s3):
            await_port(port)

    def _store(self) -> S3Store:
        config = {"access_key_id": "telemetry", "secret_access_key": "secret-secret", "region": "us-east-1"}
        return S3Store(
            "acme", config={**config, "endpoint": self.environ["AWS_ENDPOINT_URL"]}, client_options={"allow_http": True}
        )

    def stored(self) -> list[Stored]:
        store = self._store()
        found = []
        for page in obstore.list(store, "batches"):
            for entry in page:
                kept = obstore.get(store, entry["path"])
                id_ = entry["path"].rpartition("/")[2].partition(".")[0]
                found.append(Stored(id_, bytes(kept.bytes()), dict(kept.attributes)))
        return found

    def wrong(self) -> tuple[str, dict[str, str]]:
        return self.url, {**self.environ, "AWS_SECRET_ACCESS_KEY": "wrong"}


class Kafka(FarSide):
    """Brokers of librdkafka's own, in this process: they speak the protocol, and keep all in memory."""

    keeps_one = False

    def __init__(self, _: Path, brokers: int = 3) -> None:
        super().__init__()
        self._brokers = Producer({"test.mock.num.brokers": brokers, "log_level": 0})
        known = self._brokers.list_topics(timeout=20).brokers.values()
        self.port = next(iter(known)).port  # the only one's
        self.peers = ",".join(f"{broker.host}:{broker.port}" for broker in known)
        self.url = f"kafka://{self.peers}/acme-batches"

    def stored(self) -> list[Stored]:
        consumer = Consumer({"bootstrap.servers": self.peers, "group.id": "tests"})
        partitions = consumer.list_topics("acme-batches", timeout=20).topics["acme-batches"].partitions
        places = [TopicPartition("acme-batches", number, 0) for number in partitions]
        ends = [consumer.get_watermark_offsets(place, timeout=20)[1] for place in places]
        consumer.assign(places)
        found: list[Stored] = []
        while len(found) < sum(ends):
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                headers = {name: value.decode() for name, value in message.headers()}
                found.append(Stored(message.key().decode(), message.value(), headers))
        consumer.close()
        return found

    def stop(self) -> None:
        del self._brokers

    def start(self) -> None:
        raise AssertionError("they can't come back")


class Silent:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._held: list[socket.socket] = []
        Thread(target=self._hold, daemon=True).start()

    def _hold(self) -> None:
        with suppress(OSError):
            while True:
                self._held.append(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.close()
        for held in self._held:
            held.close()


def silent_urls(port: int) -> Iterator[tuple[str, dict[str, str]]]:
    yield f"http://127.0.0.1:{port}/v1", {}
    yield f"nats://127.0.0.1:{port}/acme.batches", {}
    yield "s3://acme/batches", {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    yield f"kafka://127.0.0.1:{port}/acme", {}


SETTINGS = ShipperSettings(
    connect_timeout_seconds=5.0,
    read_timeout_seconds=10.0,
    upload_timeout_seconds=10.0,
    upload_jitter_seconds=0.0,
    retry_min_seconds=0.0,
    retry_max_seconds=0.0,
    pause_seconds=0.0,
)
