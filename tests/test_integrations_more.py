"""Flask's requests, arq's jobs and the commands of click and typer as events, with the real packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
import typer
from click.testing import CliRunner
from conftest import wait_until
from flask import Blueprint, Flask, abort

from telemetry.integrations.click import command_events
from telemetry.integrations.flask import request_events
from telemetry.integrations.typer import command_events as typer_events
from telemetry.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = """
purpose = "what is used"
owner = "web team"
expires = "9999-01-01"
sensitivity = "interaction"
"""
CATALOG = f"""
[catalog]
product = "acme-more"
version = 1

[events.request]{HEAD}
[events.request.fields]
route = {{ type = "enum", values = ["/users/<int:number>", "/v2/down", "unmatched"], purpose = "?" }}
method = {{ type = "enum", values = ["GET", "POST"], purpose = "how it is used" }}
status = {{ type = "int", min = 0, max = 599, purpose = "how it ends" }}
duration_ms = {{ type = "duration", purpose = "how long it takes" }}

[events.job]{HEAD}
[events.job.fields]
job = {{ type = "enum", values = ["bill", "fail", "again"], purpose = "which" }}
state = {{ type = "enum", values = ["complete", "failed", "retried", "aborted"], purpose = "how it ends" }}
duration_ms = {{ type = "duration", purpose = "how long it takes" }}

[events.command]{HEAD}
[events.command.fields]
command = {{ type = "enum", values = ["spool ls", "spool", "lone", "greet"], purpose = "which" }}
exit_code = {{ type = "int", min = 0, max = 255, purpose = "how it ends" }}
duration_ms = {{ type = "duration", purpose = "how long it takes" }}

[events.option]
kind = "counter"{HEAD}
[events.option.fields]
command = {{ type = "enum", values = ["spool ls", "spool", "lone", "greet"], purpose = "of which" }}
option = {{ type = "enum", values = ["--json", "--name", "--loud"], purpose = "which" }}
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


def flask_app(*, is_testing: bool) -> Flask:
    app = Flask("acme")
    app.testing = is_testing
    part = Blueprint("v2", "acme", url_prefix="/v2")

    @app.route("/users/<int:number>", methods=["GET", "POST"])
    def show(number: int) -> str:
        return str(number) if number else abort(410)

    @part.route("/down")
    def fail() -> str:
        raise LookupError

    app.register_blueprint(part)
    request_events(app)
    return app


def test_flask_tells_of_a_request_by_its_rule(catalog: Path) -> None:
    with capture(catalog) as events:
        client = flask_app(is_testing=False).test_client()
        assert client.get("/users/1984").text == "1984"
        client.post("/users/0")
        client.get("/v2/down")
        client.get("/users/jane.roe")

    assert [(event["route"], event["method"], event["status"]) for event in events.all("request")] == [
        ("/users/<int:number>", "GET", 200),
        ("/users/<int:number>", "POST", 410),
        ("/v2/down", "GET", 500),
        ("unmatched", "GET", 404),
    ]
    assert all(event["duration_ms"] >= 0 for event in events.events)
    assert "1984" not in repr(events.events)


def test_flask_s_exception_goes_on_and_counts_as_a_failure(catalog: Path) -> None:
    with capture(catalog) as events, pytest.raises(LookupError):
        flask_app(is_testing=True).test_client().get("/v2/down")

    events.one("request", route="/v2/down", status=500)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Path]:
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server here")
    path = tmp_path / "redis.sock"
    with subprocess.Popen(
        [server, "--port", "0", "--unixsocket", path, "--save", "", "--dir", tmp_path], stdout=subprocess.DEVNULL
    ) as process:
        wait_until(path.exists)
        yield path
        process.terminate()


ARQ = """
import asyncio, json, sys
import arq
from arq.connections import RedisSettings
from arq.worker import Worker
from telemetry.integrations.arq import job_events
from telemetry.testing import capture

async def bill(_, amount):
    return amount

async def fail(_, amount):
    raise LookupError(amount)

async def again(ctx, amount):
    if ctx["job_try"] == 1:
        raise arq.Retry
    return amount

async def work():
    pool = await arq.create_pool(RedisSettings(unix_socket_path=sys.argv[2]))
    for job in ("bill", "fail", "again"):
        await pool.enqueue_job(job, 1984)
    functions = [job_events(bill), job_events(fail), job_events(again)]
    await Worker(functions, redis_pool=pool, burst=True, poll_delay=0.01, handle_signals=False).main()

with capture(sys.argv[1]) as events:
    asyncio.run(work())
told = sorted([event["job"], event["state"]] for event in events.all("job"))
print(json.dumps([told, "1984" in repr(events.events)]))
"""


def test_arq_tells_of_each_job_that_a_worker_has_run(catalog: Path, redis: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", ARQ, catalog, redis], capture_output=True, text=True, check=True)

    told = [["again", "complete"], ["again", "retried"], ["bill", "complete"], ["fail", "failed"]]
    assert json.loads(ran.stdout) == [told, False]


@click.group(invoke_without_command=True)
@click.pass_context
def cli(context: click.Context) -> None:
    """A program."""
    if context.invoked_subcommand is None:
        click.echo("nothing asked")


@cli.group()
def spool() -> None:
    """A group in it."""


@spool.command()
@click.option("--json", "-j", "as_json", is_flag=True)
@click.option("--name", default="x")
@click.argument("directory")
def ls(directory: str, *, as_json: bool, name: str) -> None:
    """A command in that."""
    if directory == "gone":
        raise click.UsageError("no such place")
    if directory == "three":
        sys.exit(3)
    click.echo(f"{directory} {as_json} {name}")


@click.command()
@click.option("--name")
def lone(name: str) -> None:
    """A program of one command."""


def test_click_tells_which_command_ran_and_which_options_were_given(catalog: Path) -> None:
    command_events(command_events(cli))  # twice is once
    with capture(catalog) as events:
        run = CliRunner().invoke
        assert (
            run(cli, ["spool", "ls", "-j", "--name", "jane.roe", "/home/jane"]).output == "/home/jane True jane.roe\n"
        )
        assert run(cli, ["spool", "ls", "gone"]).exit_code == 2
        assert run(cli, ["spool", "ls", "three"]).exit_code == 3
        assert run(command_events(lone), []).exit_code == 0
        run(cli, ["spool", "nonsense"])

    assert [(event["command"], event["exit_code"]) for event in events.all("command")] == [
        ("spool ls", 0),
        ("spool ls", 2),
        ("spool ls", 3),
        ("lone", 0),
    ]
    assert [(e["command"], e["option"], e["count"]) for e in events.all("option")] == [
        ("spool ls", "--json", 1),
        ("spool ls", "--name", 1),
    ]
    assert "jane" not in repr(events.events)
    assert events.take_problems() == []


def test_typer_tells_the_same(catalog: Path) -> None:
    app = typer.Typer()

    @app.command()
    def greet(name: str, *, loud: bool = False) -> None:
        typer.echo(f"{name} {loud}")

    @app.callback()
    def main() -> None:
        """A program."""

    command = typer_events(app)
    with capture(catalog) as events:
        for args in (["greet", "jane.roe", "--loud"], ["greet", "jane.roe"]):
            with pytest.raises(SystemExit) as ended:
                command(args)
            assert ended.value.code in {0, None}

    assert [(event["command"], event["exit_code"]) for event in events.all("command")] == [("greet", 0), ("greet", 0)]
    events.one("option", command="greet", option="--loud", count=1)
    assert "jane" not in repr(events.events)
