"""Workers in processes: where they listen, what their death does, and workers that are somebody else's."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
import pytest
from dask.distributed import Client, LocalCluster, default_client, get_worker

from rtrec.engine.cluster import Workers
from rtrec.engine.live import LiveRun
from rtrec.engine.refits import RefitPlan
from rtrec.engine.status import Phase
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.snapshot import latest_snapshot, list_snapshots

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_scheduler_and_workers_listen_on_loopback_only() -> None:
    async def listening() -> set[str]:
        workers = Workers(2)
        await workers.start()
        try:
            me = psutil.Process()
            return {
                connection.laddr.ip
                for process in (me, *me.children(recursive=True))
                for connection in process.net_connections()
                if connection.status == psutil.CONN_LISTEN
            }
        finally:
            await workers.close()

    assert asyncio.run(listening()) == {"127.0.0.1"}


def feed() -> SyntheticFeed:
    return SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=300, n_items=200)), chunk_rows=100)


def kill_workers() -> None:
    for process in psutil.Process().children(recursive=True):
        said = " ".join(process.cmdline())
        if "spawn_main" in said or "dask worker" in said:  # as it calls itself where setproctitle is there
            process.kill()


def finished(run: LiveRun) -> dict[str, Any]:
    summary = run.result(150)
    return {name: summary[name] for name in ("events", "tested", "hr@10", "ndcg@10", "coverage@10", "models")}


def test_a_run_is_nobodys_default_client(tmp_path: Path) -> None:
    """Whoever computes with Dask in the process of a run does so where they did before."""
    plan = RefitPlan({"history": Recipe("item-knn")}, every=300, wait=True)
    with LiveRun.start(tmp_path, feed(), warmup=200, limit=300, refits=plan) as run:
        run.result(150)
        with pytest.raises(ValueError, match="No clients found"):
            default_client()
        assert dask.config.get("scheduler", None) is None
        assert dask.delayed(_where)().compute() == ""
        assert run.preview({"ring_length": 20}, n_events=200).result(60) is not None
        assert [each.slot for each in run.status().tables] == ["history"]


@pytest.mark.parametrize("processes", [False, True])
def test_a_client_of_ones_own_stays_the_default_beside_a_run(tmp_path: Path, processes: bool) -> None:
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as mine,
        Client(mine) as client,
        LiveRun.start(tmp_path, feed(), warmup=200, limit=300, processes=processes) as run,
    ):
        assert default_client() is client
        run.result(150)
        assert dask.delayed(_where)().compute() == mine.scheduler_address
        if processes:
            kill_workers()  # actors that are placed anew still belong to the run
        assert len(run.recommend(run.recent_users(1)[0]).items) == 10
        assert default_client() is client


def _where() -> str:
    """Return the scheduler of the worker this runs on; nothing where it runs on none."""
    try:
        return str(get_worker().scheduler.address)
    except ValueError:
        return ""


@pytest.mark.timeout(300)
def test_a_run_goes_on_after_all_its_workers_are_killed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"warmup": 500, "limit": 12_000, "snapshot_every": 2000, "batch_events": 100}
    with LiveRun.start(tmp_path / "calm", feed(), processes=False, **options) as calm:
        expected = finished(calm)
    with LiveRun.start(tmp_path / "hit", feed(), **options) as run:
        deadline = time.monotonic() + 120
        while run.status().events < 3000:
            assert time.monotonic() < deadline, run.status()
            time.sleep(0.01)
        kill_workers()
        assert finished(run) == expected
        assert run.status().recoveries >= 1
        kill_workers()  # and again when nothing is left to learn
        assert len(run.recommend(run.recent_users(1)[0]).items) == 10
        kill_workers()
    assert finished(run) == expected
    assert run.status().phase is Phase.FINISHED


@pytest.mark.timeout(300)
def test_two_shards_come_back_after_their_workers_are_killed(tmp_path: Path) -> None:
    """Where cuts fall depends on the moment, so the run is compared with what its own journal gives."""
    options: dict[str, Any] = {"shards": 2, "warmup": 500, "snapshot_every": 2000, "batch_events": 100}
    with LiveRun.start(tmp_path, feed(), limit=8000, **options) as run:
        deadline = time.monotonic() + 120
        while run.status().events < 3000:
            assert time.monotonic() < deadline, run.status()
            time.sleep(0.01)
        kill_workers()
        while run.status().recoveries < 1:
            assert time.monotonic() < deadline, run.status()
            time.sleep(0.01)
        kill_workers()  # as they start: their nannies give up
        expected = finished(run)
    last = latest_snapshot(tmp_path / "snapshots")
    assert last is not None
    before = last.arrays()
    for snapshot in list_snapshots(tmp_path / "snapshots")[1:]:
        shutil.rmtree(snapshot)
    with LiveRun.start(tmp_path, feed(), limit=8000, processes=False, **options) as again:
        assert finished(again) == expected
    after = latest_snapshot(tmp_path / "snapshots")
    assert after is not None
    for name, array in after.arrays().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.timeout(300)
def test_a_run_uses_a_cluster_that_is_not_its_own(tmp_path: Path) -> None:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        scheduler = cluster.scheduler_address
        with LiveRun.start(tmp_path, feed(), shards=2, scheduler=scheduler, warmup=500, limit=2000) as run:
            assert finished(run)["tested"] == 2000
            assert run.preview({"ring_length": 5}, n_events=500).result(60).n_tested == 500
        assert len(cluster.workers) == 2  # somebody else's, so still there


def test_a_nanny_is_not_ended_for_a_worker_that_was_lost_twice() -> None:
    """Dask looks 15 s after a loss whether a worker is there, and one may just be on its way back again."""

    async def started() -> tuple[Any, Any]:
        workers = Workers(1, processes=False)
        await workers.start()
        try:
            deploy = dask.config.get("distributed.deploy.lost-worker-timeout")
            return deploy, dask.config.get("distributed.admin.low-level-log-length")
        finally:
            await workers.close()

    assert asyncio.run(started()) == ("1h", 100)
