"""What is made outside the stream and published: the kinds there are, and all of it as the kernel reads it.

A published thing is a named tuple of arrays that takes a place by name: a slot. Engine, store and snapshots
hand it on without looking inside; its kind is told by the names of its arrays. This file alone knows the
kinds: a new one is a field of :class:`Nearline`, a line in :data:`KINDS` and a case in each ``match`` below.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from rtrec.declared import SLOTS
from rtrec.errors import CorruptionError
from rtrec.features.categories import ItemCategories, no_categories
from rtrec.models.arrays import leaves, made_of
from rtrec.models.forgetting import without_categories, without_neighbours
from rtrec.models.nearline.tables import NeighbourTable, empty_table
from rtrec.types import Nums

Published: TypeAlias = NeighbourTable | ItemCategories

#: The slot of the categories of items; no feature of its own, and nothing but a beginning puts it in place.
CATEGORIES = "categories"
#: An empty one of every kind: the names of its arrays, and their axes, tell it from the others.
KINDS: tuple[Published, ...] = (empty_table(0, 1), no_categories())


class Nearline(NamedTuple):
    """All that is published, empty where nothing is: one argument of the kernel."""

    rows: tuple[NeighbourTable, ...]  # in the order of rtrec.declared.SLOTS
    categories: ItemCategories


def empty_nearline() -> Nearline:
    """Return a bundle in which nothing is published."""
    return Nearline(rows=(empty_table(0, 1),) * len(SLOTS), categories=no_categories())


def nothing_for(slot: str) -> Published:
    """Return what clears a slot when it is published there."""
    return no_categories() if slot == CATEGORIES else empty_table(0, 1)


def placed(nearline: Nearline, slot: str, value: Published) -> Nearline:
    """Return the bundle with a thing in a slot, in place of the last one, as kernels read it.

    Raises
    ------
    ValueError
        If there is no such slot for it (:data:`rtrec.declared.SLOTS`, or :data:`CATEGORIES`).
    """
    match value:
        case NeighbourTable():
            _check_slot(slot, SLOTS)
            place = tuple(SLOTS).index(slot)
            # Stored, weights may be float16.
            table = value._replace(weight=value.weight.astype(np.float32, copy=False))
            return nearline._replace(rows=_with(nearline.rows, place, table))
        case ItemCategories():
            _check_slot(slot, (CATEGORIES,))
            return nearline._replace(categories=value)


def by_slot(nearline: Nearline) -> dict[str, Published]:
    """Return what is published by slot, without the empty slots."""
    found: dict[str, Published] = {
        slot: table for slot, table in zip(SLOTS, nearline.rows, strict=True) if table.n_items > 0
    }
    if nearline.categories.n_categories:
        found[CATEGORIES] = nearline.categories
    return found


def without_items(value: Published, nums: Nums) -> Published:
    """Return a published thing that says nothing of some items; a copy, unless it never did."""
    match value:
        case NeighbourTable():
            return without_neighbours(value, nums)
        case ItemCategories():
            return without_categories(value, nums)


def forgotten(nearline: Nearline, nums: Nums) -> Nearline:
    """Return the bundle in which nothing speaks of some items."""
    for slot, value in by_slot(nearline).items():
        nearline = placed(nearline, slot, without_items(value, nums))
    return nearline


def n_items_of(value: Published) -> int:
    """Return how many items there must be for all that a published thing speaks of."""
    match value:
        case NeighbourTable():
            return max(value.n_items, int(value.item.max(initial=-1)) + 1)
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
            fits = item.shape == weight.shape and len(item) == len(size)
            said = f"got {item.shape}, {weight.shape}, {size.shape}"
            return "" if fits else f"expected a table's item and weight of one shape and a size a row; {said}"
        case ItemCategories(number, n_items):
            highest = int(number.max(initial=-1))
            fits = highest < len(n_items)
            return "" if fits else f"expected categories 0 to {len(n_items) - 1}; got {highest}"


def _with(slots: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*slots[:place], value, *slots[place + 1 :])


def _check_slot(slot: str, expected: Collection[str]) -> None:
    if slot not in expected:
        raise ValueError(f"slot {slot!r}: expected one of {', '.join(expected)}")
