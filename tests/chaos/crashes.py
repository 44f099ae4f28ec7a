"""Crash at the n-th call that changes a file, live again, and compare with a life that nothing happened to.

    python -m tests.chaos.crashes --points 200 --seed 1

A small run, with a model that is fitted beside it, is lived once undisturbed, and its calls are counted.
Then, at points drawn over all of them (with ``--points 0`` at every one), a life in a process of its own ends
there: killed before or behind the call, killed with part of it done, or without power, which loses what was
not synced; or the disk gives errors for a while. The next life must end with the same events, metrics and
state, bit by bit. ``--only ACTION:N:SEED`` repeats one point. ``--failpoints`` ends lives before and behind
each named step of the code instead, or has the step fail. The last line is JSON.

Take the sync out of ``rtrec.files.sync``, or ``synchronous = FULL`` out of the log, and failures of the power
find it: ``--without files`` and ``--without log`` do that, and have to fail.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rtrec.events.database import Database
from rtrec.failpoints import ACTIONS as FAILPOINT_ACTIONS
from rtrec.failpoints import FAILPOINTS, arm
from tests.chaos import shim
from tests.chaos.lives import Life, figures, fingerprint, live
from tests.chaos.shim import Action

ACTIONS = tuple(each for each in Action if each is not Action.NOTHING)
_PATIENCE_S = 120.0
#: Errors of the disk last for so many calls.
_SPAN = 6


@dataclass(frozen=True)
class Point:
    """One disturbance, where it struck, and what came of it.

    ``outcome`` is equal, lost, duplicated, unequal, failed (the next life said so) or hung.
    """

    action: str
    at: int
    seed: int
    outcome: str
    where: str = ""
    words: str = ""


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--points", type=int, default=100, help="how many points; 0 is every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--action", action="append", choices=[each.name.lower() for each in ACTIONS])
    parser.add_argument("--failpoints", action="store_true", help="at each failpoint, not at calls")
    parser.add_argument("--without", choices=BREAKS, help="leave the syncs of one kind out")
    parser.add_argument("--only", metavar="ACTION:N:SEED", help="repeat one point")
    parser.add_argument("--folder", type=Path, help="where homes are made (default: a temporary one)")
    options = parser.parse_args()
    if not shim.is_loaded():
        folder = Path(tempfile.mkdtemp(prefix="rtrec-shim-"))
        shim.start_again_with(shim.build(folder), "tests.chaos.crashes", sys.argv[1:])
    os.environ.pop("LD_PRELOAD", None)  # compilers and the like need no such layer
    with tempfile.TemporaryDirectory(prefix="rtrec-crashes-", dir=options.folder) as folder:
        found = campaign(Path(folder), options)
    bad = [asdict(each) for each in found if each.outcome != "equal"]
    for each in bad:
        print(json.dumps(each))
    outcomes = Counter(each.outcome for each in found)
    print(json.dumps({"points": len(found), **outcomes}))
    sys.exit(bool(bad))


def campaign(folder: Path, options: argparse.Namespace) -> list[Point]:
    """Live undisturbed, then disturbed at each point, and return what came of them."""
    from tests.engine import lives_preload  # kernels and all imports, before anything is forked

    assert lives_preload is not None
    if options.without:
        BREAKS[options.without]()
    calm = folder / "calm"
    n_calls = int(in_child(lambda: counted(calm), folder / "n"))
    expected = figures(calm), fingerprint(calm)
    if options.failpoints:
        return at_failpoints(folder, expected)
    if options.only:
        action, at, seed = options.only.split(":")
        points = [(Action[action.upper()], int(at), int(seed))]
    else:
        points = draw(options, n_calls)
    print(json.dumps({"calls": n_calls, "points": len(points)}), file=sys.stderr, flush=True)
    found = []
    for number, (action, at, seed) in enumerate(points):
        home = folder / f"home{number}"
        point = try_point(home, partial(disturb, home, action, at, seed), (action, at, seed), expected)
        if point.outcome != "equal" or number % 20 == 0:
            print(json.dumps({"number": number} | asdict(point)), file=sys.stderr, flush=True)
        found.append(point)
    return found


def at_failpoints(folder: Path, expected: tuple[dict[str, Any], str]) -> list[Point]:
    """End a life, or fail a step, the first and the second time that a life comes by each failpoint."""
    found = []
    for name in FAILPOINTS:
        for action in FAILPOINT_ACTIONS:
            for at in (1, 2):
                home = folder / f"{name}-{action}-{at}"
                disturbed = partial(live_with_failpoint, home, name, action, at)
                point = try_point(home, disturbed, (f"{name}={action}", at, 0), expected)
                if point.outcome != "equal":
                    print(json.dumps(asdict(point)), file=sys.stderr, flush=True)
                found.append(point)
    return found


def live_with_failpoint(home: Path, name: str, action: str, at: int) -> str:
    """Live with one failpoint armed."""
    arm(name, action, at=at)
    live(Life(home))
    return ""


def disturb(home: Path, action: Action, at: int, seed: int) -> str:
    """Live until the ``at``-th call, and whatever happens there."""
    report = home.with_name(f"{home.name}.report")
    shim.arm(home, report, action, at=at, seed=seed, span=_SPAN)
    live(Life(home))
    return ""


def without_syncs_of_files() -> None:
    """Let no file of ours be waited for; SQLite still waits for its own."""
    os.fsync = lambda _: None  # type: ignore[assignment]


def without_syncs_of_the_log() -> None:
    """Let SQLite wait for nothing."""
    opened = Database.__init__

    def hasty(self: Database, *arguments: Any, **options: Any) -> None:
        opened(self, *arguments, **options)
        self._writer.execute("PRAGMA synchronous = OFF")

    Database.__init__ = hasty  # type: ignore[method-assign]


BREAKS = {"files": without_syncs_of_files, "log": without_syncs_of_the_log}


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


def counted(home: Path) -> str:
    """Live to the end and return how many calls that took."""
    shim.arm(home, home.with_name("report"), Action.NOTHING, at=0, seed=0)
    live(Life(home))
    return str(shim.count())


def try_point(
    home: Path,
    disturbed: Callable[[], str],
    what: tuple[Any, int, int],
    expected: tuple[dict[str, Any], str],
) -> Point:
    """Live one life that is disturbed, live again, and compare."""
    report = home.with_name(f"{home.name}.report")
    action, at, seed = what
    name = action.name.lower() if isinstance(action, Action) else str(action)

    def judged(outcome: str, words: str = "") -> Point:
        where = report.read_text().strip() if report.exists() else ""
        return Point(name, at, seed, outcome, where, words)

    try:
        in_child(disturbed, home.with_name("unused"), may_die=True)
        in_child(lambda: str(live(Life(home))), home.with_name("again"))
        now = figures(home)
        if now["events"] != expected[0]["events"]:
            return judged("lost" if now["events"] < expected[0]["events"] else "duplicated", str(now))
        if now != expected[0]:
            return judged("unequal", f"{now} {expected[0]}")
        return judged("equal" if fingerprint(home) == expected[1] else "unequal", "state")
    except TimeoutError as error:
        return judged("hung", str(error))
    except RuntimeError as error:
        return judged("failed", str(error))
    finally:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(home.with_name(home.name + ".backups"), ignore_errors=True)


def in_child(work: Callable[[], str], said_in: Path, *, may_die: bool = False) -> str:
    """Do something in a forked process and return what it says.

    Raises
    ------
    RuntimeError
        If it fails, or dies although it ``may_die`` not.
    TimeoutError
        If it takes too long.
    """
    errors = said_in.with_suffix(".errors")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with errors.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                said_in.write_text(work())
            code = 0
        except BaseException as error:
            errors.write_text(f"{type(error).__name__}: {error}")
        finally:
            os._exit(code)
    deadline = time.monotonic() + _PATIENCE_S
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"a life did not end within {_PATIENCE_S:g} s: {errors.read_text()[-2000:]}")
        time.sleep(0.01)
    if ended[1] != 0 and not may_die:
        raise RuntimeError(errors.read_text()[-2000:])
    return said_in.read_text() if ended[1] == 0 else ""


if __name__ == "__main__":
    main()
