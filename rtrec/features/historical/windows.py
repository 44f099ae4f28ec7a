"""What users and items did over the last 7, 30 and 90 days before a moment, and in all, by Dask groupbys.

Each event lies in the shortest window that reaches back to it, its *bucket*; a window is then a sum over
buckets, and history is read once for all of them. Counting who is different needs no sets either: a pair of
user and item is one row after a groupby, and belongs to a window if its newest event does. With n events of m
pairs, the share of repeats is 1 - m / n.

So everything is a sum, a minimum or a maximum, which Dask merges in any order: a result depends on how
history is cut into partitions only by the rounding of sums, the last of 16 digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from rtrec.features.historical.frame import before
from rtrec.types import Floats, Ints

if TYPE_CHECKING:
    import dask.dataframe as dd

DAY_S = 86_400.0
#: Days a window reaches back, the shortest first.
WINDOWS_D: tuple[int, ...] = (7, 30, 90)
#: A trend is drawn towards none by so many events at the long rate: two events this week are no trend yet.
TREND_SMOOTHING = 5.0
Side = Literal["user", "item"]
OTHER: dict[Side, Side] = {"user": "item", "item": "user"}

_MEASURES = ("events", "weight", "n_values", "value_sum", "value_squares")


def bucketed(frame: dd.DataFrame, as_of: float, windows_d: Sequence[int] = WINDOWS_D) -> dd.DataFrame:
    """Return the events before ``as_of``, each with its bucket and as something that can be summed.

    Parameters
    ----------
    frame
        From :mod:`rtrec.features.historical.frame`.
    as_of
        Seconds since 1970 UTC; an event at that very moment is left out.
    windows_d
        Rising. An event just as old as a window is long is inside.
    """
    if not windows_d or list(windows_d) != sorted(set(windows_d)) or windows_d[0] <= 0:
        raise ValueError(f"windows_d: expected rising numbers of days above 0; got {list(windows_d)}")
    past = before(frame, as_of)
    edges = np.array(windows_d, np.float64) * DAY_S
    return past.map_partitions(_summable, as_of, edges)


def _summable(events: pd.DataFrame, as_of: float, edges: Floats) -> pd.DataFrame:
    value = events["value"].to_numpy(np.float64)
    known = np.isfinite(value)
    return events.assign(
        bucket=np.searchsorted(edges, as_of - events["timestamp"].to_numpy(), side="left").astype(np.int64),
        day=np.floor(events["timestamp"].to_numpy() / DAY_S).astype(np.int64),
        events=np.int64(1),
        taken=np.maximum(events["weight"], 0.0),
        n_values=known.astype(np.int64),
        value_sum=np.where(known, value, 0.0),
        # Values are float32, so a square is exact; what a sum of them loses shows in a spread only where it
        # is a millionth of the mean.
        value_squares=np.where(known, value * value, 0.0),
        first=events["timestamp"],
        last=events["timestamp"],
    )


def pairs_of(events: dd.DataFrame, *, split_out: int = 1) -> dd.DataFrame:
    """Return each (user, item) once: newest bucket, ``events``, and ``taken``, their positive weights summed.

    Parameters
    ----------
    events
        From :func:`bucketed`.
    split_out
        How many partitions the pairs are spread over.
    """
    grouped = events.groupby(["user_id", "item_id"], sort=False)
    pairs = grouped.agg({"bucket": "min", "events": "sum", "taken": "sum"}, split_out=split_out)
    return pairs.reset_index()


def sums_of(events: dd.DataFrame, side: Side) -> dd.DataFrame:
    """Return the sums of each user's or item's events by bucket, lazily; :func:`aggregates` takes them."""
    how = dict.fromkeys(_MEASURES, "sum") | {"first": "min", "last": "max"}
    return events.groupby([f"{side}_id", "bucket"], sort=False).agg(how)


def others_of(pairs: dd.DataFrame, side: Side) -> dd.DataFrame:
    """Return how many pairs of each user or item have their newest event in each bucket, lazily."""
    return pairs.groupby([f"{side}_id", "bucket"], sort=False).agg({f"{OTHER[side]}_id": "count"})


def days_of(events: dd.DataFrame, *, split_out: int = 1) -> dd.DataFrame:
    """Return on how many days (UTC) each user had an event, lazily."""
    days = events.groupby(["user_id", "day"], sort=False).agg({"events": "sum"}, split_out=split_out)
    return days.reset_index().groupby("user_id", sort=False).agg({"day": "count"})


def aggregates(
    sums: pd.DataFrame,
    others: pd.DataFrame,
    as_of: float,
    windows_d: Sequence[int] = WINDOWS_D,
    *,
    began: float | None = None,
) -> pd.DataFrame:
    """Return the aggregates of each user or item, a row an id in the order of ids.

    Parameters
    ----------
    sums, others
        What :func:`sums_of` and :func:`others_of` computed.
    as_of
        As it was for :func:`bucketed`.
    began
        Time of the first event there is; of a history of 20 days the 90-day rate is over 20.

    Returns
    -------
    For each window, with ``_7d`` and so on behind the name, and for all history without:

    - ``events``, their summed kind ``weight``, ``others``: how many different items (of a user) or users;
    - ``value_mean`` and ``value_spread`` (population standard deviation), NaN where no value came;
    - ``repeats``: the share of events that were not the first of their pair, 0 without events;

    then ``first_days`` and ``last_days`` since the first and last event, and ``trend``: the rate over the
    shortest window over that of the longest, 1 where there is none.
    """
    ids = pd.Index(sorted(sums.index.get_level_values(0).unique()), dtype="string[pyarrow]")
    ids.name = sums.index.names[0]
    row = ids.get_indexer(sums.index.get_level_values(0))
    bucket = sums.index.get_level_values(1).to_numpy()
    shape = (len(ids), len(windows_d) + 1)
    within = {name: _within(shape, row, bucket, sums[name].to_numpy(np.float64)) for name in _MEASURES}
    within["others"] = _within(
        shape,
        ids.get_indexer(others.index.get_level_values(0)),
        others.index.get_level_values(1).to_numpy(),
        others.iloc[:, 0].to_numpy(np.float64),
    )
    first, last = np.full(len(ids), np.inf), np.full(len(ids), -np.inf)
    np.minimum.at(first, row, sums["first"].to_numpy())
    np.maximum.at(last, row, sums["last"].to_numpy())

    n_events, n_values = within["events"], within["n_values"]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n_values > 0, within["value_sum"] / n_values, np.nan)
        spread = np.sqrt(np.maximum(within["value_squares"] / n_values - mean * mean, 0.0))
    measures = {
        "events": n_events,
        "weight": within["weight"],
        "others": within["others"],
        "value_mean": mean,
        "value_spread": spread,
        "repeats": 1.0 - within["others"] / np.maximum(n_events, 1.0),
    }
    measures["repeats"][n_events == 0] = 0.0
    columns = {
        f"{name}{suffix}": values[:, place]
        for place, suffix in enumerate([*(f"_{days}d" for days in windows_d), ""])
        for name, values in measures.items()
    }
    columns["first_days"] = (as_of - first) / DAY_S
    columns["last_days"] = (as_of - last) / DAY_S
    span_d = np.inf if began is None else (as_of - began) / DAY_S
    short_d, long_d = (min(float(days), span_d) for days in (windows_d[0], windows_d[-1]))
    columns["trend"] = trend(n_events[:, 0], n_events[:, -2], short_d, long_d)
    return pd.DataFrame(columns, index=ids)


def trend(n_short: Floats, n_long: Floats, short_d: float, long_d: float) -> Floats:
    """Return the rate of the short window over that of the long one, ``(row,)``.

    ``((n_short + s * short / long) / short) / ((n_long + s) / long)`` with s = :data:`TREND_SMOOTHING`: 1 for
    what had no event, and near 1 for what had few.

    >>> trend(np.array([0.0, 7.0]), np.array([0.0, 15.0]), 7.0, 70.0).tolist()  # (7 + 0.5) / 7 to 20 / 70
    [1.0, 3.75]
    """
    share = short_d / long_d
    return (n_short + TREND_SMOOTHING * share) / ((n_long + TREND_SMOOTHING) * share)


def _within(shape: tuple[int, int], row: Ints, bucket: Ints, amount: Floats) -> Floats:
    """Sum amounts into ``(row, bucket)``, then from the newest bucket on, so that a column is a window."""
    total = np.zeros(shape)
    np.add.at(total, (row, bucket), amount)
    return np.cumsum(total, axis=1)
