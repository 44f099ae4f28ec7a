"""The parts of a score are exact, with the crosses and without them."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.declared import FEATURES
from rtrec.models.blend import Blend
from rtrec.models.crosses import contributions
from rtrec.models.explain import MOMENT, answer, explain
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

NOW = 1e9 + 4e6


@pytest.fixture(scope="module")
def events() -> NumberedEvents:
    rng = np.random.default_rng(1)
    n_events = 3000
    user = rng.integers(0, 60, n_events)
    return NumberedEvents(
        user_num=user.astype(np.int32),
        item_num=((user % 3) * 40 + np.minimum(rng.zipf(1.4, n_events), 40) - 1).astype(np.int32),
        timestamp=1e9 + np.cumsum(rng.exponential(1000.0, n_events)),
        kind=np.zeros(n_events, np.uint8),
        value=rng.lognormal(2.0, 1.0, n_events).astype(np.float32),
    )


@pytest.mark.parametrize("crosses", [True, False])
def test_parts_sum_to_the_kernels_score_above_the_average(events: NumberedEvents, crosses: bool) -> None:
    blend = Blend(Settings(use_crosses=crosses))
    blend.step(events)
    explained = explain(blend, 7, NOW, k=10)
    best, _, _, work, _ = blend.answer(7, NOW, k=10)
    scores = work.score[: best.n_candidates].astype(np.float64)
    assert len(explained.places) == 10
    for place in explained.places:
        expected = scores[work.slot[place.item_num]] - scores.mean()
        assert place.score == pytest.approx(expected, abs=1e-3)
        assert sum(part.value for part in place.parts) == pytest.approx(place.score, abs=1e-9)
        sizes = [abs(part.value) for part in place.parts]
        assert sizes == sorted(sizes, reverse=True)
        assert any(part.sentence == MOMENT for part in place.parts) == crosses


def test_an_answer_without_reasons_is_the_same_answer(events: NumberedEvents) -> None:
    blend = Blend(Settings())
    blend.step(events)
    for user_num in (-1, 7):
        explained, short = (each(blend, user_num, NOW, k=12) for each in (explain, answer))
        assert short.history == explained.history
        for one, other in zip(short.places, explained.places, strict=True):
            assert (one.item_num, one.parts) == (other.item_num, ())
            assert one.score == other.score or np.isnan([one.score, other.score]).all()


def test_a_feature_left_out_has_no_part(events: NumberedEvents) -> None:
    """``near_ring`` says the same as its root, which goes on alone and under its own name."""
    names = {}
    for without in ((), ("near_ring", "heat_long")):
        blend = Blend(Settings(without=without))
        blend.step(events)
        explained = explain(blend, 7, NOW, k=10)
        names[without] = {part.feature for place in explained.places for part in place.parts}
    assert {"near_ring", "heat_long"} <= names[()]
    assert not {"near_ring", "heat_long"} & names["near_ring", "heat_long"]
    assert "near_ring_root" in names["near_ring", "heat_long"]


def test_contributions_of_the_crosses_sum_to_the_correction(events: NumberedEvents) -> None:
    blend = Blend(Settings())
    blend.step(events)
    work = blend.answer(7, NOW, k=10)[3]
    by_feature, by_moment = contributions(blend.ranker.crosses, work.together, work.active)
    correction = work.together.correction[: len(by_moment)]
    assert np.abs(correction).max() > 0.01  # it did learn something
    assert by_feature.sum(axis=0) + by_moment == pytest.approx(correction, abs=1e-4)
    silent = [not on for on in work.active]
    assert (by_feature[silent] == 0.0).all()
    assert by_feature.shape[0] == len(FEATURES)
