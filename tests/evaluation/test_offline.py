"""The offline protocol, on tables small enough to follow by hand."""

from __future__ import annotations

from functools import partial
from math import log2

import numpy as np
import pandas as pd
import pytest

from rtrec.errors import InputError
from rtrec.evaluation import figures
from rtrec.evaluation.offline import evaluate_offline
from rtrec.evaluation.splits import Split, leave_one_out, temporal_user_split, time_split
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.base import Recommender
from tests.evaluation.small_log import BY_TIME, FRAME, START, ByCount, Constant, log, value


def oracle(frame: pd.DataFrame, test: list[int]) -> type[Recommender]:
    """A model that has memorised what each user takes in the test part."""
    users = {each: number for number, each in enumerate(frame["user_id"].unique())}
    items = {each: number for number, each in enumerate(frame["item_id"].unique())}
    taken = frame.iloc[test]

    class Oracle(ByCount):
        def score(self, user_num: int, timestamp: float) -> np.ndarray:
            scores = np.zeros(len(items))
            mine = taken["user_id"].map(users) == user_num
            scores[taken.loc[mine, "item_id"].map(items)] = 1.0
            return scores

    return Oracle


def test_figures_are_those_of_a_table_made_by_hand():
    evaluation = evaluate_offline(FRAME, {"mine": ByCount}, split=BY_TIME, k=(1, 2))

    # Without what they had, by count and then number: u b c | v c d | w b c | y (a stranger) a b.
    assert evaluation.per_user("mine")["recall@2"].to_dict() == {"u": 2 / 3, "v": 1, "w": 1, "y": 1}
    assert value(evaluation, "recall@1") == pytest.approx((1 / 3 + 0 + 1 + 1) / 4)
    assert value(evaluation, "precision@2") == pytest.approx((2 + 1 + 1 + 1) / 8)
    assert value(evaluation, "hr@1") == 3 / 4
    assert value(evaluation, "mrr@2") == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    assert value(evaluation, "ndcg@2") == pytest.approx((1 + 1 / log2(3) + 1 + 1) / 4)
    assert value(evaluation, "map@2") == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    # Lists of 2 hold b c, c d, b c, a b: all of a, b, c, d. Lists of 1 hold b, c, b, a.
    assert value(evaluation, "coverage@2") == 1.0
    assert value(evaluation, "coverage@1") == 3 / 4
    # Counts a 1, b 3, c 3, d 1, so 1, 1, 3, 3 with factors -3, -1, 1, 3: (-3 - 1 + 3 + 9) / (4 x 8).
    assert value(evaluation, "gini@2") == pytest.approx(8 / 32)
    # Of four users in the train part a had 3, b 2, c 1, d 1.
    bits = {"a": log2(4 / 3), "b": 1, "c": 2, "d": 2}
    assert value(evaluation, "novelty@1") == pytest.approx((2 * bits["b"] + bits["c"] + bits["a"]) / 4)
    # b and c share x of v, x and x: 1 - 1/sqrt(2). c and d share all. a and b share v: 1 - 1/sqrt(6).
    assert value(evaluation, "diversity@2") == pytest.approx(
        (2 * (1 - 1 / 2**0.5) + 0 + (1 - 1 / 6**0.5)) / 4
    )


def test_an_oracle_is_perfect_and_no_better_than_what_can_be_listed():
    known = FRAME[FRAME["item_id"] != "new"].reset_index(drop=True)
    evaluation = evaluate_offline(
        known, {"oracle": oracle(known, [7, 8, 9, 10, 11])}, split=BY_TIME, k=3, cohorts=()
    )
    for metric in ("recall@3", "ndcg@3", "map@3", "mrr@3", "hr@3"):
        assert value(evaluation, metric, "oracle") == 1.0

    # An item that nobody had in the train part is a miss, even for who knows: 2 of 3 for u.
    evaluation = evaluate_offline(FRAME, {"oracle": oracle(FRAME, list(range(7, 13)))}, split=BY_TIME, k=3)
    assert evaluation.per_user("oracle")["recall@3"].to_dict() == {"u": 2 / 3, "v": 1, "w": 1, "y": 1}


