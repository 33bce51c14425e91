"""Where things lie, and that nobody else can get at them."""

from __future__ import annotations

import os
import pwd
import stat
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from standin import CATALOG, ENDPOINT, PRODUCT

from telemetry import paths, wire
from telemetry.client import Client
from telemetry.files import private_dir
from telemetry.rendezvous.directory import foreground_dir, rendezvous_dir
from telemetry.settings import ShipperSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
HOMELESS = 54_321
TEMPORARY = Path("/tmp")  # noqa: S108 where the code under test falls back to
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TELEMETRY_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def in_child(uid: int, work: Callable[[], object]) -> None:
    """Run `work` in a child that is another user; fails when it raises."""
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# Where things lie.


def test_telemetry_home_moves_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEMETRY_HOME", "/srv/t")
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    assert paths.config_dir() == Path("/srv/t/config")
    assert paths.state_dir() == Path("/srv/t/state")
    assert paths.runtime_root() == Path("/srv/t/run")
    assert rendezvous_dir(PRODUCT, "digest", ENDPOINT).parent == Path("/srv/t/run")


def test_xdg_directories_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x/config")
    monkeypatch.setenv("XDG_STATE_HOME", "/x/state")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert paths.consent_file(PRODUCT) == Path("/x/config/telemetry/acme-db/consent.json")
    assert paths.product_dir(PRODUCT) == Path("/x/state/telemetry/acme-db")
    assert paths.runtime_root() == tmp_path / "telemetry"


def test_without_variables_it_is_the_home_directory_and_the_temporary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert Path("/home/ann") in paths.config_dir().parents
    assert Path("/home/ann") in paths.state_dir().parents
    assert paths.runtime_root() == TEMPORARY / f"telemetry-{os.getuid()}"


