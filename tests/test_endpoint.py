"""Which endpoints are taken, and that what is judged is what is connected to."""

from __future__ import annotations

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.util import parse_url

from telemetry.endpoint import check_endpoint, parse
from telemetry.errors import ConfigError

HERE = [
    "http://127.0.0.1:1/x",
    "http://127.9.9.9/x",
    "http://localhost:8080",
    "HTTP://LocalHost/",
    "http://[::1]:80/",
    "http://[::ffff:127.0.0.1]/",
    "http://user:pass@127.0.0.1/",
]
FAR = [
    "http://telemetry.example/",
    "http://10.0.0.1/",
    "http://localhost.example/",
    "http://127.0.0.1.example/",
    "http://localhost./",
    "http://[::ffff:10.0.0.1]/",
    "http://[::1%25eth0]/",
    "http://127.0.0.1@telemetry.example/",
    "http://localhost:80@telemetry.example/",
]
# Each is this machine to one reader, and another to the next.
TWO_FACED = [
    "http://evil\\@127.0.0.1/",
    "http://evil.example\\/@127.0.0.1/",
    "http://127.0.0.1\\@evil.example/",
    "http://evil.example#@127.0.0.1/",
    "http://evil.example?@127.0.0.1/",
    "http://evil.example@@127.0.0.1/",
    "http://evil.example:80\t@127.0.0.1/",
    "http://127.0.0.1\n.evil.example/",
    "http://127.0.0.1 .evil.example/",
    "http://127.0.0.1%2eevil.example/",
    "http://127.0.0.1\uff0eevil.example/",
    "http://\u2460\u2461\u2466.0.0.1/",
    "http://evil.example\u2044@127.0.0.1/",
    "http://evil\uff03@127.0.0.1/",
    "http://l\u043ecalhost/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f000001/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://127.0.0.1.0x1/",
    "http://[::1",
    "http://[127.0.0.1]/",
    "http://[::1]evil.example/",
    "http://[::1]:80:81/",
    "http:///127.0.0.1/",
    "http:127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http://127.0.0.1:80:81/",
    "http://127.0.0.1:8O/",
]
NONE = [
    "",
    "x",
    "ftp://h/",
    "https://",
    "https:///x",
    "//h/x",
    "https://[::1/",
    "https://h:99999/",
    "https://h:0/",
    "https://h:x/",
    "https://h/?a=b",
    "https://h/#a",
    "https://h/\n",
    "https://h/v1\r\nX: y",
    "\nhttps://h/",
    "https://h/ v1",
    "https://h/\u00fcbersicht",
    "https://m\u00fcnchen.example/",
    "https://h/%2",
    "https://h/a\\b",
    "https://a..b/",
    "https://.a/",
    f"https://{'a' * 64}.example/",
    "https://h:\u0661/",
]


@pytest.mark.parametrize("endpoint", HERE)
def test_plain_http_to_this_machine_is_taken(endpoint: str) -> None:
    assert check_endpoint(endpoint, allow_http=False).may_be_this_machine


@pytest.mark.parametrize("endpoint", ["https://telemetry.example/v1", "https://10.0.0.1/", "https://x_y.example./"])
def test_tls_is_taken_wherever_it_goes(endpoint: str) -> None:
    assert not check_endpoint(endpoint, allow_http=False).may_be_this_machine


@pytest.mark.parametrize("endpoint", FAR)
def test_plain_http_beyond_this_machine_is_refused_unless_allowed(endpoint: str) -> None:
    assert check_endpoint(endpoint, allow_http=True)
    with pytest.raises(ConfigError, match=r"this machine only; use https, or set allow_http"):
        check_endpoint(endpoint, allow_http=False)


@pytest.mark.parametrize("endpoint", [*NONE, *TWO_FACED])
def test_what_is_no_endpoint_or_could_be_read_in_two_ways_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="must be a URL such as"):
        check_endpoint(endpoint, allow_http=True)


@pytest.mark.parametrize(
    ("endpoint", "remedy"),
    [
        ("https://h/v1\n", "a line break"),
        ("https://h/\u00fc", "in ASCII"),
        ("https://h\\x", "without backslashes"),
        ("https://h/?a", "without a query"),
    ],
)
def test_a_refusal_says_what_to_do(endpoint: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        check_endpoint(endpoint, allow_http=True)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://canary:canary@10.0.0.1/v1",
        "https://canary:c%2Fanary@h/v1?a=b",
        "https://canary:c/anary@h/v1",
        "https://canary:c?anary@h/v1",
        "https://canary:c@nary@h\n",
    ],
)
def test_a_refusal_does_not_repeat_credentials(endpoint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_endpoint(endpoint, allow_http=False)
    assert "anary" not in str(refusal.value)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "telemetry.localhost",
        "127.0.0.1",
        "127.1.2.3",
        "[::1]",
        "[::]",
        "0.0.0.0",
        "[::1%25lo]",
    ],
)
def test_what_may_be_this_machine_is_known(host: str) -> None:
    found = parse(f"https://{host}:8443/")
    assert found is not None
    assert found.may_be_this_machine


_PIECES = st.sampled_from(
    [*"/\\@:?#[]%.\t\n \u3002\uff0e\u2044", "127.0.0.1", "localhost", "evil", "::1", "80", "0x7f", "%25", "%2F", "xn--"]
)


@given(st.lists(_PIECES, max_size=8).map("".join), st.sampled_from(["http", "https"]))
@example("evil\\@127.0.0.1/", "http")
@example("[::1%25lo]", "http")
def test_who_is_judged_is_who_is_connected_to(rest: str, scheme: str) -> None:
    found = parse(f"{scheme}://{rest}")
    if found is None:
        return
    url = requests.Request("POST", f"{scheme}://{rest}").prepare().url
    connected = parse_url(url or "")
    assert (connected.host or "").strip("[]").replace("%25", "%") == found.host
    assert (connected.port or {"http": 80, "https": 443}[scheme]) == found.port
    assert connected.scheme == scheme
