"""Where an item stands among the items seen together with it: statistics of the co-visitation graph.

Two items are joined by how many *sittings* they shared (Davidson et al. 2010): events of one user without a
gap of half an hour, at most so many steps apart, so that one long sitting does not join everything with
everything. Each item keeps its strongest M neighbours, and an edge stays if either end keeps it, so the graph
has at most M edges an item.

PageRank (Brin and Page 1998) walks along the edges by their weight w, and jumps anywhere with probability
1 - d; from an item without edges it always jumps:

    r_i = (1 - d) / n + d * (sum over j of r_j w_ji / w_j + sum over j without edges of r_j / n)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from rtrec.types import Floats, Ints

if TYPE_CHECKING:
    import dask.dataframe as dd

#: A gap of more than half an hour ends a sitting, as in the ranker's moments.
SITTING_S = 1800.0
#: Items more steps apart than this in a sitting are not joined by it.
REACH = 10
MAX_NEIGHBOURS = 100
DAMPING = 0.85
_TOLERANCE = 1e-12
_MAX_ROUNDS = 200
_EMPTY = pd.DataFrame(
    {
        "one": pd.Series([], dtype="string[pyarrow]"),
        "other": pd.Series([], dtype="string[pyarrow]"),
        "sittings": pd.Series([], dtype=np.int64),
    }
)


class GraphStatistics(NamedTuple):
    """One number an item, each ``(item,)``."""

    degree: Floats  # different items it was seen with
    strength: Floats  # sittings shared with them, summed
    reach: Floats  # effective number of neighbours, exp(entropy of its shares); 0 without any
    pagerank: Floats  # times the number of items, so that 1 is the mean


def co_visits(
    events: dd.DataFrame, *, reach: int = REACH, sitting_s: float = SITTING_S, n_partitions: int | None = None
) -> dd.DataFrame:
    """Return how many sittings each two items shared, lazily: ``one`` and ``other`` (by id), ``sittings``.

    A user's events are brought together first, whichever files they lie in, and taken in order of time (ties:
    as they stand in the log).
    """
    by_user = events.shuffle("user_id", npartitions=n_partitions or events.npartitions)
    counted = by_user.map_partitions(count_sittings, reach, sitting_s, meta=_EMPTY)
    joined = counted.groupby(["one", "other"], sort=False).agg(
        {"sittings": "sum"}, split_out=max(1, events.npartitions // 8)
    )
    return joined.reset_index()


def count_sittings(events: pd.DataFrame, reach: int = REACH, sitting_s: float = SITTING_S) -> pd.DataFrame:
    """Return how many sittings each two items shared in the events of some users, who must be all here.

    Examples
    --------
    >>> events = pd.DataFrame({"user_id": ["u"] * 4, "item_id": ["b", "a", "b", "c"], "partition": 0,
    ...                        "offset": range(4), "timestamp": [0.0, 60.0, 70.0, 9999.0]})
    >>> count_sittings(events).to_dict("records")  # c came hours later
    [{'one': 'a', 'other': 'b', 'sittings': 1}]
    """
    if not len(events):
        return _EMPTY
    ordered = events.sort_values(["user_id", "timestamp", "partition", "offset"], kind="stable")
    user, _ = pd.factorize(ordered["user_id"])
    item, ids = pd.factorize(ordered["item_id"], sort=True)
    time = ordered["timestamp"].to_numpy()
    begins = np.ones(len(ordered), bool)
    begins[1:] = (user[1:] != user[:-1]) | (time[1:] - time[:-1] > sitting_s)
    sitting = np.cumsum(begins)
    found: list[Ints] = []
    for step in range(1, min(reach, len(ordered) - 1) + 1):
        joined = (sitting[step:] == sitting[:-step]) & (item[step:] != item[:-step])
        low = np.minimum(item[step:], item[:-step])[joined]
        high = np.maximum(item[step:], item[:-step])[joined]
        found.append(np.unique(np.column_stack([sitting[step:][joined], low, high]), axis=0))
    edges = np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 3), np.int64)
    pairs, sittings = np.unique(edges[:, 1:], axis=0, return_counts=True)
    return pd.DataFrame(
        {
            "one": pd.Series(ids[pairs[:, 0]], dtype="string[pyarrow]"),
            "other": pd.Series(ids[pairs[:, 1]], dtype="string[pyarrow]"),
            "sittings": sittings.astype(np.int64),
        }
    )


def graph_of(edges: pd.DataFrame, item_ids: pd.Index) -> sp.csr_array:
    """Return the symmetric graph of co-visits, ``(item, item)``, items in the order of ``item_ids``."""
    one, other = (item_ids.get_indexer(pd.Index(edges[end])) for end in ("one", "other"))
    weight = edges["sittings"].to_numpy(np.float64)
    n_items = len(item_ids)
    half = sp.coo_array((weight, (one, other)), shape=(n_items, n_items)).tocsr()
    return sp.csr_array(half + half.T)


def strongest(graph: sp.csr_array, n_neighbours: int) -> sp.csr_array:
    """Return a symmetric graph with the edges that are among the strongest ``n_neighbours`` of either end.

    Of equally strong ones an item keeps those to the items with the lowest numbers.
    """
    coo = graph.tocoo()
    order = np.lexsort((coo.col, -coo.data, coo.row))
    row, col, weight = coo.row[order], coo.col[order], coo.data[order]
    starts = np.searchsorted(row, np.arange(graph.shape[0]))
    kept = np.arange(len(row)) - starts[row] < n_neighbours
    one_way = sp.coo_array((weight[kept], (row[kept], col[kept])), shape=graph.shape).tocsr()
    return sp.csr_array(one_way.maximum(one_way.T))


def pagerank(graph: sp.csr_array, *, damping: float = DAMPING) -> Floats:
    """Return the PageRank of each item, ``(item,)``, with sum 1, by power iteration."""
    n_items = graph.shape[0]
    if n_items == 0:
        return np.zeros(0)
    out = np.asarray(graph.sum(axis=1)).ravel()
    has_edges = out > 0
    share = np.zeros(n_items)
    share[has_edges] = 1.0 / out[has_edges]
    back = sp.csr_array(graph.T)
    rank = np.full(n_items, 1.0 / n_items)
    for _ in range(_MAX_ROUNDS):
        jumping = rank[~has_edges].sum()
        following = (1.0 - damping) / n_items + damping * (back @ (rank * share) + jumping / n_items)
        moved = np.abs(following - rank).sum()
        rank = following
        if moved < _TOLERANCE:
            break
    return rank


def graph_statistics(graph: sp.csr_array, *, n_neighbours: int = MAX_NEIGHBOURS) -> GraphStatistics:
    """Return the statistics of each item of a symmetric graph; PageRank walks its strongest edges only."""
    n_items = graph.shape[0]
    degree: Floats = np.diff(graph.indptr).astype(np.float64)
    strength = np.asarray(graph.sum(axis=1), np.float64).ravel()
    row = np.repeat(np.arange(n_items), np.diff(graph.indptr))
    share = graph.data / strength[row]
    entropy = np.bincount(row, weights=-share * np.log(share), minlength=n_items)
    reach = np.where(degree > 0, np.exp(entropy), 0.0)
    return GraphStatistics(degree, strength, reach, pagerank(strongest(graph, n_neighbours)) * n_items)
