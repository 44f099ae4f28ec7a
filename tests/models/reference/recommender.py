"""The ranker that weighs what is said, and the recommender as a whole: test, then learn."""

from __future__ import annotations

import math

import numpy as np

from rtrec.declared import FEATURES
from rtrec.models.crosses import MOST, new_crosses
from rtrec.models.ranker import FIRST_SQUARES
from rtrec.settings import Settings
from tests.models.reference.opinions import NAMES, Opinions


class Reference(Opinions):
    """The default recommender, one event at a time."""

    def __init__(self, settings: Settings, categories: dict[int, list[int]] | None = None) -> None:
        super().__init__(settings, categories)
        self.weight = {feature.name: feature.start for feature in FEATURES}
        self.squares = dict.fromkeys(NAMES, FIRST_SQUARES)
        self.moment_weight: dict[tuple[str, bool], dict[str, float]] = {}
        self.moment_squares: dict[tuple[str, bool], dict[str, float]] = {}
        self.variance = dict.fromkeys(NAMES, 0.0)
        self.n_seen = 0
        start = new_crosses()
        self.factor = start.factor.astype(float)  # (side, pair, input)
        self.factor_squares = start.squared_gradient.astype(float)

    def test_then_learn(
        self,
        user: int,
        item: int,
        now: float,
        kind: str = "view",
        value: float = math.nan,
        *,
        asked: bool = True,
    ) -> tuple[int, dict[int, float]]:
        """Return the event's rank (0 for a miss, -1 if not asked) and all candidates' scores, then learn."""
        weight = getattr(self.settings, f"weight_{kind}")
        found = self.candidates(user, now)
        scale = {name: v**-0.5 if v > 1e-12 else 0.0 for name, v in self.variance.items()}
        moment = self.moment(user, now)
        own = self.moment_weight.setdefault(moment, dict.fromkeys(NAMES, 0.0))
        scores = {
            each: sum((self.weight[name] + own[name]) * scale[name] * value for name, value in values.items())
            for each, values in found.items()
        }
        seen = self.see_together(found, scores, scale, self.context(user, now))
        best = sorted(scores, key=lambda each: (-scores[each], each))[: self.settings.list_length]
        hottest = sorted(self.events, key=lambda each: (-self.decayed(each, now, self.half_lives[2]), each))
        best += [each for each in hottest if each not in best and self.may_get(user, each)]
        best = best[: self.settings.list_length]
        rank = best.index(item) + 1 if item in best else 0
        asked = asked and kind != "dislike"
        if len(found) > 1 and asked and weight > 0.0:
            self.learn_ranker(found, scores, scale, item, moment, seen)
        self.learn(user, item, now, weight, value)
        return rank if asked else -1, scores

    def moment(self, user: int, now: float) -> tuple[str, bool]:
        gap = now - self.last_time.get(user, -math.inf)
        when = "sitting" if gap < 30 * 60 else "visit" if gap < 24 * 3600 else "later"
        return when, self.n_events.get(user, 0) >= 8

    def see_together(
        self,
        found: dict[int, dict[str, float]],
        scores: dict[int, float],
        scale: dict[str, float],
        context: list[float],
    ) -> tuple[list[int], np.ndarray, np.ndarray]:
        """Correct the scores in place; return the items looked at, their inputs, both sides of products."""
        each = list(found)
        if not each:
            return each, np.zeros((0, self.factor.shape[2])), np.zeros((2, 0, self.factor.shape[1]))
        assert len(each) <= MOST, "the reference does not choose"
        table = np.array([[found[one][name] for name in NAMES] for one in each]).reshape(-1, len(NAMES))
        z = np.clip((table - table.mean(axis=0)) * [scale[name] for name in NAMES], -5.0, 5.0)
        inputs = np.hstack([z, np.tile([*context, 1.0], (len(each), 1))])
        sides = np.stack([inputs @ self.factor[0].T, inputs @ self.factor[1].T])  # (side, place, pair)
        if self.settings.use_crosses:
            for one, correction in zip(each, (sides[0] * sides[1]).sum(axis=1), strict=True):
                scores[one] += correction
        return each, inputs, sides

    def learn_ranker(
        self,
        found: dict[int, dict[str, float]],
        scores: dict[int, float],
        scale: dict[str, float],
        item: int,
        moment: tuple[str, bool],
        seen: tuple[list[int], np.ndarray, np.ndarray],
    ) -> None:
        n = len(found)
        highest = max(scores.values())
        chance = {each: math.exp(score - highest) for each, score in scores.items()}
        total = sum(chance.values())
        share = max(1.0 / 1000.0, 1.0 / (1.0 + self.n_seen))
        self.n_seen += 1
        for name in NAMES:
            column = {each: values[name] for each, values in found.items()}
            mean = sum(column.values()) / n
            spread = sum((value - mean) ** 2 for value in column.values()) / n
            if spread > 1e-12:
                self.variance[name] += share * (spread - self.variance[name])
            if item in found:
                expected = sum(chance[each] / total * value for each, value in column.items())
                gradient = (expected - column[item]) * scale[name]
                squares = self.moment_squares.setdefault(moment, dict.fromkeys(NAMES, FIRST_SQUARES))
                rate = self.settings.learning_rate
                for sums, weights, step in (
                    (self.squares, self.weight, rate),
                    (squares, self.moment_weight[moment], 0.4 * rate),
                ):
                    sums[name] += gradient**2
                    weights[name] -= step * gradient / math.sqrt(sums[name])

        if item in found and self.settings.use_crosses:
            each, inputs, sides = seen
            pull = np.array([chance[one] / total - (one == item) for one in each])  # (place,)
            # The slope of a product by one of its sides is the other side.
            gradient = np.stack([(pull[:, None] * other).T @ inputs for other in (sides[1], sides[0])])
            self.factor_squares += gradient**2
            self.factor -= self.settings.learning_rate * gradient / np.sqrt(self.factor_squares)
