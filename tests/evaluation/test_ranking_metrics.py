"""Accuracy of lists, redone by hand."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.evaluation.figures import HIT_METRICS, relevance_figures
from rtrec.evaluation.ranking_metrics import Relevant

#: Three users. User 0 took 1, 2 and 3, user 1 took 4, user 2 took nothing that counts.
LISTS = np.array([[1, 9, 3, 2], [8, 4, 7, 6], [1, 2, 3, 4]], np.int32)
RELEVANT = Relevant.of([0, 0, 0, 1], [1, 2, 3, 4], None, 3)


def figure(name: str, lists=LISTS, relevant=RELEVANT) -> list[float]:
    return relevance_figures(np.asarray(lists), relevant, (int(name.split("@")[1]),))[name].tolist()


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("recall@1", 1 / 3, 0),
        ("recall@3", 2 / 3, 1 / 1),
        ("recall@4", 3 / 3, 1 / 1),
        ("precision@2", 1 / 2, 1 / 2),
        ("precision@3", 2 / 3, 1 / 3),
        ("precision@10", 3 / 10, 1 / 10),  # a list of 4 has 6 misses at its end
        ("hr@1", 1, 0),
        ("hr@2", 1, 1),
        ("mrr@1", 1 / 1, 0),
        ("mrr@4", 1 / 1, 1 / 2),
        ("map@1", 1 / 1, 0),
        ("map@3", (1 / 1 + 2 / 3) / 3, (1 / 2) / 1),
        ("map@4", (1 / 1 + 2 / 3 + 3 / 4) / 3, (1 / 2) / 1),
        ("ndcg@2", 1 / (1 + 1 / log2(3)), (1 / log2(3)) / 1),
        ("ndcg@3", (1 + 1 / log2(4)) / (1 + 1 / log2(3) + 1 / log2(4)), (1 / log2(3)) / 1),
        (
            "ndcg@4",
            (1 + 1 / log2(4) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / log2(4)),
            (1 / log2(3)) / 1,
        ),
    ],
)
def test_figures_of_a_table_made_by_hand(name, first, second):
    one, other, nobody = figure(name)

    assert (one, other) == pytest.approx((first, second))
    assert np.isnan(nobody)  # nothing relevant, so no figure


def test_graded_ndcg_weighs_what_is_worth_more():
    # Grades 5, 3, 1 of items 1, 2, 3; the list is 3, 1, 9.
    relevant = Relevant.of([0, 0, 0], [1, 2, 3], np.array([5.0, 3.0, 1.0]), 1)

    assert figure("graded_ndcg@3", [[3, 1, 9]], relevant) == pytest.approx(
        [(1 / 1 + 5 / log2(3)) / (5 / 1 + 3 / log2(3) + 1 / log2(4))]
    )
    # The best list of 2 is 5 and 3.
    assert figure("graded_ndcg@2", [[3, 1, 9]], relevant) == pytest.approx(
        [(1 / 1 + 5 / log2(3)) / (5 / 1 + 3 / log2(3))]
    )
    # The binary one does not see grades.
    assert figure("ndcg@2", [[3, 1, 9]], relevant) == pytest.approx([1.0])


def test_the_highest_grade_of_an_item_holds():
    relevant = Relevant.of([0, 0, 0], [7, 7, 2], np.array([2.0, 4.0, 1.0]), 1)

    assert (relevant.item.tolist(), relevant.grade.tolist()) == ([2, 7], [1.0, 4.0])
    assert relevant.n_relevant.tolist() == [2]


def test_a_short_list_is_filled_up_with_misses():
    relevant = Relevant.of([0, 1], [0, 0], None, 2)
    lists = [[5, -1, -1], [-1, -1, -1]]  # -1 is no item, and never relevant

    for name in ("recall@3", "precision@3", "ndcg@3", "mrr@3", "map@3", "hr@3"):
        assert figure(name, lists, relevant) == [0.0, 0.0]


def test_more_relevant_items_than_places():
    relevant = Relevant.of([0] * 5, range(5), None, 1)
    perfect = [[4, 0]]

    assert figure("recall@2", perfect, relevant) == [2 / 5]
    for name in ("precision@2", "ndcg@2", "map@2", "mrr@2", "hr@2"):
        assert figure(name, perfect, relevant) == [1.0]


def test_no_user_has_no_figures():
    nobody = Relevant.of([], [], None, 0)

    assert figure("ndcg@3", np.zeros((0, 3), np.int32), nobody) == []


@st.composite
def cases(draw):
    """Lists of k of ten items, and what up to five users took, with grades."""
    n_users, k = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    lists = [draw(st.permutations(range(10)))[:k] for _ in range(n_users)]
    pairs = draw(st.lists(st.tuples(st.integers(0, n_users - 1), st.integers(0, 9)), max_size=25))
    grades = draw(st.lists(st.integers(1, 5), min_size=len(pairs), max_size=len(pairs)))
    user, item = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(lists, np.int32), user, item, np.array(grades, np.float64), n_users, k


@given(cases())
def test_figures_agree_with_a_slow_count_of_sets(case):
    lists, user, item, _, n_users, k = case
    found = relevance_figures(lists, Relevant.of(user, item, None, n_users), (k,))

    for row in range(n_users):
        took = {i for u, i in zip(user, item, strict=True) if u == row}
        if not took:
            assert all(np.isnan(values[row]) for values in found.values())
            continue
        hits = [i in took for i in lists[row].tolist()]
        best = min(k, len(took))
        assert found[f"recall@{k}"][row] == pytest.approx(sum(hits) / len(took))
        assert found[f"precision@{k}"][row] == pytest.approx(sum(hits) / k)
        assert found[f"hr@{k}"][row] == float(any(hits))
        assert found[f"mrr@{k}"][row] == pytest.approx(1 / (hits.index(True) + 1) if any(hits) else 0)
        precisions = [sum(hits[: p + 1]) / (p + 1) for p in range(k) if hits[p]]
        assert found[f"map@{k}"][row] == pytest.approx(sum(precisions) / best)
        gain = sum(1 / log2(p + 2) for p in range(k) if hits[p])
        assert found[f"ndcg@{k}"][row] == pytest.approx(gain / sum(1 / log2(p + 2) for p in range(best)))


@given(cases())
def test_the_list_in_order_of_grades_is_perfect(case):
    _, user, item, grades, n_users, k = case
    relevant = Relevant.of(user, item, grades, n_users)
    lists = np.full((n_users, k), -1, np.int32)
    for row in range(n_users):
        own = relevant.user == row
        ordered = relevant.item[own][np.argsort(-relevant.grade[own], kind="stable")][:k]
        lists[row, : len(ordered)] = ordered
    found = relevance_figures(lists, relevant, (k,))

    some = relevant.n_relevant > 0
    for name in ("ndcg", "graded_ndcg", "map", "mrr", "hr"):
        assert found[f"{name}@{k}"][some] == pytest.approx(1.0)
    assert found[f"recall@{k}"][some] == pytest.approx(np.minimum(1.0, k / relevant.n_relevant[some]))


@given(cases(), st.randoms())
def test_order_of_users_does_not_matter(case, random):
    lists, user, item, grades, n_users, k = case
    order = list(range(n_users))
    random.shuffle(order)
    place_of = {was: now for now, was in enumerate(order)}

    found = relevance_figures(lists, Relevant.of(user, item, grades, n_users), (k,))
    moved = Relevant.of([place_of[each] for each in user], item, grades, n_users)
    shuffled = relevance_figures(lists[order], moved, (k,))

    for name, values in found.items():
        np.testing.assert_array_equal(values[order], shuffled[name])


@given(cases())
def test_figures_lie_between_0_and_1_and_do_not_fall_with_k_where_they_must_not(case):
    lists, user, item, grades, n_users, k = case
    found = relevance_figures(lists, Relevant.of(user, item, grades, n_users), tuple(range(1, k + 1)))

    for values in found.values():
        known = values[~np.isnan(values)]
        assert ((known >= 0.0) & (known <= 1.0 + 1e-12)).all()
    for name in ("recall", "hr", "mrr"):
        curve = np.array([found[f"{name}@{each}"] for each in range(1, k + 1)])
        assert (np.diff(curve, axis=0)[:, ~np.isnan(curve[0])] >= 0.0).all()


def test_a_length_below_one_is_refused():
    for metric in HIT_METRICS.values():
        with pytest.raises(ValueError, match="at least 1; got 0"):
            metric(np.ones((1, 2), bool), np.ones(1, np.int64), 0)


@pytest.mark.parametrize(
    ("user", "grade", "words"),
    [
        ([0, 3], None, "expected users 0 to 1; got 3"),
        ([0, 1], np.array([1.0, 0.0]), "grades above 0"),
        ([0, 1], np.array([1.0, np.nan]), "grades above 0"),
    ],
)
def test_relevant_items_that_cannot_be_are_refused(user, grade, words):
    with pytest.raises(ValueError, match=words):
        Relevant.of(user, [0, 0], grade, 2)


def test_lists_of_other_users_are_refused():
    with pytest.raises(ValueError, match="a list for each of 3 users; got 2"):
        RELEVANT.gains(LISTS[:2])
