"""From lists to figures: every metric of every model, cohort and window, with its 95% interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import xarray as xr

from rtrec.evaluation import list_metrics, ranking_metrics
from rtrec.evaluation.full_ranking import Lessons
from rtrec.evaluation.ranking_metrics import Bools, Relevant
from rtrec.evaluation.significance import bootstrap_interval, jackknife_interval
from rtrec.evaluation.slices import Cohort, PairsTested
from rtrec.models.kernel import DISLIKE
from rtrec.types import Floats, Ints, Nums

#: Metrics of hits, by the names that figures carry in front of ``@k``; NDCG is computed from gains.
HIT_METRICS = {
    "recall": ranking_metrics.recall,
    "precision": ranking_metrics.precision,
    "mrr": ranking_metrics.reciprocal_rank,
    "map": ranking_metrics.average_precision,
    "hr": ranking_metrics.hit_rate,
}
#: Pairs of items in lists that are compared at a time: 32 MB.
_PAIRS_AT_ONCE = 4_000_000
#: Metrics of all lists together.
OF_ALL_LISTS = ("coverage", "gini")


@dataclass(frozen=True)
class Catalogue:
    """What is known of items and users besides what was tested; rows of users are those tested."""

    items: Nums  # (item,) numbers of those that can be listed
    had: sp.csc_array  # (user, item) 1 where any user had the item in the train part
    history: sp.csr_array  # (tested user, item) what each event in the train part counts for, summed
    vectors: Floats | None  # (item, d) for diversity; None: items are alike by the users they share
    categories: Floats | None  # (item, category) for calibration

    @classmethod
    def of(
        cls,
        lessons: Lessons,
        users: Nums,
        n_items: int,
        vectors: Floats | None = None,
        categories: Floats | None = None,
    ) -> Catalogue:
        """Return what the train part says of items and of the tested ``users``."""
        train, history = lessons.events, lessons.history
        n_users = int(max(train.user_num.max(), users.max(initial=0))) + 1
        shape, had = (n_users, n_items), train.kind != DISLIKE
        ones = np.ones(int(had.sum()))
        matrix = sp.coo_array((ones, (train.user_num[had], train.item_num[had])), shape=shape).tocsc()
        matrix.data[:] = 1.0  # an item had twice is had
        pairs = (history.user_num, history.item_num)
        summed = sp.coo_array((history.weight, pairs), shape=shape).tocsr()
        items = np.flatnonzero(lessons.known).astype(np.int32)
        return cls(items, matrix, summed[users], vectors, categories)


def metric_names(ks: tuple[int, ...], *, graded: bool, categories: bool) -> list[str]:
    """Return the names of all figures, in order: of hits, of each list, of all lists."""
    kinds = ["recall", "precision", "ndcg", *(["graded_ndcg"] if graded else []), "mrr", "map", "hr"]
    kinds += ["novelty", "diversity", *(["calibration"] if categories else []), *OF_ALL_LISTS]
    return [f"{kind}@{k}" for kind in kinds for k in ks]


def relevance_figures(lists: Nums, relevant: Relevant, ks: tuple[int, ...]) -> dict[str, Floats]:
    """Return the figures of each user that depend on what they took, ``(user,)``.

    >>> lists, relevant = np.array([[7, 3]]), Relevant.of([0, 0], [3, 5], None, 1)
    >>> relevance_figures(lists, relevant, (2,))["recall@2"].tolist()
    [0.5]
    """
    gains, n_relevant = relevant.gains(lists), relevant.n_relevant
    ideal = relevant.ideal(min(max(ks), max(int(n_relevant.max(initial=0)), 1)))  # beyond them are zeros
    hits, ones = gains > 0.0, (ideal > 0.0).astype(np.float64)
    figures: dict[str, Floats] = {}
    for k in ks:
        figures |= {f"{name}@{k}": metric(hits, n_relevant, k) for name, metric in HIT_METRICS.items()}
        figures[f"ndcg@{k}"] = ranking_metrics.ndcg(hits.astype(np.float64), ones, k)
        figures[f"graded_ndcg@{k}"] = ranking_metrics.ndcg(gains, ideal, k)
    return figures


def list_figures(lists: Nums, catalogue: Catalogue, ks: tuple[int, ...]) -> dict[str, Floats]:
    """Return the figures of each user's list alone, ``(user,)``."""
    n_users_of = np.asarray(catalogue.had.sum(axis=0)).ravel()
    n_users = int(np.count_nonzero(catalogue.had.sum(axis=1)))
    diversity = _diversity(lists, catalogue, ks)
    figures: dict[str, Floats] = {}
    for k in ks:
        figures[f"novelty@{k}"] = list_metrics.novelty(lists, n_users_of, n_users, k)
        figures[f"diversity@{k}"] = diversity[k]
        if catalogue.categories is not None:
            figures[f"calibration@{k}"] = list_metrics.calibration(
                lists, catalogue.history, catalogue.categories, k
            )
    return figures


