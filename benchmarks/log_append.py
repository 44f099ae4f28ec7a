"""How fast the embedded log appends durably, by the number of events in a commit.

    python benchmarks/log_append.py [--folder DIR] [--seconds 3] [--json]

Every commit is synced to the disk before the next begins, so the disk sets the pace: the first line says how
long a plain 16 KB write with fsync takes in the same folder. The sizes take turns, so that a disk that is
slow for a while is slow for all of them. The exit status is 1 if 100 events a commit make fewer than 50,000 a
second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.schema import EVENT_SCHEMA

SIZES = (100, 200, 500, 1000)
#: Events a second that commits of the first size reach at the least, one partition.
LEAST = 50_000
PARTITIONS = (1, 2, 4)
ROUNDS = 10


def batches(n: int, partitions: int, rng: np.random.Generator) -> Iterator[list[pa.Table]]:
    """Yield batches of ``n`` ratings, spread over the partitions."""
    start = datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6
    row = 0
    while True:
        events = pa.table(
            [
                [f"ratings.csv:{number}" for number in range(row, row + n)],
                rng.integers(0, 100_000, n).astype(str),
                rng.integers(0, 10_000, n).astype(str),
                pa.array(
                    (start + np.arange(row, row + n) * 1e5).astype(np.int64), pa.timestamp("us", tz="UTC")
                ),
                np.full(n, "rating"),
                rng.integers(1, 11, n).astype(np.float32) / 2,
                pa.nulls(n, pa.string()),
            ],
            schema=EVENT_SCHEMA,
        )
        bounds = np.linspace(0, n, partitions + 1).astype(int)
        yield [events.slice(low, high - low) for low, high in itertools.pairwise(bounds)]
        row += n


def fsync_ms(folder: Path, n: int = 200) -> list[float]:
    """Return how long ``n`` writes of 16 KB, each synced, take in ``folder``; milliseconds."""
    block, taken = os.urandom(16_384), []
    with (folder / "plain").open("wb", buffering=0) as file:
        for _ in range(n):
            start = time.perf_counter()
            file.write(block)
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - start) * 1e3)
    return taken


def measure(folder: Path, seconds: float) -> list[dict[str, float]]:
    """Append for ``seconds`` at each size and number of partitions; return a row of figures for each."""
    rng = np.random.default_rng(0)
    cases = [(size, partitions) for partitions in PARTITIONS for size in SIZES]
    logs = {
        case: EmbeddedLog(folder / f"{case[0]}-{case[1]}" / "events.sqlite", partitions=case[1])
        for case in cases
    }
    sources = {case: batches(*case, rng) for case in cases}
    taken: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    for _ in range(ROUNDS):
        for case in cases:
            size, _ = case
            spent = 0.0
            while spent < seconds / ROUNDS:
                parts = next(sources[case])
                position = size * (len(taken[case]) + 1)
                start = time.perf_counter()
                logs[case].append(
                    parts, source="ratings.csv", position=position, counts={"accepted": position}
                )
                taken[case].append(time.perf_counter() - start)
                spent += taken[case][-1]
    rows = []
    for (size, partitions), each in taken.items():
        logs[size, partitions].close()
        p50, p99 = np.percentile(each, [50, 99]) * 1e3
        rows.append(
            {
                "events a commit": size,
                "partitions": partitions,
                "events_per_s": round(size * len(each) / sum(each)),
                "p50_ms": round(p50, 2),
                "p99_ms": round(p99, 2),
                "bytes_per_event": round(
                    sum(file.stat().st_size for file in (folder / f"{size}-{partitions}").iterdir())
                    / (size * len(each)),
                    1,
                ),
            }
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure (default: temporary)")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each line of the table")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        plain = np.percentile(fsync_ms(Path(folder)), [50, 99])
        rows = measure(Path(folder), options.seconds)
    if options.json:
        print(json.dumps({"fsync_p50_ms": plain[0], "fsync_p99_ms": plain[1], "append": rows}))
    else:
        print(f"plain write and fsync: p50 {plain[0]:.2f} ms, p99 {plain[1]:.2f} ms")
        print("".join(f"{name:>17}" for name in rows[0]))
        for row in rows:
            print("".join(f"{value:>17,}" for value in row.values()))
    sys.exit(rows[0]["events_per_s"] < LEAST)


if __name__ == "__main__":
    main()
