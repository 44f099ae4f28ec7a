"""What features say together: products of two sums, which correct the linear score of the best candidates.

A linear ranker weighs each feature alone. Whether "goes with the last item" is to be believed depends on how
popular that item is, on the time of the day, on whether another table says the same. So the score becomes

    s_c = w . z_c + sum over p of (a_p . x_c) (b_p . x_c),    x_c = (z_c, m, 1)

with z_c the standardised features of candidate c, less their mean among the candidates that are looked at, m
the context of the moment (:data:`rtrec.declared.CONTEXT`, the same for all candidates), and a_p, b_p trained
together with w by the same listwise softmax and AdaGrad. This weighs every product of two inputs x_i x_j by
sum over p of a_pi b_pj: the factorisation machine (Rendle 2010) with two sets of factors, so that two inputs
may also speak against each other, and with squares (polynomial network: Livni, Shalev-Shwartz, Shamir 2014;
Blondel, Ishihata, Fujino, Ueda 2016). All a_p start at zero, so a new recommender is the linear one. Only the
:data:`MOST` candidates that the linear score puts highest are looked at: what it puts below them has next to
no chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np

from rtrec.declared import CONTEXT, FEATURE_NAMES, N_CONTEXT, N_FEATURES
from rtrec.models.jit import kernel
from rtrec.models.sums import add_weighted, product, total_of
from rtrec.types import Floats, Nums, Singles

#: Candidates looked at, the best by the linear score.
MOST = 128
#: Products; each costs two sums over all inputs.
N_PAIRS = 4
#: All features, the context, and a constant.
N_INPUTS = N_FEATURES + N_CONTEXT + 1
#: A standardised feature further out than this says no more.
FURTHEST = np.float32(5.0)
#: The linear scores of those looked at are told apart in this many steps of an eighth.
N_STEPS = 128
_STEPS_A_NAT = np.float32(8.0)
#: Where sums of squared gradients begin.
FIRST_SQUARES = 1e-4
_SEED, _SPREAD = 20161, 0.05


class Crosses(NamedTuple):
    """The factors; axis ``input`` holds :data:`N_INPUTS`: all features, then the context, then a constant."""

    factor: Singles  # (side, pair, input): a_p, b_p
    squared_gradient: Singles  # (side, pair, input)


class Together(NamedTuple):
    """Room for the candidates of one answer that are looked at."""

    candidate: Nums  # (place,) which they are
    size: Nums  # (1,) how many
    inputs: Singles  # (feature, place)
    side: Singles  # (side, pair, place) the two sums of each product
    correction: Singles  # (place,) what is added to the score
    steps: Nums  # (step,) how many candidates have such a linear score
    pull: Singles  # (2, place) gradients by score, and by one sum
    context: Singles  # (context,)


def new_crosses() -> Crosses:
    """Return factors that say nothing yet; always the same, so that shards begin alike."""
    context = (f"context {each.name}" for each in CONTEXT)
    second = first_factors([*FEATURE_NAMES, *context, "constant"])
    factor = np.stack([np.zeros_like(second), second])
    return Crosses(factor, np.full(factor.shape, FIRST_SQUARES, np.float32))


def first_factors(names: Sequence[str]) -> Singles:
    """Return small factors by chance, ``(pair, input)``.

    Each input draws its own by its name, so one that is new leaves those of all others as they were: while it
    says nothing, a recommender is the same as without it.
    """
    columns = [
        np.random.default_rng([_SEED, crc32(name.encode())]).normal(0.0, _SPREAD, N_PAIRS) for name in names
    ]
    return np.array(columns, np.float32).T.copy()


def empty_together() -> Together:
    """Return the room."""
    return Together(
        candidate=np.zeros(MOST, np.int32),
        size=np.zeros(1, np.int32),
        inputs=np.zeros((N_FEATURES, MOST), np.float32),
        side=np.zeros((2, N_PAIRS, MOST), np.float32),
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
        in_last = step == last and left > 0
        candidate[size] = each  # if it is not one of them the next takes its place: nothing to guess at
        size += step < last or in_last
        left -= in_last
        if size == len(candidate):
            break
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
def correct(factor, inputs, context, active, candidate, size, side, correction, scores):
    """Write what features say together into ``correction``, and add it to ``scores``."""
    correction[:size] = 0.0
    n_features = len(active)
    for pair in range(factor.shape[1]):
        for each in range(2):
            row, level = factor[each, pair], side[each, pair]
            start = row[n_features + len(context)]
            for place in range(len(context)):
                start += row[n_features + place] * context[place]
            level[:size] = start
            add_weighted(row, inputs, active, size, level)
        one, other = side[0, pair], side[1, pair]
        for place in range(size):
            correction[place] += one[place] * other[place]
    for place in range(size):
        scores[candidate[place]] += correction[place]


def contributions(crosses: Crosses, together: Together, active: np.ndarray) -> tuple[Floats, Floats]:
    """Say which part of the last correction each feature brought, and which part the moment alone.

    What two inputs bring together is shared in halves, so each brings

        x_i * sum over p of (a_pi (b_p . x) + b_pi (a_p . x)) / 2

    and these parts sum to the correction exactly. (They are its Shapley values.)

    Returns
    -------
    Arrays of shape ``(feature, place)`` and ``(place,)``.
    """
    size, n_features = int(together.size[0]), len(active)
    factor, side = crosses.factor.astype(np.float64), together.side[:, :, :size].astype(np.float64)
    inputs = np.where(active[:, None], together.inputs[:, :size], 0.0)
    moment = np.append(together.context, np.float32(1.0)).astype(np.float64)
    halves = np.einsum("spi,spc->ic", factor, side[::-1]) / 2.0  # (input, place)
    return halves[:n_features] * inputs, moment @ halves[n_features:]


@kernel
def take_cross_gradient(inputs, context, active, size, side, pull, gradient):
    """Write the gradient of -log p(target) by the factors; ``pull[0]`` holds that by the scores."""
    n_features, n_context = len(active), len(context)
    by_score, by_side = pull[0], pull[1]
    for each in range(2):
        for pair in range(gradient.shape[1]):
            other, own = side[1 - each, pair], gradient[each, pair]
            for place in range(size):
                by_side[place] = other[place] * by_score[place]
            total = total_of(by_side, size)
            for feature in range(n_features):
                own[feature] = product(by_side, inputs[feature], size) if active[feature] else np.float32(0.0)
            for place in range(n_context):
                own[n_features + place] = total * context[place]
            own[n_features + n_context] = total


@kernel
def fill_pull(chance, total, candidate, size, target, pull):
    """Write the gradient of -log p(target) by the scores of the candidates looked at."""
    for place in range(size):
        pull[place] = chance[candidate[place]] / total
        if candidate[place] == target:
            pull[place] -= np.float32(1.0)


@kernel
def learn_crosses(factor, squares, gradient, rate):
    """Take one AdaGrad step."""
    for side in range(2):
        for pair in range(factor.shape[1]):
            row, sums, steps = factor[side, pair], squares[side, pair], gradient[side, pair]
            for each in range(len(row)):
                sums[each] += steps[each] * steps[each]
                row[each] -= rate * steps[each] / np.sqrt(sums[each])
