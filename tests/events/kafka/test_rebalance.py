"""A consumer group of our name beside us: its partitions are dealt anew, and we lose and repeat nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from rtrec.events.kafka.feed import KafkaFeed
from rtrec.events.kafka.source import KafkaSource
from rtrec.events.mapping import ColumnMapping
from tests.kafka_cluster import Cluster

NOW = datetime(2024, 5, 1, 10, tzinfo=UTC)
MOST_S = 30.0


class Member:
    """A consumer of a group, and what happened to it."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        from confluent_kafka import Consumer

        self.partitions: list[int] = []
        self.n_assigned = self.n_messages = 0
        self.consumer = Consumer(
            {
                "bootstrap.servers": cluster.servers,
                "group.id": "rtrec",  # as our own clients say
                "auto.offset.reset": "earliest",
                "auto.commit.interval.ms": 100,
                "heartbeat.interval.ms": 100,
                "session.timeout.ms": 4000,  # the mock broker waits a second less for who joins again
                "log_level": 0,
            }
        )
        self.consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked)

    def poll(self) -> None:
        message = self.consumer.poll(0.01)
        self.n_messages += message is not None and message.error() is None

    def _assigned(self, _: object, places: list) -> None:
        self.n_assigned += 1
        self.partitions = [each.partition for each in places]

    def _revoked(self, *_: object) -> None:
        self.partitions = []


@contextmanager
def member(cluster: Cluster, topic: str) -> Iterator[Member]:
    each = Member(cluster, topic)
    try:
        yield each
    finally:
        each.consumer.close()


@pytest.mark.slow  # a group waits for seconds for more members
def test_a_rebalance_of_a_group_of_our_name_moves_nothing(kafka_cluster):
    """Subscribe instead of assigning partitions, and the members take them from us."""
    address = kafka_cluster.new_topic()
    source = KafkaSource(kafka_cluster.brokers(address), ColumnMapping("user", "item", "at"))
    feed = KafkaFeed(source)
    numbers, sent, taken = count(), [], []
    positions = [0]

    def run(until: Callable[[], bool], members: list[Member]) -> None:
        """Send message after message, and read each, until something has happened; from where we were."""
        deadline = time.monotonic() + MOST_S
        reading = feed.start(positions[-1], sleep=lambda _: time.monotonic() > deadline)
        while not until():
            assert time.monotonic() < deadline, "it did not happen in time"
            number = next(numbers)
            click = {"user": f"u{number}", "item": "i", "at": (NOW + timedelta(seconds=number)).isoformat()}
            kafka_cluster.send(address.topic, click, partition=number % 4)
            sent.append(f"{address.topic}:{number % 4}:{number // 4}")
            while len(taken) < len(sent):
                fed = next(reading, None)
                assert fed is not None, f"nothing was read of {sent[len(taken) :]}"
                taken.extend(fed.events["event_id"].to_pylist())
                positions.append(fed.position)
            for each in members:
                each.poll()
        reading.close()

    with ExitStack() as leaves_first, member(kafka_cluster, address.topic) as one:
        other = leaves_first.enter_context(member(kafka_cluster, address.topic))
        # A member that were our reader would have a partition, too.
        run(lambda: sorted(one.partitions + other.partitions) == [0, 1, 2, 3], [one, other])
        run(lambda: one.n_messages > 10 and other.n_messages > 10, [one, other])  # and committed, by and by
        leaves_first.close()
        run(lambda: one.n_assigned == 2 and sorted(one.partitions) == [0, 1, 2, 3], [one])

    assert taken == sent
