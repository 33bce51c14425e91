"""Lists of values beside a catalog, and `telemetry catalog values`, which collects them with the real frameworks."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from conftest import PROMPT, Host, wait_until
from spools import Endpoint

from telemetry.catalog.load import inspect, load
from telemetry.catalog.source import read_whole
from telemetry.catalog.values import KINDS, UNMATCHED
from telemetry.cli.catalog import _PROGRAMS, catalog

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """
[catalog]
product = "acme-db"
version = 1
[events.log]
purpose = "find what fails"
owner = "platform team"
expires = "2099-12-31"
sensitivity = "technical"
[events.log.fields]
logger = { type = "enum", values_file = "loggers.txt", purpose = "which part" }
"""

PROGRAM = """
import logging
import click, typer
from celery import Celery
from flask import Flask
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from telemetry.integrations.asgi import RequestEvents

log = logging.getLogger(__name__)
named = logging.getLogger("acme.server")
other = logging.getLogger("acme." + "computed")

async def show(request): ...
routes = [Route("/users/{id}", show), Mount("/v2", routes=[Route("/orders/{id}", show)])]
asgi = RequestEvents(Starlette(routes=routes))

flask = Flask("acme", static_folder=None)
@flask.route("/items/<int:number>")
def item(number): ...

celery = Celery("shop", broker="memory://")
@celery.task(name="shop.bill")
def bill(amount): ...

class Worker:
    functions = []
    async def send(ctx): ...
Worker.functions = [Worker.send, "acme.jobs.clean"]

@click.group()
def cli(): ...
@cli.command()
@click.option("--json", "-j", is_flag=True)
def ls(json): ...

app = typer.Typer(add_completion=False)
@app.command()
def greet(loud: bool = False): ...
@app.command()
def leave(): ...

SECRET_KEY = "none"
ROOT_URLCONF = "program_urls"
"""
URLS = """
from django.urls import include, path
urlpatterns = [path("users/<int:number>/", print), path("v2/", include([path("orders/", print)]))]
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "program_urls.py").write_text(URLS)
    return tmp_path


def values(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "telemetry", "catalog", "values", *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("kind", "source", "found"),
    [
        pytest.param("asgi", "program:asgi", {"route": ["/orders/{id}", "/users/{id}", UNMATCHED]}, id="asgi"),
        pytest.param("flask", "program:flask", {"route": ["/items/<int:number>", UNMATCHED]}, id="flask"),
        pytest.param("django", "program", {"route": [UNMATCHED, "users/<int:number>/", "v2/orders/"]}, id="django"),
        pytest.param("celery", "program:celery", {"task": ["shop.bill"]}, id="celery"),
        pytest.param("arq", "program:Worker", {"job": ["Worker.send", "clean"]}, id="arq"),
        pytest.param("click", "program:cli", {"command": ["ls"], "option": ["--json"]}, id="click"),
        pytest.param("click", "program:app", {"command": ["greet", "leave"], "option": ["--loud"]}, id="typer"),
        pytest.param("loggers", "program.py", {"logger": ["acme.server", "program"]}, id="loggers"),
        pytest.param("entry-points", "nobody.has.this", {"name": []}, id="entry points"),
    ],
)
def test_a_program_s_values_are_collected(program: Path, kind: str, source: str, found: dict[str, list[str]]) -> None:
    done = values(program, kind, source, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == found


def test_entry_points_are_those_of_what_is_installed(program: Path) -> None:
    assert "telemetry" in values(program, "entry-points", "pytest11").stdout.splitlines()


@pytest.mark.parametrize(
    ("kind", "source", "what"),
    [
        pytest.param("asgi", "program", "must be module:name", id="no name"),
        pytest.param("asgi", "nowhere:app", "No module named 'nowhere'", id="no module"),
        pytest.param("asgi", "program:nothing", "has no attribute 'nothing'", id="nothing of that name"),
        pytest.param("asgi", "program:log", "tells no routes", id="no application"),
        pytest.param("flask", "program:cli", "is no flask that can be looked at", id="of another kind"),
        pytest.param("loggers", "nowhere", "no such file or directory", id="no source"),
    ],
)
def test_what_is_no_such_program_is_told(program: Path, kind: str, source: str, what: str) -> None:
    done = values(program, kind, source)
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr
    assert "Traceback" not in done.stderr


def test_each_kind_is_offered() -> None:
    assert {*_PROGRAMS} == {*KINDS}


def test_a_list_is_checked_for_what_it_lacks(program: Path) -> None:
    assert values(program, "loggers", "program.py", "--output", "loggers.txt").returncode == 0
    assert (program / "loggers.txt").read_text() == "acme.server\nprogram\n"
    assert values(program, "loggers", "program.py", "--check", "loggers.txt").returncode == 0
    (program / "loggers.txt").write_text("# reviewed\n\nprogram\n")
    done = values(program, "loggers", "program.py", "--check", "loggers.txt")
    assert (done.returncode, done.stdout) == (1, "acme.server\n")
    assert values(program, "click", "program:cli", "--field", "option").stdout == "--json\n"
    assert values(program, "click", "program:cli").stdout == "# command\nls\n# option\n--json\n"
    assert "click has command, option" in values(program, "click", "program:cli", "--field", "x").stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "acme.toml").write_text(CATALOG)
    (tmp_path / "loggers.txt").write_text('# reviewed\nacme.server\n\n acme."odd"\n#hash\n')
    return tmp_path / "acme.toml"


def test_the_values_of_a_list_are_the_enum_s(file: Path) -> None:
    assert load(file).events["log"].fields["logger"].values == ("acme.server", 'acme."odd"', "#hash")
    assert b"loggers.txt" not in read_whole(file)


def test_a_catalog_without_a_list_is_read_as_it_lies(file: Path) -> None:
    file.write_text(CATALOG.replace("values_file", "values"))
    assert read_whole(file) == file.read_bytes()


@pytest.mark.parametrize("text", [None, "twice\ntwice\n", ""], ids=["gone", "one twice", "empty"])
def test_a_list_that_can_t_be_used_is_told(file: Path, text: str | None) -> None:
    if text is None:
        (file.parent / "loggers.txt").unlink()
    else:
        (file.parent / "loggers.txt").write_text(text)
    found, faults = inspect(file)
    assert found is None
    (fault,) = faults
    assert "loggers.txt" in fault.fault if text is None else "`values` is" in fault.fault
    assert CliRunner().invoke(catalog, ["check", str(file)]).exit_code == 1


def test_what_a_list_names_leaves_and_nothing_else(home: Path, file: Path) -> None:
    with Endpoint() as endpoint:
        init = {"product": "acme-db", "catalog": str(file), "endpoint": endpoint.url, "consent": "on"}
        host = Host(init, {**PROMPT, "segment_seconds": 0.2})
        host.emit(1, "log", logger="acme.server")
        (file.parent / "loggers.txt").write_text("jane.roe\n")  # it counts from the next start on
        host.emit(1, "log", logger="jane.roe")
        host.leave()
        wait_until(lambda: sum(len(request.lines) for request in endpoint.requests) == 2)
        told = [json.loads(line)["logger"] for request in endpoint.requests for line in request.lines]
    assert told == ["acme.server", "other"]
    assert home.exists()
