"""The way to the brokers of a topic: clients with our own properties, and errors in our own words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from rtrec.errors import BrokersUnavailable, DeploymentError, InputError
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.properties import Properties, read_properties

#: How long brokers may take before they count as away.
TIMEOUT_S = 30.0

#: Errors by which an election, a restart or a broken line shows.
_PASSING = (
    "_ALL_BROKERS_DOWN",
    "_MSG_TIMED_OUT",
    "_PURGE_INFLIGHT",
    "_PURGE_QUEUE",
    "_RESOLVE",
    "_TIMED_OUT",
    "_TIMED_OUT_QUEUE",
    "_TRANSPORT",
    "BROKER_NOT_AVAILABLE",
    "KAFKA_STORAGE_ERROR",
    "LEADER_NOT_AVAILABLE",
    "NETWORK_EXCEPTION",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NOT_LEADER_FOR_PARTITION",
    "REQUEST_TIMED_OUT",
)

# librdkafka would write to stderr, several lines a second while a broker is away.
_logger = logging.getLogger("rtrec.events.kafka")
_logger.addHandler(logging.NullHandler())


class Brokers:
    """Make clients for a topic.

    Parameters
    ----------
    address
        The topic. ``bootstrap.servers`` among the properties takes the place of its brokers: so a deployment
        finds them where they have moved.
    properties
        See :mod:`rtrec.events.kafka.properties`; None reads those of the environment.
    timeout_s
        How long brokers may take before they count as away.
    """

    def __init__(
        self, address: KafkaAddress, properties: Properties | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.address = address
        self.topic = address.topic
        self.timeout_s = timeout_s
        self._properties = read_properties() if properties is None else properties
        self._last_error = ""

    def __repr__(self) -> str:
        return f"Brokers({str(self.address)!r}, {self._properties!r})"

    def producer(self, **own: Any) -> Any:
        """Return a producer that writes each message once, to all replicas."""
        safe = {"acks": "all", "enable.idempotence": True, "linger.ms": 0}
        return self._client(_library().Producer, safe | _dotted(own))

    def consumer(self, **own: Any) -> Any:
        """Return a consumer for partitions and offsets that it is told; it takes part in no group."""
        alone = {
            "group.id": "rtrec",  # the client asks for a name, and does nothing with it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # a broker answers one fetch after the other, idle ones too
        }
        return self._client(_library().Consumer, alone | _dotted(own))

    def partitions(self, client: Any, within_s: float | None = None) -> list[int]:
        """Return the partitions of the topic; none if it does not exist.

        Parameters
        ----------
        within_s
            How long to wait for an answer, if not as long as for others.

        Raises
        ------
        DeploymentError
            If no broker answers, or we may not look.
        """
        from confluent_kafka import KafkaError

        def ask() -> Any:
            answer = client.list_topics(self.topic, timeout=within_s or self.timeout_s)
            return answer.topics[self.topic]

        found = self._asked(client, ask, "looking for the topic")
        if found.error is not None and found.error.code() in (
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError._UNKNOWN_TOPIC,
        ):
            return []
        if found.error is not None:
            raise self.unusable("looking for the topic", found.error)
        return sorted(found.partitions)

    def create_topic(self, partitions: int) -> None:
        """Make the topic; its messages are kept until somebody sets another retention.

        Raises
        ------
        DeploymentError
            If it cannot be made.
        """
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = self._client(AdminClient, {})
        kept = {"cleanup.policy": "delete", "retention.ms": "-1"}
        topic = NewTopic(self.topic, num_partitions=partitions, replication_factor=-1, config=kept)
        try:
            admin.create_topics([topic], request_timeout=self.timeout_s)[self.topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self.unusable("making the topic", error.args[0]) from None

    def bounds(self, client: Any, partition: int) -> tuple[int, int]:
        """Return the offset of a partition's first message, and that behind its last."""
        from confluent_kafka import TopicPartition

        where = TopicPartition(self.topic, partition)
        low, high = self._asked(
            client,
            lambda: client.get_watermark_offsets(where, timeout=self.timeout_s),
            f"asking where partition {partition} ends",
        )
        return int(low), int(high)

    def bounds_now(self, client: Any, partition: int, within_s: float) -> tuple[int, int] | None:
        """Return what :meth:`bounds` does, None where no answer comes in time; from any thread."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            found = client.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=within_s)
        except KafkaException:
            return None
        return None if found is None else (int(found[0]), int(found[1]))

    def unusable(self, what: str, reason: object = None) -> DeploymentError:
        """Return the error that says what could not be done, without a secret.

        Without a ``reason`` it is that nobody answered in time. What may be possible another time is a
        :class:`~rtrec.errors.BrokersUnavailable`.
        """
        last = f"; last heard: {self._last_error}" if self._last_error else ""
        words = f"no answer within {self.timeout_s:g} s" if reason is None else _words(reason)
        text = self._properties.hidden(f"{words}{last}")
        kind = BrokersUnavailable if _may_pass(reason) else DeploymentError
        return kind(
            f"{self.address}: {what}: {text}; check that the brokers run and can be reached, and what "
            "--kafka-config or RTREC_KAFKA_CONFIG says of users and certificates"
        )

    def deadline(self) -> Callable[[], float]:
        """Return what tells how many seconds are left from now on."""
        end = time.monotonic() + self.timeout_s
        return lambda: end - time.monotonic()

    def _asked(self, client: Any, ask: Callable[[], Any], what: str) -> Any:
        """Return what brokers answer; what keeps them from it comes out as ours."""
        from confluent_kafka import KafkaException, TopicPartition

        reason: object = None
        try:
            if (answer := ask()) is not None:
                return answer
        except KafkaException as error:
            reason = error.args[0]
        polled = client.poll(0)  # has the client tell what went wrong on the way
        if hasattr(polled, "offset") and polled.error() is None:  # a consumer's next message, not taken here
            client.seek(TopicPartition(polled.topic(), polled.partition(), polled.offset()))
        raise self.unusable(what, reason)

    def _client(self, kind: Any, own: Mapping[str, Any]) -> Any:
        given = dict(self._properties)
        settings = {"bootstrap.servers": self.address.servers, **given, **own, "error_cb": self._heard}
        try:
            return kind(settings, logger=_logger)
        except Exception as error:  # the library's own, ValueError, TypeError: by what is wrong
            reason = error.args[0] if error.args else error
            raise InputError(f"Kafka properties: {self._properties.hidden(_words(reason))}") from None

    def _heard(self, error: Any) -> None:
        from confluent_kafka import KafkaError

        # That all brokers are down follows from what was heard before, if anything was.
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self._last_error:
            self._last_error = _words(error)


def _may_pass(reason: object) -> bool:
    """Say whether what brokers answered, or that they did not, may be otherwise another time."""
    from confluent_kafka import KafkaError

    if not isinstance(reason, KafkaError):
        return reason is None
    return reason.retriable() or reason.code() in {getattr(KafkaError, name) for name in _PASSING}


def _words(reason: object) -> str:
    text = getattr(reason, "str", None)
    return str(text()) if callable(text) else str(reason)


def _dotted(own: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in own.items()}


def _library() -> Any:
    try:
        import confluent_kafka
    except ImportError as error:
        raise InputError(
            "Kafka needs confluent-kafka, which is not installed; pip install 'confluent-kafka>=2.12'"
        ) from error
    return confluent_kafka
