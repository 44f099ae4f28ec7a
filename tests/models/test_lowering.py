"""Dislikes lower what likes raised, and never more than that."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.models.blend import Blend
from rtrec.models.lowering import LEAST
from rtrec.models.tables import LONG, TREND_LENGTH
from rtrec.settings import Settings
from rtrec.types import KINDS, NumberedEvents


def log(rows: list[tuple[int, int, str]], *, every_s: float = 60.0) -> NumberedEvents:
    users, items, kinds = zip(*rows, strict=True)
    return NumberedEvents(
        user_num=np.array(users, np.int32),
        item_num=np.array(items, np.int32),
        timestamp=1e6 + every_s * np.arange(len(rows)),
        kind=np.array([KINDS.index(kind) for kind in kinds], np.uint8),
        value=np.full(len(rows), np.nan, np.float32),
    )


def neighbours(arrays: dict[str, np.ndarray], item: int) -> dict[int, float]:
    size = arrays["items/near_size"][item]
    return dict(
        zip(
            arrays["items/near_item"][item, :size].tolist(),
            arrays["items/near_weight"][item, :size].tolist(),
            strict=True,
        )
    )


def test_a_dislike_takes_away_an_event_and_a_tie() -> None:
    blend = Blend(Settings())
    # Items 0 and 1 went together for two users; the third had 0 and dislikes 1.
    rows = [(0, 0, "view"), (0, 1, "view"), (1, 0, "view"), (1, 1, "view"), (2, 0, "view"), (2, 1, "dislike")]
    blend.step(log(rows))
    arrays = blend.to_arrays()
    assert arrays["items/total"][1] == 2 - 1
    assert neighbours(arrays, 0) == {1: pytest.approx(2 - 1)}
    assert neighbours(arrays, 1) == {0: pytest.approx(2 - 1)}


def test_nothing_falls_below_what_is_left_to_it() -> None:
    blend = Blend(Settings())
    blend.step(log([(0, 0, "view"), (0, 1, "view"), *((user, 1, "dislike") for user in range(1, 9))]))
    arrays = blend.to_arrays()
    assert arrays["items/total"][1] == LEAST
    assert neighbours(arrays, 0) == {1: 1.0}  # whoever disliked it had nothing before
    assert 2.0 ** (arrays["items/heat"][LONG, 1] - (1e6 + 9 * 60.0) / (168 * 3600.0)) == pytest.approx(
        LEAST, rel=1e-3
    )


def test_an_unknown_item_is_not_made_known_by_a_dislike() -> None:
    blend = Blend(Settings())
    blend.step(log([(0, 0, "view"), (1, 5, "dislike")]))
    assert blend.shown()[1] == 1  # one known item


def test_without_weight_a_dislike_only_hides() -> None:
    blend = Blend(Settings(weight_dislike=0.0))
    blend.step(log([(0, 0, "view"), (0, 1, "view"), (1, 0, "view"), (1, 1, "dislike")]))
    arrays = blend.to_arrays()
    assert arrays["items/total"][1] == 1.0
    assert neighbours(arrays, 0) == {1: 1.0}
    assert 1 not in blend.answer(1, 1e6 + 300.0, k=10)[0].best.tolist()


def test_the_hottest_stay_exact_when_items_sink() -> None:
    """More items than the list holds, raised and lowered at random: it is the hottest in order, always."""
    rng = np.random.default_rng(7)
    n_items = TREND_LENGTH + 60
    blend = Blend(Settings())
    rows = [(int(rng.integers(50)), item, "view") for item in rng.permutation(n_items).tolist()]
    for _ in range(4000):
        kind = "dislike" if rng.random() < 0.45 else "view"
        rows.append((int(rng.integers(50)), int(rng.integers(n_items)), kind))
    events = log(rows, every_s=600.0)
    for start in range(0, events.n_events, 500):
        blend.step(events.part(start, start + 500))
        arrays = blend.to_arrays()
        for heat, trend, size in zip(
            arrays["items/heat"], arrays["items/trend_item"], arrays["items/trend_size"], strict=True
        ):
            hottest = np.lexsort((np.arange(len(heat)), -heat))[:TREND_LENGTH]
            hottest = hottest[arrays["items/total"][hottest] > 0.0]
            assert trend[:size].tolist() == hottest.tolist()


def test_two_shards_lower_alike() -> None:
    events = log(
        [(0, 0, "view"), (0, 1, "view"), (1, 0, "view"), (1, 1, "view"), (0, 2, "view"), (0, 1, "dislike")]
    )
    alone, other = Blend(Settings()), Blend(Settings())
    alone.step(events)
    other.learn_items(other.step(events, batch=len(events.user_num), defer=True).operations)
    for name in ("items/total", "items/near_weight", "items/heat"):
        assert alone.to_arrays()[name].tolist() == other.to_arrays()[name].tolist()
