"""The job, as arq runs it."""

from __future__ import annotations

from typing import Any

from arq.connections import RedisSettings

from bench.exits import jobs


async def job(context: dict[str, Any]) -> None:
    """Ten calls."""
    assert context
    jobs.job()


class WorkerSettings:
    """Read by arq's command."""

    functions = (job,)
    redis_settings = RedisSettings(unix_socket_path=str(jobs.REDIS))
    handle_signals = True
