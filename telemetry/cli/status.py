"""The command `telemetry status`: prints the state of consent, the shipper, the spool and the ledger of a product.

It changes nothing on disk, and it also works when no shipper runs.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any

import click

from telemetry.cli.consent import CommandError, json_option, lane_option, product_option
from telemetry.consent import State, decide, find_product, known_products, read_stored
from telemetry.endpoint import without_credentials
from telemetry.errors import ConfigError, ShipperUnreachableError, SpoolError
from telemetry.inspect import account
from telemetry.inspect.contents import FOLDERS, find_segments, is_spool, read_endpoint
from telemetry.paths import TOMBSTONES, lane_of, log_name, product_dir, spools_of
from telemetry.rendezvous.find import Rendezvous, find_rendezvous
from telemetry.rendezvous.refusal import HELD_SECONDS
from telemetry.terminal import counted, printable
from telemetry.times import iso_time
from telemetry.wire import CONTROL_SOCKET

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.inspect.account import Account
    from telemetry.rendezvous.refusal import Refusal

EXIT_STOPPED = 1
"""The exit code if the tripwire has stopped all uploads."""

EXIT_MISSING = 3
"""The exit code if segments wait and no shipper runs, or the product never was on this machine."""

_TRIPWIRE_ADVICE = (
    "NOTHING IS UPLOADED until someone has looked: upgrade whatever let it through or, if it is harmless, run "
    "`telemetry tripwire clear`"
)
_STOPPED = ("paused", "dead")
_ASK_SECONDS = 0.5
_NEWS_SECONDS = 2 * HELD_SECONDS
_ERRORS = 5
_KIB = 1024
_ANY_LOG = (log_name(), "shipper-[0-9]*.log")
_ERROR_LINE = re.compile(r"\S+Z (WARNING|ERROR) ")
_JUDGED_BY = "the stored choice and this environment; what the program itself says is not known here"


@click.command()
@product_option
@lane_option
@json_option
def status(product: str | None, lane: int | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Say what is collected and why, which shipper runs, what waits, and what became of every event.

    Without --product of all that this machine knows.

    Exit codes: 0, a shipper runs or nothing waits; 1, the tripwire has stopped all uploads; 2, no such product can be;
    3, segments wait and no shipper runs, or the product never was here.
    """
    try:
        known = known_products()
        names = [find_product(product)] if product is not None or not known else known
        reports = [gather(name, lane) for name in names]
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    except OSError as fault:
        raise CommandError(f"{fault.filename}: {fault.strerror}; run this as the user whose programs collect") from None
    if as_json:
        print(json.dumps(reports[0] if len(reports) == 1 else {"products": reports}))
    else:
        print("\n\n".join("\n".join(_lines(report)) for report in reports))
    if any(map(_is_stopped, reports)):
        sys.exit(EXIT_STOPPED)
    if any(map(_lacks_something, reports)):
        sys.exit(EXIT_MISSING)


def _is_stopped(report: dict[str, Any]) -> bool:
    runs = report["shipper"], *report["shipper"]["others"]
    return any(run.get("tripwire", {}).get("state") in _STOPPED for run in runs)


def _lacks_something(report: dict[str, Any]) -> bool:
    segments, shipper = report["spool"]["segments"], report["shipper"]
    waits = segments["active"] + segments["sealed"]
    never_was = not (report["known"] or shipper["running"] or shipper["refused"])
    return never_was or bool(waits and not shipper["running"])


def gather(product: str, lane: int | None = None) -> dict[str, Any]:
    """Collect the report of a product, as `--json` prints it; each silent shipper blocks for half a second.

    Args:
        product: the product's name.
        lane: which of several shippers side by side to look at; None for all, as one.

    Raises:
        OSError: the product's state can't be read.
    """
    shipper = _shipper(find_rendezvous(product, lane))
    spools, faults = _readable(spools_of(product, lane))
    in_flight, owed = (sum(run.get(name, 0) for run in (shipper, *shipper["others"])) for name in ("in_flight", "owed"))
    return {
        "product": product,
        "known": product in known_products(),
        "consent": _consent(product),
        "shipper": shipper,
        "lanes": _lanes([shipper, *shipper["others"]], spools),
        "spool": _spool(spools, time.time()),
        "ledger": _ledger(account.total(map(account.read_account, spools)), in_flight, owed),
        "errors": [*faults, *_last_errors(product_dir(product), lane)],
    }


