"""The stored choice, on real files."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import stat
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry import paths
from telemetry.consent import ConsentError, State, Stored, read_stored, store_choice, store_notice
from telemetry.consent.stored import sole_teller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

NOON = 1_800_000_000.0
CHOICES = pytest.mark.parametrize("choice", list(State))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEMETRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _write(raw: bytes) -> Path:
    file = paths.consent_file("acme")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_bytes(raw)
    return file


def test_no_file_says_nothing_and_reading_makes_none(home: Path) -> None:
    assert read_stored("acme") == Stored(None, 0.0, 0, "")
    assert not home.exists()


@CHOICES
def test_a_choice_is_read_as_it_was_stored(choice: State) -> None:
    stored = store_choice("acme", choice, NOON)
    assert stored[:3] == (choice, NOON, 0)
    assert read_stored("acme") == stored


def test_the_file_is_as_documented_and_for_its_user_alone() -> None:
    store_choice("acme", State.OFF, NOON)
    file = paths.consent_file("acme")
    assert json.loads(file.read_bytes()) == {
        "version": 1,
        "choice": "off",
        "since": "2027-01-15T08:00:00.000Z",
        "notice": 0,
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_each_product_has_its_own_choice() -> None:
    store_choice("acme", State.ON, NOON)
    assert read_stored("other").choice is None


def test_a_choice_keeps_the_notice() -> None:
    store_notice("acme", 1, NOON)
    store_choice("acme", State.ON, NOON + 5)
    assert read_stored("acme") == Stored(State.ON, NOON + 5, 1)


@CHOICES
def test_a_notice_keeps_the_choice_and_its_date(choice: State) -> None:
    stored = store_choice("acme", choice, NOON)
    assert store_notice("acme", 1, NOON + 5) == stored._replace(notice=1)
    assert read_stored("acme") == stored._replace(notice=1)


def test_a_notice_without_a_choice_dates_the_consent() -> None:
    store_notice("acme", 1, NOON)
    assert read_stored("acme") == Stored(None, NOON, 1)


def test_the_same_choice_again_keeps_its_date_and_another_one_does_not() -> None:
    store_choice("acme", State.LOCAL, NOON)
    assert store_choice("acme", State.LOCAL, NOON + 5).since_unix_seconds == NOON
    assert store_choice("acme", State.ON, NOON + 9).since_unix_seconds == NOON + 9


ON, TECHNICAL, LOCAL, OFF = State.ON, State.TECHNICAL, State.LOCAL, State.OFF


@pytest.mark.parametrize(
    ("choices", "unbroken"),
    [
        ([ON, TECHNICAL], [0]),
        ([ON, TECHNICAL, ON, TECHNICAL], [0, 1, 2]),
        ([TECHNICAL, ON], [None, 0]),
        ([ON, OFF, TECHNICAL], []),
        ([ON, LOCAL, TECHNICAL], []),
        ([TECHNICAL, LOCAL, ON], []),
        ([TECHNICAL, OFF, ON, TECHNICAL], [2]),
        ([ON, TECHNICAL, LOCAL], []),
        ([ON, TECHNICAL, OFF], []),
        ([TECHNICAL], [None]),
        ([ON], []),
        ([ON, TECHNICAL, TECHNICAL], [0]),
    ],
    ids=lambda each: "-".join(map(str, each)),
)
def test_a_choice_bears_the_dates_since_which_technical_events_could_leave_all_the_time(
    choices: list[State], unbroken: list[int | None]
) -> None:
    """The number of a choice stands for its date, None for the time before any."""
    for hour, choice in enumerate(choices):
        store_choice("acme", choice, NOON + 3600 * hour)
    expected = tuple(0.0 if hour is None else NOON + 3600 * hour for hour in unbroken)
    stored = read_stored("acme")
    assert stored.unbroken == expected
    assert all(map(stored.continues, (stored.since_unix_seconds, *expected)))
    assert not stored.continues(NOON - 1)


def test_a_technical_lets_go_on_what_left_by_the_notice_and_an_on_begins_anew() -> None:
    store_notice("acme", 1, NOON)
    store_choice("acme", TECHNICAL, NOON + 5)
    assert read_stored("acme").unbroken == (NOON,)
    store_choice("acme", OFF, NOON + 6)
    assert store_choice("acme", ON, NOON + 7).unbroken == ()


def test_however_often_a_user_goes_to_and_fro_the_file_stays_one_that_is_read() -> None:
    for second in range(200):
        store_choice("acme", (ON, TECHNICAL)[second % 2], NOON + second)
    stored = read_stored("acme")
    assert (stored.choice, stored.since_unix_seconds, stored.unbroken[-1]) == (TECHNICAL, NOON + 199, NOON + 198)
    assert len(stored.unbroken) == 32


DAMAGED = {
    "empty": b"",
    "torn": b'{"version": 1, "choice": "on", "si',
    "not UTF-8": b"\xff\xfe\x00",
    "a list": b'["on"]',
    "unknown choice": b'{"version": 1, "choice": "yes", "since": "2027-01-15T08:00:00Z", "notice": 0}',
    "choice of another type": b'{"version": 1, "choice": 1, "since": "2027-01-15T08:00:00Z", "notice": 0}',
    "no choice": b'{"version": 1, "since": "2027-01-15T08:00:00Z", "notice": 1}',
    "later version": b'{"version": 2, "choice": "on", "since": "2027-01-15T08:00:00Z", "notice": 0}',
    "no date": b'{"version": 1, "choice": "on", "notice": 0}',
    "no such date": b'{"version": 1, "choice": "on", "since": "2027-02-30T08:00:00Z", "notice": 0}',
    "date without a zone": b'{"version": 1, "choice": "on", "since": "2027-01-15T08:00:00", "notice": 0}',
    "strange dates": b'{"version": 1, "choice": null, "since": "2027-01-15T08:00Z", "notice": 0, "unbroken": [1]}',
    "no list of dates": b'{"version": 1, "choice": "on", "since": "2027-01-15T08:00:00Z", "notice": 0, "unbroken": 5}',
    "negative notice": b'{"version": 1, "choice": null, "since": "2027-01-15T08:00:00Z", "notice": -1}',
    "a date later than any event's": b'{"version": 1, "choice": "on", "since": "2262-04-11T23:47:17Z", "notice": 0}',
    "a byte too long": b'{"version": 1, "choice": "on", "since": "2027-01-15T08:00:00Z", "notice": 0'.ljust(4096)
    + b"}",
    "nested too deep": b"[" * 4000,
    "too long": b'{"version": 1, "choice": "on", "x": "' + b"x" * 5000 + b'"}',
}


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_a_no_and_says_so(raw: bytes) -> None:
    _write(raw)
    stored = read_stored("acme")
    assert stored.choice is State.OFF
    assert stored.fault


@pytest.mark.parametrize(
    "raw",
    [
        b'{"version": 1, "choice": "on", "since": "2262-04-11T23:47:16Z", "notice": 0}',
        b'{"version": 1, "choice": "on", "since": "2027-01-15T08:00:00Z", "notice": 0'.ljust(4095) + b"}",
    ],
    ids=["the last second", "the longest file"],
)
def test_what_is_just_within_the_bounds_is_read(raw: bytes) -> None:
    _write(raw)
    assert read_stored("acme")[::3] == (State.ON, "")


def test_a_file_that_others_may_write_is_a_no() -> None:
    store_choice("acme", State.ON, NOON)
    paths.consent_file("acme").chmod(0o666)
    assert read_stored("acme")[::3] == (State.OFF, "can't be read (others may write it)")


def test_neither_a_reader_nor_a_writer_keeps_a_descriptor() -> None:
    store_choice("acme", State.ON, NOON)
    before = len([*Path("/proc/self/fd").iterdir()])
    for choice in State:
        store_choice("acme", choice, NOON)
        read_stored("acme")
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_choice_is_safe_from_a_power_cut_when_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    fsync = os.fsync

    def spy(file: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(file).st_mode))
        fsync(file)

    monkeypatch.setattr(os, "fsync", spy)
    store_choice("acme", State.ON, NOON)
    assert synced[-2:] == [False, True], "the file, then its name"


def test_a_writer_waits_for_one_that_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl  # noqa: PLC0415 as below

    store_choice("acme", State.ON, NOON)
    pauses: list[float] = []
    with paths.consent_file("acme").with_suffix(".lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                fcntl.flock(lock, fcntl.LOCK_UN)

        monkeypatch.setattr("telemetry.consent.stored.pause", pause)
        monkeypatch.setattr("telemetry.consent.stored.monotonic", lambda: NOON)
        store_choice("acme", State.OFF, NOON)
    assert len(pauses) == 3


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_notice_does_not_mend_a_damaged_file_but_a_choice_does(raw: bytes) -> None:
    file = _write(raw)
    with pytest.raises(ConsentError, match="telemetry on"):
        store_notice("acme", 1, NOON)
    assert file.read_bytes() == raw
    store_choice("acme", State.OFF, NOON)
    assert read_stored("acme") == Stored(State.OFF, NOON, 0)


_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from(list(State)),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["version", "choice", "since", "notice", "unbroken"]), inner)
    ),
    max_leaves=6,
)


@given(raw=st.binary(max_size=60) | _documents.map(lambda document: json.dumps(document).encode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_lies_there_reading_never_raises_and_never_finds_a_yes(raw: bytes) -> None:
    _write(raw)
    assert read_stored("acme").choice not in {ON, TECHNICAL}


def test_a_file_that_cannot_be_opened_is_a_no() -> None:
    paths.consent_file("acme").mkdir(parents=True)
    stored = read_stored("acme")
    assert stored.choice is State.OFF
    assert "Is a directory" in stored.fault


def test_a_pipe_in_the_files_place_does_not_hang_and_is_a_no() -> None:
    file = paths.consent_file("acme")
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    assert read_stored("acme").choice is State.OFF


@pytest.mark.parametrize("home_variable", ["/dev/null", "/nonexistent"])
def test_a_user_without_a_home_has_said_nothing(monkeypatch: pytest.MonkeyPatch, home_variable: str) -> None:
    for variable in ("TELEMETRY_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", home_variable)
    assert read_stored("acme") == Stored()


def test_a_directory_open_to_others_is_refused_with_a_remedy() -> None:
    paths.consent_file("acme").parent.mkdir(parents=True)
    paths.consent_file("acme").parent.chmod(0o755)
    with pytest.raises(ConsentError, match=r"acme can't be stored.*mode 0700.*DO_NOT_TRACK=1"):
        store_choice("acme", State.OFF, NOON)


def test_a_home_that_is_a_file_is_refused_with_a_remedy(home: Path) -> None:
    home.write_text("")
    with pytest.raises(ConsentError, match="DO_NOT_TRACK=1"):
        store_notice("acme", 1, NOON)


def test_a_leftover_of_a_writer_that_was_killed_does_not_matter() -> None:
    store_choice("acme", State.ON, NOON)
    paths.consent_file("acme").with_suffix(".new").write_bytes(b"half a fi")
    store_choice("acme", State.OFF, NOON)
    assert read_stored("acme").choice is State.OFF
    assert not paths.consent_file("acme").with_suffix(".new").exists()


def test_a_writer_that_never_ends_is_not_waited_for(home: Path) -> None:
    import fcntl  # noqa: PLC0415 this test alone holds the lock

    store_choice("acme", State.ON, NOON)
    with (home / "config" / "acme" / "consent.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConsentError, match="another process"):
            store_choice("acme", State.OFF, NOON)
    assert store_choice("acme", State.OFF, NOON).choice is State.OFF


def test_a_child_forked_while_a_host_stores_its_notice_keeps_nobody_from_saying_no(inherited: list[int]) -> None:
    with sole_teller("acme") as is_ours:
        assert is_ours
        store_notice("acme", 1, NOON)
    assert len(inherited) >= 2
    with sole_teller("acme") as is_ours:
        assert is_ours
    assert store_choice("acme", State.OFF, NOON).choice is State.OFF


def test_where_no_lock_can_be_had_everybody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", deny)
    with sole_teller("acme") as is_ours:
        assert is_ours


def _notify_many_times(product: str, times: int) -> None:
    for _ in range(times):
        _insist(lambda: store_notice(product, 1, NOON))


def _insist(store: Callable[[], object]) -> None:
    """Store, in the end: of three that write without a pause, one may wait for longer than it should."""
    while True:
        with suppress(ConsentError):
            store()
            return


def test_a_host_storing_its_notice_never_writes_over_the_users_choice() -> None:
    spawn = multiprocessing.get_context("spawn")
    hosts = [spawn.Process(target=_notify_many_times, args=("acme", 100)) for _ in range(2)]
    for host in hosts:
        host.start()
    while any(host.is_alive() for host in hosts):
        for choice in (State.ON, State.OFF):
            _insist(partial(store_choice, "acme", choice, NOON))
            assert read_stored("acme").choice is choice
    for host in hosts:
        host.join()
        assert host.exitcode == 0
    assert read_stored("acme") == Stored(State.OFF, NOON, 1)


# As another user: root may write anywhere.

_NOBODY = 65534
_NAMELESS = 54321  # no such user: containers run under uids like this one


def _store_as(uid: int, environ: dict[str, str], sender: Connection) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.environ.clear()
    os.environ.update(environ)
    before = read_stored("acme")
    try:
        store_choice("acme", State.OFF, NOON)
        said = "stored"
    except ConsentError as error:
        said = str(error)
    sender.send((before, said))


def _as_user(uid: int, environ: dict[str, str]) -> tuple[Stored, str]:
    """What `uid` reads and what becomes of its choice."""
    fork = multiprocessing.get_context("fork")  # that user may be unable to start this interpreter anew
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_store_as, args=(uid, environ, sender))
    child.start()
    assert receiver.poll(30)
    answer: tuple[Stored, str] = receiver.recv()
    child.join()
    return answer


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@needs_root
def test_an_unwritable_directory_takes_no_choice_and_says_what_to_do(open_directory: Path) -> None:
    before, said = _as_user(_NOBODY, {"TELEMETRY_HOME": str(open_directory)})
    assert before == Stored()
    assert "Permission denied" in said
    assert "DO_NOT_TRACK=1" in said


@needs_root
def test_a_choice_that_may_not_be_read_is_a_no(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEMETRY_HOME", str(open_directory))
    store_choice("acme", State.ON, NOON)
    before, _ = _as_user(_NOBODY, {"TELEMETRY_HOME": str(open_directory)})
    assert before.choice is State.OFF
    assert "Permission denied" in before.fault


@needs_root
def test_a_user_whom_the_system_does_not_know_has_said_nothing_and_can_store_nothing() -> None:
    before, said = _as_user(_NAMELESS, {})
    assert before == Stored()
    assert "home directory" in said
