"""The kernel against its slow reference, event by event."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest

from rtrec.declared import FEATURE_NAMES, FEATURES, PAST
from rtrec.features.categories import of_rows
from rtrec.models.blend import Blend
from rtrec.models.kernel import DEFAULT, RACERS
from rtrec.models.nearline.nearest import nearest_rows
from rtrec.models.nearline.tables import VectorTable
from rtrec.models.past import Past
from rtrec.models.published import VectorRows
from rtrec.settings import Settings
from rtrec.types import KINDS, Forgetting, NumberedEvents
from tests.models.reference import Reference

pytestmark = pytest.mark.timeout(180)
MIXED = ("view", "view", "view", "click", "buy", "dislike")


def stream(n_events: int, *, n_items: int, seed: int) -> NumberedEvents:
    rng = np.random.default_rng(seed)
    return NumberedEvents(
        user_num=rng.integers(0, 12, n_events).astype(np.int32),
        item_num=(np.minimum(rng.zipf(1.5, n_events), n_items) - 1).astype(np.int32),
        # One in ten comes late, by up to some hours.
        timestamp=1e9
        + np.cumsum(rng.exponential(3000.0, n_events))
        - np.where(rng.random(n_events) < 0.1, rng.exponential(10_000.0, n_events), 0.0),
        kind=rng.choice([KINDS.index(kind) for kind in MIXED], n_events).astype(np.uint8),
        value=np.where(rng.random(n_events) < 0.3, np.nan, rng.normal(3.0, 2.0, n_events)).astype(np.float32),
    )


def vector_rows(n_items: int, *, d: int, seed: int) -> VectorRows:
    """Return vectors with the three nearest items of each; every other user has a learned one."""
    rng = np.random.default_rng(seed)
    found, given, user = (rng.normal(size=(n, d)).astype(np.float32) for n in (n_items, n_items, 12))
    user[::2] = np.nan
    vectors = VectorTable(found, given, user)
    return VectorRows(nearest_rows(vectors, 3), vectors)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(row_length=10, ring_length=4, transition_reach=2),  # rows overflow: neighbours make way
        Settings(repeat=True, ring_decay=0.5),
        Settings(trending_candidates=10, half_life_short_h=1.0, half_life_long_h=10.0, list_length=3),
        Settings(weight_buy=3.0, weight_view=0.5, weight_click=0.0, repeat=True),
        Settings(use_transitions=False, use_trending=False),
        Settings(use_cooccurrence=False),
        Settings(use_trails=False, ring_length=20, use_daypart=True),
        Settings(use_crosses=False),
        Settings(use_value=False, use_catalogue=False),
        Settings(use_momentum=True, half_life_short_h=5.0, half_life_long_h=40.0),
        Settings(use_momentum=True, without=("velocity", "heat_now", "heat_long"), weight_buy=3.0),
        Settings(without=("near_ring", "next_last", "trail_support", "age", "value", "heat_now", "had")),
        Settings(without=("near_ring_root", "next_support", "idle", "count", "age_gap_last"), repeat=True),
        Settings(without=tuple(each.name for each in FEATURES if each.source != "popularity")),
    ],
    ids=[
        "default",
        "short rows",
        "repeats",
        "few trending",
        "weights",
        "near alone",
        "without near",
        "without trails",
        "linear",
        "without values, ages",
        "momentum",
        "acceleration alone",
        "without what others are made of",
        "without some made of others",
        "popularity alone, all tables gathered",
    ],
)
def test_kernel_equals_the_reference_event_by_event(settings: Settings) -> None:
    compare(Blend(settings), Reference(settings), stream(360, n_items=60, seed=4))


def test_they_learn_alike_where_only_some_events_are_asked_of() -> None:
    blend, asked = Blend(Settings()), np.random.default_rng(2).random(360) < 0.3
    compare(blend, Reference(Settings()), stream(360, n_items=60, seed=4), asked=asked)
    n_seen, n_taught = blend.ranker.n_seen.tolist()
    assert 0 < n_taught <= n_seen <= asked.sum()


def test_what_was_not_asked_has_no_rank_and_leaves_the_tables_as_they_would_be() -> None:
    events, asked = stream(360, n_items=60, seed=4), np.arange(360) % 3 == 0
    whole, sampled = Blend(Settings()), Blend(Settings())
    whole.step(events)
    ranks = sampled.step(events, asked=asked).ranks
    assert (ranks[~asked] == -1).all()
    assert (ranks[asked & (events.kind != KINDS.index("dislike"))] >= 0).all()
    expected, arrays = whole.to_arrays(), sampled.to_arrays()
    for name in expected:
        if name.startswith(("items/", "users/")):
            np.testing.assert_array_equal(arrays[name], expected[name], err_msg=name)
    assert not np.array_equal(arrays["ranker/weight"], expected["ranker/weight"])


#: One table knows most items, the other so few that many users are known by their learned vector.
PUBLISHED = {
    0: ("history", vector_rows(50, d=20, seed=1)),
    100: ("own", vector_rows(2, d=3, seed=2)),
    300: ("history", vector_rows(60, d=9, seed=3)),
}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(ring_length=3, ring_decay=0.5, repeat=True),
        Settings(use_vectors=False),
        Settings(use_own=False, use_crosses=False),
    ],
    ids=["default", "short rings", "rows alone", "one of two"],
)
def test_kernel_equals_the_reference_with_what_is_published(settings: Settings) -> None:
    events = stream(360, n_items=60, seed=4)
    compare(Blend(settings), Reference(settings), events, publish=PUBLISHED)


@pytest.mark.parametrize(
    ("settings", "publish"),
    [(Settings(), {}), (Settings(row_length=10, repeat=True), {}), (Settings(), PUBLISHED)],
    ids=["default", "short rows, repeats", "published"],
)
def test_they_forget_alike(settings: Settings, publish: dict[int, tuple[str, VectorRows]]) -> None:
    """Numbers of users and items that were forgotten come again, as somebody else's."""
    events = stream(360, n_items=60, seed=5)
    compare(Blend(settings), Reference(settings), events, forget_every=20, publish=publish)


