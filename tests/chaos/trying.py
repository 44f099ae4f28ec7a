"""One life that is disturbed, the next one, and what that comes to beside a life nothing happened to."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.chaos.lives import Life, figures, fingerprint, live

_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Point:
    """One disturbance, where it struck, and what came of it.

    ``outcome`` is equal, lost, duplicated, unequal, failed (the next life said so) or hung; calm if it struck
    nowhere, since the life did not come so far; and never reached where it had to.
    """

    action: str
    at: int
    seed: int
    outcome: str
    where: str = ""
    words: str = ""

    @property
    def is_bad(self) -> bool:
        """Say whether something is to be looked into."""
        return self.outcome not in ("equal", "calm")


@dataclass(frozen=True)
class Expected:
    """What an undisturbed life comes to."""

    figures: dict[str, Any]
    fingerprint: str

    @classmethod
    def of(cls, home: Path) -> Expected:
        """Return what the life in ``home`` came to."""
        return cls(figures(home), fingerprint(home))


def report_of(home: Path) -> Path:
    """Return where whatever disturbs a life writes that it struck."""
    return home.with_name(f"{home.name}.report")


def try_point(life: Life, disturbed: Iterable[Callable[[], str]], point: Point, expected: Expected) -> Point:
    """Live lives that are ``disturbed`` (one, mostly), then one that is not; return what came of it."""
    home, report = life.home, report_of(life.home)

    def judged(outcome: str, words: str = "") -> Point:
        where = report.read_text().strip() if report.exists() else ""
        if outcome == "equal" and not where:
            outcome = "calm"
        return replace(point, outcome=outcome, where=where, words=words)

    try:
        for each in disturbed:
            in_child(each, home.with_name("unused"), may_die=True)
        in_child(lambda: str(live(life)), home.with_name("again"))
        now = figures(home)
        if now["events"] != expected.figures["events"]:
            less = now["events"] < expected.figures["events"]
            return judged("lost" if less else "duplicated", str(now))
        if now != expected.figures:
            return judged("unequal", f"{now} {expected.figures}")
        if fingerprint(home) != expected.fingerprint:
            return judged("unequal", "state")
        return judged("equal")
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
