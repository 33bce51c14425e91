"""Programs that run jobs from a Redis of their own with arq, dramatiq and rq, and end the worker in order."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.exits.host import DIRECTORY
from bench.exits.jobs import REDIS, URL
from bench.exits.servers import await_noted, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS = 10


def rq() -> None:
    """Run jobs with rq, whose work horses end by `os._exit`."""
    from redis import Redis  # noqa: PLC0415 not everywhere installed
    from rq import Queue  # noqa: PLC0415 as above

    with _redis():
        queue = Queue(connection=Redis.from_url(URL))
        for number in range(JOBS):
            queue.enqueue("bench.exits.jobs.failing_job" if number % 2 else "bench.exits.jobs.job")
        with running("rq.cli", "worker", "--url", URL, "--quiet"):
            await_noted("done", JOBS)


def dramatiq() -> None:
    """Run jobs with dramatiq, in two processes of two threads."""
    with _redis():
        from bench.exits.dramatiq_jobs import job  # noqa: PLC0415 it connects

        for _ in range(JOBS):
            job.send()
        with running("dramatiq", "bench.exits.dramatiq_jobs", "--processes", "2", "--threads", "2"):
            await_noted("done", JOBS)


def arq() -> None:
    """Run jobs with arq."""
    from arq import create_pool  # noqa: PLC0415 not everywhere installed
    from arq.connections import RedisSettings  # noqa: PLC0415 as above

    async def enqueue() -> None:
        pool = await create_pool(RedisSettings(unix_socket_path=str(REDIS)))
        for _ in range(JOBS):
            await pool.enqueue_job("job")
        await pool.aclose()

    with _redis():
        asyncio.run(enqueue())
        with running("arq", "bench.exits.arq_jobs.WorkerSettings"):
            await_noted("done", JOBS)


@contextmanager
def _redis() -> Iterator[None]:
    program = shutil.which("redis-server")
    assert program
    quiet = ("--port", "0", "--save", "", "--appendonly", "no", "--loglevel", "warning", "--logfile", "/dev/null")
    with subprocess.Popen([program, "--unixsocket", str(REDIS), *quiet], cwd=DIRECTORY) as server:
        try:
            wait_until(REDIS.exists)
            yield
        finally:
            server.kill()
