"""The network over the features: whom it looks at, what it adds, and its gradient by small differences."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.declared import N_CONTEXT, N_FEATURES
from rtrec.models.blend import Blend
from rtrec.models.crosses import (
    MOST,
    Together,
    choose,
    correct,
    empty_together,
    fill_inputs,
    fill_pull,
    new_crosses,
    take_cross_gradient,
)
from rtrec.settings import Settings
from rtrec.types import NumberedEvents


def chosen(scores: np.ndarray) -> list[int]:
    room = empty_together()
    size = choose(scores.astype(np.float32), len(scores), room.steps, room.candidate)
    return room.candidate[:size].tolist()


def test_few_candidates_are_all_looked_at() -> None:
    assert chosen(np.array([-50.0, 3.0, 0.0])) == [0, 1, 2]


def test_of_many_the_best_are_looked_at() -> None:
    scores = np.random.default_rng(3).permutation(np.linspace(0.0, 15.0, 1000))
    looked_at = chosen(scores)
    assert len(looked_at) == len(set(looked_at)) == MOST
    # Scores count in steps of an eighth: whoever is left out is at most that much above one who is not.
    left_out = np.setdiff1d(np.arange(1000), looked_at)
    assert scores[left_out].max() <= scores[looked_at].min() + 0.125


def test_equal_scores_fill_the_room_and_no_more() -> None:
    assert chosen(np.zeros(1000)) == list(range(MOST))


def test_scores_far_below_the_best_share_the_last_step() -> None:
    scores = np.full(1000, -1000.0)
    scores[[7, 900]] = 5.0
    looked_at = chosen(scores)
    assert {7, 900} <= set(looked_at)
    assert len(looked_at) == MOST


class Answered:
    """Random candidates, and all that is needed to score and learn from them."""

    def __init__(self, n: int = 40) -> None:
        rng = np.random.default_rng(11)
        self.n = n
        self.features = rng.normal(2.0, 1.0, (N_FEATURES, n)).astype(np.float32)
        self.active = np.ones(N_FEATURES, bool)
        self.active[3] = False
        self.scale = np.ones(N_FEATURES)
        self.linear = rng.normal(size=n).astype(np.float32)
        self.room: Together = empty_together()
        self.room.context[:] = rng.normal(size=N_CONTEXT)
        self.crosses = new_crosses()
        self.crosses.out[:] = rng.normal(0.0, 0.3, len(self.crosses.out))

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        scores, room = self.linear.copy(), self.room
        room.size[0] = choose(scores, self.n, room.steps, room.candidate)
        fill_inputs(self.features, self.active, self.scale, room.candidate, room.size[0], room.inputs)
        correct(
            self.crosses.weight,
            self.crosses.out,
            room.inputs,
            room.context,
            self.active,
            room.candidate,
            room.size[0],
            room.hidden,
            room.correction,
            scores,
        )
        return scores, room.correction[: self.n]  # all are looked at, each in its own place

    def loss(self, target: int) -> float:
        scores = self.scores()[0].astype(np.float64)
        return float(np.log(np.exp(scores).sum()) - scores[target])


def test_a_new_network_says_nothing() -> None:
    answered = Answered()
    answered.crosses.out[:] = 0.0
    scores, correction = answered.scores()
    assert (correction == 0.0).all()
    assert scores.tolist() == answered.linear.tolist()


def test_the_correction_is_the_formula() -> None:
    answered = Answered()
    scores, correction = answered.scores()
    z = answered.features.T.astype(np.float64)
    z = np.clip(z - z.mean(axis=0), -5.0, 5.0) * answered.active
    inputs = np.hstack([z, np.tile([*answered.room.context, 1.0], (answered.n, 1))])
    hidden = np.maximum(inputs @ answered.crosses.weight.T.astype(np.float64), 0.0)
    assert correction == pytest.approx(hidden @ answered.crosses.out, abs=1e-4)
    assert scores == pytest.approx(answered.linear + correction, abs=1e-6)


def test_the_gradient_is_that_of_the_loss() -> None:
    answered, target = Answered(), 5
    scores, _ = answered.scores()
    room, crosses = answered.room, answered.crosses
    gradient, out_gradient = np.zeros_like(crosses.weight), np.zeros_like(crosses.out)
    chance = np.exp(scores - scores.max())
    fill_pull(chance, chance.sum(), room.candidate, room.size[0], target, room.pull[0])
    take_cross_gradient(
        crosses.out,
        room.inputs,
        room.context,
        answered.active,
        room.size[0],
        room.hidden,
        room.pull,
        gradient,
        out_gradient,
    )
    rng = np.random.default_rng(2)
    places = [(unit, int(rng.integers(crosses.weight.shape[1]))) for unit in range(len(crosses.out))] * 3
    places += [(0, N_FEATURES), (1, N_FEATURES + N_CONTEXT)]  # of the context, and the constant
    for array, found, where in [(crosses.weight, gradient, place) for place in places] + [
        (crosses.out, out_gradient, (unit,)) for unit in range(len(crosses.out))
    ]:
        before, losses = array[where], []
        for step in (-5e-4, 5e-4):
            array[where] = before + np.float32(step)
            losses.append(answered.loss(target))
        array[where] = before
        assert found[where] == pytest.approx((losses[1] - losses[0]) / 1e-3, abs=5e-3)
    assert (gradient[:, 3] == 0.0).all()  # a feature that is switched off teaches nothing


def test_crosses_learn_what_no_linear_ranker_can() -> None:
    """Users take the popular item of a pair at night and the other by day: only both together tell."""
    rng = np.random.default_rng(5)
    n_events, n_users = 8000, 400
    hour = rng.integers(0, 2, n_events) * 12
    timestamp = np.arange(n_events) * 2 * 86400.0 + hour * 3600.0
    item = np.where(hour == 0, rng.integers(0, 3, n_events), rng.integers(3, 40, n_events))
    events = NumberedEvents(
        user_num=rng.integers(0, n_users, n_events).astype(np.int32),
        item_num=item.astype(np.int32),
        timestamp=timestamp,
        kind=np.zeros(n_events, np.uint8),
        value=np.full(n_events, np.nan, np.float32),
    )
    hits = {}
    for is_on in (False, True):
        settings = Settings(use_crosses=is_on, use_daypart=False, repeat=True, list_length=3)
        ranks = Blend(settings, racers=("default",)).step(events).ranks[n_events // 2 :, 0]
        by_night = hour[n_events // 2 :] == 0
        hits[is_on] = float((ranks[~by_night] > 0).mean())
    assert hits[True] > hits[False] + 0.02