def test_features_go_and_come_back_while_the_stream_runs() -> None:
    events = stream(450, n_items=60, seed=5)
    blend, reference = Blend(Settings()), Reference(Settings())
    for number, without in enumerate([(), ("near_ring", "heat_long", "age", "trail_ring_root"), ("count",)]):
        reference.settings = Settings(without=without)
        blend.change(reference.settings)
        off = [FEATURE_NAMES.index(name) for name in without]
        before = blend.ranker.weight[off].copy()
        compare(blend, reference, events.part(150 * number, 150 * (number + 1)))
        assert blend.ranker.weight[off].tolist() == before.tolist()  # what has no opinion learns nothing
    assert blend.ranker.weight[FEATURE_NAMES.index("near_ring")] != before[0]


@pytest.mark.parametrize("without", [(), ("past_value_mean", "past_trend", "cohort_lift")])
def test_what_history_says_equals_the_reference(without: tuple[str, ...]) -> None:
    """Half of the items and users are in history; a new version comes while the stream runs."""
    rng = np.random.default_rng(8)
    settings = Settings(use_historical=True, without=without)
    events = stream(400, n_items=60, seed=7)
    blend, reference = Blend(settings), Reference(settings)
    compare(blend, reference, events.part(0, 100))
    for start in (100, 250):
        item = rng.normal(0.0, 1.0, (31, len(PAST))).astype(np.float32)
        lift = rng.normal(0.0, 1.0, (3, 31)).astype(np.float32)
        lift[:, -1] = 0.0
        cohort = np.append(rng.integers(0, 3, 6), -1).astype(np.int32)
        level = np.append(rng.random(6), 0.5).astype(np.float32)
        blend.publish("historical", Past(item, lift, cohort, level))
        *known, missing = [dict(zip(PAST, map(float, row), strict=True)) for row in item]
        reference.past_of_item, reference.past_missing = dict(enumerate(known)), missing
        reference.past_of_user = {user: (int(cohort[user]), float(level[user])) for user in range(6)}
        reference.lift = {(one, each): float(lift[one, each]) for one in range(3) for each in range(30)}
        compare(blend, reference, events.part(start, start + 150), forget_every=40)
    learned = [blend.ranker.weight[FEATURE_NAMES.index(name)] for name in ("past_degree", "past_value_gap")]
    assert np.abs(learned).min() > 1e-3


