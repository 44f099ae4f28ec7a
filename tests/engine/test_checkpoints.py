"""Snapshots in between: where a stream comes in small cuts there are never many to replay."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rtrec.engine import driver
from rtrec.engine.checkpoints import Checkpoints
from rtrec.models.snapshot import list_snapshots
from tests.engine.live_runs import assert_same, finished, start, state

SMALL_CUTS: dict[str, Any] = {"batch_events": 50, "snapshot_every": 1500, "keep_snapshots": 2}


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Return the names of the snapshots that are begun from now on, and whether they are passing."""
    names: list[tuple[str, bool]] = []
    begin = Checkpoints.begin

    def noted(self: Checkpoints, name: str, *arguments: Any, passing: bool = False) -> None:
        names.append((name, passing))
        begin(self, name, *arguments, passing=passing)

    monkeypatch.setattr(Checkpoints, "begin", noted)
    return names


def test_between_snapshots_there_are_others_that_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[tuple[str, bool]]
) -> None:
    monkeypatch.setattr(driver, "_MOST_CUTS", 7)
    monkeypatch.setattr(driver, "_MOST_SHARE", float("inf"))
    with start(tmp_path / "often", **SMALL_CUTS) as run:
        finished(run)
    cuts = [0, *(int(name) for name, _ in begun)]
    assert max(after - before for before, after in pairwise(cuts)) <= 7
    assert sum(passing for _, passing in begun) > 5
    stay = [name for name, passing in begun if not passing]
    assert len(stay) >= 3
    # What stays is not pushed out by what does not; of that the newest is left, and the one before it.
    left = [path.name for path in list_snapshots(tmp_path / "often" / "snapshots")]
    assert left == sorted({*stay[-2:], *(name for name, passing in begun[-2:] if passing)})

    monkeypatch.undo()
    with start(tmp_path / "calm", **SMALL_CUTS) as run:
        finished(run)
    assert_same(state(tmp_path / "often"), state(tmp_path / "calm"))


def test_they_are_left_out_where_they_would_take_too_much_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[tuple[str, bool]]
) -> None:
    monkeypatch.setattr(driver, "_MOST_CUTS", 7)
    monkeypatch.setattr(driver, "_MOST_SHARE", 0.0)
    with start(tmp_path, **SMALL_CUTS) as run:
        finished(run)
    # The first has nothing before it to go by.
    assert sum(passing for _, passing in begun) <= 1
