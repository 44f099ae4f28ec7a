"""A live run and its source: what pauses it, what it refuses as late, and letters that come back."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.clock import utc_now
from rtrec.engine.deployment import Deployment
from rtrec.engine.intake import resume
from rtrec.engine.live import LiveRun
from rtrec.engine.status import Phase
from rtrec.errors import DeploymentError
from rtrec.events.cleaning import Cleaner
from rtrec.events.feeds import FileFeed
from rtrec.events.mapping import ColumnMapping
from rtrec.events.redriving import redrive
from rtrec.events.sources import FileSource
from tests.engine.live_runs import assert_same, state, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MAPPING = ColumnMapping("user", "item", "time", event_id="id", time_unit="s")


def rows(n: int, *, out_of_order_s: float = 0.0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    late = np.where(rng.random(n) < 0.2, rng.exponential(out_of_order_s or 1.0, n), 0.0)
    late *= out_of_order_s > 0
    return [
        {
            "id": f"e{row}",
            "user": f"u{rng.integers(40)}",
            "item": f"i{rng.integers(60)}",
            "time": 1e9 + 60 * row - float(late[row]),
        }
        for row in range(n)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def start(home: Path, path: Path, *, lateness: timedelta | None = None, chunk_rows: int = 500, **options):
    feed = FileFeed(FileSource(path, MAPPING, chunk_rows=chunk_rows), lateness=lateness)
    return LiveRun.start(home, feed, **{"warmup": 500, "processes": False, "snapshot_every": 700} | options)


def log_of(home: Path):
    return Deployment(home).open_log(mode="read")


@pytest.fixture
def flooded(tmp_path: Path) -> Path:
    """Return a file of 6,000 rows, of which 2,000 to 2,999 have a time that nobody can read."""
    found = rows(6000)
    for each in found[2000:3000]:
        each["time"] = "soon"
    return write(tmp_path / "log.jsonl", found)


def test_a_flood_of_bad_rows_pauses_the_source_until_it_is_resumed(tmp_path: Path, flooded: Path) -> None:
    with start(tmp_path / "home", flooded) as run:
        until(lambda: run.status().phase is Phase.PAUSED, within_s=60)
        status = run.status()
        assert "201 of the last 1,000 rows cannot be events (unparsable time 201)" in status.message
        assert "row 2,201, column 'time', unparsable time" in status.message
        [alarm] = status.alarms
        assert (alarm.kind, alarm.sentence) == ("pause", status.message)
        with pytest.raises(DeploymentError, match=r"paused: log\.jsonl: 201 of the last"):
            run.result(60)
        log = log_of(tmp_path / "home")
        assert log.position("log.jsonl") == 2500  # to the end of the chunk, and no further
        while run.status().phase is Phase.PAUSED:  # what is left of it is a flood again
            run.resume()
            until(lambda: run.status().phase in (Phase.PAUSED, Phase.FINISHED), within_s=60)
        assert run.result(60)["events"] == 5000
        assert run.summary()["counts"] == {"accepted": 5000, "unparsable time": 1000}
        log.close()


def test_a_pause_outlives_a_restart_and_is_ended_from_outside_or_by_accepting_all(
    tmp_path: Path, flooded: Path
) -> None:
    home = tmp_path / "home"
    with start(home, flooded) as run:
        until(lambda: run.status().phase is Phase.PAUSED, within_s=60)
    log = log_of(home)
    position = log.position("log.jsonl")
    with start(home, flooded) as again:
        until(lambda: again.status().phase is Phase.PAUSED, within_s=60)
        assert log.position("log.jsonl") == position
        Deployment(home).append_control(resume())  # as `rtrec log resume` does beside a run
        until(lambda: log.position("log.jsonl") > position)
        log.close()
        until(lambda: again.status().phase in (Phase.PAUSED, Phase.FINISHED), within_s=60)
    with start(home, flooded, accept_bad=True) as last:
        assert last.result(60)["events"] == 5000


def test_a_file_of_which_no_row_is_an_event_fails_at_its_end_as_ever(tmp_path: Path) -> None:
    bad = [each | {"time": "soon"} for each in rows(3000)]
    with (
        start(tmp_path / "home", write(tmp_path / "log.jsonl", bad)) as run,
        pytest.raises(Exception, match="none of 3,000 rows is an event"),
    ):
        run.result(60)


def test_late_events_are_refused_alike_however_often_a_run_was_interrupted(tmp_path: Path) -> None:
    """Forget the watermark, or store it in another transaction than the position, and this fails."""
    path = write(tmp_path / "log.jsonl", rows(3000, out_of_order_s=2000))
    with start(tmp_path / "undisturbed", path, lateness=timedelta(minutes=30)) as run:
        expected = run.result(60)
        status = run.status()
    assert status.late == expected["counts"]["late"] > 100
    assert status.most_late_s > 1800
    assert status.watermark is not None

    for limit in (311, 990, 1500, None):
        # The lateness that was allowed at first is stored with the watermark.
        allowed = timedelta(minutes=30) if limit == 311 else None
        options = {"lateness": allowed, "limit": limit, "chunk_rows": 70, "batch_events": 90}
        with start(tmp_path / "interrupted", path, **options) as run:
            found = run.result(60)
    for name in ("events", "counts", "dead_letters", "hr@10", "ndcg@10"):
        assert found[name] == expected[name], name
    logs = [log_of(tmp_path / each) for each in ("undisturbed", "interrupted")]
    letters = [[(each.row, each.detail) for each in log.dead_letters(limit=5000)] for log in logs]
    assert letters[0] == letters[1]
    assert logs[0].watermark("log.jsonl") == logs[1].watermark("log.jsonl")
    assert_same(*(state(tmp_path / each) for each in ("undisturbed", "interrupted")))


def test_events_sent_up_to_three_times_leave_the_state_of_those_sent_once(tmp_path: Path) -> None:
    rng, once = np.random.default_rng(6), rows(1500)
    again = [each for each in once for _ in range(rng.integers(1, 4))]
    for name, sent in (("once", once), ("again", again)):
        with start(tmp_path / name, write(tmp_path / f"{name}.jsonl", sent)) as run:
            assert run.result(60)["events"] == 1500
    assert run.summary()["counts"]["duplicate id"] == len(again) - 1500
    assert_same(*(state(tmp_path / each) for each in ("once", "again")))


@pytest.mark.parametrize("shards", [1, 2])
def test_dead_letters_redriven_beside_a_run_are_learned_by_it(tmp_path: Path, shards: int) -> None:
    found = rows(2000)
    for each in found[700:720]:
        each["time"] = "10.09.2001 03:00"
    found[1999]["id"] = "e700"  # which was refused, then redriven, and is sent again
    home = tmp_path / "home"
    with start(home, write(tmp_path / "log.jsonl", found), limit=1400, shards=shards) as run:
        run.wait(60)
        before = run.status()
        assert before.dead_letters == 20
        cleaner = Cleaner(
            ColumnMapping("user", "item", "time", event_id="id", time_format="%d.%m.%Y %H:%M"),
            source="log.jsonl",
            clock=utc_now,
        )
        with Deployment(home).log_beside_a_run() as log:
            assert redrive(log, cleaner).n_events == 20
        until(lambda: run.status().events == before.events + 20)
        until(lambda: run.status().dead_letters == 0)
        assert run.status().phase is Phase.FINISHED
    with start(home, tmp_path / "log.jsonl", shards=shards) as run:
        summary = run.result(60)
    assert (summary["events"], summary["counts"]["duplicate id"]) == (1999, 1)
