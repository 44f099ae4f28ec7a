"""Write what a run recommends to a topic, keyed by user."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from rtrec.events.kafka.brokers import Brokers


class KafkaSink:
    """Messages to a topic: a user's list each, as JSON, in the partition that her id hashes to.

    Parameters
    ----------
    brokers
        Where the topic is. Users go to partitions as those of Java's producer do.
    """

    def __init__(self, brokers: Brokers) -> None:
        self.brokers = brokers
        self._producer: Any = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Return what the log knows the sink by."""
        return f"sink {self.brokers.topic}"

    def __repr__(self) -> str:
        return f"KafkaSink({str(self.brokers.address)!r})"

    def deliver(self, lists: Sequence[Mapping[str, Any]]) -> None:
        """Write lists, each under its ``user_id``; all replicas have all of them on return.

        Raises
        ------
        DeploymentError
            If not all could be written in time; some may have been.
        """
        refusals: list[Any] = []

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                refusals.append(error)

        with self._lock:
            if self._producer is None:
                self._producer = self.brokers.producer(
                    message_timeout_ms=int(1000 * self.brokers.timeout_s), partitioner="murmur2_random"
                )
            producer = self._producer
            try:
                for each in lists:
                    value = json.dumps(each, ensure_ascii=False, allow_nan=False).encode()
                    producer.produce(
                        self.brokers.topic, key=each["user_id"].encode(), value=value, on_delivery=delivered
                    )
                left = producer.flush(self.brokers.timeout_s + 1.0)
            except Exception as error:  # the library's own, or BufferError where its queue is full
                refusals, left = [error.args[0] if error.args else error], 0
            if refusals or left:
                producer.purge()
                self._producer = None
        if refusals or left:
            raise self.brokers.unusable("lists were not all written", refusals[0] if refusals else None)

    def close(self) -> None:
        """Let go of the brokers."""
        self._producer = None
