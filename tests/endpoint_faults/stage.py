"""Where a fault takes place: the server that has it, what else must be there, and how it is mended."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from endpoint_faults.behaviours import tunnels
from endpoint_faults.certificates import FAR_HOST, authority_pem, tls
from endpoint_faults.server import Server, takes_all
from telemetry.settings import ShipperSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from endpoint_faults.faults import Fault

PASSWORD = "canary-password"
TRAP = "trap.invalid"
"""Where redirects lead: nobody may even ask for its address."""

SETTINGS = ShipperSettings(
    connect_timeout_seconds=30.0, read_timeout_seconds=30.0, upload_jitter_seconds=0.0, allow_http=True
)


class Stage(NamedTuple):
    """Where a trial takes place.

    Attributes:
        url: the endpoint's.
        settings: with a proxy where there is one.
        server: the one that has the fault, be it the endpoint or the proxy.
        target: the endpoint behind a proxy, else None.
        heal: ends the fault.
    """

    url: str
    settings: ShipperSettings
    server: Server
    target: Server | None
    heal: Callable[[], object]


class Resolver:
    """The kernel's resolver, but for names that end in `.invalid`: these are this machine, once they are `known`."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.asked: set[object] = set()
        self._resolve: Callable[..., Any] = socket.getaddrinfo

    def __call__(self, host: object, *arguments: Any, **options: Any) -> Any:
        self.asked.add(host)
        if isinstance(host, str) and host.endswith(".invalid"):
            if host not in self.known:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = "127.0.0.1"
        return self._resolve(host, *arguments, **options)


@contextmanager
def set_stage(fault: Fault, directory: Path, resolver: Resolver) -> Iterator[Stage]:
    """Servers for a fault, until the end of the trial; `directory` is for the authority's certificate."""
    ca_file = directory / "authority.pem"
    ca_file.write_bytes(authority_pem())
    settings = SETTINGS._replace(ca_file=str(ca_file), **fault.settings)
    context = tls(fault.tls) if fault.tls not in {"", "none"} else None
    behave = None if fault.place == "backlog" else fault.behave
    with ExitStack() as stack:
        server = stack.enter_context(Server(behave, context, takes_little=fault.events > 10_000))
        if fault.place == "backlog":
            server.fill_backlog()
        proxied = settings._replace(proxy=f"http://user:{PASSWORD}@127.0.0.1:{server.port}")
        match fault.place:
            case "tls proxy":
                target = stack.enter_context(Server(takes_all, tls("good")))
                url = f"https://{FAR_HOST}:{target.port}/v1"
                yield Stage(url, proxied, server, target, lambda: server.heal(tunnels))
            case "proxy":
                yield Stage(f"http://{FAR_HOST}/v1", proxied, server, None, server.heal)
            case "name":
                name = f"{os.urandom(8).hex()}.invalid"
                yield Stage(f"http://{name}:{server.port}/v1", settings, server, None, lambda: resolver.known.add(name))
            case _:
                scheme, good = ("https", tls("good")) if fault.tls else ("http", None)
                url = f"{scheme}://127.0.0.1:{server.port}/v1"
                yield Stage(url, settings, server, None, lambda: server.heal(tls=good))
