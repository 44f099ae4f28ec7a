"""What features say together: a small network that corrects the linear score of the best candidates.

A linear ranker weighs each feature alone. Whether "goes with the last item" is to be believed depends on how
popular that item is, on the time of the day, on whether another table says the same. So the score becomes

    s_c = w . z_c + v . relu(W z_c + U m + b)

with z_c the standardised features of candidate c, less their mean among the candidates that are looked at, m
the context of the moment (:data:`rtrec.declared.CONTEXT`, the same for all candidates), and W, U, b,
v trained together with w by the same listwise softmax and AdaGrad (wide and deep: Cheng et al. 2016). v
starts at zero, so a new recommender is the linear one. Only the :data:`MOST` candidates that the linear score
puts highest are looked at: what it puts below them has next to no chance.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

import numpy as np

from rtrec.declared import FEATURE_NAMES, N_CONTEXT, N_FEATURES
from rtrec.models.jit import kernel
from rtrec.models.sums import product, total_of
from rtrec.types import Floats, Nums, Singles

#: Candidates looked at, the best by the linear score.
MOST = 192
N_HIDDEN = 8
#: A standardised feature further out than this says no more.
FURTHEST = np.float32(5.0)
#: The linear scores of those looked at are told apart in this many steps of an eighth.
N_STEPS = 128
_STEPS_A_NAT = np.float32(8.0)
_FIRST_SQUARES = 1e-4
_SEED, _SPREAD = 20161, 0.3
#: The features whose first weights are drawn in one go, with those of the context.
_N_TOGETHER = FEATURE_NAMES.index("had_idle") + 1


class Crosses(NamedTuple):
    """The network's state; axis ``input`` holds all features, then the context, then a constant."""

    weight: Singles  # (hidden, input)
    squared_gradient: Singles  # (hidden, input)
    out: Singles  # (hidden,)
    out_squared_gradient: Singles  # (hidden,)


class Together(NamedTuple):
    """Room for the candidates of one answer that are looked at."""

    candidate: Nums  # (place,) which they are
    size: Nums  # (1,) how many
    inputs: Singles  # (feature, place)
    hidden: Singles  # (hidden, place)
    correction: Singles  # (place,) what is added to the score
    steps: Nums  # (step,) how many candidates have such a linear score
    pull: Singles  # (2, place) gradients by score, and by one hidden unit
    context: Singles  # (context,)


def new_crosses() -> Crosses:
    """Return a network that says nothing yet; always the same, so that shards begin alike."""
    weight = _first_weights()
    return Crosses(
        weight=weight,
        squared_gradient=np.full(weight.shape, _FIRST_SQUARES, np.float32),
        out=np.zeros(N_HIDDEN, np.float32),
        out_squared_gradient=np.full(N_HIDDEN, _FIRST_SQUARES, np.float32),
    )


def _first_weights() -> Singles:
    """Return small weights by chance, ``(hidden, input)``.

    A feature that joins at the end draws its own by its name, so that it leaves those of all others as they
    are: while it says nothing, a recommender is the same as without it.
    """
    shape = (N_HIDDEN, _N_TOGETHER + N_CONTEXT + 1)
    together = np.random.default_rng(_SEED).normal(0.0, _SPREAD, shape)
    later = [
        np.random.default_rng([_SEED, crc32(name.encode())]).normal(0.0, _SPREAD, N_HIDDEN)
        for name in FEATURE_NAMES[_N_TOGETHER:]
    ]
    columns = np.reshape(later, (-1, N_HIDDEN)).T
    return np.hstack([together[:, :_N_TOGETHER], columns, together[:, _N_TOGETHER:]]).astype(np.float32)


def empty_together() -> Together:
    """Return the room."""
    return Together(
        candidate=np.zeros(MOST, np.int32),
        size=np.zeros(1, np.int32),
        inputs=np.zeros((N_FEATURES, MOST), np.float32),
        hidden=np.zeros((N_HIDDEN, MOST), np.float32),
        correction=np.zeros(MOST, np.float32),
        steps=np.zeros(N_STEPS, np.int32),
        pull=np.zeros((2, MOST), np.float32),
        context=np.zeros(N_CONTEXT, np.float32),
    )


@kernel
def choose(scores, n, steps, candidate):
    """Write the candidates with the highest linear scores; return how many."""
    if n <= len(candidate):
        for each in range(n):
            candidate[each] = each
        return n
    highest = scores[0]
    for each in range(1, n):
        highest = max(highest, scores[each])
    steps[:] = 0
    for each in range(n):
        steps[step_of(highest - scores[each])] += 1
    last, before = 0, 0  # the step in which the room ends, and how many are in the steps before it
    while before + steps[last] < len(candidate):
        before += steps[last]
        last += 1
    left = len(candidate) - before
    size = 0
    for each in range(n):
        step = step_of(highest - scores[each])
        if step < last or (step == last and left > 0):
            candidate[size] = each
            size += 1
            if step == last:
                left -= 1
    return size


