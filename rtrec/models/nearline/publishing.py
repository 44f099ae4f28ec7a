"""From what a model has learned to what is published of it."""

from __future__ import annotations

from typing import NamedTuple

from rtrec.models.nearline.compressed import CompressedTable
from rtrec.models.nearline.nearest import Nearest, Search, find_nearest
from rtrec.models.nearline.tables import NeighbourTable, Table
from rtrec.models.published import Published, VectorRows


class Publishable(NamedTuple):
    """What can be published, and how its rows were found; None if the model has rows of its own."""

    value: Published
    nearest: Nearest | None


def publishable(table: Table | CompressedTable, row_length: int, search: Search | None = None) -> Publishable:
    """Return rows as they are, and vectors with the rows of their nearest items.

    The rows bring candidates; the vectors then have their say on those of every table. Compressed vectors
    become float32, which the kernel multiplies.

    Parameters
    ----------
    row_length
        The most neighbours that vectors give an item.
    search
        How these are looked for.
    """
    if isinstance(table, NeighbourTable):
        return Publishable(table, None)
    nearest = find_nearest(table, row_length, search)
    vectors = table.expanded() if isinstance(table, CompressedTable) else table
    return Publishable(VectorRows(nearest.rows, vectors), nearest)
