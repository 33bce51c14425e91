"""The job, as dramatiq runs it."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.exits import jobs

dramatiq.set_broker(RedisBroker(url=jobs.URL))
job = dramatiq.actor(jobs.job)
