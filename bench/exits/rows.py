"""The table: how programs end. One row is one program, how it is ended, and what may be missing then."""

from __future__ import annotations

from signal import SIGINT, SIGKILL, SIGTERM
from typing import NamedTuple

CALLS = 100
"""By default of one process."""


class Row(NamedTuple):
    """One way to end.

    Attributes:
        name: as in the README.
        program: Python; the names of `bench.exits.host` are there for it.
        emitted: calls of `emit`, and as many of `count`; None when the program tells.
        kept: how many of them must arrive; None for all.
        needs: packages and programs without which the row is skipped.
        signal: sent when the program is ready for it.
        code: the program's exit code, as `subprocess` gives it.
        spawns: whether no shipper runs before, so that the program's own `init` has to spawn one.
    """

    name: str
    program: str
    emitted: int | None = CALLS
    kept: int | None = None
    needs: tuple[str, ...] = ()
    signal: int | None = None
    code: int = 0
    spawns: bool = False


FROM_HOST = "from bench.exits.host import *\n"

_KILLED = """
init(); work(); settle(); work(20)
"""
"""What was emitted before the last flush interval, and before the counters' last second, is out of harm's way."""

_CHILDREN = """
import multiprocessing

def child():
    {child_init}
    work()

if __name__ == "__main__":
    init()
    work()
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=child) for _ in range(2)]
    for process in children:
        process.start()
    for process in children:
        process.join()
        assert process.exitcode == 0
    leave()
"""

_POOL = """
import multiprocessing

def task(number):
    work(1)

if __name__ == "__main__":
    init({options})
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(task, range(100), chunksize=1)
        {between}
        {end}
    leave()
"""

_EXECUTOR = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def task(number):
    work(1)

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    with ProcessPoolExecutor(2, mp_context=context, initializer=init) as pool:
        list(pool.map(task, range(100)))
    leave()
"""

_ASYNCIO = """
import asyncio
init()

async def task():
    for _ in range(10):
        work(1)
        await asyncio.sleep(0)

async def main():
    await asyncio.gather(*(task() for _ in range(10)))
    leave()

asyncio.run(main())
"""

_ASYNCIO_CANCELLED = """
import asyncio
init()

async def task():
    try:
        await asyncio.sleep(600)
    finally:
        work(10)

async def main():
    tasks = [asyncio.create_task(task()) for _ in range(10)]
    await asyncio.sleep(0)
    leave()

asyncio.run(main())
"""

_ASYNCIO_INTERRUPTED = """
import asyncio
init()

async def main():
    try:
        work(50)
        os.write(1, b"ready\\n")
        await asyncio.sleep(600)
    finally:
        work(50)

asyncio.run(main())
"""

_GEVENT = """
import gevent

def task():
    for _ in range(10):
        work(1)
        gevent.sleep(0)

gevent.joinall([gevent.spawn(task) for _ in range(10)], raise_error=True)
{end}
leave()
"""

_PATCH = "import gevent.monkey; gevent.monkey.patch_all()\n"

_EVENTLET = """
import eventlet

def task():
    for _ in range(10):
        work(1)
        eventlet.sleep(0)

for green in [eventlet.spawn(task) for _ in range(10)]:
    green.wait()
{end}
leave()
"""

_PATCH_EVENTLET = "import warnings; warnings.simplefilter('ignore')\nimport eventlet; eventlet.monkey_patch()\n"

DELAYED = [
    Row("return from main, the endpoint is a black hole", "use_black_hole(); init(); work(); leave()"),
    Row(
        "return from main, the shipper is killed and none can be spawned",
        "use_black_hole(); init(); work(); flush(20); lose_shipper(); work(); leave()",
    ),
]
"""Of these only the delay of the exit is measured: nothing arrives."""

ROWS = [
    Row("return from main, no shipper runs before", "use_another_endpoint(); init(); work(); leave()"),
    Row("return from main, a burst before", "use_another_endpoint(); init(); work(20_000); leave()", 20_000),
    Row("return from main", "init(); work(); leave()"),
    Row("sys.exit", "init(); work(); leave(); sys.exit(3)", code=3),
    Row("an unhandled exception", "init(); work(); leave(); raise ValueError", code=1),
    Row("SIGINT", "init(); work(); await_signal()", signal=SIGINT, code=-SIGINT),
    Row(
        "SIGTERM, handle_sigterm=True",
        "init(handle_sigterm=True); work(); await_signal()",
        signal=SIGTERM,
        code=-SIGTERM,
    ),
    Row(
        "SIGTERM, the host's handler exits",
        "import signal\nsignal.signal(15, lambda *_: sys.exit(4)); init(); work(); await_signal()",
        signal=SIGTERM,
        code=4,
    ),
    Row(
        "SIGTERM, the host's handler exits, handle_sigterm=True",
        "import signal\nsignal.signal(15, lambda *_: sys.exit(4))\ninit(handle_sigterm=True); work(); await_signal()",
        signal=SIGTERM,
        code=4,
    ),
    Row("SIGTERM, unhandled", _KILLED + "await_signal()", CALLS + 20, CALLS, signal=SIGTERM, code=-SIGTERM),
    Row("SIGKILL", _KILLED + "await_signal()", CALLS + 20, CALLS, signal=SIGKILL, code=-SIGKILL),
    Row("os._exit", _KILLED + "leave(); os._exit(5)", CALLS + 20, CALLS, code=5),
    Row("flush(), then os._exit", "init(); work(); flush(20); leave(); os._exit(5)", code=5),
    Row("os.exec", _KILLED + "leave(); os.execv('/bin/true', ['true'])", CALLS + 20, CALLS),
    Row("close(), then os.exec", "init(); work(); leave(); close(20); os.execv('/bin/true', ['true'])"),
    Row(
        "os.fork, the child ends by sys.exit",
        """
