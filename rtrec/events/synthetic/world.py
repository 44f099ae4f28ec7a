"""What happens in the make-believe world: sittings that overlap, and in each the next item."""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from rtrec.events.synthetic.catalogue import FOLLOWER_SHARES, Catalogue, People
from rtrec.events.synthetic.config import SyntheticConfig
from rtrec.types import Floats

_DAY_S = 86_400.0
_PAUSE_S = 90.0  # mean time between two events of a sitting
_BURST_WEIGHT = 0.5  # the most popular item of a group weighs 1, so a burst lifts any item to the top few
_BURST_DAYS = 5  # a burst lasts 1 to 5 days
_MAIN_TASTE_SHARE = 0.85
_FRUITLESS = 1_000  # sittings in a row in which nobody found anything new: nobody will
_PATIENCE = 30  # draws of things already had, or of users already here, before giving up
_FOLLOWER_ENDS = tuple(accumulate(FOLLOWER_SHARES))


class Happening(NamedTuple):
    """One event: seconds since the start, then the numbers of its user, item and kind."""

    time: float
    user: int
    item: int
    kind: int


@dataclass(slots=True)
class Sitting:
    """A user in the mood for one taste group, with so many events left."""

    user: int
    group: int
    left: int
    last_item: int | None = None


@dataclass(slots=True)
class _Past:
    """What one user has had: in order, and as a set."""

    items: list[int] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)


