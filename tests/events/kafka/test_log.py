"""What the log over Kafka withstands: crashes between topic and journal, other topics, brokers that are away.

That it does what every log does is tested in ``tests/events/test_log.py``.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rtrec.errors import CorruptionError, DeploymentError
from rtrec.events import journal
from rtrec.events.journaled_log import JournaledLog
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.log import KafkaLog, _Tail
from rtrec.events.kafka.properties import Properties
from rtrec.events.kafka.topic import LOG_HEADER
from rtrec.events.schema import empty_events
from rtrec.failpoints import VARIABLE
from tests.events.test_log import events
from tests.kafka_cluster import Cluster

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "events.sqlite"


@pytest.fixture
def address(kafka_cluster: Cluster) -> KafkaAddress:
    return kafka_cluster.new_topic()


@pytest.fixture
def open_log(path: Path, kafka_cluster: Cluster, address: KafkaAddress):
    """Return a function that opens the log; each opening has an empty memory and asks the broker."""
    opened: list[KafkaLog] = []

    def open_it(**options: Any) -> KafkaLog:
        options = {"partitions": 2, "brokers": kafka_cluster.brokers(address)} | options
        opened.append(KafkaLog(path, **options))
        return opened[-1]

    yield open_it
    for log in opened:
        log.close()


def read_ids(log: KafkaLog, partition: int = 0) -> list[str]:
    return log.read(partition, 0).column("event_id").to_pylist()


# -------------------------------------------------------------------------- between the topic and the journal


def test_what_a_crash_left_in_the_topic_is_no_event(open_log, kafka_cluster, address, monkeypatch):
    log = open_log()
    log.append([events(0, 2), events(2, 1)], source="f", position=3)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "insert_dead_letters", crash)
    with pytest.raises(KeyboardInterrupt):
        log.append([events(90, 2), events(92, 1)], source="f", position=6)
    monkeypatch.undo()
    assert [(m.partition(), m.offset()) for m in kafka_cluster.messages(address.topic)] == [
        (0, 0), (0, 1), (1, 0), (1, 1),
    ]  # fmt: skip
    log.close()

    log = open_log()
    assert (log.ends(), log.position("f")) == ((2, 1), 3)
    log.append([events(3, 2), empty_events()], source="f", position=5)

    log.close()
    log = open_log()
    assert read_ids(log) == ["e0", "e1", "e3", "e4"]
    assert read_ids(log, 1) == ["e2"]
    assert log.needed_from() == {0: 0, 1: 0}
    assert list(log.recent_event_ids(3)) == ["e2", "e3", "e4"]


KILLED = """
import sys
from pathlib import Path
from rtrec.events.opening import open_log
from tests.events.test_log import events
log = open_log(Path(sys.argv[1]), sys.argv[2])
for first in (0, 3):
    log.append([events(first, 2), events(first + 2, 1)], source="f", position=first + 3)
