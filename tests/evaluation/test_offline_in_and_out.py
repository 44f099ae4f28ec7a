"""What goes into an offline evaluation and what comes out of it: data, names, pictures, errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtrec.errors import InputError
from rtrec.evaluation.offline import evaluate_offline
from rtrec.evaluation.splits import Split
from rtrec.events.loading import load_events
from rtrec.events.mapping import ColumnMapping
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.nearline.ease import EASE
from tests.evaluation.small_log import BY_TIME, FRAME, ByCount


def test_the_same_file_frame_and_loaded_events_give_the_same(tmp_path):
    path = tmp_path / "events.csv"
    FRAME.to_csv(path, index=False)
    loaded = load_events(FRAME, ColumnMapping("user_id", "item_id", "timestamp"))

    cubes = [
        evaluate_offline(data, {"mine": ByCount}, split=BY_TIME).dataset["value"]
        for data in (FRAME, path, loaded, loaded.events)
    ]

    assert all(cube.equals(cubes[0]) for cube in cubes)


def test_order_of_rows_of_a_frame_does_not_matter():
    shuffled = FRAME.sample(frac=1.0, random_state=3)

    one, other = (
        evaluate_offline(frame, {"mine": ByCount}, split=BY_TIME).dataset for frame in (FRAME, shuffled)
    )

    assert one["value"].equals(other["value"])


def test_progress_is_reported():
    steps: list[tuple[str, int, int]] = []
    evaluate_offline(FRAME, {"mine": ByCount}, k=1, progress=lambda *step: steps.append(step))

    assert steps == [("mine", 0, 2), ("mine", 1, 2), ("mine", 2, 2)]


def test_the_notebook_shows_models_cohorts_and_escaped_names():
    evaluation = evaluate_offline(
        FRAME, {"<b>mine</b>": ByCount, "popularity": None}, split=BY_TIME, k=(2, 10), windows=2
    )

    html = evaluation._repr_html_()

    assert "<b>" not in html
    assert "&lt;b&gt;mine" in html
    assert "ndcg@10 minus popularity" in html
    assert "4 users tested" in html
    assert "tail item" in html
    assert "<polyline" in html
    assert len(repr(evaluation)) <= 120
    assert repr(evaluation).startswith("OfflineEvaluation(4 users, ndcg@10: <b>mine</b> 0.")


def test_a_frame_has_a_row_a_figure():
    frame = evaluate_offline(FRAME, {"mine": ByCount}, split=BY_TIME, k=2).to_frame()

    row = frame.set_index(["metric", "cohort"]).loc[("recall@2", "new user")]
    assert (row["model"], row["value"], row["users"]) == ("mine", 1.0, 1)
    assert not frame["value"].isna().any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"models": ["popularty"]}, "did you mean 'popularity'"),
        ({"models": [ByCount]}, "give one of your own a name"),
        ({"split": "temporl"}, "unknown split 'temporl'; did you mean 'temporal'"),
        ({"split": Split(np.array([0]), np.array([0]))}, "an event is learned and tested"),
        (
            {"split": ([0, 1], [2.5])},
            r"expected whole numbers, the places of events; got float64 of shape \(1,",
        ),
        ({"split": Split(np.array([0]), np.array([99]))}, "expected places 0 to 12; got 99 to 99"),
        (
            {"split": Split(np.arange(13), np.arange(0))},
            "nothing to learn or nothing to test: 13 and 0 of 13",
        ),
        ({"split": BY_TIME, "windows": 7}, "to test in each of 7 windows; got 6 from 6 events, for dislikes"),
        ({"seed": -1}, "seed is a whole number from 0 on; got -1"),
        ({"k": 0}, "at least 1; got k=0"),
        ({"windows": 0}, "windows=0"),
        ({"k": ()}, r"got k=\(\)"),
        ({"cohorts": "users"}, "unknown cohort 'users'; did you mean 'user'"),
        ({"cohorts": {"age": {"nobody": 1}}}, "none of its 1 user ids is in the data; the first is 'nobody'"),
        ({"cohorts": {"age": np.zeros(3)}}, r"expected a label for each of 5 users, .* got shape \(3,\)"),
        ({"cohorts": {"new": {"u": "user"}, "user": None}}, "'new user' would stand for two"),
        ({"head_share": 1.0}, "head_share lies between 0 and 1"),
        ({"half_life": {"other": 3.0}}, "half_life: no model 'other'; there are mine"),
        ({"half_life": 0.0}, "half_life of 'mine': expected a number of events above 0; got 0.0"),
        ({"vectors": {"a": [1.0], "b": [1.0, 2.0]}}, r"expected one length for all items; got \[1, 2\]"),
        ({"categories": {"z": "war"}}, "none of its 1 item ids is in the data"),
        ({"item": "product"}, "no column 'product'"),
    ],
)
def test_what_cannot_be_done_is_said(options, words):
    with pytest.raises(InputError, match=words):
        evaluate_offline(FRAME, **({"models": {"mine": ByCount}} | options))


def test_what_is_not_there_is_said():
    evaluation = evaluate_offline(FRAME, {"mine": ByCount}, split=BY_TIME, k=2)

    with pytest.raises(InputError, match="no result of model 'mien'; did you mean 'mine'"):
        evaluation.difference("mien", "mine")
    with pytest.raises(InputError, match="no metric 'ndgc@2'; did you mean 'ndcg@2'"):
        evaluation.value("mine", "ndgc@2")
    with pytest.raises(InputError, match="no cohort 'new users'; did you mean 'new user'"):
        evaluation.per_user("mine", "new users")
    with pytest.raises(InputError, match="coverage@2 belongs to all lists together"):
        evaluation.difference("mine", "mine", "coverage@2")


def test_a_fitted_model_by_name_is_fitted_once_on_the_train_part():
    events = SyntheticStream(SyntheticConfig(n_users=40, n_items=30)).events(400)
    by_name = evaluate_offline(events, models=["ease"], split="temporal")
    by_hand = evaluate_offline(events, models={"ease": EASE}, split="temporal")
    pd.testing.assert_frame_equal(by_name.per_user("ease"), by_hand.per_user("ease"))


def test_a_split_may_be_two_lists() -> None:
    lists = evaluate_offline(FRAME, {"mine": ByCount}, split=(list(range(7)), list(range(7, 13))))
    assert lists.value("mine", "recall@5") == evaluate_offline(FRAME, {"mine": ByCount}, split=BY_TIME).value(
        "mine", "recall@5"
    )
