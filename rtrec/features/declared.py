"""The features of a candidate, declared once: name, where it comes from, what it says.

The order is the order of the ranker's weights. The four table sums come twice, as they are and as square
roots: the root keeps one strong neighbour from drowning many weak ones, and the ranker decides which of the
two it believes. Logarithms that would be taken for every candidate are replaced by roots, which processors
take eight at a time.
"""

from __future__ import annotations

from typing import NamedTuple


class Feature(NamedTuple):
    """One number the ranker sees of every candidate."""

    name: str
    source: str
    sentence: str
    start: float = 0.0  # the weight a new ranker gives it


FEATURES: tuple[Feature, ...] = (
    Feature("near_ring", "cooccurrence", "goes with the items this user had last", 0.1),
    Feature("near_last", "cooccurrence", "goes with the very last item"),
    Feature("next_ring", "transitions", "comes next after the items this user had last", 0.1),
    Feature("next_last", "transitions", "comes next after the very last item"),
    Feature("near_ring_root", "cooccurrence", "goes with the items this user had last"),
    Feature("near_last_root", "cooccurrence", "goes with the very last item"),
    Feature("next_ring_root", "transitions", "comes next after the items this user had last"),
    Feature("next_last_root", "transitions", "comes next after the very last item"),
    Feature("heat_short", "popularity", "is popular right now"),
    Feature("heat_long", "popularity", "has been popular for a while", 0.1),
    Feature("count", "popularity", "has had many events in all"),
    Feature("age", "catalogue", "has been in the catalogue for long"),
    Feature("idle", "catalogue", "has not been touched for long"),
    Feature("had", "user", "is something this user had before"),
    Feature("had_idle", "user", "was had by this user long ago"),
)
N_FEATURES = len(FEATURES)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
_NUMBERS = {name: number for number, name in enumerate(FEATURE_NAMES)}

NEAR_RING = _NUMBERS["near_ring"]
NEAR_LAST = _NUMBERS["near_last"]
NEXT_RING = _NUMBERS["next_ring"]
NEXT_LAST = _NUMBERS["next_last"]
N_SUMS = 4  # the table sums come first
HEAT_SHORT = _NUMBERS["heat_short"]
HEAT_LONG = _NUMBERS["heat_long"]
COUNT = _NUMBERS["count"]
AGE = _NUMBERS["age"]
IDLE = _NUMBERS["idle"]
HAD = _NUMBERS["had"]
HAD_IDLE = _NUMBERS["had_idle"]
