"""Incremental SGD for positive-only feedback: one small step an event.

With x_u and y_i the vectors of user and item, an event of u with i pulls their product towards 1:

    e = 1 - x_u . y_i        x_u += r (e y_i - l x_u)        y_i += r (e x_u - l y_i)

Both steps are taken from the vectors as they were; where r (|x_u|^2 + |y_i|^2) is above 1 they would go past
their aim, and r is cut to what just reaches it. With an event of weight w, r is multiplied by |w| (up to 1),
and where w is negative the aim is 0. From positive events alone every product drifts to 1.
Recency-based negative feedback works against that: with each event, the n items that nobody took for the
longest time are held to be known and not wanted, and x_u (not y) takes a step with 0 in place of 1. They
then go to the end of the queue.

Vinagre, Jorge, Gama 2014, "Fast incremental matrix factorization for recommendation with positive-only
feedback"; the negative feedback: 2015, by the same, "Collaborative filtering with recency-based negative
feedback".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.errors import CorruptionError
from rtrec.models.jit import kernel
from rtrec.models.streaming.state import Longs, StreamingModel, hold, move_mean, start_vector
from rtrec.types import Floats, Singles


class ISGDState(NamedTuple):
    """All that ISGD knows; see :class:`~rtrec.models.streaming.state.StreamingModel`."""

    user: Singles  # (user, d)
    user_events: Longs  # (user,)
    item: Singles  # (item, d)
    item_events: Longs  # (item,)
    item_before: Longs  # (item,) the next longer waiting item of the queue, from 1; 0: none
    item_after: Longs  # (item,) the next less long waiting one
    queue: Longs  # (2,) the longest and the least long waiting item
    mean: Floats  # (d + 1,)


class ISGDOptions(NamedTuple):
    """The constructor's options as the kernel reads them."""

    learning_rate: float
    regularization: float
    n_negatives: int
    spread: float
    seed: int


class ISGD(StreamingModel[ISGDState]):
    """ISGD, and RAISGD with ``n_negatives`` above 0; see the module for the equations.

    Parameters
    ----------
    n_factors
        Length d of the vectors.
    learning_rate, regularization
        The r and l of the equations.
    n_negatives
        Items nobody took for the longest time that count as not wanted with each event.
    spread
        Standard deviation of the numbers new vectors start with.
    seed
        Of new vectors.
    kind_weights
        What an event of each kind counts for (:meth:`rtrec.settings.Settings.kind_weights`); one of 0 teaches
        nothing. By default 1, and -1 for a dislike.

    Examples
    --------
    Users of item 0 go on with item 1, those of item 2 with item 3: so should user 8.

    >>> import numpy as np
    >>> from rtrec.models.streaming.isgd import ISGD
    >>> from rtrec.types import NumberedEvents
    >>> user = np.repeat(np.arange(9, dtype=np.int32), 2)[:-1]
    >>> item = np.tile(np.array([0, 1, 2, 3], np.int32), 5)[: len(user)]
    >>> n = len(user)
    >>> events = NumberedEvents(user, item, np.arange(n * 1.0), np.zeros(n, np.uint8), np.ones(n, np.float32))
    >>> model = ISGD()
    >>> for _ in range(20):
    ...     _ = model.test_then_learn(events, k=3)
    >>> model.recommend(8, 0.0, k=3)[0]
    1
    """

    def __init__(
        self,
        *,
        n_factors: int = 64,
        learning_rate: float = 0.5,
        regularization: float = 0.01,
        n_negatives: int = 20,
        spread: float = 0.1,
        seed: int = 0,
        kind_weights: tuple[float, ...] | None = None,
    ) -> None:
        if not 0.0 < learning_rate <= 1.0 or not 0.0 <= regularization < 1.0 or not spread > 0.0:
            raise ValueError(
                "learning_rate is above 0 and at most 1, regularization from 0 to below 1, spread above 0; "
                f"got {learning_rate}, {regularization}, {spread}"
            )
        if n_negatives < 0:
            raise ValueError(f"n_negatives is at least 0; got {n_negatives}")
        super().__init__(n_factors=n_factors, seed=seed, kind_weights=kind_weights)
        self._options = ISGDOptions(
            float(learning_rate), float(regularization), n_negatives, float(spread), seed
        )

    def _learn(self, user_num: int, item_num: int, weight: float) -> None:
        learn(self._state, self._options, user_num, item_num, weight)

    def _check(self, fields: Mapping[str, npt.NDArray[Any]]) -> None:
        n = len(fields["item"])
        for name in ("item_before", "item_after", "queue"):  # the kernel follows them without looking
            if ((fields[name] < 0) | (fields[name] > n)).any():
                raise CorruptionError(f"ISGD: array {name!r} has places beyond its {n} items")

    def _empty(self) -> ISGDState:
        d = self.n_factors
        none, nothing = np.zeros((0, d), np.float32), np.zeros(0, np.int64)
        return ISGDState(
            none, nothing, none, nothing, nothing, nothing, np.zeros(2, np.int64), np.zeros(d + 1)
        )


@kernel
def learn(state: ISGDState, options: ISGDOptions, user: int, item: int, weight: float) -> None:
    """Take the steps of one event; one of negative weight leaves the queue alone."""
    liked, rate = weight > 0.0, np.float32(min(options.learning_rate * abs(weight), 1.0))
    if state.user_events[user] == 0:
        start_vector(state.user[user], 2 * options.seed, user, options.spread)
        before = np.zeros_like(state.user[user])
    else:
        before = state.user[user].copy()
    if state.item_events[item] == 0:
        start_vector(state.item[item], 2 * options.seed + 1, item, options.spread)
    if liked:
        to_queue_end(state, item)
        for _ in range(options.n_negatives):
            waiting = state.queue[0] - 1
            if waiting == item:  # all others have had their turn
                break
            step(state.user[user], state.item[waiting], 0.0, rate, options, False)
            to_queue_end(state, waiting)
        to_queue_end(state, item)
    step(state.user[user], state.item[item], 1.0 if liked else 0.0, rate, options, True)
    move_mean(state.mean, before, state.user[user], 1 if state.user_events[user] == 0 else 0)
    state.user_events[user] += 1
    state.item_events[item] += 1


@kernel
def step(
    user: Singles, item: Singles, target: float, rate: np.float32, options: ISGDOptions, both: bool
) -> None:
    """Pull the product of two vectors towards ``target``; the item stays where it is unless ``both``."""
    regularization = np.float32(options.regularization)
    error, reach = np.float32(target), np.float32(0.0)
    for place in range(len(user)):
        error -= user[place] * item[place]
        reach += item[place] * item[place]
        if both:
            reach += user[place] * user[place]
    if rate * reach > np.float32(1.0):
        rate = np.float32(1.0) / reach
    for place in range(len(user)):
        old = user[place]
        user[place] += rate * (error * item[place] - regularization * old)
        if both:
            item[place] += rate * (error * old - regularization * item[place])
    hold(user)
    hold(item)


@kernel
def to_queue_end(state: ISGDState, item: int) -> None:
    """Put an item behind all others of the queue, wherever it was."""
    place = item + 1
    if state.queue[1] == place:
        return
    before, after = state.item_before[item], state.item_after[item]
    if before:
        state.item_after[before - 1] = after
    elif state.queue[0] == place:
        state.queue[0] = after
    if after:
        state.item_before[after - 1] = before
    last = state.queue[1]
    state.item_before[item], state.item_after[item] = last, 0
    if last:
        state.item_after[last - 1] = place
    else:
        state.queue[0] = place
    state.queue[1] = place
