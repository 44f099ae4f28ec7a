"""The online ranker: a linear model over standardised features, trained after every answer.

For candidates c with features x_c the chance that c is what the user takes next is the softmax

    p_c = exp(w . x_c / s) / sum over d of exp(w . x_d / s)

with s the running standard deviation of each feature among candidates (means cancel in a softmax). After
the answer the ranker steps along the gradient of -log p of what the user really took (listwise softmax,
ListNet: Cao, Qin, Liu, Tsai, Li 2007) with AdaGrad (Duchi, Hazan, Singer 2011), which gives rare features
larger steps and needs no schedule.

What matters depends on the moment: someone in the midst of a sitting goes on from the last item, someone who
comes back after a week does not. So the weights are w + w_m, with w shared by all and w_m learned only at
moments of the same kind (one of :data:`N_MOMENTS`); both take the same gradient, the latter in smaller steps.
On films and shop orders that gave 1.4% and 0.5% more hits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rtrec.declared import FEATURES, N_FEATURES
from rtrec.models.arrays import leaves, stored
from rtrec.models.crosses import N_INPUTS, N_PAIRS, Crosses, learn_crosses, new_crosses
from rtrec.models.jit import kernel
from rtrec.models.sums import add_weighted, fill_exponential, product, squares_about, total_of
from rtrec.models.users import SITTING_S, VISIT_S
from rtrec.types import Floats, Singles

#: The spread of a feature is a running mean over about this many answers.
SPREAD_MEMORY = 1000.0
SMALLEST_SPREAD = 1e-12
#: Where sums of squared gradients begin: a first gradient that is nothing but rounding must not make a step.
FIRST_SQUARES = 1e-8
#: From so many events on a user is an old hand.
MANY_EVENTS = 8
N_MOMENTS = 6
#: The step size of a moment's own weights, relative to that of the shared ones.
MOMENT_RATE = 0.4


class Ranker(NamedTuple):
    """The ranker's state."""

    weight: Floats  # (feature,)
    squared_gradient: Floats  # (feature,)
    moment_weight: Floats  # (moment, feature) what is added to the weights at such a moment
    moment_squared_gradient: Floats  # (moment, feature)
    variance: Floats  # (feature,) running variance among the candidates of an answer
    n_seen: Floats  # (2,) answers whose spread was seen, answers learned from
    strikes: Floats  # (1,) what rtrec.models.guard has against it
    crosses: Crosses


class Lesson(NamedTuple):
    """What one answered event teaches the ranker."""

    variance: Floats  # (event, feature) spread of the features among its candidates
    gradient: Floats  # (event, feature)
    kind: np.ndarray  # (event,) uint8: 0 nothing, 1 spread only, 2 spread and gradient
    moment: np.ndarray  # (event,) uint8: at which kind of moment
    cross: Singles  # (event, side, pair, input) gradient


def new_ranker() -> Ranker:
    """Return a ranker that starts with the declared weights."""
    return Ranker(
        weight=np.array([feature.start for feature in FEATURES]),
        squared_gradient=np.full(N_FEATURES, FIRST_SQUARES),
        moment_weight=np.zeros((N_MOMENTS, N_FEATURES)),
        moment_squared_gradient=np.full((N_MOMENTS, N_FEATURES), FIRST_SQUARES),
        variance=np.zeros(N_FEATURES),
        n_seen=np.zeros(2),
        strikes=np.zeros(1),
        crosses=new_crosses(),
    )


def empty_lessons(n_events: int) -> Lesson:
    """Return room for the lessons of ``n_events`` events."""
    return Lesson(
        variance=np.zeros((n_events, N_FEATURES)),
        gradient=np.zeros((n_events, N_FEATURES)),
        kind=np.zeros(n_events, np.uint8),
        moment=np.zeros(n_events, np.uint8),
        cross=np.zeros((n_events, 2, N_PAIRS, N_INPUTS), np.float32),
    )


def ranker_of(arrays: Mapping[str, np.ndarray]) -> Ranker:
    """Return the ranker in a state (:meth:`rtrec.models.blend.Blend.to_arrays`), with arrays of its own.

    Raises
    ------
    CorruptionError
        If an array is missing or has another shape.
    """
    ranker = new_ranker()
    for name, array in leaves(ranker):
        array[...] = stored(arrays, f"ranker/{name}", array.shape, "state", kind=array.dtype.kind)
    return ranker


