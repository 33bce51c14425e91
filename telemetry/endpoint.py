r"""Check of the URLs of endpoints and proxies. Standard library only: the host imports it.

Parsers of URLs disagree about what RFC 3986 does not allow: for `http://evil\@127.0.0.1/` one connects to `evil`,
while another judges 127.0.0.1. So no URL is accepted that could be read in two ways: the host judged is the host
connected to.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from telemetry.errors import ConfigError

_MAX_PORT = 65_535
_PORTS = {"http": 80, "https": 443}
# RFC 3986, 3.2 and 3.3, without a query and a fragment, and with no escapes in a host's name.
_PLAIN = r"A-Za-z0-9._~!$&'()*+,;=\-"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?:(?P<login>(?:[{_PLAIN}:]|%[0-9A-F]{{2}})*)@)?"
    r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-F:.]+(?:%25[A-Za-z0-9._~-]+)?\])"
    rf"(?::(?P<port>[0-9]{{1,5}}))?(?P<path>(?:/(?:[{_PLAIN}:@]|%[0-9A-F]{{2}})*)*)",
    re.IGNORECASE | re.ASCII,
)
_LOGIN = rf"(?:(?P<login>(?:[{_PLAIN}:]|%[0-9A-Fa-f]{{2}})*)@)?"
_PEER = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_SINKS = {
    "file": re.compile(r"file://(?P<path>/[^\x00-\x1f\x7f?#]*)"),
    "s3": re.compile(
        r"s3://(?P<peers>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<path>(?:/(?!\.+(?:/|$))[A-Za-z0-9._=-]+)*)/?"
    ),
    "nats": re.compile(
        rf"nats://{_LOGIN}(?P<peers>{_PEER}(?:,{_PEER})*)/(?P<path>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)"
    ),
    "kafka": re.compile(rf"kafka://{_LOGIN}(?P<peers>{_PEER}(?:,{_PEER})*)/(?P<path>[A-Za-z0-9._-]{{1,249}})"),
}
"""The URLs of sinks other than http(s): directory; bucket and prefix; servers and subject; brokers and topic."""

_EXAMPLES = {
    "file": "file:///var/spool/acme",
    "s3": "s3://bucket/prefix",
    "nats": "nats://a.example:4222,b.example:4222/telemetry.batches",
    "kafka": "kafka://a.example:9093,b.example:9093/telemetry",
}
_SINK_PORTS = {"nats": 4222, "kafka": 9092}
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


class Target:
    """The host and port that a URL leads to.

    Attributes:
        scheme: `http` or `https`.
        login: `user:password` as written; empty for none.
        host: the host in small letters; an IPv6 address without its brackets.
        port: the port, the scheme's own if none is given.
        path: the path as written.
    """

    def __init__(self, scheme: str, login: str, host: str, port: int, path: str) -> None:
        self.scheme = scheme
        self.login = login
        self.host = host
        self.port = port
        self.path = path

    @property
    def is_this_machine(self) -> bool:
        """Whether the host is this machine beyond doubt: `localhost`, or a loopback address."""
        address = address_of(self.host)
        return "%" not in self.host and (address.is_loopback if address else self.host == "localhost")

    @property
    def may_be_this_machine(self) -> bool:
        """Whether the host is, by its name, nobody else's: so is `x.localhost` (RFC 6761, 6.3) and 0.0.0.0."""
        name, _, _ = self.host.rstrip(".").partition("%")
        if address := address_of(name):
            return address.is_loopback or address.is_unspecified
        return name == "localhost" or name.endswith(".localhost")


class SinkTarget:
    """The place that the URL of a sink other than http(s) leads to.

    Attributes:
        scheme: `file`, `s3`, `nats` or `kafka`.
        login: `user:password` as written; empty for none.
        peers: the servers, each `host:port`; of `s3` the bucket.
        path: the directory, the prefix, the subject or the topic.
    """

    def __init__(self, scheme: str, login: str, peers: tuple[str, ...], path: str) -> None:
        self.scheme = scheme
        self.login = login
        self.peers = peers
        self.path = path

    @property
    def is_this_machine(self) -> bool:
        """Whether all servers are this machine beyond doubt."""
        hosts = [peer.rpartition(":")[0].strip("[]") for peer in self.peers]
        return all(Target("", "", host.lower(), 0, "").is_this_machine for host in hosts)


