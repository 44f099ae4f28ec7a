"""The history as a Dask frame, from a log of which part is compacted."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rtrec.errors import CorruptionError
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.kafka.log import KafkaLog
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.features.historical.frame import before, frame_of_events, frame_of_log, moment_after
from rtrec.settings import Settings
from tests.features.historical.conftest import seconds, table_of

WEIGHTS = Settings(weight_buy=3.0).kind_weights()


@pytest.fixture
def log(tmp_path):
    log = EmbeddedLog(tmp_path / "log" / "events.sqlite", partitions=2)
    for day in range(6):
        parts = [
            table_of([("u", f"i{day}", day, "buy", 1.5)]),
            table_of([("v", f"i{day}", day), ("w", "x", day)]),
        ]
        log.append(parts)
    log.cut((4, 8), 0)
    log.compact((4, 6), 1)
    yield log
    log.close()


def test_compacted_and_recent_events_are_one_frame_up_to_the_ends(log):
    frame = frame_of_log(log, (6, 11), WEIGHTS)
    assert frame.npartitions == 4  # a file and a rest of each partition
    rows = frame.compute()
    assert rows["item_id"].tolist() == [
        *(f"i{day}" for day in range(6)), *(item for day in range(5) for item in (f"i{day}", "x")), "i5",
    ]  # fmt: skip
    assert rows["offset"].tolist() == [*range(6), *range(11)]
    assert rows["partition"].tolist() == [0] * 6 + [1] * 11
    assert rows["weight"].tolist() == [3.0] * 6 + [1.0] * 11
    assert rows["timestamp"].iloc[5] == seconds(5)
    assert rows["value"].iloc[0] == 1.5
    assert np.isnan(rows["value"].iloc[6])


def test_events_in_kafka_are_read_by_the_tasks_themselves(tmp_path, kafka_cluster):
    log = KafkaLog(tmp_path / "log.sqlite", kafka_cluster.brokers(kafka_cluster.new_topic()), partitions=1)
    for day in range(4):
        log.append([table_of([("u", f"i{day}", day)])])
    log.cut((4,), 0)
    log.compact((2,), 1)

    frame = frame_of_log(log, (4,), WEIGHTS)

    log.close()
    assert frame.npartitions == 2
    assert frame.compute()["item_id"].tolist() == [f"i{day}" for day in range(4)]


def test_ends_inside_a_file_cut_it(log):
    assert frame_of_log(log, (2, 3), WEIGHTS).compute()["offset"].tolist() == [0, 1, 0, 1, 2]


def test_a_damaged_file_is_noticed_and_named(log):
    file = log.history()[0]
    content = bytearray(file.path.read_bytes())
    content[len(content) // 2] ^= 1
    file.path.write_bytes(content)
    with pytest.raises(CorruptionError, match="expected checksum"):
        frame_of_log(log, (6, 11), WEIGHTS).compute()


def test_the_moment_itself_is_not_before():
    frame = frame_of_events(table_of([("u", "a", 1.0), ("u", "b", 2.0)]), WEIGHTS)
    assert before(frame, seconds(2)).compute()["item_id"].tolist() == ["a"]
    assert len(before(frame, moment_after(frame)).compute()) == 2


def test_no_event_has_no_moment_after_it():
    with pytest.raises(ValueError, match="expected at least one event"):
        moment_after(frame_of_events(EVENT_SCHEMA.empty_table(), WEIGHTS))


def test_weights_are_one_a_kind():
    with pytest.raises(ValueError, match="kind_weight: expected one for each of 8 kinds; got 1"):
        frame_of_events(table_of([("u", "a", 1.0)]), (1.0,))


def test_an_unknown_kind_is_refused():
    events = table_of([("u", "a", 1.0)])
    place = EVENT_SCHEMA.get_field_index("kind")
    odd = events.set_column(place, EVENT_SCHEMA.field(place), pa.array(["glance"]))
    with pytest.raises(ValueError, match="glance"):
        frame_of_events(odd, WEIGHTS).compute()


def test_slices_of_one_table_are_not_taken_for_each_other():
    events = table_of([("u", f"i{day}", float(day)) for day in range(6)])
    frames = [frame_of_events(events.slice(0, n), WEIGHTS) for n in (2, 4, 6)]
    assert [len(frame.compute()) for frame in frames] == [2, 4, 6]
