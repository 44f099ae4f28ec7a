from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.events.synthetic.titles import make_title
from rtrec.events.synthetic.world import World

N = 20_000


@pytest.fixture(scope="module")
def stream() -> SyntheticStream:
    return SyntheticStream(SyntheticConfig(n_users=400, n_items=300, n_groups=4, drift_at=N // 2, seed=3))


@pytest.fixture(scope="module")
def events(stream):
    return stream.events(N)


def row_of(events):
    """Yield (user, item) pairs."""
    return zip(events["user_id"].to_pylist(), events["item_id"].to_pylist(), strict=True)


def test_events_follow_the_schema_in_order_of_time(events):
    assert events.schema == EVENT_SCHEMA
    assert events.num_rows == N
    times = events["timestamp"].to_numpy()
    assert (np.diff(times) >= np.timedelta64(0)).all()
    assert times[0] >= np.datetime64("2025-01-01")
    assert len(set(events["event_id"].to_pylist())) == N


def test_same_config_gives_the_same_events_and_another_seed_others(stream, events):
    assert SyntheticStream(stream.config).events(500).equals(events.slice(0, 500))
    assert not SyntheticStream(SyntheticConfig(seed=4)).events(500).equals(events.slice(0, 500))


@settings(max_examples=15, deadline=None)
@given(start=st.integers(0, 3000), chunk_rows=st.integers(1, 700))
def test_chunks_from_any_row_on_are_the_rows_of_the_whole(stream, events, start, chunk_rows):
    for number, chunk in enumerate(islice(stream.chunks(chunk_rows, start), 2)):
        assert chunk.equals(events.slice(start + number * chunk_rows, chunk_rows))


def test_no_events_are_an_empty_table(stream):
    assert stream.events(0).num_rows == 0


def test_without_repeats_nobody_has_an_item_twice(events):
    assert len(set(row_of(events))) == N


def test_repeat_share_is_the_share_of_events_on_items_had_before():
    config = SyntheticConfig(n_users=100, repeat_share=0.3, new_user_rate=0.0)
    events = SyntheticStream(config).events(N)
    before = Counter(events["user_id"].to_pylist())
    repeats = N - len(set(row_of(events)))
    # The first event of a user cannot repeat; of the others 30% do.
    assert repeats / (N - len(before)) == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / N))


def test_within_a_group_popularity_is_a_power_of_the_rank():
    config = SyntheticConfig(
        n_users=50_000, n_items=50, n_groups=1, follow_share=0, explore_share=0, trend_share=0,
        new_item_rate=0, new_user_rate=1, events_per_sitting=1, popularity_exponent=1,
    )  # fmt: skip
    # Every event is the first one of a new user, so it is a plain draw from 1, 1/2, ..., 1/50.
    counts = sorted(Counter(SyntheticStream(config).events(N)["item_id"].to_pylist()).values(), reverse=True)
    harmonic = sum(1 / rank for rank in range(1, 51))
    assert counts[0] / N == pytest.approx(1 / harmonic, rel=0.05)
    assert counts[1] / N == pytest.approx(1 / 2 / harmonic, rel=0.05)
    assert counts[9] / N == pytest.approx(1 / 10 / harmonic, rel=0.15)


def test_new_users_and_items_come_at_their_rate_and_get_events(stream, events):
    config = stream.config
    first_seen: dict[str, int] = {}
    for row, item in enumerate(events["item_id"].to_pylist()):
        first_seen.setdefault(item, row)
    numbers = {int(item.removeprefix("item-")): row for item, row in first_seen.items()}
    assert all(number < config.n_items_at(row) for number, row in numbers.items())
    assert config.n_items_at(N) == 300 + 40
    assert sum(number >= 300 for number in numbers) >= 30
    users = {int(user.removeprefix("user-")) for user in events["user_id"].to_pylist()}
    newcomers = {user for user in users if user >= 400}
    assert len(newcomers) >= 0.95 * (config.n_users_at(N) - 400)


def test_most_events_are_within_the_two_tastes_of_the_user(stream, events):
    truth = stream.truth
    inside = [
        truth.item_group(item, row) in truth.user_groups(user)
        for row, (user, item) in enumerate(row_of(events))
    ]
    # Each event explores with 10%, and 40% of those go on from there; most of all others are at home.
    assert 0.75 < np.mean(inside) < 0.95