@pytest.mark.parametrize("value", ["", "here", "./here", "~/here"])
def test_a_variable_that_is_no_absolute_path_is_ignored(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    plain = paths.config_dir(), paths.state_dir(), paths.runtime_root()
    for variable in ("TELEMETRY_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(variable, value)
    assert (paths.config_dir(), paths.state_dir(), paths.runtime_root()) == plain


@as_root
def test_a_runtime_directory_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As under sudo, which may keep the variable."""
    os.chown(tmp_path, NOBODY, NOBODY)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert paths.runtime_root() == TEMPORARY / "telemetry-0"


def test_a_runtime_directory_that_is_not_there_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert paths.runtime_root() == TEMPORARY / f"telemetry-{os.getuid()}"


CHANGED: list[dict[str, Any]] = [
    {name: {str: "x", dict: {"x": 1}}[type(value)] if isinstance(value, str | dict) else value + 1}
    for name, value in ShipperSettings()._asdict().items()
    if name != "command"
]
OTHER_SETTINGS = [ShipperSettings(**changed) for changed in CHANGED]
"""Each with one setting that is not the default."""


def test_the_same_settings_make_the_same_rendezvous() -> None:
    def place(**settings: Any) -> Path:
        return rendezvous_dir(PRODUCT, "digest", ENDPOINT, ShipperSettings(**settings))

    assert place() == place(segment_seconds=10) == place(segment_seconds=10.0)
    assert place() == place(command="/usr/bin/python3"), "how a shipper is started is nothing that it does"
    proxies = ["http://ann:one@proxy:3128", "http://ann:other@proxy:3128", "http://proxy:3128"]
    assert len({place(proxy=proxy) for proxy in proxies}) == 1, "a password could be guessed from a name"


def test_product_catalog_endpoint_settings_protocol_and_home_each_make_another_rendezvous(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TELEMETRY_HOME", "/srv/t")
    found = [
        rendezvous_dir(PRODUCT, "digest", ENDPOINT),
        rendezvous_dir("other", "digest", ENDPOINT),
        rendezvous_dir(PRODUCT, "other", ENDPOINT),
        rendezvous_dir(PRODUCT, "digest", "http://other"),
        *(rendezvous_dir(PRODUCT, "digest", ENDPOINT, settings) for settings in OTHER_SETTINGS),
        foreground_dir(PRODUCT, ENDPOINT),
        foreground_dir("other", ENDPOINT),
        foreground_dir(PRODUCT, "http://other"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr("telemetry.rendezvous.directory.PROTOCOL", wire.PROTOCOL + 1)
        found.append(rendezvous_dir(PRODUCT, "digest", ENDPOINT))
    monkeypatch.setenv("TELEMETRY_HOME", "/srv/" + "long/" * 30)
    found.append(rendezvous_dir(PRODUCT, "digest", ENDPOINT))
    assert len({path.name for path in found}) == len(found)


@pytest.mark.parametrize("home", ["/srv/" + "x" * 200, "/srv/\udcff"], ids=["too long", "no UTF-8"])
def test_a_path_that_no_socket_can_have_falls_back_to_a_short_one(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("TELEMETRY_HOME", home)
    directory = rendezvous_dir(PRODUCT, "digest", ENDPOINT)
    assert directory.parent == TEMPORARY / f"telemetry-{os.getuid()}"
    assert paths.spool_dir(PRODUCT, ENDPOINT).is_relative_to(home)


def test_the_longest_name_that_does_not_fall_back_fits_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    for length in range(1, 120):
        monkeypatch.setenv("TELEMETRY_HOME", "/" + "x" * length)
        lengths.append(len(os.fsencode(rendezvous_dir("p" * 64, "digest", ENDPOINT) / "handover.sock")))
    assert max(lengths) == 100


# A user without a home.


@as_root
def test_a_user_without_a_home_keeps_spools_among_the_temporary_files() -> None:
    with pytest.raises(KeyError):
        pwd.getpwuid(HOMELESS)

    def work() -> None:
        os.environ.pop("HOME", None)
        assert paths.state_dir() == TEMPORARY / f"telemetry-{HOMELESS}/state"
        assert paths.runtime_root() == TEMPORARY / f"telemetry-{HOMELESS}"
        # A choice is not read from where anybody could have put it.
        with pytest.raises(RuntimeError):
            paths.config_dir()

    in_child(HOMELESS, work)


def test_a_home_that_is_no_absolute_path_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "relative")
    with pytest.raises(RuntimeError):
        paths.config_dir()
    assert paths.state_dir() == TEMPORARY / f"telemetry-{os.getuid()}/state"


@as_root
@pytest.mark.parametrize("consent", ["on", "off", None])
def test_init_works_for_a_user_without_a_home(home: Path, consent: str | None) -> None:
    """Under a TMPDIR of its own, so that no shipper is left behind in the shared one."""
    for name in ("link", "local", "site"):  # the interpreter's own files may be root's alone
        import_module(f"telemetry.producer.{name}")
    home.chmod(0o711)
    catalog = home / "acme.toml"
    catalog.write_text(CATALOG)
    catalog.chmod(0o644)
    temporary = home / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)

    def work() -> None:
        os.environ.pop("HOME", None)
        os.environ.pop("TELEMETRY_HOME", None)
        os.environ["TMPDIR"] = str(temporary)
        nothing = ShipperSettings(command="/none")  # no shipper is to be left behind
        client = Client(product=PRODUCT, catalog=catalog, endpoint=ENDPOINT, consent=consent, shipper=nothing)
        client.emit("started")
        client.close(0.0)
        assert (temporary / f"telemetry-{HOMELESS}").exists() == (consent == "on")

    in_child(HOMELESS, work)


# Nobody else can get at them.


@pytest.mark.usefixtures("umask")
def test_a_private_directory_and_the_parents_made_with_it_are_0700(tmp_path: Path) -> None:
    private_dir(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / "a" / inner) for inner in ("", "b", "b/c")] == [0o700] * 3


def test_a_private_directory_that_stands_is_left_as_it_is(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    private_dir(directory)
    (directory / "file").touch()
    private_dir(directory)
    assert (directory / "file").exists()


@pytest.mark.parametrize("wide", [0o701, 0o710, 0o750, 0o702, 0o777])
def test_a_directory_open_to_others_is_refused(tmp_path: Path, wide: int) -> None:
    directory = tmp_path / "a"
    directory.mkdir()
    directory.chmod(wide)
    with pytest.raises(PermissionError, match="mode 0700"):
        private_dir(directory)
    assert mode(directory) == wide


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    private_dir(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        private_dir(tmp_path / "link")


def test_a_file_or_a_dangling_link_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("file", "dangling"):
        with pytest.raises(OSError, match=name):
            private_dir(tmp_path / name)


@as_root
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    with pytest.raises(PermissionError):
        private_dir(directory)


@as_root
def test_a_parent_that_another_user_made_where_everybody_writes_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    trap = shared / "telemetry-0"
    trap.mkdir()
    private_dir(trap / "rendezvous")
    os.chown(trap, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="another user"):
        private_dir(trap / "rendezvous")


@as_root
def test_what_may_not_be_written_is_an_os_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    def work() -> None:
        with pytest.raises(OSError):  # noqa: PT011 whichever it is
            private_dir(Path("/proc/telemetry"))
        with pytest.raises(PermissionError):
            private_dir(Path("/usr/telemetry/run"))

    in_child(NOBODY, work)
