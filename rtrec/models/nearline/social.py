"""What friends had: a user's friends speak for items, and items go together among friends.

With F the friendships, d_u how many friends u has, r_v what v had (newer counts more) and p_u(v) what v
counts for in the eyes of u,

    score_u = sum over v of p_u(v) r_v
    p_u(v) = F_uv / d_u  +  s * sum over z of F_uz F_zv / (d_u d_z)

where the second term, friends of friends, leaves out u and u's own friends (trust that is passed on: Massa
and Avesani 2007). As a table, items i and j go together if friends had one each:

    w_ij = c_ij / sqrt(c_i c_j)

with c_ij how many friendships, either way round, lead from one who had i to one who had j, and c_i how many
lead from one who had i.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from rtrec.errors import CorruptionError
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.item_knn import MOST_PRODUCTS
from rtrec.models.nearline.stored import stored, stored_table, table_arrays
from rtrec.models.nearline.tables import NeighbourTable, empty_table, keep_strongest
from rtrec.types import Floats, Nums

#: Pairs of user numbers, or of user ids; one direction is enough, and both count once.
Edges: TypeAlias = npt.ArrayLike
#: Which user has which number: a vocabulary, which may grow, or a function that returns the ids in order.
UserIds: TypeAlias = Vocabulary | Callable[[], Sequence[str]]


class FriendsModel(NearlineModel):
    """What friends had lately; for who has no friends, what goes with their items among friends.

    A user who never had anything is served as well, as long as they have friends who did. Without friends it
    is the item table that speaks for a user's own items, and without items either there is no opinion: 0
    everywhere.

    Parameters
    ----------
    edges
        ``(edge, 2)``: friends by number, or by id if ``users`` is given.
    users
        Which number is which user, asked at each fit; friends without a number are left out until they
        have one.
    half_life
        In events of the friend: how far back counts half.
    second
        s, what friends of friends count for.
    last
        So many of a user's last events are looked at.
    neighbours
        M, the most neighbours a row of the table keeps.

    Examples
    --------
    User 0 has one friend, 1, who had item 2 and then item 1. A friend's friend, 2, had item 0:

    >>> history = Interactions(np.array([2, 1, 1], np.int32), np.array([0, 2, 1], np.int32), np.arange(3.0),
    ...                        np.ones(3), np.full(3, np.nan, np.float32), n_users=3, n_items=3)
    >>> model = FriendsModel([(0, 1), (1, 2)], half_life=1.0, second=0.5)
    >>> model.fit(history)
    >>> model.score(np.zeros(0, np.int32), np.zeros(0), user_num=0)
    array([0.25, 1.  , 0.5 ])
    """

    def __init__(
        self,
        edges: Edges,
        *,
        users: UserIds | None = None,
        half_life: float = 100.0,
        second: float = 0.5,
        last: int = 100,
        neighbours: int = 100,
    ) -> None:
        if not half_life > 0.0 or not second >= 0.0 or last < 1 or neighbours < 1:
            raise ValueError(
                "friends: expected a positive half_life, second of at least 0, last and neighbours of at "
                f"least 1; got {half_life}, {second}, {last}, {neighbours}"
            )
        self.edges = user_pairs(edges, of_ids=users is not None)
        self.users = users
        self.half_life = half_life
        self.second = second
        self.last = last
        self.neighbours = neighbours
        self._friends = sp.csr_array((0, 0))
        self._had = sp.csr_array((0, 0))
        self._table = empty_table(0, neighbours)

    def fit(self, history: Interactions) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        self._friends = friendships(self._numbered(), history.n_users)
        self._had = self._lately(history, self._friends.shape[0])
        self._table = self._together()

    def table(self) -> NeighbourTable:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        return self._table

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`; ``items`` speak where no friend does."""
        n_users = self._had.shape[0]
        friends = row_of(self._friends, user_num)[0] if 0 <= user_num < n_users else ()
        if not len(friends):
            return self._table.score(items, weights)
        known = np.zeros(n_users)
        known[friends] = 1.0 / len(friends)
        if self.second:
            theirs = self._friends[friends]
            further = np.asarray(theirs.T @ (1.0 / (len(friends) * np.diff(theirs.indptr))))
            further[friends] = further[user_num] = 0.0
            known += self.second * further
        people = np.flatnonzero(known)
        return np.asarray(self._had[people].T @ known[people], np.float64)

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        friends, had = self._friends, self._had
        return {
            "friends/start": friends.indptr,
            "friends/user": friends.indices,
            "had/start": had.indptr,
            "had/item": had.indices,
            "had/weight": had.data,
            **table_arrays(self._table),
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        names = ("friends/start", "friends/user", "had/start", "had/item", "had/weight")
        starts, users, had_starts, items, weights = (stored(arrays, name, 1, "friends") for name in names)
        table = stored_table(arrays, "friends")
        n_users = len(starts) - 1
        fits = (
            len(had_starts) == len(starts)
            and starts[-1] == len(users)
            and had_starts[-1] == len(items) == len(weights)
            and users.max(initial=-1) < n_users
            and items.max(initial=-1) < table.n_items
        )
        if not fits:
            raise CorruptionError(
                f"friends: expected friends and items of {n_users} users and {table.n_items} items; got "
                f"{len(users)} friends, {len(items)} items and {len(weights)} weights that do not fit them"
            )
        self._friends = sp.csr_array((np.ones(len(users)), users, starts), shape=(n_users, n_users))
        self._had = sp.csr_array((weights, items, had_starts), shape=(n_users, table.n_items))
        self._table = table

    def _numbered(self) -> Nums:
        """Return friends by number, ``(edge, 2)``, as far as both have one."""
        if self.users is None:
            return self.edges
        known = self.users if isinstance(self.users, Vocabulary) else Vocabulary(self.users())
        nums = known.lookup(self.edges.ravel().tolist()).reshape(-1, 2)
        return nums[(nums >= 0).all(axis=1)]

    def _lately(self, history: Interactions, n_users: int) -> sp.csr_array[Any, Any]:
        """Return what users had of late, ``(user, item)``; age a counts 0.5 ** (a / half-life)."""
        order = np.argsort(history.user_num, kind="stable")
        user = history.user_num[order]
        ends = np.searchsorted(user, user, side="right")
        age = ends - 1 - np.arange(len(user))
        recent = age < self.last
        weight = history.weight[order] * 0.5 ** (age / self.half_life)
        pairs = (user[recent], history.item_num[order][recent])
        return sp.coo_array((weight[recent], pairs), shape=(n_users, history.n_items)).tocsr()

    def _together(self) -> NeighbourTable:
        """Return which items go together among friends."""
        had = self._had.copy()
        had.data[:] = 1.0
        by_item, of_friends = sp.csr_array(had.T), self._friends @ had  # (item, user), (user, item)
        n_items = had.shape[1]
        length = np.sqrt(by_item @ np.diff(self._friends.indptr))
        table = empty_table(n_items, self.neighbours)
        step = max(MOST_PRODUCTS // max(n_items, 1), 1)
        for start in range(0, n_items, step):
            joined = by_item[start : start + step] @ of_friends
            for item in range(start, start + joined.shape[0]):
                others, count = row_of(joined, item - start)
                keep_strongest(table, item, others, count / (length[item] * length[others]))
        return table


def friendships(pairs: Nums, n_users: int) -> sp.csr_array[Any, Any]:
    """Return who is a friend of whom, ``(user, user)`` of ones: both ways round, nobody their own."""
    n_users = max(n_users, int(pairs.max(initial=-1)) + 1)
    one, other = pairs[pairs[:, 0] != pairs[:, 1]].T
    both = (np.concatenate([one, other]), np.concatenate([other, one]))
    friends = sp.coo_array((np.ones(2 * len(one)), both), shape=(n_users, n_users)).tocsr()
    friends.sort_indices()
    friends.data[:] = 1.0
    return friends


def user_pairs(edges: Edges, *, of_ids: bool = False) -> npt.NDArray[Any]:
    """Check that edges are pairs of numbers, or of ids, and return them as an array ``(edge, 2)``."""
    pairs = np.asarray(edges)
    if not pairs.size:
        pairs = np.zeros((0, 2), object if of_ids else np.int32)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"edges: expected pairs of users, of shape (edge, 2); got shape {pairs.shape}")
    if of_ids:
        if not all(isinstance(each, str) for each in pairs.ravel()):
            raise TypeError(
                "edges: with users, expected their ids as text; write frame.astype(str).to_numpy()"
            )
        return pairs.astype(object)
    if not np.issubdtype(pairs.dtype, np.integer) or pairs.min(initial=0) < 0:
        raise ValueError(
            f"edges: expected the numbers of users, from 0 on; got {pairs.ravel()[:2].tolist()}, ...; "
            "for ids, say which number each has: users=..."
        )
    return pairs.astype(np.int32)


def row_of(
    matrix: sp.csr_array[Any, Any], row: int | np.integer
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the columns and values of a row, as views."""
    entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[entries], matrix.data[entries]
