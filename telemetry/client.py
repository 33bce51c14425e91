"""The client that a program holds to emit events. `telemetry.init` makes one for the whole process.

Only light modules of ours are imported before consent is known: with consent off, zmq and msgspec never are.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from telemetry import consent as consenting
from telemetry import paths
from telemetry.catalog.head import read_head
from telemetry.catalog.source import read_whole
from telemetry.endpoint import check_any_endpoint
from telemetry.errors import ConfigError, check_all
from telemetry.ground import DEPLOYMENTS
from telemetry.native import posix
from telemetry.producer.start import GUARD
from telemetry.rendezvous.directory import foreground_dir, rendezvous_dir
from telemetry.settings import FILES, SOURCES, RemoteShipper, ShipperSettings, check_tcp, is_debugging, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from telemetry.catalog.head import Head
    from telemetry.producer.link import Link
    from telemetry.producer.transport import Transport
    from telemetry.timing import Timer

CHOICES = ("on", "technical", "local", "off")
MIN_FLUSH_INTERVAL_SECONDS = 0.001
MAX_FLUSH_INTERVAL_SECONDS = 3600.0
"""The longest interval, an hour: `sleep` refuses much longer times, and the flush thread would spin."""
MIN_QUEUE_BYTES = 8 << 20
"""The smallest queue: the 32 frames of 256 KiB that ZeroMQ itself may hold."""


class Client:
    """A program's way to emit events. Its calls never block, and raise for a wrong argument or under `strict` only.

    It is safe in threads, signal handlers, `__del__` and forked children. With `TELEMETRY_DEBUG=1` in the environment
    it prints on stderr what the consent is and what would be sent, and sends nothing.

    Attributes:
        consent: the decision for this process: its `state` is `on`, `technical`, `local` or `off`, its `rule` names
            what decided, as `telemetry status` prints it. A choice that the user makes later is heard, and not told
            here.

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

    Raises:
        ConfigError: arguments are wrong, a line for each, or the catalog can't be read.
    """

    def __init__(
        self,
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
    ) -> None:
        remote = shipper if isinstance(shipper, RemoteShipper) else None
        check_all(
            lambda: consenting.check_product(product),
            lambda: _check_choice("deployment", deployment, DEPLOYMENTS),
            lambda: _check_choice("consent", consent, CHOICES),
            lambda: _check_range(
                "flush_interval_seconds", flush_interval_seconds, MIN_FLUSH_INTERVAL_SECONDS, MAX_FLUSH_INTERVAL_SECONDS
            ),
            lambda: _check_range("queue_bytes", queue_bytes, MIN_QUEUE_BYTES),
            lambda: _check_packages(packages),
            lambda: _check_fields(fields),
            lambda: _check_main_thread() if handle_sigterm else None,
            lambda: _check_catalog(catalog),
            lambda: _check_remote(remote) if remote else None,
            lambda: check_any_endpoint(endpoint, allow_http=_resolve(shipper)[0].allow_http is True),
        )
        file = _check_catalog(catalog)
        settings, sources = _resolve(shipper)
        config = {
            "product": product,
            "catalog": str(file),
            "endpoint": endpoint,
            **settings._asdict(),
            SOURCES: sources,
        }
        self.record: Callable[[str, dict[str, Any]], None] = _nothing
        self.tick: Callable[[str, int, dict[str, Any]], None] = _nothing_counted
        self.note: Callable[[str, float, dict[str, Any]], None] = _nothing_counted
        self._link: Link | None = None
        self._bound: dict[str, Any] = {}
        self._unbound: tuple[Callable[..., None], Callable[..., None], Callable[..., None]] | None = None
        if strict:
            with _needed():
                _check_content(file, settings)
        data = _read(file)
        head = _check_head(data, file, product)
        self._distributions = head.distributions
        said: dict[str, Any] = {
            "product": product,
            "host": consent,
            "deployment": deployment,
            "no_unless": head.no_unless,
        }
        # In debugging the notice is left for the day on which something may leave.
        self.consent: consenting.Decision = consenting.evaluate(**said, callback=notice, may_tell=not is_debugging())
        if is_debugging():
            say(f"[telemetry] # {product}: consent is {self.consent.state} ({self.consent.rule})\n")
        if self.consent.state is not consenting.State.OFF and GUARD not in os.environ:
            reconsider = partial(
                _reconsider, {**said, "notice_shown": self.consent.notice}, is_remote=remote is not None
            )
            _check_interpreter()
            with _needed():
                self._link = _link(
                    data,
                    self.consent,
                    reconsider,
                    config,
                    settings,
                    packages,
                    flush_interval_seconds,
                    queue_bytes,
                    head.distributions,
                    remote,
                )
            self.record, self.tick, self.note = self._link.recorder(), self._link.ticker(), self._link.observer()
        if strict:
            self._be_strict(file)
        if fields:
            self.bind(**fields)
        if handle_sigterm and self._link is not None:
            from telemetry.producer.exits import on_sigterm

            on_sigterm(self._link.flush, self._link.close_for)

    def bind(self, **fields: Any) -> None:
        """Have every later event carry these fields, as `telemetry.bind` does; who binds none pays nothing for it."""
        self._bound = {name: value for name, value in {**self._bound, **fields}.items() if value is not None}
        self._unbound = self._unbound or (self.record, self.tick, self.note)
        bound, (record, tick, note) = self._bound, self._unbound

        def record_bound(name: str, given: dict[str, Any]) -> None:
            record(name, {**bound, **given})

        def tick_bound(name: str, number: int, given: dict[str, Any]) -> None:
            tick(name, number, {**bound, **given})

        def note_bound(name: str, number: float, given: dict[str, Any]) -> None:
            note(name, number, {**bound, **given})

        self.record, self.tick, self.note = record_bound, tick_bound, note_bound

    def emit(self, name: str, /, **fields: Any) -> None:
        """Record that something happened, as `telemetry.emit` does.

        Args:
            name: an event of the catalog.
            **fields: its fields: scalars, None for one that is absent, or an exception for a field of type `error`.
        """
        self.record(name, fields)

    def count(self, name: str, n: int = 1, /, **fields: Any) -> None:
        """Add `n` to a counter of the catalog, as `telemetry.count` does."""
        self.tick(name, n, fields)

    def observe(self, name: str, value: float, /, **fields: Any) -> None:
        """Observe a number for a distribution of the catalog, as `telemetry.observe` does."""
        self.note(name, value, fields)

    def timer(self, name: str, /, **fields: Any) -> Timer:
        """Time a `with` block, or as a decorator every call of a function, as `telemetry.timer` does."""
        from telemetry.timing import Timer

        return Timer(self.time, name, fields)

    def time(self, name: str, milliseconds: float, fields: dict[str, Any]) -> None:
        """Record for a timer how long something took; its block may end after `close`, which discards it."""
        if type(name) is str and name in self._distributions:
            self.note(name, milliseconds, fields)
        else:
            self.record(name, {**fields, "duration_ms": milliseconds})

    def flush(self, timeout: float = 2.0, until: Literal["disk", "delivered"] = "disk") -> bool:
        """Hand over now; block until the shipper has on disk what was emitted, for at most `timeout` seconds.

        Args:
            timeout: seconds.
            until: `disk`, or `delivered` for a program whose machine ends with it: everything is then sealed and
                uploaded at once, without the random wait before an upload.

        Returns:
            Whether it came true in time; True with consent off, when there is nothing to hand over. With `delivered`,
            whether each event was delivered or is counted as dropped: False at once where nothing is uploaded, under
            the consent `local` and while uploads pause (`telemetry status` says why). Under `technical` that is said of
            technical events alone.

        Raises:
            ConfigError: `until` is another word, whatever the consent.
        """
        check_until(until)
        if self._link is None:
            return True
        return self._link.flush(timeout) if until == "disk" else self._link.deliver(timeout)

    def hand_over(self) -> None:
        """Flush for a moment, and leave to the shipper what stays unconfirmed, as `telemetry.api.hand_over` does."""
        if self._link is not None:
            self._link.hand_over()

    def close(self, timeout: float = 0.3) -> None:
        """Flush for at most `timeout` seconds and emit no more. It is called at exit, and may be called twice."""
        self.record, self.tick, self.note = _nothing, _nothing_counted, _nothing_counted
        self._unbound = None
        if self._link is not None:
            self._link.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _be_strict(self, catalog: Path) -> None:
        from telemetry.catalog.strict import strict_note, strict_record, strict_tick

        self.record, self.tick = strict_record(catalog, self.record), strict_tick(catalog, self.tick)
        self.note = strict_note(catalog, self.note)


def _check_interpreter() -> None:
    """Raise ConfigError in an interpreter that `emit` is not made for, before loading what it may not survive.

    The lock-free work of `emit` is safe in threads because only one of them runs at a time. And where pyzmq does not
    load, in a subinterpreter, nothing else may be tried: hashlib, loaded in one, ends a process of Python 3.12.1.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ConfigError("this Python runs without the global lock that emit() counts on: set PYTHON_GIL=1")
    with _needed():
        import fcntl
        import json

        import zmq

        # A file of the host's may have been found in the place of one: seen before a shipper is started.
        _ = zmq.PUSH, zmq.ZMQError, json.dumps, json.loads, fcntl.flock