def test_a_constant_model_lists_items_by_their_number():
    # Ties by number, so a b c d less what was had: u b | v c | w b | y a, as it is by popularity here.
    evaluation = evaluate_offline(FRAME, {"constant": Constant, "mine": ByCount}, split=BY_TIME, k=1)

    assert value(evaluation, "recall@1", "constant") == value(evaluation, "recall@1", "mine")
    both = evaluation.difference("constant", "mine", "recall@1")
    assert (both.difference.value, both.a_wins, both.b_wins, both.p_sign) == (0.0, 0, 0, 1.0)


def test_built_in_popularity_is_popularity():
    evaluation = evaluate_offline(FRAME, {"popularity": None, "mine": ByCount}, split=BY_TIME, k=(1, 2))

    # Within seconds nothing cools down, but c and d (1 each) go by which was last: d before c for v.
    one, other = evaluation.per_user("popularity"), evaluation.per_user("mine")
    assert one.loc[["w", "y"]].equals(other.loc[["w", "y"]])
    assert one.loc["u", "recall@1"] == other.loc["u", "recall@1"] == 1 / 3
    assert (one.loc["v", "recall@1"], other.loc["v", "recall@1"]) == (1.0, 0.0)


def test_no_model_is_taught_what_it_is_tested_on():
    taught: list[tuple[int, int]] = []

    class Spy(ByCount):
        def learn_one(self, user_num, item_num, timestamp, kind, value):
            super().learn_one(user_num, item_num, timestamp, kind, value)
            taught.append((user_num, item_num))

    evaluate_offline(FRAME, {"spy": Spy}, split="leave_one_out", k=1)

    # u's last is new, v's d, w's b, x's d; y has one event, which is learned. Numbers are those of first
    # appearance: users u v w x y, items a b c d new.
    assert taught == [(0, 0), (1, 0), (2, 0), (1, 1), (3, 1), (3, 2), (0, 1), (0, 2), (4, 0)]


def test_leave_one_out_has_one_relevant_item_a_user():
    evaluation = evaluate_offline(FRAME, {"mine": ByCount}, split=leave_one_out, k=5)

    per_user = evaluation.per_user("mine")
    assert per_user.index.tolist() == ["u", "v", "w", "x"]
    assert (per_user["recall@5"] == per_user["hr@5"]).all()
    assert (per_user["mrr@5"] == per_user["map@5"]).all()


def test_what_was_had_is_not_relevant_unless_repeats_are_asked_for():
    frame = log(("u", "a"), ("v", "b"), ("v", "b"), ("u", "a"), ("u", "b"), ("v", "b"))
    places = Split(np.arange(3), np.arange(3, 6))

    without = evaluate_offline(frame, {"mine": ByCount}, split=places, k=1)
    again = evaluate_offline(frame, {"mine": ByCount}, split=places, k=1, repeat=True)

    # Without, v has nothing left to find and is not tested, and u finds b. With repeats all get b, the top.
    assert without.per_user("mine")["recall@1"].to_dict() == {"u": 1.0}
    assert again.per_user("mine")["recall@1"].to_dict() == {"u": 1 / 2, "v": 1.0}


def test_a_disliked_item_is_not_to_be_found():
    frame = log(
        ("u", "a"), ("v", "b"), ("v", "c"), ("u", "b"), ("u", "c"), kind=["view"] * 3 + ["dislike", "view"]
    )

    evaluation = evaluate_offline(
        frame, {"mine": ByCount}, split=partial(time_split, at=START + 3), k=1, kind="kind"
    )

    assert evaluation.per_user("mine")["recall@1"].to_dict() == {"u": 0.0}  # b comes first, c was to be found
    assert evaluation.data["tested"] == 1


def test_graded_figures_weigh_values():
    frame = log(("u", "a"), ("v", "b"), ("v", "c"), ("u", "b"), ("u", "c"), stars=[5.0, 5.0, 5.0, 1.0, 4.0])
    options = {"split": partial(time_split, at=START + 3), "k": 2, "value": "stars"}

    evaluation = evaluate_offline(frame, {"mine": ByCount}, graded=True, **options)

    # The list is b, c with 1 and 4 stars.
    assert value(evaluation, "graded_ndcg@2") == pytest.approx((1 + 4 / log2(3)) / (4 + 1 / log2(3)))
    assert value(evaluation, "ndcg@2") == 1.0
    assert "graded_ndcg@2" not in evaluate_offline(frame, {"mine": ByCount}, **options).dataset["metric"]
    with pytest.raises(
        InputError, match="expected a value above 0 with every event tested; 2 of 2 have none"
    ):
        evaluate_offline(frame, {"mine": ByCount}, graded=True, **(options | {"value": None}))


