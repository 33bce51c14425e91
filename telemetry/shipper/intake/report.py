"""Facts for a catalog's `report` events: a description of this machine, too coarse to tell it from many others."""

from __future__ import annotations

import math
import os
import platform
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import psutil

from telemetry.catalog.field_types import type_of
from telemetry.cgroup import read_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry.catalog.model import Catalog, Event
    from telemetry.cgroup import Limits

    Fact = int | float | str

_OS_NAMES = {"Linux": "Linux", "Darwin": "macOS"}
# Five digits and more are a date or a build, which is as telling as a patch level.
_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})?(?![0-9])")


def raw_report(catalog: Catalog, given: Mapping[str, Fact], uptime_seconds: float, now_ns: int) -> bytes:
    """Build the report events of `catalog` as a producer sends events, so that the validator checks them like any.

    Args:
        catalog: the catalog, whose events of kind `report` declare the facts they want.
        given: facts that the host has set; those found on the machine override them.
        uptime_seconds: how long the reporting process has been running.
        now_ns: the time of the events, UNIX nanoseconds.

    Returns:
        A msgpack array of `[name, now_ns, {field: value}]`, of those events of which any fact is known.
    """
    known = {**given, **facts(uptime_seconds, read_limits())}
    events = [
        [event.name, now_ns, wanted]
        for event in catalog.events.values()
        if event.kind == "report" and (wanted := _wanted(event, known))
    ]
    return msgspec.msgpack.encode(events)


def facts(uptime_seconds: float, limits: Limits) -> dict[str, Fact]:
    """Return the facts that can be found out about this machine; others are absent.

    Sizes of memory leave as the power of two above, versions as major.minor, the uptime as whole minutes.

    Args:
        uptime_seconds: how long the reporting process has been running.
        limits: a container's limits, which stand for the machine as far as they are known.
    """
    collected: dict[str, Fact] = {}
    for name, collect in _COLLECTORS.items():
        # Where /proc is cut down or strange, psutil raises what comes: OSError, KeyError, RuntimeError...
        with suppress(Exception):
            fact = collect(limits)
            if fact is not None:
                collected[name] = fact
    with suppress(ValueError, OverflowError):  # no number, or without end
        collected["up_time_seconds"] = int(max(uptime_seconds, 0.0) // 60) * 60
    return collected


def power_of_two_above(number: int) -> int:
    """Return the least power of two that is no less than `number`."""
    return 1 << max(number - 1, 0).bit_length()


def major_minor(version: str) -> str | None:
    """Return the first two numbers of a version, or its only one; None if it does not begin with a number."""
    found = _VERSION.match(version)
    return found and found[0]


def _wanted(event: Event, known: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return the facts that an event declares. A fraction of a processor counts as one in a whole number."""
    return {
        name: math.ceil(fact) if type_of(field).number is int and isinstance(fact, float) else fact
        for name, field in event.fields.items()
        if (fact := known.get(name)) is not None
    }


def _memory_total_bytes(limits: Limits) -> int:
    total_bytes = psutil.virtual_memory().total
    return power_of_two_above(min(total_bytes, limits.memory_bytes or total_bytes))


def _memory_used_bytes(limits: Limits) -> int:
    memory = psutil.virtual_memory()
    is_limited = limits.memory_bytes is not None and limits.memory_bytes < memory.total
    return power_of_two_above(
        limits.memory_used_bytes if is_limited and limits.memory_used_bytes is not None else memory.used
    )


def _cpu_count(limits: Limits) -> Fact | None:
    """Return the number of processors, or a half, a fourth... of one: a finer share would single a container out."""
    found = psutil.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        found = min(found or _MANY, len(os.sched_getaffinity(0)))
    if limits.cpus is None or not found or limits.cpus >= found:
        return found
    return math.ceil(limits.cpus) if limits.cpus > _HALF else 2.0 ** math.ceil(math.log2(limits.cpus))


_MANY = 1 << 20
_HALF = 0.5


def _os_version() -> str | None:
    if platform.system() == "Darwin":
        return major_minor(platform.mac_ver()[0])
    return major_minor(platform.freedesktop_os_release()["VERSION_ID"])


_COLLECTORS: dict[str, Callable[[Limits], Fact | None]] = {
    "memory_used_bytes": _memory_used_bytes,
    "memory_total_bytes": _memory_total_bytes,
    "cpu_count": _cpu_count,
    "os_name": lambda _: _OS_NAMES.get(platform.system(), "other"),
    "os_distribution": lambda _: platform.freedesktop_os_release()["NAME"],
    "os_version": lambda _: _os_version(),
    "kernel_version": lambda _: major_minor(os.uname().release),
}
