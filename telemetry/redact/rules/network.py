"""Rules for machines: MAC addresses, host names, IP addresses."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re

from telemetry.redact.hostname import HOST_LABELS, PLAIN, PLATFORMS, is_hostname
from telemetry.redact.rules.nobodys import is_nobodys
from telemetry.redact.rules.numbers import begins_an_id
from telemetry.redact.rules.placeholder import MARKS, mark
from telemetry.redact.rules.rule import END, Rule, always, only_marks, split_closing

HOST = mark("host")
IP = mark("ip")
MAC = mark("mac")
PATH = mark("path")

# Six pairs or eight. What stands beside them may be a name or a port, but no further pair.
_PAIRS = re.compile(
    r"[0-9a-f](?<![0-9a-f]{2})(?<![0-9a-f]-[0-9a-f])[0-9a-f](?:-[0-9a-f]{2}){5}(?:(?:-[0-9a-f]{2}){1,2})?"
    r"(?![0-9a-f])(?!-[0-9a-f]{2}(?![0-9a-z]))",
    re.IGNORECASE,
)
_QUADS = re.compile(
    r"[0-9a-f](?<![0-9a-f]{2})(?<![0-9a-f]{4}\.[0-9a-f])[0-9a-f]{3}(?:\.[0-9a-f]{4}){2}(?![0-9a-f]|\.[0-9a-f]{4}(?![0-9a-z]))",
    re.IGNORECASE,
)


def _pairs(match: re.Match[str]) -> str | None:
    """Confirm a MAC address of pairs; seven pairs of decimal digits, as in a date with a time, are none."""
    return None if match[0].count("-") == _MAC_PAIRS and not re.search(r"[a-f]", match[0], re.IGNORECASE) else MAC


def _quads(match: re.Match[str]) -> str | None:
    """Confirm a MAC address of three groups of four; decimal digits alone, or a part of a longer name, are none."""
    text = match.string
    around = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
    named = not any(map(str.isdigit, match[0])) and any(map(str.isalnum, around))
    return None if named or match[0].replace(".", "").isdigit() else MAC


# ---- Addresses with colons. A run of hexadecimal digits and colons is judged as a whole, and goes as a whole: with a
# port, with what is glued to it, with the time before it.

_COLONS = re.compile(
    r"[0-9a-f:](?<![0-9a-f:]{2})(?:(?<=:)|[0-9a-f]*+:)[0-9a-f]*+:[0-9a-f:]*+(?P<dotted>"
    r"(?:(?<=:\d)|(?<=:\d\d)|(?<=:\d{3}))(?:\.\d{1,3}){3}(?!\d))?(?P<zone>(?:%25|%(?![0-9a-f]{2}))[\w.-]{1,30}|%\d{1,2}(?![\w%]))?",
    re.IGNORECASE,
)
_ESCAPE_BEFORE = {"%": 2, "x": 2, "u": 4}  # so many digits of an escape stand before the run: `%5B2001:db8::1%5D`
_ESCAPE_SIGN = re.compile(r"(?:%|\\[xuXU])\Z")
_ARPA = re.compile(r"(?:(?:\d{1,3}\.){1,4}in-addr|(?:[0-9a-f]\.){1,34}ip6)\.arpa", re.IGNORECASE)
_SLICE = re.compile(r"\d{0,3}::\d{0,3}")
_END_OF_A_WORD = re.compile(
    r"[a-f]+:(?=(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):)", re.IGNORECASE
)  # `available:fe80::58`
# Nobody's: it listens at all of them, says Java, and the name of a class follows.
_UNSPECIFIED = re.compile(r"(?:0:){7}0(?::\d{1,5}(?::[a-f]{0,3})?)?:?", re.IGNORECASE)
_EVERYBODYS = frozenset({"fe80::", "fc00::", "fd00::", "ff00::", "2000::", "::"})  # as in `fe80::/64`
_GLOBAL = re.compile(r"[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]|ff[0-9a-f]{2}|64|100|", re.IGNORECASE)
_SCOPE = re.compile(
    r"[0-9a-f]{0,8}::(?=(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]|ff[0-9a-f]{2}):)", re.IGNORECASE
)
# A group of another number, or a label of a host, with `::` beside it: `10.1.2.3::`, `::4532-0151-…`, `::db1.acme.com`.
_NUMBER_BEFORE = re.compile(r"(?:\d[.-]|\+\d[\d ().-]{4,18})\Z")
_DOTTED_BEFORE = re.compile(r"(?<!\d)(?:\d{1,3}\.){3}\Z")
_NUMBER_OR_NAME_BEHIND = re.compile(r"(?<=\d{4})-\d{4}-\d{4}|\.[a-z][\w-]{0,61}\.[a-z]{2}", re.IGNORECASE)
_MAC_PAIRS = 6
_ADDRESS_GROUPS = 8
_DIGEST_PAIRS = range(14, 65)
_FEW_GROUPS = 3


def _colons(match: re.Match[str]) -> str | None:
    """Replace an IPv6 address, a MAC address or a digest with colons; a time, a slice or a name of C++ stays."""
    run = match[0].removesuffix(match["zone"] or "")
    if _UNSPECIFIED.fullmatch(run) or (match.string.startswith("/", match.end()) and run.lower() in _EVERYBODYS):
        return None
    sign = _ESCAPE_SIGN.search(match.string, max(0, match.start() - 2), match.start())
    escape = run[: _ESCAPE_BEFORE[sign[0][-1].lower()]] if sign else ""
    escape = "" if ":" in escape or not escape or chr(int(escape, 16)).isalnum() else escape
    run = run[len(escape) :]
    word = _END_OF_A_WORD.match(run) if match.string[match.start() - 1 : match.start()].isalpha() else None
    escape, run = (escape + word[0], run[word.end() :]) if word else (escape, run)
    lead = ":" if run.startswith(":") and not run.startswith("::") else ""
    tail = ":" if run.endswith(":") and not run.endswith("::") else ""
    if run.count("::") == 2 and ":::" not in run:  # noqa: PLR2004 - no address has two: one is a sign beside it
        scope = _SCOPE.match(run)
        lead, tail = (scope[0], tail) if scope else (lead, "::" if run.endswith("::") else tail)
    groups = run[len(lead) : len(run) - len(tail)].removesuffix(match["dotted"] or "").split(":")
    if ":::" in run and not match["dotted"]:
        lead, groups = "", [group for n, group in enumerate(groups) if n or group]
    if match.string[match.end() : match.end() + 1].isalpha() and not groups[-1].isdigit():  # `…:b7and`
        groups[-1] = groups[-1][: 4 if len(groups) == _ADDRESS_GROUPS else 2]
    kind = _kind(groups, match)
    return escape + lead + kind + tail if kind else None


def _kind(groups: list[str], match: re.Match[str]) -> str | None:
    filled = [group for group in groups if group]
    pairs = sum(len(group) == 2 for group in groups)  # noqa: PLR2004 - two digits
    if len(filled) == len(groups):
        if pairs == len(groups) in _DIGEST_PAIRS:
            return mark("opaque")
        if len(groups) == _MAC_PAIRS and max(map(len, groups)) <= 2:  # noqa: PLR2004 - two digits
            return MAC
        if len(groups) == _ADDRESS_GROUPS and pairs < _ADDRESS_GROUPS:
            return IP if max(map(len, groups[1:])) <= 4 else None  # noqa: PLR2004 - an address's group
        if _has_pairs(groups) and not any(len(group) > 2 for group in groups[1:-1]):  # noqa: PLR2004 - two digits
            return MAC
        return IP if len(groups) >= _ADDRESS_GROUPS else None
    return IP if _is_short_form(groups, filled, match) else None


def _has_pairs(groups: list[str]) -> bool:
    """Tell whether six groups in a row are pairs."""
    return "2" * _MAC_PAIRS in "".join(str(min(len(group), 9)) for group in groups)


def _is_short_form(groups: list[str], filled: list[str], match: re.Match[str]) -> bool:
    """Tell whether groups are an IPv6 address shortened by one `::`, and no name and no slice."""
    text, run = match.string, ":".join(groups)
    if run.count("::") != 1 or max(map(len, filled), default=5) > 4 + 4 * (len(filled) >= _FEW_GROUPS):
        return False
    if not any(group.strip("0") for group in filled):  # the unspecified one
        return False
    before, after = text[max(0, match.start() - 2) : match.start()], text[match.end() : match.end() + 1]
    is_slice = _SLICE.fullmatch(run) is not None and run != "::1" and re.search(r"\w\[\Z", before) is not None
    if is_slice or _is_of_another(groups, filled, match):
        return False
    if match["dotted"] or (len(filled) > _FEW_GROUPS and any(map(str.isdigit, run))):
        return True
    if before[-1:].isalnum() or before.endswith("_") or after.isalpha() or after == "_":
        return len(filled) > 1 and any(map(str.isdigit, run)) and _GLOBAL.fullmatch(groups[0]) is not None
    return any(map(str.isdigit, run)) or len(groups) > 4  # noqa: PLR2004 - `b::`, `abc::def`


def _is_of_another(groups: list[str], filled: list[str], match: re.Match[str]) -> bool:
    """Tell whether a `::` joins groups to a longer number or to the name of a host, so that they are no address."""
    text, start, end = match.string, *match.span()
    if groups[0].isdigit() and _DOTTED_BEFORE.search(text, max(0, start - 13), start):  # `10.1.2.3:80::17`
        return True
    if len(filled) >= _FEW_GROUPS:
        return False
    return bool(_NUMBER_BEFORE.search(text, max(0, start - 20), start) or _NUMBER_OR_NAME_BEHIND.match(text, end))


ADDRESSES = (
    Rule(
        "ip",
        (r"\.arpa",),
        _ARPA,
        always(IP),
        "PTR 12.0.0.10.in-addr.arpa missing",
        "PTR [ip] missing",
    ),
    Rule(
        "mac",
        (r"[0-9a-f]:(?:[0-9a-f]{1,2}:){4}[0-9a-f]",),
        _COLONS,
        lambda match: new if MAC in (new := _colons(match) or "") else None,
        "link 3c:22:fb:1e:0a:9d up",
        "link [mac] up",
    ),
    Rule(
        "ip",
        (r"[0-9a-f]:(?:[0-9a-f]{1,4}:){4}[0-9a-f]", r"[0-9a-f]::", r"::[0-9a-f]"),
        _COLONS,
        _colons,
        "peer [2001:db8::17]:443 gone",
        "peer [[ip]]:443 gone",
    ),
)

MACS = (
    Rule(
        "mac",
        (r"(?:[0-9a-f]{2}-){5}[0-9a-f]{2}",),
        _PAIRS,
        _pairs,
        "link 3c-22-fb-1e-0a-9d up",
        "link [mac] up",
    ),
    Rule(
        "mac",
        (r"[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}",),
        _QUADS,
        _quads,
        "port 3c22.fb1e.0a9d up",
        "port [mac] up",
    ),
    Rule(
        "mac",  # without separators only where something says so
        (r"(?:mac|hwaddr|ether|bssid)[a-z_ ]{0,9}[\s=:\"']{1,4}[0-9a-f]{12}",),
        re.compile(
            r"(?P<key>(?:mac|hwaddr|ether|bssid)[a-z_ ]{0,9}[\s=:\"']{1,4})[0-9a-f]{12}(?![a-z0-9])",
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
# Signs that stand on both sides of a name are no part of it: `--db1.acme.com--`, `..db1.acme.com..`.
_BETWEEN = (
    r"(?<=--)(?=(?:\w|[.-](?![.-]))++--)|(?<=\s--)|(?<=\s-)"
    r"|(?<=\.\.)(?=(?:\w|[.-](?![.-]))++\.\.)|(?<=%)(?=[\w.-]{4,80}+%(?![0-9a-fA-F]{2}))"
)
_FQDN = re.compile(
    rf"(?=\w)(?:(?:(?<![\w.@-])|(?<=[\s\"'(\[]@))(?!(?<=%)(?:[0-9a-fA-F]{{2}}|\w\.))|(?<=[.%-])(?:{_BETWEEN}))(?=[\w-]{{1,63}}+\.)(?!(?<=\\)(?:u[0-9a-fA-F]{{4}}|x[0-9a-fA-F]{{2}}))(?P<name>(?:[\w](?:[\w-]{{0,61}}\w)?\.){{1,20}}[^\W\d_][\w-]{{1,62}}?)(?P<value>)(?P<behind>_{{1,2}}|--)?(?![\w@-])(?:\.(?=\W|\Z))?{_TAIL}"
)
_HOST_KEY = re.compile(
    r"(?P<key>(?<![A-Za-z])(?:host(?:_?name)?|server(?:_?name)?|fqdn|peer|remote(?:_?(?:host|addr))?|node(?:_?name)?|machine(?:_?name)?|"
    r"computer(?:_?name)?|broker|upstream|domain|gateway|nameserver|listen|bind|addr(?:ess)?|endpoint|bootstrap_?servers?)"
    r"\\*[\"']?\s{0,2}[=:]\s{0,2}\\*[\"']?)"
    r"(?P<value>[\w.\-]{2,253}(?::\d{1,5}(?!\d|\.\d| \d\d))?(?:,[\w.:\-]{2,253})*)",
    re.IGNORECASE,
)
# What an error text of a resolver or a client says of a host that it can't reach: any name, also of one label.
_UNREACHED = re.compile(
    r"(?P<key>(?<![\w-])(?:(?:java\.net\.)?UnknownHostException: |(?:ENOTFOUND|EAI_AGAIN) "
    r"|not resolve host(?:name)?:? (?=[\w.-]+(?:[:;,()]|\Z))"
    r"|not translate host name |connect to host (?=[\w.-]+ port )|MySQL server (?:on|host) (?=[\"'])"
    r"|getaddrinfo failed for |failed to resolve (?=[\"'])|connection to server at (?=[\"'])"
    r"|failed to connect to (?=[\w-]+(?:/\d| port \d))"
    r"|lookup (?=[\w-]+(?: on [\d.:\[\]a-f]+:53|: no such host)))[\"']?)"
    r"(?P<value>\w[\w.-]{0,252})",
    re.IGNORECASE,
)
# A machine that bears its owner's name, or that its maker has named; a model alone is nobody's.
_MODEL = r"(?:MacBook|iMac|iPhone|iPad|Macmini)"
_APPLIANCE = (
    r"(?:MacBook(?: Pro| Air)?|iMac|iPhone|iPad|Mac ?mini|Apple Watch|AirPods|Galaxy|Pixel|Laptop|PC|Computer|Phone"
    r"|Tablet|Watch|Surface|ThinkPad|Chromebook)"
)
_MACHINE = re.compile(
    r"(?<![A-Za-z0-9-])(?:DESKTOP|LAPTOP|WIN)-[A-Z0-9]{6,12}(?![A-Za-z0-9-])"
    rf"|(?<![\w'-])(?:[\w'\u2019]{{1,30}}-){{1,3}}(?=[Mi]){_MODEL}(?:-\w{{1,20}}){{0,3}}(?![\w-])"
    rf"|(?<![\w-]){_MODEL}(?:-\w{{1,20}}){{1,3}}(?![\w-])"
    rf"|(?<![\w'-])[A-Z]\w{{1,30}}(?:['\u2019]s?|(?<=s)['\u2019]) {_APPLIANCE}(?: \w*\d\w*)?(?![\w-])"
    rf"|(?<![\w-]){_APPLIANCE}(?:[ -]\w*\d\w*)?(?:[ -]Pro)?[ -](?:von|de|di|van|da|of)[ -][A-Z]\w+"
    r"|(?<![\w-])[A-Za-z]\w{0,30}-(?:ThinkPad|XPS|Latitude|EliteBook|ProBook|ZenBook|Chromebook|PC|NAS)"
    r"(?:-\w{1,20}){0,3}(?![\w-])"
)
# A host of one label before a port, of a log's header, beside its address, or with the address in it.
_PORTS_OF_THEIR_OWN = (
    "1433 1521 2181 2379 2380 3306 5432 5672 6379 6443 8020 9042 9092 9200 9300 11211 26257 27017 50051"
)
_PORTS = (
    f"{_PORTS_OF_THEIR_OWN} 1883 3128 3389 4222 4317 4318 4566 5433 5601 5671 5690 5691 5984 6380 6381 6432 6650 7077"
    " 7199 7474 7687 8080 8081 8086 8123 8125 8300 8301 8443 8500 8983 9000 9090 9093 9094 9100 9160 9411 15672 16379"
    " 26379 27018 27019 50010 50020 50070 61613 61616"
).split()
_LABEL_AND_PORT = re.compile(
    r"(?<![\w./@%-])(?P<value>[A-Za-z][\w-]{0,62})(?P<joint>:|[\"'], )(?P<number>\d{2,5})(?!\d|\.\d|-\d\d-\d)", re.ASCII
)
_CONNECT = (
    r"(?:connect(?:ing|ed|ion)?|connect call failed|read(?:ing)?|writ(?:e|ing)|resol(?:ve|ution failed)|dial (?:tc|ud)p"
    r"|econn[a-z]+|ehostunreach|etimedout|enotfound|nobrokersavailable|servers?|hosts?|brokers?|peers?|upstream|master"
    r"|replica|leader|listening|reach|serverdescription|thrd)"
)
_CONNECTING = re.compile(
    rf"(?<![a-z]){_CONNECT}[\"']?[^a-z0-9\ue000-\uf8ff]{{1,4}}"
    r"(?:(?:to|from|with|at|on|for|host|server|call failed)[^a-z0-9]{1,4}){0,2}\Z",
    re.IGNORECASE,
)
_BESIDE_ITS_ADDRESS = re.compile(
    r"(?<![\w./-])(?!(?:tcp|udp|ip|ipv|http|tls|ssl|quic)\d)(?=[\w-]*\d/)[A-Za-z][\w-]{2,62}"
    r"(?=/\d{1,3}\.\d{1,3}\.\d{1,3}\.\d)",
    re.ASCII,
)
_WITH_ITS_ADDRESS = re.compile(
    r"(?<![\w.-])[A-Za-z][A-Za-z_-]{0,40}(?:\d{1,3}[A-Za-z_-]{1,40}){0,3}?"
    r"(?P<address>\d{1,3}(?P<sign>[_-])\d{1,3}(?P=sign)\d{1,3}(?P=sign)\d{1,3})(?![\w]|-\d)(?:\.[\w-]+)*",
    re.ASCII,
)
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_HEADER = re.compile(
    rf"(?=[ADFJMNOS<\d])(?P<key>\b{_MONTH} [ \d]?\d \d\d:\d\d:\d\d |<\d{{1,3}}>1 \d{{4}}-\S{{1,40}} "
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d) (?=\S{1,80} [\w./-]{1,48}\[\d))"
    r"(?P<value>[A-Za-z0-9][\w./-]{0,120})"
    r"(?= [\w./-]{1,48}(?:\([\w.:-]{1,40}\))?(?:\[\d{1,9}\])?:|(?<=[\w.-]) [\w./-]{1,48} \S+ \S+ [\[-])"
)
_LEVELS = frozenset(
    "trace debug info notice warn warning error err crit critical fatal alert emerg panic utc gmt".split()
)


def _machine_and_port(match: re.Match[str]) -> str | None:
    value, number, text = match["value"], match["number"], match.string
    if value.lower() in _NO_HOST | _NO_MACHINE or not 21 < int(number) < 1 << 16:  # noqa: PLR2004 - SSH's is the first
        return None
    numbered = any(map(str.isdigit, value)) and number in _PORTS
    known = number in _PORTS_OF_THEIR_OWN.split() and match["joint"] == ":"
    if not (numbered or known or _CONNECTING.search(text, max(0, match.start() - 48), match.start())):
        return None
    return HOST + match[0][len(value) :]


def _with_its_address(match: re.Match[str]) -> str | None:
    parts = match["address"].split(match["sign"])
    if match[0].lower().startswith("ip-") and match[0].count("-") == len(parts):  # that has a rule of its own
        return None
    padded = any(len(part) > 1 and part.startswith("0") for part in parts)  # a date, a time
    return None if padded or not all(int(part) < 256 for part in parts) else HOST  # noqa: PLR2004 - a byte


def _header(match: re.Match[str]) -> str | None:
    return None if match["value"].lower() in _LEVELS else match["key"] + HOST


_NO_MACHINE = frozenset(
    "line lines col column pid tid id size count length offset timeout limit step level code port at on version step"
    " retries attempt errno error status time ms bytes total max min seq epoch rows row block page index".split()
)


def _fqdn(match: re.Match[str]) -> str | None:
    name, text = match["name"], match.string
    before, behind = "", match["behind"] or ""
    if behind and name.startswith(behind):  # `_db1.acme.com_`
        before, name = behind, name[len(behind) :]
    elif not text.endswith(behind, 0, match.start()):
        return None
    before_name, after_name = (
        text[max(0, match.start() - 60) : match.start()],
        text[match.end("name") : match.end() + 8],
    )
    compound = _COMPOUND.search(name)
    if compound and is_hostname(name[: compound.start()], before_name, ""):  # `die db1.acme.com-Funktion`
        return before + HOST + compound[0] + match[0][len(before + name) :]
    if not is_hostname(name, before_name, after_name):
        # What a program writes behind a name with a dot: `db1-eu.acme.com.main()`.
        shorter, _, last = name.rpartition(".")
        sure = shorter.count(".") > 1 and ("-" in shorter or any(map(str.isdigit, shorter)))
        sure = sure or (after_name.startswith("(") and bool(_PEER.search(before_name)))
        ends_sure = shorter.lower().endswith(_SURE_ENDINGS) or (
            after_name.startswith("(")
            and (shorter.rpartition(".")[2].lower() in PLAIN or is_hostname(shorter, before_name, ""))
        )
        if sure and ends_sure and not shorter.lower().startswith(_SURE_BEGINNINGS):
            return before + HOST + behind + "." + last + match[0][len(match["name"]) + len(behind) :]
        return None
    tail = match["tail"] or ""
    body, closing = split_closing(match[0])
    if not tail or not tail.strip("/"):
        return before + HOST + match[0][len(before + name) :]
    return f"{before}{HOST}{behind}/{PATH}{closing if len(body) > len(name) else ''}"


_SURE_ENDINGS = (".com", ".net", ".org", ".local", ".internal", ".lan", ".corp", ".intranet", ".de", ".dev", ".io")
_SURE_BEGINNINGS = ("com.", "org.", "net.", "io.", "dev.", "de.", "java.", "javax.")
_PEER = re.compile(r"(?:connect(?:ed|ing)? to|resolve|server|host|peer)[ =:]{1,2}\Z", re.IGNORECASE)


_COMPOUND = re.compile(r"-[A-Z][a-z]*\Z|(?:_[a-z]{2,20}){2,4}\Z")


def _host_key(match: re.Match[str]) -> str | None:
    value = match["value"]
    bare = value.rstrip(".-")
    key = match["key"].lower()
    # `server = Server(…)`, and what Java calls an object; a key, as in `host: "tel: …"`; a phrase in quotes.
    after = match.string[match.end() : match.end() + 1]
    if (
        (
            after == "("
            and "-" not in value
            and not (_NUMBERED.fullmatch(value) and _COUNTED.match(match.string, match.end()))
        )
        or after in {"@", "$"}
        or (after == "=" and value.replace("_", "").isalpha())
        or (after in {":", " "} and key_quoted(match))
    ):
        return None
    if bare.replace(".", "").replace(":", "").isdigit() and bare.count(".") != 3:  # noqa: PLR2004 - an address has three dots
        return None
    addressed = key.startswith("addr") and bare.isalpha()  # an address has digits, dots or dashes
    if (
        addressed
        or begins_an_id(match.string, match.start("value"))
        or (_BEGINS_ANOTHER.match(match.string, match.start("value")) is not None)
        or only_marks(value)
        or is_nobodys(bare)
        or bare.lower() in _NO_HOST
        or _NO_NAME.fullmatch(bare)
        or ("=" not in key and not key.startswith(("host", "fqdn", "computer", "machine")))
    ):
        return None
    return match["key"] + HOST + value[len(bare) :]


_NUMBERED = re.compile(r"[a-z]+\d{1,4}")
_BEGINS_ANOTHER = re.compile(
    r"(?:host(?:_?name)?|server|node|user(?:_?name)?|login|owner|password|tel(?:ephone)?|phone|fax|mobile)"
    r"(?::\s|\s(?:no|nr|number)\b)",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"\(\d+\)")  # `server=db82(17)`


def key_quoted(match: re.Match[str]) -> bool:
    """Tell whether the key of a match ends with a quote that is closed behind the value."""
    return match["key"][-1] in "\"'" and match.string.find(match["key"][-1], match.end()) > 0


def _unreached(match: re.Match[str]) -> str | None:
    bare = match["value"].rstrip(".-")
    if bare.replace(".", "").isdigit() or bare.lower() in _NO_HOST or is_nobodys(bare):
        return None
    return match["key"] + HOST + match["value"][len(bare) :]


_NO_NAME = re.compile(r"0x[0-9a-fA-F]+|\w+ErrorDomain\w*|[\w.]+\.error|(?:[a-z]\w*\.)+[A-Z]\w*[a-z]\w*")
"""Words that are no host: a place in memory, the domain of an error on macOS, a class."""
_NO_HOST = frozenset(
    "true false null none localhost unknown default auto any all up down ready not is header headers field "
    "str string name port no".split()
)

HOSTS = (
    Rule(
        "host",
        (
            rf"{_MONTH} [ 0-9]?[0-9] [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} [a-z0-9]",
            r"<[0-9]{1,3}>1 [0-9]{4}-[^\s]{1,40} [a-z0-9]",
            r"t[0-9]{2}:[0-9]{2}:[0-9]{2}[0-9.z+:\-]{1,16} [a-z0-9._/\-]{1,80} [a-z0-9._/\-]{1,48}\[[0-9]",
        ),
        _HEADER,
        _header,
        "Nov 30 05:48:21 nodeseven sshd[812]: closed",
        "Nov 30 05:48:21 [host] sshd[812]: closed",
    ),
    Rule(
        "host",
        (
            rf"(?:[a-z]|[a-z0-9_\-]{{2}})(?::|[\"'], )(?:{'|'.join(_PORTS)})[^0-9]",
            (
                rf"{_CONNECT}[\"']?[^a-z0-9]{{1,4}}"
                r"(?:(?:to|from|with|at|on|for|host|server|call failed)[^a-z0-9]{1,4}){0,2}"
                r"[a-z][a-z0-9_\-]{0,62}(?::|[\"'], )[0-9]{2}"
            ),
        ),
        _LABEL_AND_PORT,
        _machine_and_port,
        "Error 111 connecting to nodeseven:6379.",
        "Error 111 connecting to [host]:6379.",
    ),
    Rule(
        "host",
        (r"[a-z_\-][0-9]{1,62}/[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",),
        _BESIDE_ITS_ADDRESS,
        always(HOST),
        "to node-seven7/10.1.2.3:9000 gone",
        "to [host]/[ip]:9000 gone",
    ),
    Rule(
        "host",
        (
            r"(?:unknownhostexception:|enotfound|eai_again|resolve host(?:name)?:?) ",
            r"(?:connect to host|getaddrinfo failed for|failed to resolve|connection to server at) ",
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
        "host",
        (
            rf"[a-z0-9_]\.(?:{'|'.join(sorted(PLAIN))})(?:__?|--)?{END}",
            rf"(?:{HOST_LABELS})\.[a-z0-9_]",
            r"-[a-z0-9_]+\.[a-z]{2}",
            r"[a-z0-9_]\.[a-z]{2,24}:[0-9]{2}",
            r"\.xn--[a-z0-9]",
            r"[a-z][0-9]{1,3}\.[a-z0-9_\-]+\.[a-z0-9]",
            rf"[a-z0-9]\.(?:{PLATFORMS})\.app",
            r"(?:dev|demo|test|qa|uat|stage|beta|edge)\.[a-z0-9_\-]+\.app",
            r"\.(?:com|org|net|gov|edu|co|ac)\.[a-z]{2}",
            (
                r"[^a-z0-9](?:ur[il]|host|server|connect|resolv|lookup|ping|dial|domain|dns|nameserver|upstream|peer|remote|broker|endpoint"
                r"|visit|site|website|reach|proxy|certificate"
                r"|gateway|dig|ssh|target|origin|src|dst|dest|source)[a-z]*[^a-z]{1,3}(?:(?:to|from|at|for|by|via|of|on|with|name)[^a-z0-9]{1,2})?[\"'`]?[a-z0-9_\-][a-z0-9_.\-]*\.[a-z]"
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
                r"[^a-z](?:host|server|peer|remote|node|machine|computer|broker|fqdn|upstream|domain|gateway|nameserver|listen|bind"
                r"|addr|endpoint|bootstrap_?servers?)(?:_?(?:name|host|addr)|ess)?\\*[\"']?\s{0,2}[=:]"
            ),
        ),
        _HOST_KEY,
        _host_key,
        "start host=nodeseven port=3",
        "start host=[host] port=3",
    ),
    Rule(
        "host",
        (
            r"(?:desktop|laptop|win)-[a-z0-9]{6}",
            r"macbook|imac|iphone|ipad|mac ?mini|apple watch|airpods",
            (
                r"(?:galaxy|pixel|laptop|pc|computer|phone|tablet|watch|surface|thinkpad|chromebook)"
                r"(?:[ \-][a-z0-9]{1,12}){0,2}[ \-](?:von|de|di|van|da|of)[ \-]"
            ),
            r"['!]s? (?:galaxy|pixel|laptop|pc|computer|phone|tablet|watch|surface|thinkpad|chromebook)",
            r"-(?:thinkpad|xps|latitude|elitebook|probook|zenbook|chromebook|pc|nas)",
        ),
        _MACHINE,
        always(HOST),
        "from DESKTOP-4F7K2QX today",
        "from [host] today",
    ),
    Rule(
        "host",
        (r"[a-z_\-][0-9]{1,3}-[0-9]{1,3}-[0-9]{1,3}-[0-9]", r"[a-z_\-][0-9]{1,3}_[0-9]{1,3}_[0-9]{1,3}_[0-9]"),
        _WITH_ITS_ADDRESS,
        _with_its_address,
        "of edge-10-44-7-201 today",
        "of [host] today",
    ),
)

_V4 = re.compile(
    rf"\d(?<!\d\d)(?<!\d\.\d)\d{{0,3}}(?:\.\d{{1,4}}){{3}}(?P<port>\.\d{{1,5}})?(?!\d|\.\d)(?P<tail>(?::\d{{1,5}})?/[^\s\"'<>`{MARKS}]*)?",
    re.ASCII,
)
# A digit that is no part of the address; a year begins a version.
_GLUED = re.compile(r"(?!19|20)[1-9](?:1\d\d|2[0-4]\d|25[0-5])\.(?=(?:\d+\.){0,2}(?:[4-9]\d|\d{3})(?!\d))", re.ASCII)
_SECTION = re.compile(
    r"(?:\bRFC ?-?\d{3,5},?|\bsections?|\bsec\.|§|\bchapter|\bclause|\bappendix|\bversion:?) \Z|\bversion=\Z|~~\Z",
    re.IGNORECASE,
)
"""The text before four numbers that are no address but those of a chapter or a version; Windows writes `~~`."""
_NETWORK_SIZE = re.compile(r"/\d{1,2}\W*")
_SURELY_V4 = re.compile(
    r"(?:(?:(?:10|127)\.\d{1,3}|172\.(?:1[6-9]|2\d|3[01])|192\.168)(?:\.\d{1,3}){2}|\d{1,3}(?:\.\d{1,3}){3}(?=[:/]\d)"
    r"|0[0-7]{2,3}(?:\.0[0-7]{1,3}){3}|(?:\d{3}\.){3}\d{3}"
    r"|(?:1\d\d|2[0-4]\d|25[0-5])\.[1-9]\d{0,2}\.\d{1,3}\.\d{1,3})(?!\.?\d)"
)
"""Addresses of private networks, and those with a port or a network's size behind them."""
_DEFANGED = re.compile(
    r"(?<!\d)\d{1,3}(?:\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\))\s?\d{1,3}){3}(?!\d)|\bip(?:-\d{1,3}){4}(?!\d)",
    re.IGNORECASE,
)
_HEX = re.compile(
    r"(?<![\w.])0x(?:(?P<whole>[0-9a-f]{8})|[0-9a-f]{1,2}(?:\.0x[0-9a-f]{1,2}){3})(?!\.\d|\.0x)(?!\w)",
    re.IGNORECASE | re.ASCII,
)
_PRIVATE_HEX = re.compile(r"0a|7f|ac1|c0a8", re.IGNORECASE)
# Eight digits are an error's code, a place in memory or a set of flags, unless something says otherwise.
_NETWORK_WORD = re.compile(
    r"(?<![A-Za-z])(?:(?<!instruction )(?<!memory )(?<!at )(?:ip(?:v?4)?|addr|src|dst|source"
    r"|destination|from|bind|s_addr)"
    r"|host|inet|peer|remote|client|server|gateway|router?|subnet|netmask|connect(?:ed|ing)?(?: to)?|dial|ping"
    r"|nameserver|sender)"
    r"[ _]?(?:ip|addr)?[\"']?[ :=(\[\"']{1,3}\Z",
    re.IGNORECASE,
)
_PLACE_IN_MEMORY = re.compile(r"(?<![a-z])(?:at|mask|0x[0-9a-f]+,|address:|ptr|pointer)[ =]?\Z", re.IGNORECASE)
_DECIMAL = re.compile(
    rf"(?P<key>(?:(?:\bip|addr|address|inet|peer)[^\w{MARKS}]{{1,3}}"
    rf"|(?:host|remote|client)[^\w{MARKS}]{{0,2}}[=:][^\w{MARKS}]{{0,2}}))(?P<value>\d{{8,10}})(?!\d|-\d)",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"1[4-9]\d{8}")  # since 1970


