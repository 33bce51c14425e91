"""Ends and forks of a host, and the work due at each: atexit, servers, multiprocessing, fork, SIGTERM, tombstone."""

from __future__ import annotations

import atexit
import json
import os
import sys
import weakref
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from telemetry.files import private_dir, write_private
from telemetry.paths import TOMBSTONES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

_renewals: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()
"""The work due in a forked child, by its owner; one hook does all of it, since a hook can't be taken back."""

_flushes: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()
"""The work due when a server has done its last work, by its owner."""

_LAST_WORK = (
    ("uvicorn", "Server", "shutdown"),
    ("rq", "Worker", "handle_job_success"),
    ("rq", "Worker", "handle_job_retry"),
    ("rq", "Worker", "handle_exception"),
)
"""The methods after which a process ends in order but runs no `atexit`: uvicorn raises the signal that ended it anew, a
work horse of rq calls `os._exit`. Neither has a hook for it."""

Owner = TypeVar("Owner")


def at_exit(close: Callable[[], object]) -> None:
    """Call `close` when this process ends in order, even if it is a spawned multiprocessing child."""
    atexit.register(close)
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        _finalize(close)


def forget(close: Callable[[], object]) -> None:
    """Unregister `close`: a closed client must not be kept alive until the process ends."""
    atexit.unregister(close)


def at_exit_of_forked_child(owner: object, close: Callable[[], object]) -> None:
    """Have `close` called at the end of a child that was just forked by multiprocessing or Celery.

    Such a child leaves by `os._exit`, so `atexit` does not run; and it empties the registry of finalizers as it begins,
    so ours is registered after that, by its own hook. A worker of Celery leaves by `os._exit` without running even
    finalizers; it sends a signal of Celery's instead. A child of a bare `os.fork` inherits our `atexit`.
    """
    if celery := sys.modules.get("celery.signals"):
        celery.worker_process_shutdown.connect(lambda **_: close(), weak=False, dispatch_uid=f"telemetry-{id(owner)}")
    if util := sys.modules.get("multiprocessing.util"):
        util.register_after_fork(owner, lambda _: _finalize(close))


def _finalize(close: Callable[[], object]) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, close, exitpriority=0)


def after_last_work(owner: Owner, flush: Callable[[Owner], object]) -> None:
    """Call `flush(owner)` where a server, loaded by now, is about to end its process without running `atexit`.

    The call is cheap, and is to be repeated: servers are loaded at any time.
    """
    _flushes[owner] = flush
    for module, name, method in _LAST_WORK:
        server = getattr(sys.modules.get(module), name, None)
        work = getattr(server, method, None)
        if work is not None and not hasattr(work, "flushes_telemetry"):
            setattr(server, method, _flushing(work))


def _flushing(work: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `work` so that a flush follows it, however it ends."""
    from inspect import iscoroutinefunction  # noqa: PLC0415 the server has loaded it, others have no use for it

    if iscoroutinefunction(work):

        @wraps(work)
        async def flush_after(*args: Any, **kwargs: Any) -> Any:
            try:
                return await work(*args, **kwargs)
            finally:
                _flush_all()
    else:

        @wraps(work)
        def flush_after(*args: Any, **kwargs: Any) -> Any:
            try:
                return work(*args, **kwargs)
            finally:
                _flush_all()

    flush_after.flushes_telemetry = True  # type: ignore[attr-defined] # told from the server's own
    return flush_after


def _flush_all() -> None:
    for owner, flush in list(_flushes.items()):
        flush(owner)


def forks_in_c() -> bool:
    """Tell whether this process forks others in C, as the master of uWSGI does, and may have no Python thread.

    A child forked so waits for ever to hand the interpreter over to a thread that had asked for it in the parent.
    """
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi is not None and uwsgi.worker_id() == 0 and uwsgi.mule_id() == 0


def after_fork(owner: Owner, renew: Callable[[Owner], object]) -> None:
    """Call `renew(owner)` in every forked child for as long as `owner` lives; `renew` must not hold on to it."""
    _renewals[owner] = renew


def _renew_all() -> None:
    for owner, renew in list(_renewals.items()):
        renew(owner)


os.register_at_fork(after_in_child=_renew_all)


def on_sigterm(flush: Callable[[], object], close_for: Callable[[int], bool]) -> None:
    """On SIGTERM flush and call the host's own handler, or close and die by the signal if it has none.

    A host that ignores SIGTERM, or handles it outside Python, is left as it is.

    Args:
        flush: hands over what waits.
        close_for: closes before a signal ends the process; False if that is under way, and the signal comes again.
    """
    import signal  # noqa: PLC0415 takes its time, and few ask for this

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


def leave_tombstone(spool: Path, place: str, producer: bytes, accepted: int, dropped: dict[str, int]) -> None:
    """Record the numbers of an unconfirmed producer: counts, never events.

    The shipper of the rendezvous whose directory is called `place` reads it when nothing more can arrive from the
    producer, and counts the missing events; another shipper only when there can be none there.

    Raises:
        OSError: the spool can't be written; then nobody is left to count.
    """
    directory = spool / TOMBSTONES
    private_dir(spool)
    private_dir(directory)
    said = {"producer": producer.hex(), "pid": os.getpid(), "accepted": accepted, "dropped": dropped, "place": place}
    write_private(directory / f"{producer.hex()}.json", json.dumps(said).encode())
