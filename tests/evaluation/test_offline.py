"""The offline protocol, on tables small enough to follow by hand."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import log2

import numpy as np
import pandas as pd
import pytest

from rtrec.errors import InputError
from rtrec.evaluation import figures
from rtrec.evaluation.offline import evaluate_offline
from rtrec.evaluation.slices import head_items
from rtrec.evaluation.splits import Split, leave_one_out, temporal_user_split, time_split
from rtrec.events.loading import load_events
from rtrec.events.mapping import ColumnMapping
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.catalogue import Catalogue
from rtrec.models.base import Recommender
from rtrec.models.nearline.content import ContentModel
from rtrec.models.nearline.ease import EASE

START = 1_700_000_000


def log(*events: tuple[str, str], **columns: list) -> pd.DataFrame:
    frame = pd.DataFrame(events, columns=["user_id", "item_id"])
    return frame.assign(timestamp=[START + number for number in range(len(frame))], **columns)


class ByCount(Recommender):
    """All-time popularity."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int] = Counter()

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        return np.array([self.counts[item] for item in range(max(self.counts, default=-1) + 1)], float)

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        self.counts[item_num] += 1


class Constant(ByCount):
    """The same score for every item: items come by their number."""

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        return np.zeros(1000)


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


#: The train part is the first seven events: a 3, b 2, c 1, d 1. Then u takes b, c and new, v takes d, w takes
#: b, and the new user y takes a.
FRAME = log(
    ("u", "a"), ("v", "a"), ("w", "a"), ("v", "b"), ("x", "b"), ("x", "c"), ("x", "d"),
    ("u", "b"), ("u", "c"), ("u", "new"), ("v", "d"), ("w", "b"), ("y", "a"),
)  # fmt: skip
BY_TIME = partial(time_split, at=START + 7)


def value(evaluation, metric: str, model: str = "mine", cohort: str = "all") -> float:
    return float(evaluation.dataset["value"].sel(model=model, metric=metric, cohort=cohort).item())


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


def pairs_by_name(n_names: int, n_tested: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """Whoever takes a red thing takes the blue one of that name next; nobody else ever had the two.

    One user has seen all blue things and one all red, so that no item is new. The last ``n_tested`` users
    take their red thing in the train part; their blue ones are the last events.
    """
    names = [f"name{number}" for number in range(n_names)]
    early, late = names[:-n_tested], names[-n_tested:]
    frame = log(
        *((f"all{colour}", f"{colour}-{name}") for colour in ("blue", "red") for name in names),
        *((f"u-{name}", f"{colour}-{name}") for name in early for colour in ("red", "blue")),
        *((f"u-{name}", f"red-{name}") for name in late),
        *((f"u-{name}", f"blue-{name}") for name in late),
    )
    return frame, {f"{colour}-{name}": name for colour in ("red", "blue") for name in names}


def test_with_texts_the_default_knows_what_items_are_called():
    frame, texts = pairs_by_name(n_names=60, n_tested=20)
    by_time = partial(time_split, test_share=20 / len(frame))

    without, told = (
        evaluate_offline(frame, "default", split=by_time, k=1, texts=more) for more in (None, texts)
    )

    # Each tested user is to find one blue item, which no event leads to from the red one.
    assert value(without, "recall@1", "default") < 0.2
    assert value(told, "recall@1", "default") > 0.8
    assert told.data["items"] == without.data["items"] == 120


def test_texts_are_known_before_the_first_event_and_give_away_no_item():
    frame, texts = pairs_by_name(n_names=60, n_tested=20)
    # What is to be found is left out of the train part: only its name leads to it.
    to_find = frame["item_id"].isin(frame["item_id"][-20:])
    split = Split(np.flatnonzero(~to_find), np.arange(len(frame) - 20, len(frame)))
    texts |= {"green-name0": "name0"}  # an item that no event ever has

    known, cold = (
        evaluate_offline(frame, "default", split=split, k=1, texts=texts, cold_items=cold_items)
        for cold_items in (False, True)
    )

    assert value(known, "recall@1", "default") == 0.0
    assert value(cold, "recall@1", "default") > 0.8


def test_a_content_model_shares_the_numbers_of_texts():
    frame, texts = pairs_by_name(n_names=60, n_tested=20)
    catalogue = Catalogue.of(
        pd.DataFrame({"item": list(texts), "title": list(texts.values())}), item="item", text=["title"]
    )
    content = {"content": lambda: ContentModel(catalogue, Vocabulary(list(texts)))}

    evaluation = evaluate_offline(
        frame, content, split=partial(time_split, test_share=20 / len(frame)), k=1, texts=texts
    )

    # Two items have a word in common, and no other has it: the only neighbour is the one to be found.
    assert value(evaluation, "recall@1", "content") == 1.0


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


def test_a_longer_test_part_is_tested_on_the_same_model():
    one = evaluate_offline(FRAME, {"mine": ByCount}, split=partial(temporal_user_split, test_share=0.5), k=2)

    # Half of u's 4 are c, new; of v's 3 (1.5, up to 2) b, d; of w's 2 b; of x's 3 c, d; y's 1 is learned.
    assert one.data["tested"] == 7
    assert one.per_user("mine").index.tolist() == ["u", "v", "w", "x"]


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
