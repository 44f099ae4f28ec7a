"""Products of published vectors: numbers by hand, who has none, what they cost where nothing speaks."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.declared import FEATURE_NAMES
from rtrec.errors import CorruptionError
from rtrec.models import published
from rtrec.models.blend import Blend
from rtrec.models.explain import explain
from rtrec.models.nearline.compressed import compress
from rtrec.models.nearline.publishing import publishable
from rtrec.models.nearline.tables import VectorTable, empty_table
from rtrec.models.published import VectorRows
from rtrec.settings import Settings
from rtrec.types import Forgetting
from tests.models.test_published import EVENTS, TABLE, opinions, seen

PRODUCT = FEATURE_NAMES.index("history_product")
#: Items 0 to 6 of the eight that have an event; item 7 came after the fit. Users 0, 1 and 2; 1 has no vector.
VECTORS = VectorTable(
    found=np.array([[0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [2, 1], [-1, 4]], np.float32),
    given=np.array([[1, 3], [4, 0], [0, 0], [0, 0], [0, 0], [1, 1], [2, 0]], np.float32),
    user=np.array([[9, 9], [np.nan, np.nan], [1, 2]], np.float32),
)


def of_vectors(vectors: VectorTable) -> VectorRows:
    """Return vectors with no row: only trending items are candidates."""
    return VectorRows(empty_table(0, 1), vectors)


def taught(settings: Settings, vectors: VectorTable = VECTORS) -> Blend:
    blend = Blend(settings)
    blend.publish("history", of_vectors(vectors))
    blend.step(EVENTS)
    return blend


def said_to(blend: Blend, user: int) -> dict[int, float]:
    """Return the product with each candidate, by item."""
    answer, _, _, work, _ = blend.answer(user, 10.0, k=5)
    n = answer.n_candidates
    return dict(zip(work.item[:n].tolist(), work.features[PRODUCT, :n].tolist(), strict=True))


def test_a_user_is_the_weighted_mean_of_what_the_last_items_give() -> None:
    # Item 1 came last, item 0 before it: (1 (4, 0) + 0.5 (1, 3)) / 1.5 = (3, 1).
    # Item 5 is found by (2, 1): 7; item 6 by (-1, 4): 1; item 7 came after the fit.
    said = said_to(taught(Settings(ring_decay=0.5)), 0)
    assert said == pytest.approx({5: 7.0, 6: 1.0, 7: 0.0}, abs=1e-6)


def test_only_the_ring_counts() -> None:
    # Item 1 alone, (4, 0): 8 and -4.
    assert said_to(taught(Settings(ring_length=1)), 0) == pytest.approx({5: 8.0, 6: -4.0, 7: 0.0})


def test_items_after_the_fit_bring_nothing_to_a_user() -> None:
    blend = taught(Settings(ring_decay=0.5))
    blend.step(seen((0, 7))._replace(timestamp=np.array([6.0])))
    # The weights are now 0.5 for item 1 and 0.25 for item 0, in the same proportion as before.
    assert said_to(blend, 0) == pytest.approx({5: 7.0, 6: 1.0}, abs=1e-6)


def test_without_an_item_of_the_table_it_is_the_learned_vector() -> None:
    blend = taught(Settings(), VECTORS._replace(found=VECTORS.found[5:], given=VECTORS.given[5:]))
    # The table now has items 0 and 1 alone, found by (2, 1) and (-1, 4). Users 2 and 3 had items 6 and 7;
    # user 2 learned (1, 2), so 4 and 7, user 3 came after the fit, and user 1 has no vector.
    assert said_to(blend, 2) == pytest.approx({0: 4.0, 1: 7.0, 5: 0.0, 7: 0.0})
    for user in (1, 3, -1):
        assert set(said_to(blend, user).values()) == {0.0}
    # User 0 has items 0 and 1 in the ring: what they give counts, whatever was learned.
    assert said_to(blend, 0) == {5: 0.0, 6: 0.0, 7: 0.0}


def test_learned_vectors_are_numbered_over_all_shards() -> None:
    """User 1 of shard 0 of two is walker 2, and user 0 of shard 1 walker 1."""
    said = []
    for shard, user in ((0, 1), (1, 0)):
        blend = Blend(Settings(), shard=shard, n_shards=2)
        user_vectors = np.array([[0, 0], [5, 0], [7, 0]], np.float32)
        ones = np.ones((1, 2), np.float32)
        blend.publish("history", of_vectors(VectorTable(ones, ones, user_vectors)))
        blend.step(seen((2, 0), (user, 3)))
        said.append(said_to(blend, user)[0])
    assert said == [7.0, 5.0]


@pytest.mark.parametrize("d", [1, 5, 64, 256])
def test_every_length_of_vectors_equals_the_table_in_numpy(d: int) -> None:
    rng = np.random.default_rng(d)
    vectors = VectorTable(*(rng.normal(size=(n, d)).astype(np.float32) for n in (30, 30, 0)))
    blend = Blend(Settings())
    blend.publish("history", of_vectors(vectors))
    blend.step(seen(*((1, item) for item in range(40)), (0, 3), (0, 11), (0, 35), (0, 3)))
    ring = np.array([3, 35, 11, 3], np.int32)
    expected = vectors.score(ring, 0.85 ** np.arange(4))
    said = said_to(blend, 0)
    assert set(said) == set(range(40)) - {3, 11, 35}
    for item, product in said.items():
        assert product == pytest.approx(expected[item] if item < 30 else 0.0, abs=1e-4)


@pytest.mark.parametrize("off", [{"use_vectors": False}, {"use_history": False}])
def test_switched_off_they_say_nothing_and_cost_nothing(off: dict[str, bool]) -> None:
    blend = taught(Settings(**off))
    assert not blend.answer(0, 10.0, k=5)[3].active[PRODUCT]
    blend.change(Settings())
    assert blend.answer(0, 10.0, k=5)[3].active[PRODUCT]


def test_rows_alone_leave_vectors_silent_and_take_the_place_of_earlier_ones() -> None:
    blend = taught(Settings())
    blend.publish("history", TABLE)
    assert not blend.answer(0, 10.0, k=5)[3].active[PRODUCT]
    assert blend.vectors("history vectors") is None
    assert blend.neighbours("history") is not None


def test_what_suits_the_user_is_explained_by_the_items_that_say_so() -> None:
    blend = taught(Settings(ring_decay=0.5, use_crosses=False))
    blend.ranker.weight[:] = 0.0
    blend.ranker.weight[PRODUCT] = 1.0
    blend.ranker.variance[PRODUCT] = 1.0
    places = explain(blend, 0, 10.0, k=3).places
    assert [place.item_num for place in places] == [5, 6, 7]
    [part] = places[0].parts
    assert part.sentence == "suits the taste in this user's last items, over all history"
    assert part.value == pytest.approx(7.0 - 8.0 / 3.0)
    # For item 5, (2, 1): item 1 gives 8, item 0 half of 5. For item 6, (-1, 4): -4, and half of 11.
    assert part.because_of == (1, 0)
    assert places[1].parts[0].because_of == (0,)
    assert places[2].parts[0].because_of == ()


def test_published_vectors_survive_a_round_trip() -> None:
    value, _ = publishable(VECTORS, 3)
    blend = Blend(Settings())
    blend.publish("history", value)
    blend.step(EVENTS)
    again = Blend.from_arrays(blend.to_arrays(), Settings())
    for name, array in published.to_arrays(value).items():
        np.testing.assert_array_equal(published.to_arrays(again.nearline["history"])[name], array, name)
    assert said_to(again, 0) == said_to(blend, 0)
    assert opinions(again, PRODUCT) == opinions(blend, PRODUCT)


def test_who_is_forgotten_has_no_vector_and_a_copy_is_made() -> None:
    blend = taught(Settings(ring_decay=0.5))
    gone = np.array([1, 5], np.int32), np.array([0, 2], np.int32)
    blend.forget(Forgetting(0, np.array([2], np.int32), gone[1], gone[0]))
    assert said_to(blend, 0)[6] == pytest.approx(11.0)  # item 0 alone, (1, 3) by (-1, 4)
    vectors = blend.vectors("history vectors")
    assert vectors.found[5].tolist() == vectors.given[1].tolist() == [0.0, 0.0]
    assert np.isnan(vectors.user).all(axis=1).tolist() == [True, True, True]
    assert VECTORS.found[5].tolist() == [2.0, 1.0]
    nobody = np.zeros(0, np.int32)
    assert published.without(blend.nearline["history"], nobody, nobody).vectors.found is vectors.found


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_compressed_vectors_are_widened_when_they_are_published(precision: str) -> None:
    value, nearest = publishable(compress(VECTORS, precision), 3)
    assert isinstance(value, VectorRows)
    assert nearest is not None
    assert nearest.method == "exact"
    blend = taught(Settings(ring_decay=0.5), value.vectors)
    assert blend.vectors("history vectors").found.dtype == np.float32
    assert said_to(blend, 0) == pytest.approx({5: 7.0, 6: 1.0, 7: 0.0}, abs=0.1)


def test_numbers_stored_as_float16_are_widened_too() -> None:
    blend = taught(Settings(ring_decay=0.5), VectorTable(*(each.astype(np.float16) for each in VECTORS)))
    assert said_to(blend, 0) == pytest.approx({5: 7.0, 6: 1.0, 7: 0.0}, abs=1e-6)


def test_a_table_of_rows_is_published_as_it_is() -> None:
    assert publishable(TABLE, 3) == (TABLE, None)


def test_vectors_that_do_not_fit_together_are_refused() -> None:
    arrays = published.to_arrays(of_vectors(VECTORS._replace(user=np.zeros((3, 1), np.float32))))
    with pytest.raises(CorruptionError, match=r"users of the same length; got \(7, 2\), \(7, 2\), \(3, 1\)"):
        published.from_arrays(arrays, "", "slot 'history'")
