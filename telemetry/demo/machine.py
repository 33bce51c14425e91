"""What is installed and what runs on this machine, as events."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from telemetry.demo.files import Event

_ATTRIBUTES = ["name", "exe", "username", "cmdline", "memory_info"]


def package_events() -> Iterator[Event]:
    """One event for each distribution that this Python can import."""
    for found in metadata.distributions():
        yield (
            "package",
            {
                "name": found.metadata["Name"],
                "release": found.version,
                "requirements": len(found.requires or ()),
                "python": "Requires-Python" in found.metadata,
            },
        )


def process_events() -> Iterator[Event]:
    """One event for each process; what we may not know of another user's is absent."""
    return processes_as_events(process.info for process in psutil.process_iter(_ATTRIBUTES))


def processes_as_events(known: Iterable[dict[str, Any]]) -> Iterator[Event]:
    """The same for processes given as psutil tells of them: None where it could not find out."""
    for info in known:
        memory = info["memory_info"]
        yield (
            "process",
            {
                "name": info["name"],
                "executable": info["exe"] or None,
                "user": info["username"],
                "command": " ".join(info["cmdline"] or ()) or None,
                "memory_bytes": memory and memory.rss,
            },
        )
