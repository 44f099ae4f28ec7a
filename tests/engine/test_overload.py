"""A source that is faster than learning: what waits, what is tested, and that nothing is lost."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.engine import overload
from rtrec.engine.backlog import Backlog
from rtrec.engine.live import LiveRun
from rtrec.engine.overload import Judge, OverloadPlan, seconds_ahead
from rtrec.engine.sampling import is_tested
from rtrec.errors import InputError
from rtrec.evaluation.prequential import evaluate
from rtrec.events.feeds import Fed, SyntheticFeed
from rtrec.events.lag import SourceLag
from tests.engine.live_runs import (
    CATEGORIES,
    N_TESTED,
    N_WARM,
    TITLES,
    assert_same,
    feed,
    finished,
    start,
    state,
    until,
)

BEGIN, END, LAST = 2000, 3000, N_WARM + N_TESTED


# --------------------------------------------------------------------------------------------- when to sample


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        ([0, 5, 9.9, 9.9, 9.9, 9.9, 9.9, 9.9], []),
        ([10, 11, 12, 13, 14, 15, 16], [5]),  # for 5 s: from 0 on
        ([10, 11, 12, 13, 9, 15, 16, 17, 18, 19, 20], [10]),  # it has to last
        ([10, 11, None, 13, 14, 15, 16, 17, 18, 19, 20], [8]),  # what nobody knows does not last
        ([20] * 6 + [5] * 20, [5]),  # between the bounds it stays as it is
        ([20] * 6 + [0.9] * 6, [5, 11]),
        ([20] * 6 + [0.9, 0.9, 1.0] * 6, [5]),
        ([20] * 6 + [0] * 6 + [20] * 6, [5, 11, 17]),
    ],
)
def test_only_what_lasts_changes_what_is_tested(ahead: list[float | None], expected: list[int]) -> None:
    judge, is_sampling, changed = Judge(OverloadPlan()), False, []
    for now, each in enumerate(ahead):
        if judge.wants_other(each, float(now), is_sampling=is_sampling):
            is_sampling = not is_sampling
            changed.append(now)
    assert changed == expected


@pytest.mark.parametrize(
    ("lag", "rate", "expected"),
    [
        (SourceLag(), 100.0, None),  # it waits for whoever reads it
        (SourceLag(behind_s=7.0), 0.0, 7.0),
        (SourceLag(n_unread=500), 100.0, 5.0),
        (SourceLag(n_unread=500), 0.0, None),  # nothing was learned lately: a broker may be away
        (SourceLag(n_unread=0), 0.0, 0.0),
        (SourceLag(behind_s=7.0, n_unread=500), 100.0, 7.0),
    ],
)
def test_a_source_is_as_far_ahead_as_what_waits_takes_to_learn(
    lag: SourceLag, rate: float, expected: float | None
) -> None:
    assert seconds_ahead(lag, rate) == expected


@pytest.mark.parametrize(
    "wrong",
    [{"share": 0.0}, {"share": 1.5}, {"above_s": 0.5}, {"above_s": float("nan")}, {"for_s": -1.0}],
)
def test_what_is_out_of_bounds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"got (0\.0|1\.5|0\.5|nan|-1\.0)"):
        OverloadPlan(**wrong).check()


# ------------------------------------------------------------------------------------------------- what waits


def test_a_chunk_waits_for_room_and_one_that_is_too_large_waits_alone() -> None:
    async def live() -> list[str]:
        backlog, came = Backlog(100), []

        async def append(name: str, n_logged: int, n_bytes: int) -> None:
            await backlog.room_for(n_bytes)
            backlog.add(n_logged, n_bytes)
            came.append(f"{name} at {backlog.n_bytes}")

        await append("first", 10, 60)
        second, large = (
            asyncio.create_task(append(*each)) for each in [("second", 20, 50), ("large", 30, 999)]
        )
        for learned in (9, 10, 20):
            await asyncio.sleep(0)
            backlog.learn(learned)
            came.append(f"learned {learned}")
            await asyncio.sleep(0)
        await asyncio.gather(second, large)
        waits = asyncio.create_task(append("last", 40, 1))
        await asyncio.sleep(0)
        assert not waits.done()
        backlog.open()  # the run ends
        await waits
        return came

    assert asyncio.run(live()) == [
        "first at 60",
        "learned 9",
        "learned 10",
        "second at 50",
        "learned 20",
        "large at 999",
        "last at 1000",
    ]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_run_holds_its_feed_when_so_many_bytes_wait_and_learns_all_of_it(
    tmp_path: Path, undisturbed: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_waiting: list[int] = []
    add = Backlog.add

    def count(backlog: Backlog, *chunk: int) -> None:
        add(backlog, *chunk)
        n_waiting.append(len(backlog._chunks))

    monkeypatch.setattr(Backlog, "add", count)
    assert feed().stream.events(500).nbytes > 30_000
    with start(tmp_path, overload=OverloadPlan(most_waiting_bytes=30_000)) as run:
        finished(run)
        assert n_waiting == [1] * 8  # of 500 events each, though four might wait
        assert run.status().waiting_bytes == 0
        assert run.summary()["hr@10"] == undisturbed.summary()["hr@10"]


# ---------------------------------------------------------------------------------------- what is tested then


class Ahead(SyntheticFeed):
    """A feed whose source is ahead from event ``BEGIN`` to ``END``; it waits for the run to hear of that."""

    def __init__(self) -> None:
        super().__init__(feed().stream)
        self.run: LiveRun | None = None
        self.there = threading.Event()
        self._lag = SourceLag(behind_s=0.0)

    def start(self, position: int, **options: Any) -> Iterator[Fed]:
        for fed in super().start(position, **options):
            before = fed.position - fed.events.num_rows
            if before in (BEGIN, END):
                self._change(0.0 if before == END else 12.3, before)
            yield fed

    def _change(self, behind_s: float, n_events: int) -> None:
        """Have all that was handed out learned, then change how far the source is ahead; wait for both."""
        self.there.wait(30)
        assert self.run is not None
        status = self.run.status
        until(lambda: status().events == n_events)
        self._lag = SourceLag(behind_s=behind_s)
        log = self.run._session._log
        until(lambda: len(log.controls()) == (1 if behind_s else 2))

    def lag(self) -> SourceLag:
        return self._lag


def overloaded(home: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> LiveRun:
    monkeypatch.setattr(overload, "LOOK_S", 0.01)
    ahead = Ahead()
    run = start(home, feed=ahead, overload=OverloadPlan(share=0.3, for_s=0.0), **options)
    ahead.run = run
    ahead.there.set()
    return run


def expected_tested() -> np.ndarray:
    offsets = np.arange(N_WARM, LAST)
    return offsets[(offsets < BEGIN) | (offsets >= END) | is_tested(offsets, 0.3)]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        overloaded(tmp_path_factory.mktemp("o"), monkeypatch) as run,
    ):
        yield finished(run)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_all_is_learned_a_share_is_tested_and_it_is_said_from_when_to_when(
    sampled: LiveRun, undisturbed: LiveRun
) -> None:
    status, summary = sampled.status(), sampled.summary()
    assert (status.events, status.tested, status.tested_share) == (LAST, len(expected_tested()), 1.0)
    [stretch] = summary["sampled"]
    assert (stretch["share"], stretch["start"], stretch["end"]) == (0.3, BEGIN, END)
    assert stretch["reason"] == "the source was 12 s ahead"
    assert summary["lag"] == summary["waiting_bytes"] == 0
    [alarm] = [each for each in status.alarms if each.kind == "sample"]
    assert alarm.sentence.startswith("30% of the events 2,000 to 2,999 were tested (")
    n_tested = sampled._session._driver.ledger.history.total().n_tested
    assert n_tested == len(expected_tested())
    tables, of_all = (
        {name: each for name, each in state(run.deployment.home).items() if name.startswith("items/")}
        for run in (sampled, undisturbed)
    )
    assert_same(tables, of_all)
    assert summary["hr@10"] != undisturbed.summary()["hr@10"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_replay_of_the_log_tests_the_same_events(sampled: LiveRun, tmp_path: Path) -> None:
    home = shutil.copytree(
        sampled.deployment.home, tmp_path / "copy", ignore=shutil.ignore_patterns("*lock*")
    )
    shutil.rmtree(home / "snapshots")
    with LiveRun.start(home, None, processes=False) as again:
        finished(again)
        assert again.summary()["hr@10"] == sampled.summary()["hr@10"]
        assert again.summary()["sampled"] == sampled.summary()["sampled"]
    assert_same(state(sampled.deployment.home), state(home))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_what_if_compares_on_the_events_that_were_tested(sampled: LiveRun) -> None:
    same = sampled.preview({"learning_rate": 0.05}, n_events=2500).result(60)
    assert same.n_tested == int((expected_tested() >= LAST - 2500).sum())
    assert same.difference("hit_rate").value == 0.0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_shards_that_come_back_amid_a_stretch_and_two_of_them_end_as_the_log_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with overloaded(home, monkeypatch, shards=2, snapshot_every=1100, batch_events=130) as run:
        until(lambda: run.status().tested_share < 1.0 and run.status().events > BEGIN)
        run._ask(lambda session: restart(session)).result(60)
        finished(run)
        assert run.status().recoveries == 0
        found = run.summary()
        assert found["tested"] == len(expected_tested())
    copy = shutil.copytree(home, tmp_path / "copy", ignore=shutil.ignore_patterns("*lock*"))
    shutil.rmtree(copy / "snapshots")
    with LiveRun.start(copy, None, shards=2, processes=False) as again:
        assert finished(again).summary()["hr@10"] == found["hr@10"]
    assert_same(state(home), state(copy))


async def restart(session: Any) -> None:
    async with session._lock:
        await session._driver.recovery.restart()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("plan", [OverloadPlan(share=1.0, for_s=0.0), OverloadPlan(for_s=0.0)])
def test_what_is_switched_off_or_waits_when_it_has_to_is_tested_in_full(
    plan: OverloadPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overload, "LOOK_S", 0.01)
    # The first of these has a pace it cannot keep, the second has none.
    speed = 1e9 if plan.share == 1.0 else None
    with start(tmp_path, limit=1000, speed=speed, overload=plan) as run:
        summary = finished(run).summary()
        assert run._session._log.controls() == []
    evaluation = evaluate(
        feed().stream.events(N_WARM + 1000),
        models="default",
        warmup=N_WARM / (N_WARM + 1000),
        texts=TITLES,
        categories=CATEGORIES,
    )
    assert (summary["tested"], summary["sampled"]) == (1000, [])
    assert summary["hr@10"] == evaluation["default"].hit_rate


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_next_run_begins_with_all_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = overloaded(tmp_path, monkeypatch)
    until(lambda: run.status().tested_share < 1.0)
    run._session._failure = RuntimeError("killed")  # ends without lifting anything
    run.stop()
    with start(tmp_path, limit=N_TESTED) as again:
        assert finished(again).status().tested_share == 1.0
        [stretch] = again.status().stretches
        assert stretch.end == again.status().events - again.status().run_events
