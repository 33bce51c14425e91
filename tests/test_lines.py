"""The sockets of a sink: whatever is cut sends nothing more, and what was late does not cut the next upload."""

from __future__ import annotations

import socket
from threading import Event
from typing import TYPE_CHECKING

from telemetry.shipper.delivery.lines import Lines

if TYPE_CHECKING:
    import pytest


def test_what_is_cut_discards_what_the_kernel_has_not_sent() -> None:
    lines = Lines()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as line:
        reader, _ = server.accept()
        lines.keep(line)
        lines.keep(None)  # a connection without a socket of its own, as within a proxy
        line.settimeout(0.0)
        sent_bytes = _fill(line)
        lines.cut()
        line.close()
        with reader:
            assert _read_bytes(reader) < sent_bytes


def _fill(line: socket.socket) -> int:
    sent_bytes = 0
    try:
        while True:
            sent_bytes += line.send(bytes(65536))
    except BlockingIOError:
        return sent_bytes


def _read_bytes(line: socket.socket) -> int:
    read_bytes = 0
    try:
        while data := line.recv(65536):
            read_bytes += len(data)
    except ConnectionResetError:
        pass
    return read_bytes


def test_a_cut_that_has_begun_is_over_when_the_time_s_block_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    begun, done = Event(), []

    def cut() -> None:
        begun.set()
        Event().wait(0.1)  # as if the machine were busy
        done.append("cut")

    monkeypatch.setattr(lines, "cut", cut)
    with lines.within(0.0):
        assert begun.wait(30)

    assert (done, lines.is_late) == (["cut"], True)
