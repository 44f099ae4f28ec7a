"""Users grouped by what they do."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.features.historical.cohorts import Earlier, find_cohorts, size_drift, user_features
from rtrec.types import NumberedEvents

DAY_S = 86_400.0


def events_of(rows: list[tuple[int, int, float]]) -> NumberedEvents:
    """Return events from (user, item, day) rows."""
    users, items, days = zip(*rows, strict=True)
    n_events = len(rows)
    return NumberedEvents(
        user_num=np.array(users, np.int32),
        item_num=np.array(items, np.int32),
        timestamp=np.array(days) * DAY_S,
        kind=np.zeros(n_events, np.uint8),
        value=np.full(n_events, np.nan, np.float32),
    )


def test_features_count_events_days_items_and_repeats():
    # User 0: item 5 twice on day 3 and once on day 4, item 6 on day 4; user 1: one event.
    features = user_features(events_of([(0, 5, 3.0), (0, 5, 3.9), (1, 5, 3.0), (0, 5, 4.0), (0, 6, 4.5)]))
    assert features.tolist() == [[4, 2, 2, 2 / 4], [1, 1, 1, 0]]


def test_days_before_1970_count_too():
    assert user_features(events_of([(0, 1, -1.5), (0, 2, -0.5), (0, 3, 0.5)])).tolist() == [[3, 3, 3, 0]]


def test_plain_groups_are_found_and_named_by_activity():
    rare = [(user, item, 1.0) for user in range(30) for item in range(2)]
    busy = [(user, item, float(item)) for user in range(30, 50) for item in range(40)]
    found = find_cohorts(events_of(rare + busy), n_cohorts=2)
    assert [each.name for each in found.cohorts] == ["light", "heavy"]
    assert [each.n_users for each in found.cohorts] == [30, 20]
    assert found.of_user.tolist() == [0] * 30 + [1] * 20
    assert found.cohorts[0].sentence == (
        "typically 2 events on 1 day, 2 different items, 0% on items had before"
    )
    assert found.cohorts[1].sentence.startswith("typically 40 events on 40 days, 40 different items")


def test_users_who_are_all_alike_are_one_cohort():
    found = find_cohorts(events_of([(user, 0, 1.0) for user in range(5)]))
    assert [(each.name, each.n_users) for each in found.cohorts] == [("all users", 5)]


def test_a_handful_of_users_gets_no_more_cohorts_than_kinds_of_user():
    found = find_cohorts(events_of([(0, 0, 1.0), (1, 0, 1.0), (2, 0, 1.0), (2, 1, 2.0), (2, 2, 3.0)]))
    assert [each.n_users for each in found.cohorts] == [2, 1]


def test_the_same_events_give_the_same_cohorts():
    rng = np.random.default_rng(7)
    rows = [(int(user), int(item), float(day)) for user, item, day in rng.integers(0, 60, (900, 3))]
    one, again = find_cohorts(events_of(rows)), find_cohorts(events_of(rows))
    assert one.cohorts == again.cohorts
    assert np.array_equal(one.of_user, again.of_user)


def lively(n_light: int, n_heavy: int, *, heavy_items: int = 40) -> NumberedEvents:
    """Return users with two events each, and behind them users with many."""
    rows = [(user, item, 1.0) for user in range(n_light) for item in range(2)]
    rows += [
        (user, item, float(item)) for user in range(n_light, n_light + n_heavy) for item in range(heavy_items)
    ]
    return events_of(rows)


def test_a_cohort_keeps_its_number_though_the_order_by_activity_changes():
    # The second version has the same two kinds of user, but numbers given the other way round before.
    first = find_cohorts(lively(30, 20), n_cohorts=2)
    turned = Earlier(first.names[::-1], first.centres[::-1])
    again = find_cohorts(lively(25, 30, heavy_items=44), n_cohorts=2, earlier=turned)
    assert again.names == ("heavy", "light")
    assert again.of_user.tolist() == [1] * 25 + [0] * 30
    assert again.sizes == (30, 25)


def test_the_same_users_keep_their_cohorts():
    rng = np.random.default_rng(7)
    rows = [(int(user), int(item), float(day)) for user, item, day in rng.integers(0, 60, (900, 3))]
    first = find_cohorts(events_of(rows))
    centres = first.centres.copy()
    same = find_cohorts(events_of(rows), earlier=Earlier.of(first), seed=5)
    assert same.names == first.names
    np.testing.assert_array_equal(Earlier.of(first).centres, centres)  # dask-ml would scale them in place
    assert same.of_user.tolist() == first.of_user.tolist()
    np.testing.assert_allclose(same.centres, first.centres)


def test_a_little_more_history_moves_few_users_though_a_fresh_start_would():
    rng = np.random.default_rng(7)
    n_events = rng.lognormal(3.0, 1.2, 200).astype(int) + 1  # users without plain groups
    rows = [
        (user, int(item), float(day))
        for user, n in enumerate(n_events)
        for item, day in zip(rng.integers(0, 500, n), rng.integers(0, 90, n), strict=True)
    ]
    rows.sort(key=lambda row: row[2])
    n_known = int(0.98 * len(rows))
    first = find_cohorts(events_of(rows[:n_known]))
    n_users = len(first.of_user)
    going_on = find_cohorts(events_of(rows), earlier=Earlier.of(first), seed=3)
    assert (going_on.of_user[:n_users] == first.of_user).mean() > 0.95
    fresh = [find_cohorts(events_of(rows), seed=seed).of_user[:n_users] for seed in (3, 4, 5)]
    assert min((each == first.of_user).mean() for each in fresh) < 0.95


def test_a_fresh_start_wins_where_the_earlier_centres_are_far_off():
    events = lively(30, 20)
    first = find_cohorts(events, n_cohorts=2)
    # One centre between both kinds of user, and one where nobody is: k-means would stay with one group.
    off = Earlier(first.names, np.array([first.centres.mean(axis=0), [50.0, 50.0, 50.0, 50.0]]))
    assert sorted(find_cohorts(events, n_cohorts=2, earlier=off).sizes) == [20, 30]


def test_a_cohort_nobody_is_in_any_more_keeps_its_number_and_a_new_kind_of_user_gets_the_next():
    first = find_cohorts(lively(30, 20), n_cohorts=2)
    fewer = find_cohorts(lively(10, 0), n_cohorts=2, earlier=Earlier.of(first))
    assert fewer.names == ("light", "heavy")
    assert fewer.sizes == (10, 0)
    assert fewer.cohorts[1].sentence == "nobody now"
    np.testing.assert_array_equal(fewer.centres[1], first.centres[1])
    rows = [(user, item, 1.0) for user in range(30) for item in range(2)]
    rows += [(user, item, float(item)) for user in range(30, 50) for item in range(40)]
    rows += [(user, 7, float(day)) for user in range(50, 60) for day in range(40)]  # one thing, every day
    more = find_cohorts(events_of(rows), n_cohorts=3, earlier=Earlier.of(first))
    assert more.names == ("light", "heavy", "group 3 of 3")
    assert more.of_user.tolist() == [0] * 30 + [1] * 20 + [2] * 10


def test_drift_of_sizes_by_hand():
    # Shares of (n + 1/2): from 50 and 50 to 80 and 20 of 100.
    p, q = 0.5, 80.5 / 101
    expected = (q - p) * np.log(q / p) + (p - q) * np.log((1 - q) / (1 - p)) - 2 / 101
    assert size_drift([50, 50], [80, 20]) == pytest.approx(expected)
    assert expected > 0.25
    assert size_drift([500, 500], [510, 490]) == 0.0
    assert size_drift([50], [50, 50]) > 0.25