WEEK_S = 7 * 86_400.0


@pytest.mark.parametrize("weeks", [0, -900], ids=["from 1970 on", "before 1970"])
def test_it_does_not_matter_when_time_began(weeks: int) -> None:
    """Somebody new comes from afar, in a log that counts its own seconds as in one of today."""
    rng = np.random.default_rng(3)
    events, settings = stream(600, n_items=60, seed=6), Settings(use_daypart=True)
    events = events._replace(
        user_num=rng.integers(0, 100, 600).astype(np.int32), timestamp=np.round(events.timestamp - 1e9)
    )
    today, then = Blend(settings), Blend(settings)
    ranks = today.step(events._replace(timestamp=events.timestamp + 2600 * WEEK_S)).ranks
    np.testing.assert_array_equal(
        then.step(events._replace(timestamp=events.timestamp + weeks * WEEK_S)).ranks, ranks
    )
    # To the rounding of what is left after so many half-lives.
    np.testing.assert_allclose(then.ranker.weight, today.ranker.weight, atol=1e-4)


def test_item_tables_taught_later_are_those_taught_at_once() -> None:
    at_once, later = Blend(Settings()), Blend(Settings())
    for number, event in enumerate(one_by_one(stream(300, n_items=60, seed=6))):
        ranks = at_once.step(event).ranks
        learned = later.step(event, defer=True)
        later.learn_items(learned.operations)
        np.testing.assert_array_equal(learned.ranks, ranks, err_msg=f"event {number}")
    other = later.to_arrays()
    for name, array in at_once.to_arrays().items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def one_by_one(events: NumberedEvents) -> list[NumberedEvents]:
    return [events.part(number, number + 1) for number in range(events.n_events)]


@pytest.mark.parametrize("racer", ["cooccurrence", "transitions", "trails"])
def test_a_model_of_one_table_does_not_ask_whether_the_ranker_sees_it(racer: str) -> None:
    events = stream(600, n_items=60, seed=6)
    sources = {"cooccurrence", "transitions", "trails"}
    without = tuple(each.name for each in FEATURES if each.source in sources)
    place = RACERS.index(racer)
    ranks = Blend(Settings()).step(events).ranks
    blind = Blend(Settings(without=without)).step(events).ranks
    assert blind[:, place].tolist() == ranks[:, place].tolist()
    assert np.count_nonzero(ranks[:, place] > 0) > 10
    assert blind[:, DEFAULT].tolist() != ranks[:, DEFAULT].tolist()


def test_a_feature_that_is_off_is_filled_only_if_something_is_made_of_it() -> None:
    def filled(*without: str) -> set[str]:
        work = Blend(Settings(without=without))._work
        off = [FEATURE_NAMES.index(name) for name in without]
        assert not work.active[off].any()
        return {FEATURE_NAMES[number] for number in off if work.gathered[number]}

    assert filled("near_last") == {"near_last"}  # for its root
    assert filled("near_last", "near_last_root") == set()
    assert filled("near_ring", "near_ring_root") == {"near_ring"}  # the racing model orders by it
    assert filled("age", "age_gap_last") == {"age"}
    assert filled("age", "age_gap_last", "age_gap_ring", "heat_now", "near_support") == set()
    assert filled("velocity") == set()  # the acceleration is made of it, but does not speak by itself