def _consent(product: str) -> dict[str, Any]:
    stored = read_stored(product)
    decision = decide(
        product=product,
        environ=os.environ,
        stored=stored.choice,
        host=None,
        deployment=None,
        notice_shown=stored.notice,
    )
    said = bool(stored.since_unix_seconds)
    return {
        **decision._asdict(),
        "judged_by": _JUDGED_BY,
        "stored": {
            "choice": stored.choice,
            "since": iso_time(stored.since_unix_seconds) if said else None,
            "notice": stored.notice,
            "fault": stored.fault,
        },
    }


def _shipper(known: list[Rendezvous]) -> dict[str, Any]:
    """Report on the first shipper that runs, by its lane, with the others; `pid` is null if none does."""
    runs = [_run(rendezvous) for rendezvous in known if rendezvous.runs]
    refusals = {place.directory: place.refusal for place in known}
    # One that has come up since tells that what was wrong is mended, or was another program's.
    served_seconds_ago = min((place.taken_seconds_ago for place in known if not refusals[place.directory]), default=inf)
    said = [
        refusal
        for refusal in refusals.values()
        if refusal and _is_news(refusal, runs) and refusal.age_seconds <= served_seconds_ago
    ]
    latest = min(said, key=lambda refusal: refusal.age_seconds, default=None)
    first = runs[0] if runs else {"running": False, "pid": None}
    return {**first, "refused": latest and latest.why, "others": runs[1:]}


def _lanes(runs: list[dict[str, Any]], spools: list[Path]) -> list[dict[str, Any]]:
    """Report on each lane: its first shipper that runs, or that none does though it has a spool."""
    running = {run["lane"]: run for run in reversed(runs) if run["running"]}
    numbers = sorted({*running, *map(lane_of, spools)})
    return [running.get(lane, {"running": False, "pid": None, "lane": lane}) for lane in numbers]


def _is_news(refusal: Refusal, runs: list[dict[str, Any]]) -> bool:
    """Tell whether a refusal is reported: beside a running shipper only while a host meets it, trying each minute."""
    return not runs or refusal.age_seconds < _NEWS_SECONDS


def _run(rendezvous: Rendezvous) -> dict[str, Any]:
    place = {
        "lane": rendezvous.lane,
        "directory": str(rendezvous.directory),
        "endpoint": rendezvous.endpoint and without_credentials(rendezvous.endpoint),
    }
    try:
        answer = rendezvous.ask("status", _ASK_SECONDS)
    except ShipperUnreachableError as fault:
        is_starting = not (rendezvous.directory / CONTROL_SOCKET).exists()  # bound when all else is done
        return {"running": True, "pid": rendezvous.pid, "starting": is_starting, "fault": str(fault), **place}
    return {"running": True, **answer, **place}


def _readable(spools: list[Path]) -> tuple[list[Path], list[str]]:
    good, faults = [], []
    for spool in spools:
        try:
            is_spool(spool)
            good.append(spool)
        except SpoolError as fault:
            faults.append(str(fault))
    return good, faults


def _spool(spools: list[Path], now: float) -> dict[str, Any]:
    by_spool = {spool: list(find_segments(spool)) for spool in spools}
    found = list(chain.from_iterable(by_spool.values()))
    sealed = [segment.began_seconds for segment in found if segment.folder == "sealed"]
    return {
        "directories": [str(spool) for spool in spools],
        "endpoints": {str(spool): read_endpoint(spool) for spool in spools},
        "sealed": {str(spool): sum(s.folder == "sealed" for s in of) for spool, of in by_spool.items()},
        "segments": {name: sum(segment.folder == name for segment in found) for name in FOLDERS},
        "bytes": {name: sum(s.size_bytes for s in found if s.folder == name) for name in FOLDERS},
        "oldest_sealed_seconds": round(max(0.0, now - min(sealed)), 3) if sealed else None,
        "tombstones": sum(1 for spool in spools for _ in (spool / TOMBSTONES).glob("*.json")),
    }


