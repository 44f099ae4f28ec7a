"""What is made outside the stream and published: the kinds there are, and all of it as the kernel reads it.

A published thing is a named tuple of arrays that takes a place by name: a slot. Engine, store and snapshots
hand it on without looking inside; its kind is told by the names of its arrays. This file alone knows the
kinds: a new one is a field of :class:`Nearline`, a line in :data:`KINDS` and a case in each ``match`` below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from rtrec.declared import HISTORICAL, PLACES, SLOTS
from rtrec.errors import CorruptionError
from rtrec.models.arrays import leaves, made_of
from rtrec.models.forgetting import without_neighbours
from rtrec.models.nearline.tables import NeighbourTable, empty_table
from rtrec.models.past import Past, misfit_of, no_past, without_known
from rtrec.types import Nums

Published: TypeAlias = NeighbourTable | Past

#: An empty one of every kind: the names of its arrays, and their axes, tell it from the others.
KINDS: tuple[Published, ...] = (empty_table(0, 1), no_past())


class Nearline(NamedTuple):
    """All that is published, empty where nothing is: one argument of the kernel."""

    rows: tuple[NeighbourTable, ...]  # in the order of rtrec.declared.SLOTS
    past: Past


def empty_nearline() -> Nearline:
    """Return a bundle in which nothing is published."""
    return Nearline(rows=(empty_table(0, 1),) * len(SLOTS), past=no_past())


def nothing_for(slot: str) -> Published:
    """Return what clears a slot when it is published there."""
    return no_past() if slot == HISTORICAL else empty_table(0, 1)


def placed(nearline: Nearline, slot: str, value: Published) -> Nearline:
    """Return the bundle with a thing in a slot, in place of the last one, as kernels read it.

    Raises
    ------
    ValueError
        If there is no such slot (:data:`rtrec.declared.PLACES`), or it takes another kind of thing.
    """
    _check_slot(slot, value)
    match value:
        case Past():
            return nearline._replace(past=value)
        case NeighbourTable():
            place = tuple(SLOTS).index(slot)
            # Stored, weights may be float16.
            table = value._replace(weight=value.weight.astype(np.float32, copy=False))
            return nearline._replace(rows=_with(nearline.rows, place, table))


def by_slot(nearline: Nearline) -> dict[str, Published]:
    """Return what is published by slot, without the empty slots."""
    every: dict[str, Published] = dict(zip(SLOTS, nearline.rows, strict=True))
    every[HISTORICAL] = nearline.past
    return {slot: value for slot, value in every.items() if value.n_items > 0}


def without(value: Published, items: Nums, walkers: Nums) -> Published:
    """Return a published thing that says nothing of some items and users; a copy, unless it never did.

    Users are named by their numbers over all shards.
    """
    match value:
        case NeighbourTable():
            return without_neighbours(value, items)
        case Past():
            return without_known(value, items, walkers)


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
        case Past():
            return value.n_items


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
        case Past():
            return misfit_of(value)


def _with(slots: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*slots[:place], value, *slots[place + 1 :])


def _check_slot(slot: str, value: Published) -> None:
    if slot not in PLACES:
        raise ValueError(f"slot {slot!r}: expected one of {', '.join(PLACES)}")
    if isinstance(value, Past) != (slot == HISTORICAL):
        taken = "historical features" if slot == HISTORICAL else "a table"
        raise ValueError(f"slot {slot!r}: expected {taken}; got {type(value).__name__}")
