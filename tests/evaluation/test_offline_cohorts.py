"""The offline protocol by cohorts of users and items, and by windows of time."""

from __future__ import annotations

from math import log2

import numpy as np
import pandas as pd
import pytest

from rtrec.evaluation.offline import evaluate_offline
from rtrec.evaluation.slices import head_items
from rtrec.evaluation.splits import Split
from tests.evaluation.small_log import BY_TIME, FRAME, START, ByCount, log, value


def test_cohorts_of_users_and_items():
    evaluation = evaluate_offline(FRAME, {"mine": ByCount}, split=BY_TIME, k=2)

    # u, v and w are known: 2/3, 1, 1; y is new.
    assert value(evaluation, "recall@2", cohort="known user") == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert value(evaluation, "recall@2", cohort="new user") == 1.0
    # Half of 7 events: a (3) and b (2). Head: u b, w b, y a. Tail: u c and new, v d.
    assert value(evaluation, "recall@2", cohort="head item") == 1.0
    assert value(evaluation, "recall@2", cohort="tail item") == pytest.approx((1 / 2 + 1) / 2)
    assert value(evaluation, "ndcg@2", cohort="tail item") == pytest.approx(
        ((1 / log2(3)) / (1 + 1 / log2(3)) + 1 / log2(3)) / 2
    )
    assert evaluation.overall["users"].to_series().to_dict() == {
        "all": 4, "new user": 1, "known user": 3, "head item": 3, "tail item": 2,
    }  # fmt: skip
    # What is said of whole lists is said of users, not of some of their items.
    assert np.isnan(value(evaluation, "coverage@2", cohort="tail item"))
    assert np.isnan(value(evaluation, "novelty@2", cohort="tail item"))
    assert value(evaluation, "coverage@2", cohort="new user") == 2 / 4


@pytest.mark.parametrize(
    "groups",
    [
        {"u": "young", "v": "old", "w": "young", "nobody": "old"},
        pd.Series(["young", "old", "young"], index=["u", "v", "w"]),
        lambda train: np.array(["young", "old", "young"])[: train.user_num.max()],
    ],
)
def test_cohorts_of_your_own(groups):
    evaluation = evaluate_offline(FRAME, {"mine": ByCount}, split=BY_TIME, k=2, cohorts={"age": groups})

    assert evaluation.dataset["cohort"].values.tolist() == ["all", "age old", "age young"]
    assert value(evaluation, "recall@2", cohort="age young") == pytest.approx((2 / 3 + 1) / 2)
    assert value(evaluation, "recall@2", cohort="age old") == 1.0


def test_cohorts_by_number_of_the_user():
    evaluation = evaluate_offline(
        FRAME, {"mine": ByCount}, split=BY_TIME, k=2, cohorts={"taste": np.array([10, 9, 10, 9, 10])}
    )

    assert evaluation.dataset["cohort"].values.tolist() == ["all", "taste 9", "taste 10"]
    assert evaluation.overall["users"].values.tolist() == [4, 1, 3]


def test_head_items_are_the_fewest_that_hold_the_share():
    item_num = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 3], np.int32)  # 3, 3, 2, 2

    assert head_items(item_num, 0.3).tolist() == [0]
    assert head_items(item_num, 0.31).tolist() == [0, 1]
    assert head_items(item_num, 0.8).tolist() == [0, 1, 2]


def test_windows_of_time_hold_equally_many_pairs():
    evaluation = evaluate_offline(FRAME, {"mine": ByCount}, split=BY_TIME, k=2, windows=3)
    cube = evaluation.dataset

    # Pairs by time: u b, u c | u new, v d | w b, y a.
    assert cube["value"].dims == ("model", "metric", "cohort", "time")
    assert cube["value"].sel(model="mine", metric="recall@2", cohort="all").values.tolist() == [1, 1 / 2, 1]
    assert cube["users"].sel(cohort="all").values.tolist() == [1, 2, 2]
    assert (cube["time"].values == np.array([8, 10, 12], "m8[s]") + np.datetime64(START, "s")).all()
    assert float(evaluation.overall["value"].sel(model="mine", metric="recall@2", cohort="all")) == (
        pytest.approx((2 / 3 + 3) / 4)
    )


def test_a_user_nothing_was_learned_of_is_in_no_group_wherever_their_number_lies() -> None:
    frame = log(("u", "a"), ("v", "a"), ("w", "a"), ("u", "b"), ("v", "c"), ("w", "b"), ("w", "d"))
    own = Split(np.array([0, 2, 3, 5]), np.array([1, 4, 6]))  # v comes second and is only tested
    evaluation = evaluate_offline(frame, ["popularity"], split=own, k=2, cohorts="activity")
    users = evaluation.dataset["users"].isel(time=0)
    assert users.sel(cohort="all") == 2
    assert users.sum() == 2 + 1  # w is in a group, v is in none


def test_users_are_grouped_by_what_they_did_in_the_train_part() -> None:
    rows = [(f"light{user}", item, day) for user in range(12) for item, day in ((0, 1), (1, 2))]
    rows += [(f"heavy{user}", item, item) for user in range(8) for item in range(30)]
    known = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    later = pd.DataFrame(
        [("light0", 5, 100), ("heavy0", 40, 100), ("heavy1", 40, 101), ("first", 5, 102)],
        columns=["user_id", "item_id", "timestamp"],
    )
    frame = pd.concat([known, later])
    split = Split(np.arange(len(known)), np.arange(len(known), len(frame)))
    evaluation = evaluate_offline(frame, ["popularity"], split=split, k=2, cohorts="activity")
    users = evaluation.dataset["users"].isel(time=0)
    cohorts = users["cohort"].values.tolist()
    assert cohorts[0] == "all"
    assert {"activity light", "activity heavy"} <= set(cohorts)
    assert users.sel(cohort="activity heavy") == 2
    assert users.sum() == 4 + 3  # all of them, and again all but the one who came later
