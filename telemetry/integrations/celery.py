"""Celery: one event a task that a worker has run.

task_events()                                 # once, where the application is made

[events.task]
purpose = "find slow and failing tasks"
owner = "platform team"
expires = "2027-06-30"
sensitivity = "interaction"
[events.task.fields]
task = { type = "enum", values = ["shop.tasks.bill"], purpose = "which task" }
state = { type = "enum", values = ["SUCCESS", "FAILURE", "RETRY"], purpose = "how it ends" }
duration_ms = { type = "duration", purpose = "how long it takes" }
"""

from __future__ import annotations

from typing import Any

from celery.signals import task_postrun, task_prerun

import telemetry
from telemetry.native import perf_counter

_MOST_RUNNING = 10_000
"""The number of tasks whose start is remembered, since the end of a task whose worker was stopped is never reported."""


def task_events(event: str = "task") -> None:
    """Emit an event with `task`, `state` and `duration_ms`, but no arguments, for each task that this process runs.

    Args:
        event: the name of the event, which the catalog declares.
    """
    began: dict[str, float] = {}

    def note_start(task_id: str, **_: Any) -> None:
        began[task_id] = perf_counter()
        if len(began) > _MOST_RUNNING:
            del began[next(iter(began))]

    def emit(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
        if (start := began.pop(task_id, None)) is not None:
            telemetry.emit(event, task=task.name, state=state, duration_ms=(perf_counter() - start) * 1e3)

    task_prerun.connect(note_start, weak=False, dispatch_uid=f"telemetry {event} starts")
    task_postrun.connect(emit, weak=False, dispatch_uid=f"telemetry {event} ends")
