"""End the worker of a shard in every way there is, again and again, and measure the way back.

    python -m tests.chaos.workers --rounds 3

Each round kills it, lets it end in a fault, ends it by order and stands it still; lists are asked for all the
while. The end is compared with that of a run nobody disturbed, and no way back may take over ``--within``
seconds. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rtrec.engine.live import LiveRun
from rtrec.engine.status import Phase
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from tests.chaos.lives import fingerprint

WAYS = {
    "killed": signal.SIGKILL,
    "fault": signal.SIGSEGV,
    "by order": signal.SIGTERM,
    "stands still": signal.SIGSTOP,
}
#: Events between two ends: enough that there is something to replay.
BETWEEN = 4000
#: And in all for each, so that the run is not over before.
EVENTS_AN_END = 40_000
_PATIENCE_S = 120.0


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--within", type=float, default=5.0, help="seconds in which a worker has to be back")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rtrec-workers-") as folder:
        found = campaign(Path(folder), options.rounds, options.within)
    print(json.dumps(found))
    sys.exit(not (found["equal"] and found["in_time"]))


def start(home: Path, limit: int, **options: Any) -> LiveRun:
    """Start a run of so many events."""
    feed = SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=2000, n_items=1000)), chunk_rows=100)
    return LiveRun.start(home, feed, warmup=1000, limit=limit, snapshot_every=10_000, **options)


def campaign(folder: Path, n_rounds: int, within_s: float) -> dict[str, Any]:
    """Disturb a run, and compare it with one that was not."""
    ends: dict[str, list[float]] = {way: [] for way in WAYS}
    waits: list[float] = []
    limit = n_rounds * len(WAYS) * EVENTS_AN_END
    with start(folder / "disturbed", limit) as run:
        wait_for(lambda: bool(run.status().snapshot))
        user = run.recent_users(1)[0]
        run.recommend(user)
        for way, number in [(way, WAYS[way]) for _ in range(n_rounds) for way in WAYS]:
            reached = run.status().events + BETWEEN
            wait_for(lambda reached=reached: run.status().events >= reached)
            before, began = run.status().recoveries, time.monotonic()
            os.kill(shard_process(run), number)
            while run.status().recoveries == before or run.status().phase is Phase.RECOVERING:
                asked = time.monotonic()
                run.recommend(user)
                waits.append(time.monotonic() - asked)
                if time.monotonic() - began > _PATIENCE_S:
                    raise TimeoutError(f"{way}: not back within {_PATIENCE_S:g} s")
            ends[way].append(time.monotonic() - began)
        disturbed = run.result(1200)
    all_s = [each for way in ends.values() for each in way]
    p50, p95 = np.percentile(all_s, [50, 95]).round(2).tolist()
    return {
        "ends": len(all_s),
        **compared(folder / "disturbed", disturbed, limit),
        "within_s": within_s,
        "in_time": all(each <= within_s for each in all_s),
        "back_after_s_p50": p50,
        "back_after_s_p95": p95,
        "back_after_s": {way: [round(each, 2) for each in found] for way, found in ends.items()},
        "lists_meanwhile": len(waits),
        "longest_wait_for_a_list_s": round(max(waits), 2),
    }


def compared(home: Path, disturbed: dict[str, Any], limit: int) -> dict[str, Any]:
    """Compare what a run came to with one of the same events that nobody disturbs."""
    undisturbed = home.with_name("calm")
    with start(undisturbed, limit, processes=False) as run:
        calm = run.result(1200)
    names = ("events", "tested", "hr@10", "ndcg@10", "models")
    return {
        "lost": max(calm["events"] - disturbed["events"], 0),
        "duplicated": max(disturbed["events"] - calm["events"], 0),
        "equal": all(calm[name] == disturbed[name] for name in names)
        and fingerprint(undisturbed) == fingerprint(home),
    }


def shard_process(run: LiveRun) -> int:
    """Return the process of the first shard."""
    assert run._session is not None
    process_id: int = run._session._workers._cluster.workers["shard0"].pid
    return process_id


def wait_for(condition: Any) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("not in time")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
