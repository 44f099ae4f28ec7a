"""The guard: what no sane training comes to, the ranker does not learn.

Before each micro-batch (the events that are answered with one state) a copy of the ranker is put aside; when
the lessons are learned every number of it is looked at. If one is not finite, or larger than any sane
training makes it, the ranker is put back, bit by bit, and the micro-batch is *quarantined*: its events count
for everything else, and have taught the ranker nothing but the spread of its features, so that numbers on a
new scale are seen at that scale the next time. The decision follows from state and events alone, so a replay
makes the same one, wherever the stream is cut.

A quarantine is a *strike*; every sound lesson takes a hundredth of one back. At
:data:`MOST_STRIKES` the ranker is *frozen*: answers go on with what it knows, and nothing is learned until
somebody changes a setting (even to the value it has), which takes all strikes back.

A hit rate that falls is an alarm (:mod:`rtrec.evaluation.drift`) and freezes nothing: what helps against a
world that changed is to learn it. With all items of MovieLens latest-small renumbered after 30,000 of 60,000
events the hit rate fell from 0.16 to 0.02; over the last 25,000 it was 0.118 where the ranker went on to
learn, 0.106 where it was frozen at the change, 0.100 where that was noticed 1,000 events later (Online
Retail: 0.261, 0.243, 0.205).

How far is too far. Over MovieLens latest-small and Online Retail the largest weight was 0.63 (1.8 at the
largest learning rate there may be), the largest sum of squared gradients 2.5e7 in 400,000 events, the largest
spread 145. A weight of 100 is beyond that by far; a billion events would bring sums of 6e10, one gradient of
a million brings 1e12; and what is published (:data:`rtrec.models.published.MOST_SAID`) has no larger spread
than 1e34.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rtrec.models.jit import kernel
from rtrec.models.ranker import N_MOMENTS, Ranker, learn_ranker

MOST_WEIGHT = 100.0
MOST_SQUARES = 1e12
MOST_VARIANCE = 1e34
#: So many quarantines, less a hundredth for each micro-batch learned between them, freeze the ranker.
MOST_STRIKES = 10.0
FORGIVEN = 0.01

#: What was wrong with the lesson of each event, ``(event,)``.
Faults = npt.NDArray[np.uint8]
SPREAD_ONLY = 1  # a lesson's kind
_MOST_SINGLE_WEIGHT, _MOST_SINGLE_SQUARES = np.float32(MOST_WEIGHT), np.float32(MOST_SQUARES)
_ALL_MOMENTS = np.arange(N_MOMENTS, dtype=np.uint8)
#: What is wrong with a ranker: nothing, or the place of an array here, counted from 1.
SOUND = 0
BOUNDS: tuple[tuple[str, float], ...] = (
    ("weight", MOST_WEIGHT),
    ("squared_gradient", MOST_SQUARES),
    ("moment_weight", MOST_WEIGHT),
    ("moment_squared_gradient", MOST_SQUARES),
    ("variance", MOST_VARIANCE),
    ("crosses/factor", MOST_WEIGHT),
    ("crosses/squared_gradient", MOST_SQUARES),
)


def fault_in(ranker: Ranker) -> int:
    """Say which array of a ranker is not sane; :data:`SOUND` if all are."""
    return int(fault_of(ranker, _ALL_MOMENTS))


def is_frozen(ranker: Ranker) -> bool:
    """Say whether a ranker learns nothing any more, for too much that it was to learn was quarantined."""
    return bool(ranker.strikes[0] >= MOST_STRIKES)


def thaw(ranker: Ranker) -> None:
    """Take all strikes back."""
    ranker.strikes[0] = 0.0


def words_for(fault: int) -> str:
    """Say what is wrong with a ranker, by the number that :func:`fault_of` gave.

    >>> words_for(1)
    "its 'weight' would not be finite, or beyond 100"
    """
    name, most = BOUNDS[fault - 1]
    return f"its {name!r} would not be finite, or beyond {most:g}"


@kernel
def fault_of(ranker, moments):
    """Say which array of a ranker is not sane, its moments' as far as named; :data:`SOUND` if all are."""
    if not all_within(ranker.weight, MOST_WEIGHT):
        return 1
    if not all_within(ranker.squared_gradient, MOST_SQUARES):
        return 2
    for moment in moments:
        if not all_within(ranker.moment_weight[moment], MOST_WEIGHT):
            return 3
        if not all_within(ranker.moment_squared_gradient[moment], MOST_SQUARES):
            return 4
    if not all_within(ranker.variance, MOST_VARIANCE):
        return 5
    if not all_within(ranker.crosses.factor, _MOST_SINGLE_WEIGHT):
        return 6
    if not all_within(ranker.crosses.squared_gradient, _MOST_SINGLE_SQUARES):
        return 7
    return SOUND


