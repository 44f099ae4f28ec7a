"""What a user takes of each category: counts, shares and what of them reaches the ranker, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.declared import FEATURE_NAMES, FEATURES
from rtrec.errors import CorruptionError
from rtrec.features.categories import of_rows
from rtrec.models.blend import Blend
from rtrec.models.explain import explain
from rtrec.models.tastes import N_PLACES, learn_tastes, place_of
from rtrec.settings import Settings
from rtrec.types import KINDS, Forgetting, NumberedEvents

HOUR_S = 3600.0
TASTES = ("taste_now", "taste_short", "taste_long", "taste_last")
#: Items 0 and 1 are in category 0, 1 and 2 in category 1, 3 in none; of 4 and more nothing is said.
CATEGORIES = of_rows(np.array([[0, -1], [0, 1], [1, -1], [-1, -1]], np.int32))
#: Half-lives of one, two and four hours.
SETTINGS = Settings(half_life_now_h=1.0, half_life_short_h=2.0, half_life_long_h=4.0, repeat=True)


def seen(*rows: tuple[int, int, float] | tuple[int, int, float, str]) -> NumberedEvents:
    """Return events from (user, item, hour[, kind]) rows."""
    users, items, hours, *_ = zip(*rows, strict=False)
    kinds = [row[3] if len(row) > 3 else "view" for row in rows]
    return NumberedEvents(
        user_num=np.array(users, np.int32),
        item_num=np.array(items, np.int32),
        timestamp=np.array(hours) * HOUR_S,
        kind=np.array([KINDS.index(kind) for kind in kinds], np.uint8),
        value=np.full(len(rows), np.nan, np.float32),
    )


def taught(*rows, settings: Settings = SETTINGS) -> Blend:
    blend = Blend(settings)
    blend.publish("categories", CATEGORIES)
    blend.step(seen(*rows))
    return blend


def counts(blend: Blend, user: int = 0) -> dict[int, list[float]]:
    arrays = blend.to_arrays()
    numbers, by_half_life = arrays["users/category"][user], arrays["users/category_count"][user]
    return {int(n): row.tolist() for n, row in zip(numbers, by_half_life, strict=True) if n >= 0}


def tastes(blend: Blend, hour: float, user: int = 0) -> dict[int, list[float]]:
    answer, _, _, work, _ = blend.answer(user, hour * HOUR_S, k=5)
    rows = [FEATURE_NAMES.index(name) for name in TASTES]
    n = answer.n_candidates
    return dict(zip(work.item[:n].tolist(), work.features[rows, :n].T.tolist(), strict=True))


def test_counts_halve_by_every_half_life() -> None:
    blend = taught((0, 0, 0.0), (0, 1, 4.0))
    # Category 0 had an event at hour 0, of which 1/16, 1/4 and 1/2 are left, and one now, as category 1.
    assert counts(blend) == {0: [1 + 1 / 16, 1 + 1 / 4, 1 + 1 / 2], 1: [1.0, 1.0, 1.0]}


def test_an_event_counts_its_weight() -> None:
    blend = taught((0, 0, 0.0, "buy"), settings=SETTINGS.changed(weight_buy=3.0))
    assert counts(blend) == {0: [3.0, 3.0, 3.0]}


def test_an_event_that_came_late_counts_what_is_left_of_it() -> None:
    blend = taught((0, 0, 4.0), (0, 2, 0.0))
    assert counts(blend) == {0: [1.0, 1.0, 1.0], 1: [1 / 16, 1 / 4, 1 / 2]}


@pytest.mark.parametrize("settings", [SETTINGS, SETTINGS.changed(weight_dislike=0.0)], ids=["below", "zero"])
def test_an_event_without_a_positive_weight_raises_nothing(settings: Settings) -> None:
    blend = taught((0, 0, 0.0), (0, 1, 4.0, "dislike"), settings=settings)
    assert counts(blend) == {0: [1 / 16, 1 / 4, 1 / 2]}  # but the clock goes on


def test_an_item_without_a_category_raises_nothing() -> None:
    assert counts(taught((0, 3, 0.0), (0, 77, 1.0))) == {}


def test_the_weakest_at_the_long_half_life_makes_way() -> None:
    half_life_s = (HOUR_S, 2 * HOUR_S, 4 * HOUR_S)
    category = np.full(N_PLACES, -1, np.int32)
    count = np.zeros((N_PLACES, 3), np.float32)
    for number in range(N_PLACES):
        assert place_of(category, count, np.int32(number)) == number  # the next free place
        own = np.array([number, -1], np.int32)
        learn_tastes(category, count, own, half_life_s, 0.0, 1.0 if number == 5 else 2.0)
    assert place_of(category, count, np.int32(3)) == 3
    learn_tastes(category, count, np.array([99, 7], np.int32), half_life_s, 4 * HOUR_S, 1.0)
    assert category.tolist() == [99 if number == 5 else number for number in range(N_PLACES)]
    # What stood there is forgotten; of the others 2 / 2^4, 2 / 2^2 and 2 / 2 are left after four hours.
    assert count[5].tolist() == [1.0, 1.0, 1.0]
    assert count[6].tolist() == [1 / 8, 1 / 2, 1.0]
    assert count[7].tolist() == [1 + 1 / 8, 1 + 1 / 2, 2.0]


def test_shares_by_hand() -> None:
    # User 0 took item 0 at hour 0 and item 2 at hour 4; others make 1, 3 and 5 candidates.
    blend = taught((1, 1, 0.0), (1, 3, 0.0), (1, 5, 0.0), (0, 0, 0.0), (0, 2, 4.0))
    found = tastes(blend, 8.0)
    # Category 0 has an event 8 hours old, category 1 one of 4 hours. Left of them, by half-life:
    old, new = np.array([2**-8, 2**-4, 2**-2]), np.array([2**-4, 2**-2, 2**-1])
    total = 1.0 + old + new
    assert found[0] == pytest.approx([*(old / total), 0.0])
    assert found[2] == pytest.approx([*(new / total), 1.0])  # item 2, the very last, is in category 1
    assert found[1] == pytest.approx([*((old + new) / total / 2), 1.0])  # item 1 is in both
    assert found[3] == found[5] == [0.0] * 4


def test_the_event_being_answered_is_never_inside() -> None:
    blend = taught((1, 1, 0.0), (0, 0, 1.0))
    before = tastes(blend, 2.0)
    assert before[1][3] == 1.0
    blend.step(seen((0, 2, 2.0)))
    after = tastes(blend, 2.0)
    assert after[1][0] > before[1][0]
    # A stranger, and a user of items without categories, take nothing.
    assert tastes(blend, 2.0, user=-1)[1] == [0.0] * 4


def test_an_answer_leaves_nothing_behind_for_the_next() -> None:
    blend = taught((1, 1, 0.0), (0, 0, 1.0), (2, 2, 1.0))
    first = tastes(blend, 2.0, user=0)
    tastes(blend, 2.0, user=2)
    assert tastes(blend, 2.0, user=0) == first
    assert not blend.answer(0, 2.0 * HOUR_S, k=5)[3].shares.any()


def test_late_asked_is_asked_at_the_latest_event() -> None:
    blend = taught((1, 1, 0.0), (0, 0, 4.0))
    assert tastes(blend, 1.0) == tastes(blend, 4.0)


def test_a_reason_says_so_and_the_parts_sum_to_the_score() -> None:
    blend = taught((1, 1, 0.0), (1, 2, 0.0), (1, 3, 0.0), (0, 0, 1.0))
    rows = [FEATURE_NAMES.index(name) for name in TASTES]
    blend.ranker.weight[:] = 0.0
    blend.ranker.weight[rows] = [0.0, 1.0, 0.0, 2.0]
    blend.ranker.variance[rows] = 1.0
    places = {each.item_num: each for each in explain(blend, 0, HOUR_S, k=4).places}
    sentences = {part.sentence for part in places[1].parts}
    assert {FEATURES[rows[1]].sentence, FEATURES[rows[3]].sentence} <= sentences
    assert sum(part.value for part in places[1].parts) == pytest.approx(places[1].score)
    assert places[1].score > places[2].score


def test_without_categories_a_user_takes_no_place_and_nothing_is_said() -> None:
    blend = Blend(SETTINGS)
    blend.step(seen((0, 0, 0.0), (1, 1, 1.0)))
    arrays = blend.to_arrays()
    assert arrays["users/category"].nbytes == arrays["users/category_count"].nbytes == 0
    work = blend.answer(0, HOUR_S, k=3)[3]
    assert not any(work.active[FEATURE_NAMES.index(name)] for name in TASTES)


def test_with_categories_a_user_takes_256_bytes() -> None:
    arrays = taught((0, 0, 0.0), (3, 1, 0.0)).to_arrays()
    assert arrays["users/category"].nbytes + arrays["users/category_count"].nbytes == 4 * 256


def test_switched_off_it_says_nothing_and_goes_on_counting() -> None:
    blend = taught((1, 1, 0.0), (0, 0, 0.0))
    blend.change(SETTINGS.changed(use_category=False))
    blend.step(seen((0, 0, 1.0)))
    work = blend.answer(0, HOUR_S, k=3)[3]
    assert not work.active[FEATURE_NAMES.index("taste_now")]
    assert counts(blend)[0][0] == 1.5


def test_state_survives_a_round_trip_and_goes_on_the_same() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (int(u), int(i), float(h)) for u, i, h in zip(*rng.integers(0, 6, (2, 300)), range(300), strict=True)
    ]
    blend = taught(*rows[:150])
    again = Blend.from_arrays(blend.to_arrays(), SETTINGS)
    expected = blend.step(seen(*rows[150:])).ranks
    np.testing.assert_array_equal(again.step(seen(*rows[150:])).ranks, expected)
    for name, array in blend.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array, err_msg=name)


def test_state_with_a_category_that_has_no_number_is_refused() -> None:
    arrays = taught((0, 0, 0.0)).to_arrays()
    arrays["items/nearline/categories/n_items"] = np.array([2], np.int32)
    with pytest.raises(CorruptionError, match="slot 'categories': expected categories 0 to 0; got 1"):
        Blend.from_arrays(arrays, SETTINGS)


def test_users_and_items_may_grow_past_what_was_known_at_first() -> None:
    blend = taught((0, 0, 0.0))
    blend.step(seen((5000, 1, 1.0), (5000, 9000, 2.0), (0, 2, 3.0)))
    # An hour after the one, three hours after the other.
    assert counts(blend, 5000)[0] == counts(blend, 5000)[1] == pytest.approx([2**-1, 2**-0.5, 2**-0.25])
    assert counts(blend)[0] == pytest.approx([2**-3, 2**-1.5, 2**-0.75])


def test_other_categories_count_from_the_beginning() -> None:
    """Numbers that mean something else now, and may be beyond the new ones, must not be gone on with."""
    blend = taught((1, 1, 0.0), (0, 2, 0.0))
    blend.publish("categories", of_rows(np.array([[0], [0], [0]], np.int32)))
    assert counts(blend) == {}
    assert tastes(blend, 1.0)[1] == [0.0, 0.0, 0.0, 1.0]
    blend.publish("categories", of_rows(np.zeros((0, 0), np.int32)))
    assert blend.to_arrays()["users/category"].shape == (2, 0)


def test_a_category_whose_items_are_forgotten_stays_one_that_users_took() -> None:
    """Its number is the highest: were there no room for it any more, an answer would write beyond."""
    blend = taught((0, 2, 0.0), (1, 0, 0.0), (1, 5, 0.0))
    items = np.array([1, 2], np.int32)
    nobody = np.zeros(0, np.int32)
    blend.forget(Forgetting(0, nobody, nobody, items))
    again = Blend.from_arrays(blend.to_arrays(), SETTINGS)
    for each in (blend, again):
        each.step(seen((0, 1, 1.0)))  # another item under the number of one that was in two
        assert counts(each) == {1: [0.5, pytest.approx(2**-0.5), pytest.approx(2**-0.25)]}
        assert tastes(each, 1.0)[0] == [0.0] * 4


def test_a_user_who_is_forgotten_takes_nothing() -> None:
    blend = taught((0, 1, 0.0), (1, 1, 0.0))
    users = np.array([0], np.int32)
    blend.forget(Forgetting(0, users, users, np.zeros(0, np.int32)))
    assert counts(blend) == {}
    assert list(counts(blend, user=1)) == [0, 1]


def test_categories_have_one_slot() -> None:
    with pytest.raises(ValueError, match="slot 'own': expected one of categories"):
        Blend(SETTINGS).publish("own", CATEGORIES)