init(); work()
child = os.fork()
work()
if not child:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
leave()
""",
        3 * CALLS,
    ),
    Row(
        "os.fork in a thread, while others emit",
        """
import threading
init()
children = []

def fork():
    child = os.fork()
    if not child:
        work()
        close(20)
        os._exit(0)
    children.append(child)

workers = [threading.Thread(target=work, args=(1000,)) for _ in range(2)]
forkers = [threading.Thread(target=fork) for _ in range(3)]
for thread in [*workers, *forkers]:
    thread.start()
for thread in [*workers, *forkers]:
    thread.join()
for child in children:
    assert os.waitpid(child, 0)[1] == 0
leave()
""",
        2 * 1000 + 3 * CALLS,
    ),
    Row("multiprocessing, fork", _CHILDREN.format(method="fork", child_init=""), 3 * CALLS),
    Row("multiprocessing, spawn", _CHILDREN.format(method="spawn", child_init="init()"), 3 * CALLS),
    Row("multiprocessing, forkserver", _CHILDREN.format(method="forkserver", child_init="init()"), 3 * CALLS),
    Row("multiprocessing.Pool, closed", _POOL.format(options="", between="", end="pool.close(); pool.join()")),
    Row(
        "multiprocessing.Pool, terminated",
        _POOL.format(options="", between="settle(); pool.map(task, range(20), chunksize=1)", end=""),
        CALLS + 20,
        CALLS,
    ),
    Row(
        "multiprocessing.Pool, terminated, handle_sigterm=True",
        _POOL.format(options="handle_sigterm=True", between="", end=""),
    ),
    Row("ProcessPoolExecutor, fork", _EXECUTOR.format(method="fork")),
    Row("ProcessPoolExecutor, spawn", _EXECUTOR.format(method="spawn")),
    Row("ProcessPoolExecutor, forkserver", _EXECUTOR.format(method="forkserver")),
    Row(
        "a thread that emits after main has returned",
        "import threading\ninit()\n"
        "def late():\n    time.sleep(0.1)\n    work()\nthreading.Thread(target=late).start(); leave()\n",
    ),
    Row(
        "a daemon thread that emits while main returns",
        """
import threading
init()
emitted = 0

def emit():
    global emitted
    while True:
        work(1)
        emitted += 1
        time.sleep(0.001)

threading.Thread(target=emit, daemon=True).start()
while emitted < 50:
    time.sleep(0.001)
