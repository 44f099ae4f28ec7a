"""Tables and other arrays as models store them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from rtrec.errors import CorruptionError
from rtrec.models.nearline.base import Arrays
from rtrec.models.nearline.tables import NeighbourTable


def table_arrays(table: NeighbourTable) -> Arrays:
    """Return a table's arrays by name."""
    return {f"table/{name}": array for name, array in table._asdict().items()}


def stored_table(arrays: Mapping[str, npt.NDArray[Any]], model: str) -> NeighbourTable:
    """Return the table in the arrays that a model stored.

    Raises
    ------
    CorruptionError
        If one is missing, or they do not fit together.
    """
    item, weight, size = (
        stored(arrays, f"table/{name}", n_axes, model)
        for name, n_axes in (("item", 2), ("weight", 2), ("size", 1))
    )
    if item.shape != weight.shape or len(item) != len(size):
        raise CorruptionError(
            f"{model}: expected a table's item and weight of one shape and a size a row; "
            f"got {item.shape}, {weight.shape}, {size.shape}"
        )
    return NeighbourTable(item, weight, size)


def stored(arrays: Mapping[str, npt.NDArray[Any]], name: str, n_axes: int, model: str) -> npt.NDArray[Any]:
    """Return an array that a model stored.

    Raises
    ------
    CorruptionError
        If it is missing or has another number of axes.
    """
    if name not in arrays:
        raise CorruptionError(
            f"{model}: expected an array {name!r}; got {', '.join(sorted(arrays)) or 'none'}"
        )
    if arrays[name].ndim != n_axes:
        raise CorruptionError(f"{model}: expected {n_axes} axes in {name!r}; got shape {arrays[name].shape}")
    return arrays[name]
