"""What the state is made of: rows of neighbours, visits, tastes, and a few formulas."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np


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
