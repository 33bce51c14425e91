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
    "the join spilled to disk after the memory budget of {n} MB was reached",
    "checkpoint {n} took longer than the barrier interval allows",
    "no statistics for this relation, planner falls back to defaults",
    "retrying after a transient failure in the object store, attempt {d}",
    "compaction of level {d} took {n} ms, {n} keys in {d} files",
    "worker {d} stopped: out of memory in storage.merge at step {n}",
)
DIRTY_TEXTS = (
    "could not connect to 10.{d}.{d}.{d}:5432 as {user}@{host}",
    "no such file: /home/{user}/projects/{word}/secrets.yaml",
    "login failed, password={word}{n} for postgres://app:{word}{n}@{word}.internal:5432/app",
    "GET https://{host}/orders/{n}?key={word} answered 503 after {n} ms",
    "lookup {word}.{host} on 10.{d}.0.2:53: no such host",
    'relation "{word}_{word}" does not exist',
    "Key (email)=({user}@{host}) already exists",
    "permission denied for user {user}: C:\\Users\\{user}\\AppData\\{word}.db",
    "peer 2001:db8::{d}:{d} closed the connection after {n} bytes",
    "retry {d} of upload to s3://{word}-backup/{user}/{n}.parquet failed",
    "mail to {user}+{word}@{host} bounced: mailbox full",
    "timeout in SELECT {word} FROM {word} WHERE id = {n}",
)


def fill(template: str, dice: random.Random) -> str:
    """A text from its template: no two are alike, so that no cache of texts could flatter a figure."""
    word = "".join(dice.choices("abcdefghijklmnoprstuvwz", k=7))
    return template.format(
        n=dice.randrange(1000, 100_000),
        d=dice.randrange(2, 250),
        word=word,
        user=word[::-1],
        host=f"{word[2:]}.example.com",
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
        return "failed", {"code": dice.randrange(100), "detail": fill(dice.choice(texts), dice)}
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
