"""The features of a candidate, declared once: name, where it comes from, what it says.

The order is the order of the ranker's weights. The table sums come twice, as they are and as square
roots: the root keeps one strong neighbour from drowning many weak ones. A *support* takes the root of each
neighbour's opinion before they are summed, so that it says how many of the user's items speak for the
candidate; of published tables the strongest opinion counts beside the sum. The ranker decides which of them
it believes. Logarithms that would be taken for every candidate
are replaced by roots, which processors take eight at a time.
"""

from __future__ import annotations

from typing import NamedTuple


class Feature(NamedTuple):
    """One number the ranker sees of every candidate; ``source`` is the table, or else what it comes from."""

    name: str
    source: str
    sentence: str
    start: float = 0.0  # the weight a new ranker gives it


#: Places for tables that are published from outside the stream, and what such a table says.
SLOTS: dict[str, str] = {
    "content": "is like the items this user had last",
    "history": "goes with the items this user had last, over all history",
    "own": "goes with the items this user had last, says a table of your own",
}

#: What the strongest single opinion in such a table says.
BEST: dict[str, str] = {
    "content": "is much like one of the items this user had last",
    "history": "goes well with one of the items this user had last, over all history",
    "own": "goes well with one of the items this user had last, says a table of your own",
}

FEATURES: tuple[Feature, ...] = (
    Feature("near_ring", "cooccurrence", "goes with the items this user had last", 0.1),
    Feature("near_last", "cooccurrence", "goes with the very last item"),
    Feature("next_ring", "transitions", "comes next after the items this user had last", 0.1),
    Feature("next_last", "transitions", "comes next after the very last item"),
    Feature("trail_ring", "trails", "was taken next by those who came the same way", 0.1),
    *(Feature(f"{slot}_ring", slot, sentence) for slot, sentence in SLOTS.items()),
    Feature("near_support", "cooccurrence", "goes with many of the items this user had last"),
    Feature("next_support", "transitions", "comes next after many of the items this user had last"),
    Feature("trail_support", "trails", "was taken next by many who came the same way"),
    *(Feature(f"{slot}_best", slot, sentence) for slot, sentence in BEST.items()),
    Feature("near_ring_root", "cooccurrence", "goes with the items this user had last"),
    Feature("near_last_root", "cooccurrence", "goes with the very last item"),
    Feature("next_ring_root", "transitions", "comes next after the items this user had last"),
    Feature("next_last_root", "transitions", "comes next after the very last item"),
    Feature("trail_ring_root", "trails", "was taken next by those who came the same way"),
    *(Feature(f"{slot}_ring_root", slot, sentence) for slot, sentence in SLOTS.items()),
    Feature("heat_now", "popularity", "is popular this very hour"),
    Feature("heat_short", "popularity", "is popular these days"),
    Feature("heat_long", "popularity", "has been popular for a while", 0.1),
    Feature("count", "popularity", "has had many events in all"),
    Feature("age", "catalogue", "has been in the catalogue for long"),
    Feature("idle", "catalogue", "has not been touched for long"),
    Feature("count_gap_last", "popularity", "is about as popular as the very last item"),
    Feature("count_gap_ring", "popularity", "is about as popular as the items this user had last"),
    Feature("age_gap_last", "catalogue", "came into the catalogue about when the very last item did"),
    Feature(
        "age_gap_ring", "catalogue", "came into the catalogue about when the items this user had last did"
    ),
    Feature("value", "value", "usually comes with such a value (a price, a rating)"),
    Feature("value_gap", "value", "usually comes with a value such as this user's events have"),
    Feature("daypart", "daypart", "is taken at this time of the day and week more than at others"),
    Feature("had", "user", "is something this user had before"),
    Feature("had_idle", "user", "was had by this user long ago"),
    Feature("taste_now", "category", "is in a category this user took this very hour"),
    Feature("taste_short", "category", "is in a category this user took these days"),
    Feature("taste_long", "category", "is in a category this user has taken for a while"),
    Feature("taste_last", "category", "shares a category with the very last item"),
)
N_FEATURES = len(FEATURES)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
_NUMBERS = {name: number for number, name in enumerate(FEATURE_NAMES)}

NEAR_RING = _NUMBERS["near_ring"]
NEAR_LAST = _NUMBERS["near_last"]
NEXT_RING = _NUMBERS["next_ring"]
NEXT_LAST = _NUMBERS["next_last"]
TRAIL_RING = _NUMBERS["trail_ring"]
FIRST_SLOT = _NUMBERS[f"{next(iter(SLOTS))}_ring"]
N_ROOTED = FIRST_SLOT + len(SLOTS)  # sums that come as they are and as roots are the first of all
N_DISCOUNTED = 4  # those of the neighbour tables are divided by the popularity of the candidate
NEAR_SUPPORT = _NUMBERS["near_support"]
NEXT_SUPPORT = _NUMBERS["next_support"]
TRAIL_SUPPORT = _NUMBERS["trail_support"]
FIRST_BEST = _NUMBERS[f"{next(iter(SLOTS))}_best"]
N_SUMS = FIRST_BEST + len(SLOTS)  # then the other sums
FIRST_ROOT = _NUMBERS["near_ring_root"]
HEAT_NOW = _NUMBERS["heat_now"]
HEAT_SHORT = _NUMBERS["heat_short"]
HEAT_LONG = _NUMBERS["heat_long"]
COUNT = _NUMBERS["count"]
AGE = _NUMBERS["age"]
IDLE = _NUMBERS["idle"]
COUNT_GAP_LAST = _NUMBERS["count_gap_last"]
COUNT_GAP_RING = _NUMBERS["count_gap_ring"]
AGE_GAP_LAST = _NUMBERS["age_gap_last"]
AGE_GAP_RING = _NUMBERS["age_gap_ring"]
VALUE = _NUMBERS["value"]
VALUE_GAP = _NUMBERS["value_gap"]
DAYPART = _NUMBERS["daypart"]
HAD = _NUMBERS["had"]
HAD_IDLE = _NUMBERS["had_idle"]
FIRST_TASTE = _NUMBERS["taste_now"]


class Context(NamedTuple):
    """One number about the moment, the same for all candidates: it tells the crosses when to believe what."""

    name: str
    sentence: str


CONTEXT: tuple[Context, ...] = (
    Context("gap", "how long ago the user's last event was"),
    Context("n_events", "how many events the user has had"),
    Context("sitting", "how many of them in this sitting"),
    Context("pace_now", "how many of them at the half-life of the hour"),
    Context("pace_short", "how many of them at the short half-life"),
    Context("pace_long", "how many of them at the long half-life"),
    Context("last_count", "how popular the very last item is"),
    Context("last_age", "how long that item has been in the catalogue"),
    Context("day_sine", "the time of the day"),
    Context("day_cosine", "the time of the day"),
    Context("week_sine", "the time of the week"),
    Context("week_cosine", "the time of the week"),
)
N_CONTEXT = len(CONTEXT)
GAP, N_EVENTS, SITTING, PACE_NOW, PACE_SHORT, PACE_LONG = range(6)
LAST_COUNT, LAST_AGE, DAY_SINE, DAY_COSINE, WEEK_SINE, WEEK_COSINE = range(6, N_CONTEXT)
