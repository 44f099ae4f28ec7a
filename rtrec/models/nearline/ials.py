"""Matrix factorisation of implicit feedback by alternating least squares.

With c_ui the weight of what user u did with item i (0 for most pairs), user vectors x_u and item vectors y_i
of d numbers minimise

    sum over ui of c_ui (x_u . y_i - 1)^2  +  a0 * sum over all ui of (x_u . y_i)^2
    + l * sum over u of (c_u + a0 * n_items)^p |x_u|^2  +  l * sum over i of (c_i + a0 * n_users)^p |y_i|^2

where c_u and c_i are sums of c_ui, and n_items and n_users count those with an event. The second term says
that what was not taken counts a little against an item; with p = 1 a row is held back in step with the number
of pairs it answers for. Unless told otherwise, a0 makes all pairs together count :data:`UNOBSERVED` times the
events: then one l suits sparse and dense logs, and the unit of the weights plays no part. For fixed items the
best user is

    x_u = (a0 * Y'Y + sum over i of c_ui y_i y_i' + l (c_u + a0 * n_items)^p I)^-1 * sum over i of c_ui y_i

and likewise for items, so sweeps over users and items in turn lower the sum until it stands still. The same
equation folds in anybody whose history is at hand: a stranger, or a user who went on after the fit.

Hu, Koren, Volinsky 2008, "Collaborative filtering for implicit feedback datasets"; weighted and scaled as in
Rendle, Krichene, Zhang, Koren 2022, "Revisiting the performance of iALS on item recommendation benchmarks".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from rtrec.errors import CorruptionError
from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.least_squares import (
    GRAM_ROWS,
    Block,
    Penalty,
    blocks_of,
    grams,
    join_blocks,
    ridge,
    solve_block,
)
from rtrec.models.nearline.tables import VectorTable
from rtrec.types import Floats, Nums

#: The a0 that Rendle et al. publish for four logs make it 3 (Pinterest), 7 (MovieLens-1M), 14 (Million Song
#: Dataset) and 27 (MovieLens-20M), at densities that differ thirtyfold.
UNOBSERVED = 20.0


class IALS(NearlineModel):
    """Implicit ALS with frequency-scaled L2; see the module for the equations.

    Parameters
    ----------
    n_factors
        Length d of the vectors.
    unobserved_weight
        What every pair counts for, a0; None takes it from the history (see above).
    regularization, regularization_power
        The l and p of the equation; p = 0 is the plain L2 of 2008.
    sweeps, update_sweeps
        Passes over users and items: from chance, and from the last vectors.
    block_rows
        Users or items a task solves, a multiple of 256.
    scheduler
        None solves in this process. Otherwise the blocks become tasks of one Dask graph, computed by what
        ``dask.compute`` takes: ``"threads"``, ``"processes"``, ``"distributed"`` or a client.
    seed
        Of the vectors that items start with.

    Examples
    --------
    Two users read items 0 and 1, two read 2 and 3: who had item 0 gets 1 before 2.

    >>> import numpy as np
    >>> from rtrec.models.nearline.ials import IALS
    >>> from rtrec.models.nearline.interactions import Interactions
    >>> user, item = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 1, 2, 3, 2, 3])
    >>> model = IALS(n_factors=2)
    >>> model.fit(Interactions(user, item, np.arange(8.0), np.ones(8), np.full(8, np.nan), 4, 4))
    >>> scores = model.score(np.array([0]), np.ones(1))
    >>> bool(scores[1] > scores[2])
    True
    """

    def __init__(
        self,
        *,
        n_factors: int = 64,
        unobserved_weight: float | None = None,
        regularization: float = 0.008,
        regularization_power: float = 1.0,
        sweeps: int = 10,
        update_sweeps: int = 2,
        block_rows: int = 1024,
        scheduler: Any = None,
        seed: int = 0,
    ) -> None:
        if min(n_factors, sweeps, update_sweeps) < 1:
            raise ValueError(
                "n_factors, sweeps and update_sweeps are at least 1; "
                f"got {n_factors}, {sweeps}, {update_sweeps}"
            )
        if not (
            (unobserved_weight is None or unobserved_weight > 0.0)
            and regularization > 0.0
            # The power of what may be billions of pairs must stay a number.
            and 0.0 <= regularization_power <= 10.0
        ):
            raise ValueError(
                "unobserved_weight and regularization are above 0, regularization_power from 0 to 10; "
                f"got {unobserved_weight}, {regularization}, {regularization_power}"
            )
        if block_rows < 1 or block_rows % GRAM_ROWS:
            raise ValueError(f"block_rows is a multiple of {GRAM_ROWS}; got {block_rows}")
        self.n_factors = n_factors
        self.unobserved_weight = unobserved_weight
        self._penalty = Penalty(1.0, float(regularization), float(regularization_power))
        self.sweeps = sweeps
        self.update_sweeps = update_sweeps
        self.block_rows = block_rows
        self.scheduler = scheduler
        self.seed = seed
        nothing = np.zeros((0, n_factors))
        self._take(nothing, nothing, np.zeros(0), np.zeros(0))

    def fit(self, history: Interactions) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        self._sweep(history, self._start(history.n_items), self.sweeps)

    def update(self, history: Interactions, start: int) -> None:
        """Go on from the last vectors: users are solved from items, new items then from users.

        Cheaper than :meth:`fit` by the ratio of their sweeps, and next to it in quality as long as the new
        events are few against the old.
        """
        if not self._items.n_rows:
            self.fit(history)
            return
        n_items = len(self._items.vector)
        if history.n_items < n_items or history.n_users < len(self._users.vector):
            raise ValueError(
                f"iALS learned {len(self._users.vector)} users and {n_items} items; expected a history that "
                f"goes on, got one of {history.n_users} and {history.n_items}; use fit for another one"
            )
        # New items start by chance as in a fit: from 0, those that only new users had would stay there.
        items, old = self._start(history.n_items), np.flatnonzero(self._item_weight)
        items[old] = self._items.vector[old]
        self._sweep(history, items, self.update_sweeps)

    def compile(self) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        one, few = np.zeros(1, np.int32), IALS(n_factors=1, sweeps=1)
        few.fit(Interactions(one, one, np.zeros(1), np.ones(1), np.zeros(1, np.float32), 1, 1))
        few.score(one, np.ones(1))

    def table(self) -> VectorTable:
        """Return vectors of items, what each brings into a user's (see :meth:`_given`), and of users."""
        user = self._users.vector.astype(np.float32)
        user[self._user_weight == 0.0] = np.nan
        return VectorTable(self._items.vector.astype(np.float32), self._given().astype(np.float32), user)

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """Return the product of each item's vector with that of the user, solved from ``items``.

        Without a known item it is the user's learned vector; a stranger's is the mean of all users. Items
        that had no event get no opinion.
        """
        scores = self._items.vector @ self.user_vector(items, weights, user_num)
        scores[self._item_weight == 0.0] = np.nan
        return scores

    def score_many(self, histories: Histories) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`; users are solved as a block."""
        known = (histories.item < len(self._items.vector)) & (histories.weight > 0.0)
        start = np.concatenate([[0], np.cumsum(known)])[histories.start]
        block = Block(start, histories.item[known].astype(np.int32), histories.weight[known])
        users = solve_block(self._penalty, block, self._items)[0]
        for request in np.flatnonzero(np.diff(start) == 0).tolist():
            users[request] = self.user_vector(*histories.one(request))
        scores = users @ self._items.vector.T
        scores[:, self._item_weight == 0.0] = np.nan
        return scores

    def user_vector(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """Return the vector behind :meth:`score`, ``(d,)``."""
        known = (items < len(self._items.vector)) & (weights > 0.0)
        if known.any():
            history = Block(np.array([0, known.sum()]), items[known].astype(np.int32), weights[known])
            return solve_block(self._penalty, history, self._items)[0][0]
        if 0 <= user_num < len(self._users.vector) and self._user_weight[user_num] > 0.0:
            return self._users.vector[user_num].copy()
        return self._users.vector.sum(axis=0) / max(self._users.n_rows, 1)

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        return {
            "item": self._items.vector,
            "item_weight": self._item_weight,
            "user": self._users.vector,
            "user_weight": self._user_weight,
            "unobserved_weight": np.array([self._penalty.unobserved]),
        }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        for name in self.to_arrays():
            if name not in arrays:
                raise CorruptionError(f"iALS: state has no array {name!r}; it has {', '.join(arrays)}")
        shape = arrays["unobserved_weight"].shape
        if shape != (1,):
            raise CorruptionError(f"iALS: expected array 'unobserved_weight' of shape (1,); got {shape}")
        for side in ("item", "user"):
            vectors, weights = arrays[side], arrays[f"{side}_weight"]
            if vectors.shape != (len(weights), self.n_factors) or weights.ndim != 1:
                raise CorruptionError(
                    f"iALS: expected array {side!r} of shape ({len(weights)}, {self.n_factors}), one row for "
                    f"each of {side}_weight; got {vectors.shape} and {weights.shape}"
                )
        self._penalty = self._penalty._replace(unobserved=float(arrays["unobserved_weight"][0]))
        self._take(
            *(np.array(arrays[name], np.float64) for name in ("user", "item", "user_weight", "item_weight"))
        )

    def _take(self, users: Floats, items: Floats, user_weight: Floats, item_weight: Floats) -> None:
        self._user_weight, self._item_weight = user_weight, item_weight
        self._users = join_blocks([(users, grams(users))], int(np.count_nonzero(user_weight)))
        self._items = join_blocks([(items, grams(items))], int(np.count_nonzero(item_weight)))

    def _start(self, n_items: int) -> Floats:
        """Return item vectors small against what a sweep makes of them (Rendle et al. 2022)."""
        rng = np.random.default_rng(self.seed)
        return rng.normal(0.0, 0.1 / np.sqrt(self.n_factors), (n_items, self.n_factors))

    def _sweep(self, history: Interactions, items: Floats, sweeps: int) -> None:
        """Solve users and items in turn, starting from ``items``, and users once more at the end.

        So a user's learned vector is exactly what their whole history folds in to.
        """
        matrix = history.matrix().astype(np.float64)
        user_weight, item_weight = (np.asarray(matrix.sum(axis=axis), np.float64) for axis in (1, 0))
        items[item_weight == 0.0] = 0.0
        self._take(np.zeros((history.n_users, self.n_factors)), items, user_weight, item_weight)
        if not matrix.nnz:
            return
        n_users, n_items = self._users.n_rows, self._items.n_rows
        unobserved = self.unobserved_weight or UNOBSERVED * float(user_weight.sum()) / (n_users * n_items)
        self._penalty = self._penalty._replace(unobserved=unobserved)
        lazy, hold = _same, _same
        if self.scheduler is not None:
            import dask

            lazy, hold = dask.delayed, partial(dask.delayed, traverse=False)
        solve, join = partial(lazy(solve_block), self._penalty), lazy(join_blocks)
        user_blocks = [hold(block) for block in blocks_of(matrix, self.block_rows)]
        item_blocks = [hold(block) for block in blocks_of(matrix.T.tocsr(), self.block_rows)]
        item_side = hold(self._items)
        for _ in range(sweeps):
            user_side = join([solve(block, item_side) for block in user_blocks], n_users)
            item_side = join([solve(block, user_side) for block in item_blocks], n_items)
        user_side = join([solve(block, item_side) for block in user_blocks], n_users)
        if self.scheduler is not None:
            user_side, item_side = dask.compute(user_side, item_side, scheduler=self.scheduler)
        self._users, self._items = user_side, item_side

    def _given(self) -> Floats:
        """Return what each item brings into the vector of a user who has no other, ``(item, d)``.

        The fold-in is linear in the items but for the matrix it solves with, which differs from user to
        user. Here everybody gets that of the average user: n events (their mean), spread over the items as
        all events are, so that the weighted mean of what the items of a user give,

            n * mean of y_i' (a0 * Y'Y + n * sum over i of c_i / c y_i y_i' + l (n + a0 * n_items)^p I)^-1

        with c the sum of all c_i, is the fold-in of a user whose history looks like everybody's, and near
        that of others.
        """
        items = self._items.vector
        total = self._item_weight.sum()
        if total == 0.0:
            return np.zeros_like(items)
        n, penalty = total / self._users.n_rows, self._penalty
        gram = self._items.gram + np.tril(self._items.gram, -1).T
        system = penalty.unobserved * gram + n * (items.T * (self._item_weight / total)) @ items
        system += ridge(penalty, n, self._items.n_rows) * np.eye(self.n_factors)
        given: Floats = n * np.linalg.solve(system, items.T).T
        return given


def _same(value: Any) -> Any:
    return value
