"""The client: what a program holds to emit events. `telemetry.init` makes one for the whole process.

Nothing of ours but light modules is imported before consent is known: with consent off, zmq and msgspec never are.
"""

from __future__ import annotations

import math
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry import consent as consenting
from telemetry import paths
from telemetry.endpoint import check_endpoint, check_proxy
from telemetry.errors import ConfigError
from telemetry.producer.spawn import GUARD
from telemetry.producer.timing import Timer
from telemetry.settings import FORMATS, RemoteShipper, ShipperSettings, check_tcp, is_debugging, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from telemetry.producer.link import Link

DEPLOYMENTS = ("cloud", "self-hosted", "enterprise")
CHOICES = ("on", "local", "off")
MIN_FLUSH_INTERVAL_SECONDS = 0.001
MAX_FLUSH_INTERVAL_SECONDS = 3600.0
"""Far below what `sleep` refuses, which would make the flush thread spin."""
MIN_QUEUE_BYTES = 8 << 20
"""What ZeroMQ itself may hold: 32 frames of 256 KiB."""


class Client:
    """Emits events to this machine's shipper. Never blocks, never raises, never prints, but for `strict=True`.

    Safe in threads, signal handlers, `__del__` and forked children. With `TELEMETRY_DEBUG=1` in the environment it
    prints on stderr what would be sent, and sends nothing.

    Args:
        product: the program's name, `[a-z0-9][a-z0-9_-]*`; its user says yes or no to telemetry under it.
        catalog: the TOML file that declares every event and field.
        endpoint: the URL that batches are sent to.
        deployment: `cloud`, `self-hosted`, `enterprise`, or None when unknown. Only `cloud` is ever on by default.
        consent: what the host says: `on`, `local`, `off`, or None when it says nothing.
        strict: raise `UndeclaredError` on an undeclared event or field. For development: reads the catalog here.
        notice: called with the text of the notice where there is no terminal to show it on.
        packages: the program's own top-level packages, whose frames an `error` field may name.
        flush_interval_seconds: how long an event may wait in the process, an hour at most.
        queue_bytes: what may wait for the shipper, encoded; beyond it the newest are dropped.
        handle_sigterm: flush on SIGTERM, then go on as without us. Call from the main thread.
        shipper: how a shipper spawned from here behaves; or, as a `RemoteShipper`, where on another machine one
            listens: then it is that one's configuration which says where batches go.

    Raises:
        ConfigError: an argument is wrong, or the catalog can't be read.
    """

    def __init__(
        self,
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
    ) -> None:
        consenting.check_product(product)
        _check_choice("deployment", deployment, DEPLOYMENTS)
        _check_choice("consent", consent, CHOICES)
        _check_range(
            "flush_interval_seconds", flush_interval_seconds, MIN_FLUSH_INTERVAL_SECONDS, MAX_FLUSH_INTERVAL_SECONDS
        )
        _check_range("queue_bytes", queue_bytes, MIN_QUEUE_BYTES)
        _check_packages(packages)
        if handle_sigterm:
            _check_main_thread()
        file = _check_catalog(catalog)
        remote = shipper if isinstance(shipper, RemoteShipper) else None
        settings = ShipperSettings() if isinstance(shipper, RemoteShipper) or shipper is None else shipper
        _check_settings(settings)
        if remote:
            _check_remote(remote)
        check_endpoint(endpoint, allow_http=settings.allow_http)
        config = {"product": product, "catalog": str(file), "endpoint": endpoint, **settings._asdict()}
        self.record: Callable[[str, dict[str, Any]], None] = _nothing
        self.tick: Callable[[str, int, dict[str, Any]], None] = _nothing_counted
        self._link: Link | None = None
        if strict:
            _check_content(file)
        said: dict[str, Any] = {"product": product, "host": consent, "deployment": deployment}
        # In debugging the notice is left for the day on which something may leave.
        self.consent = consenting.evaluate(**said, callback=notice, may_tell=not is_debugging())
        if self.consent.state is not consenting.State.OFF and GUARD not in os.environ:
            reconsider = partial(consenting.reconsider, **said, notice_shown=self.consent.notice)
            self._link = _link(self.consent, reconsider, config, packages, flush_interval_seconds, queue_bytes, remote)
            self.record, self.tick = self._link.recorder(), self._link.ticker()
        if strict:
            self._be_strict(file)
        if handle_sigterm and self._link is not None:
            from telemetry.producer.exits import on_sigterm

            on_sigterm(self._link.flush, self._link.close_for)

    def emit(self, name: str, /, **fields: Any) -> None:
        """Record that something happened. Under a microsecond; never blocks; drops and counts when it must.

        Args:
            name: an event of the catalog.
            **fields: its fields; scalars, None for absent, or an exception for a field of type `error`.
        """
        self.record(name, fields)

    def count(self, name: str, n: int = 1, /, **fields: Any) -> None:
        """Add `n` to a counter of the catalog; one event a second carries the sum for each set of `fields`."""
        self.tick(name, n, fields)

    def timer(self, name: str, /, **fields: Any) -> Timer:
        """Time a block (`with`) or every call of a function (as a decorator) into the field `duration_ms`."""
        return Timer(self._emit_fields, name, fields)

    def flush(self, timeout: float = 2.0) -> bool:
        """Hand over now: block, for at most `timeout` seconds, until the shipper has on disk what was emitted.

        Returns:
            Whether it has. True with consent off: there is nothing to hand over.
        """
        return self._link is None or self._link.flush(timeout)

    def close(self, timeout: float = 0.3) -> None:
        """Flush for at most `timeout` seconds and emit no more. Called at exit; may be called twice."""
        self.record, self.tick = _nothing, _nothing_counted
        if self._link is not None:
            self._link.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _emit_fields(self, name: str, fields: dict[str, Any]) -> None:
        """What a timer calls: it may end after `close`."""
        self.record(name, fields)

    def _be_strict(self, catalog: Path) -> None:
        from telemetry.catalog.strict import strict_record, strict_tick

        self.record, self.tick = strict_record(catalog, self.record), strict_tick(catalog, self.tick)


