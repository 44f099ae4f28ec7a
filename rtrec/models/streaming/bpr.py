"""Streaming BPR: what a user took should score above what chance draws.

An item i scores s_ui = b_i + x_u . y_i, with a bias b, a vector x_u of the user and one of the item. With
each event of u with i some items j are drawn; each takes a step up the gradient of log sigmoid(s_ui - s_uj):

    g = 1 / (1 + exp(s_ui - s_uj))
    x_u += r (g (y_i - y_j) - l x_u)    y_i += r (g x_u - l y_i)     y_j += r (-g x_u - l y_j)
                                        b_i += r (g - l b_i)         b_j += r (-g - l b_j)

all from the vectors as they were. With an event of weight w, r is multiplied by |w| (up to 1), and where w is
negative i and j change places. An item is drawn with a chance that grows with its number of events to the
power p: 0 draws all alike, 0.75 prefers the popular, which makes the steps harder and popularity count less.

Rendle, Freudenthaler, Gantner, Schmidt-Thieme 2009, "BPR: Bayesian personalized ranking from implicit
feedback"; the power of 0.75: Mikolov et al. 2013, "Distributed representations of words and phrases".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.models.jit import kernel
from rtrec.models.streaming.state import (
    Chance,
    Longs,
    StreamingModel,
    draw,
    hold,
    move_mean,
    start_vector,
)
from rtrec.types import Floats, Nums, Singles

#: Chances are whole numbers of this much, so that their sums are exact in whatever order they are made.
ONE = 1 << 16


class BPRState(NamedTuple):
    """All that BPR knows; see :class:`~rtrec.models.streaming.state.StreamingModel`."""

    user: Singles  # (user, d)
    user_events: Longs  # (user,)
    item: Singles  # (item, d)
    item_bias: Singles  # (item,)
    item_events: Longs  # (item,)
    chance: Chance  # (1,)
    mean: Floats  # (d + 1,)


class BPROptions(NamedTuple):
    """The constructor's options as the kernels read them."""

    learning_rate: float
    regularization: float
    n_negatives: int
    negative_power: float
    spread: float
    seed: int


