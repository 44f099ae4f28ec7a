"""The contract of an event log: every implementation passes these tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtrec.events.cleaning import DeadLetter
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.kafka.log import KafkaLog
from rtrec.events.log import Control, Cut, EventLog
from rtrec.events.schema import EVENT_SCHEMA, empty_events

NOW = datetime(2024, 5, 1, 10, tzinfo=UTC)

Open = Callable[[], EventLog]


def events(first: int, n: int) -> pa.Table:
    """Return events number ``first`` to ``first + n - 1``; everything in them follows from the number."""
    numbers = range(first, first + n)
    return pa.table(
        [
            [f"e{number}" for number in numbers],
            [f"user {number % 7}" for number in numbers],
            [f"item {number % 5}" for number in numbers],
            [NOW + timedelta(seconds=number) for number in numbers],
            ["view" if number % 2 else "rating" for number in numbers],
            [None if number % 2 else number / 2 for number in numbers],
            [None if number % 3 else f'{{"basket": {number}}}' for number in numbers],
        ],
        schema=EVENT_SCHEMA,
    )


@pytest.fixture(params=["embedded", "kafka"])
def make_log(tmp_path: Path, request) -> Iterator[Callable[..., Open]]:
    """Return a function that makes room for a new log, and returns one that opens it, each time the same."""
    opened: list[EventLog] = []
    numbers = count()
    if request.param == "kafka":
        cluster = request.getfixturevalue("kafka_cluster")

    def make(*, partitions: int) -> Open:
        path = tmp_path / f"log {next(numbers)}" / "events.sqlite"
        options = {"partitions": partitions, "clock": lambda: NOW}
        if request.param == "embedded":
            kind, place = EmbeddedLog, ()
        else:
            kind, place = KafkaLog, (cluster.brokers(cluster.new_topic()),)

        def open_it() -> EventLog:
            opened.append(kind(path, *place, **options))
            return opened[-1]

        return open_it

    yield make
    for log in opened:
        log.close()


@pytest.fixture
def open_log(make_log) -> Open:
    """Return a function that opens the same log of two partitions each time."""
    return make_log(partitions=2)


def test_a_new_log_is_empty(open_log):
    log = open_log()

    assert log.partitions == 2
    assert log.ends() == (0, 0)
    assert log.read(1, 0).equals(empty_events())
    assert log.position("ratings.csv") == 0
    assert log.cleaning_counts("ratings.csv") == {}
    assert (log.cuts(), log.controls(), log.dead_letters(), log.dead_letter_counts()) == ([], [], [], {})
    assert list(log.recent_event_ids(5)) == []


def test_events_come_back_as_they_went_in(open_log):
    log = open_log()

    assert log.append([events(0, 5), empty_events()]) == (5, 0)
    assert log.append([events(5, 1), events(6, 3)]) == (6, 3)

    assert log.ends() == (6, 3)
    assert log.read(0, 0).equals(events(0, 6))
    assert log.read(1, 0).equals(events(6, 3))
    assert log.read(0, 3, 6).equals(events(3, 3))
    assert log.read(0, 4, 4).equals(empty_events())
    assert log.read(0, 6).equals(empty_events())


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=6), data=st.data())
def test_any_range_is_the_same_range_of_what_was_appended(make_log, sizes, data):
    open_it = make_log(partitions=1)
    log = open_it()
    for number, size in enumerate(sizes):
        log.append([events(sum(sizes[:number]), size)])
    total = sum(sizes)
    start = data.draw(st.integers(0, total), "start")
    stop = data.draw(st.integers(start, total), "stop")
    border = data.draw(st.integers(0, total), "compacted up to")

    log.compact([border], log.cut([total], 0).seq)
    log.close()
    log = open_it()  # and has nothing in memory

    assert log.read(0, start, stop).equals(events(start, stop - start))
    log.close()


def test_a_log_in_several_chunks_reads_as_one(open_log):
    log = open_log()
    chunked = pa.concat_tables([events(0, 2), events(2, 3)])

    log.append([chunked, empty_events()])

    assert log.read(0, 1, 4).equals(events(1, 3))


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (4, None), (-1, 2), (2, 1)])
def test_offsets_that_the_log_does_not_have_are_refused(open_log, start, stop):
    log = open_log()
    log.append([events(0, 3), empty_events()])

    with pytest.raises(ValueError, match="partition 0 ends at 3"):
        log.read(0, start, stop)


def test_a_partition_that_does_not_exist_is_refused(open_log):
    with pytest.raises(ValueError, match="partitions 0 to 1"):
        open_log().read(2, 0)


def test_what_is_no_event_table_is_refused_and_nothing_is_kept(open_log):
    log = open_log()
    without_kind = events(0, 2).drop_columns(["kind"])
    null_user = events(0, 2).set_column(1, EVENT_SCHEMA.field("user_id"), pa.array(["u", None]))
    unknown_kind = events(0, 2).set_column(4, EVENT_SCHEMA.field("kind"), pa.array(["view", "stare"]))

    with pytest.raises(ValueError, match="partition 1: expected an event table"):
        log.append([events(0, 2), without_kind])
    with pytest.raises(ValueError, match="partition 1: 1 events without user_id"):
        log.append([events(0, 2), null_user])
    with pytest.raises(ValueError, match="partition 1: unknown kind 'stare'; the kinds are view, click"):
        log.append([events(0, 2), unknown_kind])
    with pytest.raises(ValueError, match="expected 2 event tables"):
        log.append([events(0, 2)])
    assert log.ends() == (0, 0)


# ------------------------------------------------------------------------------------- sources, dead letters


def test_position_counts_and_dead_letters_commit_with_the_events(open_log):
    log = open_log()
    letter = DeadLetter("ratings.csv", 3, "missing user", "userId", '{"userId": ""}')
    log.append(
        [events(0, 2), empty_events()],
        source="ratings.csv",
        position=3,
        counts={"accepted": 2, "missing user": 1},
        dead_letters=[letter],
    )
    log.append([empty_events(), events(2, 1)], source="clicks.jsonl", position=1)
    log.close()

    log = open_log()

    assert log.position("ratings.csv") == 3
    assert log.cleaning_counts("ratings.csv") == {"accepted": 2, "missing user": 1}
    assert log.position("clicks.jsonl") == 1
    (stored,) = log.dead_letters()
    assert (stored.time, stored.source, stored.row, stored.reason, stored.column, stored.payload) == (
        NOW,
        "ratings.csv",
        3,
        "missing user",
        "userId",
        '{"userId": ""}',
    )


def test_a_position_never_goes_back(open_log):
    log = open_log()
    log.append([events(0, 5), empty_events()], source="ratings.csv", position=5)

    with pytest.raises(ValueError, match=r"'ratings.csv': position 4 lies before 5"):
        log.append([events(5, 1), empty_events()], source="ratings.csv", position=4)

    assert log.ends() == (5, 0)


def test_a_source_of_several_parts_has_a_position_in_each(open_log):
    log = open_log()
    log.append([events(0, 2), empty_events()], source="clicks", position={"0": 7})
    log.append([events(2, 1), empty_events()], source="clicks", position={"0": 7, "3": 1})
    log.close()

    log = open_log()

    assert log.position("clicks") == {"0": 7, "3": 1}
    for back in ({"0": 6, "3": 2}, {"0": 8}, 9):
        with pytest.raises(ValueError, match="lies before"):
            log.append([events(3, 1), empty_events()], source="clicks", position=back)
    assert log.ends() == (3, 0)


@pytest.mark.parametrize("options", [{"source": "f"}, {"position": 1}, {"counts": {"accepted": 1}}])
def test_a_position_without_its_source_is_refused(open_log, options):
    with pytest.raises(ValueError, match="go together"):
        open_log().append([events(0, 1), empty_events()], **options)


def test_dead_letters_are_listed_by_reason_latest_last(open_log):
    log = open_log()
    letters = [DeadLetter("f", row, "odd" if row % 2 else "even", "c", "{}") for row in range(1, 8)]
    log.append([empty_events(), empty_events()], dead_letters=letters)

    assert [each.row for each in log.dead_letters(limit=3)] == [5, 6, 7]
    assert [each.row for each in log.dead_letters(limit=2, reason="even")] == [4, 6]
    assert log.dead_letter_counts() == {"even": 3, "odd": 4}


def test_a_dead_letter_may_hold_any_text(open_log):
    log = open_log()
    log.append([empty_events()] * 2, dead_letters=[DeadLetter("f", 1, "r", "c", "null \0 half \ud800 end")])

    assert log.dead_letters()[0].payload == "null \0 half \\ud800 end"


def test_recent_event_ids_are_the_last_ones_even_from_the_history(open_log):
    log = open_log()
    for first in range(0, 9, 3):
        log.append([events(first, 3), empty_events()])
    log.compact((6, 0), log.cut((9, 0), 0).seq)

    assert list(log.recent_event_ids(2)) == ["e7", "e8"]
    assert list(log.recent_event_ids(5)) == ["e4", "e5", "e6", "e7", "e8"]
    assert list(log.recent_event_ids(100)) == [f"e{number}" for number in range(9)]
    assert list(log.recent_event_ids(0)) == []


def test_recent_event_ids_come_from_all_partitions_of_the_history(open_log):
    log = open_log()
    for first in range(0, 12, 4):
        log.append([events(first, 2), events(first + 2, 2)])
    log.compact((6, 6), log.cut((6, 6), 0).seq)

    assert sorted(log.recent_event_ids(4)) == ["e10", "e11", "e8", "e9"]


def test_recent_event_ids_are_shared_as_the_events_of_the_history_are(open_log):
    log = open_log()
    log.append([events(0, 6), events(6, 2)])
    log.compact((6, 2), log.cut((6, 2), 0).seq)

    # Of 4, partition 0 gives 4 * 6/8 and partition 1 gives 4 * 2/8.
    assert sorted(log.recent_event_ids(4)) == ["e3", "e4", "e5", "e7"]
    assert len(list(log.recent_event_ids(100))) == 8


# ------------------------------------------------------------------------------------- controls and cuts


def test_controls_come_back_in_order(open_log):
    log = open_log()
    first = log.append_control({"control": "settings", "changes": {"ring_length": 20}})
    second = log.append_control({"control": "undo", "of": (0, 1)})
    log.close()

    log = open_log()

    assert first == Control(0, NOW, {"control": "settings", "changes": {"ring_length": 20}})
    assert second.body == {"control": "undo", "of": [0, 1]}
    assert log.controls() == [first, second]
    assert log.controls(1) == [second]
    assert log.controls(0, 1) == [first]
    with pytest.raises(ValueError, match="the controls end at offset 2"):
        log.controls(0, 3)


def test_a_control_that_is_not_json_is_refused(open_log):
    log = open_log()

    with pytest.raises(TypeError, match="not JSON serializable"):
        log.append_control({"when": NOW})
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.append_control({"rate": float("nan")})
    assert log.controls() == []


def test_cuts_are_numbered_and_survive(open_log):
    log = open_log()
    log.append([events(0, 5), events(5, 5)])
    log.append_control({"control": "settings", "changes": {}})
    made = [log.cut((2, 0), 0), log.cut((2, 3), 1), log.cut((5, 5), 1)]
    log.close()

    log = open_log()

    assert made == [Cut(1, (2, 0), 0), Cut(2, (2, 3), 1), Cut(3, (5, 5), 1)]
    assert log.cuts() == made
    assert log.cuts(after=2) == made[2:]
    assert log.cuts(after=3) == []
    with pytest.raises(ValueError, match="last cut is 3; asked for those after 4"):
        log.cuts(after=4)


@pytest.mark.parametrize(
    ("ends", "controls", "message"),
    [
        ((1, 3), 1, "end of partition 0 between 2 and 5; got 1"),
        ((2, 6), 1, "end of partition 1 between 3 and 5; got 6"),
        ((5, 5), 0, "controls between 1 and 2; got 0"),
        ((5, 5), 3, "controls between 1 and 2; got 3"),
        ((5,), 1, "expected 2 ends"),
    ],
)
def test_a_cut_that_shrinks_or_runs_ahead_is_refused(open_log, ends, controls, message):
    log = open_log()
    log.append([events(0, 5), events(5, 5)])
    log.append_control({})
    log.append_control({})
    log.cut((2, 3), 1)

    with pytest.raises(ValueError, match=message):
        log.cut(ends, controls)

    assert log.cuts() == [Cut(1, (2, 3), 1)]


# ------------------------------------------------------------------------------------- compaction


def test_compacted_events_read_as_before(open_log):
    log = open_log()
    for first in range(0, 20, 4):
        log.append([events(first, 2), events(first + 2, 2)])
    before = [log.read(0, 0), log.read(1, 0)]

    log.compact((10, 3), log.cut((10, 5), 0).seq)
    log.append([events(20, 3), empty_events()])

    assert log.read(0, 0, 10).equals(before[0])
    assert log.read(1, 0).equals(before[1])
    assert log.read(0, 9).equals(pa.concat_tables([before[0].slice(9), events(20, 3)]))
    assert log.ends() == (13, 10)
    assert log.cuts() == [Cut(1, (10, 5), 0)]


def test_compacting_twice_does_nothing_more(open_log):
    log = open_log()
    log.append([events(0, 3), events(3, 3)])
    seq = log.cut((3, 3), 0).seq

    assert len(log.compact((3, 3), seq)) == 2
    assert log.compact((3, 3), seq) == []
    assert log.compact((0, 0), seq) == []


def test_only_what_a_cut_covers_is_compacted(open_log):
    log = open_log()
    log.append([events(0, 3), events(3, 3)])
    log.cut((3, 1), 0)

    with pytest.raises(ValueError, match="end of partition 1 between 0 and 1; got 2"):
        log.compact((3, 2), 1)
    with pytest.raises(ValueError, match="at cut 2: the last cut is 1"):
        log.compact((0, 0), 2)


def test_a_closed_log_says_so(open_log):
    log = open_log()
    log.close()
    log.close()

    with pytest.raises(ValueError, match="closed"):
        log.ends()
