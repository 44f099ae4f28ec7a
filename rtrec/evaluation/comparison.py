"""Compare two variants on the same events: two models of a race, or a setting changed and not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from rtrec.evaluation.history import MetricHistory
from rtrec.evaluation.markup import curves, difference_cell, interval_cell, table
from rtrec.evaluation.metrics import METRICS, Difference, PairedCounts, RankCounts, Ranks
from rtrec.types import Floats, Ints

#: A curve has about this many points, but no window below the smallest that says anything.
_POINTS = 50
_SMALLEST_WINDOW = 100
#: What a metric is called in front of ``@k``.
SHORT_NAMES = dict(zip(METRICS, ("hr", "ndcg", "mrr"), strict=True))


@dataclass(frozen=True, repr=False)
class Comparison:
    """Variant A against variant B on the same events; every difference is A minus B.

    Attributes
    ----------
    totals
        Rank counts of A and B over all events.
    paired
        Which rank of A met which of B: differences, their intervals and tests come from here.
    history
        Rank counts of A and B window by window; its two models carry the names of the variants.
    """

    totals: RankCounts
    paired: PairedCounts
    history: MetricHistory

    def __repr__(self) -> str:
        a, b = (each[:20] for each in self.names)
        hr_a, hr_b = self.totals.hit_rate()
        return f"Comparison({a!r} hr@{self.k} {hr_a:.4f}, {b!r} {hr_b:.4f}, {self.n_tested:,} events)"

    @property
    def names(self) -> tuple[str, str]:
        """Return what A and B are called."""
        a, b = self.history.models
        return a, b

    @property
    def k(self) -> int:
        """Return how long the compared lists are."""
        return self.totals.k

    @property
    def n_tested(self) -> int:
        """Return on how many events both were tested."""
        return self.totals.n_tested

    def difference(
        self, metric: str = "hit_rate", k: int | None = None, *, level: float = 0.95
    ) -> Difference:
        """Return the metric of A minus that of B, with the interval of the paired events."""
        return self.paired.difference(metric, k, level=level)

    def sentence(self, metric: str = "hit_rate") -> str:
        """Say which variant is better, if that can be said at all."""
        a, b = self.names
        label = f"{SHORT_NAMES[metric]}@{self.k}"
        if self.n_tested < 2:
            return f"{a} and {b}: too few events to compare ({self.n_tested})."
        gap = self.difference(metric)
        low, high = sorted([abs(gap.low), abs(gap.high)])
        if not gap.is_clear:
            return (
                f"{label} of {a} and {b} cannot be told apart on the same {self.n_tested:,} events: "
                f"difference {gap.value:+.4f} (95% interval {gap.low:+.4f} to {gap.high:+.4f})."
            )
        return (
            f"{label} of {a} is {abs(gap.value):.4f} {'higher' if gap.value > 0 else 'lower'} "
            f"than that of {b} on the same {self.n_tested:,} events (95% interval {low:.4f} to {high:.4f})."
        )

    def to_xarray(self, smooth: int = 1) -> xr.Dataset:
        """Return both curves over the windows; see :meth:`MetricHistory.to_xarray`."""
        return self.history.to_xarray(smooth)

    def _repr_html_(self) -> str:
        metrics = ("hit_rate", "ndcg")
        ends = [self.totals.interval(metric) for metric in metrics]
        means = [self.totals.hit_rate(), self.totals.ndcg()]
        rows: list[list[str]] = [
            [
                name,
                *(
                    interval_cell(mean[place], low[place], high[place], float(high.max()))
                    for mean, (low, high) in zip(means, ends, strict=True)
                ),
            ]
            for place, name in enumerate(self.names)
        ]
        rows.append(["difference", *(difference_cell(self.difference(metric)) for metric in metrics)])
        head = ["", *(f"{SHORT_NAMES[metric]}@{self.k}" for metric in metrics)]
        notes = [self.sentence(), "Brackets: 95% intervals; the difference is paired by event."]
        smooth = max(1, self.history.n_windows // 10)
        picture = curves(f"hr@{self.k}", self.names, self.to_xarray(smooth)["hr"].values)
        return table(f"{self.n_tested:,} events tested with both", head, rows, notes) + picture


def compare(
    ranks_a: Ranks,
    ranks_b: Ranks,
    k: int,
    *,
    names: tuple[str, str] = ("A", "B"),
    timestamps: Floats | None = None,
    offsets: Ints | None = None,
    window: int | None = None,
) -> Comparison:
    """Compare two variants from the ranks of the same events, in stream order.

    Parameters
    ----------
    ranks_a, ranks_b
        Rank of each event's item in the list of A and of B, 0 for a miss, shape ``(event,)``.
    k
        How long the lists are.
    timestamps, offsets
        Event times in seconds since 1970 UTC and places in the log, for the axes of the curve. Without, it
        has no times and counts the events.
    window
        Events per point of the curve; by default so many that it has about 50 points.

    Examples
    --------
    >>> both = compare(np.array([1, 2, 0, 1]), np.array([0, 2, 0, 0]), k=10, names=("new", "old"))
    >>> both.difference("hit_rate").value  # (3 - 1) / 4
    0.5
    """
    n_events = len(ranks_a)
    paired = PairedCounts(k)
    paired.add(ranks_a, ranks_b)
    if window is None:
        window = max(_SMALLEST_WINDOW, -(-n_events // _POINTS))
    history = MetricHistory(names, k, window)
    history.add(
        np.column_stack([ranks_a, ranks_b]),
        np.full(n_events, np.nan) if timestamps is None else timestamps,
        np.arange(n_events) if offsets is None else offsets,
    )
    return Comparison(history.total(), paired, history)
