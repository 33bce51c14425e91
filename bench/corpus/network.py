"""Planted addresses, host names, URLs and paths."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from publicsuffixlist import PublicSuffixList

from bench.corpus.canary import Canary
from bench.corpus.words import (
    ALPHANUMERIC,
    ENDINGS,
    FIRMS,
    FIRST,
    FOLDERS,
    FOREIGN,
    HEX,
    LAST,
    MACHINES,
    characters,
    company_host,
    machine,
    name,
    password,
    upper,
)

if TYPE_CHECKING:
    from random import Random

_SUFFIXES = sorted(
    suffix
    for suffix in PublicSuffixList(only_icann=True)._publicsuffix  # noqa: SLF001 - the list itself is wanted
    if suffix.isascii() and not suffix.startswith(("*", "!"))
)


def _whole(text: str) -> Canary:
    return Canary(text, (text,))


def ipv4(dice: Random) -> Canary:
    """Every spelling of an IPv4 address."""
    address = IPv4Address(
        dice.choice((0x0A000000, 0xC0A80000, 0xAC100000, dice.getrandbits(32))) | dice.getrandbits(16)
    )
    if int(address) < 1 << 24 or address.is_multicast or address.is_reserved:  # nobody's
        return ipv4(dice)
    dotted, parts = str(address), str(address).split(".")
    other = {
        "defanged": "[.]".join(parts),
        "dashes": "ip-" + "-".join(parts),
        "hex": f"0x{int(address):08X}",
        "octal": ".".join(f"0{int(part):o}" for part in parts),
        "padded": ".".join(part.zfill(3) for part in parts),
        "reverse": ".".join(reversed(parts)) + ".in-addr.arpa",
    }
    around = dice.choice(
        ("{}", "{}:5432", "{}/24", "[{}]", "{}.", "{},", "({})", "ip={}", "{}:80:", "tcp/{}", "Chrome/{}")
    )
    if dice.random() < 0.6:
        return Canary(around.format(dotted), (dotted,))
    if dice.random() < 0.15:
        return Canary(f"addr={int(address)}", (str(int(address)),))
    text = dice.choice(list(other.values()))
    # Of a public address, eight digits alone are any number.
    return Canary(f"peer {text}" if text == other["hex"] and not address.is_private else text, (text,))


def ipv6(dice: Random) -> Canary:
    """Every spelling of an IPv6 address."""
    first = dice.choice((0x2001_0DB8, 0xFE80_0000, 0xFD12_3456, 0x2A02_1812))
    low = dice.getrandbits(dice.choice((8, 32, 64))) | 1 << 6
    address = IPv6Address(first << 96 | low)
    mapped = IPv4Address(dice.getrandbits(32) | 1 << 30)
    text = dice.choice(
        (
            str(address),
            address.exploded,
            str(address).upper(),
            f"::ffff:{mapped}",
            f"64:ff9b::{mapped}",
            address.reverse_pointer,
        )
    )
    if text.endswith("arpa"):
        return _whole(text)
    around = dice.choice(("{}", "[{}]:443", "{}/64", "({})", "{},", "addr:{}", "{}%eth0", "ip6={}"))
    return Canary(around.format(text), (text,))


def mac(dice: Random) -> Canary:
    """MAC addresses and EUI-64."""
    pairs = [characters(dice, HEX, 2) for _ in range(dice.choice((6, 6, 6, 8)))]
    dotted = ".".join("".join(pairs[at : at + 2]) for at in (0, 2, 4))
    text = dice.choice((":".join(pairs), "-".join(pairs), dotted, f"mac={''.join(pairs[:6])}"))
    text = text.upper() if dice.random() < 0.3 and "=" not in text else text
    if text.count(".") and text.replace(".", "").isdigit():
        return mac(dice)
    return Canary(text, (text.removeprefix("mac="),))


def host(dice: Random) -> Canary:
    """Host names: under every public suffix, of private networks, of clouds, of desktops, behind a key.

    A bare name under a rare suffix has a machine's name in front, as hosts have: `billing.invoices.run` alone nobody
    can tell from code.
    """
    suffix = dice.choice((dice.choice(_SUFFIXES), dice.choice(("com", "net", "org", "io", "de", "co.uk", "fr", "dev"))))
    firm = dice.choice(FIRMS)
    number = dice.randrange(1, 250)
    bare = dice.choice(
        (
            f"{machine(dice)}.{firm}.{suffix}",
            f"{dice.choice(MACHINES)}-{dice.choice(FIRST)}.{firm}.{suffix}",
            f"{dice.choice(FIRST)}s-desk.{dice.choice(('local', 'lan', 'home.arpa'))}",
            f"{dice.choice(MACHINES)}.{firm}.{dice.choice(('internal', 'corp', 'intranet', 'lan'))}",
            f"{machine(dice)}.{firm}.svc.cluster.local",
            f"ec2-3-{number}-12-7.eu-west-1.compute.amazonaws.com",
            f"ip-10-0-{number}-7.ec2.internal",
            f"{firm}-db.c{number}xyz.eu-central-1.rds.amazonaws.com",
            f"{firm}{number}.blob.core.windows.net",
            f"DESKTOP-{upper(dice, 4)}{number}Q",
            f"{dice.choice(FIRST).title()}s-MacBook-Pro.local",
        )
    )
    keyed = dice.choice((machine(dice), f"{firm}-{dice.choice(MACHINES)}", f"{dice.choice(FIRST)}.{firm}.{suffix}"))
    if dice.random() < 0.25:
        return Canary(
            dice.choice(("host={}", "hostname: {}", "server={}", "connect to host={}")).format(keyed), (keyed,)
        )
    if dice.random() < 0.25:
        named = f"{dice.choice(FIRST)}.{firm}.{suffix}"
        return Canary(
            dice.choice(("connect to {}", "cannot resolve {}", "connection to {}:5432")).format(named), (named,)
        )
    around = dice.choice(("{}", "{}:5432", "({})", "{}.", "'{}'", "{},"))
    return Canary(around.format(bare), (bare,))


def url(dice: Random) -> Canary:
    """URLs: with and without credentials, presigned, of hosts by name and by number."""
    where = dice.choice(
        (company_host(dice), f"{dice.choice(FIRMS)}.com", f"10.{dice.randrange(1, 250)}.2.3:8443", "bücher.example")
    )
    path = f"/{dice.choice(FOLDERS)}/{dice.choice(LAST)}/{dice.randrange(10**6)}"
    query = dice.choice(
        (
            "",
            f"?user={name(dice)}&page=2",
            f"?X-Amz-Credential={upper(dice, 20)}&X-Amz-Signature={characters(dice, HEX, 64)}",
            f"?sv=2022-11-02&sig={characters(dice, ALPHANUMERIC, 43)}%3D",
            f"#/{dice.choice(LAST)}",
        )
    )
    if dice.random() < 0.15:
        return _whole(f"www.{dice.choice(FIRMS)}.com{path}{query}")
    scheme = dice.choice(("https", "http", "ftp", "wss", "s3", "grpc", "git+ssh", "sftp"))
    rest = f"{where}{path}{query}"
    return Canary(f"{scheme}://{rest}", (rest,))


def url_credentials(dice: Random) -> Canary:
    """URLs whose user and password are the secret."""
    user, secret = name(dice), password(dice).translate(str.maketrans("/?#@", "wxyz"))
    token = characters(dice, ALPHANUMERIC, 32)
    login = dice.choice((f"{user}:{secret}", f"{token}", f":{secret}", f"{user}:p%40{token}"))
    scheme = dice.choice(("https", "http", "ftp", "ssh", "smb", "rtsp"))
    return Canary(f"{scheme}://{login}@{company_host(dice)}/{dice.choice(FOLDERS)}", (login,))


def posix_path(dice: Random) -> Canary:
    """Absolute paths under any root, of a home, relative ones, in quotes, with blanks, with a line."""
    user = dice.choice((name(dice), dice.choice(FOREIGN), dice.choice(LAST)))
    last = f"{dice.choice(LAST)}.{dice.choice(ENDINGS)}"
    blank = f"{dice.choice(FIRST)} {dice.choice(LAST)}"
    return dice.choice(
        (
            _whole(f"/home/{user}/{dice.choice(FOLDERS)}/{last}"),
            _whole(f"/Users/{user}/{last}"),
            _whole(f"/{dice.choice(FOLDERS)}/{last}"),
            _whole(f"/{dice.choice(LAST)}/{dice.choice(FIRMS)}"),
            _whole(f"~/{dice.choice(LAST)}/{last}"),
            _whole(f"~{user}/{last}" if user.isascii() else f"~/{last}"),
            _whole(f"../../{user}/{last}"),
            _whole(f"./{user}/{last}"),
            _whole(f"file:///home/{user}/{last}"),
            _quoted(f"/srv/{blank}/{dice.choice(LAST)} 2024.{dice.choice(ENDINGS)}", dice),
            _quoted(f"/home/{user}/{blank}/{last}", dice),
            Canary(f"/var/{user}/{last}:{dice.randrange(99)}", (f"/var/{user}/{last}",)),
            Canary(f'File "/opt/{user}/{last}", line 3', (f"/opt/{user}/{last}",)),
            Canary(f"/mnt/{user}/{last}: no such file", (f"/mnt/{user}/{last}",)),
        )
    )


def windows_path(dice: Random) -> Canary:
    """Drives, shares, device paths, variables."""
    user = dice.choice((name(dice), f"{dice.choice(FIRST).title()} {dice.choice(LAST).title()}"))
    last = f"{dice.choice(LAST)}.{dice.choice(ENDINGS)}"
    return dice.choice(
        (
            _whole(rf"C:\Users\{user}\{last}"),
            _whole(rf"D:\{dice.choice(FOLDERS)}\{dice.choice(FIRMS)}\{last}"),
            _whole(rf"C:\Documents and Settings\{user}\{last}"),
            _whole(f"c:/Users/{user}/{last}"),
            _whole(rf"C:\\Users\\{user}\\{last}"),
            _whole(rf"\\{dice.choice(MACHINES)}01\{dice.choice(FOLDERS)}\{user}\{last}"),
            _whole(rf"\\?\C:\{user}\{last}"),
            _whole(rf"%USERPROFILE%\{dice.choice(LAST)}\{last}"),
            _whole(rf"%APPDATA%\{dice.choice(FIRMS)}\{last}"),
            _quoted(rf"C:\Program Files\{user}\{last}", dice),
        )
    )


def _quoted(path: str, dice: Random) -> Canary:
    quote = dice.choice("'\"")
    return Canary(f"{quote}{path}{quote}", (path,))
