"""Tables of arrays as flat names, and how they grow.

Every array has room for more rows than are in use. Most have a row an item (or a user) along their first
axis; the few others are named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from rtrec.errors import CorruptionError

_Table = TypeVar("_Table", bound=tuple[Any, ...])
_PAIRS = ("pair", "pair_count", "pair_time", "pair_hint", "n_pairs")
#: Arrays of fixed size, kept whole.
WHOLE = ("trend_item", "trend_size", "daypart_total", *_PAIRS)
#: Arrays whose second axis is the item.
BY_COLUMN = ("heat",)
#: Item state with a row for each user of all shards.
BY_WALKER = ("last_item", "last_visit")


def leaves(table: Any, prefix: str = "") -> list[tuple[str, np.ndarray]]:
    """Return the arrays of a named tuple, and of those in it, with names such as ``trails/after``."""
    found = []
    for name, value in zip(table._fields, table, strict=True):
        if isinstance(value, tuple):
            found += leaves(value, f"{prefix}{name}/")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def copied(table: _Table) -> _Table:
    """Return the table with arrays of its own, which kernels take as they are: they may be written."""
    fields = (copied(value) if isinstance(value, tuple) else np.array(value, order="C") for value in table)
    made: _Table = type(table)(*fields)
    return made


def made_of(table: _Table, arrays: Mapping[str, np.ndarray], prefix: str = "") -> _Table:
    """Return a table such as ``table`` of the arrays that :func:`leaves` named."""
    fields = (
        made_of(value, arrays, f"{prefix}{name}/") if isinstance(value, tuple) else arrays[f"{prefix}{name}"]
        for name, value in zip(table._fields, table, strict=True)  # type: ignore[attr-defined]
    )
    made: _Table = type(table)(*fields)
    return made


def under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with ``prefix``, by what is behind it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def used(name: str, array: np.ndarray, n: int, n_walkers: int = 0) -> np.ndarray:
    """Return the part of an array that belongs to ``n`` known items or users, as a view."""
    if name in WHOLE:
        return array
    if name in BY_WALKER:
        return array[:n_walkers]
    return array[:, :n] if name in BY_COLUMN else array[:n]


def copy_into(larger: _Table, table: _Table) -> _Table:
    """Copy all of ``table`` into the beginning of a larger one."""
    for (name, new), (_, old) in zip(leaves(larger), leaves(table), strict=True):
        if name in WHOLE:
            new[...] = old
        elif name in BY_COLUMN:
            new[:, : old.shape[1]] = old
        else:
            new[: len(old)] = old
    return larger


def fill_from(table: Any, arrays: Mapping[str, np.ndarray], prefix: str, n: int, n_walkers: int = 0) -> None:
    """Write arrays that :func:`leaves` named (behind ``prefix``) into the part of ``table`` in use.

    Raises
    ------
    CorruptionError
        If one is missing or has another shape.
    """
    for name, array in leaves(table):
        part = used(name, array, n, n_walkers)
        part[...] = stored(arrays, f"{prefix}{name}", part.shape, "state", kind=part.dtype.kind)


def stored(
    arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...], model: str, *, kind: str = ""
) -> np.ndarray:
    """Return an array of the state that ``model`` stored; None in ``shape`` stands for any length.

    Raises
    ------
    CorruptionError
        If it is missing, or has another shape or ``kind`` of numbers (that of its dtype; empty for any).
    """
    if name not in arrays:
        raise CorruptionError(f"{model}: no array {name!r} among {', '.join(sorted(arrays)) or 'none'}")
    array = arrays[name]
    fits = array.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits or (kind and array.dtype.kind != kind):
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise CorruptionError(
            f"{model}: expected array {name!r} of shape ({wanted}){f' and kind {kind!r}' if kind else ''}; "
            f"got {array.shape} of {array.dtype}: made with other options, or damaged"
        )
    return array
