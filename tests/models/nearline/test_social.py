"""Items of friends: a graph small enough to add up by hand."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from rtrec.errors import CorruptionError
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.social import FriendsModel, friendships, user_pairs
from tests.models.nearline.contract import NearlineContract


def had(*pairs: tuple[int, int], n_users: int = 0, n_items: int = 0) -> Interactions:
    """Return a history of (user, item), oldest first."""
    users, items = np.array(pairs, np.int32).reshape(-1, 2).T
    return Interactions(
        users,
        items,
        np.arange(len(pairs), dtype=np.float64),
        np.ones(len(pairs)),
        np.full(len(pairs), np.nan, np.float32),
        max(n_users, int(users.max(initial=-1)) + 1),
        max(n_items, int(items.max(initial=-1)) + 1),
    )


class TestFriends(NearlineContract):
    """Users of the same taste (even and odd numbers) know the two next to them in a circle."""

    def make(self) -> FriendsModel:
        return FriendsModel([(user, (user + 2) % 40) for user in range(40)])


#: 0 - 1, 0 - 2, 1 - 3, 2 - 3, 3 - 4
EDGES = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]
#: 1 had items 0, 1; 2 had item 1; 3 had item 2; 4 had item 3.
HISTORY = had((1, 0), (1, 1), (2, 1), (3, 2), (4, 3))
NOTHING = np.zeros(0, np.int32), np.zeros(0)


def fitted(edges, history: Interactions, **options) -> FriendsModel:
    model = FriendsModel(edges, **options)
    model.fit(history)
    return model


def test_friends_and_friends_of_friends_by_hand():
    model = fitted(EDGES, HISTORY, half_life=1.0, second=0.5)
    # 0 has friends 1 and 2, who count 1/2 each. Item 1 is the last event of both, item 0 the one before of 1.
    # By either of them 0 comes to 3 with 1/2 x 1/2, in all 1/2; s halves it. 4 is three steps away.
    expected = [0.5 * 0.5, 0.5 + 0.5, 0.5 * 0.5, 0.0]
    np.testing.assert_allclose(model.score(*NOTHING, 0), expected)


def test_own_items_and_friends_are_no_friends_of_friends():
    # In a triangle everybody is a friend already, and oneself is not two steps away.
    triangle = [(0, 1), (1, 2), (0, 2)]
    model = fitted(triangle, had((0, 0), (1, 1), (2, 2)), second=1.0)
    np.testing.assert_allclose(model.score(*NOTHING, 0), [0.0, 0.5, 0.5])


def test_without_second_only_friends_count():
    model = fitted(EDGES, HISTORY, half_life=math.inf, second=0.0)
    np.testing.assert_allclose(model.score(*NOTHING, 0), [0.5, 1.0, 0.0, 0.0])


def test_only_the_last_events_of_a_friend_count():
    model = fitted([(0, 1)], had((1, 0), (1, 1), (1, 2)), half_life=math.inf, last=2)
    np.testing.assert_allclose(model.score(*NOTHING, 0), [0.0, 1.0, 1.0])


def test_weights_of_events_count():
    history = had((1, 0), (1, 1))._replace(weight=np.array([3.0, 1.0]))
    model = fitted([(0, 1)], history, half_life=1.0)
    np.testing.assert_allclose(model.score(*NOTHING, 0), [1.5, 1.0])


def test_user_without_events_is_served_by_friends():
    model = fitted([(0, 7)], had((0, 2)))
    np.testing.assert_allclose(model.score(*NOTHING, 7), [0.0, 0.0, 1.0])


def test_table_by_hand():
    table = fitted(EDGES, HISTORY).table()
    # Friendships from who had i: item 0 (user 1) 2; item 1 (users 1 and 2) 2 + 2; item 2 (user 3) 3;
    # item 3 (user 4) 1. Joined: 0-2 by 1-3; 1-2 by 1-3 and 2-3; 2-3 by 3-4. Users 1 and 2 are no friends.
    weights = np.zeros((4, 4))
    for item, size in enumerate(table.size.tolist()):
        weights[item, table.item[item, :size]] = table.weight[item, :size]
    expected = np.zeros((4, 4))
    expected[0, 2] = 1 / math.sqrt(2 * 3)
    expected[1, 2] = 2 / math.sqrt(4 * 3)
    expected[2, 3] = 1 / math.sqrt(3 * 1)
    np.testing.assert_allclose(weights, expected + expected.T, rtol=1e-6)


@pytest.mark.parametrize("user", [-1, 5, 1000])
def test_without_friends_the_table_speaks(user):
    model = fitted(EDGES, had((1, 0), (1, 1), (2, 1), (3, 2), (4, 3), (5, 0)))
    items, weights = np.array([3, 0], np.int32), np.array([1.0, 0.5])
    np.testing.assert_array_equal(model.score(items, weights, user), model.table().score(items, weights))
    assert model.score(items, weights, user).any()
    assert not model.score(*NOTHING, user).any()


def test_cut_rows_keep_the_strongest():
    table = fitted(EDGES, HISTORY, neighbours=1).table()
    assert table.item[2, 0] in (1, 3)  # 2 / sqrt 12 = 1 / sqrt 3: a tie
    assert table.item[2, 0] == 1


def test_friends_by_id_join_as_they_get_a_number():
    users = Vocabulary(["ann", "bob"])
    model = FriendsModel([("ann", "bob"), ("ann", "cy")], users=users)
    model.fit(had((1, 0)))
    np.testing.assert_allclose(model.score(*NOTHING, 0), [1.0])
    users.numbers(["cy"])
    model.update(had((1, 0), (2, 1)), 1)
    np.testing.assert_allclose(model.score(*NOTHING, 0), [0.5, 0.5])
    of_function = FriendsModel([("ann", "bob")], users=lambda: ["bob", "ann"])
    of_function.fit(had((0, 0), (1, 1)))
    np.testing.assert_allclose(of_function.score(*NOTHING, 1), [1.0, 0.0])


def test_friendship_goes_both_ways_and_counts_once():
    friends = friendships(user_pairs([(0, 1), (1, 0), (1, 0), (2, 2)]), 4)
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 1
    np.testing.assert_array_equal(friends.toarray(), expected)


def test_nobody_has_friends():
    model = fitted([], HISTORY)
    assert model.table().size.sum() == 0
    assert model.score(np.array([0], np.int32), np.ones(1), 1).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("edges", "options", "error", "match"),
    [
        ([(0, 1, 2)], {}, ValueError, r"pairs of users, of shape \(edge, 2\); got shape \(1, 3\)"),
        ([("a", "b")], {}, ValueError, "expected the numbers of users.*users="),
        ([(0, -1)], {}, ValueError, "numbers of users, from 0 on"),
        ([(17, 18)], {"users": Vocabulary()}, TypeError, "ids as text; write frame.astype"),
        ([], {"half_life": 0.0}, ValueError, "expected a positive half_life"),
        ([], {"second": -1.0}, ValueError, "second of at least 0"),
    ],
)
def test_wrong_arguments_are_refused(edges, options, error, match):
    with pytest.raises(error, match=match):
        FriendsModel(edges, **options)


def test_damaged_state_is_refused():
    arrays = fitted(EDGES, HISTORY).to_arrays()
    with pytest.raises(CorruptionError, match="expected friends and items of 5 users and 4 items"):
        FriendsModel(EDGES).restore(arrays | {"had/item": arrays["had/item"][:-1]})
    with pytest.raises(CorruptionError, match="expected friends and items"):
        FriendsModel(EDGES).restore(arrays | {"friends/user": arrays["friends/user"] + 100})


def test_state_has_the_friends_of_its_time():
    model = fitted(EDGES, HISTORY)
    stranger = FriendsModel([])
    stranger.restore(model.to_arrays())
    for user, item in combinations(range(4), 2):
        items, weights = np.array([item], np.int32), np.ones(1)
        np.testing.assert_array_equal(stranger.score(items, weights, user), model.score(items, weights, user))
