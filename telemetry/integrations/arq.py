"""arq: one event a job that a worker has run.

class WorkerSettings:
    functions = [job_events(bill)]            # and cron(job_events(bill), ...)

[events.job]
purpose = "find slow and failing jobs"
owner = "platform team"
expires = "2027-06-30"
sensitivity = "interaction"
[events.job.fields]
job = { type = "enum", values = ["bill"], purpose = "which job" }
state = { type = "enum", values = ["complete", "failed", "retried", "aborted"], purpose = "how it ends" }
duration_ms = { type = "duration", purpose = "how long it takes" }
"""

from __future__ import annotations

import asyncio
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from arq.worker import Retry, RetryJob

import telemetry
from telemetry.native import perf_counter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Given = ParamSpec("Given")
Result = TypeVar("Result")


def job_events(job: Callable[Given, Awaitable[Result]], *, event: str = "job") -> Callable[Given, Awaitable[Result]]:
    """Return a job that emits an event with `job`, `state` and `duration_ms`, but no arguments, each time it has run.

    Args:
        job: the coroutine function; its qualified name is the job's, as in arq.
        event: the name of the event, which the catalog declares.
    """

    @wraps(job)
    async def run(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        began, state = perf_counter(), "complete"
        try:
            return await job(*args, **kwargs)
        except BaseException as fault:
            state = _state(fault)
            raise
        finally:
            telemetry.emit(event, job=_name(job), state=state, duration_ms=(perf_counter() - began) * 1e3)

    return run


def _name(job: Any) -> str:
    return str(job.__qualname__)


def _state(fault: BaseException) -> str:
    if isinstance(fault, Retry | RetryJob):
        return "retried"
    return "aborted" if isinstance(fault, asyncio.CancelledError) else "failed"
