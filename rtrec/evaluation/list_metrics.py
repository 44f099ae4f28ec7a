"""What lists are like, whether or not they hit: known or novel, alike or diverse, fair to the catalogue.

Lists are as in :mod:`rtrec.evaluation.ranking_metrics`: item numbers, best first, -1 past their end. Novelty,
diversity and calibration are one figure a user (NaN where a list is too short to have one). Coverage and
Gini belong to all lists together; they also come with each user left out in turn, from which the jackknife
makes an interval. A bootstrap would not do: users drawn with repetition have fewer different lists, so nearly
every draw covers less than was covered.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from rtrec.types import Floats, Ints, Nums

_BLOCK = 128
#: Weight of the history in a list's own distribution, so that no logarithm is of zero (Steck 2018).
_SMOOTHING = 0.01


def novelty(lists: Nums, n_users_of: Ints, n_users: int, k: int) -> Floats:
    """Return the mean self-information of the first ``k`` items, in bits, ``(user,)``.

    An item that n of N users had tells -log2(n / N) (Zhou, Kuscsik, Liu, Medo, Wakeling, Zhang 2010). One
    that nobody had counts as had by one.

    >>> novelty(np.array([[0, 1]]), np.array([4, 1]), 8, k=2).tolist()  # (log2(8/4) + log2(8/1)) / 2
    [2.0]
    """
    bits = np.log2(n_users / np.maximum(n_users_of, 1))
    return _mean_of_listed(bits, lists[:, :k])


def diversity(similarity: Floats, k: int) -> Floats:
    """Return the mean distance of the pairs in the first ``k`` places, ``(user,)``.

    The intra-list distance is the mean of 1 - similarity over the pairs (Smyth, McClave 2001; Ziegler,
    McNee, Konstan, Lausen 2005). ``similarity`` has shape ``(user, place, place)`` with NaN for pairs that
    cannot be compared: :func:`similarity_of_vectors` or :func:`similarity_of_users` make it.

    >>> diversity(np.array([[[1.0, 0.25], [0.25, 1.0]]]), k=2).tolist()
    [0.75]
    """
    length = min(k, similarity.shape[1])
    one, other = np.triu_indices(length, 1)
    distances = 1.0 - similarity[:, one, other]
    known = ~np.isnan(distances)
    return _divided(np.where(known, distances, 0.0).sum(axis=1), known.sum(axis=1))


def similarity_of_vectors(lists: Nums, vectors: Floats) -> Floats:
    """Return the cosine of each pair in each list, ``(user, place, place)``; ``vectors`` is ``(item, d)``.

    An item whose vector is zero or holds NaN cannot be compared.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        # First by the largest number of each, so that no square is too large, or too small, for a number.
        scaled = vectors / np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
        unit = scaled / np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    result = np.empty((*lists.shape, lists.shape[1]))
    for start in range(0, len(lists), _BLOCK):
        block = lists[start : start + _BLOCK]
        listed = np.where((block >= 0)[:, :, None], unit[block], np.nan)
        result[start : start + _BLOCK] = listed @ listed.swapaxes(1, 2)
    return result