@kernel
def is_sound(ranker, moments):
    """Say whether :func:`fault_of` finds nothing, in half its time."""
    weight, squares, variance = ranker.weight, ranker.squared_gradient, ranker.variance
    fine = True
    for feature in range(len(weight)):
        fine &= (
            (abs(weight[feature]) <= MOST_WEIGHT)
            & (abs(squares[feature]) <= MOST_SQUARES)
            & (abs(variance[feature]) <= MOST_VARIANCE)
        )
    for moment in moments:
        weight, squares = ranker.moment_weight[moment], ranker.moment_squared_gradient[moment]
        for feature in range(len(weight)):
            fine &= (abs(weight[feature]) <= MOST_WEIGHT) & (abs(squares[feature]) <= MOST_SQUARES)
    factor, squared = ranker.crosses.factor.ravel(), ranker.crosses.squared_gradient.ravel()
    for each in range(len(factor)):
        fine &= (abs(factor[each]) <= _MOST_SINGLE_WEIGHT) & (abs(squared[each]) <= _MOST_SINGLE_SQUARES)
    return fine


@kernel
def all_within(values, most):
    """Say whether all numbers are finite, and none is larger than ``most``."""
    flat, fine = values.ravel(), True
    for each in range(len(flat)):
        fine &= abs(flat[each]) <= most  # which no NaN is
    return fine


@kernel
def copy_ranker(source, target, moments):
    """Copy the numbers of a ranker, its moments' as far as named, into another, but not its strikes."""
    put(source.weight, target.weight)
    put(source.squared_gradient, target.squared_gradient)
    for moment in moments:
        put(source.moment_weight[moment], target.moment_weight[moment])
        put(source.moment_squared_gradient[moment], target.moment_squared_gradient[moment])
    put(source.variance, target.variance)
    put(source.n_seen, target.n_seen)
    put(source.crosses.factor.ravel(), target.crosses.factor.ravel())
    put(source.crosses.squared_gradient.ravel(), target.crosses.squared_gradient.ravel())


@kernel
def put(values, places):
    """Copy one by one, which for so few takes a third of the time of an assignment."""
    for each in range(len(values)):
        places[each] = values[each]


@kernel
def teach_ranker(ranker, spare, params, lessons, kind, start, stop):
    """Learn the lessons of the events ``start`` to ``stop - 1``, all of them or none; return what was wrong.

    Parameters
    ----------
    spare
        Another ranker, whose numbers do not matter.
    kind
        Of all events, ``(event,)``.
    """
    teaches = False
    for lesson in range(stop - start):
        teaches |= lessons.kind[lesson] > 0
    if not teaches or ranker.strikes[0] >= MOST_STRIKES:
        return SOUND
    moments = lessons.moment[: stop - start]  # no other moment's weights are touched: a third of the time
    copy_ranker(ranker, spare, moments)
    learn_lessons(ranker, params, lessons, kind, start, stop)
    if is_sound(ranker, moments):
        ranker.strikes[0] = max(ranker.strikes[0] - FORGIVEN, 0.0)
        return SOUND
    fault = fault_of(ranker, moments)
    copy_ranker(spare, ranker, moments)
    ranker.strikes[0] += 1.0
    for lesson in range(stop - start):
        lessons.kind[lesson] = min(lessons.kind[lesson], SPREAD_ONLY)
    learn_lessons(ranker, params, lessons, kind, start, stop)
    if not is_sound(ranker, moments):
        copy_ranker(spare, ranker, moments)
    return fault


@kernel
def learn_lessons(ranker, params, lessons, kind, start, stop):
    """Learn the lesson of each event whose kind has a positive weight."""
    for event in range(start, stop):
        if params.kind_weight[kind[event]] > 0.0:
            learn_ranker(ranker, params, lessons, event - start)
