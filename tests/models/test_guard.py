"""What no sane training comes to is not learned, and nothing else is lost by it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rtrec.declared import FEATURE_NAMES
from rtrec.models.arrays import leaves
from rtrec.models.blend import Blend
from rtrec.models.guard import (
    FORGIVEN,
    MOST_STRIKES,
    SOUND,
    fault_in,
    is_frozen,
)
from rtrec.models.ranker import N_MOMENTS, Ranker
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

HEAT = FEATURE_NAMES.index("heat_long")
MOMENTS = np.arange(N_MOMENTS, dtype=np.uint8)


def stream(n_events: int = 600, *, seed: int = 0) -> NumberedEvents:
    rng = np.random.default_rng(seed)
    return NumberedEvents(
        user_num=rng.integers(0, 25, n_events).astype(np.int32),
        item_num=rng.zipf(1.3, n_events).clip(max=60).astype(np.int32) - 1,
        timestamp=np.arange(n_events) * 60.0,
        kind=np.zeros(n_events, np.uint8),
        value=np.full(n_events, np.nan, np.float32),
    )


def trained(settings: Settings = Settings(repeat=True)) -> Blend:  # noqa: B008
    blend = Blend(settings)
    blend.step(stream())
    return blend


def more(n_events: int, *, seed: int = 1) -> NumberedEvents:
    events = stream(n_events, seed=seed)
    return events._replace(timestamp=events.timestamp + 600 * 60.0)


def numbers(ranker: Ranker) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in leaves(ranker) if name != "strikes"}


def spoil_features(blend: Blend) -> None:
    blend._items.log_count[:] = np.nan  # how popular candidates are, and how far from the last item's


def spoil_a_spread(blend: Blend) -> None:
    blend.ranker.variance[HEAT] = 2e-12  # as if the feature had been on a scale of a millionth


def spoil_the_rate(blend: Blend) -> None:
    blend._params = blend._params._replace(learning_rate=0.05 * 1000 * 3)


@pytest.mark.parametrize("spoil", [spoil_features, spoil_a_spread, spoil_the_rate])
def test_a_lesson_that_is_not_sane_teaches_spreads_alone(spoil: Callable[[Blend], None]) -> None:
    blend, events = trained(), more(60)
    spoil(blend)
    for event in range(events.n_events):
        before, n_known = numbers(blend.ranker), blend._items.total.sum()
        learned = blend.step(events.part(event, event + 1))
        if learned.faults[0]:
            break
    assert learned.faults[0]
    assert fault_in(blend.ranker) == SOUND
    assert blend.ranker.strikes.tolist() == [1.0]
    after = numbers(blend.ranker)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"variance", "n_seen"}
    assert blend._items.total.sum() == n_known + 1  # all else is learned


def test_numbers_on_a_new_scale_cost_one_lesson_and_no_more() -> None:
    blend = trained()
    spoil_a_spread(blend)
    learned = blend.step(more(200))
    assert np.count_nonzero(learned.faults) == 1
    assert blend.ranker.variance[HEAT] > 1e-6
    assert 0.0 <= blend.ranker.strikes[0] < 1.0


def test_what_is_refused_does_not_depend_on_how_the_stream_is_cut() -> None:
    one, other = trained(), trained()
    for blend in (one, other):
        spoil_the_rate(blend)
    events = more(200)
    whole = one.step(events).faults
    pieces = [other.step(events.part(start, start + 7)).faults for start in range(0, 200, 7)]
    assert np.count_nonzero(whole) > 1
    np.testing.assert_array_equal(whole, np.concatenate(pieces))
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, other.to_arrays()[name], err_msg=name)


def test_too_many_strikes_freeze_the_ranker_and_a_change_of_settings_thaws_it() -> None:
    blend, events = trained(), more(60)
    for event in range(events.n_events):
        spoil_features(blend)
        blend.step(events.part(event, event + 1))
    assert is_frozen(blend.ranker)
    assert blend.ranker.strikes[0] == pytest.approx(MOST_STRIKES, abs=1.0)
    frozen = numbers(blend.ranker)
    blend._items.log_count[:] = np.log1p(blend._items.total)  # somebody found the cause
    learned = blend.step(more(100, seed=2))
    assert not learned.faults.any()
    assert (learned.ranks[:, 0] > 0).any()  # answers go on
    assert numbers(blend.ranker) == frozen
    blend.change(blend.settings)
    assert not is_frozen(blend.ranker)
    blend.step(more(100, seed=3))
    assert numbers(blend.ranker) != frozen


def test_strikes_are_forgiven_a_hundredth_at_a_time() -> None:
    blend = trained()
    blend.ranker.strikes[0] = 5.0
    blend.step(more(30))
    assert blend.ranker.strikes[0] == pytest.approx(5.0 - 30 * FORGIVEN)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, -1e38, 3.4e38])
def test_ratings_however_large_leave_all_numbers_finite(value: float) -> None:
    blend = trained()
    events = more(200)
    values = np.full(200, 3.0, np.float32)
    values[::3] = value
    learned = blend.step(events._replace(value=values))
    assert not learned.faults.any()
    assert fault_in(blend.ranker) == SOUND
    arrays = blend.to_arrays()
    known = arrays["items/total"] > 0
    for name in ("items/value_level", "items/value_sum", "items/heat", "items/near_weight"):
        array = arrays[name]
        kept = array[:, known] if name == "items/heat" else array[known]
        assert np.isfinite(kept[~np.isnan(kept)] if name == "items/value_level" else kept).all(), name
    assert np.isfinite(arrays["users/value_sum"]).all()
