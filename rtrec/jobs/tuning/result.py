"""What tuning hands back: the best settings, every trial, and what the events held out say of them."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rtrec.evaluation.comparison import SHORT_NAMES, Comparison
from rtrec.evaluation.markup import table
from rtrec.jobs.tuning.space import Space
from rtrec.jobs.tuning.trials import FAILED, PRUNED, Trial, best_of, in_order
from rtrec.settings import Settings, as_text

#: What the two sides of the confirmation are called.
TUNED, AS_IT_WAS = "tuned", "as it was"
_SHOWN_TRIALS = 10


@dataclass(frozen=True, repr=False)
class Tuning:
    """The end of a search, best read in a notebook.

    Attributes
    ----------
    start
        The settings there were.
    best
        Those of the best complete trial; ``start`` where none did better.
    trials
        All trials by number; 0 has the settings there were.
    comparison
        ``best`` against ``start`` on the events held out; None if the search was interrupted, or nothing did
        better than ``start``.
    importances
        How much of the variance between trials each setting explains; empty with few trials.
    data
        What was searched and how, in short values by name.
    """

    start: Settings
    best: Settings
    space: Space
    metric: str
    trials: tuple[Trial, ...]
    comparison: Comparison | None
    importances: Mapping[str, float]
    data: Mapping[str, Any]
    interrupted: bool = False

    def __repr__(self) -> str:
        changes = ", ".join(f"{name} {as_text(value)}" for name, value in self.changes.items())
        return f"Tuning({len(self.trials)} trials, {self.label}: {changes or 'nothing better'})"

    @property
    def label(self) -> str:
        """Return the metric as figures carry it, for example ``ndcg@10``."""
        return f"{SHORT_NAMES[self.metric]}@{self.start.list_length}"

    @property
    def changes(self) -> dict[str, Any]:
        """Return what is otherwise in ``best`` than in ``start``, by name."""
        before, after = self.start.model_dump(), self.best.model_dump()
        return {name: value for name, value in after.items() if value != before[name]}

    @property
    def best_trial(self) -> Trial | None:
        """Return the complete trial with the highest metric."""
        return best_of(self.trials)

    @property
    def is_clear(self) -> bool:
        """Say whether the gain on the events held out is more than chance (95% interval above zero)."""
        return self.comparison is not None and self.comparison.difference(self.metric).low > 0.0

    def sentence(self) -> str:
        """Say what was found, and whether it holds on the events held out."""
        if self.best_trial is None:
            return "No trial was complete, so there is nothing to choose from."
        if not self.changes:
            return f"None of {len(self.trials):,} trials did better than the settings there were."
        if self.comparison is None:
            return "Not confirmed: the search was interrupted before the events held out were asked."
        gap = self.comparison.difference(self.metric)
        verdict = (
            "The gain holds on events that the search never saw."
            if gap.low > 0.0
            else "The tuned settings are worse on events that the search never saw: keep those you had."
            if gap.high < 0.0
            else "No clear gain on events that the search never saw: keeping your settings costs nothing."
        )
        return f"{verdict} {self.comparison.sentence(self.metric)}"

    def as_json(self) -> dict[str, Any]:
        """Return the summary in JSON values; what cannot be said is null."""
        best, start = self.best_trial, self.trials[0]
        values: dict[str, Any] = {"metric": self.label, "trials": len(self.trials)}
        values |= {
            state: sum(each.state == state for each in self.trials) for state in ("complete", PRUNED, FAILED)
        }
        values |= {
            "interrupted": self.interrupted,
            "best": self.changes,
            "search_best": best.value if best is not None else None,
            "search_as_it_was": start.value,
        }
        gap = None if self.comparison is None else self.comparison.difference(self.metric)
        means = [None, None] if self.comparison is None else self.held_out().tolist()
        values |= {
            "held_out_events": 0 if self.comparison is None else self.comparison.n_tested,
            "held_out_best": means[0],
            "held_out_as_it_was": means[1],
            "difference": None if gap is None else gap.value,
            "difference_low": None if gap is None else gap.low,
            "difference_high": None if gap is None else gap.high,
            "is_clear": self.is_clear,
        }
        values |= {
            "events_replayed": sum(each.n_replayed for each in self.trials),
            "seconds": self.data["seconds"],
        }
        return {name: _finite(value) for name, value in values.items()}

    def held_out(self) -> Any:
        """Return the metric of ``best`` and of ``start`` on the events held out, ``(2,)``."""
        assert self.comparison is not None
        totals = self.comparison.totals
        return {"hit_rate": totals.hit_rate, "ndcg": totals.ndcg, "mrr": totals.mrr}[self.metric]()

    def to_frame(self) -> pd.DataFrame:
        """Return one row a trial: its settings, state, metric, and gain on the settings there were."""
        rows = [
            {"trial": each.number, **each.values, "state": each.state, "rungs": len(each.by_rung)}
            | {self.label: each.value, "gain": each.gain(self.trials[0]), "events": each.n_replayed}
            for each in self.trials
        ]
        return pd.DataFrame(rows).set_index("trial")

    def best_yaml(self) -> str:
        """Return ``best`` as a file for ``--settings``: what was tuned, and what is no default."""
        import yaml

        default = Settings().model_dump(mode="json")  # as a file has them: lists, no tuples
        tuned = {each.name for each in self.space}
        values = {
            name: value
            for name, value in self.best.model_dump(mode="json").items()
            if name in tuned or value != default[name]
        }
        lines = [f"rtrec tune on {self.data['data']}", *textwrap.wrap(self.sentence(), 100)]
        about = "".join(f"# {line}\n" for line in map(_in_a_line, lines))
        return about + yaml.safe_dump(values, sort_keys=False)

    def _repr_html_(self) -> str:
        html = trials_table(self) + f"<p>{self.sentence()}</p>"
        return html if self.comparison is None else html + self.comparison._repr_html_()


def trials_json(trials: Any, about: Mapping[str, Any]) -> str:
    """Return what ``trials.json`` holds: what was searched, and every trial."""
    listed = [{name: _finite(value) for name, value in each.as_json().items()} for each in trials]
    return json.dumps({"search": dict(about), "trials": listed}, allow_nan=False, indent=1)


def trials_table(tuning: Tuning, n_shown: int = _SHOWN_TRIALS) -> str:
    """Return the best trials as an HTML table."""
    names = [each.name for each in tuning.space]
    head = ["trial", tuning.label, "gain", "replayed", "", *names]
    rows = [row_of(tuning, each) for each in in_order(tuning.trials, tuning.trials[0])[:n_shown]]
    notes = [
        "Gain: the difference to the settings there were (trial 0), over the same events.",
        "Only trials that replayed all search events can be chosen; pruned ones were in the worse half.",
    ]
    return table(f"The best of {len(tuning.trials):,} trials", head, rows, notes)


def row_of(tuning: Tuning, trial: Trial) -> list[str]:
    """Return a trial as cells: number, metric, gain, events, state, and its settings."""
    gain = trial.gain(tuning.trials[0])
    cells = [str(trial.number), _figure(trial.value, ".4f"), _figure(gain, "+.4f"), f"{trial.n_replayed:,}"]
    state = f"{trial.state}: {trial.reason}" if trial.reason else trial.state
    return [*cells, state, *(f"{trial.values[each.name]}" for each in tuning.space)]


def _figure(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _in_a_line(text: str) -> str:
    """Return a name from outside as one line, so that a comment stays one."""
    return " ".join(text.split())


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
