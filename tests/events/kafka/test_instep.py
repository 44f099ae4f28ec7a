"""Items of several partitions in one order of time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtrec.events.kafka.instep import InStep


def test_a_partition_that_may_have_more_to_say_is_waited_for():
    step = InStep[str]([0, 1])
    step.add(0, 10, "a")
    step.add(0, 20, "b")
    assert step.take() == []

    step.add(1, 15, "c")

    assert step.take() == ["a", "c"]
    assert step.n_waiting(0) == 1


def test_a_partition_at_its_end_is_not_waited_for_until_it_speaks_again():
    step = InStep[str]([0, 1])
    step.end(1)
    step.add(0, 10, "a")
    assert step.take() == ["a"]

    step.add(1, 5, "late")
    assert step.take() == [], "partition 0 may have something from before 5"
    step.end(0)
    assert step.take() == ["late"]


def test_a_partition_that_speaks_again_may_have_more_to_say():
    step = InStep[str]([0, 1])
    step.end(0)
    step.end(1)
    step.add(0, 10, "a")
    step.add(1, 30, "b")

    assert step.take() == ["a"]
    assert step.n_waiting(1) == 1


def test_all_that_wait_can_be_taken_at_any_time():
    step = InStep[str]([0, 1, 2])
    step.add(0, 10, "b")
    step.add(2, 5, "a")

    assert step.take(all_that_wait=True) == ["a", "b"]


def test_an_item_without_a_sound_time_stays_behind_the_one_before_it():
    step = InStep[str]([0, 1])
    for time, item in [(10, "a"), (float("nan"), "b"), (30, "d")]:
        step.add(0, time, item)
    step.add(1, 20, "c")
    for partition in (0, 1):
        step.end(partition)

    assert step.take() == ["a", "b", "c", "d"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=40), st.data())
def test_nothing_is_lost_and_no_partition_changes_its_order(sent, data):
    step, taken = InStep[tuple[int, int]]([0, 1, 2]), []
    for number, (partition, time) in enumerate(sent):
        step.add(partition, time, (partition, number))
        if data.draw(st.booleans(), "take"):
            taken += step.take()
    taken += step.take(all_that_wait=True)

    for partition in range(3):
        mine = [number for of, number in taken if of == partition]
        assert mine == [number for number, (of, _) in enumerate(sent) if of == partition]


@given(st.lists(st.lists(st.integers(0, 50), max_size=15), min_size=3, max_size=3), st.data())
def test_partitions_in_order_come_out_in_order_however_they_are_handed_over(times, data):
    step, taken = InStep[int]([0, 1, 2]), []
    rest = [sorted(each) for each in times]
    while any(rest):
        partition = data.draw(st.sampled_from([p for p in range(3) if rest[p]]), "next")
        moment = rest[partition].pop(0)
        step.add(partition, moment, moment)
        for each in range(3):
            if not rest[each]:
                step.end(each)
        taken += step.take()

    assert taken == sorted(taken)
    assert len(taken) == sum(map(len, times))
