"""Events that come out of order, within the bound on lateness, are counted as if they had not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtrec.events.cleaning import Cleaner
from rtrec.events.mapping import ColumnMapping
from rtrec.events.numbering import Numbering
from rtrec.events.watermark import Watermark
from rtrec.features.categories import of_rows
from rtrec.models.blend import Blend
from rtrec.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

BEGIN = 1_700_000_000
#: In minutes.
BOUND = 180
#: Half-lives are short, so that what is left of an event differs much from one moment to another. A click
#: teaches nothing here and hides its item, until a view or a purchase that happened later.
SETTINGS = Settings(
    half_life_now_h=0.5, half_life_short_h=2.0, half_life_long_h=24.0, weight_buy=3.0, weight_click=0.0
)
USERS, ITEMS, KINDS = ("anna", "ben", "cleo"), ("a", "b", "c", "d", "e"), ("view", "buy", "click")
#: Numbers of the categories of each item.
CATEGORIES = np.array([[0, -1], [0, 1], [1, -1], [-1, -1], [2, 0]], np.int32)
MAPPING = ColumnMapping("user", "item", "time", kind="kind", value="value", time_unit="s")
#: What is whole comes out exactly; what decays, or is a sum of logarithms, to rounding.
EXACT = (
    "known",
    "total",
    "n_events",
    "n_values",
    "last_time",
    "first_time",
    "daypart",
    "daypart_total",
    "had",
)

event = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from(ITEMS),
    st.integers(0, 12 * 60),
    st.sampled_from(KINDS),
    st.sampled_from([None, 1.0, 2.5, 40.0]),
    st.integers(0, BOUND),
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(event, min_size=2, max_size=14, unique_by=lambda each: each[2]))
def test_any_order_within_the_bound_gives_the_same_counts(events: list[tuple[Any, ...]]) -> None:
    """Count a late event in full, let a late click hide an item, or lower the watermark, and this fails.

    Every event is some minutes on its way, at most as many as are allowed: that gives every permutation in
    which none is older than the newest before it by more. No two happen at the same time: of those the last
    to arrive has the last word on whether an item is hidden.
    """
    in_time = sorted(events, key=lambda each: each[2])
    on_arrival = sorted(in_time, key=lambda each: each[2] + each[5])
    expected, found = counted(in_time), counted(on_arrival)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        compare = np.testing.assert_array_equal if name.split()[-1] in EXACT else close
        compare(found[name], values, err_msg=name)


def close(found: np.ndarray, expected: np.ndarray, err_msg: str) -> None:
    # Counts of categories are kept in single precision: half a unit in the last of 24 digits a step.
    single = err_msg in ("category_count", "value_level")
    np.testing.assert_allclose(found, expected, rtol=1e-5 if single else 1e-12, atol=1e-9, err_msg=err_msg)


def counted(events: list[tuple[Any, ...]]) -> dict[str, np.ndarray]:
    """Return all that is counted of a stream of raw rows, in the order of the ids."""
    frame = pd.DataFrame(
        [(user, item, BEGIN + 60 * at, kind, value) for user, item, at, kind, value, _ in events],
        columns=["user", "item", "time", "kind", "value"],
    )
    now = datetime.fromtimestamp(BEGIN, UTC) + timedelta(days=1)
    watermark = Watermark(timedelta(minutes=BOUND))
    cleaner = Cleaner(MAPPING, source="log", clock=lambda: now, watermark=watermark)
    batch = cleaner.clean(frame, 1)
    assert cleaner.counts == {"accepted": len(frame)}, "within the bound nothing is late"

    numbering = Numbering(1, SETTINGS, ITEMS)
    [numbered], _ = numbering.number([batch.events], 0)
    blend = Blend(SETTINGS)
    blend.publish("categories", of_rows(CATEGORIES))
    blend.step(numbered)
    return state(blend.to_arrays(), numbering)


def state(arrays: dict[str, np.ndarray], numbering: Numbering) -> dict[str, np.ndarray]:
    """Return counts by id: users in alphabetical order, items as they are numbered from the start."""
    number_of = {user: number for number, user in enumerate(numbering.users[0].ids()) if user is not None}
    users = [number_of[user] for user in sorted(number_of)]
    n_items = len(ITEMS)
    found = {"known": np.array(sorted(number_of))}
    for name in ("total", "first_time", "last_time", "value_sum", "n_values", "value_level", "daypart"):
        found["item " + name] = arrays[f"items/{name}"][:n_items]
    found["daypart_total"] = arrays["items/daypart_total"]
    # The order of the hottest follows from their heat; only the counts behind it are compared.
    found["heat"] = arrays["items/heat"][:, :n_items]
    for name in ("n_events", "last_time", "pace", "value_sum", "n_values"):
        found["user " + name] = arrays[f"users/{name}"][users]
    category, count = arrays["users/category"][users], arrays["users/category_count"][users]
    by_category = np.zeros((len(users), 3, count.shape[2]))
    for user, place in zip(*np.nonzero(category >= 0), strict=True):
        by_category[user, category[user, place]] = count[user, place]
    found["category_count"] = by_category
    taken = arrays["users/pair"] >= 0
    pairs, times, counts = (arrays[f"users/{name}"][taken] for name in ("pair", "pair_time", "pair_count"))
    of_user = np.array([users.index(user) for user in (pairs >> 32)])
    order = np.lexsort((pairs & 0xFFFFFFFF, of_user))
    found["had"] = np.stack([of_user, pairs & 0xFFFFFFFF, times, counts], axis=1)[order]
    return found
