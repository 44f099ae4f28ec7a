"""What is known of each trial, as the page, the table and ``trials.json`` show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
#: So much of what cannot be read is shown.
_SHOWN = 80


@dataclass
class Trial:
    """One replay under proposed settings, or as much of it as was worth its while.

    Attributes
    ----------
    number
        0 has the settings there were; nothing prunes it, so that others can be held against it.
    values
        The proposed settings by name.
    state
        ``complete``, ``pruned`` (stopped below the last rung), ``failed`` (see ``reason``), or ``running``
        where the search was interrupted.
    by_rung
        The metric over all events tested up to each rung it reached.
    n_replayed, seconds
        How many events it replayed, those that only warm up included, and how long it took.
    """

    number: int
    values: dict[str, bool | int | float]
    state: Annotated[str, Field(pattern=f"^({COMPLETE}|{PRUNED}|{FAILED}|{RUNNING})$")] = RUNNING
    by_rung: list[FiniteFloat] = field(default_factory=list)
    n_replayed: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def value(self) -> float:
        """Return the metric over all events it was tested on; NaN before the first rung."""
        return self.by_rung[-1] if self.by_rung else float("nan")

    def gain(self, start: Trial) -> float:
        """Return its metric minus that of the settings there were, over the same events."""
        reached = min(len(self.by_rung), len(start.by_rung))
        return self.by_rung[reached - 1] - start.by_rung[reached - 1] if reached else float("nan")

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON values, from which ``Trial(**values)`` makes it again."""
        return asdict(self)


class _Stored(BaseModel):
    """What ``trials.json`` holds."""

    model_config = ConfigDict(strict=True)

    search: dict[str, Any]
    trials: list[Trial]


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the highest metric, of equals the first; None without one."""
    complete = [each for each in trials if each.state == COMPLETE]
    return max(complete, key=lambda each: (each.value, -each.number)) if complete else None


def in_order(trials: Sequence[Trial], start: Trial) -> list[Trial]:
    """Return trials best first: those that came further before those stopped earlier, failed ones last."""

    def place(trial: Trial) -> tuple[int, float, int]:
        gain = trial.gain(start)
        return (-len(trial.by_rung), -gain if gain == gain else 0.0, trial.number)

    return sorted((each for each in trials if each.state != FAILED), key=place) + [
        each for each in trials if each.state == FAILED
    ]


def read_trials(content: bytes) -> tuple[dict[str, Any], list[Trial]]:
    """Return what ``trials.json`` says was searched, and its trials without those that were running.

    Raises
    ------
    ValueError
        If it holds something else: where, what was expected there, and what came.
    """
    try:
        stored = _Stored.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise ValueError(f"{where}: {first['msg']}; got {str(first['input'])[:_SHOWN]!r}") from error
    for place, each in enumerate(stored.trials):
        space = stored.search.get("space")
        if not isinstance(space, dict) or set(each.values) != set(space):
            raise ValueError(f"trials.{place}: expected a value of each of {space}; got {each.values}")
        if each.state in (COMPLETE, PRUNED) and not each.by_rung:
            raise ValueError(f"trials.{place}: expected figures of a trial that is {each.state}; got none")
    return stored.search, [each for each in stored.trials if each.state != RUNNING]