@contextmanager
def _needed() -> Iterator[None]:
    """Turn the failed import of a library into a ConfigError: there may be no wheel of it for this interpreter."""
    try:
        yield
    except ImportError as fault:
        if fault.name:
            why = f"this interpreter can't load {fault.name} ({fault}): install it, or pass"
        else:  # it is there, and says why it does not load
            why = f"this interpreter can't load what telemetry needs ({fault}): use the main one, or pass"
        raise ConfigError(f"{why} consent='off' and strict=False here") from None


def _link(
    catalog: bytes,
    consent: consenting.Decision,
    reconsider: Callable[[], tuple[consenting.Stored, consenting.Decision | None]],
    config: dict[str, Any],
    settings: ShipperSettings,
    packages: tuple[str, ...],
    flush_interval_seconds: float,
    queue_bytes: int,
    scales: Mapping[str, int],
    remote: RemoteShipper | None,
) -> Link:
    """Load what a living client needs, now and on the caller's thread: an import in a thread hangs a forked child."""
    from telemetry.catalog import copies
    from telemetry.names import names_of_this_process
    from telemetry.producer.link import Link
    from telemetry.producer.site import Places, Site
    from telemetry.rendezvous.lanes import fewest, lanes_of
    from telemetry.wire import Context

    product, endpoint = config["product"], config["endpoint"]
    digest = copies.digest_of(catalog)
    config = {**config, "catalog_digest": digest}
    ground = consent.state.value, consent.basis, consent.notice, consent.deployment
    since = 0.0 if remote else consenting.read_stored(product).since_unix_seconds
    context = Context(os.getpid(), digest, *ground, names_of_this_process(), since)

    def find() -> Places:
        lanes = lanes_of(product, endpoint, settings.lanes)
        lane = fewest(product, endpoint, lanes)
        # A host that drops its privileges may no longer read the file.
        with suppress(OSError):  # no disk to keep it on: the shipper reads the file, for as long as that is the same
            copies.keep(product, catalog, Path(config["catalog"]))
        return Places(
            lane,
            lanes,
            rendezvous_dir(product, digest, endpoint, settings, lane),
            foreground_dir(product, endpoint, lane),
            paths.spool_dir(product, endpoint, lane),
        )

    transport: Transport
    if is_debugging():
        from telemetry.debug import DebugTransport

        transport = DebugTransport(config)
    elif remote:
        from telemetry.producer.remote import RemoteTransport
        from telemetry.rendezvous.keys import Peer

        transport = RemoteTransport(Peer(remote))
    else:
        from telemetry.producer.local import LocalTransport

        transport = LocalTransport(Site(find, config))
    return Link(transport, reconsider, context, packages, flush_interval_seconds, queue_bytes, scales)


