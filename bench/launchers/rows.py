"""The table: how hosts are started. One row is one launch of the same application, in a home without a shipper."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.exits.rows import ROWS as ENDS
from bench.launchers import bundles, confined, hosted, interpreters
from bench.launchers.app import CALLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.launchers.place import Place


class Row(NamedTuple):
    """One way to start.

    Attributes:
        name: of the row.
        launch: starts the application in a place, and returns when it has ended; raises when it ends as it must not.
        emitted: calls of `emit`, and as many of `count`.
        needs: packages and programs without which the row is skipped.
        quick: whether it is a test of every run; the others are run by `tools/launchers`.
        reason: what `telemetry status` must say where nothing can arrive; None where all must.
    """

    name: str
    launch: Callable[[Place], object]
    emitted: int = CALLS
    needs: tuple[str, ...] = ()
    quick: bool = False
    reason: str | None = None


PUBLIC = ("an interpreter that every user may run",)

QUICK_CALLS = {"setpriority", "eventfd2", "sched_setscheduler"}

SERVERS = ("gunicorn", "uvicorn", "hypercorn", "daphne", "waitress", "Celery", "rq", "arq", "dramatiq")

ROWS = [
    Row("python app.py", interpreters.plain, quick=True),
    Row("python -m", interpreters.module),
    Row("python -c", interpreters.text),
    Row("python, the program from stdin", interpreters.stdin, quick=True),
    Row("python -I", interpreters.options("-I"), quick=True),
    Row("python -E", interpreters.options("-E")),
    Row("python -S, the packages by PYTHONPATH", interpreters.without_site, quick=True),
    Row("python -s -P -B", interpreters.options("-s", "-P", "-B")),
    Row("python -OO", interpreters.options("-OO")),
    Row("python -X dev -W error", interpreters.options("-X", "dev", "-W", "error"), quick=True),
    Row("python -X importtime, utf8 off", interpreters.options("-X", "utf8=0", "-X", "frozen_modules=off")),
    Row("a link to the interpreter", interpreters.linked),
    Row("a script with a shebang", interpreters.script),
    Row("runpy from another program", interpreters.runpy),
    Row("zipapp of the program", bundles.zipapp, quick=True),
    Row("zipapp of the program and telemetry, the rest beside", bundles.zipapp_with_telemetry),
    Row("packages beside the program, by sys.path", bundles.vendored),
    Row("shiv", bundles.shiv, needs=("shiv",)),
    Row("PEX, a zip", bundles.pex(), needs=("pex",)),
    Row("PEX, --venv", bundles.pex("--venv"), needs=("pex",)),
    Row("PEX, loose", bundles.pex("--layout", "loose"), needs=("pex",)),
    Row("PyInstaller, a directory", bundles.pyinstaller("--onedir"), needs=("PyInstaller",)),
    Row("PyInstaller, one file", bundles.pyinstaller("--onefile"), needs=("PyInstaller",)),
    Row("uWSGI, prefork", hosted.uwsgi(), 40, needs=("pyuwsgi",)),
    Row("uWSGI, lazy-apps", hosted.uwsgi("--lazy-apps", "--processes", "1"), 40, needs=("pyuwsgi",)),
    Row("uWSGI, threads", hosted.uwsgi("--enable-threads", "--threads", "4"), 40, needs=("pyuwsgi",)),
    *[
        Row(end.name, hosted.server(end.program), end.emitted or 0, end.needs)
        for end in ENDS
        if end.name.startswith(SERVERS)
    ],
    Row(
        "gevent before init", hosted.patched("gevent.monkey", "patch_all()", early=True), needs=("gevent",), quick=True
    ),
    Row("gevent after init", hosted.patched("gevent.monkey", "patch_all()"), needs=("gevent",)),
    Row("eventlet before init", hosted.patched("eventlet", "monkey_patch()", early=True), needs=("eventlet",)),
    Row("eventlet after init", hosted.patched("eventlet", "monkey_patch()"), needs=("eventlet",)),
    Row("IPython", hosted.ipython, needs=("IPython",)),
    Row("Jupyter's kernel", hosted.jupyter, needs=("ipykernel", "jupyter_client")),
    Row("pytest", hosted.pytest(), quick=True),
    Row("pytest-xdist", hosted.pytest("-n", "2"), 2 * CALLS, needs=("xdist",), quick=True),
    Row("Django's runserver, with its autoreload", hosted.django, needs=("django",)),
    Row("ddtrace-run", hosted.wrapped("ddtrace-run"), needs=("ddtrace",)),
    Row("opentelemetry-instrument", hosted.wrapped("opentelemetry-instrument"), needs=("opentelemetry",)),
    Row("newrelic-admin run-program", hosted.wrapped("newrelic-admin", "run-program"), needs=("newrelic",)),
    Row("another user after init", confined.another_user_after_init, needs=PUBLIC),
    Row("no passwd entry", confined.without_home("/", confined.UNKNOWN), needs=PUBLIC),
    Row("no HOME", confined.without_home(None), needs=PUBLIC, quick=True),
    Row("HOME=/nonexistent", confined.without_home("/nonexistent"), needs=PUBLIC),
    Row("HOME=/", confined.without_home("/"), needs=PUBLIC),
    Row("a read-only root, /tmp writable", confined.read_only_root, needs=("namespaces",)),
    Row("pid 1 of a container", confined.first_process, needs=("namespaces",)),
    Row("two pid namespaces with one volume", confined.two_namespaces, 2 * CALLS, needs=("namespaces",)),
    *[
        Row(
            f"{call} denied",
            confined.denied(call),
            needs=("pyseccomp", "libseccomp"),
            quick=call in QUICK_CALLS,
            reason=reason,
        )
        for call, reason in (
            ("setpriority", None),
            ("prlimit64", None),
            ("sched_setaffinity", None),
            ("sched_setscheduler", "sched_setscheduler"),
            ("ioprio_set", None),
            ("eventfd2", "eventfd2"),
            ("epoll_create1", "epoll_create1"),
            ("memfd_create", "exit_unconfirmed"),
            ("fsync", "used as a spool"),
            ("fdatasync", None),
            ("fallocate", None),
            ("flock", "Operation not permitted"),
            ("prctl", None),
            ("statx", None),
            ("getrandom", None),
            ("pidfd_open", None),
            ("inotify_init1", None),
            ("mlock", None),
            ("fchmod", None),
            ("fchown", None),
            ("sysinfo", None),
            ("setsid", None),
        )
    ],
    Row("64 descriptors", confined.limited("ulimit -n 64")),
    Row("24 descriptors", confined.limited("ulimit -n 24")),
    Row("a gigabyte of address space", confined.limited("ulimit -v 1048576")),
    Row("half a gigabyte of address space", confined.limited("ulimit -v 524288")),
    Row("no core, a small stack", confined.limited("ulimit -c 0; ulimit -s 512")),
    Row("umask 077", confined.limited("umask 077")),
    Row("umask 0", confined.limited("umask 0")),
    Row("nice 19", confined.limited("renice -n 19 $$ > /dev/null")),
    Row("stdin, stdout and stderr closed", confined.limited("exec <&- >&- 2>&-"), quick=True),
    Row("in the background of a shell that ends", confined.in_background),
    Row("SIGCHLD and SIGHUP ignored", confined.limited("trap '' CHLD HUP"), quick=True),
    Row("a working directory that is gone", confined.limited("mkdir gone; cd gone; rmdir ../gone")),
    Row("an environment with nothing in it", confined.bare),
    Row(
        "locale C, ASCII",
        confined.variables(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii"),
    ),
    Row("a locale that is not installed", confined.variables(LC_ALL="tr_TR.ISO-8859-9", LANG="xx_YY"), quick=True),
    Row("TMPDIR that does not exist", confined.variables(TMPDIR="/nonexistent")),
    Row("TZ far away", confined.variables(TZ="Pacific/Kiritimati")),
    Row("a path that is no UTF-8", confined.odd_path),
    Row("the clock an hour back", confined.clock("-1h"), needs=("libfaketime",)),
    Row("the clock a year back", confined.clock("-365d"), needs=("libfaketime",)),
    Row("the clock ten years ahead", confined.clock("+3650d"), needs=("libfaketime",)),
    Row("the clock an hour back in the host alone", confined.clock("-1h", only_host=True), needs=("libfaketime",)),
]
