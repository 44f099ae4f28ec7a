"""Why an item stands where it stands: the exact parts of its score.

Each feature brings its weight x value, and what the crosses make of it at this very place
(:func:`rtrec.models.crosses.contributions`); what they add by the moment alone is a part of its own. All are
relative to the average candidate (a softmax does not see what all candidates share), and sum to the item's
score above the average exactly. For tables the evidence is which of the user's own items brought the
opinion: by their rows, or by their part of the product of vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rtrec.declared import FEATURES
from rtrec.models.blend import Blend
from rtrec.models.crosses import contributions
from rtrec.models.ranker import fill_scale
from rtrec.models.tables import SMOOTHING, SOURCE_POWER
from rtrec.types import Floats, Nums

_MOST_EVIDENCE = 3
MOMENT = "suits the moment, all things together"


@dataclass(frozen=True)
class Part:
    """The part of a score that features with one meaning bring, and the user's items behind it."""

    feature: str
    sentence: str
    value: float
    because_of: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """One item of an answer; ``score`` is above the average candidate, ``parts`` sum to it, largest first.

    An item that only filled up the list was no candidate: its score is NaN, and it has no parts.
    """

    item_num: int
    score: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Answer:
    """The best items for a user, and her last ones, newest first."""

    places: tuple[Place, ...]
    history: tuple[int, ...]


class _Scored(NamedTuple):
    """An answer in the making: what candidates' features add to their scores, ``(feature, candidate)``."""

    best: Nums
    slots: list[int]  # of each of the best among the candidates; -1 for what only filled up the list
    values: Floats
    moments: Floats  # what the moment adds
    active: np.ndarray
    history: tuple[int, ...]

    def score(self, slot: int) -> float:
        """Return a candidate's score above the average candidate; NaN for what was none."""
        return float(self.values[:, slot].sum()) + float(self.moments[slot]) if slot >= 0 else float("nan")


def explain(blend: Blend, user_num: int, now: float, *, k: int) -> Answer:
    """Answer ``user_num`` (-1: a stranger) at time ``now`` with ``k`` items and the parts of their scores."""
    scored = _scored(blend, user_num, now, k)
    places = []
    for item, slot in zip(scored.best, scored.slots, strict=True):
        if slot < 0:  # only filled up by popularity: no candidate, so the ranker has no opinion
            places.append(Place(int(item), float("nan"), ()))
            continue
        parts = _parts(scored.values[:, slot], scored.active, blend, scored.history, int(item))
        own_moment = float(scored.moments[slot])
        if own_moment != 0.0:
            parts = _largest_first([*parts, Part("moment", MOMENT, own_moment)])
        places.append(Place(int(item), scored.score(slot), parts))
    return Answer(tuple(places), scored.history)


def answer(blend: Blend, user_num: int, now: float, *, k: int) -> Answer:
    """Answer as :func:`explain` does, the same items with the same scores, and give no reasons."""
    scored = _scored(blend, user_num, now, k)
    best = zip(scored.best, scored.slots, strict=True)
    return Answer(tuple(Place(int(item), scored.score(slot), ()) for item, slot in best), scored.history)


def _scored(blend: Blend, user_num: int, now: float, k: int) -> _Scored:
    items, _, users, work, _ = blend.answer(user_num, now, k=k)
    ring = users.ring[blend.row_of(user_num)]
    history = tuple(int(item) for item in ring[ring >= 0])
    n = items.n_candidates
    scale = np.empty(len(FEATURES))
    fill_scale(blend.ranker, scale)
    factor = blend.weights_for(blend.row_of(user_num), now) * scale
    features = np.where(work.active[:, None], work.features[:, :n], 0.0).astype(np.float64)
    values = factor[:, None] * features  # (feature, candidate)
    moments = np.zeros(n)
    if blend.settings.use_crosses and n:
        by_feature, by_moment = contributions(blend.ranker.crosses, work.together, work.active)
        looked_at = work.together.candidate[: len(by_moment)]
        values[:, looked_at] += by_feature
        moments[looked_at] = by_moment
    if n:
        values -= values.mean(axis=1, keepdims=True)
        moments -= moments.mean()
    slots = [int(work.slot[item]) if work.stamp[item] == work.request[0] else -1 for item in items.best]
    return _Scored(items.best, slots, values, moments, work.active, history)


def _parts(values, active, blend, history, item):
    by_sentence: dict[str, tuple[str, str, float]] = {}
    for feature, value, is_on in zip(FEATURES, values.tolist(), active, strict=True):
        if not is_on:
            continue
        name, source, total = by_sentence.get(feature.sentence, (feature.name, feature.source, 0.0))
        by_sentence[feature.sentence] = (name, source, total + value)
    parts = [
        Part(
            name,
            sentence,
            total,
            _evidence(source, blend, history[:1] if "_last" in name else history, item),
        )
        for sentence, (name, source, total) in by_sentence.items()
        if total != 0.0
    ]
    return _largest_first(parts)


def _largest_first(parts):
    return tuple(sorted(parts, key=lambda part: -abs(part.value)))


def _evidence(source, blend, history, item):
    """Return the user's items that speak most for ``item`` in a table, strongest first."""
    opinion_of = _opinions(source, blend, item)
    if opinion_of is None:
        return ()
    opinions: dict[int, float] = {}
    for age, last in enumerate(history[: blend.settings.ring_length]):
        opinions[last] = opinions.get(last, 0.0) + blend.settings.ring_decay**age * opinion_of(last)
    speaking = [last for last, opinion in opinions.items() if opinion > 0.0]
    return tuple(sorted(speaking, key=lambda last: -opinions[last])[:_MOST_EVIDENCE])


def _opinions(source, blend, item):
    """Return what tells how much an item of the user speaks for ``item``; None for no table."""
    vectors, rows = blend.vectors(source), blend.neighbours(source)

    def by_vectors(last):
        known = max(last, item) < vectors.n_items
        return float(vectors.given[last] @ vectors.found[item]) if known else 0.0

    def by_rows(last):
        table, totals = rows
        if last >= table.n_items:  # not yet published
            return 0.0
        place = np.flatnonzero(table.item[last, : table.size[last]] == item)
        norm = 1.0 if totals is None else (totals[last] + SMOOTHING) ** -SOURCE_POWER
        return norm * float(table.weight[last, place[0]]) if len(place) else 0.0

    return by_vectors if vectors is not None else by_rows if rows is not None else None
