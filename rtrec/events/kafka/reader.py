"""Read all partitions of a topic by assignment, wherever each was left, in order of event time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import structlog

from rtrec.errors import DeploymentError, InputError
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.instep import InStep
from rtrec.events.mapping import ColumnMapping
from rtrec.events.parsing import RawColumn
from rtrec.events.payloads import keep_bytes
from rtrec.events.rawrows import Unreadable, read_object

#: How long a wait for messages is, and one for an answer about partitions.
_POLL_S, _LOOK_TIMEOUT_S = 0.05, 2.0
#: A partition of which so many bytes wait for their turn is not read on; the client fetches no more ahead.
MOST_WAITING_BYTES = 16 << 20

_log = structlog.get_logger(__name__)


class Message(NamedTuple):
    """Where a message is, what it says, why it cannot be read, if so, and its size.

    Without a record and without a fault it is a tombstone.
    """

    partition: int
    offset: int
    record: Mapping[str, Any] | None
    fault: Unreadable | None = None
    n_bytes: int = 0


class TopicReader:
    """One reading of a topic: a consumer, how far it is, and what waits for its turn.

    Parameters
    ----------
    brokers
        Where the topic is.
    mapping
        Says which key of a message is its time.
    clock
        Returns the present.
    done
        How far each partition was read, by its number as text; one that is not there is read from its
        beginning.

    Attributes
    ----------
    step : InStep of Message
        What was read and not taken yet.
    """

    def __init__(
        self,
        brokers: Brokers,
        mapping: ColumnMapping,
        clock: Callable[[], datetime],
        done: Mapping[str, int],
    ) -> None:
        self.step: InStep[Message] = InStep()
        self._brokers = brokers
        self._mapping = mapping
        self._clock = clock
        self._next = {int(partition): offset for partition, offset in done.items()}
        self._known: set[int] = set()
        self._paused: set[int] = set()
        self._n_bytes: Counter[int] = Counter()  # of what waits, by partition
        self._consumer = brokers.consumer(
            queued_max_messages_kbytes=MOST_WAITING_BYTES >> 10,
            fetch_queue_backoff_ms=50,  # else it fetches nothing for a second each time that it has so much
        )
        self._in_use = threading.Lock()  # a consumer that is being asked must not be closed
        self._is_closed = False

    @property
    def holds(self) -> bool:
        """Say whether a message waits for its turn."""
        return any(self.step.n_waiting(partition) for partition in self._known)

    def look_for_partitions(self, *, patient: bool = True) -> None:
        """Take up all partitions that are not read yet, each where it was left, or from its beginning."""
        try:
            # With a broker that is away, messages of the others must not wait for long.
            found = self._brokers.partitions(self._consumer, None if patient else _LOOK_TIMEOUT_S)
        except DeploymentError as error:
            if patient:
                raise
            _log.warning("new partitions could not be looked for", error=str(error))
            return
        if not found and patient:
            raise InputError(
                f"{self._brokers.address}: no such topic; make it, or write a first message to it"
            )
        for partition in (each for each in found if each not in self._known):
            self._known.add(partition)
            self.step.open(partition)
            self._consumer.incremental_assign([self._at(partition, self._start_of(partition))])

    def poll(self, most: int) -> None:
        """Wait a moment for messages, and take those that are there, up to ``most`` or so."""
        raw: list[Any] = []
        n_bytes = 0
        while len(raw) < most and n_bytes < MOST_WAITING_BYTES:
            message = self._consumer.poll(0 if raw else _POLL_S)
            if message is None:
                break
            if message.error() is None:
                raw.append(message)
                n_bytes += len(message)
                self._next[message.partition()] = message.offset() + 1
            else:
                if raw:
                    self._take(raw)
                    raw = []
                self._look_at(message)
        if raw:
            self._take(raw)
        for partition in self._known - self._paused:
            # The others have to catch up; what is fetched is not thrown away for ever, just asked for again.
            is_full = self._n_bytes[partition] >= MOST_WAITING_BYTES
            if is_full or self.step.n_waiting(partition) >= 2 * most:
                self._consumer.pause([self._at(partition, self._next[partition])])
                self._paused.add(partition)

    def take(self, *, all_that_wait: bool = False) -> list[Message]:
        """Return the messages whose turn it is, or all, in order of event time."""
        messages = self.step.take(all_that_wait=all_that_wait)
        for each in messages:
            self._n_bytes[each.partition] -= each.n_bytes
        return messages

    def n_unread(self, done: Mapping[str, int]) -> int | None:
        """Return how many messages the topic has behind ``done``; from any thread.

        None where a broker does not answer within a moment.
        """
        n_unread = 0
        with self._in_use:
            if self._is_closed:
                return None
            for partition in sorted(self._known):
                bounds = self._brokers.bounds_now(self._consumer, partition, _LOOK_TIMEOUT_S)
                if bounds is None:
                    return None
                low, high = bounds
                n_unread += max(high - max(done.get(str(partition), 0), low), 0)
        return n_unread

    def resume(self) -> None:
        """Read on where a partition had run ahead of the others and nothing of it waits any more."""
        for partition in [each for each in self._paused if not self.step.n_waiting(each)]:
            self._consumer.resume([self._at(partition, self._next[partition])])
            self._paused.remove(partition)

    def close(self) -> None:
        """Let go of the broker."""
        with self._in_use:
            self._is_closed = True
            self._consumer.close()

    def _take(self, raw: Sequence[Any]) -> None:
        messages = [_message(each) for each in raw]
        cells = pd.Series([(each.record or {}).get(self._mapping.time) for each in messages], dtype=object)
        times = RawColumn(cells).microseconds(self._mapping)
        # A clock that was wrong once must not put its partition behind all others for good.
        times = np.where(times <= self._clock().timestamp() * 1e6, times, np.nan)
        for each, moment in zip(messages, times.tolist(), strict=True):
            self.step.add(each.partition, moment, each)
            self._n_bytes[each.partition] += each.n_bytes

    def _look_at(self, message: Any) -> None:
        """Do what an error asks for; one that may pass by itself is waited for."""
        from confluent_kafka import KafkaError

        error, partition = message.error(), message.partition()
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self.step.end(partition)
        elif code == KafkaError._AUTO_OFFSET_RESET:
            self._consumer.seek(self._at(partition, self._start_of(partition)))
        elif code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE):
            _log.warning("a broker is away; waiting for it", topic=self._brokers.topic, error=error.str())
        else:
            raise self._brokers.unusable("reading messages", error)

    def _start_of(self, partition: int) -> int:
        """Return where to read a partition from; what was deleted unread becomes a dead letter."""
        low, high = self._brokers.bounds(self._consumer, partition)
        wanted = self._next.get(partition, low)
        if wanted > high:
            raise DeploymentError(
                f"{self._brokers.address}: partition {partition} was read up to offset {wanted} and ends at "
                f"{high} now: the topic was made anew; start afresh with --fresh, or give another --home"
            )
        if wanted < low:
            text = f"messages {wanted:,} to {low - 1:,} were deleted before they were read"
            fault = Unreadable("deleted unread", text, "part")
            self.step.add(partition, np.nan, Message(partition, low - 1, None, fault))
        self._next[partition] = max(wanted, low)
        return self._next[partition]

    def _at(self, partition: int, offset: int) -> Any:
        from confluent_kafka import TopicPartition

        return TopicPartition(self._brokers.topic, partition, offset)


def _message(raw: Any) -> Message:
    """Read a message; what is no JSON object says so."""
    partition, offset, value, n_bytes = raw.partition(), raw.offset(), raw.value(), len(raw)
    if value is None:
        return Message(partition, offset, None)
    record = read_object(value)
    fault = Unreadable("unparsable row", *keep_bytes(value)) if record is None else None
    return Message(partition, offset, record, fault, n_bytes)