def _reconsider(said: dict[str, Any], *, is_remote: bool) -> tuple[consenting.Stored, consenting.Decision | None]:
    """Return the stored choice and the present consent; the choice is read first, so that its date is never too late.

    Another machine is told no date, by which it would recognise this installation.
    """
    stored = consenting.Stored() if is_remote else consenting.read_stored(said["product"])
    return stored, consenting.reconsider(**said)


def say(line: str) -> None:
    """Print a line in debug mode; a stderr that is closed or full loses it."""
    with suppress(OSError):
        posix.write(2, line.encode(errors="replace"))


def _nothing(name: str, fields: dict[str, Any]) -> None:
    """Discard an event, with consent off and after `close`."""


def _nothing_counted(name: str, number: float, fields: dict[str, Any]) -> None:
    """Discard a count, or a number observed, as `_nothing` does an event."""


def check_until(until: str) -> None:
    """Raise ConfigError unless `until` is a word that `flush` knows."""
    if until not in {"disk", "delivered"}:
        raise ConfigError(f"until={until!r}: must be 'disk' or 'delivered'")


def _check_choice(argument: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise ConfigError(f"{argument}={value!r}: must be one of {', '.join(choices)}, or None")


def _check_range(argument: str, value: float, least: float, most: float = math.inf) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value) or not least <= value <= most:
        limit = f" and at most {most}" if math.isfinite(most) else ""
        raise ConfigError(f"{argument}={value!r}: must be a number of at least {least}{limit}")


