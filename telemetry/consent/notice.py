"""The notice shown to a user before anything leaves by default; the one thing the host may print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

NOTICE_VERSION = 1
"""Raise it when the text promises something else: everybody is then told anew before anything leaves."""


def show_notice(
    product: str, policy_url: str, *, callback: Callable[[str], None] | None, stream: TextIO | None
) -> bool:
    """Show the notice through the callback if there is one, otherwise on `stream` if that is a terminal.

    Never raises: a callback or a stream that fails has not shown anything.

    Args:
        product: the product's name.
        policy_url: the address of the privacy page; may be empty.
        callback: the host's own way to show a text.
        stream: usually stderr; None if the process has none.

    Returns:
        Whether a user could see it.
    """
    text = notice_text(product, policy_url)
    try:
        if callback is not None:
            callback(text)
            return True
        if stream is None or not is_terminal(stream):
            return False
        stream.write(text + "\n")
        stream.flush()
    except Exception:  # noqa: BLE001 the host's callback may raise anything; a terminal may be gone or closed
        return False
    return True


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether text written to `stream` is seen on a terminal."""
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):  # it is closed
        return False


def notice_text(product: str, policy_url: str) -> str:
    """Return the notice, three lines without a final line break."""
    details = policy_url or f"`telemetry status --product {product}`"
    return (
        f"{product} sends its makers anonymous usage data: which features are used, how long they take, how "
        "they fail; query text, names of tables, addresses and your data are removed on this machine first.\n"
        f"What exactly: {details}\n"
        f"To say no: `telemetry off --product {product}`, or set DO_NOT_TRACK=1; to send only what is about machine "
        f"and program: `telemetry technical --product {product}`."
    )