class BPR(StreamingModel[BPRState]):
    """Streaming BPR; see the module for the equations.

    Parameters
    ----------
    n_factors
        Length d of the vectors.
    learning_rate, regularization
        The r and l of the equations.
    n_negatives
        Items drawn with each event.
    negative_power
        The p above.
    spread
        Standard deviation of the numbers new vectors start with.
    seed
        Of new vectors and of what is drawn.
    kind_weights
        What an event of each kind counts for (:meth:`rtrec.settings.Settings.kind_weights`); one of 0 teaches
        nothing. By default 1, and -1 for a dislike.

    Examples
    --------
    Users of item 0 go on with item 1, those of item 2 with item 3: so should user 8.

    >>> import numpy as np
    >>> from rtrec.models.streaming.bpr import BPR
    >>> from rtrec.types import NumberedEvents
    >>> user = np.repeat(np.arange(9, dtype=np.int32), 2)[:-1]
    >>> item = np.tile(np.array([0, 1, 2, 3], np.int32), 5)[: len(user)]
    >>> n = len(user)
    >>> events = NumberedEvents(user, item, np.arange(n * 1.0), np.zeros(n, np.uint8), np.ones(n, np.float32))
    >>> model = BPR()
    >>> for _ in range(20):
    ...     _ = model.test_then_learn(events, k=3)
    >>> model.recommend(8, 0.0, k=3)[0]
    1
    """

    def __init__(
        self,
        *,
        n_factors: int = 64,
        learning_rate: float = 0.15,
        regularization: float = 0.02,
        n_negatives: int = 32,
        negative_power: float = 0.0,
        spread: float = 0.1,
        seed: int = 0,
        kind_weights: tuple[float, ...] | None = None,
    ) -> None:
        if not 0.0 < learning_rate <= 1.0 or not 0.0 <= regularization < 1.0 or not spread > 0.0:
            raise ValueError(
                "learning_rate is above 0 and at most 1, regularization from 0 to below 1, spread above 0; "
                f"got {learning_rate}, {regularization}, {spread}"
            )
        if n_negatives < 1 or not 0.0 <= negative_power <= 1.0:
            raise ValueError(
                f"n_negatives is at least 1, negative_power from 0 to 1; got {n_negatives}, {negative_power}"
            )
        super().__init__(n_factors=n_factors, seed=seed, kind_weights=kind_weights)
        self._options = BPROptions(
            float(learning_rate),
            float(regularization),
            n_negatives,
            float(negative_power),
            float(spread),
            seed,
        )
        self._tree = np.zeros(1, np.int64)

    def make_room(self, user_num: int, item_num: int) -> None:
        """See :class:`~rtrec.models.streaming.state.StreamingModel`."""
        super().make_room(user_num, item_num)
        if len(self._tree) != len(self._state.item_events) + 1:
            self._plant()

    def _learn(self, user_num: int, item_num: int, weight: float) -> None:
        learn(self._state, self._tree, self._options, user_num, item_num, weight)

    def score(self, user_num: int, timestamp: float) -> Floats:
        """Return the score of each item, ``(item,)``; NaN: never learned."""
        return super().score(user_num, timestamp) + self._state.item_bias[: self.n_items]

    def score_many(self, user_num: Nums, timestamp: float) -> Floats:
        """See :class:`~rtrec.models.base.Recommender`."""
        return super().score_many(user_num, timestamp) + self._state.item_bias[: self.n_items]

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`~rtrec.models.streaming.state.StreamingModel`."""
        super().restore(arrays)
        self._plant()

    def _plant(self) -> None:
        """Make the tree of chances anew from the counts of events."""
        self._tree = np.zeros(len(self._state.item_events) + 1, np.int64)
        for item in np.flatnonzero(self._state.item_events).tolist():
            add_chance(
                self._tree, item, chance_of(self._state.item_events[item], self._options.negative_power)
            )

    def _empty(self) -> BPRState:
        d = self.n_factors
        none, nothing = np.zeros((0, d), np.float32), np.zeros(0, np.int64)
        return BPRState(
            none,
            nothing,
            none,
            np.zeros(0, np.float32),
            nothing,
            np.array([2 * self.seed + 1], np.uint64),
            np.zeros(d + 1),
        )


@kernel
def learn(state: BPRState, tree: Longs, options: BPROptions, user: int, item: int, weight: float) -> None:
    """Take the steps of one event."""
    rate = np.float32(min(options.learning_rate * abs(weight), 1.0))
    if state.user_events[user] == 0:
        start_vector(state.user[user], 2 * options.seed, user, options.spread)
        before = np.zeros_like(state.user[user])
    else:
        before = state.user[user].copy()
    if state.item_events[item] == 0:
        start_vector(state.item[item], 2 * options.seed + 1, item, options.spread)
    if tree_total(tree) > 0:
        for _ in range(options.n_negatives):
            other = draw_item(tree, state.chance)
            if other != item:
                if weight > 0.0:
                    step(state, rate, options, user, item, other)
                else:
                    step(state, rate, options, user, other, item)
    move_mean(state.mean, before, state.user[user], 1 if state.user_events[user] == 0 else 0)
    state.user_events[user] += 1
    events = state.item_events[item]
    state.item_events[item] += 1
    power = options.negative_power
    add_chance(tree, item, chance_of(events + 1, power) - chance_of(events, power))


@kernel
def step(state: BPRState, rate: np.float32, options: BPROptions, user: int, better: int, worse: int) -> None:
    """Lift the score of one item for a user above that of another."""
    regularization = np.float32(options.regularization)
    x, up, down = state.user[user], state.item[better], state.item[worse]
    apart = state.item_bias[better] - state.item_bias[worse]
    for place in range(len(x)):
        apart += x[place] * (up[place] - down[place])
    g = np.float32(1.0 / (1.0 + np.exp(np.float64(apart))))
    for place in range(len(x)):
        one, two, three = x[place], up[place], down[place]
        x[place] += rate * (g * (two - three) - regularization * one)
        up[place] += rate * (g * one - regularization * two)
        down[place] += rate * (-g * one - regularization * three)
    state.item_bias[better] += rate * (g - regularization * state.item_bias[better])
    state.item_bias[worse] += rate * (-g - regularization * state.item_bias[worse])
    hold(x)
    hold(up)
    hold(down)


@kernel
def chance_of(n_events: int, power: float) -> int:
    """Return how often an item of so many events is drawn, in units of 1 / :data:`ONE`."""
    return round(ONE * np.float64(n_events) ** power) if n_events > 0 else 0


@kernel
def tree_total(tree: Longs) -> int:
    """Return the sum of all chances: the tree's length less one is a power of two, whose place has it."""
    return tree[-1]


@kernel
def add_chance(tree: Longs, item: int, more: int) -> None:
    """Raise the chance of an item; ``tree`` holds sums of stretches of items (Fenwick 1994)."""
    place = item + 1
    while place < len(tree):
        tree[place] += more
        place += place & -place


@kernel
def draw_item(tree: Longs, chance: Chance) -> int:
    """Draw an item by its chance."""
    left = np.int64(draw(chance) % np.uint64(tree_total(tree)))
    place, stretch = 0, len(tree) - 1
    while stretch > 0:
        if place + stretch < len(tree) and tree[place + stretch] <= left:
            place += stretch
            left -= tree[place]
        stretch //= 2
    return place
