"""Kill the scheduler of a cluster that is not ours, and have its workers stand still, while a run uses it.

    python -m tests.chaos.operated --kills 5 --pauses 1

A scheduler is started again at once, and so are its workers, which end without it; workers that stand still
go on after 20 s. Lists are asked for all the while, and none may fail; learning goes on within ``--within``
seconds, or that is a failure too. The end is compared with that of a run nobody disturbed. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rtrec.engine.live import LiveRun
from tests.chaos.workers import BETWEEN, EVENTS_AN_END, compared, start, wait_for
from tests.engine.operated import OperatedCluster

_PAUSE_S, _PATIENCE_S = 20.0, 120.0


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=5, help="of the scheduler")
    parser.add_argument("--pauses", type=int, default=1, help="of the workers")
    parser.add_argument("--within", type=float, default=15.0, help="seconds in which learning has to go on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rtrec-operated-") as folder:
        found = campaign(Path(folder), options.kills, options.pauses, options.within)
    print(json.dumps(found))
    sys.exit(not (found["equal"] and found["in_time"]) or found["failed_lists"] > 0)


class Lists:
    """Asks for the list of a user again and again, and counts what comes."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._user = run.recent_users(1)[0]
        self.waits: list[float] = []
        self.n_failed = 0

    def ask_until(self, condition: Callable[[], bool]) -> float:
        """Ask until something holds, and return how many seconds that took."""
        began = time.monotonic()
        while not condition():
            asked = time.monotonic()
            if asked - began > _PATIENCE_S:
                raise TimeoutError(f"not within {_PATIENCE_S:g} s: {self._run.status()}")
            try:
                self._run.recommend(self._user)
            except Exception as error:
                print(f"a list failed: {error!r}", file=sys.stderr)
                self.n_failed += 1
            self.waits.append(time.monotonic() - asked)
        return time.monotonic() - began


def campaign(folder: Path, n_kills: int, n_pauses: int, within_s: float) -> dict[str, Any]:
    """Disturb a run, and compare it with one that was not."""
    cluster, limit = OperatedCluster(folder), (n_kills + n_pauses) * EVENTS_AN_END
    back_s: dict[str, list[float]] = {"killed": [], "stood still": []}
    cluster.start()
    try:
        with start(folder / "disturbed", limit, scheduler=cluster.address) as run:
            wait_for(lambda: bool(run.status().snapshot))
            lists = Lists(run)
            for _ in range(n_kills):
                learned, recoveries = undisturbed_stretch(run), run.status().recoveries
                cluster.kill_scheduler()
                cluster.start_scheduler()
                back_s["killed"].append(
                    lists.ask_until(
                        lambda n=learned, r=recoveries: (
                            run.status().recoveries > r and run.status().events > n
                        )
                    )
                )
            for _ in range(n_pauses):
                undisturbed_stretch(run)
                cluster.signal_workers(signal.SIGSTOP)
                over = time.monotonic() + _PAUSE_S
                lists.ask_until(lambda over=over: time.monotonic() > over)
                learned = run.status().events
                cluster.signal_workers(signal.SIGCONT)
                back_s["stood still"].append(lists.ask_until(lambda n=learned: run.status().events > n))
            disturbed = run.result(1200)
    finally:
        cluster.stop()
    all_s = [each for found in back_s.values() for each in found]
    p50, p95 = np.percentile(back_s["killed"] or [0.0], [50, 95]).round(2).tolist()
    return {
        "kills": n_kills,
        "pauses": n_pauses,
        **compared(folder / "disturbed", disturbed, limit),
        "within_s": within_s,
        "in_time": all(each <= within_s for each in all_s),
        "learning_again_s_p50": p50,
        "learning_again_s_p95": p95,
        "learning_again_s": {how: [round(each, 2) for each in found] for how, found in back_s.items()},
        "lists_meanwhile": len(lists.waits),
        "failed_lists": lists.n_failed,
        "longest_wait_for_a_list_s": round(max(lists.waits), 2),
    }


def undisturbed_stretch(run: LiveRun) -> int:
    """Let a run learn for a while, and return how many events it has learned."""
    reached = run.status().events + BETWEEN
    wait_for(lambda: run.status().events >= reached)
    return run.status().events


if __name__ == "__main__":
    main()
