"""Options for the connection to a stream, which all commands that speak to one share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_OPTIONS = (
    click.option(
        "--stream-token-file",
        default="",
        metavar="FILE",
        help="A file, 0600, with a token or the .creds of a user; or set TELEMETRY_TOKEN.",
    ),
    click.option(
        "--stream-ca-file", default="", metavar="FILE", help="Authorities to trust, PEM, not the public ones."
    ),
    click.option(
        "--stream-client-certificate", default="", metavar="FILE", help="A certificate with its key, PEM, 0600."
    ),
    click.option(
        "--stream-allow-clear", is_flag=True, help="Speak in clear to other machines: anybody may read along."
    ),
)


def access_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which is passed `access`, the arguments of `telemetry.jetstream.Access`."""

    @functools.wraps(command)
    def with_access(
        *args: Any,
        stream_token_file: str,
        stream_ca_file: str,
        stream_client_certificate: str,
        stream_allow_clear: bool,
        **others: Any,
    ) -> None:
        access = {
            "token_file": stream_token_file,
            "ca_file": stream_ca_file,
            "client_certificate": stream_client_certificate,
            "allow_clear": stream_allow_clear,
        }
        command(*args, access=access, **others)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), with_access)
