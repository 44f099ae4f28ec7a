"""The guard itself, on rankers and lessons made by hand: what is too far, what is kept, what is a strike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rtrec.models.arrays import copied, leaves
from rtrec.models.guard import (
    BOUNDS,
    SOUND,
    copy_ranker,
    fault_in,
    fault_of,
    is_frozen,
    is_sound,
    teach_ranker,
    thaw,
    words_for,
)
from rtrec.models.params import to_params
from rtrec.models.ranker import N_MOMENTS, Lesson, Ranker, empty_lessons, new_ranker
from rtrec.settings import Settings
from rtrec.types import KINDS

MOMENTS = np.arange(N_MOMENTS, dtype=np.uint8)
PLACES = list(enumerate(BOUNDS, start=1))
OF_A_MOMENT = [(place, bound) for place, bound in PLACES if bound[0].startswith("moment")]
#: Of the first kind an event has the weight 1, of all others none.
PARAMS = to_params(Settings(learning_rate=0.1))._replace(kind_weight=(1.0,) + (0.0,) * (len(KINDS) - 1))
TAUGHT, NOT_TAUGHT = 0, 1


def fresh() -> Ranker:
    """Return a ranker whose weights are 0, and whose spreads were seen by one answer before."""
    ranker = copied(new_ranker())
    ranker.weight[:] = 0.0
    ranker.variance[:] = 4.0
    ranker.n_seen[:] = 1.0
    return ranker


def lessons(*gradients: float, variance: float = 2.0, moment: int = 0) -> Lesson:
    """Return a lesson for each number, which is the gradient of the first feature."""
    made = empty_lessons(len(gradients))
    made.gradient[:, 0] = gradients
    made.variance[:] = variance
    made.kind[:] = 2
    made.moment[:] = moment
    return made


def teach(ranker: Ranker, lesson: Lesson, *kinds: int, start: int = 0) -> int:
    """Teach the events from ``start`` on; all are of the kind that teaches if none is named."""
    n_lessons = len(lesson.kind)
    kind = np.array(kinds or [TAUGHT] * (start + n_lessons), np.uint8)
    return int(teach_ranker(ranker, copied(new_ranker()), PARAMS, lesson, kind, start, start + n_lessons))


def numbers(ranker: Ranker) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in leaves(ranker)}


# ------------------------------------------------------------------------------------- what is too far


@pytest.mark.parametrize(("place", "bound"), PLACES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e35])
def test_a_single_number_that_is_not_sane_is_found(place: int, bound: tuple[str, float], bad: float) -> None:
    ranker = fresh()
    assert (fault_in(ranker), is_sound(ranker, MOMENTS)) == (SOUND, True)
    array = dict(leaves(ranker))[bound[0]]
    for where in (0, array.size - 1):
        before, array.flat[where] = array.flat[where], bad
        assert (fault_in(ranker), is_sound(ranker, MOMENTS)) == (place, False)
        array.flat[where] = before
    assert is_sound(ranker, MOMENTS)


@pytest.mark.parametrize(("place", "bound"), PLACES)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_bound_itself_is_sane_and_the_next_number_is_not(
    place: int, bound: tuple[str, float], sign: int
) -> None:
    name, most = bound
    ranker = fresh()
    array = dict(leaves(ranker))[name]
    array.flat[1] = sign * most
    assert (fault_in(ranker), is_sound(ranker, MOMENTS)) == (SOUND, True)
    array.flat[1] = np.nextafter(array.flat[1], array.dtype.type(sign * np.inf))
    assert (fault_in(ranker), is_sound(ranker, MOMENTS)) == (place, False)


@pytest.mark.parametrize(("place", "bound"), OF_A_MOMENT)
def test_of_the_moments_those_that_are_named_are_looked_at(place: int, bound: tuple[str, float]) -> None:
    ranker = fresh()
    dict(leaves(ranker))[bound[0]][2, 0] = np.nan
    for named, found in (([0, 1, 3], SOUND), ([0, 2, 3], place)):
        moments = np.array(named, np.uint8)
        assert (fault_of(ranker, moments), is_sound(ranker, moments)) == (found, found == SOUND)


def test_the_words_name_the_array_and_its_bound() -> None:
    assert words_for(5) == "its 'variance' would not be finite, or beyond 1e+34"


# ---------------------------------------------------------------------------------------- what is kept


def test_a_copy_has_all_numbers_but_the_strikes_and_the_moments_that_are_not_named() -> None:
    source, target = fresh(), copied(new_ranker())
    counted: Iterator[int] = iter(range(1, 1_000_000))
    for _, array in leaves(source):
        array.flat[:] = [next(counted) for _ in range(array.size)]
    for _, array in leaves(target):
        array[...] = -1.0
    copy_ranker(source, target, np.array([1, 4], np.uint8))
    for (name, copy), (_, array) in zip(leaves(target), leaves(source), strict=True):
        expected = array.copy()
        if name == "strikes":
            expected[:] = -1.0
        if name.startswith("moment"):
            expected[[0, 2, 3, 5]] = -1.0
        np.testing.assert_array_equal(copy, expected, err_msg=name)


# ------------------------------------------------------------------------------------ what is a strike


def test_a_sound_lesson_is_learned_and_takes_a_hundredth_of_a_strike_back() -> None:
    ranker = fresh()
    ranker.strikes[0] = 5.0
    assert teach(ranker, lessons(3.0, moment=2)) == SOUND
    # AdaGrad's first step is the learning rate against the gradient's sign, 0.4 of it at the moment.
    assert ranker.weight[:2] == pytest.approx([-0.1, 0.0])
    assert ranker.moment_weight[:, 0] == pytest.approx([0.0, 0.0, -0.04, 0.0, 0.0, 0.0])
    assert ranker.variance[0] == pytest.approx(3.0)  # the mean of the 4 before and the 2 seen now
    assert ranker.n_seen.tolist() == [2.0, 2.0]
    assert ranker.strikes[0] == pytest.approx(4.99)


def test_no_strikes_are_taken_back_that_nobody_had() -> None:
    ranker = fresh()
    teach(ranker, lessons(3.0))
    assert ranker.strikes.tolist() == [0.0]


def test_one_bad_lesson_takes_the_whole_micro_batch_with_it_but_for_the_spreads() -> None:
    ranker, lesson = fresh(), lessons(3.0, np.nan, 3.0, 3.0, moment=2)
    lesson.kind[3] = 0
    ranker.strikes[0] = 0.5
    before = numbers(ranker)
    assert teach(ranker, lesson) == 1
    after = numbers(ranker)
    assert {name for name in before if after[name] != before[name]} == {"variance", "n_seen", "strikes"}
    # 4 was the spread of one answer; three more say 2: (4 + 2 + 2 + 2) / 4.
    assert ranker.variance[0] == pytest.approx(2.5)
    assert ranker.n_seen.tolist() == [4.0, 1.0]
    assert ranker.strikes.tolist() == [1.5]
    assert lesson.kind.tolist() == [1, 1, 1, 0]


def test_spreads_that_are_no_better_are_put_back_too() -> None:
    ranker = fresh()
    before = numbers(ranker)
    assert teach(ranker, lessons(3.0, variance=np.inf)) == 5
    assert numbers(ranker) == before | {"strikes": [1.0]}


def test_what_is_wrong_at_the_moment_of_a_lesson_is_put_back_there() -> None:
    ranker = fresh()
    ranker.moment_weight[3, 0] = 99.99
    before = numbers(ranker)
    assert teach(ranker, lessons(-3.0, moment=3)) == 3
    assert numbers(ranker)["moment_weight"] == before["moment_weight"]


def test_where_no_lesson_teaches_nothing_happens() -> None:
    ranker, lesson = fresh(), lessons(np.nan, np.nan)
    lesson.kind[:] = 0
    ranker.strikes[0] = 5.0
    before = numbers(ranker)
    assert teach(ranker, lesson) == SOUND
    assert numbers(ranker) == before


def test_a_lesson_on_spreads_alone_is_a_lesson() -> None:
    ranker, lesson = fresh(), lessons(np.nan)
    lesson.kind[:] = 1
    assert teach(ranker, lesson) == SOUND
    assert ranker.n_seen.tolist() == [2.0, 1.0]


@pytest.mark.parametrize("last", [True, False])
def test_one_lesson_among_many_is_learned(last: bool) -> None:
    ranker, lesson = fresh(), lessons(3.0, 3.0)
    lesson.kind[:] = [0, 2] if last else [2, 0]
    teach(ranker, lesson)
    assert ranker.n_seen.tolist() == [2.0, 2.0]


def test_events_of_a_kind_without_weight_teach_nothing() -> None:
    ranker = fresh()
    assert teach(ranker, lessons(np.nan, 3.0), NOT_TAUGHT, TAUGHT) == SOUND
    assert ranker.n_seen.tolist() == [2.0, 2.0]


def test_lessons_are_counted_from_the_first_event_of_the_micro_batch() -> None:
    ranker = fresh()
    kinds = [TAUGHT, TAUGHT, TAUGHT, NOT_TAUGHT, TAUGHT]
    assert teach(ranker, lessons(3.0, np.nan), *kinds, start=2) == SOUND
    assert ranker.n_seen.tolist() == [2.0, 2.0]


def test_room_behind_the_last_lesson_is_not_looked_at() -> None:
    ranker, room = fresh(), lessons(3.0, np.nan, np.nan)
    ranker.moment_weight[5, 0] = np.nan  # not sane, and at no moment of theirs
    room.moment[1:] = 5
    kind, spare = np.full(4, TAUGHT, np.uint8), copied(new_ranker())
    assert teach_ranker(ranker, spare, PARAMS, room, kind, 2, 3) == SOUND
    assert ranker.n_seen.tolist() == [2.0, 2.0]
    room.kind[0] = 0
    assert teach_ranker(ranker, spare, PARAMS, room, kind, 2, 3) == SOUND
    assert ranker.n_seen.tolist() == [2.0, 2.0]


def test_room_behind_a_bad_lesson_stays_as_it_is() -> None:
    ranker, room = fresh(), lessons(np.nan, 3.0, 3.0)
    kind = np.full(4, TAUGHT, np.uint8)
    assert teach_ranker(ranker, copied(new_ranker()), PARAMS, room, kind, 2, 3) == 1
    assert room.kind.tolist() == [1, 2, 2]


def test_ten_strikes_freeze_it_until_they_are_taken_back() -> None:
    ranker = fresh()
    ranker.strikes[0] = 9.0
    assert not is_frozen(ranker)
    assert teach(ranker, lessons(np.nan)) == 1
    assert ranker.strikes.tolist() == [10.0]
    assert is_frozen(ranker)
    before = numbers(ranker)
    assert teach(ranker, lessons(3.0)) == SOUND
    assert numbers(ranker) == before
    thaw(ranker)
    assert (ranker.strikes.tolist(), is_frozen(ranker)) == ([0.0], False)
    teach(ranker, lessons(3.0))
    assert ranker.weight[0] == pytest.approx(-0.1)