def test_drift_puts_items_into_other_groups_at_its_row_and_not_before(stream):
    truth, drift = stream.truth, stream.truth.drift_row
    items = [f"item-{number:04d}" for number in range(300)]
    before = [truth.item_group(item, drift - 1) for item in items]
    after = [truth.item_group(item, drift) for item in items]
    assert before == [truth.item_group(item, 0) for item in items]
    # A permutation over 4 groups leaves about a quarter where they were.
    assert 0.6 < np.mean(np.array(before) != after) < 0.9


def test_bursting_items_come_for_days_and_go():
    config = SyntheticConfig(n_items=200, n_groups=1, trend_share=0.05, new_item_rate=0, events_per_day=2000)
    events = SyntheticStream(config).events(20_000)
    days = events["timestamp"].to_numpy().astype("datetime64[D]").astype(int)
    by_day: dict[int, Counter] = defaultdict(Counter)
    for day, item in zip(days, events["item_id"].to_pylist(), strict=True):
        by_day[day][item] += 1
    burst = [
        item
        for item in by_day[days[0] + 4]
        if by_day[days[0] + 4][item] >= 40
        and min(by_day[day][item] for day in range(days[0], days[0] + 9)) <= 10
    ]
    assert burst


def test_chances_are_those_the_events_are_drawn_with():
    world = World(SyntheticConfig(n_users=200, n_items=120, n_groups=4, repeat_share=0.1, drift_at=2000))
    of_actual, of_any, hits, expected = [], [], [], []
    for happening, sitting in islice(world.happenings(), 6000):
        chances = world.chances(sitting)
        assert chances.sum() == pytest.approx(1.0)
        of_actual.append(chances[happening.item])
        of_any.append((chances**2).sum())
        top = np.argsort(-chances)[:10]
        hits.append(happening.item in top)
        expected.append(chances[top].sum())
    # If items are drawn with chances p, the mean p of what came is the mean of the sums of p squared.
    standard_error = np.std(np.subtract(of_actual, of_any)) / np.sqrt(6000)
    assert np.mean(of_actual) == pytest.approx(np.mean(of_any), abs=4 * standard_error)
    assert np.mean(hits) == pytest.approx(np.mean(expected), abs=4 * 0.5 / np.sqrt(6000))


def test_best_hit_rate_can_be_worked_out_by_hand():
    config = SyntheticConfig(
        n_users=1, n_items=20, n_groups=1, follow_share=0, explore_share=0, trend_share=0,
        new_item_rate=0, new_user_rate=0, popularity_exponent=0,
    )  # fmt: skip
    stream = SyntheticStream(config)
    # One user, 20 items alike: 10 of 20, then 10 of the 19 left, ...
    assert stream.hit_chances(4) == pytest.approx([10 / 20, 10 / 19, 10 / 18, 10 / 17])
    assert stream.best_hit_rate(2) == pytest.approx((10 / 20 + 10 / 19) / 2)
    assert stream.best_hit_rate(3, after=2, k=3) == pytest.approx(3 / 18)


SMALL = {"n_users": 2, "n_items": 8, "new_user_rate": 0.0, "new_item_rate": 0.0}


def test_a_small_world_ends_with_an_error_once_everybody_has_had_everything():
    stream = SyntheticStream(SyntheticConfig(**SMALL))
    assert len(set(row_of(stream.events(16)))) == 2 * 8
    with pytest.raises(ValueError, match=r"row 16: everybody has had everything.*a repeat_share above 0"):
        stream.events(17)


def test_in_a_small_world_with_repeats_every_event_has_its_chances():
    stream = SyntheticStream(SyntheticConfig(**SMALL, repeat_share=0.3))
    # A list of ten has room for all eight items, so it misses nothing.
    assert stream.hit_chances(300, repeat=True) == pytest.approx(np.ones(300))
    unseen = stream.hit_chances(300)
    assert not np.isnan(unseen).any()
    # The first item of anybody is new to them, and in the end nothing is.
    assert (unseen[0], unseen[-1]) == (pytest.approx(1.0), 0.0)


