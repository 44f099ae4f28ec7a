"""Crash at the n-th call that changes a file, live again, and compare with a life that nothing happened to.

    python -m tests.chaos.crashes --points 200 --seed 1

A small run, with a model that is fitted beside it, is lived once undisturbed, and its calls are counted.
Then, at points drawn over all of them (with ``--points 0`` at every one), a life in a process of its own ends
there: killed before or behind the call, killed with part of it done, or without power, which loses what was
not synced; or the disk gives errors for a while. The next life must end with the same events, metrics and
state, bit by bit. ``--only ACTION:N:SEED`` repeats one point. ``--failpoints`` ends lives before and behind
each named step of the code instead, or has the step fail; a step that no life comes by is an error. The last
line is JSON: points are those at which something struck; calm are those that a life did not come to.

Take the sync out of ``rtrec.files.sync``, or ``synchronous = FULL`` out of the log, and failures of the power
find it: ``--without files`` and ``--without log`` do that, and have to fail.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from tests.chaos import shim
from tests.chaos.at_failpoints import at_failpoints, in_a_row
from tests.chaos.lives import Life, live
from tests.chaos.shim import Action
from tests.chaos.syncs import WITHOUT
from tests.chaos.trying import Expected, Point, in_child, report_of, try_point

ACTIONS = tuple(each for each in Action if each is not Action.NOTHING)
#: So many calls meet errors of the disk.
_SPAN = 6
_SHIM = "rtrec-shim-"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--points", type=int, default=100, help="how many points; 0 is every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--action", action="append", choices=[each.name.lower() for each in ACTIONS])
    parser.add_argument("--failpoints", action="store_true", help="at each failpoint, not at calls")
    parser.add_argument(
        "--in-a-row", action="store_true", help="with --failpoints: one deployment is killed at all of them"
    )
    parser.add_argument("--without", choices=WITHOUT, help="leave the syncs of one kind out")
    parser.add_argument("--only", metavar="ACTION:N:SEED", help="repeat one point")
    parser.add_argument("--folder", type=Path, help="where homes are made (default: a temporary one)")
    options = parser.parse_args()
    if not options.failpoints and not shim.is_loaded():
        folder = Path(tempfile.mkdtemp(prefix=_SHIM))
        shim.start_again_with(shim.build(folder), "tests.chaos.crashes", sys.argv[1:])
    layer = os.environ.pop("LD_PRELOAD", None)  # compilers and the like need none
    if layer is not None and Path(layer).parent.name.startswith(_SHIM):
        shutil.rmtree(Path(layer).parent)  # it is loaded, and needs no file any more
    with tempfile.TemporaryDirectory(prefix="rtrec-crashes-", dir=options.folder) as folder:
        found = campaign(Path(folder), options)
    bad = [each for each in found if each.is_bad]
    for each in bad:
        print(json.dumps(asdict(each)))
    outcomes = Counter(each.outcome for each in found)
    print(json.dumps({"points": sum(bool(each.where) for each in found), **outcomes}))
    sys.exit(bool(bad))


def campaign(folder: Path, options: argparse.Namespace) -> list[Point]:
    """Live undisturbed, then disturbed at each point, and return what came of them."""
    from tests.engine import lives_preload  # kernels and all imports, before anything is forked

    assert lives_preload is not None
    if options.without:
        WITHOUT[options.without]()
    if options.failpoints:
        return in_a_row(folder) if options.in_a_row else at_failpoints(folder)
    calm = Life(folder / "calm")
    n_calls = int(in_child(lambda: counted(calm), folder / "n"))
    expected = Expected.of(calm.home)
    if options.only:
        action, at, seed = options.only.split(":")
        points = [(Action[action.upper()], int(at), int(seed))]
    else:
        points = draw(options, n_calls)
    print(json.dumps({"calls": n_calls, "points": len(points)}), file=sys.stderr, flush=True)
    found = []
    for number, (action, at, seed) in enumerate(points):
        life = Life(folder / f"home{number}")
        point = Point(action.name.lower(), at, seed, "")
        point = try_point(life, [partial(disturb, life, action, at, seed)], point, expected)
        if point.is_bad or number % 20 == 0:
            print(json.dumps({"number": number} | asdict(point)), file=sys.stderr, flush=True)
        found.append(point)
    return found


def disturb(life: Life, action: Action, at: int, seed: int) -> str:
    """Live until the ``at``-th call, and whatever happens there."""
    shim.arm(life.home, report_of(life.home), action, at=at, seed=seed, span=_SPAN)
    live(life)
    return ""


def draw(options: argparse.Namespace, n_calls: int) -> list[tuple[Action, int, int]]:
    """Return points, spread over all calls, with actions in turn."""
    actions = [Action[each.upper()] for each in options.action or [each.name for each in ACTIONS]]
    rng = np.random.default_rng(options.seed)
    if options.points == 0:
        return [(action, at, at) for at in range(1, n_calls + 1) for action in actions]
    places = np.sort(rng.choice(n_calls, size=options.points, replace=options.points > n_calls)) + 1
    seeds = rng.integers(1, 2**31, size=options.points)
    return [
        (actions[number % len(actions)], int(at), int(seed))
        for number, (at, seed) in enumerate(zip(places, seeds, strict=True))
    ]


def counted(life: Life) -> str:
    """Live to the end and return how many calls that took."""
    shim.arm(life.home, report_of(life.home), Action.NOTHING, at=0, seed=0)
    live(life)
    return str(shim.count())


if __name__ == "__main__":
    main()
