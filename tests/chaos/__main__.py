"""`make chaos`: all campaigns, one after the other, and a table of what came of them.

    python -m tests.chaos [--quick]

It takes about an hour; ``--quick`` tries a tenth of everything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

#: Name, module, options of a whole campaign and of a quick one.
CAMPAIGNS = [
    ("killed at random", "kills", "--kills 200 --events 130000", "--kills 15 --events 10000"),
    (
        "killed, its workers in processes",
        "kills",
        "--processes --kills 20 --events 40000",
        "--processes --kills 2 --events 6000",
    ),
    ("worker ended", "workers", "--rounds 5", "--rounds 1"),
    ("scheduler killed, workers stopped", "operated", "--kills 5 --pauses 2", "--kills 1 --pauses 1"),
    ("crash at a failpoint", "crashes", "--failpoints", "--failpoints"),
    ("crash at any write", "crashes", "--points 300", "--points 30"),
    ("file damaged", "corruption", "--n 1000", "--n 100"),
    ("bad rows among good ones", "poison", "--n 100000", "--n 5000"),
    ("in use for long", "soak", "--minutes 30", "--minutes 3 --rate 40 --warm 0.6 --most 15"),
]
#: They do the same each time.
_WITHOUT_CHANCE = ("workers", "operated", "soak")


def main() -> None:
    """Run all campaigns; the exit status is 1 if any found something."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    bad = False
    print("| campaign | command | what came of it | seconds |\n| --- | --- | --- | --- |", flush=True)
    for name, module, whole, quick in CAMPAIGNS:
        words = f"-m tests.chaos.{module} {quick if options.quick else whole}".split()
        if module not in _WITHOUT_CHANCE:
            words += ["--seed", str(options.seed)]
        began = time.monotonic()
        done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True, check=False)
        found = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"failed": done.returncode}
        told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in found.items())
        print(
            f"| {name} | `python {' '.join(words)}` | {told} | {time.monotonic() - began:.0f} |", flush=True
        )
        bad = bad or done.returncode != 0
    sys.exit(bad)


if __name__ == "__main__":
    main()
