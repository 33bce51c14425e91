"""Draws telemetry/flow.svg, the picture of the README: python tools/flow.py [FILE]."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

OUTPUT = Path(__file__).parents[1] / "telemetry/flow.svg"
WIDTH, HEIGHT = 880, 326
TITLE = "Events go from a program to a shipper, which validates, redacts, stores and uploads them to a collector"
ROW, GAP = 46, 16

# One grey of the lines is seen on white and on black; all else follows the reader's scheme.
STYLE = """
text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600; font-size: 14px }
.say { font-size: 11.5px; fill: #59636e }
.room { fill: #f6f8fa; stroke: #8b949e }
.stage { fill: #ffffff; stroke: #8b949e }
.gate { fill: #ddf4ff; stroke: #0969da }
.way { fill: none; stroke: #8b949e; stroke-width: 1.6 }
.tip { fill: #8b949e }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .say { fill: #9198a1 }
  .room { fill: #151b23 }
  .stage { fill: #0d1117 }
  .gate { fill: #0c2d6b; stroke: #4493f8 }
}
"""


class Box(NamedTuple):
    """A room or a stage: its corner and size in pixels, its name, and what is said of it."""

    x: int
    y: int
    width: int
    height: int
    name: str
    says: str
    kind: str = "stage"


def _row(number: int) -> int:
    return 6 + number * (ROW + GAP)


HOST = Box(12, 12, 240, 302, "your program", "or any language with ZeroMQ", "room")
SHIPPER = Box(312, 12, 346, 302, "shipper", "a process of its own, one for all of them", "room")
RECEIVER = Box(718, 12, 150, 302, "collector", "yours", "room")
EMIT = Box(28, _row(1), 208, ROW, "emit()", "an append: under a microsecond")
CHUNK = Box(28, _row(2), 208, ROW, "chunk", "192 events, or 50 ms")
LOST = Box(28, _row(4), 208, ROW, "no room: never waited for", "dropped, by reason")
VALIDATE = Box(328, _row(1), 150, ROW, "validate", "by the catalog", "gate")
REDACT = Box(492, _row(1), 150, ROW, "redact", "before any disk", "gate")
SPOOL = Box(328, _row(2), 314, ROW, "spool", "segments on disk: the very bytes that leave")
LOOK = Box(328, _row(3), 150, ROW, "last look", "reads the whole body", "gate")
UPLOAD = Box(492, _row(3), 150, ROW, "upload", "retries, backs off")
LEDGER = Box(328, _row(4), 314, ROW, "ledger", "what became of every event")
STORE = Box(732, _row(3), 122, ROW, "store", "bodies as sent")
QUERY = Box(732, _row(2), 122, ROW, "query", "SQL")
BOXES = (HOST, SHIPPER, RECEIVER, EMIT, CHUNK, LOST, VALIDATE, REDACT, SPOOL, LOOK, UPLOAD, LEDGER, STORE, QUERY)


def _middle(box: Box) -> int:
    return box.y + box.height // 2


WAYS = (
    [(132, EMIT.y + ROW), (132, CHUNK.y)],
    [
        (CHUNK.x + CHUNK.width, _middle(CHUNK)),
        (282, _middle(CHUNK)),
        (282, _middle(VALIDATE)),
        (328, _middle(VALIDATE)),
    ],
    [(VALIDATE.x + VALIDATE.width, _middle(VALIDATE)), (REDACT.x, _middle(REDACT))],
    [(567, REDACT.y + ROW), (567, SPOOL.y)],
    [(403, SPOOL.y + ROW), (403, LOOK.y)],
    [(LOOK.x + LOOK.width, _middle(LOOK)), (UPLOAD.x, _middle(UPLOAD))],
    [(UPLOAD.x + UPLOAD.width, _middle(UPLOAD)), (STORE.x, _middle(STORE))],
    [(793, STORE.y), (793, QUERY.y + ROW)],
    [(132, CHUNK.y + ROW), (132, LOST.y)],
)
"""The corners of each way, in pixels."""

NOTES = ((257, _middle(CHUNK) + 18, "ZeroMQ"), (670, _middle(STORE) - 8, "HTTPS"))


def _box(box: Box) -> str:
    name_y, says_y, style = (24, 42, "head") if box.kind == "room" else (20, 37, "name")
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" class="{box.kind}"/>'
        f'<text x="{box.x + 12}" y="{box.y + name_y}" class="{style}">{escape(box.name)}</text>'
        f'<text x="{box.x + 12}" y="{box.y + says_y}" class="say">{escape(box.says)}</text>'
    )


def _way(points: list[tuple[int, int]]) -> str:
    line = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{line}" class="way" marker-end="url(#tip)"/>'


def picture() -> str:
    """Write the picture as SVG; the same bytes each time."""
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t">',
            f'<title id="t">{TITLE}</title>',
            f"<style>{STYLE}</style>",
            f'<defs>{tip}<path d="M0 0L8 4L0 8z" class="tip"/></marker></defs>',
            *map(_box, BOXES),
            *map(_way, WAYS),
            *(f'<text x="{x}" y="{y}" class="say">{escape(note)}</text>' for x, y, note in NOTES),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    Path(sys.argv[1] if sys.argv[1:] else OUTPUT).write_text(picture(), encoding="utf-8")
