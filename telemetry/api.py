"""The module-level client: `init` once, then `emit` from anywhere, also where it was imported before `init`.

Everything but the calls themselves is imported by `init`; before it, and with consent off, they do nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any, Literal

    from telemetry.producer.client import Client
    from telemetry.producer.timing import Timer
    from telemetry.settings import RemoteShipper, ShipperSettings


def _nothing(name: str, fields: dict[str, Any]) -> None:
    """What `emit` comes to before `init` and after `close`."""


def _nothing_counted(name: str, number: int, fields: dict[str, Any]) -> None:
    """The same for `count`."""


# One name a call, looked up when it is made: that is all that stands between `emit` and the client's hot path.
_record: Callable[[str, dict[str, Any]], None] = _nothing
_tick: Callable[[str, int, dict[str, Any]], None] = _nothing_counted
_client: Client | None = None


def init(
    *,
    product: str,
    catalog: str | os.PathLike[str],
    endpoint: str,
    deployment: str | None = None,
    consent: str | None = None,
    strict: bool = False,
    notice: Callable[[str], None] | None = None,
    packages: tuple[str, ...] = (),
    flush_interval_seconds: float = 0.05,
    queue_bytes: int = 32 << 20,
    handle_sigterm: bool = False,
    shipper: ShipperSettings | RemoteShipper | None = None,
) -> Client:
    """Make the process's client, after closing the one before if there was one; spawn a shipper when none runs.

    The arguments, and `ConfigError`, are those of `telemetry.Client`, and so is what is returned: `init(...).consent`
    tells what was decided, and why. With consent off it loads nothing and does nothing, and so do all other calls.
    """
    options = locals()
    global _client, _record, _tick  # noqa: PLW0603 the module-level client is what this module is
    close()
    try:
        from telemetry.producer.client import Client  # noqa: PLC0415 `import telemetry` must cost next to nothing

        _client = Client(**options)
    except Exception as fault:
        from telemetry.producer.shadow import check_shadows  # noqa: PLC0415 as above

        check_shadows(fault)
        raise
    _record, _tick = _client.record, _client.tick
    return _client


def emit(name: str, /, **fields: Any) -> None:
    """Record that something happened. Under a microsecond; never blocks, never raises; drops and counts if it must.

    Safe in threads, signal handlers, `__del__` and forked children.

    Args:
        name: an event of the catalog.
        **fields: its fields; scalars, None for absent, or an exception for a field of type `error`.
    """
    _record(name, fields)


def count(name: str, n: int = 1, /, **fields: Any) -> None:
    """Add `n` to a counter of the catalog.

    An event carries the sum for each set of `fields`: one a second, and one when nothing more is counted.
    """
    _tick(name, n, fields)


def timer(name: str, /, **fields: Any) -> Timer:
    """Time a block (`with`), or every call of a function (as a decorator), into the field `duration_ms`."""
    from telemetry.producer.timing import Timer  # noqa: PLC0415 as in init

    return Timer(emit_fields, name, fields)


def emit_fields(name: str, fields: dict[str, Any]) -> None:
    """`emit` with the fields as a dict, by the client of the moment: a decorator is applied before `init`."""
    _record(name, fields)


def flush(timeout: float = 2.0, until: Literal["disk", "delivered"] = "disk") -> bool:
    """Hand over now: block, for at most `timeout` seconds, until the shipper has on disk what was emitted.

    The arguments and what is returned are those of `telemetry.Client.flush`; True when there is no client.
    """
    return _client is None or _client.flush(timeout, until)


def close(timeout: float = 0.3) -> None:
    """Flush for at most `timeout` seconds and emit no more. Called at exit; may be called twice."""
    global _client, _record, _tick
    client, _client, _record, _tick = _client, None, _nothing, _nothing_counted
    if client is not None:
        client.close(timeout)
