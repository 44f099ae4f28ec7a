"""One model's figures of an evaluation: over all tested events, and window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rtrec.evaluation.history import MetricHistory
from rtrec.evaluation.metrics import RankCounts, Ranks


@dataclass(repr=False)
class ModelResult:
    """One model's prequential figures over all tested events.

    Attributes
    ----------
    events
        How many events were tested.
    rank_counts
        The ranks of this one model.
    coverage
        Share of the known items that were recommended to anybody.
    seconds
        Wall time of answering and learning, after compilation.
    events_per_s
        Events answered and learned in each of these seconds.
    peak_rss_mb
        Largest resident memory of the process so far, in MB.
    ranks
        Rank of each tested event's item, 0 for a miss, int16 of shape ``(event,)``.
    windows
        The rank counts window by window.
    """

    model: str
    events: int
    k: int
    rank_counts: RankCounts
    coverage: float
    seconds: float
    events_per_s: float
    compile_seconds: float
    peak_rss_mb: float
    ranks: Ranks
    windows: MetricHistory

    def __repr__(self) -> str:
        return (
            f"ModelResult({self.model[:40]!r}, {self.events:,} events, "
            f"hr@{self.k} {self.hit_rate:.4f}, ndcg@{self.k} {self.ndcg:.4f})"
        )

    @property
    def hit_rate(self) -> float:
        """Return the share of events whose item was in the list."""
        return float(self.rank_counts.hit_rate()[0])

    @property
    def ndcg(self) -> float:
        """Return the mean of ``1 / log2(1 + rank)``, 0 for a miss."""
        return float(self.rank_counts.ndcg()[0])

    def interval(self, metric: str, *, level: float = 0.95) -> tuple[float, float]:
        """Return the low and high end of a metric's confidence interval."""
        low, high = self.rank_counts.interval(metric, level=level)
        return float(low[0]), float(high[0])

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values; what cannot be said yet is null.

        The keys are ``model, events, hr@k, ndcg@k, coverage@k, seconds, events_per_s, compile_seconds,
        peak_rss_mb``, with k in figures, and the ends of the 95% intervals as ``hr@k_low`` and so on.
        """
        values: dict[str, Any] = {"model": self.model, "events": self.events}
        for name, metric, value in (("hr", "hit_rate", self.hit_rate), ("ndcg", "ndcg", self.ndcg)):
            low, high = self.interval(metric)
            values |= {f"{name}@{self.k}": value, f"{name}@{self.k}_low": low, f"{name}@{self.k}_high": high}
        values |= {
            f"coverage@{self.k}": self.coverage,
            "seconds": round(self.seconds, 3),
            "events_per_s": round(self.events_per_s, 1),
            "compile_seconds": round(self.compile_seconds, 3),
            "peak_rss_mb": round(self.peak_rss_mb, 1),
        }
        return {name: finite(value) for name, value in values.items()}


def finite(value: Any) -> Any:
    """Return None for NaN and infinities, which JSON cannot say, and any other value as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
