"""`make chaos`: all campaigns, one after the other, and a table of what came of them.

    python -m tests.chaos [--quick] [--seed 1]

It takes an hour and a half; ``--quick`` tries a tenth of everything. One row of the README is not in it:
``make mutants``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple


class Campaign(NamedTuple):
    """What is tried: a module of this folder or a benchmark, with its options; also for a tenth of it."""

    name: str
    program: str
    whole: str
    quick: str
    has_chance: bool = True  # takes a seed

    def words(self, options: str) -> str:
        """Return the command, as the README has it."""
        return f"python {self.program} {options}".strip()


CAMPAIGNS = (
    Campaign(
        "killed at random",
        "-m tests.chaos.kills",
        "--kills 200 --events 130000",
        "--kills 15 --events 10000",
    ),
    Campaign(
        "killed, with workers in processes",
        "-m tests.chaos.kills",
        "--processes --kills 5 --events 12000",
        "--processes --kills 2 --events 6000",
    ),
    Campaign("worker ended", "-m tests.chaos.workers", "--rounds 3", "--rounds 1", False),
    Campaign(
        "somebody else's cluster",
        "-m tests.chaos.operated",
        "--kills 5 --pauses 1",
        "--kills 1 --pauses 0",
        False,
    ),
    Campaign("crash at a failpoint", "-m tests.chaos.crashes", "--failpoints", "--failpoints --in-a-row"),
    Campaign("crash at any write", "-m tests.chaos.crashes", "--points 200", "--points 30"),
    Campaign("file damaged", "-m tests.chaos.corruption", "--n 1000", "--n 100"),
    Campaign("bad rows among good ones", "-m tests.chaos.poison", "--n 100000", "--n 5000"),
    Campaign("bad numbers", "benchmarks/guard.py", "", "--events 500", False),
    Campaign(
        "source too fast",
        "benchmarks/overload.py",
        "--part burst --burst 10",
        "--part burst --burst 3",
        False,
    ),
    Campaign(
        "browser and sink that stall",
        "benchmarks/stalled.py",
        "--rounds 8 --turns 5 --limit 60000",
        "--rounds 2 --turns 1 --limit 20000",
        False,
    ),
    Campaign("durable appends", "benchmarks/log_append.py", "", "--seconds 1", False),
    Campaign(
        "in use for long",
        "-m tests.chaos.soak",
        "--minutes 30",
        "--minutes 3 --rate 40 --warm 0.6 --most 15 --least 0.3",
        False,
    ),
)


def main() -> None:
    """Run all campaigns; the exit status is 1 if any found something."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    bad = False
    print("| campaign | command | what came of it | seconds |\n| --- | --- | --- | --- |", flush=True)
    for campaign in CAMPAIGNS:
        command = campaign.words(campaign.quick if options.quick else campaign.whole)
        if campaign.has_chance:
            command += f" --seed {options.seed}"
        as_json = ["--json"] if campaign.program.startswith("benchmarks") else []
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, *command.split()[1:], *as_json], stdout=subprocess.PIPE, text=True, check=False
        )
        told = words_for(json.loads(done.stdout.splitlines()[-1])) if done.stdout else "nothing was said"
        if done.returncode:
            told = f"**failed ({done.returncode})**: {told}"
        print(f"| {campaign.name} | `{command}` | {told} | {time.monotonic() - began:.0f} |", flush=True)
        bad = bad or done.returncode != 0
    sys.exit(bad)


def words_for(found: Mapping[str, Any]) -> str:
    """Return what was found in a line; of what a benchmark found, its rows.

    >>> words_for({"kills": 3, "back_after_s": [0.5, 1]})
    'kills 3, back after s [0.5, 1]'
    >>> words_for({"cores": 2, "rows": [{"way": "a", "ratio": 1.0}, {"way": "b", "ratio": 0.5}]})
    'way a, ratio 1.0; way b, ratio 0.5'
    """
    rows = found.get("rows") or found.get("append") or [found]
    return "; ".join(
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items()) for row in rows
    )


if __name__ == "__main__":
    main()
