"""SIGKILL at random moments: what comes out is what an undisturbed run gives, bit by bit."""

from __future__ import annotations

import json
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest

from rtrec.models.nearline.recipe import Recipe
from tests.engine.live_runs import assert_same, state
from tests.engine.lives import begin, kill, left_of, logged

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]
#: A life takes a second or two.
PATIENCE_S = 200


def figures(process: ForkServerProcess, summary: Path) -> dict[str, object]:
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    found = json.loads(summary.read_text(encoding="utf-8"))
    return {
        name: found[name]
        for name in ("events", "tested", "offset", "hr@10", "ndcg@10", "coverage@10", "models", "tables")
    }


@pytest.mark.parametrize(
    ("n_kills", "n_tested", "recipes", "processes"),
    [(8, 14_000, {}, False), (4, 6000, {"history": Recipe("ease")}, False), (2, 6000, {}, True)],
    ids=["plain", "refits", "processes"],
)
def test_killed_many_times_ends_as_if_undisturbed(
    tmp_path: Path, n_kills: int, n_tested: int, recipes: dict[str, Recipe], processes: bool
) -> None:
    """Break the cut journal, the source position or the snapshot's seq, and this fails.

    With refits: break the order of model, table and record, or when a refit is due again, and it does too.
    With workers in processes of their own, those have to end with it.
    """
    summary = tmp_path / "summary.json"
    expected = figures(begin(tmp_path / "undisturbed", n_tested, recipes, summary), summary)
    summary.unlink()

    rng = np.random.default_rng(20)
    home, kills = tmp_path / "killed", 0
    while kills < n_kills:
        before = logged(home)
        process = begin(home, n_tested, recipes, summary, processes=processes)
        killed = kill(process, home, before, after_s=float(rng.uniform(0.0, 0.12)))
        if process.exitcode != -signal.SIGKILL:
            assert process.exitcode == 0
            break
        kills += 1
        assert len(killed.children) >= 2 * processes  # of a shard and for bulk tasks
        assert left_of(killed.children) == []
    assert kills == n_kills, "the run was over before it was killed often enough: make it longer"
    last = begin(home, n_tested, recipes, summary, processes=processes)
    assert figures(last, summary) == expected

    assert_same(state(tmp_path / "undisturbed"), state(home))
