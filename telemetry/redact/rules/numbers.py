"""Rules for numbers: accounts, cards, telephones, identity numbers, UUIDs."""

from __future__ import annotations

import re
from bisect import bisect_left
from itertools import accumulate

from telemetry.redact.checksum import (
    IBAN_COUNTRIES,
    iban_length,
    is_card,
    is_cpf,
    is_dni,
    is_iban,
    is_nir,
    is_ric,
    is_ssn,
    luhn_sums,
)
from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule

UUID = mark("uuid")
IBAN = mark("iban")
CARD = mark("card")
ID = mark("id")
PHONE = mark("phone")

# A run of digits with light separators is cut where its separators are, and every window is tried: a
# date before a card number must not hide it.

_GROUP = re.compile(r"\d+")
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9A-Za-z])", re.IGNORECASE)
_IBAN = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=IBAN))(?P<head>[A-Z]{2}[ ]?\d{2})(?P<value>(?:[ \t._/-]?[A-Z0-9]){11,30})",
    re.IGNORECASE | re.ASCII,
)
_CARD_RUN = re.compile(r"(?<!\d)\d(?:(?:[ .\-_/\t\n\u2010-\u2015\u00b7]{0,2}| - )\d){11,200}(?!\d)", re.ASCII)
_NO_JOINTS = str.maketrans("", "", " \t._/-")
_CARD_DIGITS = range(12, 20)


def _iban(match: re.Match[str]) -> str | None:
    length = iban_length(match["head"][:2].upper())
    compact = match[0].translate(_NO_JOINTS)
    if length is None or len(compact) < length or not is_iban(compact[:length].upper()):
        return None
    end = [place for place, character in enumerate(match[0]) if character.isalnum()][length - 1] + 1
    following = match.string[match.start() + end : match.start() + end + 1]
    return None if following.isalnum() else IBAN + match[0][end:]


def _cards(match: re.Match[str]) -> str | None:
    run = match[0]
    groups = [found.span() for found in _GROUP.finditer(run)]
    digits = "".join(run[start:end] for start, end in groups)
    offsets = list(accumulate((end - start for start, end in groups), initial=0))
    sums = luhn_sums(digits)
    spans: list[tuple[int, int]] = []
    first = 0
    while first < len(groups):
        last = _card_end(digits, offsets, sums, first)
        if last is not None:
            spans.append((groups[first][0], groups[last][1]))
        first = first + 1 if last is None else last + 1
    for start, end in reversed(spans):
        run = run[:start] + CARD + run[end:]
    return run


def _card_end(digits: str, offsets: list[int], sums: tuple[list[int], list[int]], first: int) -> int | None:
    """The last group of the longest card number that begins with a group."""
    start, found = offsets[first], None
    if digits[start] not in "234568":  # no card begins otherwise
        return None
    for last in range(bisect_left(offsets, start + _CARD_DIGITS.start), len(offsets)):
        end = offsets[last]
        if end - start >= _CARD_DIGITS.stop:
            break
        if (sums[end % 2][end] - sums[end % 2][start]) % 10:
            continue
        if is_card(digits[start:end]):
            found = last - 1
    return found


