"""How much faster the live engine is with two worker processes than with one, side by side in one run.

    python benchmarks/shards.py --from DIR [--dataset NAME] [--limit 60000] [--rounds 3] [--json]

Each turn is a whole run as ``rtrec run --headless`` makes it: rows cleaned, appended durably to the
log, tested with all racing models, learned, snapshots written. Numbers of shards take turns, a fresh
home each, and the median of the rounds counts. The clock starts with the first status that has all of
the warm part learned (workers are up and their kernels loaded by then) and stops when the run is
finished, its last snapshot written: starting and compiling are outside, and so is the warm part, which
is learned without being tested.

One more process, the driver, cleans, writes the log and agrees the shards on the items. Where it has to
share a core with a shard the ratio says so; the number of cores is printed with it. So is the processor
time an event takes in the driver, in the busiest worker and in all of them: those say what the ratio
could be on a machine with nothing else to do, and hardly move when it has.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from rtrec.engine.deployment import Deployment
from rtrec.engine.live import LiveRun
from rtrec.events.datasets import Dataset, get_dataset, load_source
from rtrec.events.feeds import FileFeed
from rtrec.events.fetching import fetch

_POLL_S = 0.02


@dataclass(frozen=True)
class Turn:
    """One run: events in seconds, hit rate of the default, and processor time an event in microseconds."""

    shards: int
    events: int
    seconds: float
    hr: float
    driver_us: float
    busiest_us: float
    all_us: float

    @property
    def events_per_s(self) -> float:
        """Return the speed."""
        return self.events / self.seconds


def run_once(dataset: Dataset, folder: Path, home: Path, *, shards: int, limit: int | None) -> Turn:
    """Run a new deployment from start to end."""
    feed = FileFeed(load_source(dataset, folder))
    with LiveRun.start(home, feed, shards=shards, limit=limit) as run:
        n_warm = Deployment(home).manifest["warmup_events"]
        while run.status().events < n_warm and not run.wait(_POLL_S):
            pass
        began, first, used = time.perf_counter(), run.status().events, processor_seconds()
        run.wait()
        seconds, later = time.perf_counter() - began, processor_seconds()
        if run.error is not None:
            raise run.error
        events, hr = run.status().events - first, float(run.summary()["hr@10"])
    driver, *workers = (1e6 * (later[each] - used.get(each, 0.0)) / events for each in later)
    return Turn(shards, events, seconds, hr, driver, max(workers), driver + sum(workers))


def processor_seconds() -> dict[int, float]:
    """Return the processor time by process: this one first, then each that it started."""
    this = psutil.Process()
    times = {each.pid: each.cpu_times() for each in (this, *this.children(recursive=True))}
    return {pid: time.user + time.system for pid, time in times.items()}


def race(dataset: Dataset, folder: Path, *, shards: list[int], rounds: int, limit: int | None) -> list[Turn]:
    """Let all numbers of shards take turns."""
    turns = []
    with tempfile.TemporaryDirectory() as homes:
        # Nothing is timed before every kernel is compiled and on the disk.
        run_once(dataset, folder, Path(homes) / "compile", shards=max(shards), limit=2000)
        for number in range(rounds):
            for n_shards in shards:
                print(f"{dataset.name}: round {number + 1} of {rounds}, {n_shards} shards", file=sys.stderr)
                home = Path(homes) / f"{number}-{n_shards}"
                turns.append(run_once(dataset, folder, home, shards=n_shards, limit=limit))
    return turns


def as_rows(turns: list[Turn]) -> list[dict[str, Any]]:
    """Return the median speed of each number of shards, and its ratio to the first."""
    rows: list[dict[str, Any]] = []
    for shards in dict.fromkeys(each.shards for each in turns):
        mine = [each for each in turns if each.shards == shards]
        speed = statistics.median(each.events_per_s for each in mine)
        rows.append(
            {
                "shards": shards,
                "events": mine[0].events,
                "events_per_s": round(speed),
                "slowest": round(min(each.events_per_s for each in mine)),
                "fastest": round(max(each.events_per_s for each in mine)),
                "ratio": round(speed / (rows[0]["events_per_s"] if rows else speed), 2),
                "hr@10": round(mine[0].hr, 4),
                "driver us/event": round(statistics.median(each.driver_us for each in mine)),
                "busiest worker": round(statistics.median(each.busiest_us for each in mine)),
                "all processes": round(statistics.median(each.all_us for each in mine)),
            }
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("--dataset", default="online-retail")
    parser.add_argument("--limit", type=int, default=60_000, help="events tested in a run")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the median counts")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2], help="the first is the reference")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    dataset = get_dataset(options.dataset)
    with tempfile.TemporaryDirectory() as data_dir:
        folder = fetch(
            dataset,
            data_dir=Path(data_dir),
            source=options.source,
            accept_licence=lambda terms: print(terms, file=sys.stderr) is None,
        )
        turns = race(dataset, folder, shards=options.shards, rounds=options.rounds, limit=options.limit)
    rows = as_rows(turns)
    if options.json:
        about = {"dataset": dataset.name, "cores": os.cpu_count(), "rows": rows}
        print(json.dumps(about | {"turns": [asdict(each) for each in turns]}))
        return
    print(f"{dataset.name}, {os.cpu_count()} cores\n")
    print("| " + " | ".join(rows[0]) + " |\n|" + " ---: |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(f"{value:,}" for value in row.values()) + " |")


if __name__ == "__main__":
    main()
