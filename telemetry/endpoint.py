"""Where batches may go: checks of an endpoint's URL and of a proxy's. Standard library only: the host imports it."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from telemetry.errors import ConfigError


def check_endpoint(endpoint: str, *, allow_http: bool) -> str:
    """The endpoint without a final slash.

    Raises:
        ConfigError: it is no http(s) URL, or sends in clear over a network that was not allowed by name.
    """
    if not isinstance(endpoint, str):
        raise ConfigError(f"endpoint={endpoint!r}: must be a URL such as https://telemetry.example/v1/batches")
    url, shown = _split_url(endpoint), without_credentials(endpoint)
    if url is None or url.query or url.fragment:
        raise ConfigError(f"endpoint={shown!r}: must be a URL such as https://telemetry.example/v1/batches")
    if url.scheme == "http" and not (allow_http or _is_loopback(url)):
        raise ConfigError(f"endpoint={shown!r}: plain http goes to this machine only; use https, or set allow_http")
    return endpoint.rstrip("/")


def check_proxy(proxy: str) -> None:
    """Raises ConfigError when it is neither empty nor the URL of an http(s) proxy."""
    if proxy and _split_url(proxy) is None:
        raise ConfigError("proxy: must be a URL such as http://proxy.example:3128")  # its value may hold a password


def without_credentials(url: str) -> str:
    """A URL as it may be shown: without the user and password that it may hold."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _split_url(text: str) -> SplitResult | None:
    """A URL of http(s); None for what is none."""
    try:
        url = urlsplit(text)
        is_url = url.scheme in {"http", "https"} and url.hostname and (url.port is None or url.port)
    except ValueError:
        return None
    return url if is_url else None


def _is_loopback(url: SplitResult) -> bool:
    if url.hostname == "localhost":
        return True
    try:
        return ip_address(url.hostname or "").is_loopback
    except ValueError:
        return False
