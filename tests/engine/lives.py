"""Lives of a deployment in processes of their own, to be killed at any moment.

They are forked from one process that has imported everything and holds the compiled kernels, so that a life
begins at once: most of what a fresh interpreter would do is over long before the first event.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

import psutil

from rtrec.engine.live import LiveRun
from rtrec.engine.refits import RefitPlan
from rtrec.events.feeds import Feed, SyntheticFeed
from rtrec.events.journaled_log import JournaledLog
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.feed import KafkaFeed
from rtrec.events.kafka.source import KafkaSource
from rtrec.events.mapping import ColumnMapping
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.nearline.recipe import Recipe

N_WARM = 2000


def live(
    home: Path,
    n_tested: int,
    recipes: dict[str, Recipe],
    summary: Path,
    log: str | None = None,
    topic: str | None = None,
    *,
    processes: bool = False,
) -> None:
    """Go on with a deployment to the end of its stream, and write down what it came to.

    ``log`` is the topic that keeps its events, ``topic`` one to read events from; with ``processes`` its
    workers have one each.
    """
    feed: Feed = SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=300, n_items=200)), chunk_rows=100)
    if topic is not None:
        mapping = ColumnMapping("user_id", "item_id", "timestamp")
        feed = KafkaFeed(KafkaSource(Brokers(KafkaAddress.parse(topic)), mapping, chunk_rows=100))
    run = LiveRun.start(
        home,
        feed,
        warmup=N_WARM,
        limit=n_tested,
        snapshot_every=1500,
        batch_events=150,
        processes=processes,
        refits=RefitPlan(recipes, every=900, wait=True),
        log=log,
    )
    run.result()
    run.stop()
    summary.write_text(json.dumps(run.summary()), encoding="utf-8")


def begin(
    home: Path,
    n_tested: int,
    recipes: dict[str, Recipe],
    summary: Path,
    *topics: str | None,
    processes: bool = False,
) -> ForkServerProcess:
    """Begin a life; its ``exitcode`` is that of the process. See :func:`live`."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.engine.lives_preload"])
    how = {"processes": processes}
    process = context.Process(target=live, args=(home, n_tested, recipes, summary, *topics), kwargs=how)
    process.start()
    return process


def logged(home: Path) -> int:
    """Return how many events are in the log of a deployment that may not be made yet."""
    if not (home / "deployment.json").is_file():
        return 0
    with closing(JournaledLog(home / "log" / "events.sqlite", mode="read")) as log:
        return sum(log.ends())


class Killed(NamedTuple):
    """How long the first new event of a life took to come, and the processes it had started."""

    learning_after_s: float
    children: list[psutil.Process]


def kill(process: ForkServerProcess, home: Path, logged_before: int, *, after_s: float) -> Killed:
    """Kill a life so long behind its first new event.

    From its first new event on, so that each life gets somewhere. One that came to its end is not killed: its
    ``exitcode`` says which it was.
    """
    began = time.monotonic()
    while process.is_alive() and logged(home) == logged_before and time.monotonic() - began < 60:
        time.sleep(0.005)
    learning_after_s = time.monotonic() - began
    time.sleep(after_s)
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.kill()
    process.join(60)
    return Killed(learning_after_s, children)


def left_of(children: list[psutil.Process], *, within_s: float = 30.0) -> list[psutil.Process]:
    """Return which of them still live after so long: whose parent was killed has to end by itself."""
    deadline = time.monotonic() + within_s
    while (left := [each for each in children if _lives(each)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE  # who would bury it is dead
    except psutil.NoSuchProcess:
        return False
