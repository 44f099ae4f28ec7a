"""The graph of what is seen together: sittings by hand, PageRank by a linear solve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from rtrec.features.historical.frame import frame_of_events
from rtrec.features.historical.graph import (
    co_visits,
    count_sittings,
    graph_of,
    graph_statistics,
    pagerank,
    strongest,
)
from rtrec.settings import Settings
from tests.features.historical.conftest import table_of

MINUTE = 1 / 1440
WEIGHTS = Settings().kind_weights()


def edges_of(rows, *, n_partitions=1, **options):
    found = co_visits(
        frame_of_events(table_of(rows), WEIGHTS, n_partitions=n_partitions), **options
    ).compute()
    return {(row.one, row.other): row.sittings for row in found.itertuples()}


def test_two_items_share_the_sittings_in_which_both_were_taken():
    rows = [
        ("u", "a", 0),
        ("u", "b", 10 * MINUTE),
        ("u", "a", 20 * MINUTE),  # the same sitting: a and b share it once
        ("u", "b", 51 * MINUTE),  # 31 minutes later: another one
        ("u", "c", 52 * MINUTE),
        ("v", "b", 52 * MINUTE),  # somebody else
        ("v", "a", 53 * MINUTE),
    ]
    assert edges_of(rows) == {("a", "b"): 2, ("b", "c"): 1}


def test_items_far_apart_in_one_sitting_are_not_joined():
    rows = [("u", item, place * MINUTE) for place, item in enumerate("abcd")]
    assert edges_of(rows, reach=2) == {
        ("a", "b"): 1, ("b", "c"): 1, ("c", "d"): 1, ("a", "c"): 1, ("b", "d"): 1,
    }  # fmt: skip


@pytest.mark.parametrize("n_partitions", [2, 5])
def test_a_sitting_may_lie_in_several_files(n_partitions):
    rng = np.random.default_rng(1)
    rows = [
        (f"u{user}", f"i{item}", place * 7 * MINUTE)
        for place, (user, item) in enumerate(rng.integers(0, 6, (200, 2)))
    ]
    assert edges_of(rows, n_partitions=n_partitions) == edges_of(rows)


def test_without_events_there_is_no_edge():
    assert len(count_sittings(pd.DataFrame())) == 0
    assert edges_of([("u", "a", 0.0)]) == {}


def graph(n_items, edges):
    ids = pd.Index([str(number) for number in range(n_items)])
    one, other, sittings = zip(*edges, strict=True) if edges else ((), (), ())
    frame = pd.DataFrame({"one": [*map(str, one)], "other": [*map(str, other)], "sittings": [*sittings]})
    return graph_of(frame, ids)


def test_statistics_by_hand():
    # A star: 0 with 1 (three sittings) and 2 (one); 3 is alone.
    found = graph_statistics(graph(4, [(0, 1, 3), (0, 2, 1)]))
    assert found.degree.tolist() == [2, 1, 1, 0]
    assert found.strength.tolist() == [4, 3, 1, 0]
    entropy = -(3 / 4 * np.log(3 / 4) + 1 / 4 * np.log(1 / 4))
    np.testing.assert_allclose(found.reach, [np.exp(entropy), 1, 1, 0])
    assert found.pagerank.mean() == pytest.approx(1.0)
    assert found.pagerank[0] > found.pagerank[1] > found.pagerank[2] > found.pagerank[3]


def test_pagerank_is_the_solution_of_its_equation():
    rng = np.random.default_rng(2)
    weight = rng.integers(0, 4, (12, 12)) * (rng.random((12, 12)) < 0.3)
    weight = np.triu(weight, 1)
    weight = (weight + weight.T).astype(float)
    weight[5] = weight[:, 5] = 0.0  # one without edges
    out = weight.sum(axis=1)
    step = np.where(out[:, None] > 0, weight / np.maximum(out, 1)[:, None], 1 / 12)
    expected = np.linalg.solve(np.eye(12) - 0.85 * step.T, np.full(12, 0.15 / 12))
    found = pagerank(sp.csr_array(weight))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert found.sum() == pytest.approx(1.0)


def test_an_edge_stays_if_either_end_keeps_it():
    # 0 has three neighbours and keeps its strongest; 2 and 3 keep theirs, which is 0.
    kept = strongest(graph(4, [(0, 1, 5), (0, 2, 3), (0, 3, 1), (1, 2, 4)]), 1).toarray()
    assert kept[0].tolist() == [0, 5, 0, 1]  # 2's strongest is 1
    assert (kept == kept.T).all()


def test_of_equally_strong_edges_the_lower_number_is_kept():
    kept = strongest(graph(5, [(0, 3, 1), (0, 4, 1), (3, 1, 2), (4, 2, 2)]), 1).toarray()
    assert kept[0].tolist() == [0, 0, 0, 1, 0]


def test_no_items():
    found = graph_statistics(graph(0, []))
    assert [len(each) for each in found] == [0, 0, 0, 0]