def _ledger(events: Account, in_flight: int, owed: int) -> dict[str, Any]:
    # A batch may be confirmed between the shipper's answer and our look at the ledger: nothing is in flight twice.
    flying = min(in_flight, events.on_disk)
    return {
        "emitted": events.tally.emitted,
        "delivered": events.delivered,
        "on_disk": events.on_disk - flying,
        "in_flight": flying,
        "dropped": events.tally.dropped,
        "fields_dropped": events.tally.fields_dropped,
        "unmatched": events.tally.unmatched,
        "balance": events.balance,
        "owed": owed,
    }


def _last_errors(directory: Path, lane: int | None) -> list[str]:
    """Return the last lines about trouble in the shippers' logs, including the logs before they were rotated."""
    lines: list[str] = []
    for name in _ANY_LOG if lane is None else (log_name(lane),):
        logs = sorted(directory.glob(f"{name}.1")) + sorted(directory.glob(name))
        for log in logs:
            with suppress(FileNotFoundError, NotADirectoryError):
                lines += filter(_ERROR_LINE.match, log.read_text(errors="replace").splitlines())
    return sorted(lines, key=lambda line: line.partition(" ")[0])[-_ERRORS:]  # in order, but for several lanes


# Output for people.


def _lines(report: dict[str, Any]) -> list[str]:
    consent, spool, ledger = report["consent"], report["spool"], report["ledger"]
    stored = consent["stored"]
    rows = [
        ("product", report["product"]),
        ("", "" if report["known"] else "this user has never chosen or collected anything for it on this machine"),
        *(("consent", text) for text in _of_hosts(report["shipper"])),
        ("consent", f"a program that says nothing itself: {consent['state']}, by {consent['rule']}"),
        ("", consent["state"] == State.TECHNICAL and "technical events are sent, all others stay here, as under local"),
        ("", f"judged by {consent['judged_by']}"),
        ("stored", f"{stored['choice']} since {stored['since']}" if stored["choice"] else "nothing"),
        ("", stored["fault"] and f"the stored choice {stored['fault']}, so it counts as off"),
        *(("shipper", text) for run in (report["shipper"], *report["shipper"]["others"]) for text in _of_run(run)),
        ("", report["shipper"]["refused"] and f"could not start: {report['shipper']['refused']}"),
        ("spool", _of_spool(spool)),
        *(("", _of_directory(directory, spool)) for directory in spool["directories"]),
        ("ledger", "{emitted} emitted = {delivered} delivered + {on_disk} on disk".format(**ledger)),
        ("", f"+ {ledger['in_flight']} in flight + {sum(ledger['dropped'].values())} dropped"),
        ("", _counts("dropped", ledger["dropped"])),
        ("", _counts("fields dropped", ledger["fields_dropped"])),
        ("", _counts("messages that fit no template", ledger["unmatched"])),
        (
            "",
            ledger["owed"]
            and f"{ledger['owed']} more were lost, which can't be recorded yet: the disk is full; free some space",
        ),
        (
            "",
            ledger["balance"]
            and f"{counted(ledger['balance'], 'event is', 'events are')} unaccounted for: this is a bug",
        ),
        *(("errors", line) for line in report["errors"]),
    ]
    return [f"{label:<9}{printable(str(text))}" for label, text in _say_once(rows) if text]


def _of_hosts(shipper: dict[str, Any]) -> list[str]:
    runs = [run for run in (shipper, *shipper["others"]) if run["running"]]
    if any("fault" in run for run in runs):  # it starts or is busy: nobody knows whom it hears
        return []
    grounds = Counter(f"{host['consent']} by {host['basis']}" for run in runs for host in run.get("hosts", ()))
    told = [f"{ground} in {counted(number, 'running host')}" for ground, number in grounds.items()]
    return told or ["no program that collects runs now"]


