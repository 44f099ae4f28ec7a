"""End a life, or have a step fail, at each named step of the code, and compare with an undisturbed life."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from rtrec.failpoints import ACTIONS, FAILPOINTS, arm
from tests.chaos.lives import Life, live
from tests.chaos.trying import Expected, Point, in_child, report_of, try_point


def at_failpoints(folder: Path) -> list[Point]:
    """Try all actions, the first and the second time that a life comes by each failpoint.

    Some steps come once in a life, so the second time may be calm. The first time may not: a failpoint that
    no life comes by was not tried.
    """
    expected, found = _undisturbed(Life(folder / "calm", is_mended=True)), []
    for name in FAILPOINTS:
        for action in ACTIONS:
            for at in (1, 2):
                life = Life(folder / f"{name}-{action}-{at}", is_mended=True)
                disturbed = partial(live_with_failpoint, life, name, action, at, report_of(life.home))
                point = try_point(life, [disturbed], Point(f"{name}={action}", at, 0, ""), expected)
                if at == 1 and point.outcome == "calm":
                    point = _never_reached(name, action)
                if point.is_bad:
                    print(json.dumps(asdict(point)), file=sys.stderr, flush=True)
                found.append(point)
    return found


def in_a_row(folder: Path) -> list[Point]:
    """Let one deployment be killed before and behind each failpoint, life after life; compare its end.

    It takes one life for two of those that are tried by themselves, and does not say which of them it was.
    ``FAILPOINTS`` are in the order in which a life comes by: what stands behind is still to come.
    """
    life = Life(folder / "row", is_mended=True, snapshot_every=60)  # often, so that each step comes late too
    expected = _undisturbed(replace(life, home=folder / "calm"))
    marks = {
        (name, action): folder / f"{name}-{action}.mark"
        for name in FAILPOINTS
        for action in ("kill", "kill-after")
    }
    lives = [partial(live_with_failpoint, life, *each, 1, mark) for each, mark in marks.items()]
    end = try_point(life, lives, Point("all in a row", 1, 0, ""), expected)
    found = [
        Point(f"{name}={action}", 1, 0, "equal", mark.read_text().strip())
        if mark.exists()
        else _never_reached(name, action)
        for (name, action), mark in marks.items()
    ]
    return [*found, end] if end.is_bad else found


def live_with_failpoint(life: Life, name: str, action: str, at: int, mark: Path) -> str:
    """Live with one failpoint armed."""
    arm(name, action, at=at, mark=mark)
    live(life)
    return ""


def _undisturbed(life: Life) -> Expected:
    in_child(lambda: str(live(life)), life.home.with_name("unused"))
    return Expected.of(life.home)


def _never_reached(name: str, action: str) -> Point:
    words = f"no life came by the failpoint {name}: let one do what it stands around"
    return Point(f"{name}={action}", 1, 0, "never reached", words=words)
