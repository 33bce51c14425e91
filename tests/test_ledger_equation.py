"""The ledger's equation holds to the event, whatever producers, shippers and the endpoint go through.

A model keeps the truth beside the real code: what producers have numbered and dropped, what was lost on the way, what
the endpoint has. Frames get lost in the hands of a killed shipper, are sent twice by an interrupted producer, and end
with a goodbye or a tombstone; segments are sealed, recovered, acknowledged, split and dropped, and the log is compacted
in between.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from telemetry.drops import DropReason
from telemetry.shipper.intake.pipeline import _without
from telemetry.spool.ledger import Acked, Dropped, Ledger, Line, Noted, Quarantined, Sealed, Split
from telemetry.spool.positions import Position, Positions, advance
from telemetry.spool.tally import Tally
from telemetry.spool.tombstones import Tombstone, count_missing

PRODUCERS = st.sampled_from("abc")
FEW = st.integers(1, 9)


class Copies:
    """Of one frame: how many may still arrive, and whether one has."""

    def __init__(self, number: int) -> None:
        self.under_way = number
        self.has_arrived = False


class Frame(NamedTuple):
    first: int
    events: int
    dropped: dict[str, int]
    copies: Copies


class Producer:
    """What one has numbered and dropped, its frames on the way in order, and what of them nobody has missed yet."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.numbered = 0
        self.missing = 0
        self.dropped: dict[str, int] = {}
        self.way: deque[Frame] = deque()

    def frames(self, events: int, copies: int = 1) -> list[Frame]:
        return [Frame(self.numbered, events, dict(self.dropped), Copies(copies))] * copies


