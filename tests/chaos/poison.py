"""Bad rows of every kind among good ones: each becomes a dead letter, and nothing else changes.

    python -m tests.chaos.poison --n 100000 --seed 1

A file of JSON lines has the events of a synthetic stream and, between any two of them, what no event can be
made of. The end is compared with that of a run on the good rows alone. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rtrec.engine.live import LiveRun
from rtrec.events.feeds import FileFeed
from rtrec.events.mapping import ColumnMapping
from rtrec.events.sources import FileSource
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.types import Columns
from tests.chaos.lives import fingerprint

_MAPPING = ColumnMapping(Columns.USER_ID, Columns.ITEM_ID, Columns.TIMESTAMP, kind=Columns.KIND)
_GOOD = {"user_id": "u1", "item_id": "i1", "timestamp": "2025-01-01T00:00:00+00:00", "kind": "view"}
#: Of the rows. More than a fifth would pause the run, were it not told to read on.
_SHARE = 0.3


def _line(**changes: Any) -> bytes:
    return json.dumps(_GOOD | changes).encode()


#: What no event can be made of, by what is wrong with it.
POISON: dict[str, Callable[[np.random.Generator], bytes]] = {
    "no user": lambda rng: _line(user_id=None),
    "an empty item": lambda rng: _line(item_id=""),
    "no time": lambda rng: _line(timestamp=None),
    "a time that is none": lambda rng: _line(timestamp="soon"),
    "a time to come": lambda rng: _line(timestamp=f"{rng.integers(2090, 2200)}-01-01T00:00:00Z"),
    "an infinite time": lambda rng: _line(timestamp=float("inf")),
    "an unknown kind": lambda rng: _line(kind="sneeze"),
    "an id beyond all bounds": lambda rng: _line(user_id="x" * int(rng.integers(66_000, 70_000))),
    "a list": lambda rng: b"[1, 2, 3]",
    "nothing": lambda rng: b"null",
    "cut short": lambda rng: _line()[: int(rng.integers(1, len(_line())))],
    "deeper than anybody reads": lambda rng: b"[" * 5000,
    "half a character": lambda rng: b'{"user_id": "\\ud800", "item_id": "i", "timestamp": "2025-01-01"}',
    "numbers beyond all": lambda rng: b'{"user_id": "u", "item_id": "i", "timestamp": 1e999}',
}
#: Rows of ten megabytes: one of each, since thousands would be a file of gigabytes.
HUGE = {"ten megabytes of an id": _line(user_id="x" * 10_000_000), "ten megabytes": b"x" * 10_000_000}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000, help="rows in all")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rtrec-poison-") as folder:
        found = campaign(Path(folder), options.n, options.seed)
    print(json.dumps(found))
    sys.exit(not found["equal"])


def campaign(folder: Path, n_rows: int, seed: int) -> dict[str, Any]:
    """Feed a run with poison, and compare it with one that had none."""
    rng = np.random.default_rng(seed)
    n_bad = int(_SHARE * n_rows)
    good = [_line(**row) for row in rows_of(n_rows - n_bad)]
    kinds = rng.choice(list(POISON), n_bad - len(HUGE))
    bad = [*HUGE.values(), *(POISON[kind](rng) for kind in kinds)]
    rng.shuffle(bad)
    mixed, places = list(good), np.sort(rng.integers(0, len(good) + 1, n_bad))
    for place, row in zip(places[::-1].tolist(), bad, strict=True):
        mixed.insert(place, row)
    # The same name in two folders: it is part of the ids of events.
    poisoned, clean = (lived(folder / name, rows) for name, rows in (("poisoned", mixed), ("clean", good)))
    names = ("events", "tested", "hr@10", "ndcg@10", "models")
    return {
        "rows": n_rows,
        "poison": n_bad,
        "kinds": len(POISON) + len(HUGE),
        "dead_letters": poisoned["dead_letters"],
        "lost": max(clean["events"] - poisoned["events"], 0),
        "taken_for_events": max(poisoned["events"] - clean["events"], 0),
        "equal": poisoned["dead_letters"] == n_bad
        and all(poisoned[name] == clean[name] for name in names)
        and fingerprint(folder / "poisoned" / "home") == fingerprint(folder / "clean" / "home"),
    }


def rows_of(n_events: int) -> list[dict[str, Any]]:
    """Return the events of a synthetic stream as a file has them."""
    events = SyntheticStream(SyntheticConfig(n_users=500, n_items=300)).events(n_events)
    table = events.select([Columns.USER_ID, Columns.ITEM_ID, Columns.TIMESTAMP, Columns.KIND]).to_pylist()
    return [row | {Columns.TIMESTAMP: row[Columns.TIMESTAMP].isoformat()} for row in table]


def lived(folder: Path, rows: list[bytes]) -> dict[str, Any]:
    """Return what a run on these rows comes to, all in this process."""
    folder.mkdir()
    file = folder / "events.jsonl"
    file.write_bytes(b"\n".join(rows) + b"\n")
    feed = FileFeed(FileSource(file, _MAPPING))
    with LiveRun.start(folder / "home", feed, warmup=1000, processes=False, accept_bad=True) as run:
        run.result(1200)
        return run.summary() | {"dead_letters": run.status().dead_letters}


if __name__ == "__main__":
    main()
