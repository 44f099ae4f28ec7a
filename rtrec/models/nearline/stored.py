"""Tables and other arrays as models store them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from rtrec.errors import CorruptionError
from rtrec.models.arrays import stored as array_of
from rtrec.models.nearline.base import Arrays
from rtrec.models.nearline.compressed import PRECISIONS, CompressedTable, Packed
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


def compressed_arrays(table: CompressedTable) -> Arrays:
    """Return a compressed table's arrays by name; what an item gives only if that is something else."""
    sides = {"found": table.found, "user": table.user}
    if table.given is not table.found:
        sides["given"] = table.given
    arrays = {
        f"vectors/{side}/{name}": array
        for side, each in sides.items()
        for name, array in each._asdict().items()
    }
    return arrays | {"vectors/has_user": table.has_user}


def stored_compressed(arrays: Mapping[str, npt.NDArray[Any]], model: str) -> CompressedTable:
    """Return the compressed table in the arrays that a model stored.

    Raises
    ------
    CorruptionError
        If one is missing, or they do not fit together.
    """
    found, user = (_stored_packed(arrays, side, model) for side in ("found", "user"))
    own = any(name.startswith("vectors/given/") for name in arrays)
    given = _stored_packed(arrays, "given", model) if own else found
    has_user = stored(arrays, "vectors/has_user", 1, model)
    if found.code.shape != given.code.shape or len(user.code) != len(has_user):
        raise CorruptionError(
            f"{model}: expected vectors found and given of one shape and has_user a user; "
            f"got {found.code.shape}, {given.code.shape}, {len(user.code)} users and {len(has_user)}"
        )
    return CompressedTable(found, given, user, has_user)


def _stored_packed(arrays: Mapping[str, npt.NDArray[Any]], side: str, model: str) -> Packed:
    code, step, unit = (
        stored(arrays, f"vectors/{side}/{name}", n_axes, model)
        for name, n_axes in (("code", 2), ("step", 1), ("unit", 1))
    )
    n_steps = len(code) if code.dtype == "int8" else 0
    if str(code.dtype) not in PRECISIONS or len(step) != n_steps or len(unit) != 1:
        raise CorruptionError(
            f"{model}: expected vectors/{side} as float16, or int8 with a step a row, and one unit; "
            f"got {code.shape} {code.dtype}, {len(step)} steps and {len(unit)} units"
        )
    return Packed(code, step, unit)


def stored(arrays: Mapping[str, npt.NDArray[Any]], name: str, n_axes: int, model: str) -> npt.NDArray[Any]:
    """Return an array that a model stored, of any lengths along so many axes.

    Raises
    ------
    CorruptionError
        If it is missing or has another number of axes.
    """
    return array_of(arrays, name, (None,) * n_axes, model)