def test_vectors_and_categories_are_given_by_item_id():
    evaluation = evaluate_offline(
        FRAME,
        {"mine": ByCount},
        split=BY_TIME,
        k=2,
        vectors={"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [3.0, 4.0], "d": [1.0, 0.0]},
        categories={"a": "war", "b": ["war"], "c": "war", "d": "war"},
    )

    # b c: 1 - 4/5, c d: 1 - 3/5, b c again, a b: 1.
    assert value(evaluation, "diversity@2") == pytest.approx((1 / 5 + 2 / 5 + 1 / 5 + 1) / 4)
    per_user = evaluation.per_user("mine")["calibration@2"]
    assert per_user[["u", "v", "w"]].to_numpy() == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(per_user["y"])  # a stranger has no history to be true to


def test_intervals_and_order_of_models():
    stream = SyntheticStream(SyntheticConfig(n_users=60, n_items=80))
    evaluation = evaluate_offline(
        stream.events(3000), {"mine": ByCount, "constant": Constant}, n_resamples=200
    )
    again = evaluate_offline(stream.events(3000), {"constant": Constant, "mine": ByCount}, n_resamples=200)

    cube = evaluation.dataset
    known = cube.where(~np.isnan(cube["low"]))
    assert bool((known["low"] <= known["value"] + 1e-12).sum() == (~np.isnan(cube["low"])).sum())
    assert bool((known["high"] >= known["value"] - 1e-12).sum() == (~np.isnan(cube["low"])).sum())
    assert set(cube["metric"].values) >= {"ndcg@5", "ndcg@10", "ndcg@20", "gini@20"}
    figures = ["value", "low", "high", "users"]
    assert cube[figures].identical(again.dataset[figures].sel(model=["mine", "constant"]))


def test_difference_is_that_of_the_values_with_tests():
    stream = SyntheticStream(SyntheticConfig(n_users=80, n_items=80))
    evaluation = evaluate_offline(stream.events(4000), {"default": None, "constant": Constant}, k=10)

    both = evaluation.difference("default", "constant")

    gap = evaluation.value("default", "ndcg@10") - evaluation.value("constant", "ndcg@10")
    assert both.difference.value == pytest.approx(gap)
    assert both.difference.is_clear
    assert both.p_sign < 0.01
    assert both.p_bootstrap < 0.01
    assert both.a_wins > both.b_wins
    new = evaluation.difference("default", "constant", "recall@10", cohort="new user")
    assert new.n_users == int(evaluation.overall["users"].sel(cohort="new user"))


def test_a_longer_test_part_is_tested_on_the_same_model():
    one = evaluate_offline(FRAME, {"mine": ByCount}, split=partial(temporal_user_split, test_share=0.5), k=2)

    # Half of u's 4 are c, new; of v's 3 (1.5, up to 2) b, d; of w's 2 b; of x's 3 c, d; y's 1 is learned.
    assert one.data["tested"] == 7
    assert one.per_user("mine").index.tolist() == ["u", "v", "w", "x"]


def test_a_list_longer_than_any_catalogue_is_the_whole_catalogue() -> None:
    events = SyntheticStream(SyntheticConfig(n_users=40, n_items=30)).events(400)
    evaluation = evaluate_offline(events, ["item-knn"], split="time", k=[30, 10**12])
    assert evaluation.value("item-knn", f"recall@{10**12}") == evaluation.value("item-knn", "recall@30")
    assert evaluation.value("item-knn", f"diversity@{10**12}") == evaluation.value("item-knn", "diversity@30")
    assert 0.0 < evaluation.value("item-knn", f"precision@{10**12}") < 1e-9


def test_the_diversity_of_a_list_is_the_same_however_many_are_compared_at_once(monkeypatch) -> None:
    events = SyntheticStream(SyntheticConfig(n_users=40, n_items=30)).events(400)
    at_once = evaluate_offline(events, ["item-knn"], split="time").per_user("item-knn")
    monkeypatch.setattr(figures, "_PAIRS_AT_ONCE", 1)
    pd.testing.assert_frame_equal(
        evaluate_offline(events, ["item-knn"], split="time").per_user("item-knn"), at_once
    )
