"""Products of features: whom they are made for, what they add, and their gradient by small differences."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.declared import N_CONTEXT, N_FEATURES
from rtrec.models.blend import Blend
from rtrec.models.crosses import (
    MOST,
    Together,
    choose,
    contributions,
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
        self.crosses.factor[:] = rng.normal(0.0, 0.1, self.crosses.factor.shape)

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        scores, room = self.linear.copy(), self.room
        room.size[0] = choose(scores, self.n, room.steps, room.candidate)
        fill_inputs(self.features, self.active, self.scale, room.candidate, room.size[0], room.inputs)
        correct(
            self.crosses.factor,
            room.inputs,
            room.context,
            self.active,
            room.candidate,
            room.size[0],
            room.side,
            room.correction,
            scores,
        )
        return scores, room.correction[: self.n]  # all are looked at, each in its own place

    def loss(self, target: int) -> float:
        scores = self.scores()[0].astype(np.float64)
        return float(np.log(np.exp(scores).sum()) - scores[target])


def test_new_factors_say_nothing() -> None:
    answered = Answered()
    answered.crosses = new_crosses()
    scores, correction = answered.scores()
    assert (correction == 0.0).all()
    assert scores.tolist() == answered.linear.tolist()


def inputs_of(answered: Answered) -> np.ndarray:
    z = answered.features.T.astype(np.float64)
    z = np.clip(z - z.mean(axis=0), -5.0, 5.0) * answered.active
    return np.hstack([z, np.tile([*answered.room.context, 1.0], (answered.n, 1))])


def test_the_correction_is_the_formula() -> None:
    answered = Answered()
    scores, correction = answered.scores()
    inputs, (one, other) = inputs_of(answered), answered.crosses.factor.astype(np.float64)
    # Every product of two inputs has a weight of its own: the sum over pairs of a_pi b_pj.
    weight = one.T @ other
    expected = [float(x @ weight @ x) for x in inputs]
    assert correction == pytest.approx(expected, abs=1e-4)
    assert scores == pytest.approx(answered.linear + correction, abs=1e-6)


def test_what_two_inputs_bring_together_is_shared_in_halves() -> None:
    answered = Answered()
    _, correction = answered.scores()
    inputs, (one, other) = inputs_of(answered), answered.crosses.factor.astype(np.float64)
    both = (one.T @ other + other.T @ one) / 2.0  # (input, input)
    by_feature, by_moment = contributions(answered.crosses, answered.room, answered.active)
    for place in (0, 7):
        x = inputs[place]
        by_input = [x[i] * sum(both[i, j] * x[j] for j in range(len(x))) for i in range(len(x))]
        assert by_feature[:, place] == pytest.approx(by_input[:N_FEATURES], abs=1e-4)
        assert by_moment[place] == pytest.approx(sum(by_input[N_FEATURES:]), abs=1e-4)
    assert by_feature.sum(axis=0) + by_moment == pytest.approx(correction, abs=1e-4)


def test_the_gradient_is_that_of_the_loss() -> None:
    answered, target = Answered(), 5
    scores, _ = answered.scores()
    room, factor = answered.room, answered.crosses.factor
    gradient = np.zeros_like(factor)
    chance = np.exp(scores - scores.max())
    fill_pull(chance, chance.sum(), room.candidate, room.size[0], target, room.pull[0])
    take_cross_gradient(
        room.inputs, room.context, answered.active, room.size[0], room.side, room.pull, gradient
    )
    rng = np.random.default_rng(2)
    n_sides, n_pairs, n_inputs = factor.shape
    places = [
        (side, pair, int(rng.integers(n_inputs)))
        for side in range(n_sides)
        for pair in range(n_pairs)
        for _ in range(3)
    ]
    places += [(0, 0, N_FEATURES), (1, 1, N_FEATURES + N_CONTEXT)]  # of the context, and the constant
    for where in places:
        before, losses = factor[where], []
        for step in (-5e-4, 5e-4):
            factor[where] = before + np.float32(step)
            losses.append(answered.loss(target))
        factor[where] = before
        assert gradient[where] == pytest.approx((losses[1] - losses[0]) / 1e-3, abs=5e-3)
    assert (gradient[:, :, 3] == 0.0).all()  # a feature that is switched off teaches nothing


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