@kernel
def step_of(below):
    """Return the step of a score that is so far ``below`` the highest."""
    return min(int(below * _STEPS_A_NAT), N_STEPS - 1)


@kernel
def fill_inputs(features, active, scale, candidate, size, inputs):
    """Write the standardised features of the candidates looked at, less their mean."""
    for feature in range(len(scale)):
        if not active[feature]:
            continue
        row, column = features[feature], inputs[feature]
        for place in range(size):
            column[place] = row[candidate[place]]
        mean = np.float32(total_of(column, size) / size)
        factor = np.float32(scale[feature])
        for place in range(size):
            column[place] = min(max((column[place] - mean) * factor, -FURTHEST), FURTHEST)


@kernel
def correct(weight, out, inputs, context, active, candidate, size, hidden, correction, scores):
    """Write what features say together into ``correction``, and add it to ``scores``."""
    correction[:size] = 0.0
    n_features = len(active)
    for unit in range(len(out)):
        row, level = weight[unit], hidden[unit]
        start = row[n_features + len(context)]
        for each in range(len(context)):
            start += row[n_features + each] * context[each]
        level[:size] = start
        for feature in range(n_features):
            if active[feature]:
                factor, column = row[feature], inputs[feature]
                for place in range(size):
                    level[place] += factor * column[place]
        factor = out[unit]
        for place in range(size):
            level[place] = max(level[place], np.float32(0.0))
            correction[place] += factor * level[place]
    for place in range(size):
        scores[candidate[place]] += correction[place]


def contributions(crosses: Crosses, together: Together, active: np.ndarray) -> tuple[Floats, Floats]:
    """Say which part of the last correction each feature brought, and which part the moment alone.

    Where no unit changes between zero and more, the network is linear, so the parts sum to it exactly:
    ``v . (open * W) z`` by feature, and ``v . (open * (U m + b))`` by the moment.

    Returns
    -------
    Arrays of shape ``(feature, place)`` and ``(place,)``.
    """
    size = int(together.size[0])
    is_open = together.hidden[:, :size] > 0.0
    gate = np.where(is_open, crosses.out[:, None], 0.0).astype(np.float64)  # (hidden, place)
    inputs = np.where(active[:, None], together.inputs[:, :size], 0.0)
    by_feature = (crosses.weight[:, : len(active)].T.astype(np.float64) @ gate) * inputs
    moment = np.append(together.context, np.float32(1.0)).astype(np.float64)
    return by_feature, (crosses.weight[:, len(active) :].astype(np.float64) @ moment) @ gate


@kernel
def take_cross_gradient(out, inputs, context, active, size, hidden, pull, gradient, out_gradient):
    """Write the gradient of -log p(target) by the network's weights; ``pull[0]`` holds that by the scores."""
    n_features, n_context = len(active), len(context)
    by_score, by_level = pull[0], pull[1]
    for unit in range(len(out)):
        level, own = hidden[unit], gradient[unit]
        out_gradient[unit] = product(by_score, level, size)
        factor = out[unit]
        for place in range(size):
            by_level[place] = factor * by_score[place] if level[place] > 0.0 else np.float32(0.0)
        total = total_of(by_level, size)
        for feature in range(n_features):
            own[feature] = product(by_level, inputs[feature], size) if active[feature] else np.float32(0.0)
        for each in range(n_context):
            own[n_features + each] = total * context[each]
        own[n_features + n_context] = total


@kernel
def fill_pull(chance, total, candidate, size, target, pull):
    """Write the gradient of -log p(target) by the scores of the candidates looked at."""
    for place in range(size):
        pull[place] = chance[candidate[place]] / total
        if candidate[place] == target:
            pull[place] -= np.float32(1.0)


@kernel
def learn_crosses(weight, squares, out, out_squares, gradient, out_gradient, rate):
    """Take one AdaGrad step."""
    for unit in range(len(out)):
        step = out_gradient[unit]
        out_squares[unit] += step * step
        out[unit] -= rate * step / np.sqrt(out_squares[unit])
        row, sums, steps = weight[unit], squares[unit], gradient[unit]
        for each in range(len(row)):
            sums[each] += steps[each] * steps[each]
            row[each] -= rate * steps[each] / np.sqrt(sums[each])
