"""Workers that end in all the ways there are, and a scheduler that goes away: one way back, the same result.

Take the replay of the journal out of ``Driver._restore``, or the check of the sequence out of ``Shard.step``,
and these fail.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

from rtrec.engine.cluster import Workers
from rtrec.engine.live import LiveRun
from rtrec.engine.shard import Shard
from rtrec.engine.status import Phase
from rtrec.engine.waiting import Silence, answer_of
from rtrec.errors import ClusterUnreachable, WorkerLost
from tests.engine.live_runs import assert_same, finished, start, state, until
from tests.engine.operated import OperatedCluster

OPTIONS: dict[str, Any] = {"limit": 12_000, "snapshot_every": 2000, "batch_events": 100}
pytestmark = pytest.mark.faults


def figures(run: LiveRun) -> dict[str, Any]:
    summary = run.result(200)
    return {name: summary[name] for name in ("events", "tested", "hr@10", "ndcg@10", "coverage@10", "models")}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    home = tmp_path_factory.mktemp("calm")
    with start(home, **OPTIONS) as run:
        return figures(run), home


def waiting(run: LiveRun) -> list[Any]:
    """Return the questions to shards that are not answered yet."""
    assert run._loop is not None
    questions = [task.get_coro() for task in asyncio.all_tasks(run._loop)]
    return [each for each in questions if each.__qualname__ == "Answering._live"]  # type: ignore[union-attr]


def process_of(run: LiveRun, mark: str) -> int:
    assert run._session is not None
    process_id: int = run._session._workers._cluster.workers[mark].pid
    return process_id


@pytest.mark.parametrize(
    "how", [signal.SIGSEGV, signal.SIGTERM, signal.SIGSTOP], ids=["segfault", "graceful", "stopped"]
)
@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_run_goes_on_after_its_worker_ended(
    how: signal.Signals, tmp_path: Path, calm: tuple[dict[str, Any], Path]
) -> None:
    expected, home = calm
    with start(tmp_path, processes=True, **OPTIONS) as run:
        until(lambda: run.status().events >= 4000, within_s=120)
        user = run.recent_users(1)[0]
        os.kill(process_of(run, "shard0"), how)
        answered = []
        until(lambda: bool(answered.append(run.recommend(user)) or run.status().recoveries), within_s=60)
        assert all(len(each.items) == 10 for each in answered)
        assert figures(run) == expected
        assert run.status().recoveries == 1
        assert run.status().recovery_s > 0.0
    assert_same(state(home), state(tmp_path))


def test_silence_is_counted_in_looks_and_ends_with_any_sign() -> None:
    silence = Silence()
    for _ in range(11):
        silence.hear([1.0])
    assert silence.lasted_s == pytest.approx(1.0)  # the first look hears something new
    silence.hear([1.5])
    assert silence.lasted_s == 0.0


def test_what_is_cancelled_with_its_worker_is_lost_and_cancels_nobody_else() -> None:
    """Return the task's result as it is, and whoever awaits takes the cancellation for their own."""

    async def asked() -> None:
        await answer_of(cancelled())

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(WorkerLost, match="cancelled"):
        asyncio.run(asked())


@pytest.mark.slow
@pytest.mark.cluster
def test_a_worker_whose_nanny_gave_up_is_lost_and_a_restart_brings_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ask the cluster for its process without a look whether it is there, and the run ends in a KeyError."""
    monkeypatch.setattr("rtrec.engine.cluster._GIVEN_UP_S", 1.0)

    async def placed() -> bool:
        workers = Workers(1)
        await workers.start()
        try:
            await workers._cluster.workers.pop("shard0").close()
            with pytest.raises(WorkerLost, match=r"no sign of life for 1\.\d s"):
                await workers.place(Shard, 0, 1, {})
            monkeypatch.undo()
            await workers.restart()
            return (await workers.place(Shard, 0, 1, {})).mark == "shard0"
        finally:
            await workers.close()

    assert asyncio.run(placed())


@pytest.mark.slow
@pytest.mark.cluster
def test_a_worker_that_starts_slowly_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give it up while it is at work, and its nanny gives up as well, so that all have to start anew."""
    slow, preload = tmp_path / "slow", tmp_path / "preload.py"
    preload.write_text(
        f"from pathlib import Path\nfrom time import process_time\n"
        f"while Path({str(slow)!r}).exists() and process_time() < 4: pass\n"
    )

    async def placed() -> str:
        workers = Workers(1)
        with dask.config.set({"distributed.worker.preload": [str(preload)]}):
            await workers.start()
        try:
            slow.touch()
            monkeypatch.setattr("rtrec.engine.cluster._GIVEN_UP_S", 2.0)
            os.kill(workers._cluster.workers["shard0"].pid, signal.SIGKILL)
            mark: str = (await workers.place(Shard, 0, 1, {})).mark
            return mark
        finally:
            await workers.close()

    assert asyncio.run(placed()) == "shard0"