def _check_packages(packages: tuple[str, ...]) -> None:
    # A bare text would be taken for the packages of its letters.
    if not isinstance(packages, tuple) or not all(isinstance(package, str) for package in packages):
        raise ConfigError(f'packages={packages!r}: must be a tuple of names, as in ("acme",)')


def _check_fields(fields: dict[str, Any] | None) -> None:
    if fields is not None and not (isinstance(fields, dict) and all(isinstance(name, str) for name in fields)):
        raise ConfigError(
            f'fields={fields!r}: must be a dict of names and scalars, as in {{"edition": "free"}}, or None'
        )


def _check_main_thread() -> None:
    import signal

    handler = signal.getsignal(signal.SIGTERM)
    if handler is None:  # it was set outside Python, and stays
        return
    try:
        # Asked by doing it: under gevent and eventlet `threading` takes a greenlet for a thread.
        signal.signal(signal.SIGTERM, handler)
    except ValueError:
        raise ConfigError(
            "handle_sigterm=True: Python allows signal handlers to be set from the main thread only; call it there"
        ) from None


def _check_remote(remote: RemoteShipper) -> None:
    check_tcp("shipper: address", remote.address)
    for name in ("key_file", "shipper_key_file"):
        value = getattr(remote, name)
        if not isinstance(value, str) or not value:
            raise ConfigError(
                f"shipper: {name}={value!r}: must name a file made by `telemetry keys`: over TCP, CURVE is required"
            )


def _resolve(
    shipper: ShipperSettings | RemoteShipper | str | os.PathLike[str] | None,
) -> tuple[ShipperSettings, dict[str, str]]:
    settings, sources = resolve(None if isinstance(shipper, RemoteShipper) else shipper, os.environ)
    return _with_whole_paths(settings), sources


def _with_whole_paths(settings: ShipperSettings) -> ShipperSettings:
    """Return settings with absolute paths of files: a shipper runs in another directory."""
    named: dict[str, Any] = {name: value for name in FILES if (value := getattr(settings, name))}
    try:
        named |= {name: str(Path(value).absolute()) for name, value in named.items()}
        return settings._replace(**named)
    except OSError:
        raise ConfigError(f"shipper: {', '.join(named)}: the working directory is gone; give absolute paths") from None


def _check_catalog(catalog: str | os.PathLike[str]) -> Path:
    whole = ""
    try:
        path = Path(catalog)
        if path.is_file() and os.access(path, os.R_OK):
            return path.absolute()
        whole = "" if path.is_absolute() else f", which is {path.absolute()} here"
    except (TypeError, ValueError, OSError):
        pass  # no path at all, or one that can't be looked at
    raise ConfigError(
        f"catalog={str(catalog)!r}{whole}: no such file, or it can't be read; give the path of the catalog's TOML"
    )


def _check_head(catalog: bytes, file: Path, product: str) -> Head:
    """Read the catalog's head; raise ConfigError if it is another product's, to which users may have said no."""
    head = read_head(catalog)
    if head.product and head.product != product:
        raise ConfigError(
            f"product={product!r}: the catalog {str(file)!r} is that of {head.product!r}; a user says no to "
            "one name, so give both the same"
        )
    return head


def _check_content(catalog: Path, settings: ShipperSettings) -> None:
    import msgspec  # noqa: F401 first, as in _check_interpreter

    from telemetry.catalog.facts import faults_of_report
    from telemetry.catalog.load import load

    for fault in faults_of_report(load(catalog), settings.report):
        raise ConfigError(f"shipper: {fault}")


def _read(catalog: Path) -> bytes:
    try:
        return read_whole(catalog)
    except OSError as fault:
        raise ConfigError(f"catalog={str(catalog)!r}: {fault.strerror}; give the path of the catalog's TOML") from None
