"""What a source that is too fast does to a run, and how much faster one is that tests a share.

    python benchmarks/overload.py --part burst [--times 10] [--burst 20]
    python benchmarks/overload.py --part sampling --from DIR [--dataset NAME ...]

*burst*: how fast all events are tested and learned is measured first; then a source comes so many times as
fast for some seconds, and at half that speed from then on. The run goes on until it is caught up with and
tests all events again. Looked at four times a second: events and bytes that wait, how far the source is
ahead, which share is tested, and the memory of the processes. In the end every event's id is looked for in
the log, and what was learned is counted in the tables: the exit status is 1 if one is not there. Settings
bound users and pairs, so that what memory does then is no state that grows.

*sampling*: a data set, all of it tested and a tenth of it, in turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from turns import (
    MB,
    POLL_S,
    WARM,
    as_rows,
    compile_kernels,
    config,
    measured_from_start,
    memory_mb,
    show,
)

from rtrec.engine.deployment import Deployment
from rtrec.engine.live import LiveRun
from rtrec.engine.overload import OverloadPlan
from rtrec.events.datasets import get_dataset, load_source
from rtrec.events.feeds import FileFeed, SyntheticFeed
from rtrec.events.fetching import fetch
from rtrec.events.lag import SourceLag
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.snapshot import latest_snapshot
from rtrec.settings import Settings
from rtrec.types import Columns

LOOK_S = 0.25
#: The trickle goes on for so long, or until the source is caught up with.
TRICKLE_S = 200.0
#: What must be 0 behind a burst: events, of the log and of the tables.
LOSSES = ("lost or twice in the log", "not learned exactly once")


class Burst(SyntheticStream):
    """The synthetic stream, its events recorded as a burst and then a trickle, and made beforehand.

    Parameters
    ----------
    rates
        Events a second of burst and trickle.
    n_events
        How many there are of both.
    """

    def __init__(
        self, config: SyntheticConfig, rates: tuple[float, float], n_events: tuple[int, int]
    ) -> None:
        super().__init__(config)
        n = sum(n_events)
        made = SyntheticStream(config).events(n)
        gaps = np.repeat([1.0 / rate for rate in rates], n_events)
        seconds = np.concatenate([[0.0], np.cumsum(gaps)[:-1]])
        times = (config.start.timestamp() + seconds) * 1e6
        place = made.column_names.index(Columns.TIMESTAMP)
        column = pa.array(times.astype(np.int64)).cast(pa.timestamp("us", tz="UTC"))
        self._made = made.set_column(place, made.schema.field(place), column)

    def chunks(self, chunk_rows: int, start_row: int = 0) -> Iterator[pa.Table]:
        """Yield the events that there are."""
        for start in range(start_row, self._made.num_rows, chunk_rows):
            yield self._made.slice(start, chunk_rows)


# ------------------------------------------------------------------------------------------------------ burst


def burst(homes: Path, *, times: float, burst_s: float, share: float) -> dict[str, Any]:
    """Let a source come too fast, then wait until it is caught up with."""
    full, _ = measured_from_start(homes / "full", SyntheticFeed(SyntheticStream(config())), 30_000)
    rates = times * full, full / 2
    n_burst, n_trickle = int(rates[0] * burst_s), int(rates[1] * TRICKLE_S)
    print(f"{full:,.0f} events/s with all tested; {n_burst:,} come in {burst_s:g} s", file=sys.stderr)
    stream = Burst(config(), rates, (n_burst, n_trickle))
    looks: list[dict[str, float]] = []
    plan, settings = (
        OverloadPlan(share=share),
        Settings(most_pairs=1 << 17, most_users=20_000),
    )
    feed = SyntheticFeed(stream)
    with LiveRun.start(
        homes / "burst", feed, warmup=WARM, speed=1.0, overload=plan, settings=settings
    ) as run:
        while run.status().events == 0 and not run.wait(POLL_S):
            pass
        began = time.perf_counter()
        while not run.wait(LOOK_S):
            status = run.status()
            looks.append(
                {
                    "at_s": time.perf_counter() - began,
                    "events": status.events,
                    "tested": status.tested,
                    "lag": status.lag,
                    "waiting_bytes": status.waiting_bytes,
                    "ahead_s": status.source_lag.behind_s or 0.0,
                    "share": status.tested_share,
                    "driver_mb": psutil.Process().memory_info().rss / MB,
                    "memory_mb": memory_mb(),
                    "p95_ms": status.freshness_p95_ms,
                }
            )
            print(
                "\r" + "  ".join(f"{name} {value:,.4g}" for name, value in looks[-1].items()),
                end="",
                file=sys.stderr,
            )
            is_over = status.stretches and status.stretches[-1].end is not None
            if is_over and looks[-1]["at_s"] > burst_s + 20 and looks[-1]["ahead_s"] < 1:
                break
        print(file=sys.stderr)
        [stretch, *more] = run.summary()["sampled"]
    summary, column = run.summary(), {name: np.array([each[name] for each in looks]) for name in looks[0]}
    in_stretch = column["share"] < 1.0
    within = np.flatnonzero(in_stretch)
    caught_up = next(each["at_s"] for each in looks if each["at_s"] > burst_s and each["ahead_s"] < 1)
    learned_in = column["events"][within[-1]] - column["events"][within[0]]
    tested_in = column["tested"][within[-1]] - column["tested"][within[0]]
    seconds_in = column["at_s"][within[-1]] - column["at_s"][within[0]]
    return {
        "learned/s, all tested": round(full),
        "source/s": round(rates[0]),
        "burst s": burst_s,
        "events": summary["events"],
        "most ahead s": round(float(column["ahead_s"].max()), 1),
        "most waiting events": int(column["lag"].max()),
        "most waiting MB": round(float(column["waiting_bytes"].max()) / MB, 2),
        "sampling set in after s": round(float(column["at_s"][within[0]]), 1),
        "stretches": 1 + len(more),
        "stretch": (stretch["start"], stretch["end"]),
        "share tested in it": round(float(tested_in / learned_in), 3),
        "learned/s in it": round(float(learned_in / seconds_in)),
        "caught up s after the burst": round(caught_up - burst_s, 1),
        "memory MB": (round(float(column["memory_mb"][0])), round(float(column["memory_mb"].max()))),
        "of that the driver": (round(float(column["driver_mb"][0])), round(float(column["driver_mb"].max()))),
        "memory MB/min, second half": round(slope_per_min(column["at_s"], column["memory_mb"]), 1),
        "of that the driver's": round(slope_per_min(column["at_s"], column["driver_mb"]), 1),
        **losses(homes / "burst", stream, summary["events"]),
    }


def slope_per_min(at_s: np.ndarray, memory_mb: np.ndarray) -> float:
    """Return by how much memory grows a minute in the second half of a run."""
    late = at_s > at_s[-1] / 2
    return float(60 * np.polyfit(at_s[late], memory_mb[late], 1)[0])


def losses(home: Path, stream: Burst, n_learned: int) -> dict[str, int]:
    """Count the events that are not in the log exactly once, or not in the tables exactly once."""
    log = Deployment(home).open_log(mode="read")
    ids = [
        each
        for partition in range(log.partitions)
        for each in log.read(partition, 0)[Columns.EVENT_ID].to_pylist()
    ]
    log.close()
    expected = stream._made[Columns.EVENT_ID].slice(0, len(ids)).to_pylist()
    snapshot = latest_snapshot(home / "snapshots")
    assert snapshot is not None
    in_tables = int(snapshot.arrays("items/")["total"].sum())
    in_log = len(set(expected) ^ set(ids)) + len(ids) - len(set(ids))
    learned = abs(len(ids) - n_learned) + abs(in_tables - n_learned)
    return dict(zip(LOSSES, (in_log, learned), strict=True))


# --------------------------------------------------------------------------------------------------- sampling


class AlwaysAhead(FileFeed):
    """A file that says it is far ahead."""

    def lag(self) -> SourceLag:
        """Return an hour."""
        return SourceLag(behind_s=3600.0)


def sampling(
    homes: Path, folder: Path, name: str, *, rounds: int, limit: int, share: float
) -> list[dict[str, Any]]:
    """Let a run that tests all events and one that tests a share take turns."""
    dataset = get_dataset(name)
    found: dict[str, list[tuple[float, float]]] = {
        f"{name}, all tested": [],
        f"{name}, {share:.0%} tested": [],
    }
    for number in range(rounds):
        for way, plan in zip(
            found, (OverloadPlan(share=1.0), OverloadPlan(share=share, for_s=0.0)), strict=True
        ):
            feed = AlwaysAhead(load_source(dataset, folder))
            found[way].append(measured_from_start(homes / f"{number} {way}", feed, limit, overload=plan))
            print(f"round {number + 1}: {way}: {found[way][-1][0]:,.0f} events/s", file=sys.stderr)
    return as_rows(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["burst", "sampling"], required=True)
    parser.add_argument("--times", type=float, default=10.0, help="how many times as fast the burst comes")
    parser.add_argument("--burst", type=float, default=20.0, help="seconds of it")
    parser.add_argument("--share", type=float, default=0.1, help="tested while the source is ahead")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way; the median counts")
    parser.add_argument("--limit", type=int, default=60_000, help="events of a turn")
    parser.add_argument("--from", dest="source", type=Path, help="folder with the data sets")
    parser.add_argument("--dataset", nargs="+", default=["movielens-latest-small", "online-retail"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        homes = Path(folder)
        compile_kernels(homes / "compile")
        if options.part == "burst":
            rows.append(burst(homes, times=options.times, burst_s=options.burst, share=options.share))
        else:
            for name in options.dataset:
                data = fetch(
                    get_dataset(name),
                    data_dir=homes / "data",
                    source=options.source,
                    accept_licence=lambda terms: print(terms, file=sys.stderr) is None,
                )
                rows += sampling(
                    homes, data, name, rounds=options.rounds, limit=options.limit, share=options.share
                )
    show(rows, as_json=options.json)
    sys.exit(any(each.get(name, 0) for each in rows for name in LOSSES))


if __name__ == "__main__":
    main()
