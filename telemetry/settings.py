"""The settings of a shipper, with their defaults. Standard library only: the host imports it."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal, NamedTuple  # compiles each annotation that is a text, so none is here

from telemetry.endpoint import check_proxy, without_credentials
from telemetry.errors import ConfigError, check_all
from telemetry.terminal import did_you_mean

DEBUG = "TELEMETRY_DEBUG"
FORMATS = ("ndjson", "otlp", "risingwave")
COMPRESSIONS = ("", "zstd", "gzip", "none")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
FILES = ("ca_file", "client_certificate", "token_file")
"""The settings that name a file."""
SOURCES = "sources"
"""The key, in the configuration that a host writes, under which it says where settings come from, by their names."""

AUTO = "auto"
CORES_PER_SHIPPER = 8
"""With `AUTO`, one shipper for each so many cores: it keeps up with the hosts that fill the others."""

MAX_SHIPPERS = 64


def is_debugging() -> bool:
    """Tell whether debug mode is on: the environment sets `DEBUG` to anything but nothing or 0.

    The host then prints what would be sent, and nothing is sent.
    """
    return os.environ.get(DEBUG, "") not in {"", "0"}


class ShipperSettings(NamedTuple):
    """Settings of a shipper: how it coalesces, keeps and uploads.

    What is left at its default here is taken from the environment, `TELEMETRY_SEGMENT_SECONDS=5`; `telemetry config
    show` tells where each comes from. The same names stand in the file of `telemetry ship --config`. Behind each stands
    its default, then what it bounds and why it is that.

    Attributes:
        format: "ndjson". The upload format: `ndjson`, `otlp` or `risingwave`.
        segment_bytes: 4 MiB. A segment is sealed at this size on disk, or at an eighth of `spool_bytes`. Collectors
            commonly take bodies of up to 10 MiB.
        compression: "". That of the format; else `zstd`, `gzip` or `none`, for an endpoint that takes no other. With
            `ndjson` it is zstd, with `otlp` gzip; `risingwave` is not compressed.
        body_bytes: 0. A batch has at most this size before compression, which is what receivers bound; 0 is the size
            of the format: 32 MiB, with `otlp` 4 MiB.
        segment_seconds: 10 s. A segment is sealed at this age; RisingWave's own interval.
        fsync_interval_seconds: 0.5 s. A power cut takes at most this much; Vector's figure.
        spool_bytes: 256 MiB. What waits for its upload, with its ledger, takes no more: the oldest sealed segment is
            dropped first. Vector's smallest buffer. What the consent keeps on this machine, and the quarantine, may
            take as much each.
        spool_segments: 10,000. The same bound as a number of segments, for a directory of small files.
        spool_seconds: 7 days. A sealed segment of this age is dropped: older figures decide nothing.
        sent_bytes: 16 MiB. Copies of what was sent are kept in `sent/` up to this total, for the user to read; 0 keeps
            none. They are the first to go when the disk is full.
        upload_jitter_seconds: 5 s. A sealed segment waits for a random time up to this, so that uploads can't be joined
            by their rhythm; half of `segment_seconds`. It does not wait when the shipper is about to leave.
        upload_bytes_per_second: 0. Bodies are uploaded at this rate over time, each of them at full speed; 0 sets no
            bound. A consent that is withdrawn acts at once; what does not leave before the shipper does waits on disk.
        connect_timeout_seconds: 5 s. A connection to the endpoint must stand within it, and the endpoint must take in
            something of an upload within it.
        read_timeout_seconds: 30 s. The endpoint may be silent for so long before it answers.
        upload_timeout_seconds: 300 s. An upload may take so long in all: an endpoint that says a byte now and then must
            not hold it for ever. A full segment of 4 MiB goes in this time at 14 KB/s.
        retry_min_seconds: 1 s. The first bound of the full-jitter backoff between tries.
        retry_max_seconds: 300 s. The last bound of it: an endpoint that comes back is found within five minutes.
        pause_seconds: 300 s. The time between tries while an endpoint refuses all (401, 404, a captive portal): only
            people can mend that.
        command: "". What a shipper is started with, where it can't be the host's own interpreter: another one
            (`"/usr/bin/python3"`), which gets the host's `sys.path`; or a command, in a shell's quoting, to which
            `ship --spawned DIRECTORY` is added (`"/opt/acme/bin/telemetry"`, `"/usr/bin/python3 -m telemetry"`).
        niceness: 10. A spawned shipper leaves the processor to its host: added to the niceness that it inherits; 0 adds
            nothing.
        memory_limit_bytes: 256 MiB. A shipper that takes more makes room: it seals what it has and ends, and the next
            one, which producers spawn or a service manager starts, goes on where it left off. It lives for a minute at
            least; 0 sets no bound. Of several `shippers` none is bound to less than 128 MiB, for it can't do with less.
        linger_seconds: 30 s. A spawned shipper whose producers are gone goes on trying to upload for so long: the next
            run of the program tries again anyway.
        session_seconds: 24 h. A session id lives at most this long, so that nobody is followed from day to day.
        report_seconds: 6 h. The interval of the catalog's `report` events; RisingWave's own.
        report: {}. Facts for the catalog's `report` events that the shipper can't find out by itself, by the name of
            their field: `{"rw_version": "2.6.1", "meta_nodes": 1}`. They leave as their fields allow, like those of any
            event; one that no report declares is named in the shipper's log, and under `strict` by `init`.
        node: "compute". With `format = "risingwave"`: whose report it is (meta, compute, frontend or compactor).
        is_test: False. With `format = "risingwave"`: whether all messages are marked as a test's, which its endpoint
            checks and does not store.
        service_version: "". With `format = "otlp"`: the product's version that leaves as `service.version`, if any;
            one that few have tells who sends.
        allow_http: False. Whether plain http may go beyond the loopback address: anybody on the way could read it.
        proxy: "". The proxy's URL; when empty, HTTPS_PROXY, HTTP_PROXY and NO_PROXY are read.
        ca_file: "". A PEM file of certificate authorities to trust instead of the public ones.
        client_certificate: "". A PEM file with a certificate and its key, for endpoints that ask for one.
        sasl_mechanism: "PLAIN". How Kafka is shown the user and password of the endpoint: `PLAIN`, `SCRAM-SHA-256` or
            `SCRAM-SHA-512`.
        token_file: "". A file, 0600, with the bearer token; TELEMETRY_TOKEN goes before it.
        shippers: 1. Shippers of a product that run side by side, each a lane of its own: one takes in half a million
            events a second, and a machine with more to emit takes more of them; `"auto"` is one for each eight cores.
            A process goes to the lane with the fewest. What bounds a product (`spool_bytes`, `spool_segments`,
            `sent_bytes`, `upload_bytes_per_second`, `memory_limit_bytes`, and `max_per_second` in the catalog) is
            divided among them.
    """

    format: str = "ndjson"
    segment_bytes: int = 4 << 20
    compression: str = ""
    body_bytes: int = 0
    segment_seconds: float = 10.0
    fsync_interval_seconds: float = 0.5
    spool_bytes: int = 256 << 20
    spool_segments: int = 10_000
    spool_seconds: float = 7 * 86_400.0
    sent_bytes: int = 16 << 20
    upload_jitter_seconds: float = 5.0
    upload_bytes_per_second: int = 0
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    upload_timeout_seconds: float = 300.0
    retry_min_seconds: float = 1.0
    retry_max_seconds: float = 300.0
    pause_seconds: float = 300.0
    command: str = ""
    niceness: int = 10
    memory_limit_bytes: int = 256 << 20
    linger_seconds: float = 30.0
    session_seconds: float = 86_400.0
    report_seconds: float = 6 * 3600.0
    report: dict[str, str | float] = {}  # noqa: RUF012 a NamedTuple's default, which nobody changes
    node: str = "compute"
    is_test: bool = False
    service_version: str = ""
    allow_http: bool = False
    proxy: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    sasl_mechanism: str = "PLAIN"
    token_file: str = ""
    shippers: int | Literal["auto"] = 1

    @property
    def identity(self) -> str:
        """A text that differs for different settings, and is the same for equal ones: 10 seconds are 10.0.

        A proxy's password is no part of it: it could be guessed from a digest that the whole machine can see. Nor is
        `command`, which does not change what a shipper does, nor the number of shippers if it is one, as before there
        could be several.
        """
        told = self._replace(proxy=without_credentials(self.proxy), command="")
        return repr([_plain(value) for value in (told[:-1] if self.shippers == 1 else told)])

    @property
    def lanes(self) -> int:
        """The number of shippers that run side by side; with `"auto"`, by the cores that this process may use."""
        if self.shippers == AUTO:
            return _for_all_cores()
        # A variable of the environment may say anything, for the shipper to refuse.
        return self.shippers if type(self.shippers) is int and 1 <= self.shippers <= MAX_SHIPPERS else 1

    def __repr__(self) -> str:
        # A proxy's URL may hold a password, and a repr ends up in logs and reports of errors.
        values = self._asdict().items()
        return f"ShipperSettings({', '.join(f'{name}={shown(name, value)}' for name, value in values)})"


def _telling_slips(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return the constructor of settings that tells of an unknown name which one may have been meant."""

    @wraps(make)
    def make_or_tell(cls: type[ShipperSettings], *args: Any, **settings: Any) -> ShipperSettings:
        for name in settings:
            if name not in cls._fields:
                hint = did_you_mean(name, cls._fields) or f"; it may be one of {', '.join(cls._fields)}"
                raise ConfigError(f"ShipperSettings: {name} is not a setting of a shipper{hint}")
        made: ShipperSettings = make(cls, *args, **settings)
        return made

    return make_or_tell