def _decimal(match: re.Match[str]) -> str | None:
    key = match["key"].lower()
    return (
        None if _SECONDS.fullmatch(match["value"]) and not key.startswith(("ip", "addr", "inet")) else match["key"] + IP
    )


def _v4(match: re.Match[str]) -> str | None:
    tail = match["tail"] or ""
    before = match.string[max(0, match.start() - 24) : match.start()]
    may_be_section = before.endswith((" ", "=", "~~")) and not _SURELY_V4.match(match.string, match.start())
    if may_be_section and _SECTION.search(before):
        return None
    parts = match[0].removesuffix(tail).split(".")
    glued = match[0][0] if _GLUED.match(match[0]) else ""
    parts[0] = parts[0][len(glued) :]
    if match["port"] and not _is_port(parts.pop(), match):
        return None
    if not all(_is_octet(part) for part in parts) or not any(part.strip("0") for part in parts):
        return None
    if not tail or _NETWORK_SIZE.fullmatch(tail):
        return glued + IP + tail
    return f"{glued}{IP}/{PATH}{split_closing(tail)[1]}"


def _is_port(number: str, match: re.Match[str]) -> bool:
    """Tell whether a fifth number is a port behind a dot, as tcpdump writes one."""
    before, after = match.string[max(0, match.start() - 3) : match.start()], match.string[match.end() : match.end() + 2]
    return 255 < int(number) < 1 << 16 or before.endswith(("IP ", "> ")) or after == " >"  # noqa: PLR2004 - a byte


