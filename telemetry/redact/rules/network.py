"""Rules for machines: MAC addresses, host names, IP addresses."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from telemetry.redact.hostname import HOST_LABELS, PLAIN, is_hostname
from telemetry.redact.rules.placeholder import MARKS, mark
from telemetry.redact.rules.rule import END, Rule, always, only_marks, split_closing

HOST = mark("host")
IP = mark("ip")
MAC = mark("mac")
PATH = mark("path")

# `mac:3c:22:…` has a key before it; `aa:3c:22:…` is the middle of something longer.
_MAC = re.compile(
    r"(?=[0-9a-f]{1,2}[:-])(?:(?<![\w:-])|(?<=\W[:-])|(?<=[g-z][:-])|(?<=\w{3}[:-]))(?:[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}(?:(?::[0-9a-f]{1,2}){2})?(?!:?\w)"
    r"|[0-9a-f]{2}(?:-[0-9a-f]{2}){5}(?:(?:-[0-9a-f]{2}){2})?(?!-?\w))",
    re.IGNORECASE | re.ASCII,
)

MACS = (
    Rule(
        "mac",
        (
            r"[0-9a-f]{1,2}:[0-9a-f]{1,2}:[0-9a-f]{1,2}:[0-9a-f]{1,2}:[0-9a-f]{1,2}:[0-9a-f]",
            r"(?:[0-9a-f]{2}-){5}[0-9a-f]{2}",
        ),
        _MAC,
        always(MAC),
        "link 3c:22:fb:1e:0a:9d up",
        "link [mac] up",
    ),
    Rule(
        "mac",
        (r"[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}",),
        re.compile(r"(?<![\w.])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?!\.?\w)", re.IGNORECASE | re.ASCII),
        lambda match: None if match[0].replace(".", "").isdigit() else MAC,
        "port 3c22.fb1e.0a9d up",
        "port [mac] up",
    ),
    Rule(
        "mac",  # without separators only where something says so
        (r"(?:mac|hwaddr|ether|bssid)[a-z_ ]{0,9}[\s=:\"']{1,4}[0-9a-f]{12}",),
        re.compile(
            r"(?P<key>(?:mac|hwaddr|ether|bssid)[a-z_ ]{0,9}[\s=:\"']{1,4})[0-9a-f]{12}(?![\w])",
            re.IGNORECASE | re.ASCII,
        ),
        lambda match: match["key"] + MAC,
        "mac=3c22fb1e0a9d up",
        "mac=[mac] up",
    ),
)

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
# A schemeless URL's port and path go with its host.
_TAIL = r"(?P<tail>(?::\d{1,5})?[/?#][^\s\"'<>`]*)?"
_FQDN = re.compile(
    rf"(?<![\w.@%-])(?!(?<=\\)(?:u[0-9a-fA-F]{{4}}|x[0-9a-fA-F]{{2}}))(?P<name>(?:[\w](?:[\w-]{{0,61}}\w)?\.){{1,20}}[^\W\d_][\w-]{{1,62}})(?![\w@-])(?:\.(?=\W|\Z))?{_TAIL}"
)
_HOST_KEY = re.compile(
    r"(?P<key>(?<![A-Za-z])(?:host(?:_?name)?|server(?:_?name)?|fqdn|peer|remote(?:_?(?:host|addr))?|node(?:_?name)?|machine(?:_?name)?|"
    r"computer(?:_?name)?|broker|upstream|domain|gateway|nameserver|listen|bind|addr(?:ess)?|endpoint|bootstrap_?servers?)"
    r"\\*[\"']?\s{0,2}[=:]\s{0,2}\\*[\"']?)(?P<value>[\w.\-]{2,253}(?::\d{1,5})?(?:,[\w.:\-]{2,253})*)",
    re.IGNORECASE,
)
# What an error text of a resolver or a client says of a host that it can't reach: any name, also of one label.
_UNREACHED = re.compile(
    r"(?P<key>(?<![\w-])(?:(?:java\.net\.)?UnknownHostException: |(?:ENOTFOUND|EAI_AGAIN) "
    r"|not resolve host(?:name)?:? (?=[\w.-]+(?:[:;,()]|\Z))"
    r"|not translate host name |connect to host (?=[\w.-]+ port )|MySQL server (?:on|host) (?=[\"'])"
    r"|getaddrinfo failed for "
    r"|failed to connect to (?=[\w-]+(?:/\d| port \d))"
    r"|lookup (?=[\w-]+(?: on [\d.:\[\]a-f]+:53|: no such host)))[\"']?)"
    r"(?P<value>\w[\w.-]{0,252})",
    re.IGNORECASE,
)
_MACHINE = re.compile(
    r"(?:(?<![\w'-])(?:[\w']{1,30}-){1,3}(?=[Mi])|(?<![\w-]))(?:(?:DESKTOP|LAPTOP|WIN)-[A-Z0-9]{6,12}|(?:MacBook|iMac|iPhone|iPad|Macmini)(?:-[\w]{1,20}){0,3})(?![\w-])"
)
_ARPA = re.compile(r"(?<![\w.])(?:(?:\d{1,3}\.){1,4}in-addr|(?:[0-9a-f]\.){1,32}ip6)\.arpa(?![\w-])", re.IGNORECASE)


def _fqdn(match: re.Match[str]) -> str | None:
    name, text = match["name"], match.string
    if not is_hostname(
        name, text[max(0, match.start() - 60) : match.start()], text[match.end("name") : match.end() + 8]
    ):
        return None
    tail = match["tail"] or ""
    body, closing = split_closing(match[0])
    if not tail or not tail.strip("/"):
        return HOST + match[0][len(name) :]
    return f"{HOST}/{PATH}{closing if len(body) > len(name) else ''}"


def _host_key(match: re.Match[str]) -> str | None:
    value = match["value"]
    bare = value.rstrip(".-")
    key = match["key"].lower()
    if match.string.startswith("(", match.end()):  # `server = Server(…)`
        return None
    if bare.replace(".", "").replace(":", "").isdigit() and bare.count(".") != 3:  # noqa: PLR2004 - an address has three dots
        return None
    if (
        only_marks(value)
        or bare.lower() in _NO_HOST
        or ("=" not in key and not key.startswith(("host", "fqdn", "computer", "machine")))
    ):
        return None
    return match["key"] + HOST + value[len(bare) :]


def _unreached(match: re.Match[str]) -> str | None:
    bare = match["value"].rstrip(".-")
    if bare.replace(".", "").isdigit() or bare.lower() in _NO_HOST:
        return None
    return match["key"] + HOST + match["value"][len(bare) :]


_NO_HOST = frozenset(
    "true false null none localhost unknown default auto any all up down ready not is header headers field "
    "str string name port".split()
)

HOSTS = (
    Rule(
        "host",
        (
            r"(?:unknownhostexception:|enotfound|eai_again|resolve host(?:name)?:?) ",
            r"(?:connect to host|getaddrinfo failed for) ",
            r"(?:translate host name|mysql server (?:on|host)) [\"']?",
            r"failed to connect to [a-z0-9_\-]+(?:/[0-9]| port)",
            r"lookup [a-z0-9_\-]+(?: on |: no)",
        ),
        _UNREACHED,
        _unreached,
        "getaddrinfo ENOTFOUND nodeseven",
        "getaddrinfo ENOTFOUND [host]",
    ),
    Rule(
        "ip",
        (r"\.arpa",),
        _ARPA,
        always(IP),
        "PTR 12.0.0.10.in-addr.arpa missing",
        "PTR [ip] missing",
    ),
    Rule(
        "host",
        (
            rf"[a-z0-9_]\.(?:{'|'.join(sorted(PLAIN))}){END}",
            rf"(?:{HOST_LABELS})\.[a-z0-9_]",
            r"-[a-z0-9_]+\.[a-z]{2}",
            r"[a-z0-9_]\.[a-z]{2,24}:[0-9]{2}",
            r"\.xn--[a-z0-9]",
            r"[a-z][0-9]{1,3}\.[a-z0-9_\-]+\.[a-z0-9]",
            r"\.(?:com|org|net|gov|edu|co|ac)\.[a-z]{2}",
            (
                r"(?:host|server|connect|resolv|lookup|ping|dial|domain|dns|upstream|peer|remote|broker|endpoint|visit|site|reach|proxy|certificate"
                r"|gateway|dig|ssh)[a-z]*[^a-z]{0,3}(?:(?:to|from|at|for|by|via|of|on|with|name)[^a-z0-9]{1,2})?[\"'`]?[a-z0-9_\-]+\.[a-z0-9]"
            ),
        ),
        _FQDN,
        _fqdn,
        "lookup db1.acme.com:5432 failed",
        "lookup [host]:5432 failed",
    ),
    Rule(
        "host",
        (
            (
                r"(?:host|name|server|fqdn|peer|remote|addr|node|machine|computer|broker|upstream|domain|gateway|listen|bind|address|endpoint|servers)"
                r"\\*[\"']?\s{0,2}[=:]"
            ),
        ),
        _HOST_KEY,
        _host_key,
        "start host=nodeseven port=3",
        "start host=[host] port=3",
    ),
    Rule(
        "host",
        (r"(?:desktop|laptop|win)-[a-z0-9]{6}", r"macbook|imac|iphone|ipad|macmini"),
        _MACHINE,
        always(HOST),
        "from DESKTOP-4F7K2QX today",
        "from [host] today",
    ),
)

_MOST_COLONS = 8
_V6 = re.compile(
    r"(?=[0-9a-f]{0,4}:[0-9a-f]{0,4}:)(?:(?<![\w:])|(?<=\w:)(?<!::))[0-9a-f:]{2,45}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?:(?<=\d)\.\d{1,3}(?:\.\d{1,3}){2})?"
    r"(?![\w])(?P<zone>%[\w.-]{1,30})?",
    re.IGNORECASE | re.ASCII,
)
_V4 = re.compile(
    rf"\d(?<!\d\d)(?<!\d\.\d)\d{{0,3}}(?:\.\d{{1,4}}){{3}}(?!\d|\.\d)(?P<tail>(?::\d{{1,5}})?/[^\s\"'<>`{MARKS}]*)?",
    re.ASCII,
)
_DEFANGED = re.compile(
    r"(?<!\d)\d{1,3}(?:\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\))\s?\d{1,3}){3}(?!\d)|\bip(?:-\d{1,3}){4}(?!\d)",
    re.IGNORECASE,
)
_HEX = re.compile(r"(?<![\w.])0x(?:[0-9a-f]{8}|[0-9a-f]{1,2}(?:\.0x[0-9a-f]{1,2}){3})(?![\w.]\w)(?!\w)", re.IGNORECASE)
_DECIMAL = re.compile(
    r"(?P<key>(?:\bip|addr|address|host|inet|peer|remote|client)\W{1,3})(?P<value>\d{8,10})(?!\d)", re.IGNORECASE
)


def _v6(match: re.Match[str]) -> str | None:
    body, start = match[0], match.start()
    zone = match["zone"] or ""
    address = body.removesuffix(zone)
    lead = ":" if address.startswith(":") and not address.startswith("::") else ""
    tail = ":" if address.endswith(":") and not address.endswith("::") else ""
    address = address[len(lead) : len(address) - len(tail)]
    if address.count(":") > _MOST_COLONS:
        return None
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return None
    named = not any(character.isdigit() for character in address) and address.count(":") < 4  # noqa: PLR2004 - `b::`, `abc::def`
    if parsed.is_unspecified or named:
        return None
    if re.search(r"\w\[\Z", match.string[max(0, start - 2) : start]):  # a slice: `rows[1::2]`
        return None
    return lead + IP + tail


def _v4(match: re.Match[str]) -> str | None:
    tail = match["tail"] or ""
    parts = match[0].removesuffix(tail).split(".")
    if not all(_is_octet(part) for part in parts) or not any(part.strip("0") for part in parts):
        return None
    if not tail or re.fullmatch(r"/\d{1,2}\W*", tail):
        return IP + tail
    return f"{IP}/{PATH}{split_closing(tail)[1]}"


def _is_octet(part: str) -> bool:
    """A byte, decimal or octal, with zeros in front or not."""
    if int(part) < 256:  # noqa: PLR2004 - a byte
        return True
    return part.startswith("0") and part.strip("01234567") == "" and int(part, 8) < 256  # noqa: PLR2004 - a byte


IPS = (
    Rule(
        "ip",
        (r"[0-9a-f]:[0-9a-f]{1,4}:[0-9a-f:]", r"[0-9a-f]::", r"::[0-9a-f]"),
        _V6,
        _v6,
        "peer [2001:db8::17]:443 gone",
        "peer [[ip]]:443 gone",
    ),
    Rule(
        "ip",
        (r"[0-9]\.[0-9]{1,4}\.[0-9]{1,4}\.[0-9]",),
        _V4,
        _v4,
        "peer 10.1.2.3:443 gone",
        "peer [ip]:443 gone",
    ),
    Rule(
        "ip",
        (r"[0-9]\s?[\[({](?:\.|dot)[\])}]\s?[0-9]", r"ip-[0-9]{1,3}-[0-9]{1,3}-[0-9]"),
        _DEFANGED,
        always(IP),
        "peer 10[.]1[.]2[.]3 gone",
        "peer [ip] gone",
    ),
    Rule(
        "ip",
        (r"0x[0-9a-f]{8}", r"0x[0-9a-f]{1,2}(?:\.0x[0-9a-f]{1,2}){3}"),
        _HEX,
        always(IP),
        "peer 0x0A010203 gone",
        "peer [ip] gone",
    ),
    Rule(
        "ip",
        (r"(?:ip|addr|address|host|inet|peer|remote|client)[^a-z0-9_]{1,3}[0-9]{8}",),
        _DECIMAL,
        lambda match: match["key"] + IP,
        "peer 167838211 gone",
        "peer [ip] gone",
    ),
)
