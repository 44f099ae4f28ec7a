"""The bodies of a log's records in a topic: written whole, read again by the offsets that a journal names.

A topic may hold more than the journal names: what was written just before a crash, or by an earlier log of
the same name. It is passed over. It may never hold less: what is named and gone is damage.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from rtrec.errors import CorruptionError, DeploymentError
from rtrec.events.kafka.brokers import Brokers

#: The header of each message that says which log it belongs to.
LOG_HEADER = "rtrec-log"
_RESTORE = (
    "restore the topic, or start afresh with --fresh; retention has to keep what is not compacted yet "
    "(docs/kafka.md)"
)


class EventTopic:
    """Write and read bodies; may be used from several threads.

    Parameters
    ----------
    brokers
        Where the topic is.
    log_id
        Goes with each message, and is looked for with each: a topic that was deleted and made anew has the
        same name and the same offsets, and other events.
    """

    def __init__(self, brokers: Brokers, log_id: str) -> None:
        self.brokers = brokers
        self.log_id = log_id
        self._producer: Any = None
        self._consumer: Any = None
        self._writing, self._reading = threading.Lock(), threading.Lock()

    def get_ready(self) -> None:
        """Let the producer begin to ask for what it needs: half a second later the first append has it."""
        with self._writing:
            self._open_producer()

    def require(self, partitions: int) -> None:
        """See to it that the topic exists and has enough partitions.

        Raises
        ------
        DeploymentError
            If it has too few, cannot be made, or no broker answers.
        """
        with self._reading:
            consumer = self._open_consumer()
            found = self.brokers.partitions(consumer)
            if not found:
                self.brokers.create_topic(partitions)
                left = self.brokers.deadline()
                while not (found := self.brokers.partitions(consumer)) and left() > 0:
                    consumer.poll(0.1)
        if len(found) < partitions:
            raise DeploymentError(
                f"{self.brokers.address}: expected at least {partitions} partitions, one a shard; the topic "
                f"has {len(found)}; add partitions to it, or name another topic"
            )

    def require_offsets(self, partition: int, first: int, last: int) -> None:
        """Raise unless a partition may still have the messages ``first`` to ``last``.

        Raises
        ------
        CorruptionError
            If it does not reach so far back, or so far.
        """
        with self._reading:
            low, high = self.brokers.bounds(self._open_consumer(), partition)
        if first < low:
            raise self._gone(partition, first, f"the first that is left has offset {low}")
        if last >= high:
            raise self._gone(partition, last, _ends_at(high))

    def write(self, bodies: Sequence[tuple[int, bytes]]) -> list[int]:
        """Write bodies, each to its partition; return their offsets once all replicas have them all.

        Raises
        ------
        DeploymentError
            If not all could be written in time. Those that were are nobody's: no journal names them.
        """
        offsets: dict[int, int] = {}
        refusals: list[Any] = []

        def note(place: int) -> Any:
            def delivered(error: Any, message: Any) -> None:
                if error is not None:
                    refusals.append(error)
                else:
                    offsets[place] = message.offset()

            return delivered

        with self._writing:
            producer = self._open_producer()
            try:
                for place, (partition, body) in enumerate(bodies):
                    producer.produce(
                        self.brokers.topic,
                        value=body,
                        partition=partition,
                        headers=[(LOG_HEADER, self.log_id.encode())],
                        on_delivery=note(place),
                    )
                producer.flush(self.brokers.timeout_s + 1.0)
            except Exception as error:  # the library's own, or BufferError where its queue is full
                refusals.append(error.args[0] if error.args else error)
            if refusals or len(offsets) < len(bodies):
                # What still waits must not be written once nobody waits for it.
                producer.purge()
                self._producer = None
        if refusals or len(offsets) < len(bodies):
            raise self.brokers.unusable(
                "events were not accepted, and none is in the log",
                refusals[0] if refusals else None,
            )
        return [offsets[place] for place in range(len(bodies))]

    def read(self, partition: int, offsets: Sequence[int]) -> dict[int, bytes]:
        """Return the bodies at some offsets of a partition.

        Raises
        ------
        CorruptionError
            If one of them is not there, or is not of this log.
        DeploymentError
            If no broker answers in time.
        """
        from confluent_kafka import TopicPartition

        wanted = sorted(set(offsets))
        bodies: dict[int, bytes] = {}
        left = self.brokers.deadline()
        with self._reading:
            consumer = self._open_consumer()
            consumer.assign([TopicPartition(self.brokers.topic, partition, wanted[0])])
            try:
                while len(bodies) < len(wanted):
                    if left() <= 0:
                        offset = wanted[len(bodies)]
                        raise self.brokers.unusable(f"reading partition {partition}, offset {offset}")
                    message = consumer.poll(min(left(), 1.0))
                    if message is None:
                        continue
                    next_one = wanted[len(bodies)]
                    if message.error() is not None:
                        self._look_at(message.error(), partition, next_one)
                    elif message.offset() > next_one:
                        raise self._gone(partition, next_one, f"the next that is left is {message.offset()}")
                    elif message.offset() == next_one:
                        bodies[next_one] = self._body(message)
                        left = self.brokers.deadline()  # it answers
            finally:
                consumer.unassign()
        return bodies

    def close(self) -> None:
        """Let go of all connections."""
        with self._writing, self._reading:
            self._producer = None
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _body(self, message: Any) -> bytes:
        """Return what a message holds, if it is one of this log."""
        partition, offset = message.partition(), message.offset()
        if dict(message.headers() or []).get(LOG_HEADER) != self.log_id.encode():
            raise self._gone(
                partition, offset, "what is there is of another log: the topic was made anew, or is another"
            )
        body: bytes | None = message.value()
        if body is None:
            raise self._gone(partition, offset, "what is there is empty: a tombstone")
        return body

    def _look_at(self, error: Any, partition: int, offset: int) -> None:
        """Raise what an error means for somebody who reads; what may pass is waited for."""
        from confluent_kafka import KafkaError

        code = error.code()
        if code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE):
            return
        if code in (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET):
            low, high = self.brokers.bounds(self._consumer, partition)
            if offset < low:
                raise self._gone(partition, offset, f"the first that is left has offset {low}")
            if offset < high and code == KafkaError._PARTITION_EOF:
                return  # an end that was reached before this offset was there
            raise self._gone(partition, offset, _ends_at(high))
        if code in (
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError._UNKNOWN_TOPIC,
            KafkaError._UNKNOWN_PARTITION,
        ):
            raise self._gone(partition, offset, "there is no such topic or partition")
        raise self.brokers.unusable(f"reading partition {partition}, offset {offset}", error)

    def _gone(self, partition: int, offset: int, what: str) -> CorruptionError:
        return CorruptionError(
            f"topic {self.brokers.topic!r}, partition {partition}, offset {offset}: this message belongs to "
            f"the log and is not there: {what}; {_RESTORE}"
        )

    def _open_producer(self) -> Any:
        if self._producer is None:
            self._producer = self.brokers.producer(
                message_timeout_ms=int(1000 * self.brokers.timeout_s),
            )
        return self._producer

    def _open_consumer(self) -> Any:
        if self._consumer is None:
            self._consumer = self.brokers.consumer()
        return self._consumer


def _ends_at(high: int) -> str:
    return f"the partition ends at {high}: it was cut short, or the topic was made anew"