def test_a_memory_of_transitions_lies_between_popularity_and_the_truth_and_falls_at_the_drift(stream, events):
    popularity: Counter = Counter()
    transitions: dict[str, Counter] = defaultdict(Counter)
    had: dict[str, list[str]] = defaultdict(list)
    hits = {"popularity": np.zeros(N), "transitions": np.zeros(N)}
    ranked: list[str] = []
    for row, (user, item) in enumerate(row_of(events)):
        if row % 100 == 0:
            ranked = [each for each, _ in popularity.most_common()]
        seen = set(had[user])
        popular = list(islice((each for each in ranked if each not in seen), 10))
        follows = transitions[had[user][-1]].most_common(40) if had[user] else []
        known = [each for each, _ in follows if each not in seen]
        hits["popularity"][row] = item in popular
        hits["transitions"][row] = item in (known + popular)[:10]
        popularity[item] += 1
        if had[user]:
            transitions[had[user][-1]][item] += 1
        had[user].append(item)
    best = stream.hit_chances(N)
    settled, drift = slice(5000, N // 2), N // 2
    means = {name: each[settled].mean() for name, each in hits.items()} | {"best": best[settled].mean()}
    assert 1.3 * means["popularity"] < means["transitions"] < 0.9 * means["best"]
    assert hits["transitions"][drift : drift + 1000].mean() < 0.7 * means["transitions"]
    assert best[drift : drift + 1000].mean() > 0.9 * means["best"]


def test_purchases_carry_a_price_ratings_stars_and_views_nothing():
    config = SyntheticConfig(kinds=(("view", 0.5), ("buy", 0.3), ("rating", 0.2)))
    rows = SyntheticStream(config).events(2000).select(["kind", "value"]).to_pylist()
    values = defaultdict(list)
    for row in rows:
        values[row["kind"]].append(row["value"])
    assert set(values["view"]) == {None}
    assert all(3 <= price <= 120 for price in values["buy"])
    assert set(values["rating"]) == {1, 2, 3, 4, 5}
    assert len(values["buy"]) / 2000 == pytest.approx(0.3, abs=0.05)


def test_evenings_are_busier_than_mornings():
    config = SyntheticConfig(start=datetime(2025, 1, 1, tzinfo=UTC), events_per_day=2000)
    hours = (
        SyntheticStream(config).events(20_000)["timestamp"].to_numpy().astype("datetime64[h]").astype(int)
        % 24
    )
    assert np.sum((hours >= 17) & (hours < 23)) > 1.8 * np.sum((hours >= 5) & (hours < 11))


def test_every_item_has_a_title_of_its_own(stream):
    titles = stream.item_titles(N)
    assert len(titles) == len(set(titles.values())) == 340
    assert set(stream.item_titles()) < set(titles)


def test_titles_do_not_meet_across_groups_and_volumes():
    titles = [make_title(group, number) for group in range(20) for number in range(900)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n_users": 0}, "n_users must be at least 1; got 0"),
        ({"n_items": 3}, r"n_items must be at least n_groups \(8\); got 3"),
        ({"trend_share": 1.5}, "trend_share must be between 0 and 1; got 1.5"),
        ({"follow_share": 0.8, "explore_share": 0.3}, "must not pass 1 together; got 0.8 and 0.3"),
        ({"new_item_rate": -1}, "new_item_rate must not be negative; got -1"),
        ({"events_per_day": 0}, "events_per_day must be above 0; got 0"),
        ({"start": datetime(2025, 1, 1)}, "start must be timezone-aware; got naive"),
        ({"kinds": (("stare", 1.0),)}, "unknown kind 'stare'"),
        ({"kinds": ()}, "kinds must have shares above 0"),
    ],
)
def test_an_impossible_world_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        SyntheticConfig(**wrong)


def test_unknown_ids_and_rows_are_refused(stream):
    with pytest.raises(ValueError, match="ids look like user-0042"):
        stream.truth.user_groups("anna")
    with pytest.raises(ValueError, match="start_row 0; got 10 and -1"):
        next(stream.chunks(10, -1))