class LedgerEquation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.producers = {name: Producer(name) for name in "abc"}
        self.positions: Positions = {}
        self.ledger = Ledger()
        self.active = Sealed("0", Tally(), {})
        self.number = 0
        # The truth.
        self.emitted = 0
        self.dropped: Counter[str] = Counter()
        self.delivered = 0

    # Producers.

    @rule(name=PRODUCERS, events=FEW, interrupted=st.booleans())
    def send(self, name: str, events: int, interrupted: bool) -> None:  # noqa: FBT001 Hypothesis gives it by name
        producer = self.producers[name]
        copies = (
            2 if interrupted else 1
        )  # between sending and counting: the same events go again, under the same number
        producer.way.extend(producer.frames(events, copies))
        producer.numbered += events
        self.emitted += copies * events

    @rule(name=PRODUCERS, reason=st.sampled_from(["queue_full", "no_shipper", "unencodable"]), events=FEW)
    def drop(self, name: str, reason: str, events: int) -> None:
        dropped = self.producers[name].dropped
        dropped[reason] = dropped.get(reason, 0) + events
        self.emitted += events
        self.dropped[reason] += events

    # The way.

    @rule(name=PRODUCERS, frames=FEW)
    def lose(self, name: str, frames: int) -> None:
        for _ in range(min(frames, len(self.producers[name].way))):
            self._lose(self.producers[name])

    @rule(name=PRODUCERS, invalid=st.integers(0, 2))
    def take(self, name: str, invalid: int) -> None:
        producer = self.producers[name]
        if producer.way:
            self._take(producer, producer.way.popleft(), invalid)

    @rule(name=PRODUCERS, second=FEW, is_killed=st.booleans())
    def take_in_two(self, name: str, second: int, is_killed: bool) -> None:  # noqa: FBT001 as above
        """A drain of both sensitivities goes to two segments, the accounts with the first; a kill may come between."""
        producer = self.producers[name]
        if not producer.way:
            return
        frame = producer.way.popleft()
        second = min(second, frame.events)
        is_only_copy = frame.copies.under_way == 1 and not frame.copies.has_arrived
        after = self._take(producer, frame, 0, held_back=second)
        if is_killed and is_only_copy:
            self.restart()
            producer.missing += second
        else:
            self.positions[producer.id] = after
            self.ledger.apply(Sealed(self._next_id(), Tally(second, second), {producer.id: after}))

    # The shipper.

    @rule()
    def seal(self) -> None:
        self.ledger.apply(self.active)
        self._begin()

    @rule()
    def restart(self) -> None:
        """A kill: recovery seals what is on disk, and enters it once more when it is killed in turn."""
        self.ledger.apply(self.active)
        self.ledger.apply(self.active)
        self.positions = dict(self.ledger.positions)
        self._begin()

    @rule()
    def compact(self) -> None:
        total = self.ledger.total()
        self.ledger = Ledger()
        self.ledger.apply(total)

    # Delivery.

    @precondition(lambda self: self.ledger.live)
    @rule(data=st.data(), fate=st.sampled_from(["ack", "split", "drop", "quarantine"]))
    def dispose(self, data: st.DataObject, fate: str) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.ledger.live)))
        events = self.ledger.live[id_]
        line: Line
        if fate == "ack":
            line = Acked(id_)
            self.delivered += events
        elif fate == "split":
            line = Split(id_, {f"{id_}/0": events // 2, f"{id_}/1": events - events // 2})
        elif fate == "drop":
            line = Dropped(id_, DropReason.SPOOL_FULL)
            self.dropped["spool_full"] += events
        else:
            line = Quarantined(id_, DropReason.REJECTED)
            self.dropped["rejected"] += events
        self.ledger.apply(line)
        self.ledger.apply(line)

    # The end of a producer; another one takes its name.

    @rule(name=PRODUCERS)
    def leave_confirmed(self, name: str) -> None:
        self._say_hello(self.producers[name])
        self.producers[name] = Producer(self._next_id())

    @rule(name=PRODUCERS)
    def leave_unconfirmed(self, name: str) -> None:
        producer = self.producers[name]
        while producer.way:
            self._lose(producer)
        self.dropped["exit_unconfirmed"] += producer.missing
        tally = Tally()
        found = Tombstone(producer.id, 1, producer.numbered, dict(producer.dropped))
        position = count_missing(found, self.positions.get(producer.id), tally)
        self.ledger.apply(Noted(f"tombstone-{producer.id}", tally, {producer.id: position}))
        self.ledger.apply(Noted(f"tombstone-{producer.id}", tally, {producer.id: position}))
        self.producers[name] = Producer(self._next_id())

    @invariant()
    def nothing_is_unaccounted_for(self) -> None:
        assert self.ledger.balance == 0
        assert self.active.tally.balance == 0

    def teardown(self) -> None:
        for producer in self.producers.values():
            self._say_hello(producer)
        self.seal()
        tally = self.ledger.tally
        assert tally.emitted == self.emitted
        assert tally.dropped == +self.dropped
        assert self.ledger.delivered == self.delivered
        assert self.ledger.on_disk == self.emitted - self.delivered - self.dropped.total()

    def _say_hello(self, producer: Producer) -> None:
        producer.way.extend(producer.frames(0))
        while producer.way:
            self._take(producer, producer.way.popleft(), 0)

    def _take(self, producer: Producer, frame: Frame, invalid: int, held_back: int = 0) -> Position:
        frame.copies.under_way -= 1
        frame.copies.has_arrived = True
        self.dropped["in_transit"] += producer.missing
        producer.missing = 0
        tally = Tally()
        tally.drop(DropReason.INVALID, min(invalid, frame.events))
        self.dropped["invalid"] += tally.lost
        tally.kept = frame.events - tally.lost - held_back
        before = self.positions.get(producer.id, Position(1))
        after = advance(before, frame.first, frame.events, frame.dropped, tally)
        tally.emitted -= held_back
        behind = _without({producer.id: after}, {producer.id: frame.first}, {producer.id: held_back})[producer.id]
        self.positions[producer.id] = self.active.positions[producer.id] = behind
        self.active.tally.add(tally)
        return after

    def _lose(self, producer: Producer) -> None:
        frame = producer.way.popleft()
        frame.copies.under_way -= 1
        if frame.copies.under_way or frame.copies.has_arrived:
            self.emitted -= frame.events  # the other copy is all that there is
        else:
            producer.missing += frame.events

    def _begin(self) -> None:
        self.active = Sealed(self._next_id(), Tally(), {})

    def _next_id(self) -> str:
        self.number += 1
        return str(self.number)


TestLedgerEquation = LedgerEquation.TestCase
TestLedgerEquation.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
