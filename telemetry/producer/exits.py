"""How a host can end or multiply, and what is done then: atexit, multiprocessing children, fork, SIGTERM, tombstone."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from telemetry.paths import TOMBSTONES, private_dir, write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

_renewals: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()
"""What is done in a forked child, by its owner; they serve one hook, since a hook can't be taken back."""

Owner = TypeVar("Owner")


def at_exit(close: Callable[[], object]) -> None:
    """Call `close` when this process ends in order, a spawned multiprocessing child included."""
    atexit.register(close)
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        _finalize(close)


def forget(close: Callable[[], object]) -> None:
    """Take `close` back: what is closed must not be kept alive until the process ends."""
    atexit.unregister(close)


def at_exit_of_forked_child(owner: object, close: Callable[[], object]) -> None:
    """Have `close` called at the end of a child that was just forked by multiprocessing or Celery.

    Such a child leaves by `os._exit`, so `atexit` does not run; and it empties the registry of finalizers as it
    begins, so ours is registered after that, by its own hook. A worker of Celery leaves by `os._exit` without running
    even finalizers; it says so by a signal of Celery's. A child of a bare `os.fork` inherits our `atexit`.
    """
    if celery := sys.modules.get("celery.signals"):
        celery.worker_process_shutdown.connect(lambda **_: close(), weak=False, dispatch_uid=f"telemetry-{id(owner)}")
    if util := sys.modules.get("multiprocessing.util"):
        util.register_after_fork(owner, lambda _: _finalize(close))


def _finalize(close: Callable[[], object]) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, close, exitpriority=0)


def after_fork(owner: Owner, renew: Callable[[Owner], object]) -> None:
    """Call `renew(owner)` in every forked child for as long as `owner` lives; `renew` must not hold on to it."""
    _renewals[owner] = renew


def _renew_all() -> None:
    for owner, renew in list(_renewals.items()):
        renew(owner)


os.register_at_fork(after_in_child=_renew_all)


def on_sigterm(flush: Callable[[], object], close_for: Callable[[int], bool]) -> None:
    """On SIGTERM flush and call the host's own handler, or close and die by the signal when it has none.

    A host that ignores SIGTERM, or handles it outside Python, is left as it is.

    Args:
        flush: hands over what waits.
        close_for: closes before a signal ends the process; False when that is under way, and the signal comes again.
    """
    before = signal.getsignal(signal.SIGTERM)
    if before is None or before == signal.SIG_IGN:
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if callable(before):
            flush()
            before(number, frame)
        elif close_for(number):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, handle)


def leave_tombstone(spool: Path, producer: bytes, accepted: int, dropped: dict[str, int]) -> None:
    """Write down what an unconfirmed producer had numbered: counts, never events.

    The shipper reads it when nothing more can come from the producer, and counts what did not arrive.

    Raises:
        OSError: the spool can't be written; then nobody is left to count.
    """
    directory = spool / TOMBSTONES
    private_dir(spool)
    private_dir(directory)
    text = json.dumps({"producer": producer.hex(), "pid": os.getpid(), "accepted": accepted, "dropped": dropped})
    write_private(directory / f"{producer.hex()}.json", text.encode())
