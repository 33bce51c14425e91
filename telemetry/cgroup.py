"""Limits of this process by its control groups, versions 1 and 2 (cgroups(7)): a container's share of the machine.

The limit of a group applies to all below it, so the least of those up to the root counts. A group's name depends on the
observer, and the place of its files on the mounts: /proc/self/cgroup names the groups, and /proc/self/mountinfo tells
at which of them each mount begins. A container often sees its own group as the root.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNLIMITED_BYTES = 1 << 60
"""The least number that means no limit: version 1 writes the largest multiple of a page."""


class Limits(NamedTuple):
    """Limits and use; None where no group tells.

    Attributes:
        memory_bytes: the memory that may be used.
        memory_used_bytes: the memory used by all processes of the group with that limit, without what can be reclaimed.
        cpus: the processor time per second, which may be less than one.
    """

    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    cpus: float | None = None


class _Memory(NamedTuple):
    limit_bytes: int
    used_bytes: int | None


def read_limits(root: Path = Path("/")) -> Limits:
    """Read the limits below `root`, where /proc and /sys are. Never raises.

    Files that can't be read are passed over.
    """
    memory = list(filter(None, map(_memory_of, _groups("memory", root))))
    cpus = list(filter(None, map(_cpus_of, _groups("cpu", root))))
    least = min(memory, default=None, key=lambda found: found.limit_bytes)
    return Limits(least and least.limit_bytes, least and least.used_bytes, min(cpus, default=None))


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the directories of our group and of those above it, in each hierarchy that may have the controller."""
    for names, group in _own_groups(root / "proc/self/cgroup"):
        if names and controller not in names:
            continue
        for top, mounted, kind, options in _mounts(root / "proc/self/mountinfo"):
            if kind != ("cgroup" if names else "cgroup2") or (names and controller not in options):
                continue
            at = root / mounted.lstrip("/")
            inside = _below(group, top)
            yield at
            for end in range(1, len(inside) + 1):
                if (path := at.joinpath(*inside[:end])).is_dir():
                    yield path


def _own_groups(file: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the controllers of each hierarchy, none for version 2, and our group in it."""
    for line in _lines(file):
        with suppress(ValueError):
            _, controllers, group = line.split(":", 2)
            yield controllers.split(",") if controllers else [], group


def _mounts(file: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield each mount: the directory it shows, its mount point, its file system's type and options."""
    for line in _lines(file):
        with suppress(ValueError, IndexError):
            mount, _, system = line.partition(" - ")
            _, _, _, top, mounted, *_ = mount.split(" ")
            kind, _, options = system.split(" ", 2)
            yield _unescaped(top), _unescaped(mounted), kind, options.split(",")


def _below(group: str, top: str) -> list[str]:
    """Return the parts of a group's path below the mounted one; none if the group lies elsewhere."""
    parts, above = [part for part in group.split("/") if part], [part for part in top.split("/") if part]
    return parts[len(above) :] if parts[: len(above)] == above and ".." not in parts else []


def _memory_of(group: Path) -> _Memory | None:
    for limit, used, inactive in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        found = _number(group / limit)
        if found is not None and found < UNLIMITED_BYTES:
            taken = _number(group / used)
            free = next((int(line.split()[1]) for line in _lines(group / "memory.stat") if _says(line, inactive)), 0)
            return _Memory(found, None if taken is None else max(0, taken - free))
    return None


def _cpus_of(group: Path) -> float | None:
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    if quota is None:
        quota, period = next((_pair(line) for line in _lines(group / "cpu.max")), (None, None))
    return quota / period if quota and period and quota > 0 else None


def _pair(line: str) -> tuple[int | None, int | None]:
    quota, _, period = line.partition(" ")
    return _whole(quota), _whole(period)


def _says(line: str, name: str) -> bool:
    return re.fullmatch(rf"{name} [0-9]+", line) is not None


def _number(file: Path) -> int | None:
    """Return the number in a file; None for `max`, or if there is no such file."""
    return next(map(_whole, _lines(file)), None)


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


_ESCAPE = re.compile(r"\\([0-7]{3})")


def _unescaped(path: str) -> str:
    """Undo the octal escapes of mountinfo, in which blanks and the like are written."""
    replace: Callable[[re.Match[str]], str] = lambda found: chr(int(found[1], 8))  # noqa: E731 a name for its type
    return _ESCAPE.sub(replace, path)
