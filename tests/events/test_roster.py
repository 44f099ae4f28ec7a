"""Ids with a bound: who gets a number, who loses it, and that a log always gives the same ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrec.errors import InputError
from rtrec.events.roster import HALF_LIFE_S, Roster
from rtrec.events.vocabulary import Vocabulary

#: Events so far apart have counts that no rounding makes equal.
DAY_S = 86_400.0


def number(
    roster: Roster, ids: str, *, start: float = 0.0, step_s: float = 1.0, unit: int = 1, n_before: int = 0
):
    """Number one event a letter, ``step_s`` apart; return numbers and what was forgotten where."""
    times = start + step_s * np.arange(len(ids), dtype=float)
    nums, forgotten = roster.number(list(ids), times, unit=unit, n_before=n_before)
    return nums.tolist(), [(each.position, each.nums.tolist()) for each in forgotten]


def test_with_room_it_is_a_vocabulary() -> None:
    roster, vocabulary = Roster("items", 5, admit_at=2), Vocabulary()
    assert number(roster, "abacb") == (vocabulary.numbers(list("abacb")).tolist(), [])
    assert [roster.id_of(num) for num in range(3)] == ["a", "b", "c"]
    assert "a" in roster
    assert "z" not in roster
    with pytest.raises(IndexError, match="number 3: none of the 3 items has it"):
        roster.id_of(3)


def test_the_coldest_makes_way_and_its_number_is_given_again() -> None:
    roster = Roster("users", 3)
    assert number(roster, "aabbc") == ([0, 0, 1, 1, 2], [])
    assert number(roster, "d") == ([2], [(0, [2])])  # c had the fewest events
    assert roster.lookup(["c", "d"]).tolist() == [-1, 2]
    assert roster.n_forgotten == 1


def test_old_events_count_for_less() -> None:
    roster = Roster("users", 2)
    number(roster, "aaab")
    # Two half-lives later the three events of a count 0.75, the one of b then counts 1.
    later = 2 * HALF_LIFE_S
    assert number(roster, "b", start=later)[0] == [1]
    assert number(roster, "c", start=later + 1) == ([0], [(0, [0])])


def test_a_sixteenth_is_forgotten_at_a_time() -> None:
    roster = Roster("users", 64)
    ids = [f"user {n}" for n in range(64)]
    roster.number(ids, np.arange(64.0))
    nums, forgotten = roster.number(["new"], np.array([64.0]))
    assert [(each.position, each.nums.tolist()) for each in forgotten] == [(0, [0, 1, 2, 3])]
    assert nums.tolist() == [3]
    assert roster.number(["newer"], np.array([65.0]))[1] == []  # there is room for three more
    assert roster.free_numbers().tolist() == [0, 1]


def test_once_crowded_an_id_is_admitted_at_its_second_event() -> None:
    roster = Roster("items", 2, admit_at=2)
    assert number(roster, "aab") == ([0, 0, 1], [])
    assert number(roster, "c") == ([-1], [])
    assert number(roster, "d") == ([-1], [])
    assert number(roster, "c") == ([1], [(0, [1])])


def test_the_waiting_room_forgets_who_waits_longest() -> None:
    roster = Roster("items", 2, admit_at=2)
    number(roster, "aabb" + "cde")  # room for two to wait: c is out
    assert number(roster, "c")[0] == [-1]
    assert number(roster, "e")[0] != [-1]


def test_nobody_in_a_unit_is_forgotten_by_it() -> None:
    roster = Roster("users", 4)
    number(roster, "abcd")
    # a is coldest by time, but comes in this unit; b and c make way.
    assert number(roster, "axy", start=10.0, unit=3) == ([0, 2, 1], [(0, [1, 2])])
    with pytest.raises(InputError, match=r"5 users in 5 events .* 'most_users' is 4; raise it"):
        number(roster, "vwxyz", unit=5)


def test_first_ids_have_numbers_and_are_the_coldest() -> None:
    roster = Roster("items", 2, first=["a", "b"])
    assert number(roster, "b") == ([1], [])
    assert number(roster, "c") == ([0], [(0, [0])])
    with pytest.raises(InputError, match=r"3 items are known before the first event.*'most_items' is 2"):
        Roster("items", 2, first=["a", "b", "c"])


def test_numbers_of_a_vocabulary_are_numbered_as_their_ids_are() -> None:
    ids = list("abacbdedeeacdbb")
    by_id, by_num = Roster[str]("items", 3, admit_at=2), Roster[int]("items", 3, admit_at=2)
    nums = Vocabulary().numbers(ids).tolist()
    (first, gone), (second, also_gone) = (
        each.number(keys, np.arange(15.0)) for each, keys in ((by_id, ids), (by_num, nums))
    )
    assert first.tolist() == second.tolist()
    assert str(gone) == str(also_gone) != "[]"
    assert by_num.ids() == [None if each is None else "abcde".index(each) for each in by_id.ids()]


def test_stale_numbers_mean_something_else_than_they_did() -> None:
    roster = Roster("users", 2)
    number(roster, "aab", n_before=0)  # two numbers, given before events 0 and 2
    assert roster.stale(3).tolist() == []
    number(roster, "c", n_before=3)  # b makes way for c
    assert roster.stale(3).tolist() == [1]
    assert roster.stale(4).tolist() == []
    assert roster.holds_since(np.array([0, 1, 1, -1]), np.array([0, 2, 3, 3])).tolist() == [
        True,
        False,
        True,
        False,
    ]


def naive(ids: str, most: int, admit_at: int) -> list[int]:
    """Number again, a day an event: lists, a sort at every turn, counts from all events ever."""
    number_of: dict[str, int] = {}
    free: list[int] = []
    n_given = 0
    events: dict[str, list[float]] = {}
    waiting: list[str] = []
    sightings: dict[str, int] = {}
    crowded = False
    nums = []
    for day, each in enumerate(ids):
        time = day * DAY_S
        if each not in number_of:
            full = len(number_of) >= most
            if full and not crowded and admit_at > 1:
                crowded = True
            if crowded and admit_at > 1:
                if each not in waiting:
                    waiting.append(each)
                    sightings[each] = 0
                sightings[each] += 1
                if sightings[each] < admit_at:
                    if len(waiting) > most:
                        waiting.pop(0)
                    nums.append(-1)
                    continue
                waiting.remove(each)
            if full:

                def heat(known: str, now: float = time) -> float:
                    return sum(2.0 ** ((then - now) / HALF_LIFE_S) for then in events[known])

                cold = sorted(number_of, key=lambda known: (round(heat(known), 9), number_of[known]))
                gone = sorted(number_of[known] for known in cold[: max(1, most // 16)])
                for known in cold[: max(1, most // 16)]:
                    del number_of[known], events[known]
                free += gone
            if free:
                number_of[each] = free.pop()
            else:
                number_of[each] = n_given
                n_given += 1
            events[each] = []
        events[each].append(float(time))
        nums.append(number_of[each])
    return nums


@settings(max_examples=200, deadline=None)
@given(st.text("abcdefgh", max_size=60), st.integers(1, 6), st.integers(1, 3), st.integers(1, 7))
def test_equals_the_naive_one_however_it_is_cut(ids: str, most: int, admit_at: int, length: int) -> None:
    roster, nums = Roster("items", most, admit_at=admit_at), []
    for start in range(0, len(ids), length):
        piece = ids[start : start + length]
        nums += number(roster, piece, start=start * DAY_S, step_s=DAY_S, n_before=start)[0]
        again = Roster("items", most, admit_at=admit_at)
        again.restore(roster.to_arrays())  # a snapshot between any two cuts changes nothing
        roster = again
    assert nums == naive(ids, most, admit_at)
    assert len(roster) <= most
