"""The default recommender again, slowly and obviously: dictionaries, loops, formulas as they are written.

It shares nothing with the kernel but the declared features and the constants of the tables.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np

from rtrec.declared import CONTEXT, FEATURES
from rtrec.models.crosses import MOST, new_crosses
from rtrec.models.nearline.tables import VectorTable
from rtrec.models.published import VectorRows
from rtrec.models.ranker import FIRST_SQUARES
from rtrec.models.tables import (
    CANDIDATE_POWER,
    NEAR_INHERITED,
    NEXT_INHERITED,
    SMOOTHING,
    SOURCE_POWER,
    TREND_LENGTH,
)
from rtrec.models.tastes import N_PLACES
from rtrec.models.trails import AFTER, BEFORE, VISITS
from rtrec.settings import Settings

NAMES = [feature.name for feature in FEATURES]


class Row:
    """A neighbour row of at most M places: the weakest makes way and leaves a share to its successor.

    Weights are float32, as in the kernel: which of two nearly equal ones is weaker must come out the same.
    """

    def __init__(self, length: int, inherited: float) -> None:
        self.length, self.inherited = length, np.float32(inherited)
        self.items: list[int] = []
        self.values: list[np.float32] = []

    def add(self, neighbour: int, weight: float) -> None:
        if neighbour in self.items:
            place = self.items.index(neighbour)
            self.values[place] = np.float32(float(self.values[place]) + weight)
        elif len(self.items) < self.length:
            self.items.append(neighbour)
            self.values.append(np.float32(weight))
        else:
            place = self.values.index(min(self.values))
            self.items[place] = neighbour
            self.values[place] = np.float32(weight + float(self.inherited * self.values[place]))

    def lower(self, neighbour: int, less: float) -> None:
        if neighbour in self.items:
            place = self.items.index(neighbour)
            self.values[place] = np.float32(max(float(self.values[place]) - less, 0.0))

    def drop(self, items: set[int]) -> None:
        kept = [place for place, item in enumerate(self.items) if item not in items]
        self.items = [self.items[place] for place in kept]
        self.values = [self.values[place] for place in kept]

    @property
    def weights(self) -> dict[int, float]:
        return {item: float(value) for item, value in zip(self.items, self.values, strict=True)}


def lowered(count: float, less: float, one: float) -> float:
    """Take ``less`` events from a count in which an event counts ``one``; a sixteenth of one is left."""
    return max(count - less * one, min(count, one / 16.0))


def average(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def level_of(value: float) -> float:
    return math.copysign(math.log(1.0 + abs(value)), value)


def daypart(timestamp: float) -> tuple[bool, int]:
    moment = datetime.fromtimestamp(timestamp, UTC)
    return moment.weekday() >= 5, moment.hour // 6


class Visit:
    """One event of positive weight: what its user had before it, newest first, and took after it."""

    def __init__(self, item: int, before: list[int]) -> None:
        self.item = item
        self.before = before
        self.after: list[int] = []


class Taste:
    """A category that a user takes, and her events in it."""

    def __init__(self, category: int) -> None:
        self.category = category
        self.events: list[tuple[float, float]] = []  # (time, weight)

    def left(self, now: float, half_life: float) -> float:
        return sum(weight * 0.5 ** ((now - then) / half_life) for then, weight in self.events)


class Reference:
    """All state in dictionaries by item or user."""

    def __init__(self, settings: Settings, categories: dict[int, list[int]] | None = None) -> None:
        self.settings = settings
        self.categories = categories or {}
        self.tastes: dict[int, list[Taste]] = {}  # user -> places
        self.half_lives = tuple(
            3600.0 * hours
            for hours in (settings.half_life_now_h, settings.half_life_short_h, settings.half_life_long_h)
        )
        self.events: dict[int, list[tuple[float, float]]] = {}  # item -> (time, weight)
        self.near: dict[int, Row] = {}
        self.next: dict[int, Row] = {}
        self.next_total: dict[int, float] = {}
        self.ring: dict[int, list[int]] = {}
        self.had: dict[tuple[int, int], list[float]] = {}  # times
        self.visits: dict[int, list[Visit]] = {}  # item -> oldest first
        self.walked: dict[int, list[Visit]] = {}  # user -> newest first
        self.last_time: dict[int, float] = {}
        self.n_events: dict[int, int] = {}
        self.sitting: dict[int, int] = {}
        self.times: dict[int, list[float]] = {}  # of a user's events, of any weight
        self.item_values: dict[int, list[float]] = {}
        self.user_values: dict[int, list[float]] = {}
        self.hidden: set[tuple[int, int]] = set()
        # What history says: of an item by feature, of a user her cohort and level, of both a lift.
        self.past_of_item: dict[int, dict[str, float]] = {}
        self.past_of_user: dict[int, tuple[int, float]] = {}
        self.lift: dict[tuple[int, int], float] = {}
        self.past_missing: dict[str, float] = {}
        self.weight = {feature.name: feature.start for feature in FEATURES}
        self.squares = dict.fromkeys(NAMES, FIRST_SQUARES)
        self.moment_weight: dict[tuple[str, bool], dict[str, float]] = {}
        self.moment_squares: dict[tuple[str, bool], dict[str, float]] = {}
        self.variance = dict.fromkeys(NAMES, 0.0)
        self.n_seen = 0
        self.published: dict[str, VectorRows] = {}
        self.gone: dict[str, tuple[set[int], set[int]]] = {}  # users and items forgotten since
        start = new_crosses()
        self.factor = start.factor.astype(float)  # (side, pair, input)
        self.factor_squares = start.squared_gradient.astype(float)

    def decayed(self, item: int, now: float, half_life: float) -> float:
        """Replay the item's events in the order they came, all counts as of ``now``."""
        count = 0.0
        for then, weight in self.events[item]:
            one = 2.0 ** ((then - now) / half_life)
            count = count + weight * one if weight > 0.0 else lowered(count, -weight, one)
        return count

    def total(self, item: int) -> float:
        count = 0.0
        for _, weight in self.events[item]:
            count = count + weight if weight > 0.0 else lowered(count, -weight, 1.0)
        return count

    def may_get(self, user: int, item: int) -> bool:
        if self.settings.repeat:
            return (user, item) not in self.hidden
        return (user, item) not in self.had

    def candidates(self, user: int, now: float) -> dict[int, dict[str, float]]:
        found: dict[int, dict[str, float]] = {}

        def sums(item: int) -> dict[str, float]:
            return found.setdefault(item, dict.fromkeys(NAMES, 0.0))

        ring = self.ring.get(user, [])[: self.settings.ring_length]
        for age, last in enumerate(ring):
            decay = self.settings.ring_decay**age
            for visit in self.visits[last][-VISITS:] if self.settings.use_trails else ():
                overlap = sum(item in ring for item in visit.before)
                for step, item in enumerate(visit.after):
                    vote = decay * (1 + overlap) ** 2 / (step + 1)
                    sums(item)["trail_ring"] += vote
                    sums(item)["trail_support"] += math.sqrt(vote)
                    if age == 0:
                        sums(item)["trail_last"] += vote
            if self.settings.repeat:
                sums(last)
            for name, rows, total, is_on in (
                ("near", self.near, self.total(last), self.settings.use_cooccurrence),
                ("next", self.next, self.next_total.get(last, 0.0), self.settings.use_transitions),
            ):
                if not is_on:
                    continue
                norm = decay * (total + SMOOTHING) ** -SOURCE_POWER
                for item, weight in rows[last].weights.items() if last in rows else ():
                    sums(item)[f"{name}_ring"] += norm * weight
                    sums(item)[f"{name}_support"] += decay * math.sqrt(norm * weight)
                    if age == 0:
                        sums(item)[f"{name}_last"] += norm * weight
            for slot, (rows, _) in self.published.items():
                _, gone = self.gone[slot]
                if not getattr(self.settings, f"use_{slot}") or last >= rows.n_items or last in gone:
                    continue
                for place in range(int(rows.size[last])):
                    item, opinion = int(rows.item[last, place]), decay * float(rows.weight[last, place])
                    if item in self.events and item not in gone:
                        values = sums(item)
                        values[f"{slot}_ring"] += opinion
                        values[f"{slot}_best"] = max(values[f"{slot}_best"], opinion)
                        if age == 0:
                            values[f"{slot}_last"] = opinion
        allowed = [item for item in self.events if self.may_get(user, item)]
        for half_life in self.half_lives if self.settings.use_trending else ():
            hottest = sorted(self.events, key=lambda item: (-self.decayed(item, now, half_life), item))
            hot = [item for item in hottest[:TREND_LENGTH] if item in allowed]
            for item in hot[: self.settings.trending_candidates]:
                sums(item)
        found = {item: values for item, values in found.items() if item in allowed}
        for item, values in found.items():
            self.fill(values, user, item, now)
            values |= dict.fromkeys(self.settings.without, 0.0)  # what all have alike decides nothing
        return found

    def fill(self, values: dict[str, float], user: int, item: int, now: float) -> None:
        times = [then for then, weight in self.events[item] if weight > 0.0]
        for name in ("near_ring", "near_last", "next_ring", "next_last"):
            values[name] *= (self.total(item) + SMOOTHING) ** -CANDIDATE_POWER
            values[f"{name}_root"] = math.sqrt(values[name])
        for name in ("near_support", "next_support"):
            values[name] *= (self.total(item) + SMOOTHING) ** (-CANDIDATE_POWER / 2.0)
        for slot, (_, vectors) in self.published.items():
            values[f"{slot}_ring_root"] = math.sqrt(values[f"{slot}_ring"])
            if self.settings.use_vectors and getattr(self.settings, f"use_{slot}"):
                values[f"{slot}_product"] = self.product(slot, vectors, user, item)
        values["trail_ring_root"] = math.sqrt(values["trail_ring"])
        if self.settings.use_trending:
            for name, half_life in zip(("heat_now", "heat_short", "heat_long"), self.half_lives, strict=True):
                values[name] = max(math.log2(max(self.decayed(item, now, half_life), 1e-300)), -4.0)
            values["count"] = math.log(1.0 + self.total(item))
        if self.settings.use_catalogue:
            values["age"] = self.root_age(item, now)
            values["idle"] = (1.0 + max(now - max(times), 0.0) / 3600.0) ** 0.25
        ring = self.ring.get(user, [])[: self.settings.ring_length]
        for name, own, power, of, is_on in (
            (
                "count",
                math.log(1.0 + self.total(item)),
                1.0,
                lambda each: math.log(1.0 + self.total(each)),
                self.settings.use_trending,
            ),
            (
                "age",
                self.root_age(item, now),
                0.5,
                lambda each: self.root_age(each, now),
                self.settings.use_catalogue,
            ),
        ):
            if ring and is_on:
                values[f"{name}_gap_last"] = abs(own - of(ring[0])) ** power
                values[f"{name}_gap_ring"] = abs(own - sum(map(of, ring)) / len(ring)) ** power
        if self.settings.use_value:
            mean = average(self.user_values.get(user, []))
            level = average(self.item_values.get(item, []))
            values["value"] = mean if level is None and mean is not None else level or 0.0
            values["value_gap"] = 0.0 if level is None or mean is None else abs(level - mean)
        if self.settings.use_daypart:
            raised = {each: [(t, w) for t, w in self.events[each] if w > 0.0] for each in self.events}
            share = sum(w for each in raised for t, w in raised[each] if daypart(t) == daypart(now))
            share /= sum(w for each in raised for _, w in raised[each])
            own_share = sum(w for t, w in raised[item] if daypart(t) == daypart(now))
            expected = share * (self.total(item) + SMOOTHING)
            values["daypart"] = math.sqrt((own_share + share * SMOOTHING) / expected) if share else 1.0
        if self.settings.use_historical and self.past_missing:
            past = self.past_of_item.get(item, self.past_missing)
            values |= {f"past_{name}": value for name, value in past.items()}
            cohort, level = self.past_of_user.get(user, (-1, 0.5))
            values["past_value_gap"] = abs(past["value_mean"] - level)
            values["cohort_lift"] = self.lift.get((cohort, item), 0.0)
        if self.settings.use_category and self.categories:
            own, latest = self.categories.get(item, []), max(now, self.last_time.get(user, now))
            for name, half_life in zip(
                ("taste_now", "taste_short", "taste_long"), self.half_lives, strict=True
            ):
                places = self.tastes.get(user, [])
                taken = {each.category: each.left(latest, half_life) for each in places}
                share = sum(taken.get(each, 0.0) for each in own) / (1.0 + sum(taken.values()))
                values[name] = share / max(len(own), 1)
            last = self.categories.get(self.ring[user][0], []) if self.ring.get(user) else []
            values["taste_last"] = float(bool({*own} & {*last}))
        if self.settings.repeat and (user, item) in self.had:
            own = self.had[user, item]
            values["had"] = math.sqrt(len(own))
            values["had_idle"] = (1.0 + max(now - max(own), 0.0) / 3600.0) ** 0.25

    def publish(self, slot: str, value: VectorRows) -> None:
        self.published[slot], self.gone[slot] = value, (set(), set())

    def product(self, slot: str, vectors: VectorTable, user: int, item: int) -> float:
        gone_users, gone_items = self.gone[slot]
        if item >= vectors.n_items or item in gone_items:
            return 0.0
        ring = self.ring.get(user, [])[: self.settings.ring_length]
        known = [
            (self.settings.ring_decay**age, last) for age, last in enumerate(ring) if last < vectors.n_items
        ]
        if known:
            given = {last: vectors.given[last] * float(last not in gone_items) for _, last in known}
            of_user = sum(decay * given[last].astype(float) for decay, last in known)
            of_user /= sum(decay for decay, _ in known)
        elif user < len(vectors.user) and user not in gone_users and not np.isnan(vectors.user[user, 0]):
            of_user = vectors.user[user].astype(float)
        else:
            return 0.0
        return float(of_user @ vectors.found[item])

    def root_age(self, item: int, now: float) -> float:
        first = min(then for then, weight in self.events[item] if weight > 0.0)
        return (1.0 + max(now - first, 0.0) / 3600.0) ** 0.25

    def moment(self, user: int, now: float) -> tuple[str, bool]:
        gap = now - self.last_time.get(user, -math.inf)
        when = "sitting" if gap < 30 * 60 else "visit" if gap < 24 * 3600 else "later"
        return when, self.n_events.get(user, 0) >= 8

    def test_then_learn(
        self, user: int, item: int, now: float, kind: str = "view", value: float = math.nan
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
        if len(found) > 1 and kind != "dislike" and weight > 0.0:
            self.learn_ranker(found, scores, scale, item, moment, seen)
        self.learn(user, item, now, weight, value)
        return -1 if kind == "dislike" else rank, scores

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

    def context(self, user: int, now: float) -> list[float]:
        values = dict.fromkeys((each.name for each in CONTEXT), 0.0)
        if user in self.times:
            gap = max(now - self.last_time[user], 0.0)
            values["gap"] = (1.0 + gap / 3600.0) ** 0.25 / 4.0
            values["n_events"] = math.log(1.0 + self.n_events[user]) / 4.0
            if gap < 30 * 60:
                values["sitting"] = math.log(1.0 + self.sitting[user]) / 4.0
            for name, half_life in zip(("pace_now", "pace_short", "pace_long"), self.half_lives, strict=True):
                latest = max(now, self.last_time[user])
                pace = sum(0.5 ** ((latest - then) / half_life) for then in self.times[user])
                values[name] = math.log(1.0 + pace) / 4.0
        if self.ring.get(user):
            last = self.ring[user][0]
            values["last_count"] = math.log(1.0 + self.total(last)) / 4.0
            values["last_age"] = self.root_age(last, now) / 4.0
        for name, seconds in (("day", 24 * 3600.0), ("week", 7 * 24 * 3600.0)):
            angle = 2.0 * math.pi * (now % seconds) / seconds
            values[f"{name}_sine"], values[f"{name}_cosine"] = math.sin(angle), math.cos(angle)
        return list(values.values())

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

    def learn(self, user: int, item: int, now: float, importance: float, value: float) -> None:
        if now - self.last_time.get(user, -math.inf) >= 30 * 60:
            self.sitting[user] = 0
        self.sitting[user] += 1
        self.times.setdefault(user, []).append(now)
        if math.isfinite(value):
            self.user_values.setdefault(user, []).append(level_of(value))
        self.had.setdefault((user, item), []).append(now)
        self.last_time[user] = max(now, self.last_time.get(user, -math.inf))
        self.n_events[user] = self.n_events.get(user, 0) + 1
        if importance <= 0.0:
            self.hidden.add((user, item))
            if importance < 0.0 and item in self.events:
                self.lower(item, self.ring.get(user, []), now, importance)
            return
        self.hidden.discard((user, item))
        self.taste(user, item, now, importance)
        ring = self.ring.setdefault(user, [])
        self.events.setdefault(item, []).append((now, importance))
        if math.isfinite(value):
            self.item_values.setdefault(item, []).append(level_of(value))
        length = self.settings.row_length
        for age, other in enumerate(ring[: self.settings.ring_length]):
            weight = importance * self.settings.ring_decay**age
            if other == item:
                continue
            self.near.setdefault(other, Row(length, float(NEAR_INHERITED))).add(item, weight)
            self.near.setdefault(item, Row(length, float(NEAR_INHERITED))).add(other, weight)
            if age < self.settings.transition_reach:
                weight = importance / (age + 1)
                self.next_total[other] = self.next_total.get(other, 0.0) + weight
                self.next.setdefault(other, Row(length, float(NEXT_INHERITED))).add(item, weight)
        walked = self.walked.setdefault(user, [])
        for visit in walked:
            visit.after.append(item)
        walked.insert(0, Visit(item, ring[:BEFORE]))
        del walked[AFTER:]
        self.visits.setdefault(item, []).append(walked[0])
        ring.insert(0, item)

    def forget(self, users: set[int], items: set[int]) -> None:
        for gone_users, gone_items in self.gone.values():
            gone_users |= users
            gone_items |= items
        self.lift = {(cohort, item): lift for (cohort, item), lift in self.lift.items() if item not in items}
        for by_item in (
            self.past_of_item,
            self.events,
            self.near,
            self.next,
            self.next_total,
            self.visits,
            self.item_values,
            self.categories,
        ):
            for item in items:
                by_item.pop(item, None)
        for row in (*self.near.values(), *self.next.values()):
            row.drop(items)
        for visit in (each for visits in self.visits.values() for each in visits):
            visit.before = [item for item in visit.before if item not in items]
            visit.after = [item for item in visit.after if item not in items]
        for user in self.ring:
            self.ring[user] = [item for item in self.ring[user] if item not in items]
            self.walked[user] = [visit for visit in self.walked[user] if visit.item not in items]
        for by_user in (
            self.past_of_user,
            self.ring,
            self.walked,
            self.last_time,
            self.n_events,
            self.sitting,
            self.times,
            self.user_values,
            self.tastes,
        ):
            for user in users:
                by_user.pop(user, None)
        gone = {(user, item) for user, item in self.had if user in users or item in items}
        for pair in gone:
            del self.had[pair]
        self.hidden -= gone

    def taste(self, user: int, item: int, now: float, importance: float) -> None:
        places, latest = self.tastes.setdefault(user, []), self.last_time[user]
        for category in self.categories.get(item, []):
            found = next((each for each in places if each.category == category), None)
            if found is None:
                found = Taste(category)
                if len(places) < N_PLACES:
                    places.append(found)
                else:
                    left = [each.left(latest, self.half_lives[2]) for each in places]
                    places[left.index(min(left))] = found
            found.events.append((now, importance))

    def lower(self, item: int, ring: list[int], now: float, importance: float) -> None:
        self.events[item].append((now, importance))
        for age, other in enumerate(ring[: self.settings.ring_length]):
            if other == item:
                continue
            less = -importance * self.settings.ring_decay**age
            for one, two in ((other, item), (item, other)):
                if one in self.near:
                    self.near[one].lower(two, less)
            if age < self.settings.transition_reach and other in self.next:
                self.next[other].lower(item, -importance / (age + 1))
