"""From the history to one version of its features: groupbys and joins by Dask, the rest where the driver is.

What grows with events or pairs stays in Dask: the aggregates, the graph's edges, and how much each cohort
and each cross took. What has a row a user or an item comes to the driver, which must hold it anyway to
publish it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from rtrec.errors import InputError
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.catalogue import Catalogue
from rtrec.features.historical import windows
from rtrec.features.historical.cohorts import N_COHORTS, Cohorts, Earlier, group_users
from rtrec.features.historical.declared import (
    CROSSES,
    ITEM_FEATURES,
    TRANSFORMS,
    USER_FEATURES,
    HistoricalFeature,
)
from rtrec.features.historical.encoding import (
    N_BUCKETS,
    Cross,
    QuantileScale,
    bucket_of,
    fit_codes,
    fit_quantiles,
    log_lift,
)
from rtrec.features.historical.features import HistoricalFeatures
from rtrec.features.historical.graph import co_visits, graph_of, graph_statistics
from rtrec.types import Floats

if TYPE_CHECKING:
    import dask.dataframe as dd

#: A lift is drawn towards none by so many events, as popularity is in the kernel.
LIFT_SMOOTHING = 5.0
#: Quarters of the day (UTC) in which somebody is active.
DAYPARTS = ("night", "morning", "afternoon", "evening")
_BANDS = ("lowest", "low", "middle", "high", "highest")
_NONE = "none"
_PARTITIONS_TO_ONE = 8
#: Called with what was just done, how many steps are done and how many there are.
Progress = Callable[[str, int, int], None]
_STEPS = ("users and items", "graph and encoding", "cohorts", "lifts and crosses")


class _Reduced(NamedTuple):
    """What the first pass over the events leaves, a row a user, an item, or an edge."""

    item: pd.DataFrame
    user: pd.DataFrame
    days: pd.Series
    dayparts: pd.DataFrame
    edges: pd.DataFrame


def compute_features(
    frame: dd.DataFrame,
    *,
    as_of: float,
    ends: Sequence[int] = (),
    version: int = 1,
    earlier: Earlier | None = None,
    catalogue: Catalogue | None = None,
    n_cohorts: int = N_COHORTS,
    n_buckets: int = N_BUCKETS,
    seed: int = 0,
    progress: Progress | None = None,
) -> HistoricalFeatures:
    """Compute all features as of a moment, on the Dask cluster at hand.

    Parameters
    ----------
    frame
        The events, from :mod:`rtrec.features.historical.frame`.
    as_of
        Seconds since 1970 UTC; only events before it count.
    ends
        The offsets up to which the log was read, to be kept with the features.
    version
        Of these features, one above the last.
    earlier
        Cohorts of the last version, whose numbers are kept.
    catalogue
        What is known of items; its categories get codes and crosses.
    n_buckets
        Of each cross.
    progress
        Is told after each step.

    Raises
    ------
    InputError
        If no event lies before ``as_of``.
    """

    def done(step: int) -> None:
        if progress is not None:
            progress(_STEPS[step - 1], step, len(_STEPS))

    events = windows.bucketed(frame, as_of)
    n_parts = max(1, events.npartitions // _PARTITIONS_TO_ONE)
    pairs = windows.pairs_of(events, split_out=n_parts).persist()
    reduced = _reduce(events, pairs, as_of)
    done(1)

    graph = graph_statistics(graph_of(reduced.edges, reduced.item.index))
    item = reduced.item.assign(**graph._asdict())
    item_matrix, item_scale = _transformed(item, ITEM_FEATURES)
    value_column = [feature.name for feature in ITEM_FEATURES].index("value_mean")
    item_text = _item_categories(item, item_matrix[:, value_column], catalogue)
    item_codes, item_code = fit_codes(_one_partition(item_text))
    done(2)

    level = _value_levels(pairs, item.index, item_matrix[:, value_column], reduced.user.index)
    user = reduced.user.assign(days=reduced.days.reindex(reduced.user.index), value_level=level)
    user_matrix, user_scale = _transformed(user, USER_FEATURES)
    cohorts = group_users(
        user[["events", "days", "others", "repeats"]].to_numpy(np.float64),
        n_cohorts=n_cohorts,
        seed=seed,
        earlier=earlier,
    )
    user_text = _user_categories(cohorts, level, reduced.dayparts, user.index)
    user_codes, user_code = fit_codes(_one_partition(user_text))
    done(3)

    crosses = _crosses(item_text)
    taken = _taken_of(pairs, user_text.assign(cohort_num=cohorts.of_user), item_text, crosses)
    cohort_lift = _cohort_lift(taken[0], item.index, len(cohorts.cohorts))
    cross_lift = [_cross_lift(cross, each, n_buckets) for cross, each in zip(crosses, taken[1:], strict=True)]
    done(4)
    return HistoricalFeatures(
        version=version,
        as_of=as_of,
        ends=tuple(int(end) for end in ends),
        n_events=int(item["events"].sum()),
        items=Vocabulary(item.index.tolist()),
        users=Vocabulary(user.index.tolist()),
        item=item_matrix.astype(np.float32),
        user=user_matrix.astype(np.float32),
        cohorts=cohorts.cohorts,
        user_cohort=cohorts.of_user,
        cohort_centres=cohorts.centres,
        cohort_lift=cohort_lift.astype(np.float32),
        item_codes=item_codes,
        item_code=item_code,
        user_codes=user_codes,
        user_code=user_code,
        crosses=crosses,
        cross_lift=np.array(cross_lift, np.float32).reshape(len(crosses), n_buckets),
        item_scale=item_scale,
        user_scale=user_scale,
    )


def _reduce(events: dd.DataFrame, pairs: dd.DataFrame, as_of: float) -> _Reduced:
    import dask

    hour = events["timestamp"] // 3600.0 % 24
    by_daypart = events.assign(daypart=(hour // 6).astype("int64"))
    lazy: list[Any] = []
    for side in ("item", "user"):
        lazy += [windows.sums_of(events, side), windows.others_of(pairs, side)]
    lazy += [
        windows.days_of(events),
        by_daypart.groupby(["user_id", "daypart"], sort=False).agg({"events": "sum"}),
        co_visits(events[events["weight"] > 0.0]),
    ]
    item_sums, item_others, user_sums, user_others, days, dayparts, edges = dask.compute(*lazy)
    if not len(item_sums):
        raise InputError("history: expected events before the moment of the features; there are none")
    began = float(item_sums["first"].min())
    return _Reduced(
        item=windows.aggregates(item_sums, item_others, as_of, began=began),
        user=windows.aggregates(user_sums, user_others, as_of, began=began),
        days=days["day"],
        dayparts=dayparts.reset_index(),
        edges=edges,
    )


def _transformed(raw: pd.DataFrame, features: Sequence[HistoricalFeature]) -> tuple[Floats, QuantileScale]:
    """Return the declared columns, ``(row, feature)``, and the scale of those turned into quantiles."""
    matrix = np.column_stack([raw[feature.name].to_numpy(np.float64) for feature in features])
    by_quantile = [place for place, feature in enumerate(features) if feature.transform == "quantile"]
    scale = fit_quantiles(matrix[:, by_quantile])
    matrix[:, by_quantile] = scale.apply(matrix[:, by_quantile])
    for place, feature in enumerate(features):
        if feature.transform != "quantile":
            matrix[:, place] = TRANSFORMS[feature.transform](matrix[:, place])
    return matrix, scale


def _item_categories(item: pd.DataFrame, value: Floats, catalogue: Catalogue | None) -> pd.DataFrame:
    """Return the categories of items as texts, a row an item."""
    # Of items by events, those that hold the first half, and so on: bands are shares of what happens.
    order = np.lexsort((np.arange(len(item)), -item["events"].to_numpy()))
    share = np.empty(len(item))
    in_order = item["events"].to_numpy()[order]
    share[order] = (np.cumsum(in_order) - in_order) / in_order.sum()
    text = pd.DataFrame(
        {
            "value_band": _bands(value),
            "popularity_band": np.array(_BANDS, object)[4 - np.minimum((share * 5).astype(int), 4)],
        },
        index=item.index,
    )
    if catalogue is not None and catalogue.names("categories"):
        row = catalogue.rows(item.index.tolist())
        for name in catalogue.names("categories"):
            table, known = catalogue.categories([name])
            # An item in several is taken by the first of them; a column of its own for each says more.
            first = np.full(len(catalogue), -1)
            filled = np.diff(table.indptr) > 0
            first[filled] = table.indices[table.indptr[:-1][filled]]
            labels = np.array([*(each.partition("=")[2] for each in known), _NONE], object)
            text[f"category_{name}"] = labels[np.where(row >= 0, first[row], -1)]
    return text


def _user_categories(
    cohorts: Cohorts, level: Floats, dayparts: pd.DataFrame, user_ids: pd.Index
) -> pd.DataFrame:
    """Return the categories of users as texts, a row a user."""
    counts = np.zeros((len(user_ids), len(DAYPARTS)))
    rows = user_ids.get_indexer(pd.Index(dayparts["user_id"]))
    counts[rows, dayparts["daypart"].to_numpy()] = dayparts["events"].to_numpy()
    text = {
        "cohort": cohorts.labels(),
        "value_band": _bands(level),
        "daypart": np.array(DAYPARTS, object)[counts.argmax(axis=1)],
    }
    return pd.DataFrame(text, index=user_ids)


def _bands(quantile: Floats) -> np.ndarray:
    """Return a fifth by name for each quantile, "none" for NaN."""
    known = np.isfinite(quantile)
    fifth = np.minimum(np.where(known, quantile, 0.0) * len(_BANDS), len(_BANDS) - 1).astype(int)
    return np.where(known, np.array(_BANDS, object)[fifth], _NONE)


def _value_levels(pairs: dd.DataFrame, item_ids: pd.Index, quantile: Floats, user_ids: pd.Index) -> Floats:
    """Return the mean quantile of what each user had, by event, ``(user,)``; NaN where no value is known."""
    known = np.isfinite(quantile)
    of_item = pd.DataFrame({"item_id": item_ids[known], "quantile": quantile[known]})
    joined = pairs.merge(_one_partition(of_item), on="item_id", how="inner")
    sums = joined.assign(level=joined["quantile"] * joined["events"]).groupby("user_id", sort=False)
    found = sums.agg({"level": "sum", "events": "sum"}).compute()
    return (found["level"] / found["events"]).reindex(user_ids).to_numpy(np.float64, na_value=np.nan)


def _crosses(item_text: pd.DataFrame) -> tuple[Cross, ...]:
    """Return the declared crosses as columns there are; ``category`` is every column of the catalogue."""
    columns = [name for name in item_text.columns.tolist() if name.startswith("category_")]
    return tuple(
        Cross(cross.user, item)
        for cross in CROSSES
        for item in (columns if cross.item == "category" else [cross.item])
    )


def _taken_of(
    pairs: dd.DataFrame, user_text: pd.DataFrame, item_text: pd.DataFrame, crosses: Sequence[Cross]
) -> tuple[pd.Series, ...]:
    """Return what was taken, summed weights: by (cohort number, item), then by the sides of each cross."""
    import dask

    users = user_text.add_prefix("user:").reset_index().rename(columns={"index": "user_id"})
    items = item_text.add_prefix("item:").reset_index().rename(columns={"index": "item_id"})
    joined = pairs.merge(_one_partition(users), on="user_id").merge(_one_partition(items), on="item_id")
    keys = [["user:cohort_num", "item_id"], *([f"user:{each.user}", f"item:{each.item}"] for each in crosses)]
    lazy = [joined.groupby(key, sort=False).agg({"taken": "sum"}) for key in keys]
    return tuple(each["taken"] for each in dask.compute(*lazy))


def _cohort_lift(taken: pd.Series, item_ids: pd.Index, n_cohorts: int) -> Floats:
    """Return how much more each cohort took of each item than its share of all, ``(cohort, item)``."""
    amount = np.zeros((n_cohorts, len(item_ids)))
    cohort = taken.index.get_level_values(0).to_numpy(np.int64)
    amount[cohort, item_ids.get_indexer(taken.index.get_level_values(1))] = taken.to_numpy()
    total = max(float(amount.sum()), 1e-12)
    expected = amount.sum(axis=1, keepdims=True) * amount.sum(axis=0, keepdims=True) / total
    return log_lift(amount, expected, LIFT_SMOOTHING)


def _cross_lift(cross: Cross, taken: pd.Series, n_buckets: int) -> Floats:
    """Return the lift of each bucket over what it would have if users did not differ, ``(bucket,)``."""
    of_left, of_right = (taken.groupby(level=level).sum() for level in (0, 1))
    total = max(float(taken.sum()), 1e-12)
    every = pd.MultiIndex.from_product([of_left.index, of_right.index])
    amount = taken.reindex(every, fill_value=0.0).to_numpy(np.float64)
    expected = np.outer(of_left.to_numpy(), of_right.to_numpy()).ravel() / total
    left, right = (every.get_level_values(level).tolist() for level in (0, 1))
    bucket = bucket_of(cross, left, right, n_buckets)
    return log_lift(
        np.bincount(bucket, amount, minlength=n_buckets).astype(np.float64),
        np.bincount(bucket, expected, minlength=n_buckets).astype(np.float64),
        LIFT_SMOOTHING,
    )


def _one_partition(frame: pd.DataFrame) -> dd.DataFrame:
    """Return a small frame as a Dask frame, which a join then sends to every task."""
    import dask.dataframe as dd

    return dd.from_pandas(frame, npartitions=1, sort=False)
