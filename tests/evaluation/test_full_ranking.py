"""Every kind of model is taught the same events and ranks under the same rule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from rtrec.evaluation.full_ranking import ByUser, Lessons, learn, rank
from rtrec.events.numbering import number_events
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.base import Recommender
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.models.registry import BUILT_IN, make_model
from rtrec.settings import Settings
from rtrec.types import KINDS, NumberedEvents

DISLIKE = KINDS.index("dislike")


def log(rows) -> NumberedEvents:
    """Events from (user, item) or (user, item, kind), a second apart."""
    user, item, kind = zip(*((*row, 0)[:3] for row in rows), strict=True)
    return NumberedEvents(
        np.array(user, np.int32),
        np.array(item, np.int32),
        1_700_000_000.0 + np.arange(len(rows)),
        np.array(kind, np.uint8),
        np.full(len(rows), np.nan, np.float32),
    )


class ByNumber(Recommender):
    """Score items by their number; keep what was taught."""

    def __init__(self) -> None:
        super().__init__()
        self.taught: list[tuple[int, int]] = []
        self.n_asked = 0

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        self.n_asked += 1
        return np.arange(20, dtype=float)

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        self.taught.append((user_num, item_num))


class Fitted(NearlineModel):
    """Score items by their number, with no opinion on the third; keep what was asked."""

    def __init__(self) -> None:
        self.asked: dict[int, tuple[list[int], list[float]]] = {}
        self.n_items = 0

    def fit(self, history: Interactions) -> None:
        self.n_items = history.n_items

    def score(self, items: np.ndarray, weights: np.ndarray, user_num: int = -1) -> np.ndarray:
        self.asked[user_num] = (items.tolist(), weights.tolist())
        scores = np.arange(self.n_items, dtype=float)
        scores[2] = np.nan
        return scores

    def table(self) -> NeighbourTable:
        raise NotImplementedError

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        pass


def lists(model, rows, users, k=3, *, settings=None, **options) -> list[list[int]]:
    settings = settings or Settings()
    lessons = Lessons.of(log(rows), settings)
    learn("mine", model, lessons, settings)
    return rank(model, np.array(users, np.int32), lessons, k, **options).tolist()


ROWS = [(0, 0), (0, 3), (1, 1), (1, 5), (0, 4), (1, 2)]


@pytest.mark.parametrize(("model", "of_user_0"), [(ByNumber, [5, 2, 1]), (Fitted, [5, 1, -1])])
def test_a_list_holds_known_items_less_those_of_the_train_part(model, of_user_0):
    # Known are 0 to 5; the fitted one has no opinion on 2. User 9 is a stranger and had nothing.
    assert lists(model(), ROWS, [0, 1, 9]) == [of_user_0, [4, 3, 0], [5, 4, 3]]


@pytest.mark.parametrize("model", [ByNumber, Fitted])
def test_a_disliked_item_is_neither_known_nor_listed(model):
    rows = [*ROWS, (0, 7, DISLIKE), (1, 3, DISLIKE)]

    # 7 has nothing but a dislike, so nobody gets it; 1 does not get 3.
    assert lists(model(), rows, [1, 9], 3) == [[4, 0, -1], [5, 4, 3]]


@pytest.mark.parametrize("model", [ByNumber, Fitted])
def test_with_repeats_only_what_was_disliked_last_is_left_out(model):
    rows = [*ROWS, (0, 5, DISLIKE), (0, 5), (0, 4, DISLIKE)]

    assert lists(model(), rows, [0], 3, settings=Settings(repeat=True)) == [
        [5, 3, 1 if model is Fitted else 2]
    ]


def test_a_streaming_model_learns_every_event_and_is_asked_for_none():
    model, settings = ByNumber(), Settings()
    learn("mine", model, Lessons.of(log(ROWS), settings), settings)

    assert model.taught == ROWS
    assert model.n_asked == 0
    assert model.recommend(0, 0.0, k=1) == [5]  # afterwards it answers as ever


def test_a_fitted_model_is_asked_with_the_history_newest_first():
    model = Fitted()

    lists(model, ROWS, [0, 1, 9], half_life=1.0)

    assert model.asked == {0: ([4, 3, 0], [1.0, 0.5, 0.25]), 1: ([2, 5, 1], [1.0, 0.5, 0.25]), 9: ([], [])}


def test_weights_of_kinds_are_weights_of_the_history():
    model, rows = Fitted(), [(0, 0, 0), (0, 1, 3), (0, 2, DISLIKE)]

    lists(model, rows, [0], settings=Settings(weight_buy=4.0))

    assert model.asked == {0: ([1, 0], [4.0, 1.0])}


def test_a_fitted_model_may_list_cold_items_if_told_so():
    model, settings = Fitted(), Settings()
    lessons = Lessons.of(log(ROWS), settings, n_items=8)
    learn("mine", model, lessons, settings)

    assert rank(model, np.array([0], np.int32), lessons, 3).tolist() == [[7, 6, 5]]


def test_what_can_only_be_tested_cannot_be_ranked():
    class Silent:
        def test_then_learn(self, events, *, k, batch=1): ...

    with pytest.raises(
        TypeError, match=r"model 'mine': expected a NearlineModel or a Recommender, .* got Silent"
    ):
        learn("mine", Silent(), Lessons.of(log(ROWS), Settings()), Settings())


def test_what_an_event_counts_for_says_whether_its_item_may_be_listed():
    settings = Settings(weight_click=0.0, weight_cart=-0.5, weight_dislike=1.0)
    click, cart = KINDS.index("click"), KINDS.index("cart")
    rows = [*ROWS, (0, 7, click), (0, 8, cart), (0, 9, DISLIKE)]

    assert lists(Fitted(), rows, [9], 2, settings=settings) == [[9, 5]]

    rows = [*ROWS, (0, 5), (0, 5, click), (0, 4, cart), (0, 4)]
    # With repeats, what came last hides 5, and shows 4 again.
    assert lists(Fitted(), rows, [0], 2, settings=settings.changed(repeat=True)) == [[4, 3]]


@pytest.mark.parametrize("weights", [{}, {"weight_click": 0.0, "weight_cart": -0.5}], ids=["as is", "own"])
@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_model_ranks_as_it_does_in_the_stream(name, repeat, weights):
    """The list after 400 events gives each next event the rank that the kernel gives it."""
    stream = SyntheticStream(SyntheticConfig(n_users=20, n_items=40))
    events = number_events(stream.events(500), Vocabulary(), Vocabulary())
    events = events._replace(timestamp=np.minimum(events.timestamp, events.timestamp[399]))
    if weights:
        click, cart = KINDS.index("click"), KINDS.index("cart")
        kind = np.random.default_rng(0).choice([0, click, cart], 500, p=[0.6, 0.2, 0.2])
        events = events._replace(kind=kind.astype(np.uint8))
    settings = Settings(list_length=10, repeat=repeat, **weights)
    lessons = Lessons.of(events.part(0, 400), settings)
    model = make_model(name, settings)
    learn(name, model, lessons, settings)

    ranked = rank(model, events.user_num[400:], lessons, 10)
    at = ranked == events.item_num[400:, None]
    by_list = np.where(at.any(axis=1), at.argmax(axis=1) + 1, 0)
    by_kernel = model.test_then_learn(events.part(400, 500), k=10, batch=100)

    assert np.count_nonzero(by_kernel) > 10
    assert by_list.tolist() == by_kernel.tolist()


def test_events_by_user_are_newest_first():
    by_user = ByUser.of(
        np.array([2, 0, 2], np.int32), np.array([5, 6, 7], np.int32), np.array([0.1, 0.2, 0.3])
    )

    assert [by_user.items(user).tolist() for user in (-1, 0, 1, 2, 3)] == [[], [6], [], [7, 5], []]
    assert by_user.weights(2).tolist() == [0.3, 0.1]