_SSN = re.compile(r"(?<![\d-])(?P<area>\d{3})(?P<sep>[- ])\d{2}(?P=sep)\d{4}(?![\d]|-\d)", re.ASCII)
_ID_FORMS = re.compile(
    r"(?<!\w)(?=\w)(?:(?P<cpf>\d{3}\.\d{3}\.\d{3}-\d{2})|(?P<dni>[XYZ]?\d{7,8}-?[A-HJ-NP-TV-Z])"
    r"|(?P<nino>[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D])"
    r"|(?P<fiscal>[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z])|(?P<nir>[12] ?\d{2} ?\d{2} ?\d{2} "
    r"?\d{3} ?\d{3} ?\d{2})|(?P<ahv>756\.\d{4}\.\d{4}\.\d{2})"
    r"|(?-i:[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z])|(?P<curp>[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d)"
    r"|(?P<ric>[1-9]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[\dX]))(?!\w)",
    re.IGNORECASE | re.ASCII,
)
_ID_KEY = (
    r"ssn|itin|social security|social insurance|passport|nino|national insurance|tax ?(?:id|payer|file)|tin|nif|nie|"
    r"nir|insee|cpf|cnpj|aadhaar|uidai|bsn|pesel|personnummer|f.dselsnummer|kennitala|steuer\w{0,12}|idnr|"
    r"driver'?s? ?licen[sc]e|"
    r"(?:national|personal|identity|citizen|id)[ _]?(?:card|id|insurance|number|code)|id card|dni|curp|"
    r"nhs|medicare|"
    r"codice ?fiscale|sozialversicherung\w{0,10}|s?vnr|ahv|vat|hetu|cpr|egn|cnp|asmens|isikukood|oib|emso|amka|"
    r"tc ?kimlik|tckn|"
    r"tckimlik|rut|sin|tfn|ppsn?|rrn|nric|mykad|cuit|cuil|rntrc|ipn|cnic|cedula|nik|citizen ?id|my ?number"
)
_ID_WEAK_KEY = r"pan|pin|ric|ci|cc|nit|rc|nn|ik|pvn|id|nr|personal"
_ID_NUMBER = r"(?:[ _]?(?:number|num|no|nr|id|code|#)\.?)?"
# Each group has a digit, so that no word behind the number is taken for a part of it.
_ID_VALUE = (
    r"(?=[A-Z]{0,8}[ ./-]?\d)[A-Z0-9]{1,22}(?:[ ./-](?=[A-Z]{0,6}\d)[A-Z0-9]{1,14}){0,6}(?:-[A-Z0-9]{1,2})?(?!\w)"
)
_ID_BEHIND_KEY = re.compile(
    rf"(?P<key>(?<![A-Za-z])(?:(?P<sure>{_ID_KEY})|{_ID_WEAK_KEY}){_ID_NUMBER}\W{{1,6}}(?:is )?)(?P<value>{_ID_VALUE})",
    re.IGNORECASE | re.ASCII,
)
_ID_DIGITS = range(4, 23)
_ID_DIGITS_BEHIND_WEAK_KEY = range(9, 23)


def _ssn(match: re.Match[str]) -> str | None:
    return ID if is_ssn("".join(filter(str.isdigit, match[0]))) else None


def _id_form(match: re.Match[str]) -> str | None:
    compact = "".join(filter(str.isalnum, match[0]))
    sure = {"cpf": is_cpf, "dni": is_dni, "nir": is_nir, "ric": is_ric}.get(match.lastgroup or "")
    return ID if sure is None or sure(compact) else None


def _id_behind_key(match: re.Match[str]) -> str | None:
    digits = sum(character.isdigit() for character in match["value"])
    enough = _ID_DIGITS if match["sure"] else _ID_DIGITS_BEHIND_WEAK_KEY
    return match["key"] + ID if digits in enough else None


_PHONE_PLUS = re.compile(r"(?<![\w+])\+\s?\(?\d(?:[ .\-/()\u2011]{0,2}\d){6,14}(?!\d)", re.ASCII)
# National forms: three groups or more, or a code in brackets or with its leading zero and one group.
_PHONE_FORMS = re.compile(
    r"(?<![\w.+/-])(?:(?:\d{1,3}[ \-])?\(\d[\d \-]{0,5}\)[ \-]?\d{1,5}(?:[ .\-]?\d{2,5}){1,4}"
    r"|\d{1,5}(?:[ \-]\d{1,6}){2,5}(?![\w-]|[./]\d)"
    r"|(?:1[ .\-])?[2-9]\d{2}(?P<nanp>[ .\-])\d{3}(?P=nanp)\d{4}"
    r"|0\d{1,4}(?P<sep>[ /\-])\d{2,8}(?:[ /\-]?\d{2,5}){0,4}|0\d(?P<dot>\.)\d{2}(?:\.\d{2}){3}"
    r"|00[1-9]\d{0,2}[ .\-/]?\d{1,4}(?:[ .\-/]?\d{2,5}){2,5})(?![\w-]|[./]\d)",
    re.ASCII,
)
_PHONE_BEHIND_KEY = re.compile(
    r"(?P<key>(?<![A-Za-z])(?:tel(?:efon\w?|ephone)?|phone|mobile|cell|fax|call(?:ed|er|ing)?|whatsapp|sms|msisdn"
    r"|handy|text(?:ed)?)(?:[ _]?(?:number|num|no|nr))?"
    r"\W{1,6}(?:(?:at|to|on|is|from|me|us) ){0,2})(?P<value>\(?\d(?:[ .\-/()]{0,2}\d){3,14})(?!\d)",
    re.IGNORECASE | re.ASCII,
)
_DATE = re.compile(r"(?:(?:19|20)\d{2}[-/. ][01]?\d[-/. ][0-3]?\d|[0-3]?\d[-/. ][0-3]?\d[-/. ](?:19|20)\d{2})(?!\d)")
_PHONE_DIGITS = range(7, 16)


def _phone(match: re.Match[str]) -> str | None:
    digits = sum(character.isdigit() for character in match[0])
    if digits not in _PHONE_DIGITS or _DATE.match(match[0]):
        return None
    return PHONE