def _diversity(lists: Nums, catalogue: Catalogue, ks: tuple[int, ...]) -> dict[int, Floats]:
    """Return the diversity of each user's list at each k, for so many users at once as fit in memory."""
    found = {k: np.empty(len(lists)) for k in ks}
    step = max(_PAIRS_AT_ONCE // max(lists.shape[1] ** 2, 1), 1)
    for start in range(0, len(lists), step):
        block = slice(start, start + step)
        if catalogue.vectors is None:
            similarity = list_metrics.similarity_of_users(lists[block], catalogue.had)
        else:
            similarity = list_metrics.similarity_of_vectors(lists[block], catalogue.vectors)
        for k in ks:
            found[k][block] = list_metrics.diversity(similarity, k)
    return found


@dataclass(frozen=True)
class Tested:
    """All that was tested, from which any figure can be made: lists of models and what users took."""

    pairs: PairsTested
    cohorts: list[Cohort]
    catalogue: Catalogue
    lists: Mapping[str, Nums]  # of each model, (tested user, place)
    of_lists: Mapping[str, Mapping[str, Floats]]  # what list_figures says of them
    ks: tuple[int, ...]
    metrics: list[str]
    n_resamples: int
    seed: int

    def per_user(self, model: str, cohort: Cohort, window: Bools | None = None) -> tuple[Ints, Floats]:
        """Return the rows of a cohort's users, and their figures ``(user, metric)``; NaN: no figure.

        ``window`` marks the pairs of one window, None takes all. What is said of lists, not of what users
        took, is not said for cohorts of items.
        """
        members = cohort.members if window is None else cohort.members & window
        rows, relevant = self.pairs.relevant(members)
        found = relevance_figures(self.lists[model][rows], relevant, self.ks)
        if not cohort.of_items:
            found |= {name: values[rows] for name, values in self.of_lists[model].items()}
        nothing = np.full(len(rows), np.nan)
        return rows, np.column_stack([found.get(name, nothing) for name in self.metrics])

    def to_xarray(self, n_windows: int) -> xr.Dataset:
        """Return ``value``, ``low`` and ``high`` of each (model, metric, cohort, time), and ``users``."""
        models, window_of = list(self.lists), self.pairs.windows(n_windows)
        shape = (len(models), len(self.metrics), len(self.cohorts), n_windows)
        value, low, high = (np.full(shape, np.nan) for _ in range(3))
        users = np.zeros(shape[2:], np.int64)
        for place, cohort in enumerate(self.cohorts):
            for window in range(n_windows):
                cell = (slice(None), slice(None), place, window)
                users[place, window], value[cell], low[cell], high[cell] = self._measure(
                    cohort, window_of == window
                )
        last = np.searchsorted(window_of, np.arange(n_windows), side="right") - 1
        dims = ("model", "metric", "cohort", "time")
        return xr.Dataset(
            {
                "value": (dims, value),
                "low": (dims, low, {"long_name": "low end of the 95% interval"}),
                "high": (dims, high, {"long_name": "high end of the 95% interval"}),
                "users": (dims[2:], users, {"long_name": "users tested"}),
            },
            coords={
                "model": models,
                "metric": self.metrics,
                "cohort": [each.name for each in self.cohorts],
                "time": ("time", _utc(self.pairs.timestamp[last]), {"long_name": "last event tested (UTC)"}),
            },
        )

    def _measure(self, cohort: Cohort, window: Bools) -> tuple[int, Floats, Floats, Floats]:
        """Return how many users a cell has, and value, low and high of shape ``(model, metric)``."""
        each = [self.per_user(model, cohort, window) for model in self.lists]
        rows = each[0][0]
        shape = (len(self.lists), len(self.metrics))
        values = np.concatenate([figures for _, figures in each], axis=1)
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            mean = (np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)).reshape(shape)
        # All models see the same draws of users, so their intervals differ by the models alone.
        ends = bootstrap_interval(values, n_resamples=self.n_resamples, seed=self.seed)
        low, high = (end.reshape(shape) for end in ends)
        if not cohort.of_items and len(rows):
            for place, model in enumerate(self.lists):
                for column, name in enumerate(self.metrics):
                    kind, k = name.split("@")
                    if kind in OF_ALL_LISTS:
                        found = _of_all_lists(kind, self.lists[model][rows], int(k), self.catalogue.items)
                        mean[place, column], low[place, column], high[place, column] = found
        return len(rows), mean, low, high


def _of_all_lists(kind: str, lists: Nums, k: int, catalogue: Nums) -> tuple[float, float, float]:
    counts = list_metrics.listed_counts(lists, k, int(catalogue.max()) + 1)[catalogue]
    if kind == "coverage":
        value, without = list_metrics.coverage(counts), list_metrics.coverage_without_each
    else:
        value, without = list_metrics.gini(counts), list_metrics.gini_without_each
    return value, *jackknife_interval(value, without(lists, k, catalogue))


def _utc(seconds: Floats) -> np.ndarray:
    return np.round(seconds * 1e6).astype(np.int64).astype("datetime64[us]")
