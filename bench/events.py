"""The events that are measured: the five-field event of the peers, and a realistic mix."""

from __future__ import annotations

import random
from typing import Any

Emission = tuple[str, dict[str, Any]]

FIVE_FIELDS: dict[str, Any] = {
    "duration_ms": 12.5,
    "rows": 1000,
    "engine": "batch",
    "ok": True,
    "feature": "materialized_view",
}

CLEAN_TEXTS = (
    "the join spilled to disk after the memory budget was reached",
    "checkpoint took longer than the barrier interval allows",
    "no statistics for this relation, planner falls back to defaults",
    "retrying after a transient failure in the object store",
)
DIRTY_TEXTS = (
    "could not connect to 10.1.17.3:5432 as jane.doe@example.com",
    "no such file: /home/jane/projects/acme/secrets.yaml",
    "login failed, password=hunter2000 for postgres://app:s3cr3t@db.internal:5432/app",
)


def mix(number: int, dirty_share: float = 0.01, seed: int = 7) -> list[Emission]:
    """A realistic mix: five shapes of 0 to 20 fields, 2 % with free text; `dirty_share` of all hold something private.

    Args:
        number: of events.
        dirty_share: of all events; up to 2 % replaces clean texts, beyond it other shapes.
        seed: makes the same mix again.
    """
    dice = random.Random(seed)
    text_share = max(0.02, dirty_share)
    return [_one(dice, dice.random(), text_share, dirty_share / text_share) for _ in range(number)]


def _one(dice: random.Random, draw: float, text_share: float, dirty_of_texts: float) -> Emission:
    if draw < text_share:
        texts = DIRTY_TEXTS if dice.random() < dirty_of_texts else CLEAN_TEXTS
        return "failed", {"code": dice.randrange(100), "detail": dice.choice(texts)}
    if draw < text_share + 0.10:
        return "started", {}
    if draw < text_share + 0.25:
        return "opened", {"kind": dice.choice(("table", "view", "index")), "version": "2.11.4"}
    if draw < text_share + 0.28:
        floats = {f"stage{n}": round(dice.expovariate(0.1), 3) for n in range(10)}
        return "profiled", {**floats, **{f"rows{n}": dice.randrange(100_000) for n in range(10)}}
    return "query_finished", {
        "duration_ms": round(dice.expovariate(0.05), 3),
        "rows": dice.randrange(1_000_000),
        "engine": dice.choice(("batch", "stream")),
        "ok": dice.random() < 0.98,
        "feature": dice.choice(("materialized_view", "sink", "source")),
    }
