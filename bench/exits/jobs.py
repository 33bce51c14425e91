"""The job that rq runs, and arq and dramatiq in their own ways."""

from __future__ import annotations

from bench.exits.host import DIRECTORY, init, note, work

REDIS = DIRECTORY / "redis.sock"
URL = f"unix://{REDIS}"


init()


def job() -> None:
    """Ten calls."""
    work(10)
    note("done")


def failing_job() -> None:
    """The same, and an exception."""
    job()
    raise ValueError
