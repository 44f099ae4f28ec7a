"""What each table says of each candidate of a user, by feature."""

from __future__ import annotations

import math

import numpy as np

from rtrec.declared import CONTEXT, FEATURES
from rtrec.models.nearline.tables import VectorTable
from rtrec.models.tables import CANDIDATE_POWER, SMOOTHING, SOURCE_POWER, TREND_LENGTH
from rtrec.models.trails import VISITS
from tests.models.reference.memory import Memory
from tests.models.reference.parts import average, daypart

NAMES = [feature.name for feature in FEATURES]


class Opinions(Memory):
    """Candidates, their features, and the context of the moment."""

    def candidates(self, user: int, now: float) -> dict[int, dict[str, float]]:
        found: dict[int, dict[str, float]] = {}

        def sums(item: int) -> dict[str, float]:
            if item not in found:
                found[item] = dict.fromkeys(NAMES, 0.0)
            return found[item]

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
        # What candidates are held against is the same for all of them.
        ring_counts = [math.log(1.0 + self.total(last)) for last in ring]
        ring_ages = [self.root_age(last, now) for last in ring]
        for item, values in found.items():
            self.fill(values, user, item, now, ring_counts, ring_ages)
            values |= dict.fromkeys(self.settings.without, 0.0)  # what all have alike decides nothing
        return found

    def fill(
        self,
        values: dict[str, float],
        user: int,
        item: int,
        now: float,
        ring_counts: list[float],
        ring_ages: list[float],
    ) -> None:
        times = [then for then, weight in self.events[item] if weight > 0.0]
        total = self.total(item)
        for name in ("near_ring", "near_last", "next_ring", "next_last"):
            values[name] *= (total + SMOOTHING) ** -CANDIDATE_POWER
            values[f"{name}_root"] = math.sqrt(values[name])
        for name in ("near_support", "next_support"):
            values[name] *= (total + SMOOTHING) ** (-CANDIDATE_POWER / 2.0)
        for slot, (_, vectors) in self.published.items():
            values[f"{slot}_ring_root"] = math.sqrt(values[f"{slot}_ring"])
            if self.settings.use_vectors and getattr(self.settings, f"use_{slot}"):
                values[f"{slot}_product"] = self.product(slot, vectors, user, item)
        values["trail_ring_root"] = math.sqrt(values["trail_ring"])
        if self.settings.use_trending:
            for name, half_life in zip(("heat_now", "heat_short", "heat_long"), self.half_lives, strict=True):
                values[name] = max(math.log2(max(self.decayed(item, now, half_life), 1e-300)), -4.0)
            values["count"] = math.log(1.0 + total)
        if self.settings.use_momentum:
            values["velocity"], values["acceleration"] = self.momentum(item, times, now)
        if self.settings.use_catalogue:
            values["age"] = self.root_age(item, now)
            values["idle"] = (1.0 + max(now - max(times), 0.0) / 3600.0) ** 0.25
        for name, own, power, of_ring, is_on in (
            ("count", math.log(1.0 + total), 1.0, ring_counts, self.settings.use_trending),
            ("age", self.root_age(item, now), 0.5, ring_ages, self.settings.use_catalogue),
        ):
            if of_ring and is_on:
                values[f"{name}_gap_last"] = abs(own - of_ring[0]) ** power
                values[f"{name}_gap_ring"] = abs(own - sum(of_ring) / len(of_ring)) ** power
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
            expected = share * (total + SMOOTHING)
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

    def momentum(self, item: int, times: list[float], now: float) -> tuple[float, float]:
        now = max(now, *times)  # one that comes late finds it as it is
        age = max(now - min(times), 1.0)
        counts = [self.decayed(item, now, half_life) for half_life in self.half_lives]
        windows = [(1.0 - 2.0 ** (-age / half_life)) * half_life for half_life in self.half_lives]
        of_now, velocity = (
            math.sqrt((counts[one] + 1.0) / (counts[one + 1] * windows[one] / windows[one + 1] + 1.0))
            for one in (0, 1)
        )
        return velocity, of_now - velocity

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
