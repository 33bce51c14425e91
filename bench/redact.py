"""How much of what is private does redaction find, how much of what is clean does it leave alone, and how fast?

Recall: canaries of every kind, planted in five carriers, plain and in each encoding, and in the messages of installed
packages; one is lost if four characters in a row of it can be read in what is left, by whatever encoding. Those that
are told by themselves stand in the lines of other programs too. Precision: sentences out of installed source, and
messages filled with what is harmless.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from itertools import cycle
from time import process_time
from typing import TYPE_CHECKING, NamedTuple

from bench.corpus.canary import Canary, trace
from bench.corpus.carriers import CARRIERS, ENCODINGS
from bench.corpus.kinds import KINDS, canaries
from bench.corpus.lines import LINES
from bench.corpus.sentences import carriers, messages, sentences
from bench.events import CLEAN_TEXTS, DIRTY_TEXTS
from bench.measure import Result, progress, summarize
from telemetry.redact.rules.placeholder import PLACEHOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from telemetry.redact.text import TextRedactor

_WRITTEN = " ".join(f"[{kind}]" for kind in PLACEHOLDERS) + " https://[host]/[path] ssh://[host] Schlüssel"
_AT_ONCE = 500
COMPACT = {
    "ipv4": re.compile(r"\d+(?:\.\d+){3}"),
    "ipv6": re.compile(r"[0-9a-fA-F]*:[0-9a-fA-F:.]*"),
    "mac": re.compile(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2})+"),
    "email": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    "phone": re.compile(r"\+\d+"),
    "card": re.compile(r"\d{16}"),
    "iban": re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]+"),
}
"""Kinds that are told by themselves when they are written without blanks, whatever stands around them."""


class Planted(NamedTuple):
    """A canary where it was planted."""

    kind: str
    carrier: str
    encoding: str
    canary: Canary
    text: str


class Leak(NamedTuple):
    """What was left of one, and the trace of it that was found there."""

    planted: Planted
    left: str
    trace: str


def plant(kind: str, number: int, seed: int) -> Iterator[Planted]:
    """Plant canaries of a kind, each plain in every carrier, and in every encoding in one of them."""
    for turn, canary in enumerate(canaries(kind, number, seed)):
        for carrier, carry in CARRIERS.items():
            yield Planted(kind, carrier, "plain", canary, carry(canary.text))
        for shift, (encoding, encode) in enumerate(ENCODINGS.items()):
            if encoding != "plain":
                carrier = list(CARRIERS)[(turn + shift) % len(CARRIERS)]
                yield Planted(kind, carrier, encoding, canary, CARRIERS[carrier](encode(canary.text)))


def plant_lines(kind: str, seed: int) -> Iterator[Planted]:
    """Plant a value of a kind, in its compact form, in each of the lines that other programs write."""
    compact = [one.private[0] for one in canaries(kind, 999, seed) if COMPACT[kind].fullmatch(one.private[0])]
    for line, value in zip(LINES, cycle(compact)):
        yield Planted(kind, line, "plain", Canary(value, (value,)), line.replace("{}", value))


def plant_messages(kind: str, said: list[str], seed: int) -> Iterator[Planted]:
    """Plant a canary of a kind in each of these messages, plain and in one of the encodings by turns."""
    hidden = cycle([encoding for encoding in ENCODINGS if encoding != "plain"])
    for number, canary in enumerate(canaries(kind, 2 * len(said), seed)):
        message, encoding = said[number // 2], "plain" if number % 2 == 0 else next(hidden)
        yield Planted(kind, message, encoding, canary, message.replace("{}", ENCODINGS[encoding](canary.text)))


def leaks(texts: TextRedactor, planted: list[Planted]) -> Iterator[Leak]:
    """Redact the carriers and look for traces of what they carry."""
    for one, left in zip(planted, redacted(texts, [one.text for one in planted]), strict=True):
        if left is None:
            continue
        around = one.canary.text
        for part in one.canary.private:
            around = around.replace(part, "\0")
        carry = CARRIERS.get(one.carrier) or partial(one.carrier.replace, "{}")
        found = trace(one.canary.private, left, f"{carry(around)} {carry('[]')} {_WRITTEN}")
        if found is not None:
            yield Leak(one, left, found)


def redacted(texts: TextRedactor, raw: list[str]) -> Iterator[str | None]:
    """What leaves of each text; None for one that is dropped."""
    for start in range(0, len(raw), _AT_ONCE):
        some = raw[start : start + _AT_ONCE]
        findings = texts.redact(some)
        yield from (findings[n].text if n in findings else text for n, text in enumerate(some))


def changed(texts: TextRedactor, clean: list[str]) -> Iterator[tuple[str, str | None]]:
    """The sentences that redaction does not leave as they are, before and after."""
    return ((raw, left) for raw, left in zip(clean, redacted(texts, clean), strict=True) if raw != left)


def measure(runs: int, number: int, *, detailed: bool) -> list[Result]:
    """Measure recall with `number` canaries of each kind, precision, and cost; each run draws others."""
    from telemetry.redact.text import TextRedactor  # noqa: PLC0415 - compiles for half a second

    texts = TextRedactor()
    said = carriers()
    shares: dict[tuple[str, str], list[float]] = {}
    for seed in range(1, runs + 1):
        for kind in KINDS:
            progress(f"redact: {kind}, run {seed}")
            for name, metric, share in _recall(texts, kind, number, seed, detailed=detailed):
                shares.setdefault((name, metric), []).append(share)
            planted = list(plant_messages(kind, said, seed))
            share = _share(len(list(leaks(texts, planted))), len(planted))
            shares.setdefault(
                (f"{kind}, in {len(said)} messages of packages, {len(planted)} texts", "recall"), []
            ).append(share)
        progress(f"redact: clean sentences, run {seed}")
        clean = sentences(10 * number, seed)
        kept = 100 * (1 - len(list(changed(texts, clean))) / len(clean))
        shares.setdefault(("clean sentences", "unchanged"), []).append(kept)
        for rule, share in _false_alarms(texts, clean).items():
            shares.setdefault((f"clean sentences, {rule}", "changed"), []).append(share)
        for form, said in zip(("constant", "filled"), messages(seed), strict=True):
            share = 100 * len(list(changed(texts, said))) / len(said)
            shares.setdefault((f"{form} messages of installed packages, {len(said):,}", "changed"), []).append(share)
        for kind in COMPACT:
            progress(f"redact: {kind} in {len(LINES)} lines, run {seed}")
            planted = list(plant_lines(kind, seed))
            share = _share(len(list(leaks(texts, planted))), len(planted))
            shares.setdefault((f"{kind}, alone in each of {len(LINES)} lines", "recall"), []).append(share)
    found = [summarize(name, metric, "%", values) for (name, metric), values in shares.items()]
    return [*found, *_speed(texts, runs)]


def _recall(
    texts: TextRedactor, kind: str, number: int, seed: int, *, detailed: bool
) -> Iterator[tuple[str, str, float]]:
    planted = list(plant(kind, number, seed))
    leaked = [leak.planted for leak in leaks(texts, planted)]
    yield kind, "recall", _share(len(leaked), len(planted))
    dropped = sum(left is None for left in redacted(texts, [one.text for one in planted]))
    yield kind, "texts dropped whole", 100 - _share(dropped, len(planted))
    if detailed:
        lost, all_ = _by_place(leaked), _by_place(planted)
        for (carrier, encoding), count in all_.items():
            yield f"{kind}, {carrier}, {encoding}", "recall", _share(lost[carrier, encoding], count)


def _false_alarms(texts: TextRedactor, clean: list[str]) -> dict[str, float]:
    """The percentage of clean sentences that each rule has changed."""
    alarms = Counter(rule for found in texts.redact(clean).values() for rule in found.rules)
    return {rule: 100 * number / len(clean) for rule, number in alarms.most_common()}


def _by_place(planted: Iterable[Planted]) -> Counter[tuple[str, str]]:
    return Counter((one.carrier, one.encoding) for one in planted)


def _share(lost: int, number: int) -> float:
    return 100 * (1 - lost / number)


def _speed(texts: TextRedactor, runs: int) -> list[Result]:
    """CPU time of a text where 0, 1 and 10 % are dirty, and what that is to a clean one."""
    results, clean_cost = [], 0.0
    for dirty in (0, 1, 10):
        batch = [(DIRTY_TEXTS if n % 100 < dirty else CLEAN_TEXTS)[n % 3] for n in range(10_000)]
        costs = []
        for _ in range(runs + 1):
            started = process_time()
            texts.redact(batch)
            costs.append((process_time() - started) / len(batch) * 1e6)
        results.append(summarize(f"text, {dirty} % dirty", "CPU per text", "us", costs[1:]))
        clean_cost = clean_cost or results[-1].median
        results.append(
            summarize(f"text, {dirty} % dirty", "to a clean text", "ratio", [cost / clean_cost for cost in costs[1:]])
        )
    return results
