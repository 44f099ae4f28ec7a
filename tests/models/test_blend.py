"""The kernel through its owner: promises that hold for any stream."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.declared import TRAIL_RING
from rtrec.errors import CorruptionError
from rtrec.models import kernel
from rtrec.models.base import Recommender
from rtrec.models.blend import Blend
from rtrec.models.kernel import RACERS
from rtrec.models.single import BuiltIn
from rtrec.models.tables import LONG
from rtrec.settings import Settings
from rtrec.types import KINDS, NumberedEvents


def stream(n_events: int = 3000, *, seed: int = 0) -> NumberedEvents:
    rng = np.random.default_rng(seed)
    items = np.minimum(rng.zipf(1.3, n_events), 300) - 1
    return NumberedEvents(
        user_num=rng.integers(0, 60, n_events).astype(np.int32),
        item_num=items.astype(np.int32),
        timestamp=np.cumsum(rng.exponential(600.0, n_events)),
        kind=np.zeros(n_events, np.uint8),
        value=np.full(n_events, np.nan, np.float32),
    )


def same(one: Blend, other: Blend) -> None:
    left, right = one.to_arrays(), other.to_arrays()
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_one_shard_does_not_depend_on_how_the_stream_is_cut(size: int) -> None:
    events = stream()
    whole, cut = Blend(Settings()), Blend(Settings())
    expected = whole.step(events).ranks
    ranks = [cut.step(events.part(start, start + size)).ranks for start in range(0, events.n_events, size)]
    np.testing.assert_array_equal(np.concatenate(ranks), expected)
    same(whole, cut)


def test_state_survives_a_round_trip_and_goes_on_the_same() -> None:
    events = stream()
    undisturbed = Blend(Settings())
    undisturbed.step(events.part(0, 1500))
    resumed = Blend.from_arrays(undisturbed.to_arrays(), Settings())
    expected = undisturbed.step(events.part(1500, 3000)).ranks
    np.testing.assert_array_equal(resumed.step(events.part(1500, 3000)).ranks, expected)
    same(undisturbed, resumed)


def test_deferred_operations_make_the_same_item_tables() -> None:
    events = stream()
    at_once, deferred = Blend(Settings()), Blend(Settings())
    at_once.step(events)
    for start in range(0, events.n_events, 100):
        deferred.learn_items(deferred.step(events.part(start, start + 100), defer=True).operations)
    left, right = at_once.to_arrays(), deferred.to_arrays()
    for name in left:
        if name.startswith("items/"):
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.parametrize("name", RACERS)
def test_a_racer_answers_as_it_would_alone(name: str) -> None:
    events = stream()
    racing = Blend(Settings()).step(events).ranks[:, RACERS.index(name)]
    np.testing.assert_array_equal(BuiltIn(name, Settings()).test_then_learn(events, k=10), racing)


def test_an_item_is_a_miss_before_it_is_learned() -> None:
    """Swap test and learning and this fails: every first event of an item would be a hit."""
    n_events = 50
    events = stream(n_events)._replace(item_num=np.arange(n_events, dtype=np.int32))
    assert not (Blend(Settings()).step(events).ranks > 0).any()


def test_nothing_the_user_had_is_recommended_unless_repeats_are() -> None:
    events = stream(200)
    again = NumberedEvents(*[np.concatenate([column, column]) for column in events])  # type: ignore[arg-type]
    assert not (Blend(Settings()).step(again).ranks[200:] > 0).any()
    assert (Blend(Settings(repeat=True)).step(again).ranks[200:] > 0).any()


def test_a_dislike_is_not_asked_for_and_teaches_no_table() -> None:
    events = stream(100)._replace(kind=np.full(100, KINDS.index("dislike"), np.uint8))
    blend = Blend(Settings())
    assert (blend.step(events).ranks == -1).all()
    assert blend.to_arrays()["items/total"].sum() == 0


def one_event(user: int, item: int, time: float, kind: str = "view") -> NumberedEvents:
    return NumberedEvents(
        user_num=np.array([user], np.int32),
        item_num=np.array([item], np.int32),
        timestamp=np.array([time]),
        kind=np.array([KINDS.index(kind)], np.uint8),
        value=np.array([np.nan], np.float32),
    )


@pytest.mark.parametrize("racer", range(len(RACERS)), ids=RACERS)
def test_a_disliked_item_is_hidden_even_where_repeats_are_not(racer: int) -> None:
    blend = Blend(Settings(repeat=True))
    for user in (0, 1):
        for item in (0, 1):
            blend.step(one_event(user, item, 10.0 * user + item))
    blend.step(one_event(0, 1, 30.0, "dislike"))
    other = blend.step(one_event(1, 1, 40.0)).ranks[0, racer]
    own = blend.step(one_event(0, 1, 50.0)).ranks[0, racer]  # which takes the dislike back
    back = blend.step(one_event(0, 1, 60.0)).ranks[0, racer]
    assert other > 0
    assert own == 0
    assert back > 0


def test_an_event_that_came_late_sets_no_clock_back() -> None:
    blend = Blend(Settings(repeat=True))
    for time in (500.0, 100.0):
        blend.step(one_event(0, 0, time))
    arrays = blend.to_arrays()
    assert arrays["items/first_time"][0] == 100.0
    assert arrays["items/last_time"][0] == 500.0
    assert arrays["users/pair_time"].max() == 500.0


def test_a_new_half_life_holds_from_now_on() -> None:
    hour = 3600.0
    blend = Blend(Settings(half_life_long_h=1.0))
    for time in (0.0, hour):
        blend.step(one_event(0, 0, time))
    blend.change(Settings(half_life_long_h=2.0))
    heat = blend.to_arrays()["items/heat"][LONG, 0]
    # 1/2 + 1 at the last event under the old half-life; two hours later half of that under the new one.
    assert 2.0 ** (heat - 3 * hour / (2 * hour)) == pytest.approx((0.5 + 1.0) / 2)


def test_state_written_with_other_features_is_refused() -> None:
    arrays = Blend(Settings()).to_arrays()
    with pytest.raises(CorruptionError, match="made by another version of rtrec"):
        Blend.from_arrays(arrays | {"features": arrays["features"][:-1]}, Settings())


def test_an_answer_has_at_least_one_place() -> None:
    with pytest.raises(ValueError, match="got k=0"):
        Blend(Settings()).answer(0, 0.0, k=0)


class _ByHeat(Recommender):
    """Decayed popularity, slowly and obviously: the reference for the racer ``popularity``."""

    def __init__(self) -> None:
        super().__init__()
        self.past: list[tuple[int, float]] = []

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        heat = np.full(300, np.nan)
        half_life = Settings().half_life_long_h * 3600.0
        for item, then in self.past:
            heat[item] = np.nansum([heat[item], 2.0 ** ((then - timestamp) / half_life)])
        return heat

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        self.past.append((item_num, timestamp))


def test_popularity_equals_its_plain_reference_event_by_event() -> None:
    events = stream(400)
    expected = _ByHeat().test_then_learn(events, k=10)
    np.testing.assert_array_equal(BuiltIn("popularity", Settings()).test_then_learn(events, k=10), expected)


def test_cooccurrence_sums_are_those_a_dictionary_would_hold() -> None:
    events, settings = stream(500), Settings(row_length=1000)
    blend = Blend(settings)
    blend.step(events)
    together: dict[tuple[int, int], float] = {}
    rings: dict[int, list[int]] = {}
    for user, item in zip(events.user_num.tolist(), events.item_num.tolist(), strict=True):
        ring = rings.setdefault(user, [])
        for age, other in enumerate(ring[: settings.ring_length]):
            if other != item:
                for pair in ((item, other), (other, item)):
                    together[pair] = together.get(pair, 0.0) + settings.ring_decay**age
        ring.insert(0, item)
    arrays = blend.to_arrays()
    held = {
        (row, int(arrays["items/near_item"][row, place])): float(arrays["items/near_weight"][row, place])
        for row in range(blend.n_items)
        for place in range(arrays["items/near_size"][row])
    }
    assert held.keys() == together.keys()
    assert held == pytest.approx(together, rel=1e-5)


def test_trails_follow_those_who_came_the_same_way() -> None:
    """Items 1, 2, 3 lead to 4, but 9, 8, 3 to 5: who had 1, 2, 3 gets 4, though 5 came after 3 later."""
    ways = [[1, 2, 3, 4], [9, 8, 3, 5], [1, 2, 3]]
    users = np.repeat([0, 1, 2], [len(way) for way in ways])
    events = NumberedEvents(
        user_num=users.astype(np.int32),
        item_num=np.concatenate(ways).astype(np.int32),
        timestamp=np.arange(len(users), dtype=np.float64),
        kind=np.zeros(len(users), np.uint8),
        value=np.full(len(users), np.nan, np.float32),
    )
    blend = Blend(Settings(ring_decay=0.5), racers=("trails",))
    blend.step(events)
    answer, _, _, work, _ = blend.answer(2, 11.0, k=3)
    votes = dict(
        zip(work.item[: answer.n_candidates].tolist(), work.features[TRAIL_RING].tolist(), strict=False)
    )
    # After 3, which user 0 had after 2 and 1: (1 + 2)^2; after 2 (age 1), two steps on: 0.5 (1 + 1)^2 / 2;
    # after 1 (age 2), three steps on, with nothing before it: 0.25 / 3. User 1 shared nothing but the 3.
    assert votes[4] == pytest.approx(9 + 0.5 * 4 / 2 + 0.25 / 3)
    assert votes[5] == pytest.approx(1.0)


def test_a_user_of_another_shard_leaves_a_trail_too() -> None:
    here, there = (Blend(Settings(), shard=index, n_shards=2) for index in (0, 1))
    way = stream(5)._replace(user_num=np.zeros(5, np.int32), item_num=np.arange(5, dtype=np.int32))
    here.learn_items(there.step(way, defer=True).operations)
    assert here.to_arrays()["items/trails/after"][0, 0].tolist() == [1, 2, 3, 4, -1]


def test_an_answer_takes_the_kernels_that_a_step_has_compiled() -> None:
    """Compiled anew, a live run would stand still for as long when somebody first looks at a user."""
    blend = Blend(Settings())
    blend.step(one_event(0, 0, 1.0))
    blend.answer(0, 2, k=10)
    blend.answer(-1, 2.0, k=3)
    step_has = ("int32", "int64", "float64")  # the user's number here and over all shards, and the time
    assert {tuple(map(str, each[8:11])) for each in kernel.answer.signatures} == {step_has}


def test_a_batch_takes_room_for_the_events_there_are() -> None:
    events = stream(20_000)  # so many pairs that the set of them has to grow
    blend, at_once = Blend(Settings()), Blend(Settings())
    blend.step(events, batch=20_000)
    at_once.step(events, batch=10**12)
    same(blend, at_once)
    assert len(at_once.to_arrays()["users/pair"]) == 1 << 16


def test_the_oldest_pairs_make_way_however_the_stream_is_cut() -> None:
    """One user has 9,000 items, one a second; 8,192 pairs are remembered at the most."""
    n_events = 9000
    events = NumberedEvents(
        user_num=np.zeros(n_events, np.int32),
        item_num=np.arange(n_events, dtype=np.int32),
        timestamp=np.arange(n_events, dtype=np.float64),
        kind=np.zeros(n_events, np.uint8),
        value=np.full(n_events, np.nan, np.float32),
    )
    settings = Settings(most_pairs=1 << 13, row_length=10)
    whole, pieces = Blend(settings, racers=()), Blend(settings, racers=())
    whole.step(events)
    for start in range(0, n_events, 1700):
        pieces.step(events.part(start, min(start + 1700, n_events)))
    arrays = whole.to_arrays()
    pairs = arrays["users/pair"]
    assert len(pairs) == 1 << 14
    # At the 8,193rd pair the oldest quarter goes: items 0 to 2,048, the last of them included.
    assert sorted(pairs[pairs >= 0].tolist()) == list(range(2049, n_events))
    assert arrays["users/n_pairs"].tolist() == [n_events - 2049]
    for name, array in pieces.to_arrays().items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


@pytest.mark.parametrize("defer", [False, True])
def test_an_item_that_is_not_admitted_is_a_miss_and_teaches_nothing(defer: bool) -> None:
    blend = Blend(Settings(), racers=("default", "popularity"))
    blend.step(
        NumberedEvents(
            user_num=np.array([0, 0, 1], np.int32),
            item_num=np.array([0, 1, 0], np.int32),
            timestamp=np.arange(3.0),
            kind=np.zeros(3, np.uint8),
            value=np.full(3, np.nan, np.float32),
        )
    )
    before = {name: array.copy() for name, array in blend.to_arrays().items()}
    learned = blend.step(
        NumberedEvents(
            user_num=np.array([1], np.int32),
            item_num=np.array([-1], np.int32),
            timestamp=np.array([3.0]),
            kind=np.zeros(1, np.uint8),
            value=np.full(1, 5.0, np.float32),
        ),
        defer=defer,
    )
    assert learned.ranks[0, :2].tolist() == [0, 0]  # though the lists are shorter than k, and end in -1
    blend.learn_items(learned.operations)
    after = blend.to_arrays()
    changed = []
    for name in after:
        is_float = after[name].dtype.kind == "f"  # NaN is a value that was never seen
        if not np.array_equal(after[name], before[name], equal_nan=is_float):
            changed.append(name)
    assert all(name.startswith(("ranker/", "shown")) for name in changed), changed
