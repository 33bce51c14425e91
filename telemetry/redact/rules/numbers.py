"""Rules for numbers: accounts, cards, telephones, identity numbers, UUIDs."""

# ruff: noqa: SIM905 - a list of sizes reads better as words
from __future__ import annotations

import re
from bisect import bisect_left
from itertools import accumulate, pairwise

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
from telemetry.redact.rules.nobodys import is_nobodys
from telemetry.redact.rules.placeholder import MARKS, mark
from telemetry.redact.rules.rule import Rule

UUID = mark("uuid")
IBAN = mark("iban")
CARD = mark("card")
ID = mark("id")
PHONE = mark("phone")

# A run of digits with light separators is cut where its separators are, and every window is tried: a date before a card
# number must not hide it. One in ten windows has a right check digit, so a window counts only as cards are written:
# as one group, in fours, by Amex's groups, or digit by digit, with one separator throughout.

_GROUP = re.compile(r"\d+")
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)
_UUID_CHARACTERS = 36
_IBAN = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=IBAN)|(?-i:(?<=[a-z])(?=[A-Z]{2}))|(?-i:(?<=\d)(?<!\d\d)(?=[A-Z]{2}\d\d)))"
    r"(?P<head>[A-Z]{2}[ ]?\d{2})(?P<value>(?:[ \t._/-]?[A-Z0-9]){11,30})",
    re.IGNORECASE | re.ASCII,
)
_CARD_JOINT = r"(?:[ .\-_/\t\n\u2010-\u2015\u00b7]{1,2}| - )"
_CARD_RUN = re.compile(
    rf"\d(?<!\d\d)(?:\d{{11,18}}|\d{{3}}(?:{_CARD_JOINT}\d{{4}}){{2,40}}(?:{_CARD_JOINT}\d{{1,3}})?"
    rf"|(?<=3)\d{{3}}{_CARD_JOINT}\d{{6}}{_CARD_JOINT}\d{{4,5}}"
    r"|(?:[ -]\d){11,100})(?!\d)",
    re.ASCII,
)
_NO_JOINTS = str.maketrans("", "", " \t._/-")
_CARD_DIGITS = range(12, 20)
_FIRST_DIGITS = "234568"  # no card begins otherwise
_CARD_GROUPS = re.compile(r"(?:4 ){2,4}[1-4]|4 6 [45]|(?:1 ){11,18}1")
_IN_A_NUMBER = re.compile(r"(?:\d\.|blk_-?)\Z")  # `0.4532…`
# `job_4532…`; of the usual size it may be a card still.
_IN_A_NAME = re.compile(r"(?:[A-Za-z0-9]_-?|[A-Za-z]-)\Z")
_USUAL_CARD = re.compile(r"\d{16}|3[47]\d{13}")
_CARD_NAME = re.compile(r"(?:card|pan|cc|visa|amex|mastercard|maestro)(?:_?(?:no|nr|num|number))?_\Z", re.IGNORECASE)


def _is_of_a_uuid(text: str, start: int, end: int) -> bool:
    """Tell whether a part of a text lies within a UUID, whose groups of four digits may look like another number's."""
    around = text[max(0, end - _UUID_CHARACTERS) : start + _UUID_CHARACTERS]
    return around.count("-") > 3 and _UUID.search(around) is not None  # noqa: PLR2004 - a UUID's joints


def _iban(match: re.Match[str]) -> str | None:
    length = iban_length(match["head"][:2].upper())
    compact = match[0].translate(_NO_JOINTS)
    if length is None or len(compact) < length or not is_iban(compact[:length].upper()):
        return None
    end = [place for place, character in enumerate(match[0]) if character.isalnum()][length - 1] + 1
    if _is_of_a_uuid(match.string, match.start(), match.start() + end):
        return None
    following = match.string[match.start() + end : match.start() + end + 1]
    glued = following.isdigit() or (following.isalnum() and match[0][end - 1].isalpha())
    return None if glued else IBAN + match[0][end:]


def begins_an_iban(text: str, position: int) -> bool:
    """Tell whether an account's number begins at a place."""
    match = _IBAN.match(text, position)
    return match is not None and _iban(match) is not None


