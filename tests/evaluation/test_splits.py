"""Splits lose nothing, repeat with their seed, and let nothing leak."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.evaluation.splits import (
    SPLITS,
    events_at,
    leave_one_out,
    random_user_split,
    temporal_user_split,
    time_split,
    train_validation_test,
)
from rtrec.types import NumberedEvents

#: Users, items and times with many ties and repeats, in no order of time.
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 8)), max_size=50)


def log(rows) -> NumberedEvents:
    """Events from (user, item, time)."""
    user, item, time = zip(*rows, strict=True) if len(rows) else ((), (), ())
    return NumberedEvents(
        np.array(user, np.int32),
        np.array(item, np.int32),
        np.array(time, np.float64),
        np.zeros(len(rows), np.uint8),
        np.full(len(rows), np.nan, np.float32),
    )


@pytest.mark.parametrize("name", SPLITS)
@given(ROWS)
def test_every_event_lies_on_one_side_in_order_of_time(name, rows):
    events = log(rows)
    split = SPLITS[name](events)

    assert sorted([*split.train, *split.test]) == list(range(len(rows)))
    for part in split:
        keys = list(zip(events.timestamp[part], part, strict=True))
        assert keys == sorted(keys)  # ties keep the order of the log


@pytest.mark.parametrize("name", ["random", "temporal", "leave_one_out"])
@given(ROWS)
def test_no_user_is_tested_without_something_to_learn_from(name, rows):
    events = log(rows)
    split = SPLITS[name](events)

    assert set(events.user_num[split.test]) <= set(events.user_num[split.train])


@given(ROWS)
def test_time_split_learns_nothing_later_than_it_tests(rows):
    events = log(rows)
    train, test = time_split(events)

    if len(train) and len(test):
        assert events.timestamp[train].max() <= events.timestamp[test].min()


@pytest.mark.parametrize("split", [temporal_user_split, leave_one_out])
@given(rows=ROWS)
def test_splits_by_a_users_time_learn_nothing_of_a_user_later_than_they_test(split, rows):
    events = log(rows)
    train, test = split(events)

    for user in set(events.user_num[test]):
        learned = events.timestamp[train][events.user_num[train] == user]
        assert learned.max() <= events.timestamp[test][events.user_num[test] == user].min()


@given(ROWS, st.integers(0, 5))
def test_random_split_has_no_pair_of_user_and_item_on_both_sides(rows, seed):
    events = log(rows)
    train, test = (events_at(events, part) for part in random_user_split(events, seed=seed))

    learned = set(zip(train.user_num, train.item_num, strict=True))
    assert not learned & set(zip(test.user_num, test.item_num, strict=True))


def test_time_split_takes_the_last_share_and_ties_keep_their_order():
    # By time: 1 (at 5), 0, 2, 3 (at 7, as they come), 4 (at 9); 0.4 x 5 = 2 are tested.
    events = log([(0, 0, 7), (1, 0, 5), (2, 0, 7), (3, 0, 7), (4, 0, 9)])

    split = time_split(events, test_share=0.4)

    assert split.train.tolist() == [1, 0, 2]
    assert split.test.tolist() == [3, 4]


def test_time_split_at_a_time_tests_from_that_time_on():
    events = log([(0, 0, 5), (0, 1, 6), (0, 2, 6), (0, 3, 7)])

    assert time_split(events, at=6.0).test.tolist() == [1, 2, 3]
    assert time_split(events, at=6.5).test.tolist() == [3]
    assert time_split(events, at=99.0).test.tolist() == []


@pytest.mark.parametrize(
    ("n_events", "share", "n_tested"),
    [(1, 0.9, 0), (2, 0.25, 1), (3, 0.25, 1), (5, 0.2, 1), (7, 0.2, 1), (8, 0.2, 2), (4, 0.99, 3)],
)
def test_shares_are_rounded_to_the_nearest_halves_up_and_leave_one_to_learn(n_events, share, n_tested):
    events = log([(0, item, item) for item in range(n_events)])

    assert len(temporal_user_split(events, test_share=share).test) == n_tested
    assert len(random_user_split(events, test_share=share).test) == n_tested


def test_temporal_split_is_by_user():
    # User 0 at 1, 2, 3, 4 (0, 1, 3, 5), user 1 at 2, 9 (2, 4): halves are the last two and the last one.
    events = log([(0, 0, 1), (0, 1, 2), (1, 0, 2), (0, 2, 3), (1, 1, 9), (0, 3, 4)])

    split = temporal_user_split(events, test_share=0.5)

    assert split.train.tolist() == [0, 1, 2]
    assert split.test.tolist() == [3, 5, 4]  # by time: at 3, 4 and 9


def test_leave_one_out_takes_the_last_event_of_each_user_with_two():
    events = log([(0, 0, 3), (1, 0, 1), (0, 1, 2), (2, 0, 5), (1, 1, 1)])

    split = leave_one_out(events)

    assert split.test.tolist() == [4, 0]  # of user 1's two events at 1 the later in the log; user 2 has one
    assert split.train.tolist() == [1, 2, 3]


def test_leave_one_out_with_a_seed_takes_any_event():
    events = log([(0, item, item) for item in range(6)])

    tested = {int(leave_one_out(events, seed=seed).test[0]) for seed in range(60)}

    assert tested == set(range(6))
    assert leave_one_out(events, seed=3).test.tolist() == leave_one_out(events, seed=3).test.tolist()


def test_random_split_repeats_with_its_seed_and_changes_with_another():
    events = log([(user, item, item) for user in range(5) for item in range(8)])

    one, again, other = (random_user_split(events, seed=seed).test.tolist() for seed in (1, 1, 2))

    assert one == again != other
    assert np.bincount(events.user_num[one]).tolist() == [2] * 5  # a quarter of 8


def test_random_split_draws_every_item_alike():
    events = log([(user, item, item) for user in range(500) for item in range(4)])

    tested = np.bincount(events.item_num[random_user_split(events, seed=0).test])

    # 500 users test one of four items each: 125 an item, with a standard deviation of sqrt(500 x 3/16) = 9.7.
    assert tested.sum() == 500
    assert abs(tested - 125).max() < 4 * 9.7


def test_train_validation_test_cuts_twice_without_a_leak():
    events = log([(0, item, item) for item in range(10)])

    cut = train_validation_test(events, partial(temporal_user_split, test_share=0.2))

    # The last 2 of 10, then the last 0.2 x 8 = 1.6, so 2, of the rest.
    assert [part.tolist() for part in cut] == [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9]]


def test_the_inner_cut_may_be_of_another_kind():
    events = log([(0, item, item) for item in range(10)])

    cut = train_validation_test(events, time_split, leave_one_out)

    assert [part.tolist() for part in cut] == [[0, 1, 2, 3, 4, 5, 6], [7], [8, 9]]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 20])
@pytest.mark.parametrize("split", [time_split, random_user_split, temporal_user_split])
def test_a_share_that_is_none_is_refused(split, share):
    with pytest.raises(ValueError, match=f"test_share lies between 0 and 1, for example 0.2; got {share}"):
        split(log([(0, 0, 0)]), test_share=share)


@pytest.mark.parametrize("name", SPLITS)
def test_events_are_left_as_they_were(name):
    events = log([(1, 1, 3), (0, 0, 2), (1, 0, 1)])
    before = [column.copy() for column in events]

    SPLITS[name](events)

    for column, was in zip(events, before, strict=True):
        np.testing.assert_array_equal(column, was)
