"""What streaming factor models have in common: vectors that grow, chance that repeats, state as arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from rtrec.models.arrays import stored
from rtrec.models.base import Recommender, checked_kind_weights
from rtrec.models.books import Books
from rtrec.models.jit import kernel
from rtrec.types import Floats, Nums, Singles

Longs = npt.NDArray[np.int64]
Chance = npt.NDArray[np.uint64]
State = TypeVar("State", bound=tuple[Any, ...])

_FIRST_ROWS = 1024
#: Vectors are kept within a ball of this radius, far outside where they live with sensible rates (1 to 3):
#: a step size that diverges then gives bad scores, never infinite ones.
LONGEST = np.float32(100.0)


class StreamingModel(Recommender, Generic[State]):
    """A model with a vector for each user and item.

    A subclass has its state in one ``NamedTuple`` of arrays, made without rows by :meth:`_empty`. A field
    whose name begins with ``user`` has a row for each user, one that begins with ``item`` a row for each
    item, with room for more; the others are kept as they are. Among them must be ``user`` and ``item`` (the
    vectors, float32), ``user_events`` and ``item_events`` (how many taught them), and ``mean``: the sum of
    all user vectors, and behind it their number.
    """

    def __init__(self, *, n_factors: int, seed: int, kind_weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        if n_factors < 1 or not 0 <= seed < 2**32:
            raise ValueError(f"n_factors is at least 1, seed from 0 to below 2**32; got {n_factors}, {seed}")
        self.kind_weights = checked_kind_weights(kind_weights)
        self.n_factors = n_factors
        self.seed = seed
        self.n_users = 0
        self.n_items = 0
        self._state = self._empty()

    def weight_of(self, kind: int) -> float:
        """See :class:`~rtrec.models.base.Recommender`."""
        return self.kind_weights[kind]

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        """Take the steps of one event, as far as its weight says; one below 0 steps the other way."""
        weight = self.weight_of(kind)
        if weight != 0.0:
            self.make_room(user_num, item_num)
            self._learn(user_num, item_num, weight)

    @abstractmethod
    def _learn(self, user_num: int, item_num: int, weight: float) -> None:
        """Take the steps of one event whose weight is not 0; there is room for user and item."""

    @abstractmethod
    def _empty(self) -> State:
        """Return the state of a model that knows nobody and nothing."""

    def _check(self, fields: Mapping[str, npt.NDArray[Any]]) -> None:
        """Raise CorruptionError where stored fields of the right shape say what cannot be."""

    def compile(self) -> None:
        """Compile the kernels by an event that is forgotten again."""
        arrays = self.to_arrays()
        self.learn_one(0, 0, 0.0, 0, np.nan)
        self.restore(arrays)

    def make_room(self, user_num: int, item_num: int) -> None:
        """Make room for the rows of a user and an item; what is there stays as it is."""
        self.n_users, self.n_items = max(self.n_users, user_num + 1), max(self.n_items, item_num + 1)
        state: Any = self._state
        if self.n_users > len(state.user) or self.n_items > len(state.item):
            rows = {
                "user": _room(len(state.user), self.n_users),
                "item": _room(len(state.item), self.n_items),
            }
            self._state = type(state)(
                *(
                    _lengthened(array, rows[axis]) if (axis := _axis(name)) else array
                    for name, array in zip(state._fields, state, strict=True)
                )
            )

    def user_vector(self, user_num: int) -> Floats:
        """Return the vector of a user, ``(d,)``; a stranger gets the mean of all users."""
        state: Any = self._state
        if 0 <= user_num < self.n_users and state.user_events[user_num]:
            return np.asarray(state.user[user_num], np.float64)
        mean: Floats = state.mean[:-1] / max(state.mean[-1], 1.0)
        return mean

    def score(self, user_num: int, timestamp: float) -> Floats:
        """Return the product of the user's vector with that of each item, ``(item,)``; NaN: never learned."""
        state: Any = self._state
        scores = (state.item[: self.n_items] @ self.user_vector(user_num).astype(np.float32)).astype(
            np.float64
        )
        scores[state.item_events[: self.n_items] == 0] = np.nan
        return scores

    def score_many(self, user_num: Nums, timestamp: float) -> Floats:
        """See :class:`~rtrec.models.base.Recommender`; all at once are one product of matrices."""
        state: Any = self._state
        vectors = np.array([self.user_vector(user) for user in user_num.tolist()], np.float32)
        vectors = vectors.reshape(-1, self.n_factors)
        scores = (vectors @ state.item[: self.n_items].T).astype(np.float64)
        scores[:, state.item_events[: self.n_items] == 0] = np.nan
        return scores

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the whole state as arrays for :mod:`rtrec.models.snapshot`, as copies."""
        state: Any = self._state
        used = {"user": self.n_users, "item": self.n_items}
        return {
            name: array[: used[axis]].copy() if (axis := _axis(name)) else array.copy()
            for name, array in zip(state._fields, state, strict=True)
        } | self._books.to_arrays()

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take what :meth:`to_arrays` of a model with the same options returned, and go on from there.

        Raises
        ------
        CorruptionError
            If arrays are missing or have the wrong shape.
        """
        state: Any = self._empty()
        named = "streaming state"
        n = {"": 0} | {
            axis: len(stored(arrays, f"{axis}_events", (None,), named, kind="i")) for axis in ("user", "item")
        }
        fields = {
            name: stored(
                arrays,
                name,
                (n[_axis(name)] if _axis(name) else len(one), *one.shape[1:]),
                named,
                kind=one.dtype.kind,
            )
            for name, one in zip(state._fields, state, strict=True)
        }
        books = Books.of(arrays, named)
        self._check(fields)
        self.n_users, self.n_items = 0, 0
        self._state = state
        self.make_room(n["user"] - 1, n["item"] - 1)
        for name, array in fields.items():
            getattr(self._state, name)[: len(array)] = array
        self._books = books


