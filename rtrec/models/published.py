"""What is made outside the stream and published: the kinds there are, and all of it as the kernel reads it.

A published thing is a named tuple of arrays that takes a place by name: a slot. Engine, store and snapshots
hand it on without looking inside; its kind is told by the names of its arrays. This file alone knows the
kinds: a new one is a field of :class:`Nearline`, a line in :data:`KINDS` and a case in each ``match`` below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from rtrec.declared import HISTORICAL, SLOTS
from rtrec.errors import CorruptionError
from rtrec.features.categories import ItemCategories, no_categories
from rtrec.models.arrays import leaves, made_of
from rtrec.models.forgetting import without_categories, without_neighbours
from rtrec.models.nearline.tables import NeighbourTable, VectorTable, empty_table
from rtrec.models.past import Past, misfit_of, no_past, without_known
from rtrec.types import Nums


class VectorRows(NamedTuple):
    """A vector table: its nearest items as rows, which bring candidates, and what it says of any."""

    rows: NeighbourTable
    vectors: VectorTable

    @property
    def n_items(self) -> int:
        """Return how many items have a row."""
        return self.rows.n_items


Published: TypeAlias = NeighbourTable | VectorRows | Past | ItemCategories

#: The place of the categories of items; nothing but a beginning puts them there.
CATEGORIES = "categories"

_NO_ROWS = empty_table(0, 1)
_NO_VECTORS = VectorTable(*(np.zeros((0, 1), np.float32) for _ in VectorTable._fields))
#: An empty one of every kind: the names of its arrays, and their axes, tell it from the others.
KINDS: tuple[Published, ...] = (_NO_ROWS, VectorRows(_NO_ROWS, _NO_VECTORS), no_past(), no_categories())


class Nearline(NamedTuple):
    """All that is published, empty where nothing is: one argument of the kernel."""

    rows: tuple[NeighbourTable, ...]  # in the order of rtrec.declared.SLOTS
    vectors: tuple[VectorTable, ...]  # likewise; without items where only rows are published
    past: Past
    categories: ItemCategories


def empty_nearline() -> Nearline:
    """Return a bundle in which nothing is published."""
    return Nearline(
        rows=(_NO_ROWS,) * len(SLOTS),
        vectors=(_NO_VECTORS,) * len(SLOTS),
        past=no_past(),
        categories=no_categories(),
    )


def nothing_for(slot: str) -> Published:
    """Return what clears a slot when it is published there."""
    return {HISTORICAL: no_past(), CATEGORIES: no_categories()}.get(slot, _NO_ROWS)


def placed(nearline: Nearline, slot: str, value: Published) -> Nearline:
    """Return the bundle with a thing in a slot, in place of the last one, as kernels read it.

    Raises
    ------
    ValueError
        If there is no such slot (:data:`rtrec.declared.PLACES`, or :data:`CATEGORIES`), or it takes another
        kind of thing.
    """
    _check_slot(slot, value)
    match value:
        case Past():
            return nearline._replace(past=value)
        case NeighbourTable():
            return _placed(nearline, slot, value, _NO_VECTORS)
        case VectorRows(rows, vectors):
            return _placed(nearline, slot, rows, vectors)
        case ItemCategories():
            return nearline._replace(categories=value)


def by_slot(nearline: Nearline) -> dict[str, Published]:
    """Return what is published by slot, without the empty slots."""
    found: dict[str, Published] = {}
    for slot, rows, vectors in zip(SLOTS, nearline.rows, nearline.vectors, strict=True):
        if vectors.n_items > 0:
            found[slot] = VectorRows(rows, vectors)
        elif rows.n_items > 0:
            found[slot] = rows
    if nearline.past.n_items > 0:
        found[HISTORICAL] = nearline.past
    if nearline.categories.n_categories:
        found[CATEGORIES] = nearline.categories
    return found


def without(value: Published, items: Nums, walkers: Nums) -> Published:
    """Return a published thing that says nothing of some items and users; a copy, unless it never did.

    Parameters
    ----------
    walkers
        Numbers of users among those of all shards.
    """
    match value:
        case NeighbourTable():
            return without_neighbours(value, items)
        case VectorRows(rows, (found, given, user)):
            return VectorRows(
                without_neighbours(rows, items),
                VectorTable(
                    _cleared(found, items, 0.0), _cleared(given, items, 0.0), _cleared(user, walkers, np.nan)
                ),
            )
        case Past():
            return without_known(value, items, walkers)
        case ItemCategories():
            return without_categories(value, items)


def forgotten(nearline: Nearline, items: Nums, walkers: Nums) -> Nearline:
    """Return the bundle in which nothing speaks of some items and users."""
    for slot, value in by_slot(nearline).items():
        nearline = placed(nearline, slot, without(value, items, walkers))
    return nearline


def n_items_of(value: Published) -> int:
    """Return how many items there must be for all that a published thing speaks of."""
    match value:
        case NeighbourTable():
            return max(value.n_items, int(value.item.max(initial=-1)) + 1)
        case VectorRows(rows, vectors):
            return max(n_items_of(rows), vectors.n_items)
        case Past():
            return value.n_items
        case ItemCategories(number):
            return len(number)


def to_arrays(value: Published, prefix: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a published thing by name."""
    return {f"{prefix}{name}": array for name, array in leaves(value)}


