"""The measuring protocol, on tables small enough to follow by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from rtrec.errors import InputError
from rtrec.evaluation.prequential import evaluate
from rtrec.events.numbering import Numbering
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.base import Recommender
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

FEW = Settings(most_users=120, most_items=100)


def log(*events: tuple[str, str], times: list[int] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame(events, columns=["user_id", "item_id"])
    return frame.assign(timestamp=times or [1_700_000_000 + number for number in range(len(frame))])


class ByCount(Recommender):
    """All-time popularity."""

    def __init__(self, *, repeat: bool = False) -> None:
        super().__init__(repeat=repeat)
        self.counts: Counter[int] = Counter()

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        return np.array([self.counts[item] for item in range(max(self.counts, default=-1) + 1)], float)

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        self.counts[item_num] += 1


class Clairvoyant(Recommender):
    """Knows an item from its first event on; learning before testing would give it every first event."""

    def __init__(self) -> None:
        super().__init__()
        self.last = -1

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        return np.arange(self.last + 1, dtype=float)

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        self.last = max(self.last, item_num)


def test_ranks_are_those_of_a_hand_made_table() -> None:
    # Counts before each tested event:          a1        a2 b1     a2 b1    a3 b1 c1
    frame = log(("u", "a"), ("v", "a"), ("v", "b"), ("w", "b"), ("w", "a"), ("u", "c"), ("x", "b"))
    evaluation = evaluate(frame, models={"mine": ByCount}, warmup=1 / 7, k=2)
    # v: a is first. v: b is unknown. w: a2, b1: b is second. w had b: a is first. u: c is unknown.
    # x: a3, b2: b is second.
    assert evaluation["mine"].ranks.tolist() == [1, 0, 2, 1, 0, 2]
    assert evaluation["mine"].hit_rate == pytest.approx(4 / 6)
    assert evaluation["mine"].ndcg == pytest.approx((1 + 1 / np.log2(3) + 1 + 1 / np.log2(3)) / 6)
    assert evaluation["mine"].coverage == pytest.approx(2 / 3)


def test_a_batch_is_answered_with_the_state_before_all_of_it() -> None:
    frame = log(("u", "a"), ("v", "b"), ("w", "b"), ("x", "b"))
    one_by_one = evaluate(frame, models={"mine": ByCount}, warmup=0.25, k=1)
    together = evaluate(frame, models={"mine": ByCount}, warmup=0.25, k=1, batch=3)
    assert one_by_one["mine"].ranks.tolist() == [0, 0, 1]  # b wins only once it has two events
    assert together["mine"].ranks.tolist() == [0, 0, 0]


@pytest.mark.parametrize("model", ["default", "popularity", "cooccurrence", "transitions"])
def test_no_model_sees_the_event_it_is_tested_on(model: str) -> None:
    """Swap testing and learning in the kernel and this fails."""
    frame = log(*((f"u{number % 5}", f"i{number}") for number in range(60)))
    assert evaluate(frame, models=[model], warmup=0.2)[model].hit_rate == 0.0


def test_a_plugged_in_model_is_tested_before_it_learns() -> None:
    frame = log(*((f"u{number}", f"i{number}") for number in range(20)))
    assert evaluate(frame, models={"clairvoyant": Clairvoyant}, warmup=0)["clairvoyant"].hit_rate == 0.0


def test_events_are_sorted_by_time_and_ties_keep_their_order() -> None:
    frame = log(
        ("u", "late"), ("v", "first"), ("w", "second"), times=[1_700_000_500, 1_700_000_100, 1_700_000_100]
    )
    evaluation = evaluate(frame, models={"mine": ByCount}, warmup=0.4)
    assert evaluation.data["warm-up"] == 1
    assert evaluation["mine"].windows.to_xarray()["time"].values[-1] == np.datetime64(1_700_000_500, "s")


def test_repeats_are_misses_unless_asked_for() -> None:
    frame = log(("u", "a"), ("u", "a"), ("u", "a"))
    assert evaluate(frame, models=["default"], warmup=0.4)["default"].hit_rate == 0.0
    assert evaluate(frame, models=["default"], warmup=0.4, repeat=True)["default"].hit_rate == 1.0


def test_limit_tests_only_the_first_events_behind_the_warm_part() -> None:
    stream = SyntheticStream(SyntheticConfig(n_users=50, n_items=50))
    whole = evaluate(stream.events(1000), models=["default"])
    limited = evaluate(stream.events(1000), models=["default"], limit=100)
    assert limited["default"].ranks.tolist() == whole["default"].ranks[:100].tolist()


def test_where_memory_binds_ids_are_numbered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log = SyntheticStream(SyntheticConfig(n_users=300, n_items=200)).events(2000)
    expected = evaluate(log, models=["default"], settings=FEW)["default"].ranks
    assert expected.tolist() != evaluate(log, models=["default"])["default"].ranks.tolist()

    def again(*_: object, **__: object) -> None:
        raise AssertionError("from the table, a second time")

    monkeypatch.setattr(Numbering, "number", again)
    assert evaluate(log, models=["default"], settings=FEW)["default"].ranks.tolist() == expected.tolist()


def test_a_model_that_forgets_nobody_knows_all_ids_where_memory_binds() -> None:
    log = SyntheticStream(SyntheticConfig(n_users=300, n_items=200)).events(2000)
    few, roomy = (evaluate(log, models={"mine": ByCount}, settings=each)["mine"] for each in (FEW, None))
    assert few.ranks.tolist() == roomy.ranks.tolist()


def test_a_batch_of_the_kernel_learns_nothing_in_between() -> None:
    frame = log(("u", "a"), ("v", "b"), ("w", "b"), ("x", "b"))
    ranks = evaluate(frame, models=["popularity"], warmup=0.25, k=1, batch=3)["popularity"].ranks
    assert ranks.tolist() == [0, 0, 0]


def test_the_blend_lies_between_popularity_and_what_the_truth_allows() -> None:
    stream = SyntheticStream(SyntheticConfig(n_users=200, n_items=200))
    evaluation = evaluate(stream.events(6000), models=["default", "popularity"])
    best = stream.best_hit_rate(6000, k=10, after=1200)
    assert 2 * evaluation["popularity"].hit_rate < evaluation["default"].hit_rate < best


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"models": ["defalt"]}, "did you mean 'default'"),
        ({"warmup": 1.0}, "warmup is a share"),
        ({"batch": 0}, "batch=0"),
        ({"item": "product"}, "no column 'product'"),
        ({"warmup": 0.0, "limit": 0}, "limit=0"),
        ({"warmup": 0.0, "limit": 10**20}, "batch and limit are at most 1,000,000,000,000; got batch=1"),
        ({"batch": 10**19}, "batch and limit are at most 1,000,000,000,000; got batch=10000000000000000000"),
        ({"models": [ByCount]}, r'give one of your own a name: models=\{"mine": ByCount\}'),
        ({"models": [ByCount()]}, r'give one of your own a name: models=\{"mine": ByCount\}'),
        ({"models": {"own": ByCount()}}, r'model .own.: expected a class .* pass models=\{"own": ByCount\}'),
        ({"models": {3: ByCount}}, "expected names of models; got 3"),
        ({"min_value": 2.0}, "no column holds values"),
    ],
)
def test_what_cannot_be_done_is_said(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(log(("u", "a"), ("v", "b")), **options)  # type: ignore[arg-type]


def test_a_single_model_may_be_named_by_itself() -> None:
    frame = log(("u", "a"), ("v", "a"))
    assert [each.model for each in evaluate(frame, models="default").results] == ["default"]
    with pytest.raises(InputError, match="unknown model 'defalt'; did you mean 'default'"):
        evaluate(frame, models="defalt")


@pytest.mark.parametrize("data", [None, {"user_id": ["u"]}, [("u", "a", 1)], 7])
def test_what_holds_no_events_is_refused_by_its_type(data: object) -> None:
    words = f"expected the path of a file, .* a pandas frame or an Arrow table; got {type(data).__name__};"
    with pytest.raises(TypeError, match=words):
        evaluate(data)  # type: ignore[arg-type]


def test_an_index_named_as_row_numbers_are_may_hold_anything() -> None:
    frame = log(("u", "a"), ("v", "a"), ("w", "a"))
    named = frame.set_index(pd.Index(["x", "y", "z"], name="row"))
    assert (
        evaluate(named, models="popularity").json_lines().startswith('{"model": "popularity", "events": 3,')
    )


@pytest.mark.parametrize("answer", [[], [1], [1, 1, 1, 1], [[1], [1], [1]], 1])
def test_a_model_with_another_number_of_ranks_is_named(answer: object) -> None:
    class Amiss(ByCount):
        def test_then_learn(self, events: NumberedEvents, *, k: int, batch: int = 1) -> np.ndarray:
            return np.array(answer, np.int16)

    frame = log(("u", "a"), ("v", "a"), ("w", "a"))
    with pytest.raises(
        ValueError, match="model 'mine': expected 3 ranks of test_then_learn, one an event; got"
    ):
        evaluate(frame, models={"mine": Amiss}, warmup=0)


def test_popularity_of_all_time_forgets_nothing() -> None:
    years = [1_000_000_000, 1_000_000_001, 1_000_000_002, 1_500_000_000, 1_500_000_001, 1_500_000_002]
    events = log(*[(f"u{place}", item) for place, item in enumerate("aaabba")], times=years)
    # The last of six is tested: an a, after three of a long ago and two of b just now.
    found = evaluate(events, models=["popularity", "popularity-all-time"], warmup=5.1 / 6, k=1)
    assert [each.hit_rate for each in found] == [0.0, 1.0]