def _hex(match: re.Match[str]) -> str | None:
    digits = match["whole"]
    before = match.string[max(0, match.start() - 40) : match.start()]
    if digits is None:
        return IP
    if digits.startswith(
        ("00", "800", "C00", "c00", "e", "E", "f", "F")
    ):  # nobody's, a group's, or an error of Windows
        return None
    if _PRIVATE_HEX.match(digits):
        return None if _PLACE_IN_MEMORY.search(before) else IP
    return IP if _NETWORK_WORD.search(before) else None


def _is_octet(part: str) -> bool:
    """Tell whether a part of an address is a byte, decimal or octal, with or without leading zeros."""
    if int(part) < 256:  # noqa: PLR2004 - a byte
        return True
    return part.startswith("0") and part.strip("01234567") == "" and int(part, 8) < 256  # noqa: PLR2004 - a byte


IPS = (
    Rule(
        "ip",
        (r"[0-9]\.[0-9]{1,4}\.[0-9]{1,4}\.[0-9]",),
        _V4,
        _v4,
        "peer 10.1.2.3:443 gone",
        "peer [ip]:443 gone",
        pace=3,
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
        _hex,
        "peer 0x0A010203 gone",
        "peer [ip] gone",
        pace=3,
    ),
    Rule(
        "ip",
        (r"(?:ip|addr|address|host|inet|peer|remote|client)[^a-z0-9_]{1,3}[0-9]{8}",),
        _DECIMAL,
        _decimal,
        "peer 167838211 gone",
        "peer [ip] gone",
    ),
)
