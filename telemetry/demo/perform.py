"""The demo from first to last line: run it, hold it to account, print what came of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from telemetry.demo.interrupt import InterruptedDemoError
from telemetry.demo.progress import open_display
from telemetry.demo.report import print_ledger, print_report
from telemetry.demo.result import Result
from telemetry.demo.run import Plan, run
from telemetry.demo.samples import take_samples
from telemetry.demo.stored import read_stored

if TYPE_CHECKING:
    from telemetry.demo.interrupt import Interrupt

EXIT_FAULT = 1
EXIT_INTERRUPTED = 130


def perform(plan: Plan, interrupt: Interrupt, *, as_json: bool) -> int:
    """Run the demo and print what came of it; returns the exit code."""
    say(f"{plan.events:,} events about this machine's Python files and processes; nothing leaves this machine")
    try:
        with open_display() as display:
            finished = run(plan, display, interrupt)
    except InterruptedDemoError:
        say("interrupted before the first event")
        return EXIT_INTERRUPTED
    result = Result(finished, read_stored(plan.store))
    return _tell_interrupted(result, as_json=as_json) if finished.interrupted else _tell(result, as_json=as_json)


def _tell(result: Result, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(f"{result.as_json()}\n")
    else:
        print_report(result, take_samples(result.run.comments, result.stored.comments))
    faults = list(result.faults())
    for fault in faults:
        say(fault)
    return EXIT_FAULT if faults else 0


def _tell_interrupted(result: Result, *, as_json: bool) -> int:
    say("interrupted")
    if as_json:
        sys.stdout.write(f"{result.as_json()}\n")
    else:
        print_ledger(result)
    return EXIT_INTERRUPTED


def say(text: str) -> None:
    """Write a line for the user, apart from the results."""
    sys.stderr.write(f"telemetry demo: {text}\n")
