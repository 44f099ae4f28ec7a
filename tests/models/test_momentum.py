"""Velocity and acceleration of popularity: by hand, against what they mean, and as of when."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtrec.declared import FEATURE_NAMES
from rtrec.models.blend import Blend
from rtrec.models.momentum import fill_window
from rtrec.models.published import NeighbourTable
from rtrec.models.sums import fill_exponential
from rtrec.settings import Settings
from rtrec.types import KINDS, NumberedEvents
from tests.models.reference import Reference

HOUR_S = 3600.0
ROWS = [FEATURE_NAMES.index(name) for name in ("velocity", "acceleration")]
#: Half-lives of one, two and four hours.
SETTINGS = Settings(
    use_momentum=True, half_life_now_h=1.0, half_life_short_h=2.0, half_life_long_h=4.0, repeat=True
)


def seen(*rows: tuple[int, float] | tuple[int, float, str]) -> NumberedEvents:
    """Return events of user 0 from (item, hour[, kind]) rows."""
    items, hours, *_ = zip(*rows, strict=False)
    kinds = [row[2] if len(row) > 2 else "view" for row in rows]
    return NumberedEvents(
        user_num=np.zeros(len(rows), np.int32),
        item_num=np.array(items, np.int32),
        timestamp=np.array(hours) * HOUR_S,
        kind=np.array([KINDS.index(kind) for kind in kinds], np.uint8),
        value=np.full(len(rows), np.nan, np.float32),
    )


def taught(*rows, settings: Settings = SETTINGS) -> Blend:
    blend = Blend(settings)
    blend.step(seen(*rows))
    return blend


def momentum(blend: Blend, hour: float) -> dict[int, tuple[float, float]]:
    """Return velocity and acceleration of each candidate of user 0."""
    answer, _, _, work, _ = blend.answer(0, hour * HOUR_S, k=5)
    found = work.features[ROWS, : answer.n_candidates].T.tolist()
    return dict(zip(work.item[: answer.n_candidates].tolist(), map(tuple, found), strict=True))


def test_by_hand() -> None:
    found = momentum(taught((0, 0.0), (1, 0.0), (1, 4.0)), 4.0)
    # At hour 4 a count of half-life 1, 2, 4 hours holds 15/16, 3/4 and 1/2 of its window, which are as 1 to 2
    # to 4: so 1/2 * 3/2 = 3/4 of the third is what to expect of the second, and 15/16 / (3/2) = 5/8 of the
    # second what to expect of the first.
    # Item 0 has 1/16, 1/4 and 1/2 of an event left, where 5/32 and 3/8 were to be expected.
    velocity = math.sqrt((1 + 1 / 4) / (1 + 3 / 8))
    assert found[0] == pytest.approx((velocity, math.sqrt((1 + 1 / 16) / (1 + 5 / 32)) - velocity), abs=1e-6)
    # Item 1 has one more of each: 17/16, 5/4 and 3/2, where 25/32 and 9/8 were.
    velocity = math.sqrt((1 + 5 / 4) / (1 + 9 / 8))
    assert found[1] == pytest.approx(
        (velocity, math.sqrt((1 + 17 / 16) / (1 + 25 / 32)) - velocity), abs=1e-6
    )
    assert found[0][0] < 1.0 < found[1][0]
    assert found[0][1] > 0.0  # it falls, but no longer as it did


@pytest.mark.parametrize("hours", [0.5, 3.0, 20.0])
def test_what_comes_at_a_steady_pace_neither_rises_nor_falls_however_young(hours: float) -> None:
    minutes = np.arange(0.0, hours * 60.0)
    [(velocity, acceleration)] = momentum(taught(*((0, minute / 60.0) for minute in minutes)), hours).values()
    assert velocity == pytest.approx(1.0, abs=0.01)
    assert acceleration == pytest.approx(0.0, abs=0.01)


def test_the_one_says_what_rises_and_the_other_what_rises_faster_than_it_did() -> None:
    paces = {  # events in each of twelve hours
        "steady": [10] * 12,
        "fading": [60] * 6 + [10] * 6,
        "rose and stays": [10] * 7 + [60] * 5,
        "just rose": [10] * 11 + [60],
    }
    rows = [
        (item, hour + n / pace)
        for item, by_hour in enumerate(paces.values())
        for hour, pace in enumerate(by_hour)
        for n in range(pace)
    ]
    found = momentum(taught(*sorted(rows, key=lambda row: row[1])), 12.0)
    velocity, acceleration = (
        dict(zip(paces, of, strict=True)) for of in zip(*map(found.get, range(4)), strict=True)
    )
    assert velocity["fading"] < 0.9 < velocity["steady"] < 1.05
    assert min(velocity["just rose"], velocity["rose and stays"]) > 1.05
    assert acceleration["rose and stays"] < -0.03 < acceleration["steady"] < 0.03 < acceleration["just rose"]


def test_few_events_say_little_and_the_first_one_nothing() -> None:
    blend = taught((0, 0.0), *((1, n / 100.0) for n in range(50)))
    assert momentum(taught((0, 0.0)), 0.0)[0] == pytest.approx((1.0, 0.0), abs=1e-3)
    few, many = (momentum(blend, 3.0)[item][0] for item in (0, 1))
    assert many < few < 1.0


def test_a_dislike_takes_from_it() -> None:
    before = momentum(taught((0, 0.0), (0, 3.0), (0, 4.0)), 4.0)[0][0]
    after = taught((0, 0.0), (0, 3.0), (0, 4.0), (0, 4.0, "dislike"), (0, 4.0))
    counts = [1 + 2.0 ** (-1 / h) + 2.0 ** (-4 / h) for h in (2.0, 4.0)]
    assert before == pytest.approx(math.sqrt((1 + counts[0]) / (1 + counts[1] * 3 / 4)))
    assert momentum(after, 4.0)[0][0] == pytest.approx(before)  # one taken, one given


def test_the_event_being_answered_is_never_inside() -> None:
    one, other = taught((0, 0.0), (1, 1.0)), taught((0, 0.0), (1, 1.0))
    before = momentum(one, 2.0)
    one.step(seen((0, 2.0)))
    other.step(seen((1, 2.0)))
    assert momentum(one, 2.0)[0] != before[0] == momentum(other, 2.0)[0]
    assert momentum(one, 2.0)[1] == before[1] != momentum(other, 2.0)[1]


def test_to_an_event_that_comes_late_an_item_is_as_it_is() -> None:
    """Else a count would be doubled for every half-life that it is late by."""
    blend = taught((0, 0.0), (0, 500.0))
    assert momentum(blend, 3.0)[0] == momentum(blend, -1e4)[0] == momentum(blend, 500.0)[0]
    assert momentum(blend, 501.0)[0] != momentum(blend, 500.0)[0]


def test_it_equals_the_reference_on_every_candidate() -> None:
    rng, n = np.random.default_rng(5), 150
    settings = SETTINGS.changed(weight_buy=3.0, weight_view=0.5)
    hours = np.cumsum(rng.exponential(0.5, n)) - np.where(rng.random(n) < 0.1, 5.0, 0.0)
    kinds = rng.choice(["view", "click", "buy", "dislike"], n, p=[0.4, 0.3, 0.2, 0.1])
    blend, reference, n_compared = Blend(settings), Reference(settings), 0
    for item, hour, kind in zip(rng.integers(0, 12, n).tolist(), hours, kinds.tolist(), strict=True):
        expected = reference.candidates(0, hour * HOUR_S)
        found = momentum(blend, hour)
        assert found.keys() == expected.keys()
        for each, values in expected.items():
            assert found[each] == pytest.approx((values["velocity"], values["acceleration"]), abs=1e-5)
        n_compared += len(found)
        event = seen((item, hour, kind))
        blend.step(event)
        reference.learn(0, item, hour * HOUR_S, settings.kind_weights()[event.kind[0]], math.nan)
    assert n_compared > 500


def test_windows_are_exact_however_long_the_half_life() -> None:
    half_life_s = 3650 * 24 * HOUR_S
    age = np.geomspace(1.0, 1e9, 400)
    power = (-age * math.log(2.0) / half_life_s).astype(np.float32)
    window = np.empty_like(power)
    fill_exponential(power, np.float32(0.0), len(age), window)
    fill_window(window, power, np.float32(half_life_s), len(age))
    np.testing.assert_allclose(window, -np.expm1(-age * math.log(2.0) / half_life_s) * half_life_s, rtol=1e-5)


def test_an_item_without_an_event_neither_rises_nor_falls() -> None:
    blend = Blend(SETTINGS.changed(cold_items=True))
    rows = np.array([[1], [0]], np.int32)
    blend.publish("content", NeighbourTable(rows, np.ones((2, 1), np.float32), np.ones(2, np.int32)))
    blend.step(seen((0, 0.0)))
    assert momentum(blend, 5.0)[1] == (1.0, 0.0)


def test_it_is_there_by_name_and_off_by_default() -> None:
    def heard(settings: Settings) -> list[bool]:
        return Blend(settings)._work.active[ROWS].tolist()

    assert heard(Settings()) == [False, False]
    assert heard(SETTINGS) == [True, True]
    assert heard(SETTINGS.changed(without=("acceleration",))) == [True, False]
    assert heard(SETTINGS.changed(without=("velocity",))) == [False, True]
    assert not Blend(Settings())._work.gathered[ROWS].any()
