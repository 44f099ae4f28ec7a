"""What there is in the make-believe world: items in their places, and people with their tastes.

Both have a generator of their own and are only ever added to, so they are the same however far the stream has
run. It is :class:`random.Random`, because a single draw from it costs a twentieth of one from NumPy.
"""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate

from rtrec.events.synthetic.config import SyntheticConfig

#: Chance of each follower of a place, the likeliest first.
FOLLOWER_SHARES = (0.4, 0.3, 0.2, 0.1)


class Catalogue:
    """Items in places: a place has a taste group, a popularity and four places that follow it.

    An item is born in the place of its own number. A drift permutes the items and leaves the places.
    """

    def __init__(self, config: SyntheticConfig) -> None:
        self._config = config
        self._random = random.Random(f"{config.seed} catalogue").random
        self.group: list[int] = []
        self.weight: list[float] = []
        self.price: list[float] = []
        self.followers: list[list[int]] = []
        self.number_in_group: list[int] = []
        self.places: list[list[int]] = [[] for _ in range(config.n_groups)]
        self.item_at: list[int] = []
        self.place_of: list[int] = []
        for place in range(config.n_items):
            # The first ones go round, so that no group is empty.
            self._settle(place if place < config.n_groups else int(self._random() * config.n_groups))
        for places in self.places:
            dealt = sorted(places, key=lambda _: self._random())
            for rank, place in enumerate(dealt, 1):
                self.weight[place] = rank**-config.popularity_exponent
                self.followers[place] = [self._pick(places) for _ in FOLLOWER_SHARES]

    def __len__(self) -> int:
        return len(self.group)

    def grow(self, n_items: int) -> list[int]:
        """Add items until there are ``n_items``; return the new places."""
        first = len(self)
        for place in range(first, n_items):
            group = int(self._random() * self._config.n_groups)
            self._settle(group)
            places = self.places[group]
            rank = 1 + int(self._random() * len(places))
            self.weight[place] = rank**-self._config.popularity_exponent
            self.followers[place] = [self._pick(places) for _ in FOLLOWER_SHARES]
            for position in range(len(FOLLOWER_SHARES)):  # as many ways lead to a new item as to an old one
                self.followers[self._pick(places)][position] = place
        return list(range(first, len(self)))

    def drift(self) -> None:
        """Permute all items over the places."""
        draw = random.Random(f"{self._config.seed} drift").random
        self.item_at = sorted(range(len(self)), key=lambda _: draw())
        for place, item in enumerate(self.item_at):
            self.place_of[item] = place

    def _settle(self, group: int) -> None:
        place = len(self)
        self.group.append(group)
        self.weight.append(0.0)
        self.price.append(round(3.0 * 40.0 ** self._random(), 2))
        self.followers.append([])
        self.number_in_group.append(len(self.places[group]))
        self.places[group].append(place)
        self.item_at.append(place)
        self.place_of.append(place)

    def _pick(self, places: list[int]) -> int:
        return places[int(self._random() * len(places))]


class People:
    """Users by number: a main and a second taste group, and how readily they come."""

    def __init__(self, config: SyntheticConfig) -> None:
        self._random = random.Random(f"{config.seed} people").random
        self._ends = list(accumulate((group + 1) ** -0.5 for group in range(config.n_groups)))
        self.main: list[int] = []
        self.second: list[int] = []
        self.readiness: list[float] = []

    def __len__(self) -> int:
        return len(self.main)

    def grow(self, n_users: int) -> None:
        """Add users until there are ``n_users``."""
        for _ in range(len(self), n_users):
            self.main.append(self._taste())
            self.second.append(self._taste())
            # A long tail: half of the people come less than an eighth as readily as the keenest.
            self.readiness.append(max(0.03, self._random() ** 3))

    def _taste(self) -> int:
        return bisect(self._ends, self._random() * self._ends[-1])
