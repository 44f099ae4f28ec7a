"""What a user has had: the set of pairs against a dictionary, through growth and forgetting."""

import numpy as np
import pytest

from rtrec.models.forgetting import forget_oldest_pairs
from rtrec.models.users import empty_user_tables, has_room_for, learn_user, may_get, with_pairs

HALF_LIFE_S = (3600.0, 86400.0, 604800.0)
N_USERS, N_ITEMS = 7, 90


def learned(n_events: int, *, capacity: int = 1024):
    """Return tables that learned events by chance, and a dictionary of what each pair's last weight was."""
    rng = np.random.default_rng(n_events)
    users, had = empty_user_tables(N_USERS, capacity), {}
    nothing = np.zeros((0, 0), np.int32)
    for time in range(n_events):
        user, item, weight = int(rng.integers(N_USERS)), int(rng.integers(N_ITEMS)), rng.choice([1.0, -1.0])
        assert has_room_for(users, 1)
        learn_user(users, HALF_LIFE_S, float(time), user, item, weight, np.nan, nothing)
        had.pop((user, item), None)
        had[user, item] = weight
    return users, had


def gettable(users, *, repeat: bool) -> set[tuple[int, int]]:
    had = users.pair, users.pair_hint, users.pair_count
    return {
        (user, item) for user in range(N_USERS) for item in range(N_ITEMS) if may_get(had, repeat, user, item)
    }


@pytest.mark.parametrize("capacity", [1024, 4096])
def test_what_was_had_may_not_be_got_again(capacity: int) -> None:
    users, had = learned(700, capacity=capacity)
    every = {(user, item) for user in range(N_USERS) for item in range(N_ITEMS)}
    assert users.n_pairs[0] == len(had)
    assert gettable(users, repeat=False) == every - set(had)
    hidden = {pair for pair, weight in had.items() if weight < 0.0}
    assert gettable(users, repeat=True) == every - hidden


def test_another_capacity_changes_nothing() -> None:
    users, _ = learned(500)
    for capacity in (1024, 2048, 8192):
        other = with_pairs(users, capacity)
        assert gettable(other, repeat=False) == gettable(users, repeat=False)
        assert gettable(other, repeat=True) == gettable(users, repeat=True)


def test_what_is_forgotten_may_be_got_again() -> None:
    users, had = learned(500)
    left = forget_oldest_pairs(users)
    n_left = int(left.n_pairs[0])
    assert n_left == pytest.approx(0.75 * len(had), abs=2)
    newest = set(list(had)[-n_left:])
    every = {(user, item) for user in range(N_USERS) for item in range(N_ITEMS)}
    assert gettable(left, repeat=False) == every - newest


def test_a_hint_spares_most_searches() -> None:
    users, had = learned(700)
    free = [(user, item) for user in range(N_USERS) for item in range(N_ITEMS) if (user, item) not in had]
    without_hints = users.pair, np.full(len(users.pair), 255, np.uint8), users.pair_count
    assert all(may_get(without_hints, False, *pair) for pair in free)  # a search finds the same
    bits = np.unpackbits(users.pair_hint).mean()  # what a pair that was not had meets a set bit by
    assert 0.0 < bits < 1 / 16
