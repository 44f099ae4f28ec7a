"""Models side by side: ratios on the same events, the table of the README, and whether the budget is kept."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from rivals.catalogue import FAMILIES
from rivals.measure import K, Measured, best, by_family
from rtrec.evaluation.metrics import gains
from rtrec.models.base import Ranks

#: The budget: how much better than the best peer, how much faster than the fastest of those that come near
#: it, and what near is.
LEAST_HR_RATIO = 1.5
LEAST_SPEED_RATIO = 3.0
NEAR = 0.8


class Ratio(NamedTuple):
    """A metric of one model divided by that of another on the same events, with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(ranks: Ranks, other: Ranks, metric: str, *, level: float = 0.95) -> Ratio:
    """Return the ratio of two means over the same events, with the interval of their paired logarithm.

    With x and y the gains of an event and X and Y their means, log(X / Y) has to first order the error of
    the mean of x / X - y / Y (the delta method), which is paired event by event. NaN if a mean is zero.

    >>> both, one = np.array([1, 1, 1, 0]), np.array([1, 1, 0, 0])
    >>> ratio(both, one, "hit_rate").value
    1.5
    """
    gain = gains(metric, K)
    x, y = gain[ranks], gain[other]
    if not (x.any() and y.any()):
        return Ratio(math.nan, math.nan, math.nan)
    value = float(x.mean() / y.mean())
    error = float(np.std(x / x.mean() - y / y.mean(), ddof=1)) / math.sqrt(len(x))
    reach = math.exp(NormalDist().inv_cdf(0.5 + level / 2.0) * error)
    return Ratio(value, value / reach, value * reach)


class Verdict(NamedTuple):
    """Whether the default is as much better and faster than the peers as it should be."""

    default: Measured
    best: Measured
    hr: Ratio
    fastest: Measured
    speed: float

    @property
    def is_better(self) -> bool:
        """Say whether the hit rate is high enough."""
        return self.hr.value >= LEAST_HR_RATIO

    @property
    def is_faster(self) -> bool:
        """Say whether the speed is high enough."""
        return self.speed >= LEAST_SPEED_RATIO

    def lines(self) -> list[str]:
        """Say it in words."""
        without = self.default.events_per_s / self.fastest.answering_per_s
        return [
            f"Best peer: {self.best.name}. hr@{K} of the default is {self.hr} times as high; wanted "
            f"{LEAST_HR_RATIO}: {'reached' if self.is_better else 'NOT reached'}.",
            f"Fastest peer within {1 - NEAR:.0%} of that: {self.fastest.name}, "
            f"{self.fastest.events_per_s:,.0f} events/s. The default makes {self.speed:.2f} times as many; "
            f"wanted {LEAST_SPEED_RATIO:g}: {'reached' if self.is_faster else 'NOT reached'} "
            f"({without:.2f} times as many if the refits of the peer cost nothing).",
        ]


def verdict(measured: list[Measured]) -> Verdict | None:
    """Hold the default against all settings of all peers; None if it or they were not measured.

    Popularity over all time is a baseline and no peer.
    """
    default = next((each for each in measured if each.family == "default"), None)
    peers = [each for each in measured if each.family in FAMILIES and not FAMILIES[each.family].is_baseline]
    if default is None or not peers:
        return None
    leader = best(peers)
    near = [each for each in peers if each.hr >= NEAR * leader.hr]
    fastest = max(near, key=lambda each: each.events_per_s)
    return Verdict(
        default,
        leader,
        ratio(default.ranks, leader.ranks, "hit_rate"),
        fastest,
        default.events_per_s / fastest.events_per_s,
    )


def as_rows(measured: list[Measured]) -> list[dict[str, Any]]:
    """Return the figures of each setting and what the default is against it, as JSON values."""
    default = next((each for each in measured if each.family == "default"), None)
    chosen = {id(best(settings)) for _, settings in by_family(measured)}
    rows = []
    for each in measured:
        row = each.figures() | {"is_best_setting": id(each) in chosen}
        if default is not None and each is not default:
            for metric, name in (("hit_rate", "hr"), ("ndcg", "ndcg")):
                of = ratio(default.ranks, each.ranks, metric)
                row[f"default_{name}_ratio"] = [None if math.isnan(end) else round(end, 4) for end in of]
            row["default_speed_ratio"] = round(default.events_per_s / each.events_per_s, 3)
        rows.append(row)
    return rows


def as_markdown(dataset: str, measured: list[Measured]) -> str:
    """Return the table, what every setting came to, and the verdict."""
    head = [f"model on {dataset}", "best setting", f"hr@{K}", f"ndcg@{K}", f"default's hr@{K} ÷ (95%)"]
    head += [f"default's ndcg@{K} ÷ (95%)", "events/s", "without refits", "default's events/s ÷"]
    head += ["peak RSS, MB"]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    default = next((each for each in measured if each.family == "default"), None)
    for _, settings in by_family(measured):
        each = best(settings)
        against = ["", "", ""]
        if default is not None and each is not default:
            against = [
                str(ratio(default.ranks, each.ranks, "hit_rate")),
                str(ratio(default.ranks, each.ranks, "ndcg")),
                f"{default.events_per_s / each.events_per_s:.2f}",
            ]
        bold = f"**{each.family}**" if each is default else each.family
        answering = f"{each.answering_per_s:,.0f}" if each.fits else ""
        figures = [f"{each.hr:.4f}", f"{each.ndcg:.4f}", *against[:2], f"{each.events_per_s:,.0f}"]
        lines.append([bold, each.setting, *figures, answering, against[2], f"{each.peak_rss_mb:,.0f}"])
    parts = ["\n".join("| " + " | ".join(line) + " |" for line in lines)]
    parts.append(
        f"{measured[0].events:,} events tested. hr@{K} of every setting, the best of which is shown:"
    )
    parts.append("\n".join(_tried(family, each) for family, each in by_family(measured) if len(each) > 1))
    found = verdict(measured)
    if found is not None:
        parts.append("\n".join(found.lines()))
    return "\n\n".join(filter(None, parts))


def _tried(family: str, settings: list[Measured]) -> str:
    return f"- {family}: " + "; ".join(f"{each.setting} {each.hr:.4f}" for each in settings)
