"""Ranking metrics as sums over integer counts of ranks.

Every tested event is answered with a list of k items. Its *rank* is the place of the event's own item in that
list, 1 to k, or 0 for a miss. With one relevant item an event, how often each rank came is all that the hit
rate, NDCG and MRR (and their variances) depend on. The counts are integers and add up exactly in any order,
so any cut of the stream into batches, windows or shards gives bit-equal metrics.

Intervals treat events as independent draws. Events of one user are not quite that, so read an interval as the
noise of this many events, not as a promise about other users.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.errors import nearest
from rtrec.types import Floats, Ints

Ranks = npt.NDArray[np.integer[Any]]

#: Metrics of ranks, by the names that ``metric`` arguments take.
METRICS = ("hit_rate", "ndcg", "mrr")
MISS = 0


def gains(metric: str, k: int, cut_off: int | None = None) -> Floats:
    """Return what an event scores for each rank 0 to ``k``, shape ``(rank,)``.

    A hit scores 1 (``hit_rate``), ``1 / log2(1 + rank)`` (``ndcg``: binary, one relevant item) or
    ``1 / rank`` (``mrr``); a miss and a rank past the cut-off score 0.

    >>> gains("mrr", 4, cut_off=2)
    array([0. , 1. , 0.5, 0. , 0. ])

    Raises
    ------
    ValueError
        If the metric is unknown, or the cut-off is not between 1 and ``k``.
    """
    last = k if cut_off is None else cut_off
    if not 1 <= last <= k:
        raise ValueError(f"cut-off k={last}: lists of {k} items were tested, so it must be between 1 and {k}")
    ranks = np.arange(1, last + 1, dtype=np.float64)
    by_rank = np.zeros(k + 1)
    if metric == "hit_rate":
        by_rank[1 : last + 1] = 1.0
    elif metric == "ndcg":
        by_rank[1 : last + 1] = 1.0 / np.log2(1.0 + ranks)
    elif metric == "mrr":
        by_rank[1 : last + 1] = 1.0 / ranks
    else:
        raise ValueError(f"unknown metric {metric!r}{nearest(metric, METRICS)}; known: {', '.join(METRICS)}")
    return by_rank


def mean_gain(counts: Ints, metric: str, cut_off: int | None = None) -> Floats:
    """Return the mean of a metric over the events counted; NaN where there are none.

    ``counts`` has shape ``(..., rank)``, the result ``(...)``.
    """
    by_rank = gains(metric, counts.shape[-1] - 1, cut_off)
    n_events = counts.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray((counts * by_rank).sum(axis=-1) / n_events)


def interval(
    counts: Ints, metric: str, cut_off: int | None = None, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the low and high end of a metric's confidence interval, each of shape ``(...)``.

    Wilson's score interval (1927) for the hit rate; the normal interval from the exact second moment for the
    others, cut to 0..1 (with a handful of hits it is too narrow: read the hit rate's then). NaN where too few
    events were tested to say anything.
    """
    n_events = counts.sum(axis=-1).astype(np.float64)
    mean = mean_gain(counts, metric, cut_off)
    z = z_score(level)
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric == "hit_rate":
            shrink = 1.0 + z * z / n_events
            middle = (mean + z * z / (2.0 * n_events)) / shrink
            half = z / shrink * np.sqrt(mean * (1.0 - mean) / n_events + (z / (2.0 * n_events)) ** 2)
        else:
            by_rank = gains(metric, counts.shape[-1] - 1, cut_off)
            middle = mean
            half = z * _standard_error(mean, (counts * by_rank**2).sum(axis=-1) / n_events, n_events)
        return np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)


