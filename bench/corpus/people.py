"""Planted addresses of mail, names of users, telephone and identity numbers."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from bench.corpus.canary import Canary
from bench.corpus.words import FIRMS, FIRST, FOREIGN, LAST, characters, company_host, name, upper

if TYPE_CHECKING:
    from random import Random


def email(dice: Random) -> Canary:
    """Addresses of mail in every spelling."""
    local, firm = name(dice), dice.choice(FIRMS)
    domain = dice.choice(
        (f"{firm}.com", company_host(dice), f"{firm}.museum", f"mail.{firm}.co.uk", "xn--bcher-kva.example")
    )
    text = dice.choice(
        (
            f"{local}@{domain}",
            f"{local}+{dice.choice(LAST)}@{domain}",
            f"{local}@{domain}".upper(),
            f'"{dice.choice(FIRST)} {dice.choice(LAST)}"@{domain}',
            f"{dice.choice(FOREIGN)}@{firm}.example",
            f"{local}@bücher.example",
            f"{local}@{firm}",
            f"{local}@[10.0.{dice.randrange(99)}.7]",
            f"{local} [at] {firm} [dot] com",
            f"{local}(at){firm}.com",
            f"o'{local}!#$&*=?^_`{{|}}~@{domain}",
        )
    )
    around = dice.choice(("{}", "<{}>", "mailto:{}", "to={}", "({})", "{},", "{}.", "'{}'"))
    return Canary(around.format(text), (text,))


def user(dice: Random) -> Canary:
    """Names of people behind a key that says so."""
    who = dice.choice(
        (name(dice), dice.choice(FIRST) + dice.choice(LAST), f"{dice.choice(FOREIGN)}{dice.choice(LAST)}")
    )
    form = dice.choice(
        (
            "user={}",
            "username: {}",
            "login={}",
            'user="{}"',
            "owner={}",
            "for user '{}'",
            "customer_id={}",
            '"author": "{}"',
            "user '{}'@'localhost'",
            "account={}",
            "lastName={}",
            "User: {}",
        )
    )
    return Canary(form.format(who), (who,))


@cache
def _examples() -> list[phonenumbers.PhoneNumber]:
    kinds = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.TOLL_FREE, PhoneNumberType.VOIP)
    found = [
        phonenumbers.example_number_for_type(region, kind)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in kinds
    ]
    return [number for number in found if number is not None]


def phone(dice: Random) -> Canary:
    """Numbers of every region and kind, their last digits drawn anew as long as libphonenumber calls them valid.

    In their international forms alone; in the national form where seven digits or more stand in three groups or more,
    or else behind a word that says so: `12345678` alone may be anything.
    """
    number = dice.choice(_examples())
    for _ in range(20):
        other = phonenumbers.PhoneNumber()
        other.merge_from(number)
        kept = str(number.national_number)[:-4]
        other.national_number = int(kept + characters(dice, "0123456789", 4)) if kept else number.national_number
        if phonenumbers.is_valid_number(other):
            number = other
            break
    form = dice.choice(
        (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL, PhoneNumberFormat.RFC3966)
    )
    text = phonenumbers.format_number(number, form)
    if form == PhoneNumberFormat.NATIONAL and (len(re.findall(r"\d+", text)) < 3 or len(re.findall(r"\d", text)) < 7):
        key = dice.choice(("phone={}", "tel: {}", "mobile {}", "call me at {}", '"phone": "{}"', "fax no. {}"))
        return Canary(key.format(text), (text,))
    return Canary(
        dice.choice(("{}", "({})", "{},", "called {} twice", "phone={}")).format(text), (text.removeprefix("tel:"),)
    )


# Where there is a choice the candidates are drawn to this form, and stdnum says which of them are valid.
_FORMS = {
    "us.ssn": "###-##-####",
    "us.itin": "9##-7#-####",
    "br.cpf": "###.###.###-##",
    "es.dni": "########@",
    "es.nie": "X#######@",
    "fr.nir": "1##0###########",
    "it.codicefiscale": "@@@@@@##A##@###@",
    "gb.nhs": "### ### ####",
    "de.idnr": "###########",
    "nl.bsn": "#########",
    "pl.pesel": "8#0#1######",
    "se.personnummer": "8#0#1#-####",
    "fi.hetu": "1#0#8#-###@",
    "dk.cpr": "1#0#8#-####",
    "no.fodselsnummer": "1#0#8######",
    "be.nn": "8#.0#.1#-###.##",
    "bg.egn": "8#0#1#####",
    "ro.cnp": "18#0#1#######",
    "cz.rc": "8#0#1#/####",
    "ee.ik": "38#0#1#####",
    "lt.asmens": "38#0#1#####",
    "hr.oib": "###########",
    "tr.tckimlik": "1##########",
    "in_.aadhaar": "2### #### ####",
    "in_.pan": "@@@P@####@",
    "cn.ric": "11010119#0010####",
    "za.idnr": "8#0#1#50#80##",
    "mx.curp": "@@@@8#0#1#HDF@@@0#",
    "cl.rut": "1#.###.###-#",
    "ca.sin": "1##-###-###",
    "au.tfn": "### ### ###",
    "ie.pps": "#######@",
    "il.idnr": "#########",
    "gr.amka": "1#0#8######",
    "pt.nif": "2########",
    "si.emso": "1#0#98#50####",
    "ch.ssn": "756.####.####.##",
    "at.vnr": "####1#0#8#",
    "kr.rrn": "8#0#1#-1######",
    "th.pin": "1-####-#####-##-#",
    "my.nric": "8#0#1#-01-####",
    "ar.cuit": "20-########-#",
    "co.nit": "###.###.###-#",
    "ua.rntrc": "##########",
    "is_.kennitala": "1#0#8#-##9#",
    "sk.rc": "8#0#1#/####",
    "ec.ci": "17########",
    "id.nik": "3171###08#00##",
    "lv.pvn": "1#0#8#-1####",
    "jp.in_": "############",
    "pk.cnic": "3####-#######-1",
    "do.cedula": "###-#######-#",
}
_BARE = {"us.ssn", "us.itin", "br.cpf", "es.dni", "es.nie", "it.codicefiscale", "fr.nir", "ch.ssn", "mx.curp", "cn.ric"}
"""Identity numbers that are told by their form alone; the others stand behind a key."""


def national_id(dice: Random) -> Canary:
    """Identity numbers of fifty countries, valid by python-stdnum."""
    country = dice.choice(list(_FORMS))
    text = _valid(country, dice)
    if text is None:
        return national_id(dice)
    if country in _BARE and dice.random() < 0.6:
        return Canary(text, (text,))
    name_of = country.partition(".")[2].rstrip("_")
    keys = ("national id: {}", "tax id {}", "identity card {}", "passport no. {}", "id number: {}", "personal id={}")
    own = (f"{name_of}: {{}}", f"{name_of.upper()} {{}}", f"{name_of}={{}}")
    key = dice.choice(own if name_of not in {"in", "tin", "ci", "pin", "nit", "ric"} and dice.random() < 0.5 else keys)
    return Canary(key.format(text), (text,))


def _valid(country: str, dice: Random) -> str | None:
    module = import_module(f"stdnum.{country}")
    for _ in range(3000):
        text = "".join(
            characters(dice, "0123456789", 1) if sign == "#" else upper(dice, 1) if sign == "@" else sign
            for sign in _FORMS[country]
        )
        if module.is_valid(text):
            return text
    return None


def opaque(dice: Random) -> Canary:
    """Strings that only a machine makes: keys, digests, tokens of no known maker."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    text = dice.choice(
        (
            characters(dice, "0123456789abcdef", dice.choice((32, 40, 48, 64))),
            characters(dice, "0123456789ABCDEF", 32),
            characters(dice, letters, dice.randrange(24, 64)),
            characters(dice, letters + "-_", dice.randrange(32, 64)),
            characters(dice, letters + "+/", 43) + "=",
            characters(dice, "abcdefghijklmnopqrstuvwxyz234567", dice.randrange(26, 52)),
        )
    )
    return Canary(dice.choice(("{}", "id {}", "'{}'", "etag={}", "{},")).format(text), (text,))
