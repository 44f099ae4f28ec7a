"""A topic as a source: what becomes of messages, and where a restart goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from rtrec.errors import DeploymentError, InputError
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.feeds import Fed
from rtrec.events.kafka import reader
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.feed import KafkaFeed
from rtrec.events.kafka.properties import Properties
from rtrec.events.kafka.source import KafkaSource
from rtrec.events.lag import SourceLag
from rtrec.events.mapping import ColumnMapping
from tests.kafka_cluster import Cluster

NOW = datetime(2024, 5, 1, 10, tzinfo=UTC)
MAPPING = ColumnMapping("user", "item", "at")


def click(second: float, **other: Any) -> dict[str, Any]:
    """Return a message; its second is all that distinguishes it."""
    at = (NOW + timedelta(seconds=second)).isoformat()
    return {"user": f"u{second}", "item": "i", "at": at} | other


@pytest.fixture
def address(kafka_cluster: Cluster) -> KafkaAddress:
    return kafka_cluster.new_topic()


@pytest.fixture
def make_feed(kafka_cluster: Cluster, address: KafkaAddress):
    def make(mapping: ColumnMapping = MAPPING, **options: Any) -> KafkaFeed:
        brokers = options.pop("brokers", kafka_cluster.brokers(address))
        clock = lambda: NOW + timedelta(hours=1)  # noqa: E731
        return KafkaFeed(KafkaSource(brokers, mapping, clock=clock, **options), clock=clock)

    return make


def start(feed: KafkaFeed, position: Any = 0, **options: Any) -> Iterator[Fed]:
    return feed.start(position, **{"sleep": lambda _: None} | options)


def read(feed: KafkaFeed, n_rows: int, position: Any = 0, **options: Any) -> list[Fed]:
    """Read until so many messages are counted in all, with those counted before."""
    fed, reading = [], start(feed, position, **options)
    for each in reading:
        fed.append(each)
        if sum(each.counts.values()) >= n_rows:
            break
    reading.close()
    return fed


def users(fed: list[Fed]) -> list[str]:
    return [user for each in fed for user in each.events.column("user_id").to_pylist()]


def test_messages_become_events_whose_ids_say_where_they_stood(make_feed, kafka_cluster, address):
    kafka_cluster.send(address.topic, click(1), click(2, user=7), partition=2)

    fed = read(make_feed(), 2)

    events = [row for each in fed for row in each.events.to_pylist()]
    assert [(row["event_id"], row["user_id"], row["item_id"], row["timestamp"]) for row in events] == [
        (f"{address.topic}:2:0", "u1", "i", NOW + timedelta(seconds=1)),
        (f"{address.topic}:2:1", "7", "i", NOW + timedelta(seconds=2)),
    ]
    assert fed[-1].position == {"2": 2}
    assert fed[-1].counts == {"accepted": 2}


def test_partitions_are_read_in_order_of_event_time_each_in_its_own(make_feed, kafka_cluster, address):
    """Thousands wait in each partition, and a broker hands them out one partition after the other."""
    for partition in range(3):
        seconds = range(partition, 3000, 3)
        kafka_cluster.send(address.topic, *(click(second) for second in seconds), partition=partition)

    fed = read(make_feed(chunk_rows=200), 3000)

    assert users(fed) == [f"u{second}" for second in range(3000)]
    assert max(each.events.num_rows for each in fed) <= 200
    assert fed[-1].position == {"0": 1000, "1": 1000, "2": 1000}


def test_tombstones_are_counted_and_poison_becomes_a_dead_letter(make_feed, kafka_cluster, address):
    poison = [b"no json", b"[1]", b'{"half": ', b"\xff\xfe", {"item": "i", "at": "2024-05-01T10:00Z"}]
    kafka_cluster.send(address.topic, click(1), None, *poison, None, click(2), partition=1)

    fed = read(make_feed(), 9)

    assert users(fed) == ["u1", "u2"]
    letters = [letter for each in fed for letter in each.dead_letters]
    where = f"{address.topic}:1"
    assert [(each.source, each.row, each.reason, each.payload, each.kept) for each in letters[:4]] == [
        (where, 2, "unparsable row", "no json", "line"),
        (where, 3, "unparsable row", "[1]", "line"),
        (where, 4, "unparsable row", '{"half": ', "line"),
        (where, 5, "unparsable row", "//4=", "bytes"),
    ]
    assert (letters[4].row, letters[4].reason, letters[4].column) == (6, "missing user", "user")
    assert '"item": "i"' in letters[4].payload
    assert fed[-1].counts == {"accepted": 2, "tombstone": 2, "unparsable row": 4, "missing user": 1}
    assert fed[-1].position == {"1": 9}


def test_a_stream_of_nothing_but_poison_ends_without_an_error(make_feed, kafka_cluster, address):
    kafka_cluster.send(address.topic, b"no json")
    stop: list[bool] = []
    reading = start(make_feed(), sleep=lambda _: bool(stop))
    assert next(reading).counts == {"unparsable row": 1}

    stop.append(True)

    assert list(reading) == []


def test_a_clock_that_was_wrong_once_does_not_hold_its_partition_back(make_feed, kafka_cluster, address):
    kafka_cluster.send(address.topic, click(1), click(1e9), click(2), click(4), partition=0)
    kafka_cluster.send(address.topic, click(3), click(5), partition=1)

    fed = read(make_feed(), 6)

    assert users(fed) == ["u1", "u2", "u3", "u4", "u5"]
    assert [letter.reason for each in fed for letter in each.dead_letters] == ["far future"]


# -------------------------------------------------------------------------------------- going on after a stop


def test_a_restart_goes_on_exactly_behind_what_the_log_accepted(make_feed, kafka_cluster, address, tmp_path):
    """Three lives, each cut short after one append, whatever it had fetched beyond that."""
    for partition in range(4):
        seconds = range(partition, 40, 4)
        kafka_cluster.send(address.topic, *(click(second) for second in seconds), partition=partition)
    path, feed = tmp_path / "events.sqlite", make_feed(chunk_rows=7)
    for _ in range(3):
        log = EmbeddedLog(path, partitions=1)
        life = start(feed, log.position(feed.name), counts=log.cleaning_counts(feed.name))
        fed = next(life)
        log.append([fed.events], source=feed.name, position=fed.position, counts=fed.counts)
        next(life)  # fetched, and never accepted
        life.close()
        log.close()
    log = EmbeddedLog(path, partitions=1)
    for fed in read(feed, 40, log.position(feed.name), counts=log.cleaning_counts(feed.name)):
        log.append([fed.events], source=feed.name, position=fed.position, counts=fed.counts)

    # The broker is read anew in each life, so the order between partitions may be another; nothing else may.
    ids = log.read(0, 0).column("event_id").to_pylist()
    assert sorted(ids) == sorted(f"{address.topic}:{p}:{offset}" for p in range(4) for offset in range(10))
    for partition in range(4):
        mine = [each for each in ids if each.startswith(f"{address.topic}:{partition}:")]
        assert mine == [f"{address.topic}:{partition}:{offset}" for offset in range(10)]
    assert log.position(feed.name) == {"0": 10, "1": 10, "2": 10, "3": 10}
    assert log.cleaning_counts(feed.name) == {"accepted": 40}
    log.close()


@pytest.mark.parametrize("n_more", [1, 3])
def test_it_ends_right_behind_the_last_event_that_is_wanted(make_feed, kafka_cluster, address, n_more):
    for second in range(4):
        kafka_cluster.send(address.topic, click(second), None, b"no json", partition=second)
    feed = make_feed()

    fed = list(start(feed, n_more=n_more))
    rest = read(feed, 12, fed[-1].position, counts=fed[-1].counts)

    assert len(users(fed)) == n_more
    assert users(fed) + users(rest) == ["u0", "u1", "u2", "u3"]
    assert rest[-1].counts == {"accepted": 4, "tombstone": 4, "unparsable row": 4}


def test_what_a_producer_sent_twice_is_one_event(make_feed, kafka_cluster, address):
    """At-least-once producers repeat messages, in another partition even; a restart remembers the ids."""
    mapping = ColumnMapping("user", "item", "at", event_id="id")
    kafka_cluster.send(address.topic, click(1, id="a"), click(2, id="b"), click(1, id="a"))
    feed = make_feed(mapping)
    fed = read(feed, 3)
    kafka_cluster.send(address.topic, click(2, id="b"), click(3, id="c"), partition=3)

    rest = read(feed, 5, fed[-1].position, counts=fed[-1].counts, recent_ids=iter(["a", "b"]))

    assert (users(fed), users(rest)) == (["u1", "u2"], ["u3"])
    assert rest[-1].counts == {"accepted": 3, "duplicate id": 2}


def test_messages_that_come_while_it_runs_are_read(make_feed, kafka_cluster, address):
    running = start(make_feed())
    for second in range(3):
        kafka_cluster.send(address.topic, click(second), partition=second)
        assert users([next(running)]) == [f"u{second}"]
    running.close()


def test_partitions_that_are_added_are_read_from_their_beginning(
    make_feed, kafka_cluster, address, monkeypatch
):
    known, found = [0, 1], Brokers.partitions
    monkeypatch.setattr(
        Brokers, "partitions", lambda *given: [each for each in found(*given) if each in known]
    )
    kafka_cluster.send(address.topic, click(1), partition=3)
    kafka_cluster.send(address.topic, click(2), partition=0)
    running = start(make_feed(look_every_s=0.0))
    assert users([next(running)]) == ["u2"]

    known.append(3)

    fed = next(running)
    assert (users([fed]), fed.position) == (["u1"], {"0": 1, "3": 1})
    running.close()


def test_two_readers_of_one_topic_do_not_disturb_each_other(make_feed, kafka_cluster, address):
    kafka_cluster.send(address.topic, *(click(second) for second in range(6)))
    one = start(make_feed(chunk_rows=2), sleep=lambda _: None)
    other = start(make_feed(chunk_rows=2), sleep=lambda _: None)

    taken: tuple[list[str], list[str]] = ([], [])
    while min(map(len, taken)) < 6:  # how many come at once is the broker's business
        for each, feed in zip(taken, (one, other), strict=True):
            if len(each) < 6:
                each += users([next(feed)])

    assert taken == ([f"u{second}" for second in range(6)],) * 2
    one.close()
    other.close()


# --------------------------------------------------------------------------- topics that are not as they were


def test_messages_deleted_before_they_were_read_are_told_of(make_feed, kafka_cluster, address, monkeypatch):
    kafka_cluster.send(address.topic, *(click(second) for second in range(5)))
    bounds = Brokers.bounds
    monkeypatch.setattr(Brokers, "bounds", lambda *given: (3 if given[2] == 0 else 0, bounds(*given)[1]))

    fed = read(make_feed(), 3, {"0": 1})

    assert users(fed) == ["u3", "u4"]
    [letter] = [letter for each in fed for letter in each.dead_letters]
    assert (letter.source, letter.row, letter.reason) == (f"{address.topic}:0", 2, "deleted unread")
    assert letter.payload == "messages 1 to 2 were deleted before they were read"
    assert letter.kept == "part"  # nobody can bring them back
    assert fed[-1].position["0"] == 5


def test_a_topic_that_was_made_anew_is_noticed(make_feed, kafka_cluster, address):
    kafka_cluster.send(address.topic, click(1))

    with pytest.raises(DeploymentError, match=r"partition 0 was read up to offset 7 and ends at 1 now.*anew"):
        list(start(make_feed(), {"0": 7}))


def test_a_topic_that_does_not_exist_is_named(make_feed, kafka_cluster, monkeypatch):
    monkeypatch.setattr(Brokers, "partitions", lambda *_: [])

    with pytest.raises(InputError, match=r"kafka://127\.0\.0\.1:\d+/topic-\d+: no such topic"):
        list(start(make_feed()))


def test_a_broker_that_is_away_at_the_start_is_named(make_feed):
    brokers = Brokers(KafkaAddress("127.0.0.1:1", "clicks"), Properties({}), timeout_s=0.5)

    with pytest.raises(DeploymentError, match=r"kafka://127\.0\.0\.1:1/clicks: looking for the topic"):
        list(start(make_feed(brokers=brokers)))


def test_another_topic_or_other_columns_are_another_feed(make_feed, kafka_cluster):
    feed = make_feed()
    identity = feed.identity()

    assert make_feed().difference(identity, {}) is None
    assert "its topic was" in make_feed(brokers=kafka_cluster.brokers(kafka_cluster.new_topic())).difference(
        identity, {}
    )
    assert "its columns was" in make_feed(ColumnMapping("user", "sku", "at")).difference(identity, {})


def test_how_far_a_topic_is_ahead_is_its_end_less_what_was_taken(make_feed, kafka_cluster, address):
    kafka_cluster.send(address.topic, *(click(second) for second in range(0, 60, 2)), partition=0)
    kafka_cluster.send(address.topic, *(click(second) for second in range(1, 60, 2)), partition=2)
    feed = make_feed(chunk_rows=20)
    assert feed.lag() == SourceLag()  # nobody reads
    reading, n_taken = start(feed), 0
    while n_taken < 60:
        n_taken += next(reading).events.num_rows
        # A chunk counts as taken once the next one is asked for: by then it is in the log.
        assert 60 - n_taken <= feed.lag().n_unread <= 60 - n_taken + 20
    kafka_cluster.send(address.topic, click(61), click(62), partition=1)
    assert feed.lag().n_unread >= 2
    reading.close()
    assert feed.lag() == SourceLag()


def test_large_messages_are_read_on_only_when_those_before_were_taken(
    make_feed, kafka_cluster, address, monkeypatch
):
    """Count messages alone, and a topic of large ones is read into memory by the thousands."""
    monkeypatch.setattr(reader, "MOST_WAITING_BYTES", 20_000)
    kafka_cluster.send(address.topic, *(click(second, note="x" * 5_000) for second in range(40)), partition=0)
    fed = read(make_feed(), 40)
    assert users(fed) == [f"u{second}" for second in range(40)]
    assert max(each.events.num_rows for each in fed) <= 8


def test_what_a_consumer_is_handed_while_it_asks_for_the_reason_of_a_fault_is_read_again(address):
    """Let it go, and a message is lost whenever a broker does not say which partitions there are."""
    message = SimpleNamespace(error=lambda: None, topic=lambda: "t", partition=lambda: 3, offset=lambda: 17)
    sought = []
    client = SimpleNamespace(poll=lambda _: message, seek=lambda to: sought.append((to.partition, to.offset)))
    with pytest.raises(DeploymentError, match="no answer"):
        Brokers(address, Properties({}))._asked(client, lambda: None, "looking")
    assert sought == [(3, 17)]