class RankCounts:
    """How often each rank came, for one or more models tested on the same events.

    Examples
    --------
    >>> counts = RankCounts(n_models=2, k=3)
    >>> counts.add(np.array([[1, 0], [2, 1]]))  # two events; the first model found both items
    >>> counts.hit_rate().tolist()
    [1.0, 0.5]
    >>> counts.hit_rate(k=1).tolist()
    [0.5, 0.5]
    """

    def __init__(self, n_models: int, k: int) -> None:
        if n_models < 1 or k < 1:
            raise ValueError(f"counts need at least one model and one rank; got n_models={n_models}, k={k}")
        self.counts: Ints = np.zeros((n_models, k + 1), np.int64)  # (model, rank)

    def __repr__(self) -> str:
        return f"RankCounts({self.n_models} models, k={self.k}, {self.n_tested:,} events tested)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RankCounts) and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]  # counts grow, so they are no key

    @property
    def n_models(self) -> int:
        """Return how many models are counted."""
        return self.counts.shape[0]

    @property
    def k(self) -> int:
        """Return how long the tested lists are."""
        return self.counts.shape[1] - 1

    @property
    def n_tested(self) -> int:
        """Return how many events were tested."""
        return int(self.counts[0].sum())

    def add(self, ranks: Ranks) -> None:
        """Count the ranks of more events, shape ``(event, model)``.

        Raises
        ------
        ValueError
            If the shape does not fit or a rank is not between 0 and k.
        """
        cells = checked_ranks(ranks, self.n_models, self.k) + np.arange(self.n_models) * (self.k + 1)
        self.counts += np.bincount(cells.ravel(), minlength=self.counts.size).reshape(self.counts.shape)

    def merge(self, other: RankCounts) -> None:
        """Add the counts of other events, tested with the same models and k."""
        if other.counts.shape != self.counts.shape:
            raise ValueError(f"cannot merge {other!r} into {self!r}: other models or another k")
        self.counts += other.counts

    def model(self, index: int) -> RankCounts:
        """Return the counts of one model alone."""
        return RankCounts.from_array(self.counts[index][None, :])

    def hit_rate(self, k: int | None = None) -> Floats:
        """Return the share of events whose item was among the first ``k``, shape ``(model,)``."""
        return mean_gain(self.counts, "hit_rate", k)

    def ndcg(self, k: int | None = None) -> Floats:
        """Return the mean of ``1 / log2(1 + rank)``, 0 for a miss, shape ``(model,)``."""
        return mean_gain(self.counts, "ndcg", k)

    def mrr(self, k: int | None = None) -> Floats:
        """Return the mean of ``1 / rank``, 0 for a miss, shape ``(model,)``."""
        return mean_gain(self.counts, "mrr", k)

    def interval(self, metric: str, k: int | None = None, *, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return low and high ends of a metric's interval, each ``(model,)``; see :func:`interval`."""
        return interval(self.counts, metric, k, level=level)

    def to_array(self) -> Ints:
        """Return a copy of the counts, shape ``(model, rank)``."""
        return self.counts.copy()

    @classmethod
    def from_array(cls, array: Ints) -> RankCounts:
        """Build counts from what :meth:`to_array` returned.

        Raises
        ------
        ValueError
            If the array does not count the same number of events for each model.
        """
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"rank counts: expected integers (model, rank); got {array.dtype}{array.shape}")
        if (array < 0).any() or len(set(array.sum(axis=1).tolist())) > 1:
            raise ValueError("rank counts: models of one table are tested on the same events; these are not")
        counts = cls(array.shape[0], array.shape[1] - 1)
        counts.counts += array
        return counts


class Difference(NamedTuple):
    """A metric of model A minus that of model B on the same events, with its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Say whether the interval leaves out zero."""
        return self.low > 0.0 or self.high < 0.0


