"""A uniform sample of all examples seen so far, of bounded size, to be learned again beside new ones.

A network that is taught only what is new forgets what is old. Mixing in a sample of the past (experience
replay) keeps it; the reservoir holds that sample without keeping the past.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rtrec.errors import CorruptionError
from rtrec.models.nearline.base import Arrays
from rtrec.models.nearline.torch_training import checked
from rtrec.types import Floats

#: Examples as arrays of one length, by name.
Columns = dict[str, np.ndarray[Any, Any]]


def n_rows(columns: Columns) -> int:
    """Return how many examples there are."""
    return len(next(iter(columns.values())))


def joined(one: Columns, other: Columns) -> Columns:
    """Return the examples of both."""
    return {name: np.concatenate([one[name], other[name]]) for name in one}


class Reservoir:
    """At most ``capacity`` examples, each of those ever offered with the same chance (Vitter 1985).

    Example number t (from 0) takes the place floor(u (t + 1)), u uniform, of one that was there; if that is
    no place among ``capacity``, it is left out.

    >>> reservoir = Reservoir(2, {"item": np.zeros(0, np.int32)})
    >>> reservoir.offer({"item": np.array([7, 8, 9], np.int32)}, np.array([0.0, 0.0, 0.5]))
    >>> reservoir.columns["item"].tolist()  # the third takes place floor(0.5 x 3) = 1
    [7, 9]
    """

    def __init__(self, capacity: int, empty: Columns) -> None:
        self.capacity = capacity
        self.columns = {name: np.copy(column[:0]) for name, column in empty.items()}
        self.n_seen = 0

    def offer(self, examples: Columns, draws: Floats) -> None:
        """Show it examples, with a number from 0 to below 1 for each."""
        numbers = self.n_seen + np.arange(len(draws))
        place = np.where(numbers < self.capacity, numbers, (draws * (numbers + 1)).astype(np.int64))
        kept = place < self.capacity
        self.n_seen += len(draws)
        for name, column in self.columns.items():
            grown = np.empty((min(self.n_seen, self.capacity), *column.shape[1:]), column.dtype)
            grown[: len(column)] = column
            grown[place[kept]] = examples[name][kept]  # where a place comes twice, the later example stays
            self.columns[name] = grown

    def taken(self, draws: Floats) -> Columns:
        """Return an example for each number from 0 to below 1; none if there is none."""
        size = n_rows(self.columns)
        places = (draws * size).astype(np.int64) if size else np.zeros(0, np.int64)
        return {name: column[places] for name, column in self.columns.items()}

    def to_arrays(self) -> Arrays:
        """Return the sample, as copies, and how many examples it stands for."""
        arrays = {f"replay/{name}": column.copy() for name, column in self.columns.items()}
        return arrays | {"replay/n_seen": np.array([self.n_seen], np.int64)}

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take what :meth:`to_arrays` of a reservoir of the same capacity and columns returned.

        Raises
        ------
        CorruptionError
            If an array is missing or has another shape or type.
        """
        seen = checked(arrays, "replay/n_seen", np.zeros(1, np.int64))
        columns = {
            name: np.array(checked(arrays, f"replay/{name}", column)) for name, column in self.columns.items()
        }
        size = min(int(seen[0]), self.capacity) if len(seen) == 1 else -1
        for name, column in columns.items():
            if len(column) != size:
                raise CorruptionError(
                    f"state of a model: array 'replay/{name}': expected {size} rows, got {len(column)}"
                )
        self.columns, self.n_seen = columns, int(seen[0])
