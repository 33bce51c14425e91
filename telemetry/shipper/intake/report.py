"""The facts of a catalog's `report` events: what machine this is, too coarse to tell it from many others."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.catalog.model import Catalog

    Fact = int | float | str

_OS_NAMES = {"Linux": "Linux", "Darwin": "macOS"}
# Five digits and more are a date or a build, which is as telling as a patch level.
_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})?(?![0-9])")


def raw_report(catalog: Catalog, uptime_seconds: float, now_ns: int) -> bytes:
    """The report events of `catalog` as a producer sends events, so that the validator checks them like any.

    Args:
        catalog: its events of kind `report` say which facts are wanted.
        uptime_seconds: how long what is reported on has been running.
        now_ns: the time of the events, UNIX nanoseconds.

    Returns:
        A msgpack array of `[name, now_ns, {field: value}]`; empty when the catalog has no such event.
    """
    known = facts(uptime_seconds)
    events = [
        [event.name, now_ns, {field: known[field] for field in event.fields if field in known}]
        for event in catalog.events.values()
        if event.kind == "report"
    ]
    return msgspec.msgpack.encode(events)


def facts(uptime_seconds: float) -> dict[str, Fact]:
    """What can be found out about this machine; a fact that can't be had is absent.

    Sizes of memory leave as the power of two above, versions as major.minor, the uptime as whole minutes.
    """
    collected: dict[str, Fact] = {}
    for name, collect in _COLLECTORS.items():
        # Where /proc is cut down or strange, psutil raises what comes: OSError, KeyError, RuntimeError...
        with suppress(Exception):
            fact = collect()
            if fact is not None:
                collected[name] = fact
    with suppress(ValueError, OverflowError):  # no number, or without end
        collected["up_time_seconds"] = int(max(uptime_seconds, 0.0) // 60) * 60
    return collected


def power_of_two_above(number: int) -> int:
    """The least power of two that is no less than `number`."""
    return 1 << max(number - 1, 0).bit_length()


def major_minor(version: str) -> str | None:
    """The first two numbers of a version, or the only one; None when it does not begin with such."""
    found = _VERSION.match(version)
    return found and found[0]


def _os_version() -> str | None:
    if platform.system() == "Darwin":
        return major_minor(platform.mac_ver()[0])
    return major_minor(platform.freedesktop_os_release()["VERSION_ID"])


_COLLECTORS: dict[str, Callable[[], Fact | None]] = {
    "memory_used_bytes": lambda: power_of_two_above(psutil.virtual_memory().used),
    "memory_total_bytes": lambda: power_of_two_above(psutil.virtual_memory().total),
    "cpu_count": psutil.cpu_count,
    "os_name": lambda: _OS_NAMES.get(platform.system(), "other"),
    "os_version": _os_version,
    "kernel_version": lambda: major_minor(os.uname().release),
}