# A NamedTuple's own body may not define it.
ShipperSettings.__new__ = _telling_slips(ShipperSettings.__new__)  # type: ignore[method-assign]


class RemoteShipper(NamedTuple):
    """A shipper on another machine, `telemetry ship` with `listen` in its configuration: none is spawned then.

    Both sides have a pair of keys, made by `telemetry keys FILE`, and know each other's public key: over TCP nothing
    goes that is not encrypted, and to or from nobody else.

    Attributes:
        address: where it listens, such as `tcp://10.0.0.5:4381`.
        key_file: the file of this host's secret key, 0600. The shipper knows the host by the public key beside it.
        shipper_key_file: the file of the shipper's public key.
    """

    address: str
    key_file: str
    shipper_key_file: str


def _for_all_cores() -> int:
    """Return the number of shippers for the cores that this process may use, by its affinity and its control groups."""
    from telemetry.cgroup import read_limits  # noqa: PLC0415 next to nobody needs it

    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = int(min(len(own), read_limits().cpus or len(own)))
    return max(1, min(cores // CORES_PER_SHIPPER, MAX_SHIPPERS))


def _plain(value: Any) -> Any:
    """Return a setting's value in one spelling."""
    if isinstance(value, dict):
        return sorted((name, _plain(inner)) for name, inner in value.items())
    return float(value) if type(value) is int else value


def shown(name: str, value: object) -> str:
    """Return a setting's value as an error may repeat it: nothing of a proxy's URL, which may hold a password."""
    return "..." if name == "proxy" and value and not isinstance(value, int | float) else repr(value)


_TCP = r"tcp://(\[[0-9a-fA-F:.%a-z]+\]|[^\s/:@;]+):([0-9]{1,5})"
_MAX_PORT = 65_535


def check_tcp(name: str, address: object) -> None:
    """Raise ConfigError, naming the setting, unless `address` is one that ZeroMQ's TCP takes."""
    found = re.fullmatch(_TCP, address) if isinstance(address, str) else None
    if found is None or int(found[2]) > _MAX_PORT:
        raise ConfigError(f"{name}={address!r}: must be an address such as tcp://10.0.0.5:4381")


_MAX_SECONDS = 1e9
"""The longest time, thirty years; a longer one overflows a timer."""

_TIMEOUTS = ("connect_timeout_seconds", "read_timeout_seconds", "upload_timeout_seconds")

_WORDS = {"format": FORMATS, "compression": COMPRESSIONS}


def resolve(
    given: ShipperSettings | str | os.PathLike[str] | None, environ: Mapping[str, str]
) -> tuple[ShipperSettings, dict[str, str]]:
    """Return the settings that a host's shipper is to have, and where those that are not `given` come from, by name.

    What is given goes before the environment, the environment before a file, and that before the default. A variable
    whose value can't be read is kept as it is, for the shipper to refuse: the environment is no mistake of the program.

    Args:
        given: settings, of which those that differ from their default count; or the path of a TOML file of settings.
        environ: the environment.

    Raises:
        ConfigError: what is given is wrong, or the file can't be read; it tells of all faults.
    """
    defaults = ShipperSettings()
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if isinstance(given, str | os.PathLike):
        found = _settings_of_file(Path(given))
        sources = dict.fromkeys(found, str(given))
    elif isinstance(given, ShipperSettings):
        found = {name: value for name, value in given._asdict().items() if value != getattr(defaults, name)}
        check_settings(found, "shipper")
    elif given is not None:
        raise ConfigError(
            f"shipper={given!r}: must be a telemetry.ShipperSettings, a RemoteShipper, the path of a TOML file, or None"
        )
    for name, text in texts_of_environment(environ).items():
        if name not in found or name in sources:
            try:
                found[name] = value_of_text(name, text)
            except ConfigError:
                found[name] = text
            sources[name] = variable_of(name)
    return defaults._replace(**found), sources


def variable_of(setting: str) -> str:
    """Return the name of the environment variable of a setting."""
    return f"TELEMETRY_{setting.upper()}"


def texts_of_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment says of settings, by their names; a table of facts is no line of text."""
    defaults = ShipperSettings()._asdict().items()
    said = {name: environ.get(variable_of(name)) for name, default in defaults if not isinstance(default, dict)}
    return {name: text for name, text in said.items() if text is not None}


def value_of_text(name: str, text: str) -> str | bool | float:
    """Return the value of a setting that a variable's text gives. Raises ConfigError, naming the variable."""
    kind = type(getattr(ShipperSettings(), name))
    if kind is str or (name == "shippers" and text == AUTO):
        return text
    if kind is bool:
        if text not in {"0", "1"}:
            raise ConfigError(f"{variable_of(name)}={text!r}: must be 0 or 1")
        return text == "1"
    try:
        value: float = kind(text)
    except ValueError:
        must = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{variable_of(name)}={text!r}: must be {must}") from None
    return value


def check_settings(found: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError, a line for each fault, unless all are settings with values of their type and bounds.

    Args:
        found: values by the names of their settings.
        where: what each line begins with.
    """
    check_all(*(partial(_check, name, value, where) for name, value in found.items()))


def _check(name: str, value: object, where: str) -> None:
    if name not in ShipperSettings._fields:
        hint = did_you_mean(name, ShipperSettings._fields)
        known = f"; remove it, or take one of {', '.join(ShipperSettings._fields)}"
        raise ConfigError(f"{where}: {name} is not a setting of a shipper{hint or known}")
    kind = type(getattr(ShipperSettings(), name))
    if kind is dict and not _are_facts(value):  # they may be long
        raise ConfigError(f'{where}: {name} must be a table of facts, such as {name} = {{ rw_version = "2.6.1" }}')
    for fault in _faults(name, value, kind):
        raise ConfigError(f"{where}: {name} = {shown(name, value)} {fault}")
    if name == "proxy" and isinstance(value, str):
        check_proxy(value)


def _faults(name: str, value: object, kind: type) -> Iterator[str]:
    """Yield what a setting's value must be and is not, the gravest first."""
    if name == "shippers":
        if value != AUTO and not (type(value) is int and 1 <= value <= MAX_SHIPPERS):
            yield f'must be a number from 1 to {MAX_SHIPPERS}, or "{AUTO}"'
        return
    fits = isinstance(value, int | float) and not isinstance(value, bool) if kind is float else type(value) is kind
    if not fits:
        yield f"must be of type {kind.__name__}"
    elif isinstance(value, int | float):
        if not value >= 0:  # so, NaN is refused too
            yield "must not be negative"
        if kind is float and value > _MAX_SECONDS:
            yield f"must be at most {_MAX_SECONDS:.0f} seconds"
        if name in _TIMEOUTS and not value:
            yield "must be greater than 0"
    elif name in _WORDS and value not in _WORDS[name]:
        yield f"must be one of {', '.join(filter(None, _WORDS[name]))}"


def _are_facts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(fact, str) and isinstance(given, str | int | float) for fact, given in value.items()
    )


def _settings_of_file(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file, whose paths are relative to it. Raises ConfigError."""
    import tomllib  # noqa: PLC0415 few hosts have such a file

    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as fault:
        why = (isinstance(fault, OSError) and fault.strerror) or fault
        raise ConfigError(f"shipper={str(path)!r}: {why}; give the path of a TOML file of ShipperSettings") from None
    check_settings(found, str(path))
    return {
        name: str(path.absolute().parent / value) if name in FILES and value else value for name, value in found.items()
    }
