"""The way back: new workers from the second attempt on, an end to attempts, patience with a scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from rtrec.engine.recovery import Recovery
from rtrec.errors import ClusterUnreachable, ShardError, WorkerLost

LOST = WorkerLost("it is gone")


class Bench:
    """Counts what is done; restoring fails as often as told."""

    def __init__(
        self, failures: Iterator[Exception | None], clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.n_restarts = self.n_restores = 0
        self._failures = failures
        self.was_going_on: list[bool] = []
        self.recovery = Recovery(self.restore, self.restart, say=lambda *_: None, monotonic=clock)

    async def restore(self) -> None:
        self.n_restores += 1
        self.was_going_on.append(self.recovery.is_going_on)
        if (error := next(self._failures)) is not None:
            raise error

    async def restart(self) -> None:
        self.n_restarts += 1


def test_the_workers_there_are_come_first_then_new_ones() -> None:
    seconds = iter([10.0, 13.5])
    bench = Bench(iter([LOST, None]), lambda: next(seconds))
    asyncio.run(bench.recovery.bring_back(LOST))
    assert (bench.n_restores, bench.n_restarts) == (2, 1)
    assert (bench.recovery.count, bench.recovery.last_s) == (2, 3.5)
    assert bench.was_going_on == [True, True]
    assert not bench.recovery.is_going_on


def test_what_takes_its_worker_with_it_each_time_ends_the_run() -> None:
    bench = Bench(repeat(LOST))
    with pytest.raises(ShardError, match="gave up after 5 attempts to recover; the last error: it is gone"):
        asyncio.run(bench.recovery.bring_back(LOST))
    assert bench.n_restores == 5
    assert not bench.recovery.is_going_on


def test_a_scheduler_that_is_away_uses_up_no_attempt_only_patience() -> None:
    seconds = chain([0.0], repeat(901.0))
    bench = Bench(repeat(ClusterUnreachable("nobody answers")), lambda: next(seconds))
    with pytest.raises(ShardError, match="gave up after 900 s: nobody answers"):
        asyncio.run(bench.recovery.bring_back(LOST))


def test_who_lost_a_worker_asks_again_once_it_is_back() -> None:
    bench = Bench(iter([None]))
    answers: Iterator[Exception | str] = iter([LOST, "an answer"])

    async def ask() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert asyncio.run(bench.recovery.surely(ask)) == "an answer"
    assert (bench.n_restores, bench.recovery.count) == (1, 1)


def test_the_first_way_to_the_state_is_no_recovery_unless_it_fails() -> None:
    for failures, count in (([None], 0), ([LOST, None], 1)):
        bench = Bench(iter(failures))
        asyncio.run(bench.recovery.start())
        assert bench.was_going_on == [True] * len(failures)
        assert (bench.recovery.count, bench.recovery.is_going_on) == (count, False)
