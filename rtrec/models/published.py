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
from rtrec.features.categories import NO_CATEGORY, ItemCategories, no_categories
from rtrec.models.arrays import leaves, made_of, under
from rtrec.models.forgetting import without_categories, without_neighbours
from rtrec.models.nearline.tables import NeighbourTable, VectorTable, empty_table
from rtrec.models.past import Past, no_past, without_known
from rtrec.models.past import misfit_of as misfit_of_past
from rtrec.types import Floats, Nums, Singles


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
#: No opinion is larger: its square, summed over all candidates, must be a number in single precision.
MOST_SAID = 1e15
_ROWS_AT_ONCE = 10_000
_MOST_ITEMS = 2**31


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
    found = under(arrays, prefix)
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
    if misfit := misfit_of(value):
        raise CorruptionError(f"{where}: {misfit}")
    return value


def misfit_of(value: Published, most_items: int = _MOST_ITEMS) -> str:
    """Say what in a published thing does not fit, or cannot be said; empty if all does.

    Kernels follow the numbers of items, and the lengths of rows, without looking; and one opinion that is no
    number would make weights of the ranker none, for good.

    Parameters
    ----------
    most_items
        Numbers of items lie below this, or below the number of rows: all of them get room.
    """
    match value:
        case NeighbourTable():
            return _misfit_of_rows(value, most_items)
        case VectorRows(rows, (found, given, user)):
            if found.shape != given.shape or found.shape[1] != user.shape[1]:
                said = f"{found.shape}, {given.shape}, {user.shape}"
                return (
                    f"expected vectors found and given of one shape, and users of the same length; got {said}"
                )
            learned = user[~np.isnan(user[:, :1]).any(axis=1)]  # a row of NaN: no vector of that user
            if all(_longest(found) * _longest(each) <= MOST_SAID for each in (given, learned)):
                return _misfit_of_rows(rows, most_items)
            return (
                f"expected vectors whose products are at most {MOST_SAID:.0e}; some are larger, or not finite"
            )
        case Past(item_value, cohort_lift, _, user_level):
            if misfit := misfit_of_past(value):
                return misfit
            fits = all(_is_said(each) for each in (item_value, cohort_lift, user_level))
            return "" if fits else f"expected values and lifts of at most {MOST_SAID:.0e}; some are not"
        case ItemCategories(number, n_items):
            lowest, highest = int(number.min(initial=NO_CATEGORY)), int(number.max(initial=NO_CATEGORY))
            fits = lowest >= NO_CATEGORY and highest < len(n_items)
            said = f"got {highest if lowest >= NO_CATEGORY else lowest}"
            return "" if fits else f"expected categories 0 to {len(n_items) - 1}; {said}"


def _misfit_of_rows(table: NeighbourTable, most_items: int) -> str:
    item, weight, size = table
    if item.shape != weight.shape or len(item) != len(size):
        said = f"{item.shape}, {weight.shape}, {size.shape}"
        return f"expected a table's item and weight of one shape and a size a row; got {said}"
    shortest, longest = int(size.min(initial=0)), int(size.max(initial=0))
    if shortest < 0 or longest > item.shape[1]:
        return (
            f"expected rows of 0 to {item.shape[1]} neighbours; got a size of {min(shortest, 0) or longest}"
        )
    for start in range(0, len(size), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        filled = np.arange(item.shape[1]) < size[block, None]
        named = item[block][filled]
        lowest, highest = int(named.min(initial=0)), int(named.max(initial=0))
        if lowest < 0 or highest >= max(most_items, len(size)):
            said = f"got {lowest if lowest < 0 else highest:,}"
            return f"expected numbers of items from 0 to {max(most_items, len(size)) - 1:,}; {said}"
        weights = weight[block][filled]
        if not _is_said(weights) or weights.min(initial=0.0) < 0.0:
            return f"expected weights from 0 to {MOST_SAID:.0e}; some are not"
    return ""


def _is_said(numbers: np.ndarray[Any, Any]) -> bool:
    """Say whether numbers are finite, and none is too large to be squared."""
    return float(np.abs(numbers).max(initial=0.0)) <= MOST_SAID


def _longest(vectors: Singles) -> float:
    """Return the length of the longest vector, NaN or infinite where one is not finite."""
    squares: Floats = np.einsum("vd,vd->v", vectors, vectors, dtype=np.float64)
    return float(np.sqrt(squares.max(initial=0.0)))


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
