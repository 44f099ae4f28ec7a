"""Dead letters tried again: once, whatever happens in between; the rest wait with their new reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from rtrec.errors import DeploymentError, InputError
from rtrec.events.cleaning import Cleaner
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.letters import DeadLetter
from rtrec.events.log import Refusal
from rtrec.events.mapping import ColumnMapping
from rtrec.events.parsing import RawColumn
from rtrec.events.recorded_log import RecordedLog
from rtrec.events.redriving import Redriven, redrive
from rtrec.events.schema import empty_events
from rtrec.events.watermark import Watermark
from rtrec.failpoints import VARIABLE

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
MAPPING = ColumnMapping("user", "item", "time", kind="kind")
GERMAN = replace(MAPPING, time_format="%d.%m.%Y %H:%M")
GOOD = {"user": "anna", "item": "7", "time": "2024-05-01T10:00:00Z", "kind": "view", "id": "e1"}


@pytest.fixture(params=["embedded", "kafka"])
def log(request: pytest.FixtureRequest, tmp_path: Path):
    path, options = tmp_path / "log" / "events.sqlite", {"partitions": 2, "clock": lambda: NOW}
    if request.param == "embedded":
        log = EmbeddedLog(path, **options)
    else:
        from rtrec.events.kafka.log import KafkaLog

        cluster = request.getfixturevalue("kafka_cluster")
        log = KafkaLog(path, cluster.brokers(cluster.new_topic()), **options)
    yield log
    log.close()


def cleaner(mapping: ColumnMapping = MAPPING, **options) -> Cleaner:
    return Cleaner(mapping, source="shop.csv", clock=lambda: NOW, **options)


def feed(log: RecordedLog, *changes: dict, mapping: ColumnMapping = MAPPING, **options) -> None:
    """Clean rows as a run does, and append what comes of them."""
    clean = cleaner(mapping, **options)
    batch = clean.clean(pd.DataFrame([GOOD | each for each in changes], dtype=object), 1)
    log.append(
        [batch.events, empty_events()],
        source="shop.csv",
        position=len(changes),
        counts=clean.counts,
        dead_letters=batch.dead_letters,
    )


def ids_in(log: RecordedLog) -> list[str]:
    return sorted(each for partition in range(2) for each in log.read(partition, 0)["event_id"].to_pylist())


def test_what_is_an_event_now_is_appended_and_waits_no_more(log):
    feed(log, {}, {"time": "01.05.2024 09:00"}, {"time": "01.05.2024 09:01", "user": "ben"}, {"time": "soon"})
    outcome = redrive(log, cleaner(GERMAN))
    assert outcome == Redriven(n_events=2, still_bad={"unparsable time": 1})
    assert ids_in(log) == ["shop.csv:1", "shop.csv:2", "shop.csv:3"]
    assert [(each.row, each.reason) for each in log.dead_letters()] == [(4, "unparsable time")]
    assert log.dead_letter_counts() == {"unparsable time": 1}
    [control] = log.controls()
    assert control.body["control"] == "redriven"
    assert control.body["n"] == 2
    starts, ends = control.body["starts"], control.body["ends"]
    assert (sum(starts), sum(ends), ends) == (1, 3, list(log.ends()))


def test_a_second_redrive_does_nothing(log):
    feed(log, {}, {"time": "01.05.2024 09:00"})
    redrive(log, cleaner(GERMAN))
    assert redrive(log, cleaner(GERMAN)) == Redriven()
    assert ids_in(log) == ["shop.csv:1", "shop.csv:2"]
    assert len(log.controls()) == 1


def test_one_that_is_still_none_gets_its_new_reason_and_none_is_said_of_it_in_the_log(log):
    feed(log, {"time": "01.05.2024 09:00", "kind": "sneeze"})
    redrive(log, cleaner(GERMAN))
    [letter] = log.dead_letters()
    assert (letter.reason, letter.column) == ("unknown kind", "kind")
    assert log.controls() == []
    assert redrive(log, cleaner(GERMAN, kind_names={"Sneeze": "view"})).n_events == 1


def test_a_dry_run_says_the_same_and_changes_nothing(log):
    feed(log, {"time": "01.05.2024 09:00"}, {"user": None})
    outcome = redrive(log, cleaner(GERMAN), dry_run=True)
    assert outcome == Redriven(n_events=1, still_bad={"missing user": 1})
    assert (ids_in(log), len(log.dead_letters()), log.controls()) == ([], 2, [])


def test_late_events_are_taken(log):
    feed(log, {}, {"time": "2024-05-01T08:00Z"}, watermark=Watermark(timedelta(hours=1)))
    assert log.dead_letter_counts() == {"late": 1}
    assert redrive(log, cleaner(), reason="late").n_events == 1
    assert ids_in(log) == ["shop.csv:1", "shop.csv:2"]


def test_reasons_and_ids_choose(log):
    feed(log, *[{"time": "01.05.2024 09:00"}] * 4, {"user": None})
    assert redrive(log, cleaner(GERMAN), ids=(2, 3)).n_events == 2
    assert redrive(log, cleaner(GERMAN), reason="missing user") == Redriven(still_bad={"missing user": 1})
    assert [each.row for each in log.dead_letters()] == [1, 4, 5]


def test_an_id_that_came_meanwhile_is_not_taken_again_and_waits_no_more(log):
    by_id = replace(MAPPING, event_id="id")
    feed(log, {"id": "a", "user": None}, {"id": "b", "user": None}, {"id": "a"}, mapping=by_id)
    edited = {1: GOOD | {"id": "a"}, 2: GOOD | {"id": "b"}}
    outcome = redrive(log, cleaner(by_id), edited=edited)
    assert outcome == Redriven(n_events=1, left_out={"duplicate id": 1})
    assert ids_in(log) == ["a", "b"]
    assert log.dead_letters() == []


def test_edited_rows_are_taken_as_they_are_now_and_no_others_are_tried(log):
    feed(log, {"user": None}, {"time": "2024-05-01T09:00", "item": ""})
    assert redrive(log, cleaner(), edited={2: GOOD | {"item": "9"}}) == Redriven(n_events=1)
    assert [each.row for each in log.dead_letters()] == [1]


def test_a_row_that_could_not_be_read_can_be_tried_once_it_can(log):
    letters = [
        DeadLetter("shop.jsonl", 5, "unparsable row", "", json.dumps(GOOD), "line"),
        DeadLetter("shop.csv", 6, "unparsable row", "", "anna,7", "line"),
    ]
    log.append([empty_events()] * 2, dead_letters=letters)
    outcome = redrive(log, cleaner())
    assert outcome == Redriven(n_events=1, still_bad={"unparsable row": 1})
    assert ids_in(log) == ["shop.jsonl:5"]


def test_a_row_on_which_our_own_code_failed_comes_back_once_that_is_mended(log, monkeypatch):
    def buggy(self, mapping, read=RawColumn.microseconds):
        times = read(self, mapping)
        if (times == 1_714_557_540e6).any():  # 2024-05-01 09:59 UTC
            raise TypeError("cannot compare apples with pears")
        return times

    monkeypatch.setattr(RawColumn, "microseconds", buggy)
    feed(log, {}, {"time": "2024-05-01T09:59Z", "user": "ben"}, {"user": None})
    assert log.dead_letter_counts() == {"missing user": 1, "raised: TypeError": 1}
    chosen = {"reason": "raised: TypeError"}
    assert redrive(log, cleaner(), **chosen) == Redriven(still_bad={"raised: TypeError": 1})
    assert log.dead_letters()[0].detail == "cannot compare apples with pears"
    monkeypatch.undo()
    assert redrive(log, cleaner(), **chosen) == Redriven(n_events=1)
    assert ids_in(log) == ["shop.csv:1", "shop.csv:2"]
    assert log.dead_letter_counts() == {"missing user": 1}


@pytest.mark.parametrize("size", [3_000, 60_000])
def test_a_long_row_comes_back_whole(log, size):
    feed(log, {"item": "x" * size, "time": "01.05.2024 09:00"})
    assert len(log.dead_letters()[0].payload) > size
    assert redrive(log, cleaner(GERMAN)).n_events == 1
    events = [item for partition in range(2) for item in log.read(partition, 0)["item_id"].to_pylist()]
    assert events == ["x" * size]


def test_a_row_that_was_too_large_to_keep_is_said_to_be_so(log):
    feed(log, {"item": "x" * 70_000})
    outcome = redrive(log, cleaner())
    assert outcome == Redriven(still_bad={"oversize field": 1}, n_cut=1)
    assert log.dead_letters()[0].kept == "part"


def test_a_part_is_not_taken_for_the_whole_though_it_reads_as_one(log):
    letter = DeadLetter("shop.jsonl", 5, "unparsable row", "", json.dumps(GOOD), "part")
    log.append([empty_events()] * 2, dead_letters=[letter])
    assert redrive(log, cleaner()) == Redriven(still_bad={"unparsable row": 1}, n_cut=1)


def test_a_column_that_no_row_has_is_an_error_and_changes_no_letter(log):
    feed(log, {"time": "01.05.2024 09:00"})
    with pytest.raises(InputError, match=r"no column 'tim'.*did you mean 'time'"):
        redrive(log, cleaner(replace(GERMAN, time="tim")))
    assert log.dead_letter_counts() == {"unparsable time": 1}


def test_letters_go_in_batches_and_all_of_them(log):
    feed(log, *[{"time": "01.05.2024 09:00", "user": f"u{row}"} for row in range(25)], {"user": None})
    assert redrive(log, cleaner(GERMAN), batch=4).n_events == 25
    assert len(ids_in(log)) == 25
    assert log.dead_letter_counts() == {"missing user": 1}
    assert sum(each.body["n"] for each in log.controls()) == 25


def test_of_two_redrives_at_once_one_takes_a_letter(log):
    feed(log, {"user": None}, {"user": None})
    events = cleaner().clean(pd.DataFrame([GOOD], dtype=object), 1).events
    log.redrive([events, empty_events()], [1], {})
    with pytest.raises(DeploymentError, match="1 of these dead letters do not wait any more"):
        log.redrive([events, empty_events()], [1], {2: Refusal("late", "time", "")})
    assert sum(log.ends()) == 1
    assert [each.reason for each in log.dead_letters()] == ["missing user"]


KILLED = """
import sys
from pathlib import Path
from tests.events.test_redriving import GERMAN, cleaner
from rtrec.events.opening import open_log
from rtrec.events.redriving import redrive
log = open_log(Path(sys.argv[1]), sys.argv[2] or None, mode="join")
print("ready", flush=True)
redrive(log, cleaner(GERMAN), batch=3)
"""


@pytest.mark.slow
def test_killed_in_the_midst_it_neither_loses_nor_doubles(log):
    """Mark letters in another transaction than the one that appends, and this fails."""
    n = 900
    feed(log, *[{"time": "01.05.2024 09:00", "user": f"u{row}"} for row in range(n)])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(log.path), log.at or ""], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    process.stdout.readline()
    while process.poll() is None and not sum(log.ends()):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    done = sum(log.ends())
    assert 0 < done < n, "it was killed too late: give it more to do"
    assert redrive(log, cleaner(GERMAN)).n_events == n - done
    assert ids_in(log) == sorted(f"shop.csv:{row}" for row in range(1, n + 1))
    assert log.dead_letters() == []


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "done"), [("log.keep=kill-after@2", 3), ("log.redrive=kill-after@2", 6)])
def test_killed_before_or_behind_the_journal_names_them_they_are_events_once(log, moment, done):
    """Mark letters before their events are kept, and this fails.

    Of nine letters three are taken at a time. With Kafka the first moment lies between topic and journal.
    """
    feed(log, *[{"time": "01.05.2024 09:00", "user": f"u{row}"} for row in range(9)])
    command = [sys.executable, "-c", KILLED, str(log.path), log.at or ""]
    killed = subprocess.run(
        command, cwd=ROOT, env=os.environ | {VARIABLE: moment}, stdout=subprocess.PIPE, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert (sum(log.ends()), len(log.dead_letters()), len(log.controls())) == (done, 9 - done, done // 3)
    assert redrive(log, cleaner(GERMAN)).n_events == 9 - done
    assert ids_in(log) == [f"shop.csv:{row}" for row in range(1, 10)]
    assert log.dead_letters() == []