def from_arrays(arrays: Mapping[str, np.ndarray[Any, Any]], prefix: str, where: str) -> Published:
    """Return the published thing whose arrays :func:`to_arrays` named, behind a prefix.

    Parameters
    ----------
    where
        What the arrays belong to, for the error.

    Raises
    ------
    CorruptionError
        If they are of no kind there is, or do not fit together.
    """
    found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    for empty in KINDS:
        expected = to_arrays(empty)
        if found.keys() == expected.keys():
            break
    else:
        kinds = " or ".join(", ".join(f"{prefix}{name}" for name in to_arrays(empty)) for empty in KINDS)
        raise CorruptionError(
            f"{where}: expected arrays {kinds}; got {', '.join(sorted(arrays)) or 'none'}: made by another "
            "version of rtrec?"
        )
    for name, array in found.items():
        if array.ndim != expected[name].ndim:
            raise CorruptionError(
                f"{where}: expected {expected[name].ndim} axes in {prefix + name!r}; got shape {array.shape}"
            )
    value = made_of(empty, found)
    if misfit := _misfit(value):
        raise CorruptionError(f"{where}: {misfit}")
    return value


def _misfit(value: Published) -> str:
    """Say what in a published thing does not fit together; empty if all does."""
    match value:
        case NeighbourTable(item, weight, size):
            if item.shape == weight.shape and len(item) == len(size):
                return ""
            said = f"{item.shape}, {weight.shape}, {size.shape}"
            return f"expected a table's item and weight of one shape and a size a row; got {said}"
        case VectorRows(rows, (found, given, user)):
            if found.shape == given.shape and found.shape[1] == user.shape[1]:
                return _misfit(rows)
            said = f"{found.shape}, {given.shape}, {user.shape}"
            return f"expected vectors found and given of one shape, and users of the same length; got {said}"
        case Past():
            return misfit_of(value)
        case ItemCategories(number, n_items):
            highest = int(number.max(initial=-1))
            fits = highest < len(n_items)
            return "" if fits else f"expected categories 0 to {len(n_items) - 1}; got {highest}"


def _placed(nearline: Nearline, slot: str, rows: NeighbourTable, vectors: VectorTable) -> Nearline:
    """Return the bundle with a table in its place, in the types that kernels were compiled for.

    Stored, numbers may be float16, or arrays that cannot be written.
    """
    place = tuple(SLOTS).index(slot)
    rows = NeighbourTable(*map(_plain, rows, (np.int32, np.float32, np.int32)))
    vectors = VectorTable(*(_plain(array, np.float32) for array in vectors))
    return nearline._replace(
        rows=_with(nearline.rows, place, rows), vectors=_with(nearline.vectors, place, vectors)
    )


def _plain(array: np.ndarray[Any, Any], dtype: type[np.generic]) -> np.ndarray[Any, Any]:
    return np.require(array, dtype, ["C_CONTIGUOUS", "WRITEABLE", "ENSUREARRAY"])


def _cleared(rows: np.ndarray[Any, Any], nums: Nums, blank: float) -> np.ndarray[Any, Any]:
    """Return the rows with some of them blank; a copy, unless they are not there."""
    nums = nums[nums < len(rows)]
    if not len(nums):
        return rows
    rows = np.array(rows)
    rows[nums] = blank
    return rows


def _with(slots: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*slots[:place], value, *slots[place + 1 :])


def _check_slot(slot: str, value: Published) -> None:
    match value:
        case Past():
            expected: tuple[str, ...] = (HISTORICAL,)
        case ItemCategories():
            expected = (CATEGORIES,)
        case _:
            expected = tuple(SLOTS)
    if slot not in expected:
        raise ValueError(f"slot {slot!r}: expected one of {', '.join(expected)} for a {type(value).__name__}")
