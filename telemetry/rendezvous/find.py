"""Search for every rendezvous of a product, for the commands, which know neither catalog nor endpoint."""

from __future__ import annotations

import json
import os
import re
from math import inf
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry import paths
from telemetry.digest import sha256_hex
from telemetry.errors import ShipperUnreachableError
from telemetry.rendezvous.directory import CONFIG_FILE, NAME_CHARACTERS, foreground_dir, rendezvous_dir
from telemetry.rendezvous.lock import LOCK_FILE, shipper_runs
from telemetry.rendezvous.refusal import Refusal, read_refusal
from telemetry.settings import ShipperSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIGEST = "[0-9a-f]{16}"


class Rendezvous(NamedTuple):
    """The directory of one shipper, running or gone.

    Attributes:
        directory: the directory with its lock and its sockets.
        config: the shipper's configuration; empty if it is not written there.
    """

    directory: Path
    config: dict[str, Any]

    @property
    def endpoint(self) -> str | None:
        """The endpoint of its uploads; None if it is not known."""
        return self.config.get("endpoint")

    @property
    def lane(self) -> int:
        """The number of its lane, of several shippers side by side."""
        lane = self.config.get("lane", 0)
        return lane if isinstance(lane, int) else 0

    @property
    def runs(self) -> bool:
        """Whether a living shipper holds the lock."""
        return shipper_runs(self.directory)

    @property
    def pid(self) -> int | None:
        """The process of the shipper that holds or held the lock."""
        try:
            return int((self.directory / LOCK_FILE).read_text())
        except (OSError, ValueError):
            return None

    @property
    def refusal(self) -> Refusal | None:
        """The reason why no shipper starts here; None if one runs, or no reason is known."""
        return None if self.runs else read_refusal(self.directory)

    @property
    def taken_seconds_ago(self) -> float:
        """The seconds since a shipper last took this place; infinite if none has."""
        try:
            return time() - (self.directory / LOCK_FILE).stat().st_mtime
        except OSError:
            return inf

    def ask(self, op: str, timeout_seconds: float, **more: object) -> dict[str, Any]:
        """Put a question to the shipper, with `more` that belongs to it, and wait for the answer.

        Raises:
            ShipperUnreachableError: no answer within `timeout_seconds`.
        """
        import zmq  # noqa: PLC0415 takes its time, and is needed only when a shipper runs

        from telemetry.rendezvous.control import Control  # noqa: PLC0415 as above

        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            with Control(context, self.directory) as control:
                return control.ask({"op": op, **more}, timeout_seconds)
        except zmq.ZMQError as fault:
            raise ShipperUnreachableError(f"{self.directory}: {fault}") from None
        finally:
            context.term()


def find_rendezvous(product: str, lane: int | None = None) -> list[Rendezvous]:
    """Return every place where a shipper of `product` runs or ran, by lane and name; with `lane`, those of that one.

    Changes nothing.

    In the runtime directory the name tells the product; where names are short, the digest in it must be that of the
    configuration, since every `TELEMETRY_HOME` with a long path meets there.
    """
    found = [*_in_runtime_root(product), *_in_short_root(product)]
    return sorted((place for place in found if lane in {None, place.lane}), key=lambda place: place.lane)


def _in_runtime_root(product: str) -> Iterator[Rendezvous]:
    name = re.compile(f"{re.escape(product[:NAME_CHARACTERS])}-{_DIGEST}")
    for directory in _own_directories(paths.runtime_root(), name):
        config = _read_config(directory)
        # A name cut off may be another product's: only its configuration can say that it is ours.
        unsure = len(product) >= NAME_CHARACTERS
        if config.get("product") == product or not (config or unsure):
            yield Rendezvous(directory, config)


def _in_short_root(product: str) -> Iterator[Rendezvous]:
    for directory in _own_directories(paths.short_root(), re.compile(_DIGEST)):
        config = _read_config(directory)
        if config.get("product") == product and _digest_fits(directory, config):
            yield Rendezvous(directory, config)


def _digest_fits(directory: Path, config: dict[str, Any]) -> bool:
    try:
        product, endpoint, lane = config["product"], config["endpoint"], config.get("lane", 0)
        if foreground_dir(product, endpoint, lane) == directory:
            return True
        catalog = config.get("catalog_digest") or sha256_hex(Path(config["catalog"]).read_bytes())
        settings = ShipperSettings(**{name: config[name] for name in ShipperSettings._fields if name in config})
        return rendezvous_dir(product, catalog, endpoint, settings, lane) == directory
    except (OSError, LookupError, TypeError, ValueError):
        return False


def _own_directories(root: Path, name: re.Pattern[str]) -> list[Path]:
    """Return the directories that belong to this user: below /tmp anybody may have made one of our names."""
    try:
        entries = [entry for entry in os.scandir(root) if name.fullmatch(entry.name)]
    except OSError:
        return []
    return sorted(Path(entry.path) for entry in entries if _is_own(entry))


def _is_own(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
    except OSError:
        return False


def _read_config(directory: Path) -> dict[str, Any]:
    try:
        found = json.loads((directory / CONFIG_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