@pytest.mark.parametrize(
    ("settings", "n_categories", "forget_every"),
    [
        (Settings(repeat=True, half_life_now_h=20.0, weight_buy=3.0, weight_click=0.0), 5, 0),
        (Settings(half_life_long_h=30.0), 40, 0),  # places overflow: categories make way
        (Settings(use_category=False), 5, 0),
        (Settings(), 5, 100),
    ],
    ids=["few categories", "many categories", "switched off", "forgetting"],
)
def test_kernel_equals_the_reference_with_categories(
    settings: Settings, n_categories: int, forget_every: int
) -> None:
    rng = np.random.default_rng(6)
    # Items 0 to 49 have none, one or several; of the others nobody has said anything.
    own = {item: rng.choice(n_categories, rng.integers(0, 4), replace=False).tolist() for item in range(50)}
    rows = np.full((50, 3), -1, np.int32)
    for item, numbers in own.items():
        rows[item, : len(numbers)] = numbers
    blend = Blend(settings)
    blend.publish("categories", of_rows(rows))
    events = stream(360, n_items=60, seed=4)
    compare(blend, Reference(settings, own), events, forget_every=forget_every)
    taken = blend.to_arrays()["users/category"]
    assert (taken >= 0).all(axis=1).any() == (n_categories > taken.shape[1])


def compare(
    blend: Blend,
    reference: Reference,
    events: NumberedEvents,
    *,
    forget_every: int = 0,
    publish: Mapping[int, tuple[str, VectorRows]] = MappingProxyType({}),
    asked: np.ndarray | None = None,
) -> None:
    """Take both through the events; hold the scores, the ranks and the weights of the two side by side."""
    settings, rng = blend.settings, np.random.default_rng(8)
    differ = 0
    for number in range(events.n_events):
        if forget_every and number and number % forget_every == 0:
            users = rng.choice(12, 1 + number % 2, replace=False).astype(np.int32)
            items = rng.choice(60, 4, replace=False).astype(np.int32)
            blend.forget(Forgetting(0, users, users, items))
            reference.forget(set(users.tolist()), set(items.tolist()))
        if number in publish:
            slot, value = publish[number]
            blend.publish(slot, value)
            reference.publish(slot, value)
        one = events.part(number, number + 1)
        user, item, now = int(one.user_num[0]), int(one.item_num[0]), float(one.timestamp[0])
        blend.make_room(user + 1, item + 1)
        answer, _, _, work, _ = blend.answer(user, now, k=settings.list_length)
        scored = {int(work.item[place]): float(work.score[place]) for place in range(answer.n_candidates)}
        of_it = True if asked is None else bool(asked[number])
        rank, scores = reference.test_then_learn(
            user, item, now, KINDS[one.kind[0]], float(one.value[0]), asked=of_it
        )
        assert scored.keys() == scores.keys(), f"event {number}"
        # The crosses multiply sums, and the rounding of float32 with them.
        # What rounding to single precision does grows as products are learned from it, event after event. In
        # double precision the two agree to 3e-5.
        assert scored == pytest.approx(scores, rel=2e-2, abs=2e-2), f"event {number}"
        found = int(blend.step(one, asked=np.array([of_it])).ranks[0, 0])
        if found != rank:  # float32 may swap items whose scores are equal in all its digits
            ordered = sorted(scores.values(), reverse=True)
            places = [place for place in (found, rank) if place > 0] + [settings.list_length]
            assert all(abs(scores[item] - ordered[place - 1]) < 1e-3 for place in places[:2])
            differ += 1
    assert differ <= events.n_events // 100
    weights = dict(zip((feature.name for feature in FEATURES), blend.ranker.weight.tolist(), strict=True))
    assert weights == pytest.approx(reference.weight, abs=5e-3)
