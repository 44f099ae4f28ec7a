"""The features of a candidate, declared once: name, where it comes from, its transform, what it says.

The order is the order of the ranker's weights. The table sums come twice, as they are and as square
roots: the root keeps one strong neighbour from drowning many weak ones. A *support* takes the root of each
neighbour's opinion before they are summed, so that it says how many of the user's items speak for the
candidate; of published tables the strongest opinion counts beside the sum, and of published vectors their
product. What the very last item says is told apart, for most often it says most. The ranker decides which of
them it believes. Logarithms that would be taken for every candidate are replaced by roots, which processors
take eight at a time. The weights that a new feature begins with leave those of all others as they were
(:func:`rtrec.models.crosses.new_crosses`).

Any of them can be switched off by its name (the setting ``without``). One that others are ``made_of`` is
then still filled where one of those is on; it only has no opinion itself.
"""

from __future__ import annotations

from typing import NamedTuple


class Feature(NamedTuple):
    """One number the ranker sees of every candidate; ``source`` is the table, or else what it comes from."""

    name: str
    source: str
    transform: str  # what is done to what the source says
    sentence: str
    start: float = 0.0  # the weight a new ranker gives it
    made_of: str = ""  # the feature whose value this one is computed from


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

#: What the vectors of such a model say of any candidate, whether among the nearest items or not.
PRODUCT: dict[str, str] = {
    "content": "is what this user's last items come to, taken together",
    "history": "suits the taste in this user's last items, over all history",
    "own": "suits the taste in this user's last items, says a model of your own",
}


def vector_source(slot: str) -> str:
    """Return the source of what the vectors in a slot say; the slot itself is that of what its rows say."""
    return f"{slot} vectors"


#: What the rows of such a table say of the very last item alone.
LAST: dict[str, str] = {
    "content": "is like the very last item",
    "history": "goes with the very last item, over all history",
    "own": "goes with the very last item, says a table of your own",
}

#: The place for historical features (:mod:`rtrec.features.historical`), and the source of what they say.
HISTORICAL = "historical"
#: All places that something made outside the stream can take.
PLACES: tuple[str, ...] = (*SLOTS, HISTORICAL)
#: Historical features of an item, by their names there: in the order of the columns that are published.
PAST: dict[str, str] = {
    "events_7d": "had many events in the last week, as of when history was last read",
    "events_30d": "had many events in the last month, as of when history was last read",
    "events_90d": "had many events in the last three months, as of when history was last read",
    "trend": "had more events in its last week than in its last three months",
    "degree": "is had together with many other items",
    "reach": "is had together with many items rather than with a few of them",
    "pagerank": "lies where those end up who go from item to item",
    "repeats": "is had again by those who had it",
    "value_mean": "comes with a higher value (a price, a rating) than most items",
}

#: Transforms that several features have.
SUM, ROOTS, ROOT = "sum", "sum of roots", "root of the sum"
LOG_OF_DECAYED, ROOT_OF_HOURS = "log2 of the decayed count", "fourth root of 1 + hours"
GAP_OF_LOGS, ROOT_OF_GAP = "gap of the logs", "root of the gap"
MEAN_SHARE, AS_PUBLISHED = "mean share of the decayed counts", "as published"
ROOT_OF_GROWTH, GAP_OF_GROWTHS = "root of the growth", "gap of the growths"
_SUMS: dict[str, str] = {
    "near_ring": "goes with the items this user had last",
    "near_last": "goes with the very last item",
    "next_ring": "comes next after the items this user had last",
    "next_last": "comes next after the very last item",
    "trail_ring": "was taken next by those who came the same way",
    **{f"{slot}_ring": sentence for slot, sentence in SLOTS.items()},
}


def root_of(name: str, source: str) -> Feature:
    """Return the square root of a sum as a feature; it says the same."""
    return Feature(f"{name}_root", source, ROOT, _SUMS[name], made_of=name)


