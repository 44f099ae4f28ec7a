"""What an evaluation hands back: one result a model, as JSON lines, a frame, or a table in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import xarray as xr

from rtrec.errors import InputError, nearest
from rtrec.evaluation.by_cohort import by_cohort
from rtrec.evaluation.comparison import Comparison
from rtrec.evaluation.markup import difference_cell, interval_cell, table
from rtrec.evaluation.metrics import Difference, PairedCounts
from rtrec.evaluation.model_result import ModelResult, finite
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.registry import POPULARITIES
from rtrec.settings import Settings
from rtrec.types import Nums

#: What frozen splits measure every other model against.
BASELINE = "popularity"
_SPAN = ("first event", "last event")


@dataclass(repr=False)
class Evaluation:
    """Results of models tested on the same events, best read in a notebook.

    ``data`` says what was evaluated (name of the file, users, items, warm-up): any short values by name.
    ``users`` and ``user_num``, shape ``(event,)``, say whose each tested event was.
    """

    results: list[ModelResult]
    settings: Settings = field(default_factory=Settings)
    data: dict[str, Any] = field(default_factory=dict)
    users: Vocabulary | None = None
    user_num: Nums | None = None

    def __repr__(self) -> str:
        figures = ", ".join(f"{each.model} {each.hit_rate:.4f}" for each in self.results)
        events = f"{self.results[0].events:,} events, hr@{self.results[0].k}: " if self.results else ""
        text = f"{events}{figures or 'no model'}"
        return f"Evaluation({text if len(text) <= 105 else text[:102] + '...'})"

    def __iter__(self) -> Iterator[ModelResult]:
        """Iterate over the results of the models."""
        return iter(self.results)

    def __getitem__(self, model: str) -> ModelResult:
        """Return the result of one model.

        Raises
        ------
        InputError
            If no such model was evaluated; the nearest name is given.
        """
        by_name = {each.model: each for each in self.results}
        if model not in by_name:
            raise InputError(
                f"no result of model {model!r}{nearest(model, by_name)}; evaluated: {', '.join(by_name)}"
            )
        return by_name[model]

    @property
    def baseline(self) -> ModelResult | None:
        """Return what the others are measured against: the popularity that hit most; None without any."""
        popular = [each for each in self.results if each.model in POPULARITIES]
        return max(popular, key=lambda each: each.hit_rate, default=None)

    def gap(self, result: ModelResult) -> Difference | None:
        """Return the hit rate of a model minus the baseline's; None for the baseline, or without one."""
        baseline = self.baseline
        return None if baseline in (None, result) else _paired(result, baseline).difference("hit_rate")

    def compare(self, a: str, b: str) -> Comparison:
        """Compare two of the models on the same events; differences are ``a`` minus ``b``."""
        one, other = self[a], self[b]
        history = one.windows.beside(other.windows)
        return Comparison(history.total(), _paired(one, other), history)

    def by_cohort(self, groups: Mapping[str, str]) -> xr.Dataset:
        """Return the figures of groups of users, given by user id; see :mod:`rtrec.evaluation.by_cohort`."""
        return by_cohort(self.results, self.users, self.user_num, groups)

    def as_json(self) -> list[dict[str, Any]]:
        """Return each model's figures, and its paired differences to the popularities that were evaluated.

        A difference and its 95% interval are in ``hr@k_minus_popularity``, ``..._low`` and ``..._high``, and
        so on for ``popularity-all-time``; ``baseline`` names the one that hit most.
        """
        lines = []
        for each in self.results:
            line = each.as_json()
            line |= {name.replace(" ", "_"): self.data[name] for name in _SPAN if name in self.data}
            for popular in self.results:
                if popular.model in POPULARITIES and popular is not each:
                    name = f"hr@{each.k}_minus_{popular.model}"
                    gap = _paired(each, popular).difference("hit_rate")
                    values = zip((name, f"{name}_low", f"{name}_high"), gap, strict=True)
                    line |= {key: finite(value) for key, value in values}
            if self.baseline is not None:
                line["baseline"] = self.baseline.model
            lines.append(line)
        return lines

    def json_lines(self) -> str:
        """Return one JSON object a model, each on its own line."""
        return "\n".join(json.dumps(each, allow_nan=False, ensure_ascii=False) for each in self.as_json())

    def to_frame(self) -> pd.DataFrame:
        """Return the figures of :meth:`as_json` as a frame with one row a model."""
        return pd.DataFrame(self.as_json()).set_index("model") if self.results else pd.DataFrame()

    def _repr_html_(self) -> str:
        if not self.results:
            return table("No model was evaluated", [], [])
        k, events = self.results[0].k, self.results[0].events
        minus = f"hr@{k} minus {BASELINE if self.baseline is None else self.baseline.model}"
        head = ["model", f"hr@{k}", f"ndcg@{k}", minus, f"coverage@{k}", "events/s"]
        tops = {
            metric: max(each.interval(metric)[1] for each in self.results) for metric in ("hit_rate", "ndcg")
        }
        rows: list[list[str]] = []
        for each in self.results:
            gap = self.gap(each)
            rows.append(
                [
                    each.model,
                    interval_cell(each.hit_rate, *each.interval("hit_rate"), tops["hit_rate"]),
                    interval_cell(each.ndcg, *each.interval("ndcg"), tops["ndcg"]),
                    difference_cell(gap) if gap else "",
                    f"{each.coverage:.3f}",
                    f"{each.events_per_s:,.0f}",
                ]
            )
        notes = [", ".join(f"{name} {value}" for name, value in self.data.items())] if self.data else []
        notes.append("Every event was answered before it was learned.")
        notes.append("Brackets: 95% intervals; differences are paired by event.")
        return table(f"{events:,} events tested", head, rows, notes)


def _paired(one: ModelResult, other: ModelResult) -> PairedCounts:
    paired = PairedCounts(one.k)
    paired.add(one.ranks, other.ranks)
    return paired