class Computer:
    """Holds the interpreter of its worker while it computes, so that no sign of life comes from it."""

    def __init__(self, index: int) -> None:
        self.index = index

    def compute(self, at_least_s: float) -> float:
        began = time.perf_counter()
        sum(range(10_000_000))
        sum(range(int(10_000_000 * at_least_s / (time.perf_counter() - began))))
        return time.perf_counter() - began


@pytest.mark.slow
@pytest.mark.cluster
def test_a_worker_that_computes_is_waited_for_and_one_that_stands_still_is_not() -> None:
    """Fails without the look at what the processor was used for, whichever patience all then get."""

    async def tried() -> tuple[float, str]:
        workers = Workers(1)
        await workers.start()
        try:
            placed = await workers.place(Computer, 0)
            took_s, aimed_s = 0.0, 3.0
            while took_s < 2.0:  # how fast it counts at first says little on a busy machine
                took_s, aimed_s = await workers.ask(placed, "compute", aimed_s), 2.0 * aimed_s
            os.kill(workers._cluster.workers["shard0"].pid, signal.SIGSTOP)
            with pytest.raises(WorkerLost) as lost:
                await workers.ask(placed, "compute", 3.0)
            return took_s, str(lost.value)
        finally:
            await workers.close()

    took_s, words = asyncio.run(tried())
    assert took_s >= 2.0, "longer than one that stands still is waited for"
    assert float(re.findall(r"no sign of life for ([\d.]+) s", words)[0]) <= 2.0


def test_no_worker_at_all_is_silence_too() -> None:
    silence = Silence()
    for _ in range(3):
        silence.hear([])
    assert silence.lasted_s == pytest.approx(0.2)


def test_while_shards_come_back_lists_are_those_of_the_last_snapshot(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        finished(run)
        session, user = run._session, run.recent_users(1)[0]
        assert session is not None
        assert run._loop is not None
        live = run.recommend(user)
        assert not live.from_snapshot
        # As in the midst of a recovery: the driver is taken, and says so.
        asyncio.run_coroutine_threadsafe(session._lock.acquire(), run._loop).result(10)
        session._driver.recovery.is_going_on = True
        until(lambda: run.status().phase is Phase.RECOVERING)
        standby = run.recommend(user)
        assert standby.from_snapshot
        assert standby.offset == live.offset  # the run is over, so the last snapshot has it all
        assert (standby.items, standby.history, standby.known) == (live.items, live.history, True)
        assert not run.recommend("nobody").known
        until(lambda: not waiting(run), within_s=10)  # nobody hears them any more, so nobody waits for them
        session._driver.recovery.is_going_on = False
        run._loop.call_soon_threadsafe(session._lock.release)
        until(lambda: run.status().phase is Phase.FINISHED)
        assert not run.recommend(user).from_snapshot


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[OperatedCluster]:
    cluster = OperatedCluster(tmp_path)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("alone", [False, True], ids=["with its workers", "alone"])
@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_run_waits_for_a_scheduler_that_is_gone_and_goes_on(
    alone: bool, operated: OperatedCluster, tmp_path: Path, calm: tuple[dict[str, Any], Path]
) -> None:
    expected, home = calm
    with start(tmp_path / "home", scheduler=operated.address, **OPTIONS) as run:
        until(lambda: run.status().events >= 4000, within_s=120)
        user = run.recent_users(1)[0]
        (operated.kill_scheduler if alone else operated.stop)()
        until(lambda: run.status().phase is Phase.RECOVERING, within_s=60)
        assert run.recommend(user).from_snapshot
        (operated.start_scheduler if alone else operated.start)()
        assert figures(run) == expected
        assert run.status().recoveries >= 1
    assert_same(state(home), state(tmp_path / "home"))


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_while_workers_that_are_not_ours_stand_still_lists_go_on_and_then_the_run(
    operated: OperatedCluster, tmp_path: Path, calm: tuple[dict[str, Any], Path]
) -> None:
    """They are not given up: whether to is a matter of the cluster's own rule."""
    expected, home = calm
    with start(tmp_path / "home", scheduler=operated.address, **OPTIONS) as run:
        until(lambda: run.status().events >= 4000, within_s=120)
        user = run.recent_users(1)[0]
        operated.signal_workers(signal.SIGSTOP)
        until(lambda: run.recommend(user).from_snapshot)
        until(lambda: run.status().phase is Phase.RECOVERING)
        assert "does not answer" in run.status().message
        operated.signal_workers(signal.SIGCONT)
        assert figures(run) == expected
        assert run.status().recoveries == 0
        assert not run.recommend(user).from_snapshot
    assert_same(state(home), state(tmp_path / "home"))


@pytest.mark.slow
def test_a_scheduler_that_never_was_is_said_by_its_address(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ClusterUnreachable, match=f"scheduler {address} cannot be reached"):
        asyncio.run(Workers(1, scheduler=address).start())
