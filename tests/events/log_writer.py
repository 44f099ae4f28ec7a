"""A writer that appends, cuts and compacts until it is ended, and says what it was told is durable.

    python -m tests.events.log_writer LOG [--power-at N --seed SEED --report FILE] [--hasty]

Whoever ends it keeps what it said, and asks :func:`assert_nothing_confirmed_is_missing` of what it leaves. On
top of the layer of ``tests.chaos.shim`` it can lose its power at the N-th call that changes a file; a hasty
one does not wait for the disk.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.schema import EVENT_SCHEMA
from tests.chaos import shim
from tests.chaos.syncs import WITHOUT


def main() -> None:
    """Write for ever; each line is how many events are durable."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--power-at", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--hasty", action="store_true")
    options = parser.parse_args()
    if options.hasty:
        WITHOUT["log"]()
    if options.power_at is not None:
        power = shim.Action.POWER
        shim.arm(options.log.parent, options.report, power, at=options.power_at, seed=options.seed)
    write(options.log)


def write(path: Path) -> None:
    """Append to both partitions and cut, for ever; compact now and then."""
    log = EmbeddedLog(path, partitions=2)
    position = log.position("stream")
    while True:
        odd, even = 1 + position % 7, 1 + position % 5
        parts = [_events(position, odd), _events(position + odd, even)]
        position += odd + even
        ends = log.append(parts, source="stream", position=position)
        print(position, flush=True)
        cut = log.cut(ends, 0)
        if cut.seq % 4 == 0:
            log.compact(log.cuts(after=cut.seq - 3)[0].ends, cut.seq)


def _events(first: int, n: int) -> pa.Table:
    numbers = range(first, first + n)
    times = [datetime.fromtimestamp(number, UTC) for number in numbers]
    columns = [[f"e{number}" for number in numbers], ["u"] * n, ["i"] * n, times, ["view"] * n]
    return pa.table([*columns, [None] * n, [None] * n], schema=EVENT_SCHEMA)


def assert_nothing_confirmed_is_missing(path: Path, confirmed: int) -> None:
    """Fail unless a log has all events up to its end, each once, and that is not before ``confirmed``."""
    with closing(EmbeddedLog(path, partitions=2)) as log:  # one that never confirmed may not be made yet
        position = log.position("stream")
        assert position >= confirmed, f"{confirmed} events were confirmed, there are {position}"
        assert sum(log.ends()) == position
        both = [each for partition in (0, 1) for each in log.read(partition, 0)["event_id"].to_pylist()]
        assert sorted(both, key=lambda each: int(each[1:])) == [f"e{number}" for number in range(position)]
        cuts = log.cuts()
        assert [cut.seq for cut in cuts] == list(range(1, len(cuts) + 1))
        if cuts:
            assert all(cut <= end for cut, end in zip(cuts[-1].ends, log.ends(), strict=True))


if __name__ == "__main__":
    main()
