"""Which proxy is asked, and when none is."""

from __future__ import annotations

import pytest

from telemetry.endpoint import parse
from telemetry.shipper.delivery.proxy import UnusableProxyError, find_proxy, is_exempt

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def _exempt(url: str, no_proxy: str) -> bool:
    target = parse(url)
    assert target is not None
    return is_exempt(target, no_proxy)


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("https://t.example/", "t.example"),
        ("https://t.example/", "T.Example"),
        ("https://T.example/", "t.example"),
        ("https://t.example/", "example"),
        ("https://t.example/", ".example"),
        ("https://t.example/", "*.example"),
        ("https://t.example/", "*"),
        ("https://t.example/", "a.example, t.example"),
        ("https://t.example/", "a.example t.example"),
        ("https://t.example/", "t.example."),
        ("https://t.example./", "t.example"),
        ("https://t.example/", "t.example:443"),
        ("http://t.example/", "t.example:80"),
        ("https://t.example:8443/", "t.example:8443"),
        ("https://10.1.2.3:8443/", "10.1.2.3:8443"),
        ("https://10.1.2.3/", "10.0.0.0/8"),
        ("https://10.1.2.3/", "10.1.2.3"),
        ("https://[fd00::1]:8443/", "[fd00::1]:8443"),
        ("https://[fd00::1]/", "fd00::1"),
        ("https://[fd00::1]/", "[fd00:0::1]"),
        ("https://[fd00::1]/", "fd00::/8"),
    ],
)
def test_no_proxy_names_an_endpoint(url: str, no_proxy: str) -> None:
    assert _exempt(url, no_proxy)


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("https://t.example/", ""),
        ("https://t.example/", " , ,"),
        ("https://not-t.example/", "t.example"),
        ("https://t.example.org/", "t.example"),
        ("https://t.example/", "t.example:8443"),
        ("https://10.1.2.3/", "10.1.2.3:8443"),
        ("https://10.1.2.3/", "2.3"),
        ("https://10.1.2.3/", "10.2.0.0/16"),
        ("https://10.1.2.3/", "fd00::/8"),
        ("https://[fd00::1]/", "10.0.0.0/8"),
        ("https://t.example/", "10.0.0.0/8"),
        ("https://10.1.2.3/", "10.1.2.3.example"),
        ("https://t.example/", "."),
        ("https://t.example/", ":443"),
    ],
)
def test_no_proxy_names_another(url: str, no_proxy: str) -> None:
    assert not _exempt(url, no_proxy)


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://t.example/", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://t.example/", {"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, PROXY),
        ("https://t.example/", {"ALL_PROXY": "socks5://h", "HTTPS_PROXY": PROXY}, PROXY),
        ("https://t.example/", {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ("https://t.example/", {"HTTPS_PROXY": f" {PROXY}\n"}, PROXY),
        ("https://t.example/", {"HTTPS_PROXY": "http://u:p@proxy.example:3128/"}, "http://u:p@proxy.example:3128/"),
        ("https://t.example/", {"HTTP_PROXY": PROXY}, ""),
        ("https://t.example/", {"HTTPS_PROXY": ""}, ""),
        ("https://t.example/", {"ALL_PROXY": "socks5://h", "NO_PROXY": "t.example:443"}, ""),
        ("https://localhost/", {"ALL_PROXY": "socks5://h"}, ""),
    ],
)
def test_the_environment_names_a_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, environ: dict[str, str], proxy: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    target = parse(url)
    assert target is not None
    assert find_proxy(target, "") == proxy


@pytest.mark.parametrize(
    ("proxy", "what"),
    [
        ("socks5://u:canary@h:1080", "a socks5 proxy"),
        ("SOCKS5h://h:1080", "a SOCKS5h proxy"),
        ("ftp://h", "a ftp proxy"),
        ("http://u:can/ary@h", "no URL"),
        ("http://proxy.example:port", "no URL"),
    ],
)
def test_what_is_no_proxy_of_ours_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str, what: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    target = parse("https://t.example/")
    assert target is not None
    with pytest.raises(
        UnusableProxyError, match=rf"^HTTPS_PROXY names {what}, .* set `proxy`, or t.example in NO_PROXY$"
    ):
        find_proxy(target, "")
