"""Friends for users: Adamic-Adar and cosine by hand, and hidden friendships of Last.fm found again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rtrec.models.nearline.friends import FriendFinder, evaluate_friends, recommend_friends
from rtrec.models.nearline.interactions import Interactions

NOBODY = Interactions(*np.zeros((5, 0)), n_users=0, n_items=0)
#: 0 - 1, 0 - 2, 1 - 3, 2 - 3, 2 - 4, 2 - 5: degrees 2, 2, 4, 2, 1, 1
EDGES = [(0, 1), (0, 2), (1, 3), (2, 3), (2, 4), (2, 5)]


def had(users: list[int], items: list[int], n_users: int = 0) -> Interactions:
    n = len(users)
    return Interactions(
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.arange(float(n)),
        np.ones(n),
        np.full(n, np.nan, np.float32),
        max(n_users, max(users) + 1),
        max(items) + 1,
    )


def test_adamic_adar_by_hand():
    scores = FriendFinder(EDGES, NOBODY).scores(np.array([0]))[0]
    # 0 and 3 share 1 (of two friends) and 2 (of four); 0 shares 2 with 4 and 5.
    expected = {3: 1 / math.log(2) + 1 / math.log(4), 4: 1 / math.log(4), 5: 1 / math.log(4)}
    for person, score in expected.items():
        assert scores[person] == pytest.approx(score)
    assert scores[[1, 2]].tolist() == [0.0, 0.0]
    # Of 4 and 5, alike in all, the lower number comes first; friends and oneself are no suggestions.
    assert recommend_friends(EDGES, NOBODY, 0) == [3, 4, 5]
    assert recommend_friends(EDGES, NOBODY, 0, k=1) == [3]


def test_overlap_by_hand():
    history = had([0, 0, 5, 4, 4, 4], [0, 1, 0, 0, 1, 2])
    scores = FriendFinder(EDGES, history, overlap=2.0).scores(np.array([0]))[0]
    assert scores[5] == pytest.approx(1 / math.log(4) + 2.0 * 1 / math.sqrt(2 * 1))
    assert scores[4] == pytest.approx(1 / math.log(4) + 2.0 * 2 / math.sqrt(2 * 3))
    assert recommend_friends(EDGES, history, 0, overlap=0.5) == [3, 4, 5]
    assert recommend_friends(EDGES, history, 0, overlap=100.0) == [4, 5, 3]


def test_stranger_is_shown_whom_everybody_knows():
    assert recommend_friends(EDGES, NOBODY._replace(n_users=7), 6, k=3) == [2, 0, 1]


def test_stranger_to_the_graph_finds_those_of_the_same_taste():
    history = had([6, 4, 1], [0, 0, 1])
    assert recommend_friends(EDGES, history, 6, k=2) == [4, 2]


def test_inputs_are_untouched():
    edges = np.array(EDGES, np.int32)
    before = edges.copy()
    evaluate_friends(edges, NOBODY, seed=1)
    np.testing.assert_array_equal(edges, before)


@pytest.mark.parametrize(("user", "k"), [(6, 10), (-1, 10), (0, 0)])
def test_unknown_user_is_refused(user, k):
    with pytest.raises(ValueError, match="expected a user from 0 to 5 and a k of at least 1"):
        recommend_friends(EDGES, NOBODY, user, k)


def test_evaluation_by_hand():
    # In two circles where all four know each other one friendship is hidden; a repeated one and a loop do not
    # count. Its ends still share two friends, so they find each other. The most popular that either does not
    # know are in the other circle.
    circles = [(a + first, b + first) for first in (0, 4) for a in range(4) for b in range(a + 1, 4)]
    quality = evaluate_friends([*circles, (3, 2), (1, 1)], NOBODY, hidden=1 / 12, k=1)
    assert quality["friends"] == (2, 1.0, 1.0, 1.0)
    assert quality["popularity"] == (2, 0.0, 0.0, 0.0)


def test_what_cannot_be_hidden_is_refused():
    for hidden in (0.0, 1.0, 0.01):
        with pytest.raises(ValueError, match="6 friendships to hide, some and not all"):
            evaluate_friends(EDGES, NOBODY, hidden=hidden)


def test_chance_comes_from_the_seed():
    pairs = np.random.default_rng(0).integers(0, 60, (400, 2))
    one, same, other = (evaluate_friends(pairs, NOBODY, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize("seed", [0, 1])
def test_hidden_friends_of_lastfm_are_found(shared_datasets: Path, seed: int):
    folder = shared_datasets / "lastfm-2k"
    if not folder.is_dir():
        pytest.skip(f"real data not here: no folder {folder}")
    edges = pd.read_csv(folder / "user_friends.dat.gz", sep="\t").to_numpy()
    played = pd.read_csv(folder / "user_artists.dat.gz", sep="\t")
    users = np.unique(edges)
    assert len(users) == 1892
    artists = np.unique(played["artistID"], return_inverse=True)[1]
    history = had(np.searchsorted(users, played["userID"]).tolist(), artists.tolist())
    edges = np.searchsorted(users, edges)
    quality = evaluate_friends(edges, history, seed=seed)
    friends, popularity = quality["friends"], quality["popularity"]
    # Measured over two seeds: 0.45, 0.21 and 0.23 against 0.13, 0.03 and 0.05.
    assert friends.hit_rate > 2.5 * popularity.hit_rate
    assert friends.recall > 4 * popularity.recall
    assert friends.mrr > 3 * popularity.mrr
    assert 0.4 < friends.hit_rate < 0.6  # much more would be a leak
    # Both halves of the score are needed.
    without_items = evaluate_friends(edges, history, seed=seed, overlap=0.0)["friends"]
    assert friends.recall > without_items.recall
