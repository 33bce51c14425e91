"""Choice of the proxy for uploads: the one that is set, or that of the usual variables; none to this machine."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

from telemetry.endpoint import check_proxy, parse

if TYPE_CHECKING:
    from telemetry.endpoint import Target

_PORT = re.compile(r"(?:\[(?P<v6>.+)\]|(?P<host>[^:]*))(?::(?P<port>[0-9]+))?")


class UnusableProxyError(Exception):
    """Raised for a proxy in the environment that uploads can't use; the text names the variable and the remedy."""


def find_proxy(endpoint: Target, setting: str) -> str:
    """Return the URL of the proxy to an endpoint; empty for none.

    Args:
        endpoint: the endpoint of uploads.
        setting: the setting `proxy`, which overrides all variables; empty for none.

    Raises:
        ConfigError: the setting is no URL of an http(s) proxy.
        UnusableProxyError: the proxy in the environment is none that uploads can use.
    """
    check_proxy(setting)
    if endpoint.may_be_this_machine:
        return ""
    return setting or _find_in_environment(endpoint)


def is_exempt(endpoint: Target, no_proxy: str) -> bool:
    """Tell whether NO_PROXY names an endpoint: by its host or a domain above it, its address or network, or `*`.

    Entries are separated by commas or blanks. A port in an entry must be the endpoint's.
    """
    return any(_covers(entry, endpoint) for entry in re.split(r"[\s,]+", no_proxy.lower()) if entry)


def _find_in_environment(endpoint: Target) -> str:
    found = getproxies()
    name = next((name for name in (endpoint.scheme, "all") if found.get(name, "").strip()), None)
    if name is None or is_exempt(endpoint, found.get("no", "")) or proxy_bypass(endpoint.host):
        return ""
    text = found[name].strip()
    url = text if "://" in text else f"http://{text}"
    if parse(url.rstrip("/")) is None:
        scheme = url.partition("://")[0]
        what = f"a {scheme} proxy" if scheme not in {"http", "https"} else "no URL"
        raise UnusableProxyError(
            f"{name.upper()}_PROXY names {what}, and uploads go through http(s) proxies alone: "
            f"set `proxy`, or {endpoint.host} in NO_PROXY"
        )
    return url


def _covers(entry: str, endpoint: Target) -> bool:
    if entry == "*":
        return True
    found = _PORT.fullmatch(entry)
    host = (found["v6"] or found["host"]) if found else entry
    if found and found["port"] and int(found["port"]) != endpoint.port:
        return False
    try:
        address = ip_address(endpoint.host)
    except ValueError:
        name = host.removeprefix("*").strip(".")
        return bool(name) and f".{endpoint.host.rstrip('.')}".endswith(f".{name}")
    try:
        return address in ip_network(host, strict=False)
    except ValueError:
        return False