class PairedCounts:
    """How often rank i of model A met rank j of model B on the same event.

    Differences are A minus B. Pairing takes out what makes an event easy or hard for both, so their interval
    is narrower than the two intervals side by side suggest.

    Examples
    --------
    >>> pair = PairedCounts(k=3)
    >>> pair.add(np.array([1, 1, 0, 2]), np.array([0, 1, 0, 0]))
    >>> pair.difference("hit_rate").value  # (3 - 1) / 4
    0.5
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise ValueError(f"counts need at least one rank; got k={k}")
        self.counts: Ints = np.zeros((k + 1, k + 1), np.int64)  # (rank of A, rank of B)

    def __repr__(self) -> str:
        return f"PairedCounts(k={self.k}, {self.n_tested:,} events tested)"

    @property
    def k(self) -> int:
        """Return how long the tested lists are."""
        return self.counts.shape[0] - 1

    @property
    def n_tested(self) -> int:
        """Return how many events both were tested on."""
        return int(self.counts.sum())

    def add(self, ranks_a: Ranks, ranks_b: Ranks) -> None:
        """Count more events, answered by both models: two arrays of shape ``(event,)``.

        Raises
        ------
        ValueError
            If the lengths differ or a rank is not between 0 and k.
        """
        if len(ranks_a) != len(ranks_b):
            raise ValueError(f"pairs need the same events: A has {len(ranks_a)} ranks, B {len(ranks_b)}")
        pairs = checked_ranks(np.column_stack([ranks_a, ranks_b]), 2, self.k)
        cells = pairs[:, 0] * (self.k + 1) + pairs[:, 1]
        self.counts += np.bincount(cells, minlength=self.counts.size).reshape(self.counts.shape)

    def difference(self, metric: str, k: int | None = None, *, level: float = 0.95) -> Difference:
        """Return the mean of A's gain minus B's, with the normal interval from its exact paired variance."""
        gap = self._gaps(metric, k)
        n_events = np.float64(self.n_tested)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (self.counts * gap).sum() / n_events
            error = _standard_error(mean, (self.counts * gap**2).sum() / n_events, n_events)
        half = z_score(level) * float(error)
        return Difference(float(mean), float(mean) - half, float(mean) + half)

    def wins(self, metric: str = "ndcg", k: int | None = None) -> tuple[int, int]:
        """Return on how many events A scored higher than B, and B higher than A."""
        gap = self._gaps(metric, k)
        return int(self.counts[gap > 0].sum()), int(self.counts[gap < 0].sum())

    def sign_test(self, metric: str = "ndcg", k: int | None = None) -> float:
        """Return the two-sided p-value of the exact sign test; for the hit rate it is McNemar's test."""
        return sign_test(*self.wins(metric, k))

    def _gaps(self, metric: str, k: int | None) -> Floats:
        by_rank = gains(metric, self.k, k)
        return by_rank[:, None] - by_rank[None, :]


def sign_test(a_wins: int, b_wins: int) -> float:
    """Return the two-sided p-value of the exact sign test on who did better how often; ties are left out.

    >>> sign_test(5, 1)  # 2 x (1 + 6) / 64
    0.21875
    """
    from scipy.stats import binomtest

    return float(binomtest(a_wins, a_wins + b_wins).pvalue) if a_wins + b_wins else 1.0


def checked_ranks(ranks: Ranks, n_models: int, k: int) -> Ints:
    """Return ``ranks`` as int64 of shape ``(event, model)``, or say what does not fit."""
    if ranks.ndim != 2 or ranks.shape[1] != n_models or not np.issubdtype(ranks.dtype, np.integer):
        raise ValueError(f"ranks: expected integers (event, {n_models}); got {ranks.dtype}{ranks.shape}")
    if ranks.size and (ranks.min() < MISS or ranks.max() > k):
        raise ValueError(f"ranks: expected 0 (miss) to {k}; got {ranks.min()} to {ranks.max()}")
    return ranks.astype(np.int64)


def checked_level(level: float) -> float:
    """Return a confidence level, or say that it is none."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level lies between 0 and 1, for example 0.95; got {level}")
    return level


def z_score(level: float) -> float:
    """Return how many standard errors an interval of this level reaches to each side."""
    return NormalDist().inv_cdf(0.5 + checked_level(level) / 2.0)


def _standard_error(mean: Any, second_moment: Any, n_events: Any) -> Any:
    # Rounding can leave a variance of -1e-17 where every event scored the same.
    variance = np.maximum(second_moment - mean**2, 0.0) * n_events / (n_events - 1.0)
    return np.sqrt(variance / n_events)
