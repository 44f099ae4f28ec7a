"""Recognising an event id that comes again."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.events.recent import RecentIds


def test_an_id_is_new_once():
    """Fails if the window forgets what it took, within one call or from one to the next."""
    recent = RecentIds(100)
    assert recent.add(["a", "b", "a"]).tolist() == [True, True, False]
    assert recent.add(["b", "c"]).tolist() == [False, True]
    assert len(recent) == 3


def test_a_window_of_one_holds_the_last_one_alone():
    recent = RecentIds(1)
    assert recent.add(["a"]).tolist() == [True]
    assert recent.add(["a"]).tolist() == [False]
    for each in "bcd":
        recent.add([each])
        assert len(recent) == 1
        assert recent.holds(["a", "b", "c", "d"]).tolist() == [each == other for other in "abcd"]


def test_no_ids_are_no_answers_and_all_answers_are_masks():
    recent = RecentIds(10)
    for ids in ([], ["a"], ["a", "b"]):
        for answers in (recent.holds(ids), recent.add(ids)):
            assert (answers.dtype, answers.shape) == (np.bool_, (len(ids),))


def test_window_forgets_the_oldest():
    recent = RecentIds(2)
    recent.add(["a", "b"])
    recent.add(["c", "d"])
    assert recent.add(["d"]).tolist() == [False]
    assert recent.add(["a"]).tolist() == [True]


@given(st.lists(st.lists(st.integers(0, 50).map(str), max_size=20), max_size=20))
def test_within_the_window_it_agrees_with_a_set(batches: list[list[str]]):
    recent, seen = RecentIds(1000), set()
    for batch in batches:
        expected = []
        for each in batch:
            expected.append(each not in seen)
            seen.add(each)
        assert recent.add(batch).tolist() == expected


def test_ids_are_still_known_after_they_were_merged():
    recent = RecentIds(200_000)
    ids = [str(number) for number in range(150_000)]
    assert recent.add(ids).all()
    assert not recent.add(ids[:10]).any()
    assert not recent.add(ids[-10:]).any()


def test_memory_is_16_bytes_an_id_and_a_bounded_rest():
    recent = RecentIds(200_000)
    tracemalloc.start()
    for start in range(0, 260_000, 20_000):
        recent.add(f"event-{number}" for number in range(start, start + 20_000))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The rest: up to 65,536 newest ids as Python integers, some 130 bytes each with their dict.
    assert held < 200_000 * 16 + 65_536 * 160
    assert len(recent) == 200_000


@pytest.mark.slow
def test_a_million_ids_of_36_characters_take_less_than_64_mb_also_while_they_are_read_back():
    def ids() -> Iterator[str]:
        return (f"{number:036d}" for number in range(1_000_000))

    recent = RecentIds(1_000_000)
    tracemalloc.start()
    recent.add(ids())
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(recent) == 1_000_000
    assert held < 32e6
    assert peak < 64e6
    assert recent.holds(["0" * 36, f"{999_999:036d}", f"{1_000_000:036d}"]).tolist() == [True, True, False]


def test_to_ask_for_an_id_takes_none():
    recent = RecentIds(100)
    recent.add(["a"])
    assert recent.holds(["a", "b", "b"]).tolist() == [True, False, False]
    assert recent.add(["b"]).tolist() == [True]


def test_window_without_room_is_refused():
    with pytest.raises(ValueError, match="at least one id; got 0"):
        RecentIds(0)
