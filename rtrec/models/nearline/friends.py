"""People a user may know: new friends from shared friends and shared items.

Two people are likely friends if they share friends who have few others (Adamic and Adar 2003, "Friends and
neighbors on the Web") and had the same items:

    a_uv = sum over z of F_uz F_zv / log d_z  +  o * cos(x_u, x_v)

with F the friendships, d_z how many friends z has, and x the 0/1 rows of items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.item_knn import MOST_PRODUCTS
from rtrec.models.nearline.social import Edges, friendships, row_of, user_pairs
from rtrec.types import Floats


class FriendQuality(NamedTuple):
    """How well hidden friends were found, as means over the users who have one."""

    n_users: int
    hit_rate: float  # at least one is among the first k
    recall: float  # the share that is
    mrr: float  # 1 / rank of the first, 0 if it is not among them


class FriendFinder:
    """Score people as friends of a user; see the equation above.

    Parameters
    ----------
    edges
        ``(edge, 2)``, by number.
    history
        What users had; one without events, or who is not here, has no items in common with anybody.
    overlap
        o, what the cosine of two users' items counts for.
    """

    def __init__(self, edges: Edges, history: Interactions, *, overlap: float = 3.0) -> None:
        if not overlap >= 0.0:
            raise ValueError(f"expected an overlap of at least 0; got {overlap}")
        self.friends = friendships(user_pairs(edges), history.n_users)
        self.degree = np.diff(self.friends.indptr)
        self.overlap = overlap
        with np.errstate(divide="ignore"):  # who has one friend introduces nobody
            rarity = np.where(self.degree > 1, 1.0 / np.log(self.degree), 0.0)
        self._introduced = sp.diags_array(rarity) @ self.friends
        had = history._replace(n_users=self.friends.shape[0]).matrix(binary=True).astype(np.float64)
        length = np.sqrt(had.sum(axis=1))
        self._had = (sp.diags_array(1.0 / np.maximum(length, 1.0)) @ had).tocsr()

    def scores(self, users: npt.NDArray[np.integer]) -> Floats:
        """Return a score of everybody as a friend of each of ``users``, ``(user, person)``."""
        common = self.friends[users] @ self._introduced
        alike = self._had[users] @ self._had.T
        return np.asarray((common + self.overlap * alike).toarray(), np.float64)

    def best(self, users: npt.NDArray[np.integer], scores: Floats, k: int) -> list[list[int]]:
        """Return the ``k`` best new friends of each: by score, then by how many friends, then by number."""
        lists = []
        for user, row in zip(users.tolist(), scores, strict=True):
            allowed = np.full(len(row), True)
            allowed[row_of(self.friends, user)[0]] = allowed[user] = False
            people = np.flatnonzero(allowed)
            if len(people) > k:  # all that reach the k-th best score, ties too
                people = people[row[people] >= np.partition(row[people], -k)[-k]]
            order = np.lexsort((people, -self.degree[people], -row[people]))
            lists.append(people[order[:k]].tolist())
        return lists


def recommend_friends(
    edges: Edges, history: Interactions, user: int, k: int = 10, *, overlap: float = 3.0
) -> list[int]:
    """Return at most ``k`` people ``user`` may know and is no friend of yet, by number, best first.

    Of equal ones those with the most friends come first, so a stranger is shown who everybody knows. To ask
    for many users make one :class:`FriendFinder`.

    Examples
    --------
    0 and 3 share a friend, 2; nobody had anything:

    >>> history = Interactions(*np.zeros((5, 0)), n_users=5, n_items=0)
    >>> recommend_friends([(0, 1), (0, 2), (2, 3)], history, user=0)
    [3, 4]

    Raises
    ------
    ValueError
        If there is no such user.
    """
    finder = FriendFinder(edges, history, overlap=overlap)
    n_users = finder.friends.shape[0]
    if not 0 <= user < n_users or k < 1:
        raise ValueError(f"expected a user from 0 to {n_users - 1} and a k of at least 1; got {user}, {k}")
    users = np.array([user], np.int32)
    return finder.best(users, finder.scores(users), k)[0]


def evaluate_friends(
    edges: Edges,
    history: Interactions,
    *,
    hidden: float = 0.2,
    k: int = 10,
    overlap: float = 3.0,
    seed: int = 0,
) -> dict[str, FriendQuality]:
    """Hide a share of the friendships and look for them among everybody.

    Returns
    -------
    The quality of ``friends`` and, to compare, of ``popularity``: those with the most friends.

    Raises
    ------
    ValueError
        If nothing is hidden, or nothing is left.
    """
    pairs = np.unique(np.sort(user_pairs(edges), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    n_hidden = round(hidden * len(pairs))
    if not 0 < n_hidden < len(pairs) or k < 1:
        raise ValueError(
            f"expected a share of {len(pairs)} friendships to hide, some and not all, and a k of at least 1; "
            f"got {hidden}, {k}"
        )
    order = np.random.default_rng(seed).permutation(len(pairs))
    n_users = max(history.n_users, int(pairs.max()) + 1)
    finder = FriendFinder(pairs[order[n_hidden:]], history._replace(n_users=n_users), overlap=overlap)
    looked_for = friendships(pairs[order[:n_hidden]], n_users)
    users = np.flatnonzero(np.diff(looked_for.indptr))
    found: dict[str, list[tuple[float, ...]]] = {"friends": [], "popularity": []}
    for block in np.array_split(users, -(-len(users) * n_users // MOST_PRODUCTS)):
        scores = finder.scores(block)
        for name, by in (("friends", scores), ("popularity", np.zeros_like(scores))):
            for user, people in zip(block.tolist(), finder.best(block, by, k), strict=True):
                found[name].append(_found(people, set(row_of(looked_for, user)[0].tolist())))
    return {name: FriendQuality(len(users), *np.mean(each, axis=0).tolist()) for name, each in found.items()}


def _found(people: list[int], friends: set[int]) -> tuple[float, float, float]:
    """Return hit, recall and reciprocal rank of a list."""
    ranks = [rank for rank, person in enumerate(people, 1) if person in friends]
    return float(bool(ranks)), len(ranks) / len(friends), 1.0 / ranks[0] if ranks else 0.0