def _of_run(run: dict[str, Any]) -> list[str]:
    if not run["running"]:
        return ["none runs"]
    lane = f"lane {run['lane']}: " if run["lane"] else ""
    if "fault" in run:
        state = "starts: what hosts emit waits for it" if run["starting"] else "does not answer"
        return [f"{lane}pid {run['pid']}, {state}"]
    producers = counted(run["producers"], "producer")
    used = f"{run['memory_bytes'] / 2**20:.0f} MiB, {run['cpu_seconds']:.1f} s of CPU, {producers}"
    cause = f": {run['cause']}" if run["cause"] else ""
    return [
        f"{lane}pid {run['pid']}, {used}",
        *(_of_host(host) for host in run.get("hosts", ())),
        f"upload {run['upload']}{cause}",
        *_of_thinning(run),
        *_of_frames(run),
        *_of_undeclared(run.get("undeclared", {})),
        *_of_tripwire(run.get("tripwire")),
    ]


def _of_host(host: dict[str, Any]) -> str:
    ground = f"{host['consent']} by {host['basis']}, deployment {host['deployment']}"
    return f"host {host['pid']}: {ground}, catalog {host['catalog']}"


def _of_thinning(run: dict[str, Any]) -> list[str]:
    """Report what the collector asks for; a shipper of an older version has nothing of it."""
    shares = [f"{share:g} of {event}" for event, share in run.get("thin", {}).items()]
    ignored = run.get("thin_ignored", 0)
    told = f"{counted(ignored, 'request', 'requests')} for less ignored: not in the form of a collector's"
    return [*([f"the collector asks for less: {', '.join(shares)}"] if shares else []), *([told] if ignored else [])]


def _of_frames(run: dict[str, Any]) -> list[str]:
    counts = {
        "could not be read": run["unreadable_frames"],
        "of too many new producers refused": run["refused_frames"],
    }
    return [f"{counted(number, 'frame')} {what}" for what, number in counts.items() if number]


def _of_undeclared(undeclared: dict[str, int]) -> list[str]:
    """Report what was emitted that the catalog does not declare; a shipper of an older version tells none."""
    return [f"not in the catalog: {name}, {counted(number, 'time')}" for name, number in undeclared.items()]


def _of_tripwire(tripwire: dict[str, Any] | None) -> list[str]:
    """Report the findings of the tripwire, if any; a shipper of an older version has none."""
    if tripwire is None or tripwire["state"] == "armed":
        return []
    hits, state = tripwire["hits"], tripwire["state"]
    if state == "unavailable":
        return ["no scanner here, and so no tripwire: free text is dropped"]
    found = f"tripwire {state}: {counted(hits, 'segment')} held back, see `telemetry tripwire show`"
    return [found, *([_TRIPWIRE_ADVICE] if state != "tripped" else [])]


def _of_directory(directory: str, spool: dict[str, Any]) -> str:
    endpoint, sealed = spool["endpoints"][directory], spool["sealed"][directory]
    to = f", to {endpoint}" if endpoint else ""
    # Which of several has what waits.
    return f"{directory}{to}" + (f", {sealed} sealed" if sealed and len(spool["directories"]) > 1 else "")


def _of_spool(spool: dict[str, Any]) -> str:
    number, size = spool["segments"], spool["bytes"]
    parts = [f"{number[name]} {name} ({_size(size[name])})" for name in FOLDERS if number[name]]
    oldest = spool["oldest_sealed_seconds"]
    waits = f"; the oldest waits for {oldest:.0f} s" if oldest is not None else ""
    return (", ".join(parts) or "empty") + waits


def _counts(what: str, counts: dict[str, int]) -> str:
    return f"{what}: " + ", ".join(f"{reason} {number}" for reason, number in sorted(counts.items())) if counts else ""


def _size(number_bytes: int) -> str:
    return f"{number_bytes} B" if number_bytes < _KIB else f"{number_bytes / _KIB:.1f} KiB"


def _say_once(rows: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Keep a label only in the first of the rows that bear it."""
    labels = [label for label, _ in rows]
    return [("" if label in labels[:at] else label, text) for at, (label, text) in enumerate(rows)]