FEATURES: tuple[Feature, ...] = (
    Feature("near_ring", "cooccurrence", SUM, _SUMS["near_ring"], 0.1),
    Feature("near_last", "cooccurrence", SUM, _SUMS["near_last"]),
    Feature("next_ring", "transitions", SUM, _SUMS["next_ring"], 0.1),
    Feature("next_last", "transitions", SUM, _SUMS["next_last"]),
    Feature("trail_ring", "trails", SUM, _SUMS["trail_ring"], 0.1),
    *(Feature(f"{slot}_ring", slot, SUM, _SUMS[f"{slot}_ring"]) for slot in SLOTS),
    Feature("near_support", "cooccurrence", ROOTS, "goes with many of the items this user had last"),
    Feature("next_support", "transitions", ROOTS, "comes next after many of the items this user had last"),
    Feature("trail_support", "trails", ROOTS, "was taken next by many who came the same way"),
    *(Feature(f"{slot}_best", slot, "largest", sentence) for slot, sentence in BEST.items()),
    Feature("trail_last", "trails", SUM, "was taken next by those who had the very last item"),
    *(Feature(f"{slot}_last", slot, SUM, sentence) for slot, sentence in LAST.items()),
    *(root_of(name, "cooccurrence") for name in ("near_ring", "near_last")),
    *(root_of(name, "transitions") for name in ("next_ring", "next_last")),
    root_of("trail_ring", "trails"),
    *(root_of(f"{slot}_ring", slot) for slot in SLOTS),
    Feature("heat_now", "popularity", LOG_OF_DECAYED, "is popular this very hour"),
    Feature("heat_short", "popularity", LOG_OF_DECAYED, "is popular these days"),
    Feature("heat_long", "popularity", LOG_OF_DECAYED, "has been popular for a while", 0.1),
    Feature("count", "popularity", "log(1 + x)", "has had many events in all"),
    Feature("age", "catalogue", ROOT_OF_HOURS, "has been in the catalogue for long"),
    Feature("idle", "catalogue", ROOT_OF_HOURS, "has not been touched for long"),
    Feature("count_gap_last", "popularity", GAP_OF_LOGS, "is about as popular as the very last item"),
    Feature(
        "count_gap_ring", "popularity", GAP_OF_LOGS, "is about as popular as the items this user had last"
    ),
    Feature(
        "age_gap_last",
        "catalogue",
        ROOT_OF_GAP,
        "came into the catalogue about when the very last item did",
        made_of="age",
    ),
    Feature(
        "age_gap_ring",
        "catalogue",
        ROOT_OF_GAP,
        "came into the catalogue about when the items this user had last did",
        made_of="age",
    ),
    Feature(
        "value",
        "value",
        "mean of sign(x) log(1 + |x|)",
        "usually comes with such a value (a price, a rating)",
    ),
    Feature(
        "value_gap",
        "value",
        "gap",
        "usually comes with a value such as this user's events have",
        made_of="value",
    ),
    Feature(
        "daypart",
        "daypart",
        "root of the lift",
        "is taken at this time of the day and week more than at others",
    ),
    Feature("had", "user", "root", "is something this user had before"),
    Feature("had_idle", "user", ROOT_OF_HOURS, "was had by this user long ago"),
    *(
        Feature(f"{slot}_product", vector_source(slot), "product", sentence)
        for slot, sentence in PRODUCT.items()
    ),
    *(Feature(f"past_{name}", HISTORICAL, AS_PUBLISHED, sentence) for name, sentence in PAST.items()),
    Feature(
        "past_value_gap",
        HISTORICAL,
        "gap of quantiles",
        "comes with such a value as this user's items have, in all history",
    ),
    Feature(
        "cohort_lift", HISTORICAL, AS_PUBLISHED, "is had more by users who use the catalogue as this one does"
    ),
    Feature("taste_now", "category", MEAN_SHARE, "is in a category this user took this very hour"),
    Feature("taste_short", "category", MEAN_SHARE, "is in a category this user took these days"),
    Feature("taste_long", "category", MEAN_SHARE, "is in a category this user has taken for a while"),
    Feature("taste_last", "category", "yes or no", "shares a category with the very last item"),
    Feature("velocity", "momentum", ROOT_OF_GROWTH, "is had more these days than it was"),
    Feature(
        "acceleration",
        "momentum",
        GAP_OF_GROWTHS,
        "rises faster this very hour than it did",
        made_of="velocity",
    ),
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
TRAIL_LAST = _NUMBERS["trail_last"]
FIRST_LAST = _NUMBERS[f"{next(iter(SLOTS))}_last"]
N_SUMS = FIRST_LAST + len(SLOTS)  # then the other sums
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
FIRST_PRODUCT = _NUMBERS[f"{next(iter(SLOTS))}_product"]
FIRST_PAST = _NUMBERS[f"past_{next(iter(PAST))}"]
N_PAST = len(PAST)
PAST_VALUE = tuple(PAST).index("value_mean")  # the column that a user's own level is compared with
PAST_VALUE_GAP = _NUMBERS["past_value_gap"]
COHORT_LIFT = _NUMBERS["cohort_lift"]
FIRST_TASTE = _NUMBERS["taste_now"]
VELOCITY = _NUMBERS["velocity"]
ACCELERATION = _NUMBERS["acceleration"]


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
