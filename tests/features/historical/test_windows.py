"""Aggregates over windows: by hand, against an obvious loop, and whatever the partitions."""

from __future__ import annotations

import math

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.features.historical import windows
from rtrec.features.historical.frame import frame_of_events
from rtrec.settings import Settings
from rtrec.types import KINDS, Columns
from tests.features.historical.conftest import DAY_S, seconds, table_of

WEIGHTS = Settings(weight_buy=3.0).kind_weights()


def aggregated(events, side, as_of, *, n_partitions=1, windows_d=windows.WINDOWS_D):
    frame = frame_of_events(events, WEIGHTS, n_partitions=n_partitions)
    bucketed = windows.bucketed(frame, as_of, windows_d)
    pairs = windows.pairs_of(bucketed, split_out=2)
    sums, others = dask.compute(windows.sums_of(bucketed, side), windows.others_of(pairs, side))
    return windows.aggregates(sums, others, as_of, windows_d, began=float(sums["first"].min()))


def slowly(events, side, as_of, windows_d=windows.WINDOWS_D):
    """Return what :func:`windows.aggregates` shall, one id and one window after the other."""
    frame = events.to_pandas()
    frame["time"] = frame[Columns.TIMESTAMP].astype("datetime64[us, UTC]").astype(np.int64) / 1e6
    frame = frame[frame["time"] < as_of]
    frame["weight"] = [WEIGHTS[KINDS.index(kind)] for kind in frame[Columns.KIND]]
    span_d = (as_of - frame["time"].min()) / DAY_S
    other = Columns.ITEM_ID if side == "user" else Columns.USER_ID
    rows = {}
    for key, own in frame.groupby(f"{side}_id"):
        row = {}
        for days in (*windows_d, None):
            part = own if days is None else own[as_of - own["time"] <= days * DAY_S]
            suffix = "" if days is None else f"_{days}d"
            values = [value for value in part[Columns.VALUE] if not math.isnan(value)]
            mean = sum(values) / len(values) if values else math.nan
            seen, again = set(), 0
            for each in part[other]:
                again += each in seen
                seen.add(each)
            row[f"events{suffix}"] = len(part)
            row[f"weight{suffix}"] = sum(part["weight"])
            row[f"others{suffix}"] = len(seen)
            row[f"value_mean{suffix}"] = mean
            row[f"value_spread{suffix}"] = (
                math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) if values else math.nan
            )
            row[f"repeats{suffix}"] = again / len(part) if len(part) else 0.0
        row["first_days"] = (as_of - own["time"].min()) / DAY_S
        row["last_days"] = (as_of - own["time"].max()) / DAY_S
        short, long = min(windows_d[0], span_d), min(windows_d[-1], span_d)
        n_short, n_long = row[f"events_{windows_d[0]}d"], row[f"events_{windows_d[-1]}d"]
        s = windows.TREND_SMOOTHING
        row["trend"] = ((n_short + s * short / long) / short) / ((n_long + s) / long)
        rows[key] = row
    return pd.DataFrame.from_dict(rows, orient="index").sort_index()


def test_by_hand():
    events = table_of(
        [
            ("u", "a", 0.0, "view", 2.0),  # 100 days before
            ("u", "a", 10.0, "buy", 4.0),  # 90 days before: just inside
            ("v", "a", 80.0, "view", None),  # 20 days before
            ("u", "a", 99.0, "view", 9.0),
            ("v", "b", 99.5, "view", None),
            ("v", "a", 100.0, "buy", 50.0),  # at that very moment: not before it
        ]
    )
    items = aggregated(events, "item", seconds(100))
    a, b = items.loc["a"], items.loc["b"]
    assert [a[f"events{each}"] for each in ("_7d", "_30d", "_90d", "")] == [1, 2, 3, 4]
    assert [a[f"weight{each}"] for each in ("_7d", "_30d", "_90d", "")] == [1, 2, 5, 6]
    assert [a[f"others{each}"] for each in ("_7d", "_30d", "_90d", "")] == [1, 2, 2, 2]
    assert [a[f"repeats{each}"] for each in ("_7d", "_30d", "_90d", "")] == [0, 0, 1 - 2 / 3, 2 / 4]
    assert [a[f"value_mean{each}"] for each in ("_7d", "_30d", "_90d", "")] == [9, 9, 6.5, 5]
    assert a["value_spread_90d"] == 2.5
    assert a["value_spread"] == pytest.approx(math.sqrt((9 + 1 + 16) / 3))
    assert math.isnan(b["value_mean"])
    assert (a["first_days"], a["last_days"]) == (100, 1)
    # One event in 7 days, three in 90, both drawn by 5 at the long rate: 5 * 7 / 90 of them in 7 days.
    assert a["trend"] == pytest.approx(((1 + 5 * 7 / 90) / 7) / ((3 + 5) / 90))


def test_a_rate_over_a_history_shorter_than_the_window_is_over_that_history():
    events = table_of([("u", "a", day, "view", None) for day in range(20)])  # one a day for 20 days
    trend = aggregated(events, "item", seconds(20)).loc["a", "trend"]
    assert trend == pytest.approx(((7 + 5 * 7 / 20) / 7) / ((20 + 5) / 20))  # 1 but for a day at the edge


@pytest.fixture(scope="module")
def stream():
    made = SyntheticStream(SyntheticConfig(n_users=30, n_items=20, seed=3, events_per_day=4.0)).events(600)
    values = np.random.default_rng(0).lognormal(3.0, 1.0, 600).round(2)
    values[::7] = np.nan
    place = EVENT_SCHEMA.get_field_index(Columns.VALUE)
    column = pa.array(values, pa.float32(), from_pandas=True)
    return made.set_column(place, EVENT_SCHEMA.field(place), column)


@pytest.mark.parametrize("side", ["user", "item"])
def test_agrees_with_the_obvious_loop(stream, side):
    times = stream[Columns.TIMESTAMP].cast("int64").to_numpy() / 1e6
    as_of = float(np.quantile(times, 0.9))
    found, expected = aggregated(stream, side, as_of, n_partitions=3), slowly(stream, side, as_of)
    assert found.index.tolist() == expected.index.tolist()
    assert (found["events_7d"] < found["events"]).any()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("side", ["user", "item"])
def test_partitions_do_not_matter(stream, side):
    as_of = stream[Columns.TIMESTAMP].cast("int64").to_numpy().max() / 1e6
    whole, cut = (aggregated(stream, side, as_of, n_partitions=n) for n in (1, 7))
    assert (whole["events"] == cut["events"]).all()
    for name in whole:
        np.testing.assert_allclose(whole[name], cut[name], rtol=1e-12, atol=1e-7, err_msg=name)


def test_windows_must_rise():
    frame = frame_of_events(table_of([("u", "a", 0.0)]), WEIGHTS)
    with pytest.raises(ValueError, match=r"rising numbers of days above 0; got \[30, 7\]"):
        windows.bucketed(frame, 0.0, (30, 7))


def test_days_are_counted_once_each():
    rows = [("u", "a", 0.1), ("u", "b", 0.9), ("u", "a", 1.1), ("v", "a", 5.0), ("u", "c", 9.0)]
    frame = frame_of_events(table_of(rows), WEIGHTS, n_partitions=3)
    days = windows.days_of(windows.bucketed(frame, seconds(8)), split_out=2).compute()
    assert days["day"].to_dict() == {"u": 2, "v": 1}