leave(emitted)
""",
        None,
    ),
    Row("asyncio.run", _ASYNCIO),
    Row("asyncio.run, tasks cancelled", _ASYNCIO_CANCELLED),
    Row("asyncio.run, SIGINT", _ASYNCIO_INTERRUPTED, signal=SIGINT, code=-SIGINT),
    Row("gevent, patched first", _PATCH + FROM_HOST + "init()\n" + _GEVENT.format(end=""), needs=("gevent",)),
    Row("gevent, patched before init", _PATCH + "init()\n" + _GEVENT.format(end=""), needs=("gevent",)),
    Row("gevent, patched after init", "init()\n" + _PATCH + _GEVENT.format(end=""), needs=("gevent",)),
    Row(
        "gevent, a forked child",
        _PATCH
        + "init()\n"
        + _GEVENT.format(
            end="child = os.fork()\nwork()\nif not child: sys.exit(0)\nassert os.waitpid(child, 0)[1] == 0"
        ),
        3 * CALLS,
        needs=("gevent",),
    ),
    Row(
        "gevent, SIGTERM, handle_sigterm=True",
        _PATCH + "init(handle_sigterm=True); work(); await_signal()",
        needs=("gevent",),
        signal=SIGTERM,
        code=-SIGTERM,
    ),
    *[
        Row(f"eventlet, patched {when}", program + _EVENTLET.format(end=""), needs=("eventlet",))
        for when, program in (
            ("first", _PATCH_EVENTLET + FROM_HOST + "init()\n"),
            ("before init", _PATCH_EVENTLET + "init()\n"),
            ("after init", "init()\n" + _PATCH_EVENTLET),
        )
    ],
    Row(
        "eventlet, a forked child",
        _PATCH_EVENTLET
        + "init()\n"
        + _EVENTLET.format(
            end="child = os.fork()\nwork()\nif not child: sys.exit(0)\nassert os.waitpid(child, 0)[1] == 0"
        ),
        3 * CALLS,
        needs=("eventlet",),
    ),
    Row(
        "eventlet, SIGTERM, handle_sigterm=True",
        _PATCH_EVENTLET + "init(handle_sigterm=True); work(); await_signal()",
        needs=("eventlet",),
        signal=SIGTERM,
        code=-SIGTERM,
    ),
    *[
        Row(
            f"gunicorn, {kind}, {how}",
            f"from bench.exits.servers import gunicorn\ngunicorn('-w', '2', '-k', '{kind}', {options})",
            needs=("gunicorn", *needs),
        )
        for kind, needs in (("sync", ()), ("gevent", ("gevent",)))
        for how, options in (
            ("graceful stop", ""),
            ("preload, graceful stop", "'--preload'"),
            ("max_requests", "'--max-requests', '20'"),
        )
    ],
    *[
        Row(name, f"from bench.exits.servers import *\n{call}", CALLS + last_calls, needs=needs)
        for name, call, last_calls, needs in (
            ("gunicorn, gthread", "gunicorn('-w', '2', '-k', 'gthread', '--threads', '4')", 0, ("gunicorn",)),
            (
                "gunicorn, UvicornWorker",
                "gunicorn('-w', '2', '-k', 'uvicorn_worker.UvicornWorker', app='bench.exits.asgi:app', lifespans=2)",
                20,
                ("gunicorn", "uvicorn_worker"),
            ),
            ("uvicorn", "uvicorn()", 10, ("uvicorn",)),
            ("uvicorn, two workers", "uvicorn('--workers', '2', lifespans=2, code=0)", 20, ("uvicorn",)),
            ("hypercorn", "hypercorn(1)", 10, ("hypercorn",)),
            ("daphne", "daphne()", 0, ("daphne",)),
            ("waitress, Ctrl-C", "waitress()", 0, ("waitress",)),
            ("uWSGI, prefork", "uwsgi()", 0, ("pyuwsgi",)),
            ("uWSGI, prefork, threads", "uwsgi('--enable-threads', '--threads', '2')", 0, ("pyuwsgi",)),
            ("uWSGI, prefork, max-requests", "uwsgi('--max-requests', '20')", 0, ("pyuwsgi",)),
            ("uWSGI, lazy-apps", "uwsgi('--lazy-apps', '--processes', '1')", 0, ("pyuwsgi",)),
            ("Celery prefork, warm shutdown", "celery()", 0, ("celery",)),
            ("Celery threads, warm shutdown", "celery('-P', 'threads')", 0, ("celery",)),
            ("Celery solo, warm shutdown", "celery('-P', 'solo')", 0, ("celery",)),
        )
    ],
    Row(
        "hypercorn, two workers",
        "from bench.exits.servers import hypercorn\nhypercorn(2, pause_seconds=1.0)",
        CALLS + 20,
        kept=CALLS,  # the one that ends later may be ended before it has come to its last
        needs=("hypercorn",),
    ),
    *[
        Row(f"{kind}, warm shutdown", f"from bench.exits.queues import {kind}\n{kind}()", needs=(kind, "redis-server"))
        for kind in ("rq", "arq", "dramatiq")
    ],
    Row(
        "Celery prefork, max-tasks-per-child",
        "from bench.exits.servers import celery\ncelery('--max-tasks-per-child', '20', tasks=60)",
        60,
        needs=("celery",),
    ),
]

ROWS_THAT_SPAWN = [
    row._replace(name=f"{row.name}, no shipper before", spawns=True) for row in ROWS if "shipper" not in row.name
]
"""The same programs where the first `init` finds nobody, and what arrives has waited for the shipper that it spawns."""
