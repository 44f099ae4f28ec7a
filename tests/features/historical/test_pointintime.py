"""Online features computed again in batch: row by row what the kernel had, and never the event itself."""

from __future__ import annotations

import dask
import numpy as np
import pytest

from rtrec import declared
from rtrec.features.categories import of_rows
from rtrec.features.historical.pointintime import (
    HOUR_S,
    Asked,
    Memory,
    asked_by,
    online_features,
)
from rtrec.features.historical.tastes import TASTES
from rtrec.models import filling, lowering, momentum, tables
from rtrec.models.blend import Blend
from rtrec.models.params import to_params
from rtrec.settings import Settings
from rtrec.types import KINDS, NumberedEvents

COLUMNS = (
    "heat_now",
    "heat_short",
    "heat_long",
    "velocity",
    "acceleration",
    "count",
    "age",
    "idle",
    "value",
    "value_gap",
    "daypart",
    "had",
    "had_idle",
    *TASTES,
)
#: Items 0 to 29 are in none to three of seven categories.
CATEGORIES = of_rows(
    np.array(
        [[n % 5 + place if place < n % 4 else -1 for place in range(3)] for n in range(30)],
        np.int32,
    )
)


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def memory_of(settings: Settings) -> Memory:
    params = to_params(settings)
    coldest = float(filling.COLDEST)
    return Memory(
        params.kind_weight,
        params.half_life_s,
        params.ring_length,
        coldest,
        lowering.LEAST,
        tables.SMOOTHING,
        float(momentum.PRIOR),
        float(momentum.YOUNGEST_S),
    )


def stream(n_events: int = 400, *, seed: int = 0) -> NumberedEvents:
    """Return events of all kinds, of which some come late and some users come back to an item."""
    rng = np.random.default_rng(seed)
    time = 1.7e9 + np.cumsum(rng.exponential(3 * HOUR_S, n_events))
    late = rng.random(n_events) < 0.1
    return NumberedEvents(
        user_num=rng.integers(0, 12, n_events).astype(np.int32),
        item_num=np.minimum(rng.zipf(1.3, n_events), 40).astype(np.int32) - 1,
        timestamp=time - late * rng.exponential(50 * HOUR_S, n_events),
        kind=rng.choice([0, 3, KINDS.index("dislike")], n_events, p=[0.6, 0.3, 0.1]).astype(np.uint8),
        value=np.where(rng.random(n_events) < 0.5, rng.lognormal(2.0, 1.0, n_events), np.nan).astype("f4"),
    )


