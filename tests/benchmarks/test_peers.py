"""Peers under the protocol: ranks by hand on a log of ten rows, and each adapter against its own library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rivals import catalogue
from rivals.base import Peer, top
from rivals.catalogue import FAMILIES
from rivals.ease import TextbookEASE
from rivals.popular import AllTime

from rtrec.evaluation.prequential import evaluate

LOG = [("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "b"), ("u3", "c"), ("u3", "d")]
LOG += [("u4", "d"), ("u4", "c"), ("u5", "b"), ("u5", "a")]


def ranks_of(peer: Peer, rows: list[tuple[str, str]] = LOG, warmup: float = 0.6, k: int = 3) -> list[int]:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"]).assign(timestamp=range(1, len(rows) + 1))
    return evaluate(frame, models={"peer": lambda: peer}, warmup=warmup, k=k)["peer"].ranks.tolist()


def taught(peer: Peer, pairs: list[tuple[int, int]]) -> Peer:
    for user, item in pairs:
        peer._learn(user, item, 0, np.nan)
    return peer


def drawn(n: int = 400, n_users: int = 20, n_items: int = 30) -> list[tuple[int, int]]:
    rng = np.random.default_rng(5)
    return list(
        zip(rng.integers(n_users, size=n).tolist(), rng.integers(n_items, size=n).tolist(), strict=True)
    )


def needs(family: str) -> None:
    reason = catalogue.missing(family)
    if reason:
        pytest.skip(reason)


def test_popularity_ranks_the_ten_rows_by_count():
    # The warm part leaves a2 b2 c1 d1. u4 is new: a b c, d is a miss. Then a2 b2 d2 c1 less d: c is third.
    # All have 2 and u5 is new: a b c, b is second. u5 had b: a is first.
    assert ranks_of(AllTime()) == [0, 3, 2, 1]


@pytest.mark.parametrize("last", [None, 10])
def test_ease_ranks_the_ten_rows(last):
    # New users get popularity as above. Over c and d, G is [[2, 1], [1, 2]], so B_dc = 1 / 2 and nothing else
    # follows from d: c is first. Over a and b it is [[3, 2], [2, 3]], B_ba = 2 / 3: a is first.
    assert ranks_of(TextbookEASE(1.0, last=last)) == [0, 1, 2, 1]


#: Of ten rows an L2 penalty of 10 leaves nothing, unless an event counts for 40.
IMPLICIT = [
    (family, setting)
    for family in FAMILIES
    if family.startswith(("item-kNN", "ALS"))
    for setting in FAMILIES[family].settings
    if "L2 10, alpha 10" not in setting
]


@pytest.mark.parametrize(("family", "setting"), IMPLICIT)
def test_implicit_ranks_the_ten_rows(family, setting):
    needs(family)
    # d was had with c alone, b with a alone: whatever the similarity, c and a come first.
    assert ranks_of(catalogue.make(family, setting, None)) == [0, 1, 2, 1]


def test_ease_is_the_inverse_of_its_paper_and_its_sums_stay_up_to_date():
    pairs = drawn()
    peer = TextbookEASE(20.0, last=None)
    taught(peer, pairs[:300])
    peer.start_testing()
    x = np.zeros((20, 30))
    for user, item in pairs[:300]:
        x[user, item] = 1.0
    inverse = np.linalg.inv(x.T @ x + 20.0 * np.eye(30))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    for user, item in pairs[300:]:
        scores = x[user] @ weights
        scores[x[user] == 1.0] = -np.inf
        expected = np.argsort(-scores, kind="stable")[: min(5, int((x[user] == 0).sum()))]
        assert peer.propose(user, 5)[: len(expected)] == expected.tolist()
        taught(peer, [(user, item)])
        x[user, item] = 1.0


def test_ease_of_the_last_items_forgets_the_others():
    # u has a, then c; only c counts, so d is first though a was had with b by twice as many.
    peer = taught(TextbookEASE(1.0, last=1), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 0), (3, 2)])
    peer.start_testing()
    assert peer.propose(3, 1) == [3]


def test_a_fit_comes_after_every_so_many_events_and_before_the_first():
    peer = TextbookEASE(1.0, last=None, refit_every=2)
    seen = []
    peer.fit = lambda: seen.append(peer.n_learned)  # type: ignore[method-assign]
    ranks_of(peer)
    assert seen == [6, 8, 10]
    assert peer.fits == 2


def test_time_of_fits_is_told_apart():
    ticks = iter([10.0, 13.0, 20.0, 24.0])
    peer = AllTime(refit_every=2, clock=lambda: next(ticks))
    taught(peer, [(0, 0)])
    peer.start_testing()
    assert (peer.fits, peer.fit_seconds) == (0, 0.0)
    peer._refit()
    assert (peer.fits, peer.fit_seconds) == (1, 4.0)


def test_what_a_user_disliked_is_neither_recommended_nor_popular():
    frame = pd.DataFrame(
        [
            ("u", "a", "view"),
            ("v", "b", "dislike"),
            ("w", "b", "view"),
            ("w", "b", "dislike"),
            ("v", "a", "view"),
        ],
        columns=["user_id", "item_id", "kind"],
    ).assign(timestamp=range(5))
    peer = AllTime()
    evaluation = evaluate(frame, kind="kind", models={"peer": lambda: peer}, warmup=0.4, k=2)
    # w gets a alone: b has no event yet but v's dislike, so it is a miss. w's dislike is not asked for.
    # v gets a alone.
    assert evaluation["peer"].ranks.tolist() == [0, 1]
    assert peer.recommend(1, 2) == []


def test_river_is_ranked_as_river_ranks():
    needs("river")
    for setting in FAMILIES["river"].settings:
        peer = taught(catalogue.make("river", setting, None), drawn())
        for user in range(20):
            allowed = sorted(set(peer.known()) - peer.had(user))
            expected = peer.model.rank(user, allowed)[:5]
            assert peer.propose(user, 5) == expected, setting


def test_flurs_is_ranked_as_flurs_scores():
    needs("FluRS")
    for setting in FAMILIES["FluRS"].settings:
        peer = taught(catalogue.make("FluRS", setting, None), drawn())
        known = peer.known()
        for user in range(20):
            vector = peer.model.users[user]["vec"]
            predicted = {item: vector @ peer.model.Q[row] for row, item in enumerate(known)}
            if setting.startswith("MF"):  # which wants to come near 1
                predicted = {item: -abs(1.0 - score) for item, score in predicted.items()}
            allowed = set(known) - peer.had(user)
            expected = sorted(allowed, key=predicted.__getitem__, reverse=True)[:5]
            assert peer.propose(user, 5) == expected, setting


@pytest.mark.parametrize("family", ["river", "FluRS", "ALS, whole history"])
def test_chance_repeats(family):
    needs(family)
    for setting in FAMILIES[family].settings:
        rows = [(f"u{user}", f"i{item}") for user, item in drawn(200)]
        one, other = (ranks_of(catalogue.make(family, setting, None), rows, 0.5) for _ in range(2))
        assert one == other, setting


def test_every_family_proposes_nothing_to_a_stranger_and_popularity_fills_up():
    for family, entry in FAMILIES.items():
        if catalogue.missing(family):
            continue
        for setting in entry.settings:
            peer = taught(catalogue.make(family, setting, None), [(0, 1), (0, 0), (1, 0)])
            peer.start_testing()
            assert peer.recommend(99, 3) == [0, 1], (family, setting)


def test_a_package_that_is_not_there_or_breaks_is_left_out_with_a_reason(monkeypatch):
    monkeypatch.setitem(FAMILIES, "gone", catalogue.Family("no-such-package-at-all", {}))
    assert catalogue.missing("gone") == (
        "no-such-package-at-all is not installed; pip install -c constraints.txt -e '.[peers]'"
    )

    def broken(name: str) -> None:
        raise AttributeError("np.float_ was removed")

    monkeypatch.setitem(FAMILIES, "broken", catalogue.Family("numpy", {}))
    monkeypatch.setattr(catalogue, "import_module", broken)
    assert "breaks at import: AttributeError: np.float_ was removed" in str(catalogue.missing("broken"))


def test_ties_go_to_the_lower_place():
    assert top(np.array([1, 3, 3, 0, 3]), 2).tolist() == [1, 2]
    assert top(np.array([1, 3]), 5).tolist() == [1, 0]
