"""Runs in threads of this process: the same code as in processes, and quick to start."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rtrec.engine.live import LiveRun
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.snapshot import latest_snapshot

N_WARM, N_TESTED = 1000, 3000


def feed(**config: Any) -> SyntheticFeed:
    return SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=300, n_items=200, **config)))


#: Of the items that are there from the start; more are born later. Their words go with what they are.
TITLES = feed().stream.item_titles()
_TRUTH = feed().stream.truth
#: One item in five is in none.
CATEGORIES = {
    item: [f"group-{_TRUTH.item_group(item)}", f"shelf-{place % 5}"]
    for place, item in enumerate(TITLES)
    if place % 5
}


def start(home: Path, **options: Any) -> LiveRun:
    options = {"warmup": N_WARM, "limit": N_TESTED, "processes": False, "snapshot_every": 1500} | options
    options = {"titles": TITLES, "categories": CATEGORIES} | options
    return LiveRun.start(home, options.pop("feed", feed()), **options)


def finished(run: LiveRun) -> LiveRun:
    run.result(120)
    return run


def until(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def state(home: Path) -> dict[str, np.ndarray]:
    snapshot = latest_snapshot(home / "snapshots")
    assert snapshot is not None
    return snapshot.arrays()


def vocabulary_of(arrays: dict[str, np.ndarray], of: str = "items") -> dict[str, np.ndarray]:
    prefix = f"vocabulary/{of}/"
    return {name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
