"""What the producers of a run emit, and the catalog that it is declared in."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.events import CLEAN_TEXTS, Emission, fill, mix
from bench.site import CATALOG

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_EVENTS = 10_000
"""Emitted again and again."""

_EVENT = """
[events.{name}]
purpose = "a measurement"
owner = "bench"
expires = "2099-12-31"
sensitivity = "technical"
"""


class Load(NamedTuple):
    """What one producer does.

    Attributes:
        chunks: of `CHUNK_EVENTS` each.
        threads: that share a chunk.
        dirty_share: of the realistic mix; None to emit events of one size instead.
        fields: of such an event, whole numbers.
        text_characters: of one more field with free text; 0 for none.
        names: events that the catalog declares, each emitted as often as the others.
        segment_bytes: the size of a batch, compressed.
        shippers: that run side by side.
    """

    chunks: int
    threads: int = 1
    dirty_share: float | None = None
    fields: int = 5
    text_characters: int = 0
    names: int = 1
    segment_bytes: int = 4 << 20
    shippers: int = 1

    def emissions(self) -> list[Emission]:
        """The events of a chunk."""
        if self.dirty_share is not None:
            return mix(CHUNK_EVENTS, self.dirty_share)
        dice = random.Random(7)
        return [(f"event{number % self.names}", self._draw(dice)) for number in range(CHUNK_EVENTS)]

    def _draw(self, dice: random.Random) -> dict[str, Any]:
        numbers: dict[str, Any] = {f"field{n}": dice.randrange(100_000) for n in range(self.fields)}
        if not self.text_characters:
            return numbers
        words = ""
        while len(words) < self.text_characters:
            words += fill(dice.choice(CLEAN_TEXTS), dice) + "; "
        return {**numbers, "text": words[: self.text_characters]}

    def write_catalog(self, directory: Path) -> Path:
        """The file that declares what is emitted; written into the directory unless it is the one of the mix."""
        if self.dirty_share is not None:
            return CATALOG
        fields = [f'field{n} = {{ type = "int", purpose = "what a field costs" }}' for n in range(self.fields)]
        if self.text_characters:
            fields.append(
                f'text = {{ type = "text", max_length = {self.text_characters}, purpose = "what text costs" }}'
            )
        events = [
            _EVENT.format(name=f"event{n}") + (f"[events.event{n}.fields]\n" + "\n".join(fields) if fields else "")
            for n in range(self.names)
        ]
        file = directory / "catalog.toml"
        file.write_text('[catalog]\nproduct = "bench"\nversion = 1\n' + "\n".join(events))
        return file
