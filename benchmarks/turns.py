"""What the benchmarks of live runs share: runs that take turns, timed from the end of their warm part."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from rtrec.engine.live import LiveRun
from rtrec.events.feeds import Feed, SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream

POLL_S = 0.02
WARM = 5000
MB = 1e6


def config() -> SyntheticConfig:
    """Return the world of all runs but those of a data set."""
    return SyntheticConfig(n_users=20_000, n_items=5_000, events_per_day=1e6)


def compile_kernels(home: Path) -> None:
    """Have every kernel compiled and on the disk before anything is timed."""
    with LiveRun.start(home, SyntheticFeed(SyntheticStream(config())), warmup=WARM, limit=1) as run:
        run.result()


def measured(run: LiveRun) -> tuple[float, float]:
    """See a run to its end; return events a second behind the warm part, and microseconds of processor."""
    while run.status().events < WARM and not run.wait(POLL_S):
        pass
    began, first, used = time.perf_counter(), run.status().events, processor_s()
    run.result()
    seconds, used = time.perf_counter() - began, processor_s() - used
    n_learned = run.status().events - first
    return n_learned / seconds, 1e6 * used / n_learned


def measured_from_start(home: Path, feed: Feed, n_events: int, **options: Any) -> tuple[float, float]:
    """Start a run as fast as it goes, and see it to its end."""
    with LiveRun.start(home, feed, warmup=WARM, limit=n_events, **options) as run:
        return measured(run)


def processor_s() -> float:
    """Return the processor time of this process and all that it started."""
    return sum(sum(each.cpu_times()[:2]) for each in processes())


def memory_mb() -> float:
    """Return the resident memory of all of them."""
    return sum(each.memory_info().rss for each in processes()) / MB


def processes() -> list[psutil.Process]:
    """Return this process and all that it started."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def as_rows(found: Mapping[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """Return medians, and the median of each round's ratio to the first way."""
    first = next(iter(found.values()))
    return [
        {
            "way": name,
            "events/s": round(statistics.median(speed for speed, _ in turns)),
            "ratio": round(
                statistics.median(speed / base for (speed, _), (base, _) in zip(turns, first, strict=True)), 3
            ),
            "processor us/event": round(statistics.median(used for _, used in turns)),
            "ratio of that": round(
                statistics.median(used / base for (_, used), (_, base) in zip(turns, first, strict=True)), 3
            ),
        }
        for name, turns in found.items()
    ]


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows, a line a figure or as one JSON object."""
    if as_json:
        print(json.dumps({"cores": os.cpu_count(), "rows": list(rows)}))
        return
    for row in rows:
        print("\n".join(f"{name}: {value}" for name, value in row.items()), end="\n\n")
