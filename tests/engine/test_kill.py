"""SIGKILL at random moments: what comes out is what an undisturbed run gives, bit by bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rtrec.events.embedded_log import EmbeddedLog
from rtrec.models.snapshot import latest_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
N_WARM = 2000

LIFE = f"""
import json, sys
from rtrec.engine.refits import RefitPlan
from rtrec.engine.live import LiveRun
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.nearline.recipe import Recipe

if __name__ == "__main__":
    recipes = {{"history": Recipe("ease")}} if sys.argv[3] == "refits" else {{}}
    refits = RefitPlan(recipes, every=900, wait=True)
    feed = SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=300, n_items=200)), chunk_rows=100)
    run = LiveRun.start(
        sys.argv[1], feed, warmup={N_WARM}, limit=int(sys.argv[2]), snapshot_every=1500, batch_events=150,
        processes=False, refits=refits,
    )
    run.wait()
    if run.error is not None:
        raise run.error
    run.stop()
    print(json.dumps(run.summary()))
"""


def live(script: Path, home: Path, n_tested: int, refits: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(script), str(home), str(n_tested), refits]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def figures(process: subprocess.Popen[str]) -> dict[str, object]:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    summary = json.loads(out.strip().splitlines()[-1])
    return {
        name: summary[name]
        for name in ("events", "tested", "offset", "hr@10", "ndcg@10", "coverage@10", "models", "tables")
    }


def logged(home: Path) -> int:
    path = home / "log" / "events.sqlite"
    if not (home / "deployment.json").is_file():
        return 0
    log = EmbeddedLog(path, mode="read")
    try:
        return sum(log.ends())
    finally:
        log.close()


@pytest.mark.parametrize(
    ("n_kills", "n_tested", "refits"), [(8, 14_000, "none"), (4, 6000, "refits")], ids=["plain", "refits"]
)
def test_killed_many_times_ends_as_if_undisturbed(
    tmp_path: Path, n_kills: int, n_tested: int, refits: str
) -> None:
    """Break the cut journal, the source position or the snapshot's seq, and this fails.

    With refits: break the order of model, table and record, or when a refit is due again, and it does too.
    """
    script = tmp_path / "life.py"
    script.write_text(LIFE, encoding="utf-8")
    expected = figures(live(script, tmp_path / "undisturbed", n_tested, refits))

    rng = np.random.default_rng(20)
    home, kills = tmp_path / "killed", 0
    while kills < n_kills:
        process, before = live(script, home, n_tested, refits), logged(home)
        # From a life's first new event on, so that each life gets somewhere; then at any moment.
        deadline = time.monotonic() + 60
        while process.poll() is None and logged(home) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            time.sleep(float(rng.uniform(0.0, 0.12)))
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0
            break
        kills += 1
    assert kills == n_kills, "the run was over before it was killed often enough: make it longer"
    assert figures(live(script, home, n_tested, refits)) == expected

    one, other = (latest_snapshot(each / "snapshots") for each in (tmp_path / "undisturbed", home))
    assert one is not None
    assert other is not None
    left, right = one.arrays(), other.arrays()
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
