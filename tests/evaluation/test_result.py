"""What an evaluation hands back reads the same as JSON, frame and notebook table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rtrec.errors import InputError
from rtrec.evaluation.history import MetricHistory
from rtrec.evaluation.model_result import ModelResult
from rtrec.evaluation.result import Evaluation


def result(model: str, ranks: list[int], k: int = 10) -> ModelResult:
    events = len(ranks)
    windows = MetricHistory([model], k, window=2)
    windows.add(
        np.array(ranks, np.int64)[:, None], timestamps=np.arange(events) * 60.0, offsets=np.arange(events)
    )
    return ModelResult(
        model=model,
        events=events,
        k=k,
        rank_counts=windows.total(),
        coverage=0.25,
        seconds=0.5,
        events_per_s=events / 0.5,
        compile_seconds=1.23456,
        peak_rss_mb=321.04,
        ranks=np.array(ranks, np.int16),
        windows=windows,
    )


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        [result("default", [1, 2, 0, 1]), result("popularity", [0, 2, 0, 0])],
        data={"source": "ratings.csv", "users": 610},
    )


def test_results_come_by_name_and_one_after_the_other(evaluation):
    assert evaluation["popularity"].hit_rate == 0.25
    assert [each.model for each in evaluation] == ["default", "popularity"]


def test_json_has_the_promised_keys_with_k_in_them():
    line = result("default", [1, 0, 0, 1], k=5).as_json()

    assert list(line) == [
        "model",
        "events",
        "hr@5",
        "hr@5_low",
        "hr@5_high",
        "ndcg@5",
        "ndcg@5_low",
        "ndcg@5_high",
        "coverage@5",
        "seconds",
        "events_per_s",
        "compile_seconds",
        "peak_rss_mb",
    ]
    assert (line["model"], line["events"], line["hr@5"], line["ndcg@5"]) == ("default", 4, 0.5, 0.5)
    assert (line["coverage@5"], line["events_per_s"], line["peak_rss_mb"]) == (0.25, 8.0, 321.0)


def test_each_line_is_json_with_the_difference_to_popularity(evaluation):
    default, popularity = (json.loads(line) for line in evaluation.json_lines().splitlines())

    assert default["hr@10_minus_popularity"] == 2 / 4
    assert default["hr@10_minus_popularity_low"] < 2 / 4 < default["hr@10_minus_popularity_high"]
    assert "hr@10_minus_popularity" not in popularity


def test_the_baseline_is_the_popularity_that_hit_most():
    models = {"default": [1, 1, 1, 0], "popularity": [1, 0, 0, 0], "popularity-all-time": [1, 0, 1, 0]}
    evaluation = Evaluation([result(name, ranks) for name, ranks in models.items()])
    default = evaluation.as_json()[0]
    assert {line["baseline"] for line in evaluation.as_json()} == {"popularity-all-time"}
    assert default["hr@10_minus_popularity"] == 2 / 4
    assert default["hr@10_minus_popularity-all-time"] == 1 / 4
    assert "hr@10 minus popularity-all-time" in evaluation._repr_html_()
    assert evaluation.gap(evaluation["default"]).value == 1 / 4
    assert evaluation.gap(evaluation["popularity-all-time"]) is None
    assert "baseline" not in Evaluation([result("default", [1])]).as_json()[0]


def test_what_cannot_be_said_is_null_in_json():
    lines = Evaluation([result("default", []), result("popularity", [])]).json_lines()

    assert json.loads(lines.splitlines()[0])["hr@10"] is None
    assert json.loads(lines.splitlines()[0])["hr@10_minus_popularity"] is None


def test_frame_has_a_row_a_model(evaluation):
    frame = evaluation.to_frame()

    assert frame.index.tolist() == ["default", "popularity"]
    assert frame["hr@10"].tolist() == [3 / 4, 1 / 4]
    assert Evaluation([]).to_frame().empty


def test_two_models_are_compared_on_the_same_events(evaluation):
    both = evaluation.compare("popularity", "default")

    assert both.names == ("popularity", "default")
    assert both.difference("hit_rate").value == -2 / 4
    assert both.to_xarray()["hr"].sel(model="default").values.tolist() == [1, 1 / 2]


def test_a_model_that_was_not_evaluated_comes_with_the_nearest(evaluation):
    with pytest.raises(InputError, match="'populrity'; did you mean 'popularity'"):
        evaluation.compare("default", "populrity")


def test_notebook_table_shows_figures_and_data(evaluation):
    html = evaluation._repr_html_()

    assert "0.7500" in html
    assert "+0.5000" in html
    assert "source ratings.csv, users 610" in html
    assert "hr@10 minus popularity" in html


def test_notebook_table_escapes_names_from_outside():
    html = Evaluation([result("<img src=x>", [1, 0])], data={"source": "<script>"})._repr_html_()

    assert "<img" not in html
    assert "<script" not in html


@pytest.mark.parametrize("models", [[], ["default"], ["m" * 80] * 5])
def test_notebook_and_terminal_show_any_number_of_models(models):
    evaluation = Evaluation([result(model, [1, 0]) for model in models])

    assert "<table" in evaluation._repr_html_()
    assert len(repr(evaluation)) <= 120


def test_repr_of_a_result_is_short():
    assert repr(result("default", [1, 0])) == "ModelResult('default', 2 events, hr@10 0.5000, ndcg@10 0.5000)"
