"""Tables published from outside the stream: what they say, when, and that they outlive a restart."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.declared import FEATURE_NAMES
from rtrec.errors import CorruptionError
from rtrec.features.categories import ItemCategories, of_rows
from rtrec.models import published
from rtrec.models.blend import Blend
from rtrec.models.explain import explain
from rtrec.models.nearline.ials import IALS
from rtrec.models.nearline.tables import NeighbourTable, VectorTable, pruned
from rtrec.models.past import Past, no_past
from rtrec.models.published import VectorRows
from rtrec.models.single import BuiltIn
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

CONTENT = FEATURE_NAMES.index("content_ring")
#: Items 0 and 1 are each like 5; 1 is like 6 as well, and like 9, which never had an event.
TABLE = NeighbourTable(
    item=np.array([[5, 0, 0], [5, 6, 9]], np.int32),
    weight=np.array([[0.5, 0.0, 0.0], [0.25, 1.0, 2.0]], np.float32),
    size=np.array([1, 3], np.int32),
)


def seen(*pairs: tuple[int, int]) -> NumberedEvents:
    users, items = np.array(pairs, np.int32).T
    return NumberedEvents(
        users,
        items,
        np.arange(len(pairs), dtype=np.float64),
        np.zeros(len(pairs), np.uint8),
        np.full(len(pairs), np.nan, np.float32),
    )


EVENTS = seen((1, 5), (2, 6), (3, 7), (0, 0), (0, 1))


def taught(settings: Settings) -> Blend:
    blend = Blend(settings)
    blend.publish("content", TABLE)
    blend.step(EVENTS)
    return blend


def opinions(blend: Blend, feature: int) -> dict[int, float]:
    answer, _, _, work, _ = blend.answer(0, 10.0, k=5)
    n = answer.n_candidates
    return dict(zip(work.item[:n].tolist(), work.features[feature, :n].tolist(), strict=True))


def test_rows_of_the_last_items_add_up_with_the_decay_of_the_ring() -> None:
    said = opinions(taught(Settings(ring_decay=0.5)), CONTENT)
    # Item 1 came last (decay 1), item 0 before it (decay 0.5).
    assert said == pytest.approx({5: 0.25 + 0.5 * 0.5, 6: 1.0, 7: 0.0})


def test_an_item_without_an_event_is_a_candidate_only_if_wanted() -> None:
    assert 9 not in opinions(taught(Settings()), CONTENT)
    said = opinions(taught(Settings(cold_items=True)), CONTENT)
    assert said[9] == pytest.approx(2.0)


def test_a_cold_item_is_recommended_and_explained() -> None:
    blend = taught(Settings(cold_items=True))
    blend.ranker.weight[:] = 0.0
    blend.ranker.weight[CONTENT] = 1.0
    blend.ranker.variance[CONTENT] = 1.0
    first = explain(blend, 0, 10.0, k=3).places[0]
    assert first.item_num == 9
    assert first.parts[0].sentence == "is like the items this user had last"
    assert first.parts[0].because_of == (1,)


def test_a_table_that_is_switched_off_says_nothing() -> None:
    blend = taught(Settings())
    blend.change(Settings(use_content=False))
    answer, _, _, work, _ = blend.answer(0, 10.0, k=5)
    assert not work.active[CONTENT]
    assert set(work.item[: answer.n_candidates].tolist()) == {5, 6, 7}
    assert all(
        "is like" not in part.sentence for each in explain(blend, 0, 10.0, k=5).places for part in each.parts
    )


def test_the_ranker_learns_to_trust_a_table_that_is_right() -> None:
    """Whoever had an even item takes the next odd one, always new to the streaming tables."""
    rng = np.random.default_rng(2)
    n_items, n_users = 400, 600
    pair_of = np.arange(n_items, dtype=np.int32) ^ 1
    table = NeighbourTable(pair_of[:, None], np.ones((n_items, 1), np.float32), np.ones(n_items, np.int32))
    firsts = rng.integers(0, n_items // 2, n_users) * 2
    shown = seen(*((n_users, int(item)) for item in rng.permutation(n_items)))
    taken = seen(
        *(pair for user, item in enumerate(firsts) for pair in ((user, int(item)), (user, int(item) + 1)))
    )
    hits = {}
    for with_table in (False, True):
        blend = Blend(Settings())
        if with_table:
            blend.publish("own", table)
        blend.step(shown)
        ranks = blend.step(taken._replace(timestamp=taken.timestamp + 1e6)).ranks[:, 0]
        hits[with_table] = np.mean(ranks[1::2][300:] == 1)
    assert hits[True] > 0.9 > hits[False]


def test_published_tables_survive_a_round_trip() -> None:
    blend = taught(Settings())
    again = Blend.from_arrays(blend.to_arrays(), Settings())
    assert list(again.nearline) == ["content"]
    for field, array in zip(NeighbourTable._fields, again.nearline["content"], strict=True):
        np.testing.assert_array_equal(array, getattr(TABLE, field), err_msg=field)
    assert opinions(again, CONTENT) == opinions(blend, CONTENT)


def test_a_table_stored_with_weights_of_float16_says_the_same() -> None:
    whole, half = taught(Settings()), taught(Settings())
    half.publish("content", pruned(TABLE, 3, half=True))
    assert opinions(half, CONTENT) == opinions(whole, CONTENT)
    assert half.nearline["content"].weight.dtype == np.float32


def test_rows_made_from_vectors_say_how_they_were_found() -> None:
    model = BuiltIn("default", Settings(), nearline={"history": IALS(n_factors=2, sweeps=1)}, refit_every=5)
    model.test_then_learn(EVENTS, k=10)
    assert model.nearline.nearest == {}  # nothing was published before the next event came
    model.test_then_learn(EVENTS, k=10)
    assert model.nearline.nearest["history"].about() == {"search": "exact", "recall": 1.0, "recall_sample": 0}
    assert model.blend.nearline["history"].n_items == 8


def test_what_is_stored_tells_its_kind_by_the_names_of_its_arrays() -> None:
    arrays = published.to_arrays(TABLE, "table/")
    assert sorted(arrays) == ["table/item", "table/size", "table/weight"]
    again = published.from_arrays(arrays | {"other": np.zeros(1)}, "table/", "slot 'own'")
    assert isinstance(again, NeighbourTable)
    assert all(one is other for one, other in zip(again, TABLE, strict=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"table/rank": np.zeros(2)}, "slot 'own': expected arrays table/item, table/weight, table/size"),
        ({"table/size": np.zeros((2, 1))}, r"expected 1 axes in 'table/size'; got shape \(2, 1\)"),
        ({"table/size": np.zeros(3)}, r"a size a row; got \(2, 3\), \(2, 3\), \(3,\)"),
    ],
    ids=["of no kind", "axes", "rows"],
)
def test_arrays_that_make_nothing_are_refused_by_name(changes: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(CorruptionError, match=words):
        published.from_arrays(published.to_arrays(TABLE, "table/") | changes, "table/", "slot 'own'")


FITTED = VectorRows(TABLE, VectorTable(*(np.ones((n, 3), np.float32) for n in (2, 2, 1))))


def with_vectors(**changes: np.ndarray) -> VectorRows:
    return FITTED._replace(vectors=FITTED.vectors._replace(**changes))


def with_past(**changes: np.ndarray) -> Past:
    return no_past()._replace(**changes)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (TABLE._replace(size=np.array([1, 4], np.int32)), "rows of 0 to 3 neighbours; got a size of 4"),
        (TABLE._replace(size=np.array([-1, 3], np.int32)), "rows of 0 to 3 neighbours; got a size of -1"),
        (TABLE._replace(size=np.zeros(3, np.int32)), "a size a row"),
        (TABLE._replace(item=TABLE.item - 6), "numbers of items from 0 to 499,999; got -1"),
        (TABLE._replace(item=TABLE.item + 2**30), "from 0 to 499,999; got 1,073,741,8"),
        (TABLE._replace(weight=np.float32("nan") * TABLE.weight), "weights from 0 to 1e"),
        (TABLE._replace(weight=-TABLE.weight), "weights from 0 to 1e"),
        (TABLE._replace(weight=TABLE.weight * np.float32(1e16)), "weights from 0 to 1e"),
        (with_vectors(found=np.full((2, 3), np.inf, np.float32)), "vectors whose products are at most"),
        (with_vectors(given=np.full((2, 3), 1e30, np.float32)), "vectors whose products are at most"),
        (with_vectors(user=np.array([[1.0, np.nan, 0.0]], np.float32)), "vectors whose products"),
        (with_vectors(user=np.ones((1, 2), np.float32)), "users of the same length"),
        (with_past(item_value=no_past().item_value + np.nan), "values and lifts of at most"),
        (with_past(user_cohort=np.ones(1, np.int32)), "cohorts from -1 to 0; got 1"),
        (of_rows(np.array([[0]], np.int32))._replace(number=np.array([[-2]])), "categories 0 to 0; got -2"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(value: published.Published, words: str) -> None:
    blend, slot = taught(Settings()), "own"
    if isinstance(value, Past | ItemCategories):
        slot = "historical" if isinstance(value, Past) else "categories"
    before = {name: array.copy() for name, array in blend.to_arrays().items()}
    with pytest.raises(ValueError, match=f"slot '{slot}': expected .*{words}"):
        blend.publish(slot, value)
    after = blend.to_arrays()
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


def test_behind_the_end_of_a_row_may_be_anything() -> None:
    blend = taught(Settings())
    table = TABLE._replace(item=TABLE.item.copy(), weight=TABLE.weight.copy())
    table.item[0, 1:], table.weight[0, 1:] = -1, np.nan
    blend.publish("content", table)
    assert opinions(blend, CONTENT) == opinions(taught(Settings()), CONTENT)


def test_a_user_without_a_vector_is_a_row_of_nan() -> None:
    blend = taught(Settings())
    blend.publish("own", with_vectors(user=np.full((1, 3), np.nan, np.float32)))
    assert list(blend.nearline) == ["content", "own"]


def test_nothing_clears_a_slot() -> None:
    blend = taught(Settings())
    blend.publish("content", published.nothing_for("content"))
    assert blend.nearline == {}
    assert not [name for name in blend.to_arrays() if name.startswith("items/nearline/")]


def test_an_unknown_slot_is_refused() -> None:
    with pytest.raises(ValueError, match="slot 'contents': expected one of content, history, own"):
        Blend(Settings()).publish("contents", TABLE)