def _cards(match: re.Match[str]) -> str | None:
    run = match[0]
    if run.isdigit():
        return CARD if run[0] in _FIRST_DIGITS and is_card(run) and _is_grouped(match, [(0, len(run))]) else None
    groups = [found.span() for found in _GROUP.finditer(run)]
    digits = "".join(run[start:end] for start, end in groups)
    offsets = list(accumulate((end - start for start, end in groups), initial=0))
    sums = luhn_sums(digits)
    spans: list[tuple[int, int]] = []
    first = 0
    while first < len(groups):
        last = _card_end(match, groups, digits, offsets, sums, first)
        if last is not None:
            spans.append((groups[first][0], groups[last][1]))
        first = first + 1 if last is None else last + 1
    for start, end in reversed(spans):
        run = run[:start] + CARD + run[end:]
    return run


def _card_end(
    match: re.Match[str],
    groups: list[tuple[int, int]],
    digits: str,
    offsets: list[int],
    sums: tuple[list[int], list[int]],
    first: int,
) -> int | None:
    """Return the last group of the longest card number that begins with group `first`, by its index, or None."""
    start, found = offsets[first], None
    if digits[start] not in _FIRST_DIGITS:
        return None
    for last in range(bisect_left(offsets, start + _CARD_DIGITS.start), len(offsets)):
        end = offsets[last]
        if end - start >= _CARD_DIGITS.stop:
            break
        if (sums[end % 2][end] - sums[end % 2][start]) % 10:
            continue
        if is_card(digits[start:end]) and _is_grouped(match, groups[first:last]):
            found = last - 1
    return found


def _is_grouped(match: re.Match[str], groups: list[tuple[int, int]]) -> bool:
    """Tell whether groups of a run have the sizes of a card number's, with the same separator between all of them."""
    start = match.start() + groups[0][0]
    before = match.string[max(0, start - 24) : start]
    if _is_of_a_uuid(match.string, start, match.start() + groups[-1][1]):
        return False
    if before.endswith("+") and sum(end - start for start, end in groups) in _PHONE_DIGITS:
        return False
    if len(groups) == 1:
        named = _IN_A_NAME.search(before) is not None and _CARD_NAME.search(before) is None
        return not _IN_A_NUMBER.search(before) and (
            not named or _USUAL_CARD.fullmatch(match[0], *groups[0]) is not None
        )
    joints = {match[0][end:start].strip() for (_, end), (start, _) in pairwise(groups)}
    sizes = " ".join(str(end - start) for start, end in groups)
    return len(joints) == 1 and _CARD_GROUPS.fullmatch(sizes) is not None