def _phone_behind_key(match: re.Match[str]) -> str | None:
    """Small countries have numbers of four digits; `call 20000` is none of them, `call me at 20000` is."""
    digits = sum(character.isdigit() for character in match["value"])
    key = match["key"].lower()
    weak = key.startswith(("call", "cell", "text", "handy")) and not re.search(r" (?:me|us) ", key)
    if (weak and digits not in _PHONE_DIGITS) or _DATE.match(match["value"]):
        return None
    return match["key"] + PHONE


UUIDS = (
    Rule(
        "uuid",
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",),
        _UUID,
        lambda match: UUID if match[0].strip("0-") else None,
        "job 6fa459ea-ee8a-3ca4-894e-db77e160355e done",
        "job [uuid] done",
    ),
)
IBANS = (
    Rule(
        "iban",
        (rf"(?:[^a-z0-9]|iban)(?:{'|'.join(IBAN_COUNTRIES)}) ?[0-9]{{2}}(?:[ \t._/\-]?[a-z0-9]){{11}}",),
        _IBAN,
        _iban,
        "paid to DE89 3704 0044 0532 0130 00 today",
        "paid to [iban] today",
    ),
)
NUMBERS = (
    Rule(
        "phone",
        (r"\+\s?\(?[0-9](?:[ .\-/()]{0,2}[0-9]){6}",),
        _PHONE_PLUS,
        _phone,
        "call +49 30 901820 now",
        "call [phone] now",
    ),
    Rule(
        "card",
        (r"[0-9](?:(?:[ .\-_/\t\n!]{0,2}| - )[0-9]){11}",),
        _CARD_RUN,
        _cards,
        "on 2024-01-31 4111 1111 1111 1111 was charged",
        "on 2024-01-31 [card] was charged",
        weight=16,  # in a run of single digits a number may begin at each
    ),
    Rule(
        "id",
        (r"[0-9]{3}[\- ][0-9]{2}[\- ][0-9]{4}",),
        _SSN,
        _ssn,
        "holder 536-22-4581 found",
        "holder [id] found",
    ),
    Rule(
        "id",
        (
            r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}",
            r"[0-9]{7}-?[a-z]",
            r"[a-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-d]",
            r"[a-z]{6}[0-9]{2}[a-z][0-9]{2}[a-z][0-9]{3}[a-z]",
            r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
            r"756\.[0-9]{4}\.",
            r"[a-z]{4}[0-9]{6}[a-z]{6}",
            r"[a-z]{5}[0-9]{4}[a-z]",
            r"[^a-z0-9_][0-9]{17}[0-9x]",
        ),
        _ID_FORMS,
        _id_form,
        "holder 529.982.247-25 found",
        "holder [id] found",
    ),
    Rule(
        "id",
        (
            rf"(?:{_ID_KEY}){_ID_NUMBER}[^a-z0-9_]{{1,6}}(?:is )?[a-z]{{0,8}}[ ./\-]?[0-9]",
            rf"(?:{_ID_WEAK_KEY}){_ID_NUMBER}[^a-z0-9_]{{1,6}}(?:is )?[a-z]{{0,8}}[ ./\-]?[0-9][a-z0-9 ./\-]{{8}}",
        ),
        _ID_BEHIND_KEY,
        _id_behind_key,
        "passport no. C01X00T47 found",
        "passport no. [id] found",
    ),
    Rule(
        "phone",
        (
            (
                r"(?:tel[a-z]{0,6}|phone|mobile|cell|fax|call[a-z]{0,3}|whatsapp|sms|msisdn|handy|text(?:ed)?)(?:[ "
                r"_]?(?:number|num|no|nr))?"
                r"[^a-z0-9_]{1,6}(?:(?:at|to|on|is|from|me|us) ){0,2}\(?[0-9](?:[ .\-/()]{0,2}[0-9]){3}"
            ),
        ),
        _PHONE_BEHIND_KEY,
        _phone_behind_key,
        "phone: 5551234567 twice",
        "phone: [phone] twice",
    ),
    Rule(
        "phone",
        (
            r"[2-9][0-9]{2}[ .\-][0-9]{3}[ .\-][0-9]{4}",
            r"0[0-9]{1,4}[ /\-][0-9]{2,8}",
            r"0[0-9]\.[0-9]{2}\.[0-9]{2}\.[0-9]{2}",
            r"00[1-9][0-9 .\-/]{8}",
            r"[0-9][ \-][0-9]{1,6}[ \-][0-9]",
            r"\([0-9][0-9 \-]{0,5}\)[ \-]?[0-9]",
        ),
        _PHONE_FORMS,
        _phone,
        "rang (555) 123-4567 twice",
        "rang [phone] twice",
    ),
)
