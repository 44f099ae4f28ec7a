"""What is remembered of events: how it is learned, lowered by dislikes, and forgotten."""

from __future__ import annotations

import math

from rtrec.models.published import VectorRows
from rtrec.models.tables import NEAR_INHERITED, NEXT_INHERITED
from rtrec.models.tastes import N_PLACES
from rtrec.models.trails import AFTER, BEFORE
from rtrec.settings import Settings
from tests.models.reference.parts import Row, Taste, Visit, level_of, lowered


class Memory:
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
        self.published: dict[str, VectorRows] = {}
        self.gone: dict[str, tuple[set[int], set[int]]] = {}  # users and items forgotten since

    def publish(self, slot: str, value: VectorRows) -> None:
        self.published[slot], self.gone[slot] = value, (set(), set())

    def may_get(self, user: int, item: int) -> bool:
        if self.settings.repeat:
            return (user, item) not in self.hidden
        return (user, item) not in self.had

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

    def root_age(self, item: int, now: float) -> float:
        first = min(then for then, weight in self.events[item] if weight > 0.0)
        return (1.0 + max(now - first, 0.0) / 3600.0) ** 0.25

    def learn(self, user: int, item: int, now: float, importance: float, value: float) -> None:
        if now - self.last_time.get(user, -math.inf) >= 30 * 60:
            self.sitting[user] = 0
        self.sitting[user] += 1
        self.times.setdefault(user, []).append(now)
        if math.isfinite(value):
            self.user_values.setdefault(user, []).append(level_of(value))
        times = self.had.setdefault((user, item), [])
        has_last_word = now >= max(times, default=-math.inf)
        times.append(now)
        self.last_time[user] = max(now, self.last_time.get(user, -math.inf))
        self.n_events[user] = self.n_events.get(user, 0) + 1
        if importance <= 0.0:
            if has_last_word:
                self.hidden.add((user, item))
            if importance < 0.0 and item in self.events:
                self.lower(item, self.ring.get(user, []), now, importance)
            return
        if has_last_word:
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
