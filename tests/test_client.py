"""A client by itself: its arguments, strictness, and what off means."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest
from conftest import made_in, shippers_of
from standin import ENDPOINT, PRODUCT, StandIn, host, local_transport, rendezvous, stand_in, write_catalog

from telemetry import CatalogError, Client, ConfigError, ShipperSettings, UndeclaredError, paths
from telemetry.producer.site import Places

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    return write_catalog(tmp_path)


# Arguments.

WRONG: list[Any] = [
    pytest.param({"product": "Acme DB"}, "Acme DB", id="product"),
    pytest.param({"product": None}, "product", id="no product"),
    pytest.param({"deployment": "moon"}, "deployment='moon'", id="deployment"),
    pytest.param({"consent": "yes"}, "consent='yes'", id="consent"),
    pytest.param({"consent": ["on"]}, "consent", id="consent of another type"),
    pytest.param({"catalog": "/nowhere/acme.toml"}, "/nowhere/acme.toml", id="no catalog"),
    pytest.param({"catalog": "/"}, "catalog='/'", id="a directory"),
    pytest.param({"catalog": "/dev/null"}, "catalog='/dev/null'", id="a device"),
    pytest.param({"catalog": "a\0b"}, "catalog", id="no path"),
    pytest.param({"catalog": None}, "catalog=", id="catalog of another type"),
    pytest.param({"endpoint": ""}, "endpoint=''", id="no endpoint"),
    pytest.param({"endpoint": "t.acme.example"}, "must be a URL", id="endpoint without a scheme"),
    pytest.param({"endpoint": None}, "endpoint=None", id="endpoint of another type"),
    pytest.param({"endpoint": "https://"}, "must be a URL", id="endpoint without a host"),
    pytest.param({"endpoint": "http://10.0.0.1/v1"}, "use https", id="endpoint in clear"),
    pytest.param({"shipper": ShipperSettings(format="xml")}, "format = 'xml' must be one of ndjson", id="format"),
    pytest.param({"shipper": ShipperSettings(proxy="socks5://x")}, "proxy: must be a URL", id="proxy"),
    pytest.param({"flush_interval_seconds": 0}, "flush_interval_seconds=0", id="interval"),
    pytest.param({"flush_interval_seconds": 3601}, "at most 3600", id="interval above an hour"),
    pytest.param({"flush_interval_seconds": float("inf")}, "flush_interval_seconds=inf", id="endless interval"),
    pytest.param({"flush_interval_seconds": float("nan")}, "flush_interval_seconds=nan", id="no interval"),
    pytest.param({"flush_interval_seconds": "1"}, "flush_interval_seconds='1'", id="interval of another type"),
    pytest.param({"queue_bytes": 1}, "queue_bytes=1", id="queue"),
    pytest.param({"queue_bytes": None}, "queue_bytes=None", id="queue of another type"),
    pytest.param({"packages": "acme"}, "packages='acme'", id="packages as one text"),
    pytest.param({"packages": (1,)}, "packages", id="packages of another type"),
    pytest.param({"shipper": {"segment_bytes": 1}}, "shipper=", id="settings of another type"),
    pytest.param({"shipper": ShipperSettings(spool_bytes="1")}, "spool_bytes = '1'", id="a setting"),  # type: ignore[arg-type]
    pytest.param({"shipper": ShipperSettings(allow_http=1)}, "allow_http = 1", id="a switch"),  # type: ignore[arg-type]
    pytest.param({"shipper": ShipperSettings(segment_seconds=-1)}, "segment_seconds = -1 must not", id="before now"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
@pytest.mark.parametrize("consent", ["on", "off"])
def test_a_wrong_argument_is_a_config_error_that_names_it_whatever_the_consent(
    catalog: Path, wrong: dict[str, Any], said: str, consent: str
) -> None:
    arguments: dict[str, Any] = {
        "product": PRODUCT,
        "catalog": catalog,
        "endpoint": ENDPOINT,
        "consent": consent,
    } | wrong
    with pytest.raises(ConfigError) as raised:
        Client(**arguments)
    assert said in str(raised.value) or said == "product"
    assert not rendezvous(catalog).exists()


def test_all_wrong_arguments_are_told_at_once(catalog: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        Client(product="Acme!", catalog=catalog, endpoint="http://", consent="maybe", queue_bytes=1)
    product, *others = str(raised.value).splitlines()
    assert product.startswith("'Acme!' is no product name")
    assert [line.partition("=")[0] for line in others] == ["consent", "queue_bytes", "endpoint"]


def test_a_relative_catalog_is_found_where_the_host_stands(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(catalog.parent)
    with stand_in(catalog) as shipper, host(catalog, catalog=catalog.name) as client:
        client.emit("started")
        assert client.flush(60)
        assert len(shipper.events) == 1


def test_handle_sigterm_outside_the_main_thread_is_a_config_error(catalog: Path) -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            Client(product=PRODUCT, catalog=catalog, endpoint=ENDPOINT, consent="on", handle_sigterm=True)
        except ConfigError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


@pytest.mark.parametrize("directory", ["state_dir", "config_dir", "runtime_root"])
def test_a_place_that_cannot_be_written_does_not_stop_the_host(
    catalog: Path, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands where a directory should be: root may write anywhere else."""
    place = getattr(paths, directory)()
    place.write_text("")
    monkeypatch.setattr(sys, "executable", "")
    with host(catalog) as client:
        client.emit("started")
        assert not client.flush(0.1)
        client.close(0.0)
    assert place.read_text() == ""


