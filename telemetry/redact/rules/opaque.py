"""Rules for strings that only a machine makes: keys of unknown makers, digests, trace ids.

In free text a digest goes too: the MD5 of a mail address is that address, and 32 hex digits may as well be a key. Who
wants a trace id or a commit declares a field for it. Short ones (a commit's first digits, a span, `0x7f3a…`) stay.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re
from operator import add

from telemetry.redact.rules.placeholder import MARKS, mark
from telemetry.redact.rules.rule import Rule, split_closing

OPAQUE = mark("opaque")

_FEWEST_CHARACTERS = 20
# A run in a path or in an address is theirs. `(?!@)`: the local part of an address.
_START = r"(?:(?<![A-Za-z0-9+/_.~@-])|(?<=[\s\"'(\[]@))"
_RUN = re.compile(rf"{_START}[A-Za-z0-9+_-][A-Za-z0-9+/_.-]{{{_FEWEST_CHARACTERS - 1},}}+={{0,2}}(?!@)")
_BASE64 = re.compile(
    rf"(?:{_START}|(?<=[<\"'=:]/))(?=[A-Za-z0-9]{{0,200}}+[+/])[A-Za-z0-9+][A-Za-z0-9+/]{{23,}}+={{0,2}}(?![\w.@-])"
)
# Some makers' alphabets have an equals sign; so long a run is no key and its value.
_JOINED = re.compile(rf"{_START}(?=[\w+/.-]{{0,400}}+=[\w+/.=-])[A-Za-z0-9+_-][\w+/.=-]{{31,400}}(?!@)", re.ASCII)
_KEYS_BEFORE = re.compile(r"(?:[A-Za-z][A-Za-z_.-]*=)+")
_INNER_SIGN = re.compile(r"=[A-Za-z0-9_-]")
_SIGNED = re.compile(
    rf"(?<![^\s\"'`(\[{{=:,;])(?=[A-Za-z0-9_.:/()<>+=-]{{0,80}}[!#$%&*^~|;?@])[^\s\"'`{MARKS}]{{8,400}}"
)
# What the scan looks for as well: an exact rule finds nothing that it has no reason to look at.
_SIGNS_WITHIN = r"[a-z0-9][!#$%&*^~|][!-~]{1,40}[!#$%*^~|][!-~]{0,40}[a-z0-9]"
_HAS_SIGNS_WITHIN = re.compile(_SIGNS_WITHIN, re.IGNORECASE | re.ASCII)
_SIGNS = re.compile(r"[!#$%&*^~|;?@]")
_NO_SIGN = re.compile(r"[A-Za-z0-9]+")
_ESCAPES = re.compile(r"%[0-9A-Fa-f]{2}.*%[0-9A-Fa-f]{2}|&#?\w{2,8};|\w=[^&]*&\w+=")
_ALL_CLASSES = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)")
_WORD_PIECE = re.compile(r"[A-Za-z]{4}|[a-z]{3}")
_TEMPLATE = re.compile(r"[({\[].*[)}\]]|\\")
_MOST_CHARACTERS_IN_QUOTES = 20
_FEWEST_SIGNS = 2
_JOINTS = re.compile(r"[/+_=.-]+")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_SWITCH = re.compile(r"(?<=[0-9])[A-Za-z]|(?<=[A-Za-z])[0-9]")
_PAIR = re.compile(r"(?=([a-z]{2}))")
# Pairs of letters that make up 84 % of all pairs in English words and identifiers, and 25 % in random letters.
USUAL_PAIRS = frozenset(
    "ab ac ad ag ai al am an ap ar as at ba be bi bl ca ce ch ci ck cl co cr ct cu da de di do ds ea ec ed ee "
    "ef eg el em en ep er es et ev ex fa fe ff fi fo ge gr ha he hi ho ia ib ic id ie if ig il im in io ip ir "
    "is it iv iz ke la le li ll lo ls lt lu ly ma me mi mo mp na nc nd ne nf ng ni no ns nt oc od ol om on oo "
    "op or os ot ou ow pa pe pi pl po pp pr pt qu ra rc rd re rg ri rm ro rr rs rt ru ry sa sc se sh si so sp "
    "ss st su ta tc te th ti to tr ts tt tu ty ua ub ue ul um un up ur us ut va ve vi wa yp ze".split()
)
# Of names in source, 2 % are below the first share; of random strings of 24 characters, 0.5 % are above it.
_USUAL_SHARE = 0.6
_USUAL_SHARE_OF_LETTERS = 0.42  # without a digit; names in other tongues and acronyms have few usual pairs
_MAY_BE_RANDOM = re.compile(r"[A-Za-z0-9]{20}|[0-9][A-Za-z]|[A-Za-z][0-9][A-Za-z0-9]|[a-z][A-Z][A-Z0-9]")
_FEWEST_CHARACTERS_IN_PIECES = 14  # of those that are no words
# Each word to its end: a long one could be parted in as many ways as its length to the fifth.
_WORD = r"[A-Z]?[a-z]{2,}+|[A-Z]{2,}+(?![a-z])|[A-Z]{2,}(?=[A-Z][a-z])"
_PLAIN_PIECE = re.compile(rf"\d*|0x[0-9a-f]{{1,16}}|(?:[A-Z]?[a-z]+|[A-Z]+|(?:{_WORD}){{1,6}})\d{{0,4}}")
_PLACE = re.compile(r"0x[0-9a-f]{1,16}(?:[A-Z][a-z]+|[A-Z]{2,5}){1,3}")  # in memory, with a word glued to it
_FEWEST_DISTINCT = 8  # `xxxxxxxx…`
_FEWEST_LETTERS = 4  # else a number
_DIGESTS = {32, 40, 64}  # hexadecimal digits
_MOST_SWITCHES = 7  # from letters to digits and back; `utf8sha256md5x86` has so many
_CASES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MOST_CHARACTERS_OF_A_CASE = 3  # on average, in letters of which the case changes at random; words have more
_FEWEST_PAIRS = 4  # letters that hardly ever stand together are no words


def _opaque(match: re.Match[str]) -> str | None:
    run, closing = split_closing(match[0])
    if not _MAY_BE_RANDOM.search(run):
        return None
    pieces = _JOINTS.split(run)
    if any(len(piece) >= _FEWEST_CHARACTERS and is_random(piece) and not _PLACE.fullmatch(piece) for piece in pieces):
        return OPAQUE + closing
    most, kept = sum(map(len, pieces)), []
    for piece in pieces:
        if most < _FEWEST_CHARACTERS_IN_PIECES:  # whatever the others are: most runs are words
            return None
        if _is_plain(piece) or _PLACE.fullmatch(piece):
            most -= len(piece)
        else:
            kept.append(piece)
    return OPAQUE + closing if most >= _FEWEST_CHARACTERS_IN_PIECES and is_random("".join(kept)) else None


def _joined(match: re.Match[str]) -> str | None:
    """Confirm a run with an equals sign within it; a key before a value is no part of the run."""
    run, closing = split_closing(match[0])
    key = _KEYS_BEFORE.match(run)
    head = key[0] if key and all(map(_is_plain, _JOINTS.split(key[0]))) else ""
    if not _INNER_SIGN.search(run, len(head)):
        return None
    rest = "".join(piece for piece in _JOINTS.split(run[len(head) :]) if not _is_plain(piece))
    return head + OPAQUE + closing if len(rest) >= _FEWEST_CHARACTERS and is_random(rest) else None


def _base64(match: re.Match[str]) -> str | None:
    return OPAQUE if is_random(match[0]) and not all(map(_is_plain, _JOINTS.split(match[0]))) else None


def _signed(match: re.Match[str]) -> str | None:
    """Confirm a text that only a generator of passwords makes: letters of both cases, digits and signs, no words."""
    run, closing = split_closing(match[0])
    signs = {*_SIGNS.findall(run)}
    if not _HAS_SIGNS_WITHIN.search(run):
        return None
    if len(signs) < _FEWEST_SIGNS or "://" in run or _ESCAPES.search(run) or (run[0] in "/~.$%" and "/" in run):
        return None
    pieces = _NO_SIGN.findall(run)
    rest = "".join(piece for piece in pieces if not _is_plain(piece))
    if len(rest) >= _FEWEST_CHARACTERS_IN_PIECES and _ALL_CLASSES.match(rest):
        return OPAQUE + closing if is_random(rest) else None
    # A short one is a value if it stands in quotes.
    before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 1]
    quoted = before == after and before in {'"', "'", "`"} and _ALL_CLASSES.match("".join(pieces)) is not None
    short = quoted and not any(_WORD_PIECE.search(piece) for piece in pieces) and "%" not in run
    return OPAQUE if short and len(run) <= _MOST_CHARACTERS_IN_QUOTES and not _TEMPLATE.search(run) else None


def _is_plain(piece: str) -> bool:
    """Tell whether a piece is a number or words with one behind, as in `x86_64-unknown-linux-gnu` and `m_000002`."""
    match = _PLAIN_PIECE.fullmatch(piece)
    if match is None:
        return False
    pairs = _pairs(piece.lower())
    if len(pairs) < _FEWEST_PAIRS:
        return True
    return sum(map(USUAL_PAIRS.__contains__, pairs)) / len(pairs) >= _USUAL_SHARE_OF_LETTERS


def _pairs(run: str) -> list[str]:
    """Return the pairs of neighbouring letters in a run of small letters and other signs."""
    return [*map(add, run, run[1:])] if run.isascii() and run.isalpha() else _PAIR.findall(run)


def is_random(run: str) -> bool:
    """Tell whether a run of 20 letters, digits and joints or more is made of no words."""
    letters = sum(map(str.isalpha, run))
    has_digits = any(map(str.isdigit, run))
    few = letters < _FEWEST_LETTERS and not (letters and len(run) in _DIGESTS and _HEX.fullmatch(run))
    if few or len({*run}) < _FEWEST_DISTINCT:
        return False
    if has_digits and (_HEX.fullmatch(run) or len(_SWITCH.findall(run)) > _MOST_SWITCHES):
        return True
    pairs = _pairs(run.lower())
    if len(pairs) < _FEWEST_PAIRS:
        return has_digits
    usual = sum(map(USUAL_PAIRS.__contains__, pairs)) / len(pairs)
    if not has_digits and len(run) < _MOST_CHARACTERS_OF_A_CASE * len(_CASES.findall(run)):
        return usual < _USUAL_SHARE
    return usual < (_USUAL_SHARE if has_digits else _USUAL_SHARE_OF_LETTERS)


# Before an edge, so that a long run is reported once and not at each of its characters; behind one, as would do as
# well, all expressions together take twice as long.
BASE64 = (
    Rule(
        "opaque",
        (r"[a-z0-9+/_.=\-]{32}[^a-z0-9+/_.=\-]",),
        _JOINED,
        _joined,
        "refused x_hmizsyq=a14prtyevtv4vtjs-ega-m0k=_vyl7x at 3",
        "refused [opaque] at 3",
    ),
    Rule(
        "opaque",  # with slashes it would be read as a path
        (r"[a-z0-9+/]{24}[^a-z0-9+/]",),
        _BASE64,
        _base64,
        "blob q83v/jRWeJCrze8SN+Z4kKvN7xI0VniQq83vEjRWeJA= of and/or differs",
        "blob [opaque] of and/or differs",
        weight=8,  # its letters are looked at one by one
        pace=3,
    ),
    Rule(
        "opaque",
        (_SIGNS_WITHIN,),
        _SIGNED,
        _signed,
        "kanban hJ4K~W4|RHH--o}:BiwRhY9J2pl/5x refused",
        "kanban [opaque] refused",
        weight=2,
        pace=3,
    ),
)
RUNS = (
    Rule(
        "opaque",
        (rf"[a-z0-9+/_.\-]{{{_FEWEST_CHARACTERS}}}[^a-z0-9+/_.\-]",),
        _RUN,
        _opaque,
        "object 9f86d081884c7d659a2feaa0c55ad015 of worker_thread_pool_size lost",
        "object [opaque] of worker_thread_pool_size lost",
        weight=1,
        pace=3,
    ),
)
