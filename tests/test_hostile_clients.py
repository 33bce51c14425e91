"""Hostile clients of all kinds, each for a moment; `tools/hostile-clients` has them for longer, and compares rates."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest
from conftest import wait_until
from hostile_clients.attacks import Target, answer_to, attacks, run
from hostile_clients.bodies import BOMBS, forged, head
from hostile_clients.trial import THEIRS, Shipper, collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostile_clients.trial import Collector

SECONDS = 0.3
DEADLINE_SECONDS = 30.0
CLIENTS = 60


@pytest.fixture(scope="module")
def attacked() -> Iterator[Collector]:
    """One collector for all, after all of which it must be as it was."""
    with collector(tls=False) as running:
        yield running
        assert running.log_lines() == 1  # that of its start
        assert running.memory_mb() < 400


@pytest.mark.parametrize("attack", [name for name in attacks("") if not name.startswith(("bomb:", "hello"))])
def test_a_shipper_uploads_beside(attack: str, attacked: Collector) -> None:
    shipper = Shipper(attacked)
    target = Target(attacked.host, attacked.port, THEIRS)
    hostile = threading.Thread(target=lambda: asyncio.run(run(attack, target, SECONDS, CLIENTS)))
    hostile.start()
    try:
        while hostile.is_alive():
            assert shipper.upload(time.monotonic() + DEADLINE_SECONDS)
    finally:
        hostile.join()
        shipper.close()


@pytest.mark.parametrize("attack", [name for name in attacks("") if name.startswith("hello")])
def test_a_shipper_that_comes_anew_each_time_gets_through_beginnings_of_tls(attack: str) -> None:
    with collector(tls=True) as running:
        shipper = Shipper(running)
        target = Target(running.host, running.port, THEIRS)
        hostile = threading.Thread(target=lambda: asyncio.run(run(attack, target, 2 * SECONDS)))
        hostile.start()
        try:
            while hostile.is_alive():
                assert shipper.upload(time.monotonic() + DEADLINE_SECONDS)
                shipper.close()
        finally:
            hostile.join()
        assert running.log_lines() == 1
        assert running.memory_mb() < 400


def test_a_bomb_is_refused(attacked: Collector) -> None:
    target = Target(attacked.host, attacked.port, THEIRS)
    for name in ("deep", *list(BOMBS)[-8:]):  # what the others cost is tested where bodies are
        body = BOMBS[name]()
        answers: list[bytes] = []

        def is_judged(body: bytes = body, answers: list[bytes] = answers) -> bool:
            answers.append(asyncio.run(answer_to(target, head(len(body), THEIRS) + body, DEADLINE_SECONDS)))
            return not answers[-1].startswith(b"HTTP/1.1 503 ")

        wait_until(is_judged)  # what others have left may be in the way
        assert answers[-1].startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")), name


def test_forged_framing_is_answered_once_or_not_at_all(attacked: Collector) -> None:
    target = Target(attacked.host, attacked.port, THEIRS)
    for request in forged(THEIRS):
        answer = asyncio.run(answer_to(target, request, 2.0)).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert answer.count(b"HTTP/1.1 ") <= 1, request
        assert b'"stored"' not in answer, request
