"""What of an exception leaves the host: its type and the frames of the program's own packages."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from standin import host, stand_in, write_catalog

from telemetry.producer.exception import MAX_FRAMES, reduce_exception

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "secret-4711"

ACME = f"""
class StorageError(OSError):
    pass

class Third(StorageError):
    __module__ = "third_party"

def fail(error):
    raise error("{SECRET}")

def deep(n, error):
    if n:
        deep(n - 1, error)
    fail(error)

run = lambda error: fail(error)

def through(call, *args):
    call(*args)
"""


@pytest.fixture
def acme() -> ModuleType:
    return module("acme.storage")


def module(name: str) -> ModuleType:
    made = ModuleType(name)
    exec(compile(ACME, f"/home/{SECRET}/acme.py", "exec"), made.__dict__)  # noqa: S102 a package of the host's own
    return made


def reduced(call: object, *args: object, packages: tuple[str, ...] = ("acme",)) -> str:
    try:
        call(*args)  # type: ignore[operator]
    except BaseException as error:  # noqa: BLE001 whatever it is
        return reduce_exception(error, packages)
    pytest.fail("it raised nothing")


def test_type_and_own_frames_are_named_innermost_last(acme: ModuleType) -> None:
    assert reduced(acme.through, acme.fail, ValueError) == "ValueError@acme.storage:through:19;acme.storage:fail:9"


def test_no_text_path_or_argument_is_in_it(acme: ModuleType) -> None:
    assert SECRET not in reduced(acme.fail, ValueError)
    error = ValueError(SECRET)
    error.add_note(SECRET)
    error.__cause__ = OSError(SECRET)
    assert reduce_exception(error, ("acme",)) == "ValueError"


def test_frames_of_other_packages_are_left_out(acme: ModuleType) -> None:
    other = module("other.storage")
    assert reduced(acme.through, other.through, other.fail, ValueError) == "ValueError@acme.storage:through:19"
    assert reduced(other.fail, ValueError) == "ValueError"


def test_a_package_whose_name_only_begins_alike_is_another(acme: ModuleType) -> None:
    assert reduced(module("acme_private.x").fail, ValueError) == "ValueError"
    assert reduced(acme.fail, ValueError, packages=("acm",)) == "ValueError"


def test_an_own_type_is_named_and_a_third_partys_by_its_nearest_known_ancestor(acme: ModuleType) -> None:
    assert reduced(acme.fail, acme.StorageError).startswith("StorageError@")
    assert reduced(acme.fail, acme.Third).startswith("StorageError@")
    assert reduced(acme.fail, acme.Third, packages=()) == "OSError"
    assert reduced(acme.fail, json.JSONDecodeError("", "", 0).__class__.__base__).startswith("ValueError@")


def test_a_lambda_is_named_without_brackets(acme: ModuleType) -> None:
    assert reduced(acme.run, ValueError) == "ValueError@acme.storage:lambda:16;acme.storage:fail:9"


def test_only_the_innermost_frames_of_a_deep_stack_are_kept(acme: ModuleType) -> None:
    frames = reduced(acme.deep, 50, ValueError).partition("@")[2].split(";")
    assert len(frames) == MAX_FRAMES
    assert frames[-1] == "acme.storage:fail:9"


def test_an_exception_that_was_never_raised_has_no_frames() -> None:
    assert reduce_exception(KeyboardInterrupt(SECRET), ("acme",)) == "KeyboardInterrupt"


def test_an_exception_given_as_a_field_arrives_reduced(home: Path, tmp_path: Path, acme: ModuleType) -> None:
    assert home.exists()
    catalog = write_catalog(tmp_path)
    with stand_in(catalog) as shipper, host(catalog, packages=("acme",)) as client:
        try:
            acme.fail(acme.StorageError)
        except OSError as error:
            client.emit("query_finished", engine=error, number=1)
        assert client.flush(60)
        assert shipper.values("engine") == ["StorageError@acme.storage:fail:9"]


def test_an_exception_of_an_odd_module_is_named_by_its_nearest_ancestor(home: Path, tmp_path: Path) -> None:
    class Odd(Exception):  # noqa: N818 it is no error of ours
        __module__ = 5  # type: ignore[assignment]

    assert home.exists()
    catalog = write_catalog(tmp_path)
    with stand_in(catalog) as shipper, host(catalog) as client:
        for number, value in enumerate(["batch", Odd(), "stream"]):
            client.emit("query_finished", engine=value, number=number)
        assert client.flush(60)
        assert shipper.values("number") == [0, 1, 2]
        assert shipper.values("engine") == ["batch", "Exception", "stream"]
        assert shipper.frames[-1].dropped == {}