_SSN = re.compile(r"(?<![\d-])(?<!\d\.)(?P<area>\d{3})(?P<sep>[. -])\d{2}(?P=sep)\d{4}(?!\d|[.-]\d)", re.ASCII)
_ID_FORMS = re.compile(
    r"(?<!\w)(?=\w)(?:(?P<cpf>\d{3}\.\d{3}\.\d{3}-\d{2})|(?P<dni>[XYZ]?\d{7,8}-?[A-HJ-NP-TV-Z])"
    r"|(?P<nino>[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D])"
    r"|(?P<fiscal>[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z])|(?P<nir>[12] ?\d{2} ?\d{2} ?\d{2} "
    r"?\d{3} ?\d{3} ?\d{2})|(?P<ahv>756\.\d{4}\.\d{4}\.\d{2})"
    r"|(?-i:[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z])|(?P<curp>[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d)"
    r"|(?P<ric>[1-9]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[\dX]))(?![A-Za-z0-9])",
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
_ID_WEAK_KEY = r"pan|pin|ric|ci|cc|nit|rc|nn|ik|pvn|personal"
ID_KEYS = f"{_ID_KEY}|{_ID_WEAK_KEY}"
"""Words that introduce an identity number, which a state has given to somebody."""
_ID_NUMBER = r"(?:[ _]?(?:number|num|no|nr|id|code|#)\.?)?"
# Each group has a digit, so that no word behind the number is taken for a part of it.
_ID_VALUE = (
    r"(?=[A-Z]{0,8}[ ./-]?\d)[A-Z0-9]{1,22}(?:[ ./-](?=[A-Z]{0,6}\d)[A-Z0-9]{1,14}){0,6}(?:-[A-Z0-9]{1,2})?"
    r"(?![A-Za-z0-9])"
)
_BEHIND = rf"(?<![A-Za-z])(?:(?P<sure>{_ID_KEY})|{_ID_WEAK_KEY}){_ID_NUMBER}[^\w{MARKS}]{{1,6}}(?:is )?"
_ID_BEHIND_KEY = re.compile(rf"(?P<key>{_BEHIND})(?P<value>{_ID_VALUE})", re.IGNORECASE | re.ASCII)
_KEY_OF_AN_ID = re.compile(_BEHIND, re.IGNORECASE | re.ASCII)
_FOUND_BEHIND_KEY = re.compile(rf"{_BEHIND}{ID}", re.IGNORECASE | re.ASCII)
_ID_DIGITS = range(4, 23)
_ID_DIGITS_BEHIND_WEAK_KEY = range(9, 23)


def _ssn(match: re.Match[str]) -> str | None:
    return ID if is_ssn("".join(filter(str.isdigit, match[0]))) else None


def _id_form(match: re.Match[str]) -> str | None:
    compact = "".join(filter(str.isalnum, match[0]))
    if match["dni"] and match[0][-1].islower():  # eight hexadecimal digits, as often as not
        return None
    sure = {"cpf": is_cpf, "dni": is_dni, "nir": is_nir, "ric": is_ric}.get(match.lastgroup or "")
    return ID if sure is None or sure(compact) else None


def _id_behind_key(match: re.Match[str]) -> str | None:
    digits = sum(character.isdigit() for character in match["value"])
    enough = _ID_DIGITS if match["sure"] else _ID_DIGITS_BEHIND_WEAK_KEY
    return match["key"] + ID if digits in enough else None


def begins_an_id(text: str, position: int) -> bool:
    """Tell whether a key with an identity number begins at a position, where another rule looks for a name."""
    if not _KEY_OF_AN_ID.match(text, position):
        return False
    if _FOUND_BEHIND_KEY.match(text, position):
        return True
    match = _ID_BEHIND_KEY.match(text, position)
    return match is not None and _id_behind_key(match) is not None


# The codes of countries: `+0.270003` and `+7,000,000` are none.
_COUNTRY = (
    r"(?:[17]|2(?:[07]|[1-689]\d)|3(?:[0-469]|[578]\d)|4(?:[013-9]|2\d)|5(?:[1-8]|[09]\d)|6(?:[0-6]|[7-9]\d)"
    r"|8(?:[1246]|[0578]\d)|9(?:[0-58]|[679]\d))"
)
_PHONE_PLUS = re.compile(
    rf"(?<!\d\d)(?<![.,eE]\d)\+(?!\d{{1,8}}\.\d+(?![.\d]))(?:(?<!\d\s\+)\s)?\(?(?={_COUNTRY})"
    r"\d(?:[ .\-/()\u2011]{0,2}\d){6,14}(?!\d)",
    re.ASCII,
)
_DIGITS_OF_A_SUM = 10  # `x+1234567` adds up, as `n++`; with so many digits it is a number behind a word
# National forms: a code in brackets or with its zero, North American ones, groups of the sizes that a country writes.
_PHONE_FORMS = re.compile(
    r"(?=[\d(])(?:(?<![\w.+/-])(?<!:\d\d:)(?!(?:19|20)\d\d 0)|(?<=[A-Za-z][/.])(?=[0(]))(?!\d\d-\d\d \d\d:)"
    r"(?:(?P<brackets>(?:\d{1,3}[ \-])?\(\d[\d \-]{0,5}\)[ \-]?\d{1,5}(?:[ .\-]?\d{2,5}){1,4})"
    r"|(?P<nanp>(?:1[ .\-])?[2-9]\d{2}(?P<joint>[ .\-])\d{3}(?P=joint)\d{4})"
    r"|(?P<groups>\d{1,5}(?:[ \-]\d{1,7}){2,6})"
    r"|(?P<zero>0[1-9]\d{0,3}[ /\-]\d{2,8}(?:[ /\-]?\d{2,5}){0,4})|(?P<dots>0\d\.\d{2}(?:\.\d{2}){3})"
    rf"|(?P<abroad>00(?={_COUNTRY})\d{{1,3}}[ .\-/]?\d{{1,4}}(?:[ .\-/]?\d{{2,5}}){{2,5}}))(?![\w-]|[./]\d)",
    re.ASCII,
)
# Sizes of groups in national forms; the second line's have a leading zero, or an eight.
_GROUP_SIZES = frozenset("333 334 2222 233 234 3222 322 344 244 2322 133 224 324 12222 134 1334 2134 3323 3232".split())
_GROUP_SIZES_BEHIND_ZERO = frozenset(
    "433 4222 434 22222 3322 323 423 424 1323 1433 1344 13322 14222 2234 237 1343 2224 2215 13222 243 2233 1333 4312"
    " 3233 3244 4122 1324 524 444 425 4134 432 126 2332 4322 443 444".split()
)
_EDGE = r"[^a-z0-9_.+/\-]"


def _forms(first: str, sizes: frozenset[str]) -> str:
    """Return a prefilter for groups of digits of the given sizes, the first of which begins with one of `first`."""
    forms = sorted({r"[ \-]".join(f"[0-9]{{{size}}}" for size in group) for group in sizes})
    return rf"{_EDGE}(?:{'|'.join(first + _one_less(form) for form in forms)})[^0-9]"


def _one_less(form: str) -> str:
    size = int(form[6])
    return f"[0-9]{{{size - 1}}}{form[8:]}" if size > 1 else form[8:]


_NUMBER_BEFORE = re.compile(r"(?:\d[ \-]{1,2}|\d[:.,]|[*#=_] ?\d[ ])\Z")
_NUMBER_AFTER = re.compile(r"[ \-]{1,2}\d|[:,]\d|:[A-Z]")
_PORT = re.compile(r":\d{1,4}(?![\d:.])")  # a program that names a peer may put one behind it
_TIME_BEFORE = re.compile(r"\d:[0-5]\d:[0-5]\d(?:[.,]\d{3}| (?:19|20)\d\d)? \Z")
_ZIP = re.compile(r"\d{5}-\d{4}")  # `Boston, MA 02110-1301 USA`
_PHONE_BEHIND_KEY = re.compile(
    r"(?P<key>(?<![A-Za-z])(?:tel(?:efon\w?|ephone)?|phone|mobile|cell|fax|call(?:ed|er|ing)?|whatsapp|sms|msisdn"
    r"|handy|text(?:ed)?)(?:[ _]?(?:number|num|no|nr))?"
    rf"[^\w{MARKS}]{{1,6}}(?:(?:at|to|on|is|from|me|us) ){{0,2}})(?P<value>\(?\d(?:[ .\-/()]{{0,2}}\d){{3,14}})(?!\d)",
    re.IGNORECASE | re.ASCII,
)
_SINCE_1970 = re.compile(r"1[4-9]\d{8}(?:\d{3}){0,3}")
_DATE = re.compile(r"(?:(?:19|20)\d{2}[-/. ][01]?\d[-/. ][0-3]?\d|[0-3]?\d[-/. ][0-3]?\d[-/. ](?:19|20)\d{2})(?!\d)")
_PHONE_DIGITS = range(7, 16)
_COUNTED = re.compile(r"\+\d{10,14}(?P<count>\(\d{1,3})")
_NORTH_AMERICAN_DIGITS = 11  # a one, three, three and four


def _phone(match: re.Match[str]) -> str | None:
    if counted := _COUNTED.fullmatch(match[0]):  # `+17584304478(17) failed`
        return None if match.string[match.end() : match.end() + 1] != ")" else PHONE + counted["count"]
    number, closing, behind = match[0].partition(")")
    if closing and "(" not in number and len(number) >= _DIGITS_OF_A_SUM:  # `(+12423458323)17`
        return PHONE + closing + behind
    number, opening, behind = match[0].rpartition(" (")
    if opening and ")" not in behind and sum(map(str.isdigit, number)) >= _DIGITS_OF_A_SUM:  # `+12015554896 (17, 3)`
        return PHONE + opening + behind
    digits = sum(character.isdigit() for character in match[0])
    before = match.string[match.start() - 1 : match.start()]
    glued = before.isalnum() or before == "+"
    north_american = re.sub(r"\D", "", match[0][:4]).startswith("1")
    if north_american and digits != _NORTH_AMERICAN_DIGITS:
        return None
    if digits not in _PHONE_DIGITS or (glued and digits < _DIGITS_OF_A_SUM):
        return None
    return PHONE


def _national_phone(match: re.Match[str]) -> str | None:
    """Confirm a national phone number in a form that people write; beside other numbers, as in a table, it is none."""
    text, form = match[0], match.lastgroup
    digits = sum(character.isdigit() for character in text)
    before, after = match.string[max(0, match.start() - 4) : match.start()], match.string[match.end() : match.end() + 5]
    if text[0] == "0" and _TIME_BEFORE.search(match.string, max(0, match.start() - 16), match.start()):
        before = ""
    if digits not in _PHONE_DIGITS or _DATE.match(text) or _is_zip(text, before, after):
        return None
    if form in {"brackets", "nanp"}:
        return PHONE
    if _NUMBER_BEFORE.search(before) or (_NUMBER_AFTER.match(after) and not (text[0] == "0" and _PORT.match(after))):
        return None
    if form == "groups" and not _are_groups(text):
        return None
    return PHONE if form != "abroad" or digits >= _DIGITS_OF_A_SUM else None


def _are_groups(text: str) -> bool:
    sizes = "".join(str(len(group)) for group in _GROUP.findall(text))
    return sizes in _GROUP_SIZES or (text[0] in "0189" and sizes in _GROUP_SIZES_BEHIND_ZERO)


def _is_zip(text: str, before: str, after: str) -> bool:
    return _ZIP.fullmatch(text) is not None and (before[-3:-1].isupper() or after.lstrip(", ").startswith("US"))


def _phone_behind_key(match: re.Match[str]) -> str | None:
    """Confirm a phone number behind a key, of four digits and more; `call 20000` is none, `call me at 20000` is one."""
    digits = sum(character.isdigit() for character in match["value"])
    key = match["key"].lower()
    weak = key.startswith(("call", "cell", "text", "handy")) and not re.search(r" (?:me|us) ", key)
    if (
        (weak and (digits not in _PHONE_DIGITS or _SINCE_1970.fullmatch(match["value"])))
        or _DATE.match(match["value"])
        or is_nobodys(match["value"])
    ):
        return None
    return match["key"] + PHONE


def begins_a_phone(text: str, position: int) -> bool:
    """Tell whether a word for a telephone and its number begin at a place."""
    match = _PHONE_BEHIND_KEY.match(text, position)
    return match is not None and _phone_behind_key(match) is not None


# Of an account with somebody: `client_id: 1097631…`, `"app_id": "cli_1234567890123456"`, and a project's by its name.
_ACCOUNT = (
    r"client|app|application|project|tenant|account|org|organi[sz]ation|customer|bot|guild|team|workspace|subscription"
    r"|installation|discord|facebook|merchant|seller|advertiser"
)
_ID_OF_AN_ACCOUNT = re.compile(
    rf"(?P<key>(?:(?<![A-Za-z])|(?-i:(?<=[a-z])(?=[A-Z])))(?:{_ACCOUNT})[_-]?(?:id|number)\\*[\"']?\s{{0,2}}[=:]\s{{0,2}}"
    r"\\*[\"']?)(?P<value>(?:[a-z]{2,8}[_-])?\d{12,24}(?:-\d{1,24})?)(?![\w.-]*\w)"
    r"|(?P<project>(?<![A-Za-z])project[_-]?id\\*[\"']?\s{0,2}[=:]\s{0,2}\\*[\"']?)[a-z][a-z0-9]{0,28}(?:-[a-z0-9]{1,28}){1,6}(?![\w-])",
    re.IGNORECASE | re.ASCII,
)


def _id_of_an_account(match: re.Match[str]) -> str:
    return (match["key"] or match["project"]) + ID


# The same in the languages of their countries. A dot is a letter with an accent, or without it.
_ID_WORDS = (
    r"n.mero de (?:identificaci.n|identidad|seguridad social|c.dula|documento|pasaporte|contribuinte|identifica..o)"
    r"|n.mero de s.curit. sociale|num.ro de passeport|carte d.identit.|c.dula(?: de \w+)?|documento nacional|pasaporte"
    r"|passeport|passaporto|passaporte|carta d.identit.|partita iva|t.tulo de eleitor|cart.o de cidad.o"
    r"|personalausweis\w*|ausweisnummer|reisepass\w*|rentenversicherungs\w*|krankenversicher\w*|steuernummer"
    r"|burgerservicenummer|rijksregister\w*|identiteitskaart\w*|paspoort\w*|paszport\w*|dow.d osobisty|nip|regon"
    r"|rodn. .?.slo|rodn. c.slo|ob.iansky preukaz|ob.ansk. pr.kaz|szem.lyi (?:sz.m|igazolv.ny)\w*|ad.azonos.t.\w*"
    r"|taj(?:[ -]?sz.m)?|cod numeric personal|henkil.tunnus|samordningsnummer|personnr|kimlik (?:no|numaras.)|nomor ktp"
    r"|ktp|npwp|kad pengenalan|cmnd|cccd|c.n c..c|asmens kodas|personas kods|mati.ni broj|jmbg|inn|snils"
    r"|clave de elector"
)
_ID_FOREIGN_WORDS = (
    "инн|снилс|паспорт|егн|рнокпп|іпн|єдрпоу|αφμ|αμκα|身份证(?:号码?)?|身分證(?:字號)?|マイナンバー|個人番号|주민등록번호|여권번호"
    "|เลขประจำตัวประชาชน|आधार|رقم الهوية|תעודת זהות"
)
_ID_ABROAD = re.compile(
    rf"(?P<key>(?:(?<![^\W_])(?:{_ID_WORDS})|{_ID_FOREIGN_WORDS})(?: ?(?:n[o°º]\.?|nr\.?|num\.?|№"
    rf"|#))?[\s:=.#\"'-]{{0,6}})"
    r"(?P<value>(?=[A-Z]{0,4}[ ./-]?\d)[A-Z0-9]{1,22}(?:[ ./-](?=[A-Z]{0,2}\d)[A-Z0-9]{1,14}){0,6})(?![A-Za-z0-9])",
    re.IGNORECASE,
)


def _id_abroad(match: re.Match[str]) -> str | None:
    digits = sum(character.isdigit() for character in match["value"])
    return match["key"] + ID if digits in _ID_DIGITS_ABROAD else None


_ID_DIGITS_ABROAD = range(6, 23)

# ---- Codes that are good for once.

_CODE_WORDS = (
    r"(?:verification|confirmation|security|authentication|authorization|login|log-in|sign-in|access"
    r"|one[- ]time|single[- ]use"
    r"|2fa|two[- ]factor|mfa|sms|activation|recovery|reset|your)[ -](?:pass)?(?:code|pin|password)|otp|passcode|m?tan"
    r"|einmal(?:code|passwort|kennwort)|(?:best.tigungs|sicherheits|verifizierungs|zugangs|aktivierungs)code"
    r"|code (?:de|d.) ?(?:v.rification|s.curit.|confirmation|acc.s|activation)"
    r"|c.digo de (?:verificaci.n|seguridad|confirmaci.n|verifica..o|seguran.a|acceso)|codice di (?:verifica"
    r"|sicurezza|conferma)"
    r"|verificatiecode|beveiligingscode|kod (?:weryfikacyjny|potwierdzaj.cy|sms)|do.rulama kodu|verifieringskod"
    r"|bekr.ftelseskode|vahvistuskoodi|ov..ovac. k.d"
)
_CODE = re.compile(
    rf"(?P<key>(?:(?<![^\W_])(?:{_CODE_WORDS})|验证码|驗證碼|認証コード|確認コード|인증번호|код подтверждения|код)"
    rf"(?:[^\w{MARKS}]{{1,4}}(?:is|was|ist|lautet|est|es|jest"
    r"|[^\W\d_]))?[\s:=\"'#(-]{0,4})(?P<value>(?:[A-Z]{1,3}-)?\d{3,4}[ -]?\d{0,4})(?![\w.-]\w)"
    r"|(?<![\w.-])(?P<first>(?:[A-Z]{1,3}-)?\d{3}[ -]?\d{1,5})(?P<said> (?:is|as) your (?:\w+ ){0,3}(?:code|pin"
    r"|password))",
    re.IGNORECASE,
)
_CODE_DIGITS = range(4, 9)


def _code(match: re.Match[str]) -> str | None:
    if sum(character.isdigit() for character in match["value"] or match["first"]) not in _CODE_DIGITS:
        return None
    return match["key"] + mark("secret") if match["value"] else mark("secret") + match["said"]


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
        (
            (
                rf"(?:(?:[^a-z0-9]|iban)(?:{'|'.join(IBAN_COUNTRIES)})"
                rf"|(?-i:[a-z0-9](?:{'|'.join(IBAN_COUNTRIES).upper()}))) ?[0-9]{{2}}(?:[ \t._/\-]?[a-z0-9]){{11}}"
            ),
        ),
        _IBAN,
        _iban,
        "paid to DE89 3704 0044 0532 0130 00 today",
        "paid to [iban] today",
    ),
)
CARDS = (
    Rule(
        "card",
        tuple(
            form.replace("~", r"[ .\-_/\t\n!]{1,3}")
            for form in (
                "[^0-9][0-9]{12,19}[^0-9]",
                "[0-9]{4}~[0-9]{4}~[0-9]{4}",
                "3[0-9]{3}~[0-9]{6}~[0-9]{4}",
                r"[0-9](?:[ \-][0-9]){11}",
            )
        ),
        _CARD_RUN,
        _cards,
        "on 2024-01-31 4111 1111 1111 1111 was charged",
        "on 2024-01-31 [card] was charged",
        weight=2,  # in a run of single digits a number may begin at each
        pace=3,
    ),
)
PHONES = (
    Rule(
        "phone",
        (r"\+\s?\(?[0-9](?:[ .\-/()]{0,2}[0-9]){6}",),
        _PHONE_PLUS,
        _phone,
        "call +49 30 901820 now",
        "call [phone] now",
    ),
)
NUMBERS = (
    Rule(
        "id",
        (r"[0-9]{3}[.\- ][0-9]{2}[.\- ][0-9]{4}",),
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
            rf"[^a-z](?:{_ID_KEY}){_ID_NUMBER}[^a-z0-9_]{{1,6}}(?:is )?[a-z]{{0,8}}[ ./\-]?[0-9]",
            (
                rf"[^a-z](?:{_ID_WEAK_KEY}){_ID_NUMBER}[^a-z0-9_]{{1,6}}(?:is )?[a-z]{{0,8}}[ ./\-]?[0-9]"
                r"[a-z0-9 ./\-]{8}"
            ),
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
                r"[^a-z](?:tel[a-z]{0,6}|phone|mobile|cell|fax|call[a-z]{0,3}|whatsapp|sms|msisdn|handy|text(?:ed)?)"
                r"(?:[ _]?(?:number|num|no|nr))?"
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
            rf"{_EDGE}0[1-9][0-9]{{0,3}}[ /\-](?:[0-9]{{4}}|[0-9]{{2,3}}[ /\-][0-9]{{2}})",
            r"[a-z][/.]0[0-9 \-]{8}",
            rf"{_EDGE}0[0-9]\.[0-9]{{2}}\.[0-9]{{2}}\.[0-9]{{2}}",
            rf"{_EDGE}00[1-9][0-9 .\-/]{{8}}",
            _forms("[0-9]", _GROUP_SIZES),
            _forms("[0189]", _GROUP_SIZES_BEHIND_ZERO),
            r"\([0-9][0-9 \-]{0,5}\)[ \-]?[0-9]",
        ),
        _PHONE_FORMS,
        _national_phone,
        "rang (555) 123-4567 twice",
        "rang [phone] twice",
    ),
    Rule(
        "id",
        (
            rf"(?:{_ID_WORDS})(?: ?(?:n.{{1,2}}\.?|num\.?|#))?[^a-z0-9]{{0,6}}[a-z]{{0,4}}[ ./\-]?[0-9]".replace(
                r"\w", "[a-z0-9_]"
            ),
        ),
        _ID_ABROAD,
        _id_abroad,
        "Personalausweisnummer: L01X00T471 found",
        "Personalausweisnummer: [id] found",
    ),
    Rule(
        "id",
        (
            rf"(?:{_ACCOUNT})[_\-]?(?:id|number)\\*[\"']?\s{{0,2}}[=:]\s{{0,2}}\\*[\"']?(?:[a-z]{{2,8}}[_\-])?[0-9]{{12}}",
            r"project[_\-]?id\\*[\"']?\s{0,2}[=:]\s{0,2}\\*[\"']?[a-z][a-z0-9]{0,28}-[a-z0-9]",
        ),
        _ID_OF_AN_ACCOUNT,
        _id_of_an_account,
        "client_id=109763165530299657612 found",
        "client_id=[id] found",
    ),
    Rule(
        "secret",
        (
            rf"(?:{_CODE_WORDS})[^0-9]{{0,14}}[0-9]{{3}}",
            r"[0-9] (?:is|as) your [a-z0-9 \-]{0,40}(?:code|pin|password)",
        ),
        _CODE,
        _code,
        "your verification code is 493817.",
        "your verification code is [secret].",
    ),
)
