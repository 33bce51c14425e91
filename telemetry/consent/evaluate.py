"""Evaluation of consent for this process: the stored choice and the notice are brought to the rules."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from telemetry.consent.decide import NOTICE_NOT_SHOWN, Decision, decide
from telemetry.consent.notice import NOTICE_VERSION, is_terminal, show_notice
from telemetry.consent.stored import ConsentError, Stored, read_stored, sole_teller, store_notice
from telemetry.native import time

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import TextIO


def evaluate(
    *,
    product: str,
    host: str | None,
    deployment: str | None,
    callback: Callable[[str], None] | None,
    environ: Mapping[str, str] = os.environ,
    policy_url: str = "",
    stderr: TextIO | None = None,
    may_tell: bool = True,
    no_unless: Mapping[str, Collection[str]] | None = None,
) -> Decision:
    """Decide for this process; show the notice first if that alone is missing.

    Never raises. Reads one small file. It writes only where it can show the notice, and then it may wait half a second
    for another writer. A notice that was shown but can't be remembered counts for this process; the next one shows it
    again. Of processes that start together one shows it; the others decide "local" until they `reconsider`.

    Args:
        product: a name that has passed `check_product`.
        host: the host's `consent`.
        deployment: the host's `deployment`.
        callback: shows the notice; None for the terminal.
        environ: the host's environment.
        policy_url: named in the notice unless empty.
        stderr: the terminal, if it is one; None for `sys.stderr`.
        may_tell: whether the notice may be shown; if not, a missing one stays missing, and nothing is written.
        no_unless: further variables that may say no, from the catalog.
    """

    def decided(stored: Stored) -> Decision:
        return decide(
            product=product,
            environ=environ,
            stored=stored.choice,
            host=host,
            deployment=deployment,
            notice_shown=stored.notice,
            no_unless=no_unless,
        )

    decision = decided(read_stored(product))
    stream = stderr or sys.stderr
    if decision.rule != NOTICE_NOT_SHOWN or not (may_tell and (callback or is_terminal(stream))):
        return decision
    with sole_teller(product) as is_ours:
        # It may have been shown while we took our turn.
        decision = decided(read_stored(product))
        if not is_ours or decision.rule != NOTICE_NOT_SHOWN:
            return decision
        if not show_notice(product, policy_url, callback=callback, stream=stream):
            return decision
        return decided(_remember_notice(product))


def reconsider(
    *,
    product: str,
    host: str | None,
    deployment: str | None,
    notice_shown: int,
    environ: Mapping[str, str] = os.environ,
    no_unless: Mapping[str, Collection[str]] | None = None,
) -> Decision | None:
    """Decide anew while the process runs; shows nothing, writes nothing, and reads one small file.

    The arguments are those of `evaluate`, and `notice_shown` is the version of the notice that this process itself has
    shown, 0 for none: it counts here even if it could not be remembered.

    Returns:
        The decision; None if the file can't be read, perhaps because this process lacks descriptors. The previous
        decision then stands, and the shipper, which reads the file too, stops in its place.
    """
    stored = read_stored(product)
    if stored.fault:
        return None
    return decide(
        product=product,
        environ=environ,
        stored=stored.choice,
        host=host,
        deployment=deployment,
        notice_shown=max(notice_shown, stored.notice),
        no_unless=no_unless,
    )


def _remember_notice(product: str) -> Stored:
    """Store that the notice was shown, and return what is stored, perhaps with a choice that was made meanwhile."""
    try:
        return store_notice(product, NOTICE_VERSION, time())
    except ConsentError:
        return read_stored(product)._replace(notice=NOTICE_VERSION)
