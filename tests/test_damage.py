"""Every file of a small spool cut off at every byte, and with a bit of every byte flipped: it opens, and never lies."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest
from spools import add_segment, append, decompress, make_head, make_lines, nobody_lives, scratch

from telemetry.spool.ledger import LOG_FILE
from telemetry.spool.segment import marks_name, seal_name
from telemetry.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EACH = 3
EMITTED = 3 * EACH


class Made(NamedTuple):
    """A spool with two sealed segments of three events each, and an active one of three that a killed shipper left."""

    directory: Path
    files: dict[str, Path]

    def copy(self) -> Path:
        copy = self.directory.with_name("copy")
        shutil.copytree(self.directory, copy)
        return copy


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with scratch() as root:
        directory = root / "spool"
        spool = Spool.open(directory, nobody_lives)[0]
        first, second = add_segment(spool, EACH), add_segment(spool, EACH)
        active = spool.begin(make_head())
        append(active, EACH)
        active.close()
        spool.close()
        sealed = directory / "sealed"
        yield Made(
            directory,
            {
                "data": sealed / first.file,
                "seal": sealed / seal_name(second.file),
                "marks": directory / "active" / marks_name(active.head.file),
                "active": directory / "active" / active.head.file,
                "ledger": directory / LOG_FILE,
            },
        )


def _cut(data: bytes, at: int) -> bytes:
    return data[:at]


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


@pytest.mark.parametrize("harm", [_cut, _flip])
@pytest.mark.parametrize("file", ["data", "seal", "marks", "active", "ledger"])
def test_harm_at_any_byte_stops_nothing_and_what_is_sent_was_written(
    made: Made, file: str, harm: Callable[[bytes, int], bytes]
) -> None:
    path = made.files[file]
    data = path.read_bytes()
    for at in range(len(data)):
        copy = made.copy()
        (copy / path.relative_to(made.directory)).write_bytes(harm(data, at))

        spool, ledger = Spool.open(copy, nobody_lives)
        assert not spool.is_unfinished
        sent = _send(spool)
        fresh = at % 16 == 0  # often enough: it is what takes the time
        if fresh:
            add_segment(spool, EACH)
            assert _send(spool) == 1
        spool.close()
        after = spool.log.read()
        lost = after.tally.lost

        assert (ledger.balance, after.balance) == (0, 0)
        assert after.delivered == EACH * (sent + fresh)
        # The marks are all there is to count an active segment by; its producer's next frame shows the hole.
        uncounted = EMITTED + EACH * fresh - after.tally.emitted
        assert uncounted in ({0, EACH} if file == "marks" else {0})
        assert lost in {0, EACH}
        assert sent == 3 - (lost + uncounted) // EACH
        if file == "ledger":
            assert sent == 3
        shutil.rmtree(copy)


def _send(spool: Spool) -> int:
    """Deliver all that waits; how many segments."""
    sent = 0
    while (seal := spool.take()) is not None:
        body = spool.read(seal)
        if body is not None:
            assert decompress(body) == make_lines(EACH)
            spool.ack(seal, 0)
            sent += 1
    return sent
