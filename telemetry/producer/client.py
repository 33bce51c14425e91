"""The client: what a program holds to emit events. `telemetry.init` makes one for the whole process.

Nothing of ours but light modules is imported before consent is known: with consent off, zmq and msgpack never are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from telemetry import consent as consenting
from telemetry import paths
from telemetry.errors import ConfigError
from telemetry.producer.spawn import GUARD
from telemetry.producer.timing import Timer
from telemetry.settings import ShipperSettings

if TYPE_CHECKING:
    from telemetry.producer.link import Link

DEPLOYMENTS = ("cloud", "self-hosted", "enterprise")
CHOICES = ("on", "local", "off")
MIN_QUEUE_BYTES = 1 << 20


class Client:
    """Emits events to this machine's shipper. Never blocks, never raises, never prints, but for `strict=True`.

    Safe in threads, signal handlers, `__del__` and forked children.

    Args:
        product: the program's name, `[a-z0-9][a-z0-9_-]*`; its user says yes or no to telemetry under it.
        catalog: the TOML file that declares every event and field.
        endpoint: the URL that batches are sent to.
        deployment: `cloud`, `self-hosted`, `enterprise`, or None when unknown. Only `cloud` is ever on by default.
        consent: what the host says: `on`, `local`, `off`, or None when it says nothing.
        strict: raise `UndeclaredError` on an undeclared event or field. For development: reads the catalog here.
        notice: called with the text of the notice where there is no terminal to show it on.
        packages: top-level packages of the program, whose frames an `error` field may name.
        flush_interval_seconds: how long an event may wait in the process.
        queue_bytes: what may wait for the shipper, encoded; beyond it the newest are dropped.
        handle_sigterm: flush on SIGTERM, then go on as without us. Call from the main thread.
        shipper: how a shipper spawned from here behaves.

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
        shipper: ShipperSettings | None = None,
    ) -> None:
        consenting.check_product(product)
        _check_choice("deployment", deployment, DEPLOYMENTS)
        _check_choice("consent", consent, CHOICES)
        _check_least("flush_interval_seconds", flush_interval_seconds, 0.001)
        _check_least("queue_bytes", queue_bytes, MIN_QUEUE_BYTES)
        file = _check_catalog(Path(catalog))
        self.consent = consenting.evaluate(product=product, host=consent, deployment=deployment, callback=notice)
        self.record: Callable[[str, dict[str, Any]], None] = _nothing
        self.tick: Callable[[str, int, dict[str, Any]], None] = _nothing_counted
        self._link: Link | None = None
        if self.consent.state is not consenting.State.OFF and GUARD not in os.environ:
            self._link = _link(self.consent, product, file, endpoint, packages, flush_interval_seconds, queue_bytes, shipper or ShipperSettings())
            self.record, self.tick = self._link.recorder(), self._link.ticker()
        if strict:
            self._be_strict(file)
        if handle_sigterm and self._link is not None:
            from telemetry.producer.exits import on_sigterm

            on_sigterm(self._link.close)

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
        return Timer(self.record, name, fields)

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

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _be_strict(self, catalog: Path) -> None:
        from telemetry.catalog.strict import strict_record, strict_tick

        self.record, self.tick = strict_record(catalog, self.record), strict_tick(catalog, self.tick)


def _link(
    consent: consenting.Decision,
    product: str,
    catalog: Path,
    endpoint: str,
    packages: tuple[str, ...],
    flush_interval_seconds: float,
    queue_bytes: int,
    shipper: ShipperSettings,
) -> Link:
    """Load what a living client needs, now and on the caller's thread: an import in a thread hangs a forked child."""
    import hashlib

    from telemetry.producer.link import Link, Site
    from telemetry.wire import Context

    digest = hashlib.sha256(catalog.read_bytes()).hexdigest()
    site = Site(
        paths.rendezvous_dir(product, digest, endpoint),
        paths.spool_dir(product, endpoint),
        {"product": product, "catalog": str(catalog), "endpoint": endpoint, **shipper._asdict()},
    )
    context = Context(os.getpid(), digest, consent.state.value, consent.basis, consent.notice, consent.deployment)
    return Link(site, context, packages, flush_interval_seconds, queue_bytes)


def _nothing(name: str, fields: dict[str, Any]) -> None:
    """What `emit` comes to with consent off, and after `close`."""


def _nothing_counted(name: str, number: int, fields: dict[str, Any]) -> None:
    """The same for `count`."""


def _check_choice(argument: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise ConfigError(f"{argument}={value!r}: must be one of {', '.join(choices)}, or None")


def _check_least(argument: str, value: float, least: float) -> None:
    if not value >= least:
        raise ConfigError(f"{argument}={value!r}: must be a number of at least {least}")


def _check_catalog(path: Path) -> Path:
    if not os.access(path, os.R_OK) or path.is_dir():
        raise ConfigError(f"catalog={str(path)!r}: no such file, or it can't be read; give the path of the catalog's TOML")
    return path.absolute()