class World:
    """The course of events from row 0; :attr:`row` is the one that comes next."""

    def __init__(self, config: SyntheticConfig) -> None:
        self.config = config
        self.catalogue = Catalogue(config)
        self.people = People(config)
        self.row = 0
        self._random = random.Random(f"{config.seed} course").random
        self._arrived = config.n_users  # everybody up to here was there at the start, or has come once
        self._pasts: dict[int, _Past] = {}
        self._oldest = 0  # the first user who still comes by
        self._busy: set[int] = set()
        self._drifted = False
        self._bursts: dict[int, float] = {}  # place -> when its burst ends
        self._day_ends = 0.0
        self._ends: list[list[float]] = [[] for _ in range(config.n_groups)]
        self._kind_ends = list(accumulate(share for _, share in config.kinds))
        self._popularity: Floats | None = None  # (group, item), and its mean over groups; made when asked for
        self._exploring: Floats = np.zeros(0)

    def happenings(self) -> Iterator[tuple[Happening, Sitting]]:
        """Yield what happens, for ever and in order of time, with the sitting as it was before.

        The world is as it was before the event until the next one is asked for.
        """
        queue: list[tuple[float, int, Sitting]] = []
        fruitless = 0
        arrival, serial = self._next_arrival(0.0), 0
        while True:
            if not queue or arrival <= queue[0][0]:
                self._turn_to(arrival)
                heapq.heappush(queue, (arrival, serial, self._arrive()))
                arrival, serial = self._next_arrival(arrival), serial + 1
                continue
            time, order, sitting = queue[0]
            self._turn_to(time)
            item = self._choose(sitting)
            if item is None:
                sitting.left = 0
                fruitless += 1
                if fruitless == _FRUITLESS:
                    raise ValueError(
                        f"row {self.row}: everybody has had everything they can think of; this world needs "
                        "more items or users, new ones at a higher rate, or a repeat_share above 0"
                    )
            else:
                fruitless = 0
                kind = bisect(self._kind_ends, self._random() * self._kind_ends[-1])
                yield Happening(time, sitting.user, item, kind), sitting
                self._take(sitting, item)
            if sitting.left > 0:
                later = time - _PAUSE_S * math.log(1.0 - self._random())
                heapq.heapreplace(queue, (later, order, sitting))
            else:
                heapq.heappop(queue)
                self._leave(sitting.user)

    def chances(self, sitting: Sitting) -> Floats:
        """Return the chance of each item to be the next of ``sitting``, shape ``(item,)``; they sum to 1.

        Exact but for those few who leave because all they can think of they have had.
        """
        config, catalogue = self.config, self.catalogue
        if self._popularity is None:
            self._popularity = self._popularity_by_group()
            self._exploring = config.explore_share * self._popularity.mean(axis=0)
        follow = config.follow_share if sitting.last_item is not None else 0.0
        by_item = (1.0 - follow - config.explore_share) * self._popularity[sitting.group] + self._exploring
        if sitting.last_item is not None:
            for place, share in zip(self._followers(sitting.last_item), FOLLOWER_SHARES, strict=True):
                by_item[catalogue.item_at[place]] += follow * share
        past = self._pasts.get(sitting.user)
        if past is None:
            return by_item / by_item.sum()
        by_item[past.items] = 0.0
        unseen = by_item.sum()
        # Who has had everything they can think of goes on with what they have had, or leaves.
        repeats = config.repeat_share if unseen > 0.0 else 1.0
        if unseen > 0.0:
            by_item *= (1.0 - repeats) / unseen
        np.add.at(by_item, past.items, repeats / len(past.items))
        return by_item

    def seen(self, sitting: Sitting) -> list[int]:
        """Return what the user has had, in order."""
        past = self._pasts.get(sitting.user)
        return past.items if past else []

    def _turn_to(self, time: float) -> None:
        """Let users and items be born, the drift happen and a day begin when it is time."""
        config, row, catalogue = self.config, self.row, self.catalogue
        while time >= self._day_ends:
            self._begin_day()
        if len(catalogue) < config.n_items_at(row):
            born = catalogue.grow(config.n_items_at(row))
            self._bursts |= {place: self._burst_end() for place in born}
            self._weigh({catalogue.group[place] for place in born})
        if row == config.drift_at and not self._drifted:
            self._drifted = True
            self._popularity = None
            catalogue.drift()

    def _begin_day(self) -> None:
        self._day_ends += _DAY_S
        self._bursts = {place: end for place, end in self._bursts.items() if end > self._day_ends - _DAY_S}
        mean_days = (1 + _BURST_DAYS) / 2
        expected = self.config.trend_share * len(self.catalogue) / mean_days
        for _ in range(int(expected + self._random())):
            self._bursts[int(self._random() * len(self.catalogue))] = self._burst_end()
        self._weigh(range(self.config.n_groups))

    def _burst_end(self) -> float:
        return self._day_ends + _DAY_S * int(self._random() * _BURST_DAYS)

    def _weigh(self, groups: Iterable[int]) -> None:
        """Add up the weights of ``groups`` anew, each with its bursts."""
        weight, bursts = self.catalogue.weight, self._bursts
        for group in groups:
            self._ends[group] = list(
                accumulate(
                    weight[place] + _BURST_WEIGHT * (place in bursts)
                    for place in self.catalogue.places[group]
                )
            )
        self._popularity = None

    def _popularity_by_group(self) -> Floats:
        catalogue = self.catalogue
        by_place = np.zeros((self.config.n_groups, len(catalogue)))
        for group, places in enumerate(catalogue.places):
            by_place[group, places] = np.diff(self._ends[group], prepend=0.0) / self._ends[group][-1]
        return by_place[:, catalogue.place_of]

    def _next_arrival(self, time: float) -> float:
        """Return when the next sitting begins; most begin around eight in the evening (UTC)."""
        day = (self.config.start.hour * 3600 + time) / _DAY_S
        swing = 1.0 + self.config.daily_swing * math.cos(2 * math.pi * (day - 20 / 24))
        per_s = self.config.events_per_day / self.config.events_per_sitting / _DAY_S * max(swing, 0.05)
        return time - math.log(1.0 - self._random()) / per_s

    def _arrive(self) -> Sitting:
        user = self._newcomer_or_regular()
        self._busy.add(user)
        tastes = self.people.main if self._random() < _MAIN_TASTE_SHARE else self.people.second
        mean = self.config.events_per_sitting
        # Geometric: after each event the user stays with chance 1 - 1/mean.
        left = 1 + int(math.log(1.0 - self._random()) / math.log(1.0 - 1.0 / mean)) if mean > 1.0 else 1
        return Sitting(user, tastes[user], left)

    def _newcomer_or_regular(self) -> int:
        n_users = self.config.n_users_at(self.row)
        self.people.grow(n_users)
        if self._arrived < n_users:
            self._arrived += 1
            return self._arrived - 1
        for retired in range(self._oldest, n_users - self.config.n_users):
            if retired not in self._busy:
                self._pasts.pop(retired, None)
        self._oldest = n_users - self.config.n_users
        user = self._oldest
        for _ in range(_PATIENCE):
            user = self._oldest + int(self._random() * self.config.n_users)
            if self._random() < self.people.readiness[user] and user not in self._busy:
                break
        return user

    def _leave(self, user: int) -> None:
        self._busy.discard(user)
        if user < self._oldest:
            self._pasts.pop(user, None)

    def _choose(self, sitting: Sitting) -> int | None:
        """Draw the next item, or None if the user finds nothing new."""
        draw, catalogue, config = self._random, self.catalogue, self.config
        past = self._pasts.get(sitting.user)
        if past is None:
            return catalogue.item_at[self._draw_place(sitting)]
        if config.repeat_share and draw() < config.repeat_share:
            return past.items[int(draw() * len(past.items))]
        for _ in range(_PATIENCE):
            item = catalogue.item_at[self._draw_place(sitting)]
            if item not in past.seen:
                return item
        return None

    def _draw_place(self, sitting: Sitting) -> int:
        draw = self._random
        chance, group = draw(), sitting.group
        if chance < self.config.follow_share and sitting.last_item is not None:
            return self._followers(sitting.last_item)[bisect(_FOLLOWER_ENDS, draw() * _FOLLOWER_ENDS[-1])]
        if chance >= 1.0 - self.config.explore_share:
            group = int(draw() * self.config.n_groups)
        ends = self._ends[group]
        return self.catalogue.places[group][bisect(ends, draw() * ends[-1])]

    def _followers(self, item: int) -> list[int]:
        return self.catalogue.followers[self.catalogue.place_of[item]]

    def _take(self, sitting: Sitting, item: int) -> None:
        past = self._pasts.get(sitting.user)
        if past is None:
            past = self._pasts[sitting.user] = _Past()
        past.items.append(item)
        past.seen.add(item)
        sitting.last_item = item
        sitting.left -= 1
        self.row += 1
