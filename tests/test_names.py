"""What a process tells of its own environment, and what is looked up on the machine."""

from __future__ import annotations

import os
from typing import Any

import psutil
import pytest

from telemetry.names import (
    MAX_CHARACTERS,
    MAX_NAMES,
    MAX_NAMES_CHARACTERS,
    gather,
    names_of_process,
    names_of_this_process,
)
from telemetry.redact.names.machine import git_names, names_of_this_machine


def names(directory: str = "", host: str = "", **environ: str) -> dict[str, set[str]]:
    return {kind: set(found) for kind, found in names_of_process(environ, directory, host).items()}


def test_users_are_those_of_the_usual_variables_the_home_and_the_person_behind_them() -> None:
    found = names(
        USER="jane",
        SUDO_USER="root-jane",
        HOME="/home/jroe",
        GIT_AUTHOR_NAME="Jane Roe-Smith",
        EMAIL="j.roe@acme.example",
        PGUSER="reporting",
        APP_DB_USER="app",
    )
    assert found["user"] == {
        "jane",
        "root-jane",
        "jroe",
        "Jane Roe-Smith",
        "Jane",
        "Roe",
        "Smith",
        "j.roe",
        "roe",
        "reporting",
        "app",
    }
    assert found["path"] == {"/home/jroe"}


def test_a_host_is_its_name_and_each_label_and_an_address_has_none() -> None:
    assert names(host="jane-laptop.lab.acme.example")["host"] == {
        "jane-laptop.lab.acme.example",
        "jane-laptop",
        "lab",
        "acme",
        "example",
    }
    assert names(REDIS_HOST="10.1.17.3", DB_HOST="fd00::7")["host"] == {"10.1.17.3", "fd00::7"}


def test_a_directory_is_a_path_and_its_last_two_components() -> None:
    assert names("/home/jane/clients/Acme Corp/q3")["path"] == {"/home/jane/clients/Acme Corp/q3", "Acme Corp", "q3"}
    assert names("/") == {}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_TOKEN", "a1b2c3d4"),
        ("DB_PASSWORD", "correct horse"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG"),
        ("MYSQL_PWD", "hunter2"),
        ("PGPASSWORD", "hunter2"),
        ("SESSION_SECRET_2", "abcdef"),
        ("STRIPE_KEY_PROD", "abcdef"),
        ("my-app-token", "abcdef"),
    ],
)
def test_the_value_of_a_variable_that_says_secret_is_one(variable: str, value: str) -> None:
    assert names_of_process({variable: value}, "", "")["secret"][0] == value


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PWD", "/srv/app"),
        ("SSH_AUTH_SOCK", "/tmp/ssh/agent.1"),  # noqa: S108 a value like any other
        ("DB_PASSWORD_FILE", "/run/secrets/db"),
        ("TOKEN", "/run/secrets/token"),
        ("TOKEN_TTL", "360000"),
        ("AUTH_MODE", "ldap-or-so"),
        ("USE_AUTH", "enabled"),
        ("PIN", "1234"),
        ("API_KEY", "true"),
        ("SORT_KEY", "created_at"),
        ("KEYBOARD", "qwertz-de"),
        ("MONKEY", "bananas"),
    ],
)
def test_what_says_how_or_where_is_no_secret(variable: str, value: str) -> None:
    assert "secret" not in names_of_process({variable: value}, "", "")


def test_of_a_secret_of_many_parts_each_is_one() -> None:
    key = '{"private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC"}'
    found = names_of_process({"SERVICE_CREDENTIALS": key}, "", "")["secret"]
    assert {"MIIEvQIBADANBgkq", "hkiG9w0BAQEFAASC"} <= set(found)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        pytest.param(
            "postgres://app:p%40ss!word@db1.acme.example:5432/shop?sslmode=require",
            {
                "user": {"app"},
                "secret": {"p@ss!word"},
                "host": {"db1.acme.example", "db1", "acme", "example"},
                "table": {"shop"},
            },
            id="URL",
        ),
        pytest.param(
            "mongodb://u1:secret-1@h1:27017,h2:27017/app",
            {"user": {"u1"}, "secret": {"secret-1"}, "host": {"h1", "h2"}, "table": {"app"}},
            id="several hosts",
        ),
        pytest.param("redis://:secret-1@cache/0", {"secret": {"secret-1"}, "host": {"cache"}}, id="no user"),
        pytest.param(
            r"host=db1 user=app password='a b\'c 1' dbname=shop",
            {"host": {"db1"}, "user": {"app"}, "secret": {r"a b\'c 1"}, "table": {"shop"}},
            id="libpq",
        ),
        pytest.param(
            "Driver=x;Server=db1;Database=shop;UID=app;PWD={p;wd-1}",
            {"host": {"db1"}, "table": {"shop"}, "user": {"app"}, "secret": {"p;wd-1"}},
            id="ODBC",
        ),
        pytest.param("https://pypi.org/simple", {}, id="where everybody's software comes from"),
    ],
)
def test_the_parts_of_a_connection_string_are_names(value: str, wanted: dict[str, set[str]]) -> None:
    assert names(SOME_URL=value) == wanted


def test_a_proxy_is_a_host_of_ours() -> None:
    assert names(HTTPS_PROXY="http://proxy.acme.example:3128")["host"] >= {"proxy.acme.example", "acme"}


def test_a_long_secret_travels_in_pieces_that_cover_it() -> None:
    secret = "".join(f"{number:04d}" for number in range(100))
    pieces = names_of_process({"TOKEN": secret}, "", "")["secret"]
    assert "".join(pieces) == secret
    assert max(map(len, pieces)) <= MAX_CHARACTERS
    assert min(map(len, pieces)) > MAX_CHARACTERS // 2


def test_a_large_environment_is_cut_and_its_secrets_come_first() -> None:
    found = gather([("host", f"host-{number:0100d}") for number in range(5000)] + [("secret", "hunter2000")])
    assert found["secret"] == ["hunter2000"]
    flat = [name for kind in found.values() for name in kind]
    assert len(flat) <= MAX_NAMES
    assert sum(map(len, flat)) <= MAX_NAMES_CHARACTERS


def test_names_that_are_no_utf8_do_no_harm() -> None:
    assert names(USER="j\udcffne") == {"user": {"j?ne"}}


def test_this_process_names_its_user_directory_and_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("LOGNAME", "jane-logs-in")
    monkeypatch.chdir(tmp_path)
    found = names_of_this_process()
    assert "jane-logs-in" in found["user"]
    assert str(tmp_path) in found["path"]
    assert os.uname().nodename in found["host"]


def test_a_directory_that_is_gone_is_no_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    gone = tmp_path / "gone-for-good"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.delenv("PWD", raising=False)
    gone.rmdir()
    assert "gone-for-good" not in names_of_this_process().get("path", [])


def test_git_knows_the_person() -> None:
    config = '[core]\n\tname = not-me\n[user]\n\tname = "Jane Roe"\n\temail = jroe@acme.example\n[alias]\n\tname = x1\n'
    assert {name for _, name in git_names(config)} == {"Jane Roe", "Jane", "Roe", "jroe"}


def test_the_machine_has_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = names_of_this_machine()
    assert {a.address for nics in psutil.net_if_addrs().values() for a in nics} <= {*found["ip"], *found["mac"]}

    def refuse() -> None:
        raise KeyError("eth0")

    monkeypatch.setattr(psutil, "net_if_addrs", refuse)
    assert "ip" not in names_of_this_machine()