def merge_rankers(base: Ranker, learned: list[Ranker]) -> Ranker:
    """Merge rankers that several shards trained from the same ``base`` on events of their own.

    Weights and spreads are averaged by how much each shard learned (local SGD: Stich 2019); squared
    gradients and counts add up, since they are sums over events. Of strikes the most count.
    """
    new = np.array([each.n_seen - base.n_seen for each in learned])  # (shard, 2)
    strikes = np.max([each.strikes for each in learned], axis=0)
    if not new.any():
        return base._replace(strikes=strikes)
    seen_share, taught_share = (column / max(column.sum(), 1.0) for column in new.T)

    def average(values: Callable[[Ranker], Any], share: Floats) -> Any:
        own = values(base)
        moved = sum(s * (values(each) - own) for s, each in zip(share, learned, strict=True))
        return (own + moved).astype(own.dtype)

    def total(values: Callable[[Ranker], Any]) -> Any:
        own = values(base)
        return own + sum(values(each) - own for each in learned)

    return Ranker(
        weight=average(lambda each: each.weight, taught_share),
        squared_gradient=total(lambda each: each.squared_gradient),
        moment_weight=average(lambda each: each.moment_weight, taught_share),
        moment_squared_gradient=total(lambda each: each.moment_squared_gradient),
        variance=average(lambda each: each.variance, seen_share),
        n_seen=base.n_seen + new.sum(axis=0),
        strikes=strikes,
        crosses=Crosses(
            factor=average(lambda each: each.crosses.factor, taught_share),
            squared_gradient=total(lambda each: each.crosses.squared_gradient),
        ),
    )


@kernel
def fill_scale(ranker, scale):
    """Write 1/standard deviation of each feature into ``scale``; 0 for one that never varied."""
    for feature in range(N_FEATURES):
        variance = ranker.variance[feature]
        scale[feature] = 1.0 / np.sqrt(variance) if variance > SMALLEST_SPREAD else 0.0


@kernel
def moment_of(n_events, last_time, now):
    """Say at which kind of moment a user asks who had ``n_events``, the latest at ``last_time``.

    Somebody new comes back from as far away as can be.
    """
    gap = now - last_time if n_events > 0.0 else np.inf
    moment = 0 if gap < SITTING_S else 1 if gap < VISIT_S else 2
    if n_events >= MANY_EVENTS:
        moment += 3
    return moment


@kernel
def weights_at(ranker, moment, weight):
    """Write the weights that hold at such a moment into ``weight``."""
    for feature in range(N_FEATURES):
        weight[feature] = ranker.weight[feature] + ranker.moment_weight[moment, feature]


@kernel
def score(weight, scale, features, active, scores, n):
    """Write the score of ``n`` candidates, from the active features, into ``scores``."""
    scores[:n] = 0.0
    add_weighted((weight * scale).astype(np.float32), features, active, n, scores)


@kernel
def see_spread(features, active, n, variance):
    """Write the variance of each feature among ``n`` candidates into ``variance``."""
    for feature in range(N_FEATURES):
        if not active[feature]:
            variance[feature] = 0.0
            continue
        row = features[feature]
        variance[feature] = squares_about(row, np.float32(total_of(row, n) / n), n) / n


@kernel
def take_gradient(scale, features, active, scores, chance, n, target, gradient):
    """Write the gradient of -log p(target) with respect to the weights into ``gradient``.

    ``chance`` gets the softmax of the scores times the number that is returned.
    """
    highest = scores[0]
    for candidate in range(1, n):
        highest = max(highest, scores[candidate])
    fill_exponential(scores, highest, n, chance)
    total = total_of(chance, n)
    for feature in range(N_FEATURES):
        if not active[feature]:
            gradient[feature] = 0.0
            continue
        row = features[feature]
        gradient[feature] = (product(chance, row, n) / total - row[target]) * scale[feature]
    return total


@kernel
def learn_ranker(ranker, params, lessons, event):
    """Learn one lesson: the spread of the features first, then a step along the gradient."""
    kind, moment = lessons.kind[event], lessons.moment[event]
    variance, gradient = lessons.variance[event], lessons.gradient[event]
    learning_rate = params.learning_rate
    if kind == 0:
        return
    share = max(1.0 / SPREAD_MEMORY, 1.0 / (1.0 + ranker.n_seen[0]))
    ranker.n_seen[0] += 1.0
    for feature in range(N_FEATURES):
        if variance[feature] > SMALLEST_SPREAD:  # a table that is switched off keeps the spread it had
            ranker.variance[feature] += share * (variance[feature] - ranker.variance[feature])
    if kind == 1:
        return
    ranker.n_seen[1] += 1.0
    for feature in range(N_FEATURES):
        step = gradient[feature]
        ranker.squared_gradient[feature] += step * step
        ranker.weight[feature] -= learning_rate * step / np.sqrt(ranker.squared_gradient[feature])
        own = ranker.moment_squared_gradient[moment, feature] + step * step
        ranker.moment_squared_gradient[moment, feature] = own
        ranker.moment_weight[moment, feature] -= MOMENT_RATE * learning_rate * step / np.sqrt(own)
    if params.use_crosses and learning_rate > 0.0:
        factor, squares = ranker.crosses
        learn_crosses(factor, squares, lessons.cross[event], np.float32(learning_rate))
