"""Every historical feature, declared once: name, source, transform, and why it is there.

The order is the order of the columns. Names are those of :func:`rtrec.features.historical.windows.aggregates`
and :class:`rtrec.features.historical.graph.GraphStatistics`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from rtrec.features.historical.encoding import Cross
from rtrec.features.historical.graph import DAMPING
from rtrec.features.historical.windows import WINDOWS_D
from rtrec.types import Floats


class HistoricalFeature(NamedTuple):
    """One number of an item or a user, as of the moment its version was computed for.

    ``transform`` is one of :data:`TRANSFORMS`, or ``"quantile"``. ``missing`` is what somebody without any
    history has, after the transform.
    """

    name: str
    source: str
    transform: str
    why: str
    missing: float = 0.0


#: What a number goes through. Counts are logarithms: from 10 to 20 is as far as from 100 to 200.
TRANSFORMS: Mapping[str, Callable[[Floats], Floats]] = {
    "none": lambda numbers: numbers,
    "log": lambda numbers: np.log(np.maximum(numbers, 1e-12)),
    "log1p": lambda numbers: np.log1p(np.maximum(numbers, 0.0)),
}

#: Days since something that never was: longer ago than any log.
_NEVER_DAYS = float(np.log1p(36_500.0))
_SPANS = (*((f"_{days}d", f"in the last {days} days") for days in WINDOWS_D), ("", "in all history"))


def _windowed(other: str) -> tuple[HistoricalFeature, ...]:
    """Return the features that there are once for each window."""
    return tuple(
        feature
        for suffix, span in _SPANS
        for feature in (
            HistoricalFeature(f"events{suffix}", "events", "log1p", f"how much happened {span}"),
            HistoricalFeature(
                f"weight{suffix}", "events", "log1p", f"the same, each kind by its weight, {span}"
            ),
            HistoricalFeature(f"others{suffix}", "pairs", "log1p", f"how many different {other} {span}"),
            HistoricalFeature(
                f"value_mean{suffix}", "values", "quantile", f"price or rating level {span}", 0.5
            ),
            HistoricalFeature(f"value_spread{suffix}", "values", "log1p", f"how much values differ {span}"),
            HistoricalFeature(f"repeats{suffix}", "pairs", "none", f"how often it is the same again {span}"),
        )
    )


def _moments() -> tuple[HistoricalFeature, ...]:
    return (
        HistoricalFeature("first_days", "events", "log1p", "how long it has been there"),
        HistoricalFeature("last_days", "events", "log1p", "how long nothing happened", _NEVER_DAYS),
        HistoricalFeature("trend", "events", "log", "this week's rate against that of three months"),
    )


ITEM_FEATURES: tuple[HistoricalFeature, ...] = (
    *_windowed("users"),
    *_moments(),
    HistoricalFeature("degree", "graph", "log1p", "how many items it is seen together with"),
    HistoricalFeature("strength", "graph", "log1p", "how often it is seen together with others"),
    HistoricalFeature("reach", "graph", "log1p", "goes with everything, or with a few things only"),
    HistoricalFeature(
        "pagerank",
        "graph",
        "log",
        "lies where browsing along the graph ends up",
        float(np.log(1.0 - DAMPING)),
    ),
)
USER_FEATURES: tuple[HistoricalFeature, ...] = (
    *_windowed("items"),
    *_moments(),
    HistoricalFeature("days", "days", "log1p", "on how many days something happened"),
    HistoricalFeature("value_level", "pairs", "none", "takes cheap or dear, poor or praised items", 0.5),
)

#: Item features that differ between the candidates of one request, which is all a listwise linear ranker can
#: use; weights and counts of users say nearly what events say.
RANKED: tuple[str, ...] = (
    "events_7d",
    "events_30d",
    "events_90d",
    "trend",
    "degree",
    "reach",
    "pagerank",
    "repeats",
    "value_mean",
)

#: Categories of users, and of items beside those of the catalogue.
USER_CATEGORIES = ("cohort", "value_band", "daypart")
ITEM_CATEGORIES = ("value_band", "popularity_band")
#: Pairs of a user's category and an item's; ``category`` stands for every column of the catalogue.
CROSSES: tuple[Cross, ...] = (
    Cross("cohort", "value_band"),
    Cross("cohort", "popularity_band"),
    Cross("value_band", "value_band"),
    Cross("daypart", "popularity_band"),
    Cross("cohort", "category"),
    Cross("value_band", "category"),
)


def names(features: tuple[HistoricalFeature, ...]) -> tuple[str, ...]:
    """Return the names in order."""
    return tuple(feature.name for feature in features)