"""


def test_killed_between_topic_and_journal_the_events_come_again_and_count_once(open_log, path):
    """Fails if what is in the topic is read because it is there, or its place is given to another event."""
    open_log().close()
    command = [sys.executable, "-c", KILLED, str(path), open_log().at]
    environment = os.environ | {VARIABLE: "log.keep=kill-after@2"}
    killed = subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL

    log = open_log()
    assert (log.ends(), log.position("f")) == ((2, 1), 3)
    log.append([events(3, 1), events(4, 2)], source="f", position=6)  # shared out otherwise than before
    log.close()
    log = open_log()
    assert (log.ends(), log.position("f")) == ((3, 3), 6)
    assert [read_ids(log), read_ids(log, 1)] == [["e0", "e1", "e3"], ["e2", "e4", "e5"]]


def test_messages_of_others_in_the_topic_are_passed_over(open_log, kafka_cluster, address):
    kafka_cluster.send(address.topic, b"somebody else's", None)
    log = open_log()
    log.append([events(0, 1), empty_events()])
    kafka_cluster.send(address.topic, b"somebody else's", None)
    log.append([events(1, 1), empty_events()])
    log.close()

    assert read_ids(open_log()) == ["e0", "e1"]


def test_an_append_larger_than_a_message_becomes_several(open_log, kafka_cluster, address, monkeypatch):
    monkeypatch.setattr(KafkaLog, "_MOST_BYTES", 3000)
    log = open_log()
    log.append([events(0, 300), empty_events()])
    log.close()

    sizes = [len(message.value()) for message in kafka_cluster.messages(address.topic, [0])]
    assert len(sizes) > 1
    assert max(sizes) <= 3000
    assert open_log().read(0, 0).equals(events(0, 300))


def test_what_was_appended_last_is_read_without_the_broker_up_to_a_size():
    tail = _Tail(10)
    for offset in range(4):
        tail.put((0, offset), b"1234")

    assert [tail.get((0, offset)) for offset in range(4)] == [None, None, b"1234", b"1234"]


# ---------------------------------------------------------------------------- a topic that is not what it was


def test_a_topic_that_was_made_anew_and_is_empty_is_noticed_at_the_start(open_log, address):
    log = open_log()
    log.append([events(0, 1), empty_events()])
    log.append([events(1, 1), empty_events()])
    log.close()
    other = Cluster()

    with pytest.raises(
        CorruptionError,
        match=rf"topic '{address.topic}', partition 0, offset 1: .* ends at 0: .*docs/kafka\.md",
    ):
        open_log(brokers=other.brokers(other.new_topic(address.topic)))
    other.stop()


def test_a_topic_that_holds_another_log_is_noticed_when_it_is_read(open_log, tmp_path, address):
    log = open_log()
    log.append([events(0, 1), empty_events()])
    log.close()
    other = Cluster()
    brokers = other.brokers(other.new_topic(address.topic))
    theirs = KafkaLog(tmp_path / "theirs.sqlite", brokers, partitions=2)
    theirs.append([events(0, 1), empty_events()])  # the very same events, but not ours
    theirs.close()

    with pytest.raises(CorruptionError, match=r"partition 0, offset 0: .* is of another log"):
        open_log(brokers=brokers).read(0, 0)
    other.stop()


def test_a_topic_that_lost_what_is_needed_is_noticed_at_the_start(open_log, monkeypatch):
    log = open_log()
    log.append([events(0, 1), empty_events()])
    log.close()
    monkeypatch.setattr(Brokers, "bounds", lambda *_: (5, 9))  # as a broker says once retention has deleted

    with pytest.raises(CorruptionError, match=r"partition 0, offset 0: .* first that is left has offset 5"):
        open_log()


def point_at(path: Path, offset: int) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET body = ? WHERE first = 0", (offset,))
    connection.close()


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (2, r"topic '.*', partition 0, offset 2: .* a tombstone"),
        (1, r"events.sqlite \(topic '.*', offset 1\): partition 0, offset 0: the record does not match"),
        (3, r"partition 0, offset 3: .* ends at 3"),
    ],
    ids=["tombstone", "another record", "beyond the end"],
)
def test_a_message_that_is_not_the_record_is_named(
    path, open_log, kafka_cluster, address, offset, message, monkeypatch
):
    log = open_log()
    log.append([events(0, 1), empty_events()])
    log.append([events(1, 1), empty_events()])
    log.close()
    header = (LOG_HEADER, log._topic.log_id.encode())
    kafka_cluster.send(address.topic, None, headers=[header])
    point_at(path, offset)

    with pytest.raises(CorruptionError, match=message):
        open_log(mode="read").read(0, 0, 1)


def test_another_topic_is_refused(open_log, kafka_cluster, address):
    open_log().close()

    with pytest.raises(DeploymentError, match=f"made for topic '{address.topic}', got 'topic-"):
        open_log(brokers=kafka_cluster.brokers(kafka_cluster.new_topic()))


def test_a_topic_with_too_few_partitions_is_refused_and_no_log_is_made(path, open_log):
    with pytest.raises(DeploymentError, match="at least 5 partitions, one a shard; the topic has 4"):
        open_log(partitions=5)

    assert open_log(partitions=4).ends() == (0, 0, 0, 0)


def test_a_topic_that_does_not_exist_is_made_and_keeps_its_messages(open_log, kafka_cluster, monkeypatch):
    """The mock broker makes topics by itself and not when asked to, so its admin is played here."""
    from confluent_kafka import admin

    made: list[tuple[str, int, dict[str, str]]] = []
    address = KafkaAddress(kafka_cluster.servers, "made-by-the-log")
    partitions = Brokers.partitions

    class Admin:
        def __init__(self, settings: dict[str, Any], logger: Any) -> None:
            assert settings["bootstrap.servers"] == kafka_cluster.servers

        def create_topics(self, topics: list[Any], request_timeout: float) -> dict[str, Any]:
            made.extend((each.topic, each.num_partitions, each.config) for each in topics)
            kafka_cluster.new_topic(address.topic)
            return {address.topic: self}

        def result(self) -> None:
            return None

    monkeypatch.setattr(admin, "AdminClient", Admin)
    monkeypatch.setattr(Brokers, "partitions", lambda *given: partitions(*given) if made else [])

    log = open_log(brokers=kafka_cluster.brokers(address), partitions=3)

    assert made == [("made-by-the-log", 3, {"cleanup.policy": "delete", "retention.ms": "-1"})]
    assert log.append([events(0, 1)] * 3) == (1, 1, 1)


# -------------------------------------------------------------------------------------- brokers that are away


@pytest.fixture
def down(path: Path):
    """Return a log whose broker has gone, and its path."""
    cluster = Cluster()
    brokers = cluster.brokers(cluster.new_topic())
    log = KafkaLog(path, brokers, partitions=1)
    log.append([events(0, 2)], source="f", position=2)
    log.append([events(2, 1)], source="f", position=3)
    log.compact([2], log.cut([3], 0).seq)
    cluster.stop()
    brokers.timeout_s = 1.0  # only now: a broker on a busy machine may take longer
    log._topic._producer = None  # the next one is as impatient
    yield log
    log.close()


def test_without_a_broker_nothing_is_accepted_and_nothing_half(down):
    began = time.monotonic()

    with pytest.raises(
        DeploymentError, match=r"kafka://127.*events were not accepted, and none is in the log"
    ):
        down.append([events(3, 1)], source="f", position=4)

    assert time.monotonic() - began < 30, "it has to give up"
    assert (down.ends(), down.position("f")) == ((3,), 3)
    assert read_ids(down) == ["e0", "e1", "e2"], "what is in memory and in the history needs no broker"


def test_without_a_broker_a_log_can_be_looked_at_and_given_controls(path, down):
    brokers = down._topic.brokers
    down.close()

    log = KafkaLog(path, brokers, mode="read")
    assert (log.ends(), log.position("f"), len(log.cuts())) == ((3,), 3, 1)
    assert log.read(0, 0, 2).equals(events(0, 2)), "the history is here"
    with pytest.raises(DeploymentError, match=r"reading partition 0, offset 1: no answer within 1 s"):
        log.read(0, 0)
    log.close()
    with pytest.raises(DeploymentError, match="looking for the topic"):
        KafkaLog(path, brokers)

    journaled = JournaledLog(path, mode="join")
    assert journaled.append_control({"control": "settings", "changes": {}}).offset == 0
    journaled.close()


def test_a_deployment_finds_brokers_that_have_moved(open_log, kafka_cluster, address):
    open_log().append([events(0, 1), empty_events()])
    before = KafkaAddress("127.0.0.1:1", address.topic)

    log = open_log(brokers=Brokers(before, Properties({"bootstrap.servers": kafka_cluster.servers})))

    assert read_ids(log) == ["e0"]


# ---------------------------------------------------------------------------------------------------- history


def test_history_is_read_when_the_topic_has_let_go_of_it(open_log, monkeypatch):
    log = open_log()
    for first in range(0, 6, 2):
        log.append([events(first, 2), empty_events()])
    log.compact((4, 0), log.cut((6, 0), 0).seq)
    assert log.needed_from() == {0: 2}
    log.close()
    bounds = Brokers.bounds
    monkeypatch.setattr(Brokers, "bounds", lambda *given: (2, bounds(*given)[1]))

    assert read_ids(open_log()) == [f"e{number}" for number in range(6)]
