"""What to call a fault of the network, in the log and in `telemetry status`: its kind, never its text.

The texts of these libraries hold URLs, with the passwords in them, addresses, and what an endpoint has written.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, ProxyError, ReadTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = (ConnectTimeoutError, NameResolutionError, ReadTimeoutError)
"""They say more than what they were made from."""

_MOST_LINKS = 16
_REFUSED_BY_PROXY = re.compile(r"Tunnel connection failed: (\d{3})")


def cause_of(fault: BaseException) -> str:
    """The kind of a fault: the innermost of the exceptions that `requests` and `urllib3` wrap it in."""
    chain = list(_unwrap(fault))
    root = next((link for link in chain if type(link) in _PLAIN), chain[-1])
    by_proxy = any(isinstance(link, ProxyError) for link in chain)
    return ("proxy: " if by_proxy else "") + _name(root)


def _unwrap(fault: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = fault
    for _ in range(_MOST_LINKS):
        if link is None:
            return
        yield link
        inner = (getattr(link, "reason", None), *link.args, link.__cause__)
        link = next((value for value in inner if isinstance(value, BaseException)), None)


def _name(fault: BaseException) -> str:
    kind = type(fault).__name__
    if isinstance(fault, ssl.SSLCertVerificationError):
        # OpenSSL's own words; behind a comma Python names the host.
        return f"{kind}: {fault.verify_message.partition(',')[0]}"
    if isinstance(fault, ssl.SSLError) and fault.reason:
        return f"{kind}: {fault.reason}"
    if refused := _REFUSED_BY_PROXY.search(str(fault)):
        return f"HTTP {refused[1]}"
    return kind
