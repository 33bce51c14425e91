"""The tasks that a Celery worker runs, over a broker of files."""

from __future__ import annotations

from celery import Celery

from bench.exits.host import DIRECTORY, init, note, work

init()

app = Celery("bench.exits.tasks", broker="filesystem://")
for folder in ("queue", "control"):
    (DIRECTORY / folder).mkdir(exist_ok=True)
app.conf.broker_transport_options = {
    "data_folder_in": str(DIRECTORY / "queue"),
    "data_folder_out": str(DIRECTORY / "queue"),
    "control_folder": str(DIRECTORY / "control"),
    "polling_interval": 0.01,
}
app.conf.worker_prefetch_multiplier = 1


@app.task(ignore_result=True)  # type: ignore[untyped-decorator] # Celery ships no types
def task() -> None:
    """One call."""
    work(1)
    note("done")
