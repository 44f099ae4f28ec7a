"""A deployment in use for half an hour: memory, descriptors and threads must not grow.

    python -m tests.chaos.soak --minutes 30
    python -m tests.chaos.soak --minutes 3 --rate 40 --warm 0.6 --most 15 --least 0.3

About 14 micro-batches a second are tested and learned by workers in processes of their own. Meanwhile pages
of the dashboard are opened, read and closed, lists asked for, settings changed, changes replayed, a model
refitted, snapshots written and pruned. Users, items and pairs stay as many as they are, so that nothing has a
reason to grow but what is on disk. The first part is warm-up and does not count: memory that is given back in
pieces needs some 5,000 micro-batches until it is used again as much as it is taken. The second line is what
CI runs: faster, so that the warm-up is over in time, and against a bound that its minute can tell from noise
(pages that were never forgotten were 24 MB a minute). The last line of output is JSON; the exit status is 1
if a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy.stats import theilslopes

from rtrec.dashboard.app import serve
from rtrec.engine.live import LiveRun
from rtrec.engine.refits import RefitPlan
from rtrec.events.feeds import Fed, SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.nearline.recipe import Recipe
from tests.chaos.workers import shard_process, wait_for

#: Makes 20,000 micro-batches in half an hour, with a fifth to spare.
BATCHES_PER_S, EVENTS_A_BATCH = 14.0, 10
#: The bound; and how many descriptors and threads more there may be at the end.
MOST_MB_PER_MIN, MOST_MORE = 1.0, 5
#: Of the micro-batches asked for: a machine that makes fewer has not tried what it should.
LEAST_SHARE = 0.6
_SAMPLE_S = 1.0
_VISIT_S = 5.0


class SteadyFeed(SyntheticFeed):
    """The synthetic stream in chunks that come at a steady pace, so many a second."""

    def __init__(self, stream: SyntheticStream, rate: float) -> None:
        super().__init__(stream, chunk_rows=EVENTS_A_BATCH)
        self._pause_s = 1.0 / rate

    def start(self, position: int, **options: Any) -> Iterator[Fed]:
        """See :class:`rtrec.events.feeds.Feed`."""
        sleep, due = options["sleep"], time.monotonic()
        for fed in super().start(position, **options):
            yield fed
            due = max(due + self._pause_s, time.monotonic())
            if sleep(due - time.monotonic()):
                return


@dataclass
class Watched:
    """A process, and what was seen of it: seconds, MB that are its own, descriptors, threads."""

    process: psutil.Process
    seen: list[tuple[float, float, int, int]] = field(default_factory=list)

    def look(self, now: float) -> None:
        """Take a sample."""
        own = self.process.memory_full_info().uss / 1e6
        self.seen.append((now, own, self.process.num_fds(), self.process.num_threads()))

    def found(self, warm_s: float) -> dict[str, Any]:
        """Return how fast it grew behind the warm-up (Theil 1950, Sen 1968), and how much there was."""
        at, own, descriptors, threads = np.array(self.seen).T
        late = at >= warm_s
        slope, _, low, high = theilslopes(own[late], at[late] / 60.0)
        tenth = max(late.sum() // 10, 1)

        def more(of: np.ndarray) -> int:
            # Medians of the first and last tenth: what one page holds for a moment is no growth.
            return int(np.median(of[late][-tenth:]) - np.median(of[late][:tenth]))

        return {
            "mb_per_min": round(float(slope), 3),
            "interval": [round(float(low), 3), round(float(high), 3)],
            "mb": [round(float(own[late][0]), 1), round(float(own[-1]), 1)],
            "more_descriptors": more(descriptors),
            "more_threads": more(threads),
        }


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm", type=float, default=0.3, help="share of the time that does not count")
    parser.add_argument("--rate", type=float, default=BATCHES_PER_S, help="micro-batches a second")
    parser.add_argument("--most", type=float, default=MOST_MB_PER_MIN, help="MB a minute that are no growth")
    parser.add_argument(
        "--least", type=float, default=LEAST_SHARE, help="share of the micro-batches that has to be made"
    )
    parser.add_argument("--samples", type=Path, help="a file for all that was seen, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rtrec-soak-") as folder:
        watched, found = soak(Path(folder), 60.0 * options.minutes, options.rate)
    parts = {name: each.found(options.warm * 60.0 * options.minutes) for name, each in watched.items()}
    flat = all(
        each["interval"][1] < options.most
        and each["more_descriptors"] <= MOST_MORE
        and each["more_threads"] <= MOST_MORE
        for each in parts.values()
    )
    if options.samples is not None:
        options.samples.write_text(json.dumps({name: each.seen for name, each in watched.items()}))
    enough = found["micro_batches"] >= options.least * options.rate * 60.0 * options.minutes
    print(json.dumps(found | parts | {"flat": flat, "enough": enough}))
    sys.exit(not (flat and enough))


def soak(folder: Path, seconds: float, rate: float) -> tuple[dict[str, Watched], dict[str, Any]]:
    """Use a deployment for so long; return its processes as they were seen, and how much it was used."""
    world = SyntheticConfig(n_users=500, n_items=300, new_user_rate=0.0, new_item_rate=0.0, repeat_share=0.95)
    with (
        LiveRun.start(
            folder / "home",
            SteadyFeed(SyntheticStream(world), rate),
            warmup=0,
            snapshot_every=2000,
            refits=RefitPlan({"history": Recipe("item-knn")}, every=3000),
        ) as run,
        visited(run) as n_visits,
    ):
        wait_for(lambda: run.status().events > 0)
        watched = {
            "driver": Watched(psutil.Process()),
            "worker": Watched(psutil.Process(shard_process(run))),
        }
        before, began = run.status().events, time.monotonic()
        use(run, watched, began, seconds)
        status = run.status()
        found = {
            "minutes": round(seconds / 60.0, 1),
            "micro_batches": (status.events - before) // EVENTS_A_BATCH,
            "pages": n_visits(),
            "recoveries": status.recoveries,
        }
    return watched, found


def use(run: LiveRun, watched: dict[str, Watched], began: float, seconds: float) -> None:
    """Do all that people do with a run, at a steady pace, and look at its processes."""
    rng = np.random.default_rng(1)
    for second in count():
        now = time.monotonic() - began
        if now >= seconds:
            return
        for each in watched.values():
            each.look(now)
        for user in rng.choice(run.recent_users(50), 5).tolist():
            run.recommend(user)
        run.history()
        if second % 30 == 10:
            run.apply({"ring_length": int(rng.integers(5, 15))})
        if second % 60 == 40:
            run.preview({"learning_rate": float(rng.uniform(0.05, 0.2))}, n_events=1000).result(120)
        time.sleep(max(began + (second + 1) * _SAMPLE_S - time.monotonic(), 0.0))


@contextmanager
def visited(run: LiveRun) -> Iterator[Any]:
    """Serve the dashboard and have it visited; yield what counts the visits that are over."""
    server = serve(run, host="127.0.0.1", port=0)
    words = [sys.executable, "-m", "tests.chaos.visitors", server.host, str(server.port), str(_VISIT_S)]
    visits: list[str] = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as visitors:

        def n_visits() -> int:
            out, _ = visitors.communicate()
            visits.extend(out.splitlines())
            return len(visits)

        try:
            yield n_visits
        finally:
            if visitors.poll() is None:
                visitors.kill()
            server.stop()


if __name__ == "__main__":
    main()