def _link(
    consent: consenting.Decision,
    reconsider: Callable[[], consenting.Decision | None],
    config: dict[str, Any],
    packages: tuple[str, ...],
    flush_interval_seconds: float,
    queue_bytes: int,
    remote: RemoteShipper | None,
) -> Link:
    """Load what a living client needs, now and on the caller's thread: an import in a thread hangs a forked child."""
    import hashlib

    from telemetry.names import names_of_this_process
    from telemetry.producer.channel import Channel
    from telemetry.producer.link import Link
    from telemetry.producer.site import Site
    from telemetry.wire import Context

    product, endpoint = config["product"], config["endpoint"]
    digest = hashlib.sha256(_read(Path(config["catalog"]))).hexdigest()
    directory, spool = paths.rendezvous_dir(product, digest, endpoint), paths.spool_dir(product, endpoint)
    ground = consent.state.value, consent.basis, consent.notice, consent.deployment
    context = Context(os.getpid(), digest, *ground, names_of_this_process())
    site = Site(directory, spool, config)
    channel, kind = Channel(site), Link
    if is_debugging():
        from telemetry.producer.debug import DebugChannel, DebugLink

        channel, kind = DebugChannel(site), DebugLink
    elif remote:
        from telemetry.curve import Peer
        from telemetry.producer.remote import RemoteChannel, RemoteLink

        channel, kind = RemoteChannel(site, Peer(remote)), RemoteLink
    return kind(site, channel, reconsider, context, packages, flush_interval_seconds, queue_bytes)


def _nothing(name: str, fields: dict[str, Any]) -> None:
    """What `emit` comes to with consent off, and after `close`."""


def _nothing_counted(name: str, number: int, fields: dict[str, Any]) -> None:
    """The same for `count`."""


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


def _check_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("handle_sigterm=True: Python takes signal handlers from the main thread only; call it there")


def _check_remote(remote: RemoteShipper) -> None:
    check_tcp("shipper: address", remote.address)
    for name in ("key_file", "shipper_key_file"):
        value = getattr(remote, name)
        if not isinstance(value, str) or not value:
            raise ConfigError(
                f"shipper: {name}={value!r}: must name a file made by `telemetry keys`: over TCP, CURVE is required"
            )


def _check_settings(settings: ShipperSettings) -> None:
    """What a shipper would refuse to start with, where that is known without one."""
    if not isinstance(settings, ShipperSettings):
        raise ConfigError(f"shipper={settings!r}: must be a telemetry.ShipperSettings, a RemoteShipper, or None")
    for (name, value), default in zip(settings._asdict().items(), ShipperSettings(), strict=True):
        if type(value) is not type(default) and not (type(default) is float and type(value) is int):
            raise ConfigError(f"shipper: {name}={shown(name, value)} must be of type {type(default).__name__}")
    if settings.format not in FORMATS:
        raise ConfigError(f"shipper: format={settings.format!r}: must be one of {', '.join(FORMATS)}")
    check_proxy(settings.proxy)


def _check_catalog(catalog: str | os.PathLike[str]) -> Path:
    try:
        path = Path(catalog)
        if path.is_file() and os.access(path, os.R_OK):
            return path.absolute()
    except (TypeError, ValueError, OSError):
        pass  # no path at all, or one that can't be looked at
    raise ConfigError(
        f"catalog={str(catalog)!r}: no such file, or it can't be read; give the path of the catalog's TOML"
    )


def _check_content(catalog: Path) -> None:
    from telemetry.catalog.load import load

    load(catalog)


def _read(catalog: Path) -> bytes:
    try:
        return catalog.read_bytes()
    except OSError as fault:
        raise ConfigError(f"catalog={str(catalog)!r}: {fault.strerror}; give the path of the catalog's TOML") from None
