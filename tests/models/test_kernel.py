"""The kernel against its slow reference, event by event."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.declared import FEATURES
from rtrec.features.categories import of_rows
from rtrec.models.blend import Blend
from rtrec.settings import Settings
from rtrec.types import KINDS, Forgetting, NumberedEvents

pytestmark = pytest.mark.timeout(180)
MIXED = ("view", "view", "view", "click", "buy", "dislike")


def _reference() -> Any:
    path = Path(__file__).with_name("reference.py")
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Reference


def stream(n_events: int, *, n_items: int, seed: int) -> NumberedEvents:
    rng = np.random.default_rng(seed)
    return NumberedEvents(
        user_num=rng.integers(0, 12, n_events).astype(np.int32),
        item_num=(np.minimum(rng.zipf(1.5, n_events), n_items) - 1).astype(np.int32),
        # One in ten comes late, by up to some hours.
        timestamp=1e9
        + np.cumsum(rng.exponential(3000.0, n_events))
        - np.where(rng.random(n_events) < 0.1, rng.exponential(10_000.0, n_events), 0.0),
        kind=rng.choice([KINDS.index(kind) for kind in MIXED], n_events).astype(np.uint8),
        value=np.where(rng.random(n_events) < 0.3, np.nan, rng.normal(3.0, 2.0, n_events)).astype(np.float32),
    )


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(row_length=10, ring_length=4, transition_reach=2),  # rows overflow: neighbours make way
        Settings(repeat=True, ring_decay=0.5),
        Settings(trending_candidates=10, half_life_short_h=1.0, half_life_long_h=10.0, list_length=3),
        Settings(weight_buy=3.0, weight_view=0.5, weight_click=0.0, repeat=True),
        Settings(use_transitions=False, use_trending=False),
        Settings(use_cooccurrence=False),
        Settings(use_trails=False, ring_length=20, use_daypart=True),
        Settings(use_crosses=False),
        Settings(use_value=False, use_catalogue=False),
    ],
    ids=[
        "default",
        "short rows",
        "repeats",
        "few trending",
        "weights",
        "near alone",
        "without near",
        "without trails",
        "linear",
        "without values, ages",
    ],
)
def test_kernel_equals_the_reference_event_by_event(settings: Settings) -> None:
    check(Blend(settings), _reference()(settings), stream(500, n_items=60, seed=4))


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(row_length=10, repeat=True)], ids=["default", "short rows, repeats"]
)
def test_they_forget_alike(settings: Settings) -> None:
    """Numbers of users and items that were forgotten come again, as somebody else's."""
    check(Blend(settings), _reference()(settings), stream(500, n_items=60, seed=5), forget_every=20)


@pytest.mark.parametrize(
    ("settings", "n_categories", "forget_every"),
    [
        (Settings(repeat=True, half_life_now_h=20.0, weight_buy=3.0, weight_click=0.0), 5, 0),
        (Settings(half_life_long_h=30.0), 40, 0),  # places overflow: categories make way
        (Settings(use_category=False), 5, 0),
        (Settings(), 5, 100),
    ],
    ids=["few categories", "many categories", "switched off", "forgetting"],
)
def test_kernel_equals_the_reference_with_categories(
    settings: Settings, n_categories: int, forget_every: int
) -> None:
    rng = np.random.default_rng(6)
    # Items 0 to 49 have none, one or several; of the others nobody has said anything.
    own = {item: rng.choice(n_categories, rng.integers(0, 4), replace=False).tolist() for item in range(50)}
    rows = np.full((50, 3), -1, np.int32)
    for item, numbers in own.items():
        rows[item, : len(numbers)] = numbers
    blend = Blend(settings)
    blend.publish("categories", of_rows(rows))
    events = stream(500, n_items=60, seed=4)
    check(blend, _reference()(settings, own), events, forget_every=forget_every)
    taken = blend.to_arrays()["users/category"]
    assert (taken >= 0).all(axis=1).any() == (n_categories > taken.shape[1])


def check(blend: Blend, reference: Any, events: NumberedEvents, *, forget_every: int = 0) -> None:
    """Take both through the events, and compare all scores on the way."""
    settings, rng = blend.settings, np.random.default_rng(8)
    differ = 0
    for number in range(events.n_events):
        if forget_every and number and number % forget_every == 0:
            users = rng.choice(12, 1 + number % 2, replace=False).astype(np.int32)
            items = rng.choice(60, 4, replace=False).astype(np.int32)
            blend.forget(Forgetting(0, users, users, items))
            reference.forget(set(users.tolist()), set(items.tolist()))
        one = events.part(number, number + 1)
        user, item, now = int(one.user_num[0]), int(one.item_num[0]), float(one.timestamp[0])
        blend.make_room(user + 1, item + 1)
        answer, _, _, work, _ = blend.answer(user, now, k=settings.list_length)
        scored = {int(work.item[place]): float(work.score[place]) for place in range(answer.n_candidates)}
        rank, scores = reference.test_then_learn(user, item, now, KINDS[one.kind[0]], float(one.value[0]))
        assert scored.keys() == scores.keys(), f"event {number}"
        assert scored == pytest.approx(scores, rel=2e-3, abs=2e-3), f"event {number}"
        found = int(blend.step(one).ranks[0, 0])
        if found != rank:  # float32 may swap items whose scores are equal in all its digits
            ordered = sorted(scores.values(), reverse=True)
            places = [place for place in (found, rank) if place > 0] + [settings.list_length]
            assert all(abs(scores[item] - ordered[place - 1]) < 1e-3 for place in places[:2])
            differ += 1
    assert differ <= events.n_events // 100
    weights = dict(zip((feature.name for feature in FEATURES), blend.ranker.weight.tolist(), strict=True))
    assert weights == pytest.approx(reference.weight, abs=5e-3)
