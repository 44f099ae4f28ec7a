"""Published historical features as the kernel reads them, on numbers one can follow."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.declared import COHORT_LIFT, FEATURES, FIRST_PAST, HISTORICAL, PAST, PAST_VALUE, PAST_VALUE_GAP
from rtrec.errors import CorruptionError
from rtrec.features.historical.declared import RANKED
from rtrec.features.historical.inputs import VALUE_COLUMN
from rtrec.models import published
from rtrec.models.blend import Blend
from rtrec.models.explain import explain
from rtrec.models.past import Past, no_past
from rtrec.settings import Settings
from rtrec.types import Forgetting, NumberedEvents

ON = Settings(use_historical=True)
ROWS = slice(FIRST_PAST, FIRST_PAST + len(PAST))
#: Item i says i + 0.1 c in column c; of the last row, for who is not known, all is 0.5.
ITEM = (np.arange(4)[:, None] + np.arange(len(PAST)) / 10).astype(np.float32)
ITEM[3] = 0.5
ITEM[:3, PAST_VALUE] = [0.1, 0.2, 0.9]
PAST_3 = Past(
    item_value=ITEM,
    cohort_lift=np.array([[1.0, 2.0, 3.0, 0.0], [-1.0, -2.0, -3.0, 0.0]], np.float32),
    # Of two shards: users 0 and 1 of shard 0 are walkers 0 and 2; nobody is walker 3.
    user_cohort=np.array([0, 1, 1, -1, -1], np.int32),
    user_level=np.array([0.2, 0.3, 0.4, 0.5, 0.5], np.float32),
)


def events(*pairs: tuple[int, int]) -> NumberedEvents:
    user, item = np.array(pairs).T
    n = len(pairs)
    return NumberedEvents(
        user.astype(np.int32),
        item.astype(np.int32),
        np.arange(n, dtype=np.float64),
        np.zeros(n, np.uint8),
        np.full(n, np.nan, np.float32),
    )


EACH_HER_OWN = events(*((user, user) for user in range(5)))


def taught(settings: Settings = ON, *, shard: int = 0, n_shards: int = 1) -> Blend:
    """Return a blend with five items, each had by a user of its own; published is what three of them say."""
    blend = Blend(settings, shard=shard, n_shards=n_shards)
    blend.step(EACH_HER_OWN)
    blend.publish(HISTORICAL, PAST_3)
    return blend


def said(blend: Blend, user: int) -> dict[int, np.ndarray]:
    """Return all features of each candidate by item."""
    answer, _, _, work, _ = blend.answer(user, 10.0, k=5)
    return {int(work.item[place]): work.features[:, place].copy() for place in range(answer.n_candidates)}


def test_the_declared_columns_are_those_of_the_historical_features():
    assert tuple(PAST) == RANKED
    assert PAST_VALUE == VALUE_COLUMN
    assert [each.name for each in FEATURES if each.source == HISTORICAL] == [
        *(f"past_{name}" for name in RANKED),
        "past_value_gap",
        "cohort_lift",
    ]


def test_each_item_says_its_row_and_one_without_history_the_last_row():
    found = said(taught(), 0)
    assert set(found) == {1, 2, 3, 4}  # less what the user had
    for item in (1, 2):
        assert found[item][ROWS].tolist() == ITEM[item].tolist()
    for item in (3, 4):
        assert found[item][ROWS].tolist() == [0.5] * len(PAST)
    # User 0 is of cohort 0, her level is 0.2.
    assert [found[item][COHORT_LIFT] for item in (1, 2, 3, 4)] == [2.0, 3.0, 0.0, 0.0]
    gaps = [found[item][PAST_VALUE_GAP] for item in (1, 2, 3)]
    assert gaps == pytest.approx([0.2 - 0.2, 0.9 - 0.2, 0.5 - 0.2], abs=1e-6)


@pytest.mark.parametrize("user", [3, 4, -1])
def test_a_user_without_history_gets_what_is_declared_as_missing(user):
    found = said(taught(), user)
    assert all(values[COHORT_LIFT] == 0.0 for values in found.values())
    gaps = [found[item][PAST_VALUE_GAP] for item in (1, 2)]
    assert gaps == pytest.approx([0.5 - 0.2, 0.9 - 0.5], abs=1e-6)


def test_users_are_found_by_their_number_over_all_shards():
    of_shard = {shard: taught(shard=shard, n_shards=2) for shard in (0, 1)}
    lifts = {
        (shard, user): said(blend, user)[2][COHORT_LIFT]
        for shard, blend in of_shard.items()
        for user in (0, 1)
    }
    # Walkers 0, 2 of shard 0, and 1, 3 of shard 1: cohorts 0, 1, 1 and none.
    assert lifts == {(0, 0): 3.0, (0, 1): -3.0, (1, 0): -3.0, (1, 1): 0.0}


def test_off_by_default_nothing_is_different():
    plain, silent = Blend(Settings()), taught(Settings())
    plain.step(EACH_HER_OWN)
    more = events(*((user, (user + 2) % 5) for user in range(5)))
    assert silent.step(more).ranks.tolist() == plain.step(more).ranks.tolist()
    assert silent.ranker.weight.tolist() == plain.ranker.weight.tolist()


def test_it_speaks_while_something_is_published():
    blend = Blend(ON)
    blend.step(EACH_HER_OWN)
    assert not blend._work.active[ROWS].any()
    blend.publish(HISTORICAL, PAST_3)
    assert blend._work.active[ROWS].all()
    blend.publish(HISTORICAL, published.nothing_for(HISTORICAL))
    assert not blend._work.active[ROWS].any()
    assert blend.nearline == {}


def test_an_explanation_names_what_history_says():
    blend = taught()
    blend.ranker.weight[:] = 0.0
    blend.ranker.weight[COHORT_LIFT] = blend.ranker.variance[COHORT_LIFT] = 1.0
    first = explain(blend, 0, 10.0, k=3).places[0]
    assert first.item_num == 2
    assert first.parts[0].sentence == "is had more by users who use the catalogue as this one does"
    assert first.parts[0].because_of == ()


def test_a_version_survives_a_round_trip_and_says_the_same():
    blend = taught()
    again = Blend.from_arrays(blend.to_arrays(), ON)
    assert list(again.nearline) == [HISTORICAL]
    for name, array in PAST_3._asdict().items():
        np.testing.assert_array_equal(getattr(again.nearline[HISTORICAL], name), array, err_msg=name)
    for item, values in said(blend, 0).items():
        np.testing.assert_array_equal(said(again, 0)[item], values)


def test_who_is_forgotten_is_not_known_any_more():
    """Numbers that come again mean others, of whom history says nothing."""
    blend = taught()
    blend.forget(Forgetting(0, *(np.array(nums, np.int32) for nums in ([0], [0, 7], [2, 9]))))
    kept = blend.nearline[HISTORICAL]
    assert kept.item_value.tolist() == [*ITEM[:2].tolist(), ITEM[3].tolist(), ITEM[3].tolist()]
    assert kept.cohort_lift.tolist() == [[1.0, 2.0, 0.0, 0.0], [-1.0, -2.0, 0.0, 0.0]]
    assert kept.user_cohort.tolist() == [-1, 1, 1, -1, -1]
    assert kept.user_level[0] == 0.5
    assert PAST_3.user_cohort[0] == 0  # what was published may be read by others


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"item_value": np.zeros((4, 3), np.float32)}, r"expected 9 features and a lift .*got \(4, 3\)"),
        ({"cohort_lift": np.zeros((2, 3), np.float32)}, r"expected 9 features and a lift .*\(2, 3\)"),
        ({"user_level": np.zeros(2, np.float32)}, r"expected a cohort and a level .*got \(5,\) and \(2,\)"),
        ({"user_cohort": np.array([0, 2, 1, 1, -1], np.int32)}, "expected cohorts from -1 to 1; got 2"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes, words):
    arrays = published.to_arrays(PAST_3._replace(**changes), "table/")
    with pytest.raises(CorruptionError, match=f"historical: {words}"):
        published.from_arrays(arrays, "table/", HISTORICAL)


def test_a_place_takes_its_own_kind_only():
    blend = Blend(ON)
    with pytest.raises(ValueError, match=r"slot 'historical': expected one of content, history, own for"):
        blend.publish(HISTORICAL, published.nothing_for("own"))
    with pytest.raises(ValueError, match="slot 'own': expected one of historical for a Past"):
        blend.publish("own", no_past())
