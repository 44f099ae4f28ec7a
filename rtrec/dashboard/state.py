"""What every page shows: one immutable reading at a time, in one shared parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import param

from rtrec.dashboard.curves import Curves
from rtrec.engine.status import AppliedChange, Phase, Status

#: Age of the newest learned event from which a running engine counts as stale, and as stuck.
STALE_AFTER_S = 10.0
STUCK_AFTER_S = 60.0


class Level(StrEnum):
    """How worried the header looks."""

    IDLE = "idle"
    GOOD = "good"
    QUIET = "quiet"
    STALE = "stale"
    STUCK = "stuck"


class PulseSample(NamedTuple):
    """How fast the run was at one moment of wall time."""

    time: datetime
    rate_per_s: float
    lag: int
    freshness_p50_ms: float
    freshness_p95_ms: float


def starting_status(message: str = "Starting the engine") -> Status:
    """Return what is shown before there is a run to ask."""
    return Status(phase=Phase.STARTING, message=message)


@dataclass(frozen=True)
class Reading:
    """The run as last read; a new value each time, never changed afterwards.

    As seen from here, ``age_s`` is how long ago learning last moved on, ``silent_s`` how long ago the run
    last said how it is, and ``phase_s`` how long it has been in its phase; ``problem`` says why it could not
    be read.
    """

    status: Status = field(default_factory=starting_status)
    age_s: float = 0.0
    silent_s: float = 0.0
    phase_s: float = 0.0
    curves: Curves = field(default_factory=Curves.empty)
    pulse: Sequence[PulseSample] = ()
    users: Sequence[str] = ()
    changes: Sequence[AppliedChange] = ()
    problem: str = ""

    @property
    def level(self) -> Level:
        """Say whether the figures are live, stale or stuck; only a running engine can be stale.

        It is quiet, not stale, when all that was accepted is learned: then nothing came. But one that has
        stopped to say how it is may not know of what came.
        """
        if self.status.phase in (Phase.FAILED, Phase.PAUSED) or self.problem:
            return Level.STUCK
        if self.status.phase is not Phase.RUNNING:
            return Level.IDLE
        silence = _level_of(self.silent_s)
        if silence is not Level.GOOD:
            return silence
        if self.age_s > STALE_AFTER_S and self.status.lag <= 0:
            return Level.QUIET
        return _level_of(self.age_s)

    @property
    def data_age_s(self) -> float:
        """Return the age of the newest event that this run learned, NaN if it only knows older ones."""
        lives = self.status.phase not in (Phase.STARTING, Phase.RECOVERING)
        return self.age_s if lives and self.status.run_events > 0 else float("nan")

    @property
    def data_level(self) -> Level:
        """Say how worrying that age is: while a run goes on, old figures are old, for whatever reason."""
        return _level_of(self.data_age_s) if self.status.phase is Phase.RUNNING else Level.IDLE

    @property
    def has_begun(self) -> bool:
        """Say whether there is anything learned to show."""
        return self.status.events > 0

    def sample(self, now: datetime | None = None) -> PulseSample:
        """Return this reading's speed as one point of the pulse."""
        status = self.status
        return PulseSample(
            now or datetime.now(UTC),
            status.rate_per_s,
            status.lag,
            status.freshness_p50_ms,
            status.freshness_p95_ms,
        )


def _level_of(age_s: float) -> Level:
    """Return the level of an age; one that is not known is no worry."""
    if age_s > STUCK_AFTER_S:
        return Level.STUCK
    return Level.STALE if age_s > STALE_AFTER_S else Level.GOOD


class RunState(param.Parameterized):
    """The parameter that pages bind to."""

    reading = param.ClassSelector(class_=Reading, default=Reading(), instantiate=False)
