"""Module-level calls: `init` once, then `emit` from anywhere, even where it was imported before `init`.

The calls pass on to the client that `init` has made; before it, after `close` and with consent off they do nothing.
Everything else is imported by `init`, because `import telemetry` must cost a program next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any, Literal

    from telemetry.client import Client
    from telemetry.settings import RemoteShipper, ShipperSettings
    from telemetry.timing import Timer


_is_told = False
"""Whether debug mode has had its chance to report that there is no client."""


def _nothing(name: str, fields: dict[str, Any]) -> None:  # noqa: ARG001 the form of a client's `record`
    """Discard an event: there is no client before `init` and after `close`."""
    if not _is_told:
        _tell_once(name)


def _nothing_counted(name: str, number: float, fields: dict[str, Any]) -> None:  # noqa: ARG001 the form of its `tick`
    """Discard a count, or a number observed, as `_nothing` does an event."""
    if not _is_told:
        _tell_once(name)


def _tell_once(name: str) -> None:
    """Report in debug mode that an event is discarded; once, and never raising."""
    global _is_told  # noqa: PLW0603 as below
    _is_told = True
    try:
        from telemetry.settings import is_debugging  # noqa: PLC0415 `import telemetry` must cost next to nothing

        if is_debugging():
            from telemetry.client import say  # noqa: PLC0415 as above

            say(f"[telemetry] # {str(name)[:64]!r} is discarded: emitted before init() or after close()\n")
    except Exception:  # noqa: BLE001, S110 `emit` never raises, in a `__del__` at the interpreter's end neither
        pass


# One name a call, looked up when it is made: that is all that stands between `emit` and the client's hot path.
_record: Callable[[str, dict[str, Any]], None] = _nothing
_tick: Callable[[str, int, dict[str, Any]], None] = _nothing_counted
_note: Callable[[str, float, dict[str, Any]], None] = _nothing_counted
_time: Callable[[str, float, dict[str, Any]], None] = _nothing_counted
_client: Client | None = None
_options: dict[str, Any] = {}
"""The arguments that the client was made with."""


def _tell_of_change(options: dict[str, Any]) -> None:
    """Report, under `strict` and in debug mode, a second `init` that says something else than the first.

    Raises:
        ConfigError: under `strict`.
    """
    from telemetry.settings import is_debugging  # noqa: PLC0415 `import telemetry` must cost next to nothing

    changed = [name for name, value in options.items() if name != "notice" and value != _options.get(name)]
    text = f"init() was called before with another {', '.join(changed)}: call it once, or close() before it"
    if changed and options["strict"]:
        from telemetry.errors import ConfigError  # noqa: PLC0415 as above

        raise ConfigError(text)
    if changed and is_debugging():
        from telemetry.client import say  # noqa: PLC0415 as above

        say(f"[telemetry] # {text}\n")


def init(
    *,
    product: str,
    catalog: str | os.PathLike[str],
    endpoint: str,
    deployment: str | None = None,
    consent: str | None = None,
    fields: dict[str, Any] | None = None,
    strict: bool = False,
    notice: Callable[[str], None] | None = None,
    packages: tuple[str, ...] = (),
    flush_interval_seconds: float = 0.05,
    queue_bytes: int = 32 << 20,
    handle_sigterm: bool = False,
    shipper: ShipperSettings | RemoteShipper | str | os.PathLike[str] | None = None,
) -> Client:
    """Make the process's client, and start a shipper unless one runs. A client that was made before is closed first.

    With consent off nothing is loaded and nothing started, and all other calls do nothing.

    Args:
        product: the program's name, `[a-z0-9][a-z0-9_-]*`; its user says yes or no to telemetry under it.
        catalog: the path of the TOML file that declares every event and field.
        endpoint: the URL that batches are sent to.
        deployment: `cloud`, `self-hosted`, `enterprise`, or None when unknown. Only `cloud` is ever on by default.
        consent: what the program says itself: `on`, `technical`, `local`, `off`, or None when it says nothing.
        fields: what every event carries, of the catalog's common fields, as by `bind`: scalars.
        strict: raise `UndeclaredError` or `InvalidValueError` where something is emitted that would not leave as it
            is. For development: it reads the catalog in this process.
        notice: called with the text of the notice where there is no terminal to show it on.
        packages: the program's own top-level packages, whose places in the source an `error` field may name.
        flush_interval_seconds: the longest time that an event waits in the process; an hour at most.
        queue_bytes: the bound of what waits for the shipper, encoded; beyond it the newest events are dropped.
        handle_sigterm: flush on SIGTERM, then go on as if there were no telemetry. Call from the main thread.
        shipper: the settings of the shipper, or the path of a TOML file of settings: `ShipperSettings` go before the
            environment (`TELEMETRY_SEGMENT_SECONDS=5`), and that before a file. Or a `RemoteShipper`, on another
            machine, whose own configuration says where batches go.

    Returns:
        The client. Its `consent` tells what was decided for this process, and by which rule.

    Raises:
        ConfigError: arguments are wrong, a line for each, or the catalog can't be read; under `strict` also, it was
            called before with other arguments.
    """
    options = locals()
    global _client, _record, _tick, _note, _time, _options  # noqa: PLW0603 they are what this module is
    if _client is not None and options != _options:
        _tell_of_change(options)
    close()
    try:
        from telemetry.client import Client  # noqa: PLC0415 `import telemetry` must cost next to nothing

        _client = Client(**options)
    except Exception as fault:
        from telemetry.shadow import check_shadows  # noqa: PLC0415 as above

        check_shadows(fault)
        raise
    _record, _tick, _note, _time = _client.record, _client.tick, _client.note, _client.time
    _options = options
    return _client


def bind(**fields: Any) -> None:
    """Have every later event, count and number observed carry these fields, which a call may still set otherwise.

    For the common fields of the catalog, `[catalog.common]`, which all of its events have. It is for the whole process,
    and does nothing before `init` and after `close`.

    Args:
        **fields: scalars; None lets a field go that was bound before.
    """
    global _record, _tick, _note, _time
    if _client is None:
        if not _is_told:
            _tell_once("bind")
        return
    _client.bind(**fields)
    _record, _tick, _note, _time = _client.record, _client.tick, _client.note, _client.time


def emit(name: str, /, **fields: Any) -> None:
    """Record that something happened; never blocks and never raises, but under `strict`.

    It takes under a microsecond. What can't be kept is dropped and counted. It is safe in threads, signal handlers,
    `__del__` and forked children.

    Args:
        name: an event of the catalog.
        **fields: its fields: scalars, None for one that is absent, or an exception for a field of type `error`.
    """
    _record(name, fields)


def count(name: str, n: int = 1, /, **fields: Any) -> None:
    """Add `n` to a counter of the catalog; never blocks and never raises, but under `strict`.

    The sums leave as one event a second for each set of `fields`, and the last when nothing more is counted.

    Args:
        name: an event of the catalog, of kind `counter`.
        n: a whole number, 0 or more.
        **fields: its fields: scalars.
    """
    _tick(name, n, fields)


def observe(name: str, value: float, /, **fields: Any) -> None:
    """Observe a number for a distribution of the catalog; never blocks and never raises, but under `strict`.

    Once a second, and when nothing more is observed, one event for each set of `fields` leaves: how many numbers there
    were, their sum, the least and the greatest, and how many fell into each of a row of buckets, as OpenTelemetry's
    exponential histogram has them. No number leaves by itself: all are rounded to bounds of buckets.

    Args:
        name: an event of the catalog, of kind `distribution`.
        value: a number, 0 or more.
        **fields: its fields: scalars.
    """
    _note(name, value, fields)


def timer(name: str, /, **fields: Any) -> Timer:
    """Time a `with` block, or as a decorator every call of a function, into the field `duration_ms`.

    For a distribution the milliseconds are observed instead.

    Args:
        name: an event of the catalog, which must have the field `duration_ms`; or a distribution.
        **fields: its other fields, as for `emit`.

    Returns:
        A context manager that is a decorator as well. It emits when the block ends, also by an exception.
    """
    from telemetry.timing import Timer  # noqa: PLC0415 as in init

    return Timer(time_fields, name, fields)


def emit_fields(name: str, fields: dict[str, Any]) -> None:
    """Emit with the fields as a dict, by the client of the moment: a decorator may be applied before `init`."""
    _record(name, fields)


def time_fields(name: str, milliseconds: float, fields: dict[str, Any]) -> None:
    """Record for a timer how long something took, by the client of the moment."""
    _time(name, milliseconds, fields)


def flush(timeout: float = 2.0, until: Literal["disk", "delivered"] = "disk") -> bool:
    """Hand over now; block until the shipper has on disk what was emitted, for at most `timeout` seconds.

    Args:
        timeout: seconds.
        until: `disk`, or `delivered` for a program whose machine ends with it: everything is then sealed and uploaded
            at once, without the random wait before an upload.

    Returns:
        Whether it came true in time; True when there is no client. With `delivered`, whether each event was delivered
        or is counted as dropped: False at once where nothing is uploaded, under the consent `local` and while uploads
        pause. Under `technical` that is said of technical events alone.

    Raises:
        ConfigError: `until` is another word, whatever the consent.
    """
    if _client is not None:
        return _client.flush(timeout, until)
    if until not in {"disk", "delivered"}:  # a slip that must not wait for the day on which there is a client
        from telemetry.client import check_until  # noqa: PLC0415 as in init

        check_until(until)
    return True


def hand_over() -> None:
    """Flush for a moment, and leave to the shipper what stays unconfirmed: this may be the end of the process.

    For integrations. The client goes on, for the process may as well: a test serves an application many times.
    """
    if _client is not None:
        _client.hand_over()


def close(timeout: float = 0.3) -> None:
    """Flush for at most `timeout` seconds and emit no more. It is called at exit, and may be called twice."""
    global _client, _record, _tick, _note, _time
    client, _client, _record, _tick, _note, _time = _client, None, _nothing, *[_nothing_counted] * 3
    if client is not None:
        client.close(timeout)