# Life.


def test_a_block_closes_its_client(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        with Client(product=PRODUCT, catalog=catalog, endpoint=ENDPOINT, consent="on") as client:
            client.emit("query_finished", number=1)
        client.emit("query_finished", number=2)
        client.count("queries")
        assert client.flush(0.0)
        client.close()
        assert shipper.values("number") == [1]


def test_a_timer_that_ends_after_close_does_nothing(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        with client.timer("query_finished"):
            client.close(30)
        assert shipper.events == []


def test_timers_of_a_client_fill_duration_ms(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:

        @client.timer("query_finished", engine="batch")
        def work() -> int:
            return 7

        with client.timer("query_finished", engine="stream"):
            assert work() == 7
        assert client.flush(60)
        assert shipper.values("engine") == ["batch", "stream"]
        assert all(duration >= 0 for duration in shipper.values("duration_ms"))


def test_a_flush_is_not_held_up_by_those_who_go_on_emitting(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        stopping = threading.Event()

        def work() -> None:
            while not stopping.wait(0.0001):
                client.emit("query_finished", number=-1)
                client.count("queries")

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(5):
                client.emit("query_finished", number=number)
                assert client.flush(60)
                assert number in shipper.values("number")
        finally:
            stopping.set()
            for thread in threads:
                thread.join()


def test_a_field_may_have_any_name(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.emit("started", self=1, name=2, fields=3)
        client.count("queries", self=1, name=2, n=3)
        assert client.flush(60)
        assert shipper.events[0][2] == {"self": 1, "name": 2, "fields": 3}
        assert shipper.events[1][2] == {"self": 1, "name": 2, "n": 3, "count": 1}


def test_consent_is_told_in_every_frame(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog, consent="local", deployment="enterprise") as client:
        client.emit("started")
        assert client.flush(60)
        assert {(f.context["consent"], f.context["basis"]) for f in shipper.frames} == {("local", "host")}
        assert {f.context["deployment"] for f in shipper.frames} == {"enterprise"}


# Strictness.


@pytest.mark.parametrize("consent", ["on", "off"])
def test_strict_raises_on_an_undeclared_event_and_names_the_nearest(catalog: Path, consent: str) -> None:
    with stand_in(catalog), host(catalog, strict=True, consent=consent) as client:
        with pytest.raises(UndeclaredError) as raised:
            client.emit("query_finnished")
        for part in ("'query_finnished'", "did you mean query_finished?", str(catalog)):
            assert part in str(raised.value)


@pytest.mark.parametrize("consent", ["on", "off"])
def test_strict_raises_on_an_undeclared_field_and_names_the_nearest(catalog: Path, consent: str) -> None:
    with stand_in(catalog), host(catalog, strict=True, consent=consent) as client:
        with pytest.raises(UndeclaredError) as raised:
            client.emit("query_finished", engin="batch")
        for part in ("query_finished", "'engin'", "did you mean engine?", str(catalog)):
            assert part in str(raised.value)


@pytest.fixture
def strict(catalog: Path) -> Any:
    with stand_in(catalog) as shipper, host(catalog, strict=True) as client:
        yield client, shipper


def test_strict_records_nothing_of_what_raises_and_all_of_the_rest(strict: tuple[Client, StandIn]) -> None:
    client, shipper = strict
    client.emit("query_finished", number=1, engine=None)
    with pytest.raises(UndeclaredError):
        client.emit("query_finished", number=2, nothing=1)
    client.count("queries", 2, engine="batch")
    with pytest.raises(UndeclaredError):
        client.count("queries", 3, engin="batch")
    with client.timer("query_finished", number=3):
        pass
    assert client.flush(60)
    assert shipper.values("number") == [1, 3]
    assert shipper.values("count") == [2]


def test_strict_says_which_call_an_event_of_the_other_kind_takes(strict: tuple[Client, StandIn]) -> None:
    client, _ = strict
    with pytest.raises(UndeclaredError, match=r"kind counter: call count\(\)"):
        client.emit("queries")
    with pytest.raises(UndeclaredError, match=r"kind event: call emit\(\)"):
        client.count("started")


def test_strict_wants_duration_ms_declared(strict: tuple[Client, StandIn]) -> None:
    client, _ = strict
    with pytest.raises(UndeclaredError, match="started declares no field 'duration_ms'"), client.timer("started"):
        pass


def test_strict_takes_no_count_as_a_field_of_a_counter(strict: tuple[Client, StandIn]) -> None:
    client, _ = strict
    with pytest.raises(UndeclaredError, match="'count'"):
        client.count("queries", count=3)


def test_strict_with_a_faulty_catalog_is_a_catalog_error_and_nothing_is_begun(catalog: Path) -> None:
    catalog.write_text("[catalog]\n")
    with pytest.raises(CatalogError, match=r"acme\.toml"):
        Client(product=PRODUCT, catalog=catalog, endpoint=ENDPOINT, consent="on", strict=True)
    assert not rendezvous(catalog).exists()


def test_a_closed_strict_client_does_nothing(strict: tuple[Client, StandIn]) -> None:
    client, _ = strict
    client.close()
    client.emit("nothing", nothing=1)


# Off means off.

OFF = """
import sys
opened, catalog, product, endpoint, consent = [], *sys.argv[1:]

def audit(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & 0x3
    if writes or event.split(".")[0] in ("socket", "subprocess") or event in MAKES:
        opened.append((event, args))

MAKES = {"os.mkdir", "os.rename", "os.remove", "os.posix_spawn", "os.fork", "os.exec", "os.system",
         "_thread.start_new_thread", "os.truncate", "os.link", "os.symlink", "signal.pthread_kill", "pty.spawn"}
import telemetry
from telemetry.client import Client
sys.addaudithook(audit)
if consent != "none":
    telemetry.init(product=product, catalog=catalog, endpoint=endpoint, consent=consent)
telemetry.emit("started", secret=1)
telemetry.count("queries")
with telemetry.timer("started"):
    pass
assert telemetry.flush(60)
telemetry.close()
import atexit
print([name for name in ("zmq", "msgpack", "msgspec", "psutil", "requests", "ssl") if name in sys.modules])
print(opened)
"""


@pytest.mark.parametrize("consent", ["off", "none"])
def test_with_consent_off_nothing_is_loaded_opened_started_or_written(home: Path, catalog: Path, consent: str) -> None:
    assert run(OFF, catalog, consent) == ["[]", "[]"]
    assert not made_in(home)


def test_the_watch_of_the_test_above_sees_what_happens_with_consent(home: Path, catalog: Path) -> None:
    modules, opened = run(OFF, catalog, "on")
    assert modules == "['zmq', 'msgspec']"
    assert "os.mkdir" in opened
    assert "os.posix_spawn" in opened
    for shipper in shippers_of(home):
        shipper.kill()


def run(code: str, catalog: Path, consent: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(code), catalog, PRODUCT, ENDPOINT, consent],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


def test_a_host_that_becomes_another_user_goes_on_as_a_new_producer_at_their_place(
    catalog: Path, tmp_path: Path
) -> None:
    with host(catalog, flush_interval_seconds=60) as client:
        assert client._link
        for number in range(300):  # nobody is there: some wait in ZeroMQ, some before it
            client.emit("query_finished", number=number)
        site = local_transport(client).site
        before = client._link._outbox.producer
        site._find = lambda: Places(0, 1, tmp_path / "new", tmp_path / "foreground", tmp_path / "spool")
        site._user += 1
        shipper = StandIn(tmp_path / "new")
        try:
            client.emit("query_finished", number=300)
            assert client.flush(60)
            assert shipper.values("number") == list(range(301))
            assert before not in shipper.producers
            shipper.assert_unbroken()
        finally:
            shipper.stop()
