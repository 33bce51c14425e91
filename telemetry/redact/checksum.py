"""Check digits and number ranges, which tell a card or an identity number from any other digits."""

from __future__ import annotations

import re
from itertools import accumulate

_COUNTRIES_BY_IBAN_LENGTH = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "AO CV GW LY MZ PT ST",
    26: "DZ IR IS TR",
    27: "BI CF CG CM DJ FR GA GQ GR IT KM MC MG MR SM TD",
    28: "AL AZ BF BJ BY CI CY DO GT HN HU LB MA ML NE NI PL SN SV TG",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""The lengths of IBANs in SWIFT's registry, and in countries beside it whose banks use them, by schwifty 2026.10."""

_IBAN_LENGTHS = {
    country: length for length, countries in _COUNTRIES_BY_IBAN_LENGTH.items() for country in countries.split()
}
# Leading digits and lengths that card networks have issued.
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|220[0-4]\d{12,15}"
    r"|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|62\d{14,17}|3(?:0[0-59]|[689]\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12,15}"
    r"|(?:50|5[6-9]|6\d)(?:\d{10}|\d{14,17})|8[12]\d{14}"
)


LEAST_CARD = 10**11
"""The lowest number that a payment card may have: the shortest ones have twelve digits."""

_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")  # twice a digit, its two digits added


def is_luhn(digits: str) -> bool:
    """Tell whether the check digit of ISO/IEC 7812 is right."""
    plain = digits.encode()
    even = plain[-2::-2].translate(_DOUBLED)
    return (sum(plain[-1::-2]) + sum(even) - ord("0") * len(digits)) % 10 == 0


def luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Return running sums of the digits, with each even or each odd one doubled, so that a check is one subtraction.

    `digits[start:end]` is valid if `sums[end % 2][end] - sums[end % 2][start]` is a multiple of ten.
    """
    plain = [ord(digit) - ord("0") for digit in digits]
    double = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    even = (double[digit] if position % 2 == 0 else digit for position, digit in enumerate(plain))
    odd = (double[digit] if position % 2 else digit for position, digit in enumerate(plain))
    return list(accumulate(even, initial=0)), list(accumulate(odd, initial=0))


def is_card(digits: str) -> bool:
    """Tell whether 12 to 19 digits are the number of a payment card."""
    return _CARD.fullmatch(digits) is not None and is_luhn(digits)


def holds_card(number: float) -> bool:
    """Tell whether a number is that of a payment card."""
    return number >= LEAST_CARD and number == int(number) and is_card(str(int(number)))


IBAN_COUNTRIES = tuple(map(str.lower, _IBAN_LENGTHS))
"""The countries that use IBANs, as two letters each."""


def iban_length(country: str) -> int | None:
    """Return the number of characters in an IBAN of the country; None if it has none."""
    return _IBAN_LENGTHS.get(country)


def is_iban(compact: str) -> bool:
    """Check the length and the check digits (ISO 13616, mod 97) of an upper-case IBAN without blanks."""
    if len(compact) != _IBAN_LENGTHS.get(compact[:2]):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def is_ssn(digits: str) -> bool:
    """Tell whether nine digits could be issued by the United States.

    As an SSN by its parts, or an ITIN by its group.
    """
    area, group, serial = digits[:3], int(digits[3:5]), digits[5:]
    if area[0] == "9":
        return group in range(50, 100) and group not in {66, 67, 68, 69, 89, 93}
    return area not in {"000", "666"} and group != 0 and serial != "0000"


def is_cpf(digits: str) -> bool:
    """Check the two check digits of a Brazilian CPF."""
    return len(set(digits)) > 1 and all(_cpf_digit(digits[:n]) == int(digits[n]) for n in (9, 10))


def is_dni(number: str) -> bool:
    """Check the check letter of a Spanish DNI or NIE."""
    digits = number[:-1].upper().translate(str.maketrans("XYZ", "012"))
    return digits.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1].upper()


def is_nir(digits: str) -> bool:
    """Check the check number of a French NIR, which has 13 digits and two."""
    return 97 - int(digits[:13]) % 97 == int(digits[13:])


def is_ric(number: str) -> bool:
    """Check the check character of a Chinese resident's number (ISO/IEC 7064, mod 11-2)."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(number[:17]))
    return "10X98765432"[total % 11] == number[17].upper()


def _cpf_digit(digits: str) -> int:
    total = sum(int(digit) * weight for digit, weight in zip(digits, range(len(digits) + 1, 1, -1), strict=True))
    return -total % 11 % 10