def similarity_of_users(lists: Nums, had: sp.csc_array) -> Floats:
    """Return the cosine of each pair in each list by the users they share, ``(user, place, place)``.

    It is (users of both) / sqrt(users of one x users of the other); ``had`` is the ``(user, item)`` matrix of
    zeros and ones. An item without a user cannot be compared.
    """
    result = np.full((*lists.shape, lists.shape[1]), np.nan)
    for start in range(0, len(lists), _BLOCK):
        block = lists[start : start + _BLOCK]
        listed, place = np.unique(block, return_inverse=True)
        place = place.reshape(block.shape)
        columns = had[:, np.maximum(listed, 0)].astype(np.float64)
        both = (columns.T @ columns).toarray()
        n_users = np.where(listed >= 0, both.diagonal(), 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = both / np.sqrt(n_users[:, None] * n_users[None, :])
        cosine[(n_users == 0.0)[:, None] | (n_users == 0.0)[None, :]] = np.nan
        result[start : start + _BLOCK] = cosine[place[:, :, None], place[:, None, :]]
    return result


def calibration(lists: Nums, history: sp.csr_array, categories: Floats, k: int) -> Floats:
    """Return how far the categories of the list are from those of the history, in nats, ``(user,)``.

    KL(p, q) = sum over categories g of p(g) log(p(g) / q'(g)), with p of the user's history, q of the first k
    items and q' = 0.99 q + 0.01 p (Steck 2018, C_KL; lower is better, 0 is perfect). An item shares its
    weight evenly among its categories; items without one are left out. NaN where history or list has none.

    Parameters
    ----------
    history
        What each user's past items count for, ``(user, item)``, rows as in ``lists``.
    categories
        1 where an item is in a category, else 0, ``(item, category)``.
    """
    in_all = categories.sum(axis=1, keepdims=True)
    shares = np.divide(categories, in_all, out=np.zeros(categories.shape), where=in_all > 0.0)
    first = lists[:, :k]
    of_list = np.where((first >= 0)[:, :, None], shares[first], 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = (each / each.sum(axis=1, keepdims=True) for each in (history @ shares, of_list))
        terms = p * np.log(p / ((1.0 - _SMOOTHING) * q + _SMOOTHING * p))
    # 0 log 0 is 0, but a distribution that is not there makes the whole figure NaN.
    return np.where(np.isnan(p[:, 0] + q[:, 0]), np.nan, np.where(p > 0.0, terms, 0.0).sum(axis=1))


def listed_counts(lists: Nums, k: int, n_items: int) -> Ints:
    """Return in how many of the lists' first ``k`` places each item is, ``(item,)``."""
    first = lists[:, :k]
    return np.bincount(first[first >= 0], minlength=n_items)


def coverage(counts: Ints) -> float:
    """Return the share of the catalogue that is in any list; ``counts``: how many lists each item is in.

    >>> coverage(np.array([2, 0, 1, 0]))
    0.5
    """
    return float(np.count_nonzero(counts) / len(counts)) if len(counts) else float("nan")


def coverage_without_each(lists: Nums, k: int, catalogue: Nums) -> Floats:
    """Return the coverage of all lists but one, for each one left out, ``(user,)``.

    ``catalogue`` holds the numbers of the items that could be listed.
    """
    counts, user, count = _listed(lists[:, :k], catalogue)
    alone = np.bincount(user[count == 1], minlength=len(lists))
    return np.asarray((np.count_nonzero(counts) - alone) / len(catalogue))


def gini(counts: Ints) -> float:
    """Return how unequally the places in lists fall to the items: 0 all alike, near 1 all to one.

    G = sum over items by rising count x_r of (2 r - n - 1) x_r, divided by n times the sum of x (Gini 1912;
    for recommendations: Fleder, Hosanagar 2009). ``counts``: how many lists each item is in.

    >>> gini(np.array([0, 0, 0, 4]))  # (2 x 4 - 4 - 1) x 4 / (4 x 4)
    0.75
    """
    total = counts.sum()
    return float(_rank_factors(len(counts)) @ np.sort(counts) / (len(counts) * total)) if total else np.nan


def gini_without_each(lists: Nums, k: int, catalogue: Nums) -> Floats:
    """Return the Gini coefficient of all lists but one, for each one left out, ``(user,)``.

    Nothing is sorted anew: taking one from the leftmost of equal counts keeps the counts sorted, so the sum
    over ranks falls by that rank's factor. The user's second item of the same count takes the next rank.
    """
    counts, user, count = _listed(lists[:, :k], catalogue)
    by_user = np.lexsort((count, user))
    user, count = user[by_user], count[by_user]
    starts_run = np.ones(len(user), bool)
    starts_run[1:] = (np.diff(user) != 0) | (np.diff(count) != 0)
    nth = np.arange(len(user)) - np.flatnonzero(starts_run)[np.cumsum(starts_run) - 1]
    ordered, factors = np.sort(counts), _rank_factors(len(counts))
    less = np.bincount(user, factors[np.searchsorted(ordered, count) + nth], minlength=len(lists))
    n_others = counts.sum() - np.bincount(user, minlength=len(lists))
    return _divided(factors @ ordered - less, len(counts) * n_others)


def _listed(first: Nums, catalogue: Nums) -> tuple[Ints, Ints, Ints]:
    """Return the counts of the catalogue, and of each place with an item its user and that item's count."""
    listed = first >= 0
    counts = np.bincount(first[listed], minlength=int(catalogue.max(initial=-1)) + 1)
    user = np.repeat(np.arange(len(first)), listed.sum(axis=1))
    return counts[catalogue], user, counts[first[listed]]


def _rank_factors(n: int) -> Floats:
    return np.arange(1.0 - n, n, 2.0)


def _mean_of_listed(value: Floats, lists: Nums) -> Floats:
    listed = lists >= 0
    return _divided(np.where(listed, value[lists], 0.0).sum(axis=1), listed.sum(axis=1))


def _divided(sums: Floats, parts: Ints) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(parts > 0, np.divide(sums, parts, dtype=np.float64), np.nan)
