"""Examination of the way out: the endpoint's URL and name, the proxy, TLS and the token; optionally an empty upload."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from telemetry.consent import State
from telemetry.doctor.step import Step, fault, good, note
from telemetry.endpoint import check_endpoint, parse, parse_sink, without_credentials
from telemetry.errors import ConfigError
from telemetry.receipt import Receipt
from telemetry.shipper.delivery.cause import cause_of
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.proxy import UnusableProxyError, find_proxy
from telemetry.shipper.delivery.sink import open_sink
from telemetry.shipper.outcome import Outcome
from telemetry.spool.segment import Head, Seal
from telemetry.spool.stream import encode
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from telemetry.consent import Decision
    from telemetry.endpoint import SinkTarget, Target
    from telemetry.settings import ShipperSettings

CONNECT_SECONDS = 5.0


def examine_endpoint(
    endpoint: str, settings: ShipperSettings, environ: Mapping[str, str] = os.environ
) -> Iterator[Step]:
    """Connect to the endpoint as an upload would; nothing is sent over the connection."""
    shown = without_credentials(endpoint)
    try:
        if (place := parse_sink(endpoint)) is not None:
            open_sink(endpoint, settings, environ).close()
            yield _of_sink(place, shown)
            return
        target = check_endpoint(endpoint, allow_http=settings.allow_http)
        sink = HttpSink(endpoint, settings, environ)
        proxy = find_proxy(target, settings.proxy)
    except (ConfigError, UnusableProxyError) as refusal:
        yield fault("endpoint", str(refusal), "no upload can be made: fix that setting")
        return
    yield _of_token(sink)
    if settings.client_certificate:
        yield note("endpoint", f"a client certificate is shown; {_SHARED}", "a certificate for all, or a token for all")
    sink.close()
    through = parse(proxy) if proxy else None
    if through:
        found = f"{shown} is reached through the proxy {without_credentials(proxy)}"
        yield note("endpoint", found, "if that is not meant: unset the variable, or name the host in NO_PROXY")
    what = f"the proxy {without_credentials(proxy)}" if through else shown
    yield _connected(what, through or target, settings)


def _of_sink(place: SinkTarget, shown: str) -> Step:
    if place.scheme == "file" and not os.access(place.path, os.W_OK | os.X_OK):
        return fault("endpoint", f"{shown}: no directory that this user may write", "make it, or mount it")
    if place.scheme == "file":
        return good("endpoint", f"{shown} takes files")
    return note("endpoint", f"{shown} is set up; {_SHARED}", "--send uploads a batch of no events")


_SHARED = "credentials that are this installation's alone would join its sessions: take those that all share"


def _of_token(sink: HttpSink) -> Step:
    if sink.is_authorized:
        return good("endpoint", "a bearer token goes with each upload")
    return good("endpoint", "no token is set (TELEMETRY_TOKEN or token_file): an endpoint that wants one answers 401")


def _connected(what: str, target: Target, settings: ShipperSettings) -> Step:
    try:
        with socket.create_connection((target.host, target.port), timeout=CONNECT_SECONDS) as connection:
            if target.scheme == "http":
                return good("endpoint", f"{what} takes connections, in clear")
            with _tls(settings).wrap_socket(connection, server_hostname=target.host) as secured:
                return good("endpoint", f"{what} takes connections, {secured.version()}, its certificate is trusted")
    except socket.gaierror as failure:
        return fault("endpoint", f"{what}: there is no such name: {target.host} ({failure.strerror})", _OF_THE_NAME)
    except OSError as failure:
        advice = _OF_TLS if isinstance(failure, ssl.SSLError) else _OF_THE_WAY
        return fault("endpoint", f"{what}: {cause_of(failure)}", advice)


def _tls(settings: ShipperSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or DEFAULT_CA_BUNDLE_PATH)
    if settings.client_certificate:
        context.load_cert_chain(settings.client_certificate, password=lambda: "")
    return context


_OF_THE_NAME = "correct the name, or fix this machine's DNS; in a container, its network"
_OF_TLS = "do what the brackets say; the way to it is open"
_OF_THE_WAY = "start the server there, or open the way to it: a firewall, a network policy, a proxy"


def examine_upload(
    endpoint: str, settings: ShipperSettings, decision: Decision, catalog: str, digest: str
) -> Iterator[Step]:
    """Upload a batch without an event, with a receipt, by the shipper's own sink; refused where nothing may leave."""
    if decision.state not in {State.ON, State.TECHNICAL}:
        yield fault(
            "send",
            f"nothing is sent: consent is {decision.state} ({decision.rule})",
            "say yes first: telemetry on; where the program says it itself, --host on",
        )
        return
    body = encode("zstd", b"")
    id_ = os.urandom(16).hex()
    head = Head(
        id=id_,
        file=id_,
        format="ndjson",
        compressed=True,
        content_type="application/x-ndjson",
        route="",
        catalog=catalog,
        session=os.urandom(16).hex(),
        receipt=Receipt(decision.state.value, decision.basis, decision.notice, decision.deployment),
        catalog_digest=digest,
        sensitivity="technical",
    )
    try:
        sink = open_sink(endpoint, settings, os.environ)
    except ConfigError as refusal:
        yield fault("send", str(refusal), "fix that setting")
        return
    try:
        reply = sink.deliver(Seal(head, len(body), 0, Tally(), {}, Tally()), body)
    finally:
        sink.close()
    if reply.outcome is Outcome.DELIVERED:
        yield good("send", f"a batch of no events was acknowledged ({reply.cause})")
    else:
        is_explained = reply.cause.endswith(")")
        advice = "as it says in brackets" if is_explained else "look at the endpoint's log, and at what stands between"
        yield fault("send", f"a batch of no events was not taken: {reply.cause}", advice)
