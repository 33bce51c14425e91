"""Judgement whether a dotted name is a host's: `db1.acme.com` is, `query.completed`, `os.path` and `main.py` are not.

A list of top-level domains alone would take most code for hosts (`user.id`, `app.run`, `time.now`). The domains
therefore fall in three kinds: those that hardly ever end anything else; those that are also words, attributes or file
names, which need a sign from around them; and all other endings, which are no hosts.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re

from telemetry.redact.tlds import TOP_LEVEL_DOMAINS

INTERNAL = frozenset("local internal intranet lan corp localdomain localhost svc consul onion arpa".split())
"""The endings that private networks use."""
PLAIN = INTERNAL | frozenset(
    "com org net edu gov mil biz io ai dev xyz cloud tech shop company systems agency software hosting "
    "de uk fr nl eu ru cn jp br au ca ch se dk fi cz hu gr il kr mx nz ua za tw hk sg ro sk lt lv ee ie ar cl co be "
    "lu ir ae sa eg ng ke ma pk bd lk vn ph kz uz az by hr bg ba uy ve pe".split()
)
"""The endings that mark a host on their own."""
FILE_ENDINGS = frozenset("py md rs sh pl ps so zip cc mov app cab bar ml mm gz java cs pm ts st as la".split())
"""The endings that are files' first: only a sign before the name makes a host of them."""
HOST_LABELS = (
    r"www\d*|web\d*|mail\d*|smtp\d*|imap\d*|pop3?|mx\d*|ns\d+|dns\d*|ftp\d*|vpn\d*|api\d*|cdn\d*|ldap\d*|dc\d+|db\d+|srv\d*"
    r"|server\d+|host\d+|node\d+|gw\d*|proxy\d*|gateway\d*|broker\d+|kafka\d+|redis\d+|es\d+|git|gitlab|jenkins|staging|prod"
)
PLATFORMS = r"bubble|firebase|fly|netlify|onrender|pages|railway|run|streamlit|vercel|web"
"""Labels before `.app` under which others put their sites."""
# Names of software that end like a host.
_SOFTWARE = frozenset(
    "asp.net vb.net ado.net system.net ml.net java.net javax.net java.io socket.io scipy.io skimage.io sys.io std.io "
    "tokio.io pandas.io std.net core.net torch.dev paket.io".split()
)
_REVERSED = frozenset("com org net io dev java javax jakarta sun edu gov de uk fr nl".split())
_HOST_LABEL = re.compile(rf"(?:{HOST_LABELS})\Z", re.IGNORECASE)
# A machine in a country of which the code ends files too: `kafka7.acme.waw.pl`, `sql-mia.acme.ml`.
_MACHINE_ABROAD = re.compile(
    r"[a-z][a-z-]+(?:\d{1,3}|-[a-z-]+\d{0,3})(?:\.[\w-]+){2,}\.(?:as|la|md|ml|mm|pl|pm|ps|py|rs|sh|st)"
    r"|(?:api|app|cache|ci|db|dns|edge|gate|gw|imap|kafka|ldap|mail|mx|node|ns|pg|proxy|redis|smtp|sql|srv|vault|vpn|web"
    r"|worker)(?:[a-z]{0,6}\d{1,3}|-[a-z-]+\d{0,3})\.[\w-]+\.(?:app|as|la|ml|mm|pl|pm|ps|st)"
    rf"|(?:{HOST_LABELS}|dev|demo|test|qa|uat|stage|beta|edge)\.[\w-]+\.app|[\w.-]+\.(?:{PLATFORMS})\.app"
)
_NUMBERED = re.compile(r"[a-z][a-z-]+\d{1,3}")
_SECOND_LEVEL = frozenset("com org net gov edu co ac".split())
# Its signs are no marks of placeholders: in `peer [ip] user.id` the peer has been named.
_CONTEXT = re.compile(
    r"(?:(?:\b|_)(?:ur[il]|host(?:name)?|server|connect(?:ed|ing|ion)?|resolv\w+|lookup|ping|dial|domain|dns|nameserver|upstream|peer|remote|broker"
    r"|endpoint|visit|site|website|reach|proxy|certificate|gateway|dig|ssh|target|origin|src|dst|dest|source|destination)\b)[^\w\ue000-\uf8ff]{0,3}"
    r"(?:(?:to|from|at|for|by|via|of|on|with|name)[^\w\ue000-\uf8ff]{1,2})?[\"'`]?\Z",
    re.IGNORECASE,
)
_PORT = re.compile(r":\d{2,5}(?!\d)")


def is_hostname(name: str, before: str, after: str) -> bool:
    """Tell whether a dotted name is a host's.

    Args:
        name: labels with dots between them.
        before: the text before it, at least 40 characters if there are as many.
        after: the text behind it.
    """
    labels = name.lower().split(".")
    ending = labels[-1]
    if name.lower() in _SOFTWARE or any(label.startswith("__") for label in labels):
        return False
    if ending.startswith("xn--"):
        return True
    if ending in PLAIN:
        return labels[0] not in _REVERSED or ending in {"com", "org", "net"} or len(labels[-1]) == 2  # noqa: PLR2004 - a country
    called = after.startswith("(") and not (len(labels) > 2 and _CONTEXT.search(before[-60:]))  # noqa: PLR2004 - `os.path.join(`
    if ending not in TOP_LEVEL_DOMAINS or called:
        return False
    if name[0].islower() and name.rpartition(".")[2][0].isupper():  # `dns.name.Name`
        return False
    return _has_sign(labels, before, after)


def _has_sign(labels: list[str], before: str, after: str) -> bool:
    if not labels[-1].isascii() or labels[0].startswith("www") or _CONTEXT.search(before[-60:]):
        return True
    if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL:  # noqa: PLR2004 - `acme.org.st`
        return True
    if labels[0] in _REVERSED and labels[0] != "dev":
        return False
    if labels[-1] in FILE_ENDINGS:
        return _MACHINE_ABROAD.fullmatch(".".join(labels)) is not None
    return (
        _PORT.match(after) is not None
        or any("-" in label for label in labels)
        or _HOST_LABEL.match(labels[0]) is not None
        or (len(labels) > 2 and _NUMBERED.fullmatch(labels[0]) is not None)  # noqa: PLR2004 - `web7.acme.run`
    )
