"""Brokers for tests: librdkafka's mock cluster, which lives in this process as long as somebody holds it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.properties import Properties

_names = count(1)


class Cluster:
    """A broker on a free port; topics have four partitions."""

    def __init__(self) -> None:
        from confluent_kafka import Producer

        self._held = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        [broker] = self._held.list_topics(timeout=10).brokers.values()
        self.servers = f"{broker.host}:{broker.port}"
        large = {"message.max.bytes": 20_000_000}
        self._producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 0, "log_level": 0} | large)

    def new_topic(self, name: str = "") -> KafkaAddress:
        """Return the address of a topic that nobody has used."""
        topic = name or f"topic-{next(_names)}"
        self._producer.list_topics(topic, timeout=10)  # makes it
        return KafkaAddress(self.servers, topic)

    def brokers(self, address: KafkaAddress, *, timeout_s: float = 10.0) -> Brokers:
        return Brokers(address, Properties({}), timeout_s=timeout_s)

    def send(self, topic: str, *values: Any, partition: int = 0, **options: Any) -> None:
        """Write messages: bytes and None as they are, all else as JSON."""
        for value in values:
            raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            self._producer.produce(topic, value=raw, partition=partition, **options)
        assert self._producer.flush(10) == 0

    def messages(self, topic: str, partitions: Sequence[int] = range(4)) -> Iterator[Any]:
        """Yield all that is in a topic now, partition by partition."""
        from confluent_kafka import Consumer, TopicPartition

        alone = {"group.id": "tests", "enable.partition.eof": True, "fetch.wait.max.ms": 10}
        consumer = Consumer({"bootstrap.servers": self.servers, "log_level": 0, **alone})
        try:
            for partition in partitions:
                consumer.assign([TopicPartition(topic, partition, 0)])
                while (message := consumer.poll(10)) is not None and message.error() is None:
                    yield message
        finally:
            consumer.close()

    def stop(self) -> None:
        """End the broker; who is connected finds nobody there."""
        self._held = None


class Broker:
    """A broker in a process of its own, which can be stopped and let go on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.servers = process.stdout.readline().strip()

    def stand_still(self) -> None:
        """Answer nobody until :meth:`go_on`: connections stay, and nothing comes over them."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def own_broker(topic: str) -> Iterator[tuple[Broker, KafkaAddress]]:
    """Yield a broker in a process of its own, and a topic on it."""
    serve = (
        "import sys; from tests.kafka_cluster import Cluster; cluster = Cluster();"
        "cluster.new_topic(sys.argv[1]); print(cluster.servers, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", serve, topic], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        broker = Broker(process)
        try:
            yield broker, KafkaAddress(broker.servers, topic)
        finally:
            process.kill()
