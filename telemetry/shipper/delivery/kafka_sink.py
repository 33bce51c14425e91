"""Sink for a topic of Kafka: a message a batch, its key the batch's id, confirmed by all replicas in sync.

The producer is idempotent, so its own tries double nothing; after a restart the key tells. It lives for one session of
events and names no client. The body is compressed already.
"""

from __future__ import annotations

from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from confluent_kafka import KafkaError, KafkaException, Producer

from telemetry.errors import ConfigError
from telemetry.settings import SASL_MECHANISMS
from telemetry.shipper.delivery.http_sink import upload_headers
from telemetry.shipper.delivery.recorder import RequestHead
from telemetry.shipper.outcome import Outcome, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.endpoint import SinkTarget
    from telemetry.settings import ShipperSettings
    from telemetry.spool.segment import Seal

MAX_BYTES = 64 << 20  # so that the broker's own limit holds, not the library's of 1 MB
_TOO_LARGE = 413
_POLL_SECONDS = 0.05
_IDLE_MILLISECONDS = 30_000
_WANTS_LOGIN = "it does not take the credentials: user and password in the endpoint, sasl_mechanism"
_NO_TRUST = "its certificate is not trusted: expired, for another name, or ca_file lacks its authority; or no TLS there"
_SPLIT = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
_REJECTED = {KafkaError.INVALID_RECORD}
_PAUSED = {
    KafkaError._AUTHENTICATION: _WANTS_LOGIN,  # noqa: SLF001 the library's names of its own codes
    KafkaError.SASL_AUTHENTICATION_FAILED: _WANTS_LOGIN,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user may not write to the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "this user may not write",
    KafkaError._UNKNOWN_TOPIC: "there is no such topic",  # noqa: SLF001
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no such topic",
}


class KafkaSink:
    """A sink that produces batches to a topic."""

    def __init__(self, target: SinkTarget, settings: ShipperSettings, environ: Mapping[str, str]) -> None:  # noqa: ARG002 a sink's
        if settings.sasl_mechanism not in SASL_MECHANISMS:
            known = ", ".join(SASL_MECHANISMS)
            raise ConfigError(f"sasl_mechanism={settings.sasl_mechanism!r}: must be one of {known}")
        self._target = target
        self._settings = settings
        self._events_session = ""
        self._is_cut = Event()
        self._said: list[KafkaError] = []
        self._producer: Producer | None = None
        self._config = self._configure()

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Produce a batch and wait until the brokers have it."""
        self._is_cut.clear()
        if seal.head.session != self._events_session:
            self.close()
            self._events_session = seal.head.session
        self._said.clear()
        answers: list[KafkaError | None] = []
        try:
            producer = self._producer = self._producer or Producer(self._config, logger=_silent())
            producer.produce(
                self._target.path,
                value=body,
                key=seal.head.id,
                headers=list(upload_headers(seal).items()),
                on_delivery=lambda fault, _: answers.append(fault),
            )
            self._wait(producer, answers)
        except (KafkaException, BufferError) as fault:
            self.close()
            return _failed(fault.args[0] if isinstance(fault, KafkaException) else None)
        if not answers:
            self.close()
            return Reply(Outcome.RETRY, "cut off") if self._is_cut.is_set() else _failed(self._hopeless())
        if answers[0] is None:
            return Reply(Outcome.DELIVERED, "stored")
        self.close()
        return _failed(self._worse(answers[0]))

    def _wait(self, producer: Producer, answers: list[KafkaError | None]) -> None:
        deadline = monotonic() + self._settings.read_timeout_seconds + self._settings.connect_timeout_seconds
        while not answers and not self._is_cut.is_set() and monotonic() < deadline:
            producer.poll(_POLL_SECONDS)
            if self._hopeless() is not None:
                return

    def _hopeless(self) -> KafkaError | None:
        """Return what was said of the connection that no patience mends."""
        return next((fault for fault in self._said if fault.code() in _PAUSED or _is_of_tls(fault)), None)

    def _worse(self, fault: KafkaError) -> KafkaError:
        """Return what was said of the connection if the batch's own fault is only that it took too long."""
        of_time = fault.code() == KafkaError._MSG_TIMED_OUT  # noqa: SLF001
        return self._said[0] if of_time and self._said else fault

    def preview(self, seal: Seal, body: bytes) -> RequestHead:
        """Return the topic, and the message's key and headers."""
        return RequestHead(f"PRODUCE {self._target.path} {len(body)}", list(upload_headers(seal).items()))

    @property
    def is_authorized(self) -> bool:
        """Whether a credential goes with each connection."""
        return bool(self._target.login)

    def abort(self) -> None:
        """Cut off the upload under way; may be called from any thread."""
        self._is_cut.set()

    def close(self) -> None:
        """End the producer, and drop what it has not sent."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.poll(0)
            self._producer = None

    def _configure(self) -> dict[str, Any]:
        settings, target = self._settings, self._target
        is_clear = not settings.ca_file and (target.is_this_machine or settings.allow_http)
        user, _, password = target.login.partition(":")
        config: dict[str, Any] = {
            "bootstrap.servers": ",".join(target.peers),
            "client.id": "telemetry",
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "none",
            "message.max.bytes": MAX_BYTES,
            "linger.ms": 0,
            # Between uploads nothing is said, and nothing is left open.
            "connections.max.idle.ms": _IDLE_MILLISECONDS,
            "topic.metadata.refresh.interval.ms": -1,
            "delivery.timeout.ms": int(settings.read_timeout_seconds * 1000),
            "socket.connection.setup.timeout.ms": max(1000, int(settings.connect_timeout_seconds * 1000)),
            "security.protocol": ("SASL_" if user else "") + ("PLAINTEXT" if is_clear else "SSL"),
            "error_cb": self._said.append,
        }
        if user:
            config |= {
                "sasl.mechanism": settings.sasl_mechanism,
                "sasl.username": unquote(user),
                "sasl.password": unquote(password),
            }
        if settings.ca_file:
            config["ssl.ca.location"] = settings.ca_file
        if settings.client_certificate:
            config |= dict.fromkeys(("ssl.certificate.location", "ssl.key.location"), settings.client_certificate)
        return config


def _silent() -> Any:
    """Return a logger for the library, whose texts hold addresses; it would print them."""
    import logging  # noqa: PLC0415 for this alone

    logger = logging.Logger("kafka")  # noqa: LOG001 of no tree
    logger.addHandler(logging.NullHandler())
    return logger


def _failed(fault: KafkaError | None) -> Reply:
    if fault is None:
        return Reply(Outcome.RETRY, "TimeoutError (it is silent)")
    code, name = fault.code(), fault.name()
    if code in _SPLIT:
        return Reply(Outcome.SPLIT, f"{name} (larger than the brokers' message.max.bytes)", _TOO_LARGE)
    if code in _REJECTED:
        return Reply(Outcome.REJECTED, name)
    if code in _PAUSED:
        return Reply(Outcome.PAUSED, f"{name} ({_PAUSED[code]})")
    return Reply(Outcome.RETRY, f"{name} ({_NO_TRUST})" if _is_of_tls(fault) else name)


def _is_of_tls(fault: KafkaError) -> bool:
    # Now it has a code for it, and now only words.
    return fault.code() == KafkaError._SSL or "certificate" in str(fault.str())  # noqa: SLF001 as above
