"""Kill a run at random moments, many times, over many events.

    python -m tests.chaos.kills --kills 200 --events 100000 --seed 1

A life is killed with SIGKILL within a tenth of a second of its first new event; the next one goes on, and the
end is compared with that of a life nobody disturbed. With ``--processes`` its workers have processes of their
own, which have to end by themselves. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.chaos.lives import fingerprint
from tests.engine.lives import begin, kill, left_of, logged

_PATIENCE_S = 600.0


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", action="store_true", help="workers in processes of their own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rtrec-kills-") as folder:
        found = campaign(
            Path(folder), options.kills, options.events, options.seed, processes=options.processes
        )
    print(json.dumps(found))
    sys.exit(not found["equal"] or found["left_behind"] > 0)


def campaign(
    folder: Path, n_kills: int, n_events: int, seed: int, *, processes: bool = False
) -> dict[str, Any]:
    """Live undisturbed, then with kills, and compare."""
    expected = lived(folder / "calm", n_events)
    rng, home, ready_s = np.random.default_rng(seed), folder / "killed", []
    n_left = 0
    for _ in range(n_kills):
        before, began = logged(home), time.monotonic()
        process = begin(home, n_events, {}, folder / "killed.json", processes=processes)
        began_s = time.monotonic() - began
        killed = kill(process, home, before, after_s=float(rng.uniform(0.0, 0.1)))
        ready_s.append(began_s + killed.learning_after_s)
        n_left += len(left_of(killed.children))
        if process.exitcode != -signal.SIGKILL:  # it came to the end of its events
            break
    now = lived(home, n_events, processes=processes)
    p50, p95 = np.percentile(ready_s, [50, 95]).round(2).tolist()
    return {
        "kills": len(ready_s),
        "events": now["events"],
        "lost": max(expected["events"] - now["events"], 0),
        "duplicated": max(now["events"] - expected["events"], 0),
        "equal": now == expected and fingerprint(home) == fingerprint(folder / "calm"),
        "left_behind": n_left,
        "learning_again_s_p50": p50,
        "learning_again_s_p95": p95,
    }


def lived(home: Path, n_events: int, *, processes: bool = False) -> dict[str, Any]:
    """Live to the end and return what that came to."""
    summary = home.with_name(f"{home.name}.json")
    process = begin(home, n_events, {}, summary, processes=processes)
    process.join(_PATIENCE_S)
    if process.exitcode != 0:
        raise RuntimeError(f"a life ended with {process.exitcode}")
    found = json.loads(summary.read_text())
    return {name: found[name] for name in ("events", "tested", "offset", "hr@10", "ndcg@10", "models")}


if __name__ == "__main__":
    main()