def _axis(field: str) -> str:
    """Return what a field has rows for: ``user``, ``item``, or nothing."""
    return next((axis for axis in ("user", "item") if field.split("_")[0] == axis), "")


def _room(n_rows: int, n_needed: int) -> int:
    """Return how many rows to have: twice as many as there are, as often as it takes."""
    n_rows = max(n_rows, _FIRST_ROWS)
    while n_rows < n_needed:
        n_rows *= 2
    return n_rows


def _lengthened(array: npt.NDArray[Any], n_rows: int) -> npt.NDArray[Any]:
    longer = np.zeros((n_rows, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


@kernel
def draw(chance: Chance) -> np.uint64:
    """Return 64 bits by chance, with its state in ``chance``, ``(1,)`` (SplitMix: Steele et al. 2014)."""
    chance[0] += np.uint64(0x9E3779B97F4A7C15)
    bits = chance[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@kernel
def start_vector(vector: Singles, seed: int, row: int, spread: float) -> None:
    """Fill the vector of a new row by chance, evenly about 0 with standard deviation ``spread``.

    It follows from ``seed`` and ``row`` alone: who came before, and in which batch, plays no part.
    """
    chance = np.array([seed], np.uint64)
    chance[0] = draw(chance) + np.uint64(row)
    for place in range(len(vector)):
        evenly = np.float64(draw(chance) >> np.uint64(11)) * 2.0**-53
        vector[place] = spread * np.sqrt(12.0) * (evenly - 0.5)


@kernel
def hold(vector: Singles) -> None:
    """Scale a vector that left the ball of radius :data:`LONGEST` back onto it."""
    square = np.float32(0.0)
    for value in vector:
        square += value * value
    if square > LONGEST * LONGEST:
        scale = LONGEST / np.sqrt(square)
        for place in range(len(vector)):
            vector[place] *= scale


@kernel
def move_mean(mean: Floats, before: Singles, after: Singles, n_new: int) -> None:
    """Let the sum of all user vectors, with their number behind it, follow one that moved."""
    for place in range(len(before)):
        mean[place] += np.float64(after[place]) - np.float64(before[place])
    mean[-1] += n_new