@pytest.mark.parametrize("n_partitions", [1, 4])
@pytest.mark.parametrize("repeat", [True, False])
def test_batch_and_online_agree_on_every_candidate_of_every_answer(n_partitions: int, repeat: bool) -> None:
    settings = Settings(
        use_daypart=True,
        use_momentum=True,
        repeat=repeat,
        weight_view=0.5,
        half_life_short_h=7.0,
        ring_length=6,
    )
    events, blend = stream(), Blend(settings)
    blend.publish("categories", CATEGORIES)
    online, asks, in_ring = [], [], []
    for place in range(events.n_events):
        user, now = int(events.user_num[place]), float(events.timestamp[place])
        best, _, users, work, _ = blend.answer(user, now, k=10)
        items = work.item[: best.n_candidates].copy()
        rows = [declared.FEATURE_NAMES.index(name) for name in COLUMNS]
        online.append(work.features[rows, : best.n_candidates].T.copy())
        ring = users.ring[blend.row_of(user), : settings.ring_length]
        in_ring.append(np.isin(items, ring))
        asks.append(np.column_stack([np.full(len(items), place), np.full(len(items), user), items]))
        blend.step(events.part(place, place + 1))
    place, user, item = np.concatenate(asks).T
    asked = Asked(place, user.astype(np.int32), item.astype(np.int32), events.timestamp[place])
    memory = memory_of(settings)
    batch = online_features(events, asked, memory, categories=CATEGORIES, n_partitions=n_partitions)
    assert len(batch) == len(asked.place) > 5000
    expected = dict(zip(COLUMNS, np.concatenate(online).T, strict=True))
    for name in COLUMNS:
        if repeat or not name.startswith("had"):  # without repeats the kernel does not fill these
            np.testing.assert_allclose(batch[name], expected[name], rtol=2e-6, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(batch["ring"], np.concatenate(in_ring))
    assert batch["ring"].any() == repeat
    assert batch["taste_short"].nunique() > 1000
    assert (batch["had"] > 0).any() == repeat


def test_the_event_being_answered_is_never_inside() -> None:
    events, memory = stream(), memory_of(Settings(weight_buy=3.0))
    answer = online_features(events, asked_by(events), memory)
    first_of_item = np.unique(events.item_num, return_index=True)[1]
    assert (answer["count"].to_numpy()[first_of_item] == 0.0).all()
    assert (answer["heat_long"].to_numpy()[first_of_item] == memory.coldest).all()
    # Whatever the event and all after it were, what was known before it is the same.
    half = events.n_events // 2
    other = events._replace(
        user_num=np.r_[events.user_num[:half], events.user_num[half:][::-1]],
        item_num=np.r_[events.item_num[:half], events.item_num[half:][::-1]],
        kind=np.r_[events.kind[:half], np.full(events.n_events - half, 3, np.uint8)],
        value=np.r_[events.value[:half], np.full(events.n_events - half, 9, np.float32)],
    )
    asked = asked_by(events.part(0, half + 1))
    for known in (other, events.part(0, half)):
        again = online_features(known, asked, memory)
        assert again.equals(answer.iloc[: half + 1])
    # One place later the event is inside: the test above would notice.
    later = online_features(events, asked._replace(place=asked.place + 1), memory)
    taught = events.kind[: half + 1] != KINDS.index("dislike")
    assert (later["count"][taught] > answer["count"].iloc[: half + 1][taught]).all()


def test_by_hand() -> None:
    memory = Memory((1.0,) * 7 + (-1.0,), (HOUR_S / 2, HOUR_S, 10 * HOUR_S), ring_length=2)
    # User 0 views item 5 at hour 0 and 1, dislikes it at hour 2; user 1 views it at hour 2, then 6, 7.
    events = NumberedEvents(
        user_num=np.array([0, 0, 0, 1, 1, 1], np.int32),
        item_num=np.array([5, 5, 5, 5, 6, 7], np.int32),
        timestamp=np.array([0.0, 1.0, 2.0, 2.0, 2.5, 3.0]) * HOUR_S,
        kind=np.array([0, 0, 7, 0, 0, 0], np.uint8),
        value=np.full(6, np.nan, np.float32),
    )
    asked = Asked(
        place=np.array([2, 3, 4, 5, 6]),
        user_num=np.array([0, 0, 1, 1, 1], np.int32),
        item_num=np.array([5, 5, 5, 5, 5], np.int32),
        timestamp=np.array([2.0, 2.0, 2.0, 3.0, 3.0]) * HOUR_S,
    )
    found = online_features(events, asked, memory)
    # At hour 2: 2 ** -2 + 2 ** -1 = 3 / 4 of an event is left, of which the dislike leaves a sixteenth, and
    # the view adds a whole one. The count goes from 2 to 1, and to 2 again.
    heat = [3 / 4, 1 / 16, 17 / 16, 17 / 32, 17 / 32]
    np.testing.assert_allclose(found["heat_short"], np.log2(heat).astype(np.float32), rtol=1e-6)
    np.testing.assert_allclose(found["count"], np.log([3, 2, 3, 3, 3]), rtol=1e-6)
    np.testing.assert_allclose(found["age"], np.array([3, 3, 3, 4, 4]) ** 0.25, rtol=1e-6)
    np.testing.assert_allclose(found["idle"], np.array([2, 2, 1, 2, 2]) ** 0.25, rtol=1e-6)
    np.testing.assert_allclose(found["had"], [np.sqrt(2), 0, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(found["had_idle"], [2**0.25, 0, 1, 2**0.25, 2**0.25], rtol=1e-6)
    # The dislike does not enter the ring, which user 0 has 5 twice in; 6 and 7 push 5 out of user 1's.
    assert found["ring"].tolist() == [True, True, True, True, False]


def test_velocity_and_acceleration_by_hand() -> None:
    memory = Memory((1.0,) * 8, (HOUR_S, 2 * HOUR_S, 4 * HOUR_S), ring_length=2)
    events = NumberedEvents(
        user_num=np.array([0, 1], np.int32),
        item_num=np.array([5, 5], np.int32),
        timestamp=np.array([0.0, 4.0]) * HOUR_S,
        kind=np.zeros(2, np.uint8),
        value=np.full(2, np.nan, np.float32),
    )
    asked = Asked(
        place=np.array([0, 1, 2, 2]),
        user_num=np.zeros(4, np.int32),
        item_num=np.full(4, 5, np.int32),
        timestamp=np.array([4.0, 4.0, 4.0, -9.0]) * HOUR_S,
    )
    found = online_features(events, asked, memory)
    # After four hours the counts hold 15/16, 3/4 and 1/2 of windows that are as 1 to 2 to 4, so 3/4 of the
    # third is to be expected of the second, and 5/8 of the second of the first. Before any event there is
    # none; then there are 1/16, 1/4 and 1/2, and then one more of each, also to one who comes late.
    velocity = np.sqrt([1, (1 / 4 + 1) / (3 / 8 + 1), (5 / 4 + 1) / (9 / 8 + 1), (5 / 4 + 1) / (9 / 8 + 1)])
    of_now = np.sqrt(
        [1, (1 / 16 + 1) / (5 / 32 + 1), (17 / 16 + 1) / (25 / 32 + 1), (17 / 16 + 1) / (25 / 32 + 1)]
    )
    np.testing.assert_allclose(found["velocity"], velocity, rtol=1e-6)
    np.testing.assert_allclose(found["acceleration"], of_now - velocity, atol=1e-6)


def test_tastes_by_hand() -> None:
    memory = Memory((1.0,) * 7 + (-1.0,), (HOUR_S, 2 * HOUR_S, 4 * HOUR_S), ring_length=2)
    # Items 0 and 1 are in category 0, 1 and 2 in category 1, 3 in none. User 0 takes 0 and 2, dislikes 1.
    categories = of_rows(np.array([[0, -1], [0, 1], [1, -1], [-1, -1]], np.int32))
    events = NumberedEvents(
        user_num=np.array([0, 0, 0], np.int32),
        item_num=np.array([0, 2, 1], np.int32),
        timestamp=np.array([0.0, 4.0, 5.0]) * HOUR_S,
        kind=np.array([0, 0, 7], np.uint8),
        value=np.full(3, np.nan, np.float32),
    )
    asked = Asked(
        place=np.array([1, 3, 3, 3, 3]),
        user_num=np.array([0, 0, 0, 0, 1], np.int32),
        item_num=np.array([1, 0, 1, 3, 1], np.int32),
        timestamp=np.array([4.0, 8.0, 8.0, 8.0, 8.0]) * HOUR_S,
    )
    found = online_features(events, asked, memory, categories=categories)
    # At first an event of category 0 was four hours ago. Later it was eight, and one of category 1 four.
    left, old, new = (np.array([2.0**-h for h in each]) for each in ((4, 2, 1), (8, 4, 2), (4, 2, 1)))
    total, none = 1 + old + new, np.zeros(3)
    # Item 1 is in both: it has the mean.
    expected = [left / (1 + left) / 2, old / total, (old + new) / total / 2, none, none]
    np.testing.assert_allclose(found[list(TASTES[:3])], expected, rtol=1e-6)
    assert found["taste_last"].tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]


def test_hours_are_the_kernels() -> None:
    assert HOUR_S == tables.HOUR_S


def test_nothing_known_yet() -> None:
    empty = stream().part(0, 0)
    asked = Asked(np.array([0]), np.array([3], np.int32), np.array([9], np.int32), np.array([1.7e9]))
    found = online_features(empty, asked, memory_of(Settings()))
    columns = ["heat_now", "heat_long", "count", "age", "idle", "had", "value", "value_gap", "daypart"]
    assert found[columns].iloc[0].tolist() == [-4.0, -4.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    assert found[["velocity", "acceleration"]].iloc[0].tolist() == [1.0, 0.0]
