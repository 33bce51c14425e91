"""The living half of a client, made only with consent: outbox, counters, flusher, and the shipper they need."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any, NamedTuple

import zmq

from telemetry import wire
from telemetry.control import Control
from telemetry.errors import ShipperUnreachableError
from telemetry.paths import private_dir
from telemetry.producer import exits
from telemetry.producer.counters import TALLY_CALLS, TALLY_SECONDS, Counters
from telemetry.producer.exception import reduce_exception
from telemetry.producer.flusher import Flusher
from telemetry.producer.outbox import BATCH_EVENTS, SOCKET_FRAMES, Outbox
from telemetry.producer.spawn import can_spawn, shipper_runs, spawn_shipper

CONFIRM_POLL_SECONDS = 0.005
"""How often the shipper is asked whether it has everything; one of its drains takes about as long."""

Record = Callable[[str, dict[str, Any]], None]
Tick = Callable[[str, int, dict[str, Any]], None]


class Site(NamedTuple):
    """Where a client's shipper lives, and what it is told when it is spawned.

    Attributes:
        directory: the rendezvous: sockets, lock and configuration.
        spool: where tombstones are left.
        config: of the shipper, as it goes into its file.
    """

    directory: Path
    spool: Path
    config: dict[str, Any]


class Link:
    """One process's way to its shipper."""

    def __init__(
        self,
        site: Site,
        context: wire.Context,
        packages: tuple[str, ...],
        flush_interval_seconds: float,
        queue_bytes: int,
    ) -> None:
        self._site = site
        self._zmq: zmq.Context[zmq.Socket[bytes]] | None = None
        self._abandoned: list[object] = []
        self._closed = False
        self._tallied_at = monotonic()
        self._interval_ns = int(flush_interval_seconds * 1e9)
        self._counters = Counters()
        self._outbox = Outbox(self._connect, context, queue_bytes, lambda error: reduce_exception(error, packages))
        self._flusher = Flusher(flush_interval_seconds, self._round, self._supervise)
        self._supervise()
        self._outbox.hello()
        exits.at_exit(self.close)
        exits.after_fork(self._renew)

    def recorder(self) -> Record:
        """The hot path: what `emit` calls with a name and its fields."""
        events, flusher, drain, first = self._outbox.events, self._flusher, self._outbox.drain, self._after_pause
        append = events.append

        def record(name: str, fields: dict[str, Any]) -> None:
            now_ns = time_ns()
            append((name, now_ns, fields))
            if flusher.asleep:
                first(now_ns)
            elif len(events) >= BATCH_EVENTS:
                drain()

        return record

    def ticker(self) -> Tick:
        """The same for `count`."""
        calls, flusher, tally = self._counters.calls, self._flusher, self._counters.tally
        append = calls.append

        def tick(name: str, number: int, fields: dict[str, Any]) -> None:
            append((name, number, fields))
            if flusher.asleep:
                flusher.wake()
            elif len(calls) >= TALLY_CALLS:
                tally()

        return tick

    def flush(self, timeout_seconds: float) -> bool:
        """Hand over everything and wait until the shipper has it on disk.

        Returns:
            False when `timeout_seconds` passed before that.
        """
        deadline = monotonic() + timeout_seconds
        self._emit_counters()
        try:
            with Control(self._context(), self._site.directory) as control:
                while not self._confirmed(control, deadline):
                    sleep(CONFIRM_POLL_SECONDS)
        except (ShipperUnreachableError, zmq.ZMQError):
            return False
        return True

    def close(self, timeout_seconds: float = 0.3) -> None:
        """Flush for at most `timeout_seconds`, say goodbye, and write down what stayed unconfirmed."""
        if self._closed:
            return
        self._closed = True
        deadline = monotonic() + timeout_seconds
        if self.flush(timeout_seconds):
            self._say_goodbye(deadline)
        else:
            self._leave_tombstone()
        self._outbox.close()

    def _after_pause(self, now_ns: int) -> None:
        """Send the first event after a pause at once; have the thread look after whatever that leaves to do."""
        if now_ns - self._sent_ns > self._interval_ns:
            self._sent_ns = now_ns
            if self._outbox.drain() and not self._flusher.due:
                return
        self._flusher.wake()

    _sent_ns = 0

    def _round(self) -> bool:
        """One round of the flusher."""
        if self._counters and monotonic() - self._tallied_at >= TALLY_SECONDS:
            self._emit_counters()
        return self._outbox.drain() and not self._counters

    def _emit_counters(self) -> None:
        self._tallied_at = monotonic()
        now_ns = time_ns()
        self._outbox.events.extend((name, now_ns, fields) for name, fields in self._counters.take())

    def _supervise(self) -> None:
        """See that a shipper runs; spawn one when none does."""
        directory = self._site.directory
        if shipper_runs(directory):
            self._outbox.shipper_missing = False
            return
        try:
            private_dir(directory)
        except OSError:  # a read-only disk, or a directory that is not ours: events are dropped and counted
            self._outbox.shipper_missing = True
            return
        self._outbox.shipper_missing = not (can_spawn(directory) and spawn_shipper(directory, self._site.config))

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context().socket(zmq.PUSH)
        socket.sndhwm = SOCKET_FRAMES
        socket.linger = 0
        socket.reconnect_ivl = 10  # ms: a short-lived host must meet a shipper that is just starting
        socket.connect(f"ipc://{self._site.directory / wire.DATA_SOCKET}")
        return socket

    def _context(self) -> zmq.Context[zmq.Socket[bytes]]:
        if self._zmq is None:
            self._zmq = zmq.Context()
        return self._zmq

    def _confirmed(self, control: Control, deadline: float) -> bool:
        self._outbox.drain()
        remaining = deadline - monotonic()
        reply = control.ask({"op": "confirm", "producer": self._outbox.producer}, remaining)
        if reply["accepted"] < self._outbox.accepted or self._outbox.events:
            return False
        if reply["dropped"] == sum(self._outbox.dropped.values()):
            return True
        self._outbox.hello()
        return False

    def _say_goodbye(self, deadline: float) -> None:
        try:
            with Control(self._context(), self._site.directory) as control:
                control.ask({"op": "leave", "producer": self._outbox.producer}, deadline - monotonic())
        except (ShipperUnreachableError, zmq.ZMQError):
            return  # it will find this process gone

    def _leave_tombstone(self) -> None:
        outbox = self._outbox
        dropped = {**outbox.dropped, "exit_unconfirmed": len(outbox.events)}
        try:
            exits.leave_tombstone(self._site.spool, outbox.producer, outbox.accepted, dropped)
        except OSError:
            return  # no disk to write it on: the one case in which nobody is left to count

    def _renew(self) -> None:
        """Begin anew in a forked child, touching nothing that the parent shares."""
        self._abandoned.append(self._zmq)
        self._zmq = None
        self._closed = False
        self._counters.renew()
        self._outbox.renew(os.getpid())
        self._flusher.renew()
        exits.at_exit_of_forked_child(self, self.close)
