"""What an offline evaluation hands back: a cube of figures, tests between models, a table in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from rtrec.errors import InputError, nearest
from rtrec.evaluation.figures import OF_ALL_LISTS, Tested
from rtrec.evaluation.markup import curves, difference_cell, interval_cell, table
from rtrec.evaluation.result import BASELINE
from rtrec.evaluation.significance import PairedTest, paired_test
from rtrec.evaluation.slices import ALL, Cohort
from rtrec.events.vocabulary import Vocabulary

#: What the notebook shows of each model, as far as there are intervals and bars.
_SHOWN = ("ndcg", "recall", "coverage", "novelty")


@dataclass(frozen=True, repr=False)
class OfflineEvaluation:
    """Figures of models that ranked all items for the same users, best read in a notebook.

    Attributes
    ----------
    dataset
        ``value``, ``low`` and ``high`` of the 95% interval with dimensions ``(model, metric, cohort, time)``,
        ``users`` with ``(cohort, time)``, and the seconds of learning and answering by ``model``. Time is the
        last event of each window of the test part.
    overall
        The same over the whole test part, without ``time``.
    data
        What was evaluated, in short values by name.
    """

    dataset: xr.Dataset
    overall: xr.Dataset
    tested: Tested
    user_ids: Vocabulary
    data: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        name = self._main("ndcg")
        figures = ", ".join(f"{each} {self.value(each, name):.4f}" for each in self.models)
        text = f"{len(self.tested.pairs.users):,} users, {name}: {figures}"
        return f"OfflineEvaluation({text if len(text) <= 95 else text[:92] + '...'})"

    @property
    def models(self) -> list[str]:
        """Return the names of the models."""
        return list(self.tested.lists)

    def value(self, model: str, metric: str, cohort: str = ALL) -> float:
        """Return one figure over the whole test part."""
        self._check(model, metric)
        return float(self.overall["value"].sel(model=model, metric=metric, cohort=self._cohort(cohort).name))

    def per_user(self, model: str, cohort: str = ALL) -> pd.DataFrame:
        """Return the figures of each tested user, a column a metric, with the user ids as index.

        Raises
        ------
        InputError
            If the model or cohort is unknown; the nearest name is given.
        """
        self._check(model)
        rows, figures = self.tested.per_user(model, self._cohort(cohort))
        ids = [self.user_ids.id_of(num) for num in self.tested.pairs.users[rows].tolist()]
        frame = pd.DataFrame(figures, index=pd.Index(ids, name="user_id"), columns=self.tested.metrics)
        return frame[[name for name in self.tested.metrics if name.split("@")[0] not in OF_ALL_LISTS]]

    def difference(self, a: str, b: str, metric: str = "", cohort: str = ALL) -> PairedTest:
        """Compare two models on the same users: paired bootstrap and sign test; ``a`` minus ``b``.

        Without a metric, NDCG at 10 or at the longest k.

        Raises
        ------
        InputError
            If a name is unknown, or the metric has no figure per user.
        """
        metric = metric or self._main("ndcg")
        self._check(a, metric)
        self._check(b)
        if metric.split("@")[0] in OF_ALL_LISTS:
            raise InputError(
                f"{metric} belongs to all lists together: there is no figure per user to compare"
            )
        column, chosen = self.tested.metrics.index(metric), self._cohort(cohort)
        one, other = (self.tested.per_user(model, chosen)[1][:, column] for model in (a, b))
        return paired_test(one, other, n_resamples=self.tested.n_resamples, seed=self.tested.seed)

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each figure there is: model, metric, cohort, time, value, low, high, users."""
        frame = self.dataset[["value", "low", "high", "users"]].to_dataframe()
        return frame.dropna(subset=["value"]).reset_index()

    def _repr_html_(self) -> str:
        names = [self._main(kind) for kind in _SHOWN]
        ndcg = names[0]
        whole = self.overall.sel(cohort=ALL)
        tops = {name: float(np.nanmax([0.0, *whole["high"].sel(metric=name).values])) for name in names}
        rows: list[list[str]] = []
        for model in self.models:
            gap = self._gap(model, ndcg)
            seconds = (float(whole[each].sel(model=model)) for each in ("learn_seconds", "answer_seconds"))
            cells: list[str] = [self._cell(model, name, ALL, tops[name]) for name in names]
            rows.append([model, *cells[:1], gap, *cells[1:], " + ".join(f"{each:.1f}" for each in seconds)])
        head = ["model", ndcg, f"{ndcg} minus {BASELINE}", *names[1:], "seconds to learn + answer"]
        notes = [", ".join(f"{name} {value}" for name, value in self.data.items())] if self.data else []
        notes.append("All items were ranked for every user, less those of the train part.")
        notes.append("Brackets: 95% intervals over users; differences are paired by user.")
        n_users = len(self.tested.pairs.users)
        html = table(f"{n_users:,} users tested", head, rows, notes) + self._cohort_table(ndcg, tops[ndcg])
        if self.dataset.sizes["time"] > 1:
            curve = self.dataset["value"].sel(metric=ndcg, cohort=ALL, model=self.models[:2])
            html += curves(ndcg, self.models[:2], curve.transpose("time", "model").values)
        return html

    def _cohort_table(self, metric: str, top: float) -> str:
        """Return the cohorts that have users, a row each; nothing if all is one cohort."""
        users = self.overall["users"]
        names = [each for each in users["cohort"].values.tolist() if each != ALL and users.sel(cohort=each)]
        if not names:
            return ""
        rows: list[list[str]] = [
            [
                name,
                f"{int(users.sel(cohort=name)):,}",
                *(self._cell(model, metric, name, top) for model in self.models),
            ]
            for name in names
        ]
        return table(f"{metric} by cohort", ["cohort", "users", *self.models], rows)

    def _cell(self, model: str, metric: str, cohort: str, top: float) -> str:
        cell = self.overall.sel(model=model, metric=metric, cohort=cohort)
        return interval_cell(float(cell["value"]), float(cell["low"]), float(cell["high"]), top)

    def _gap(self, model: str, metric: str) -> str:
        if BASELINE not in self.tested.lists or model == BASELINE:
            return ""
        return difference_cell(self.difference(model, BASELINE, metric).difference)

    def _main(self, kind: str) -> str:
        return f"{kind}@{10 if 10 in self.tested.ks else max(self.tested.ks)}"

    def _check(self, model: str, metric: str | None = None) -> None:
        if model not in self.tested.lists:
            known = ", ".join(self.models)
            raise InputError(f"no result of model {model!r}{nearest(model, self.models)}; evaluated: {known}")
        metrics = self.tested.metrics
        if metric is not None and metric not in metrics:
            raise InputError(
                f"no metric {metric!r}{nearest(metric, metrics)}; there are {', '.join(metrics)}"
            )

    def _cohort(self, name: str) -> Cohort:
        by_name = {each.name: each for each in self.tested.cohorts}
        if name not in by_name:
            raise InputError(f"no cohort {name!r}{nearest(name, by_name)}; there are {', '.join(by_name)}")
        return by_name[name]
