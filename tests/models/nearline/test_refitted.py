"""A fitted model in the stream: what it is taught, asked and hides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from rtrec.models.base import Compiled
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.refitted import Refitted
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.models.registry import make_model
from rtrec.settings import Settings
from rtrec.types import KINDS, NumberedEvents

VIEW, BUY, DISLIKE = (KINDS.index(kind) for kind in ("view", "buy", "dislike"))


class Kept(NearlineModel):
    """Keep what it is taught and asked; score items by their number."""

    def __init__(self) -> None:
        self.taught = self.asked = None
        self.n_compiled = 0

    def compile(self) -> None:
        self.n_compiled += 1

    def fit(self, history: Interactions) -> None:
        self.taught = list(zip(history.item_num.tolist(), history.weight.tolist(), strict=True))

    def score(self, items: np.ndarray, weights: np.ndarray, user_num: int = -1) -> np.ndarray:
        self.asked = (items.tolist(), weights.tolist())
        return np.arange(10.0)

    def table(self) -> NeighbourTable:
        raise NotImplementedError

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        pass


def log(*rows: tuple[int, int]) -> NumberedEvents:
    """Events of user 0, from (item, kind)."""
    item, kind = np.array(rows).T
    n = len(rows)
    return NumberedEvents(
        np.zeros(n, np.int32),
        item.astype(np.int32),
        np.arange(n) * 1.0,
        kind.astype(np.uint8),
        np.full(n, np.nan, np.float32),
    )


ROWS = ((1, VIEW), (2, BUY), (3, DISLIKE), (4, VIEW))


def test_weights_of_kinds_are_taught_and_asked_with_the_newest_first():
    weights = Settings(weight_view=0.5, weight_buy=3.0).kind_weights()
    model = Refitted(Kept(), refit_every=3, half_life=1.0, kind_weights=weights)
    model.test_then_learn(log(*ROWS), k=3)
    model.recommend(0, 9.0)

    assert model.model.taught == [(1, 0.5), (2, 3.0), (4, 0.5)]
    assert model.model.asked == ([4, 2, 1], [0.5, 3.0 * 0.5, 0.5 * 0.25])


def test_by_default_all_count_one_and_a_dislike_teaches_nothing():
    model = Refitted(Kept(), refit_every=3)
    model.test_then_learn(log(*ROWS), k=3)

    assert model.model.taught == [(1, 1.0), (2, 1.0), (4, 1.0)]


def test_a_kind_of_no_weight_hides_its_item_and_makes_none_known():
    model = Refitted(Kept(), refit_every=1, kind_weights=Settings(weight_view=0.0).kind_weights())
    model.repeat = True
    model.test_then_learn(log((5, BUY), (6, BUY), (7, VIEW), (6, VIEW)), k=3)

    # 7 was only ever viewed and 6 viewed last: both are hidden; a stranger gets what is known, 5 and 6.
    assert model.recommend(0, 9.0) == [5]
    assert model.recommend(1, 9.0) == [6, 5]

    model.test_then_learn(log((6, BUY)), k=3)
    assert model.recommend(0, 9.0) == [6, 5]


def test_a_dislike_may_be_given_weight():
    model = Refitted(Kept(), refit_every=1, kind_weights=Settings(weight_dislike=0.5).kind_weights())
    model.test_then_learn(log((1, DISLIKE)), k=3)

    assert model.model.taught == [(1, 0.5)]


def test_the_registry_hands_the_settings_weights_on():
    model = make_model("item-knn", Settings(weight_view=0.25))
    assert model.weight_of(VIEW) == 0.25


def test_what_is_compiled_is_the_model():
    model = Refitted(Kept())
    assert isinstance(model, Compiled)
    model.compile()
    assert model.model.n_compiled == 1


def test_a_weight_for_each_kind_is_asked_for():
    with pytest.raises(ValueError, match=r"expected a weight for each of view, .*; got 2"):
        Refitted(Kept(), kind_weights=(1.0, 2.0))


def test_compiled_als_knows_nothing_of_it():
    model = make_model("ials", Settings())
    model.compile()
    assert model.model.table().n_items == 0