def parse_sink(endpoint: str) -> SinkTarget | None:
    """Return the place of a sink other than http(s); None for what is none.

    Raises:
        ConfigError: the scheme is that of one, and the rest is not.
    """
    scheme, separator, _ = endpoint.partition("://")
    if not separator or scheme not in _SINKS:
        return None
    found = _SINKS[scheme].fullmatch(endpoint)
    if found is None:
        raise ConfigError(f"endpoint={without_credentials(endpoint)!r}: must be a URL such as {_EXAMPLES[scheme]}")
    parts = found.groupdict()
    port = _SINK_PORTS.get(scheme)
    given = (parts.get("peers") or "").split(",") if parts.get("peers") else []
    peers = tuple(peer if port is None or re.search(r":[0-9]+$", peer) else f"{peer}:{port}" for peer in given)
    path = parts["path"].strip("/") if scheme == "s3" else parts["path"]
    return SinkTarget(scheme, parts.get("login") or "", peers, path)


def check_any_endpoint(endpoint: str, *, allow_http: bool) -> None:
    """Raise ConfigError unless an endpoint is the URL of a sink, of whatever kind."""
    if not isinstance(endpoint, str) or parse_sink(endpoint) is None:
        check_endpoint(endpoint, allow_http=allow_http)


def check_endpoint(endpoint: str, *, allow_http: bool) -> Target:
    """Check an endpoint's URL, and return its target.

    Raises:
        ConfigError: it is no http(s) URL, or sends in clear over a network that was not allowed by name.
    """
    if not isinstance(endpoint, str):
        raise ConfigError(f"endpoint={endpoint!r}: must be a URL such as https://telemetry.example/v1/batches")
    target, shown = parse(endpoint), without_credentials(endpoint)
    if target is None:
        raise ConfigError(
            f"endpoint={shown!r}: must be a URL such as https://telemetry.example/v1/batches{_remedy(endpoint)}"
        )
    if target.scheme == "http" and not (allow_http or target.is_this_machine):
        raise ConfigError(f"endpoint={shown!r}: plain http goes to this machine only; use https, or set allow_http")
    return target


def check_proxy(proxy: str) -> None:
    """Raise ConfigError unless a proxy is empty or the URL of an http(s) proxy."""
    if proxy and parse(proxy) is None:
        raise ConfigError("proxy: must be a URL such as http://proxy.example:3128")  # its value may hold a password


def parse(url: str) -> Target | None:
    """Return the target of an http(s) URL; None for a text that is none, or could be read in two ways."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme, host = found["scheme"].lower(), found["host"].lower()
    port = int(found["port"]) if found["port"] else _PORTS[scheme]
    if not 0 < port <= _MAX_PORT or not _is_host(host):
        return None
    return Target(scheme, found["login"] or "", host.strip("[]").replace("%25", "%"), port, found["path"])


def without_credentials(url: str) -> str:
    """Return a URL as it may be shown: without the user and password that it may hold.

    In a text that is no URL, everything before its last `@` goes: nobody can tell where a password ends in it.
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    if parse(url) is None:
        return f"{scheme}{separator}{rest.rpartition('@')[2]}"
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _is_host(host: str) -> bool:
    if host.startswith("["):
        return ":" in host and address_of(host.strip("[]").partition("%")[0]) is not None
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):  # else 0177.1 and 0x7f.1 are names here, and 127.0.0.1 to the resolver
        return address_of(host) is not None
    return all(map(_LABEL.fullmatch, labels))


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, as one of IPv4 where it stands for one (::ffff:127.0.0.1); return None for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _remedy(endpoint: str) -> str:
    """Return the remedy for a faulty URL, if it can be told."""
    if _BLANK.search(endpoint):
        return "; it contains a space or a line break: remove that"
    if not endpoint.isascii():
        return "; in ASCII: write a host as xn--..., and escape the rest with %"
    if "\\" in endpoint:
        return "; without backslashes"
    if "?" in endpoint or "#" in endpoint:
        return "; without a query or a fragment"
    return ""
