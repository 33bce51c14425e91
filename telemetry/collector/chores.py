"""Periodic chores of a collector: it reloads tokens and certificates, and removes old batches."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from telemetry.terminal import counted

if TYPE_CHECKING:
    from telemetry.collector.certificate import Certificate
    from telemetry.collector.less import Less
    from telemetry.collector.metrics import Metrics
    from telemetry.collector.store import Store
    from telemetry.collector.tokens import Tokens

_log = logging.getLogger(__name__)

_RELOAD_SECONDS = 2.0
_EXPIRE_SECONDS = 3600.0
_STEP_SECONDS = 0.05  # between some hundreds of records: uploads go first


async def reload(tokens: Tokens, certificate: Certificate | None, less: Less) -> None:
    """Reload the tokens, what is asked for, and a certificate that has changed, every two seconds, for ever."""
    while True:
        await asyncio.sleep(_RELOAD_SECONDS)
        tokens.reload()
        less.reload()
        if certificate is not None:
            certificate.reload()


async def expire(store: Store, keep_days: int, metrics: Metrics) -> None:
    """Remove batches received more than `keep_days` days ago, every hour, for ever."""
    begun = datetime.now(UTC)
    begun_seconds = time.monotonic()
    while True:
        before = oldest_kept(begun, time.monotonic() - begun_seconds, datetime.now(UTC), keep_days)
        try:
            await _expire_before(store, before, metrics)
        except (OSError, sqlite3.Error) as fault:
            _log.error("old batches can't be removed: %s", fault)
        await asyncio.sleep(_EXPIRE_SECONDS)


def oldest_kept(begun: datetime, elapsed_seconds: float, now: datetime, keep_days: int) -> str:
    """Return the time from which on batches are kept.

    The days are counted from the system's clock as it was at the start, and advance with a clock that nobody sets:
    setting
    the system's clock forward removes nothing.

    Args:
        begun: the time of the start, by the system's clock.
        elapsed_seconds: the time since then, by a monotonic clock.
        now: the present time, by the system's clock.
        keep_days: how long batches are kept.
    """
    before = min(begun + timedelta(seconds=elapsed_seconds), now) - timedelta(days=keep_days)
    return before.strftime("%Y-%m-%dT%H:%M:%SZ")


async def _expire_before(store: Store, before: str, metrics: Metrics) -> None:
    steps = store.expire(before)
    removed = 0
    while (step := await asyncio.to_thread(next, steps, None)) is not None:
        removed += step
        metrics.expired(step)
        await asyncio.sleep(_STEP_SECONDS)
    if removed:
        _log.warning("%s from before %s removed", counted(removed, "batch", "batches"), before)
