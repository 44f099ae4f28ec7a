"""The nearest items of a vector table as neighbour rows: exact, or by an index whose recall is measured.

This is how a vector table brings candidates to the kernel: a user who is the mean of what their items give
scores an item as the mean of those items' rows does, as far as the rows reach. What the vectors say exactly,
of those and of all other candidates, is in :mod:`rtrec.models.products`.

Exact rows take all products, so time grows with the square of the items. Above :data:`APPROXIMATE_ABOVE`
items usearch walks a graph of near items instead (HNSW: Malkov, Yashunin 2018, over inner products as they
are: the usual detour through one more dimension lost half of the recall when it was tried). It finds most of
the nearest, not all; how many depends on the shape of the vectors, so each time rows are made, a sample of
them is made exactly too, and the *recall* is the share of the exact neighbours that were found. While it is
below what is wanted, the search is widened. Weights are exact either way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from rtrec.errors import to_install
from rtrec.models.nearline.compressed import CompressedTable
from rtrec.models.nearline.tables import (
    NeighbourTable,
    VectorTable,
    empty_table,
    keep_strongest,
    strongest,
)
from rtrec.types import Nums, Singles

_log = structlog.get_logger(__name__)
#: Up to so many items all products are taken: an index is then no faster than it takes to build.
APPROXIMATE_ABOVE = 100_000
#: Products held at a time (float32: 64 MB), whatever the number of items.
_BLOCK_CELLS = 16_000_000
_BLOCK_ROWS = 4096
#: How wide a search begins, and how wide it gets at most: its time grows in step.
_FIRST_WIDTH, _MOST_WIDTH = 128, 2048


class Search(NamedTuple):
    """How nearest items are looked for."""

    approximate_above: int = APPROXIMATE_ABOVE
    #: The share of the exact neighbours that should be found.
    recall: float = 0.95
    #: Rows that are made both ways to measure it.
    sample: int = 200
    threads: int = 1
    #: Of the sample.
    seed: int = 0


class Nearest(NamedTuple):
    """Neighbour rows, and how they were found."""

    rows: NeighbourTable
    #: ``exact`` or ``usearch``.
    method: str
    #: Share of the exact neighbours found, over the rows that were made both ways; 1 if all are exact.
    recall: float
    #: How many rows that were; 0 if all are exact.
    sample: int
    seconds: float

    def about(self) -> dict[str, str | float | int]:
        """Return what a publication says of its rows, as plain values."""
        return {"search": self.method, "recall": round(self.recall, 4), "recall_sample": self.sample}


def nearest_rows(
    table: VectorTable | CompressedTable, m: int, search: Search | None = None
) -> NeighbourTable:
    """Return the rows of :func:`find_nearest`."""
    return find_nearest(table, m, search).rows


def find_nearest(
    table: VectorTable | CompressedTable,
    m: int,
    search: Search | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Nearest:
    """Return for each item the ``m`` others that a user who had just it would score highest, above zero.

    A recall below what ``search`` wants is logged as a warning. So is a table that is large enough for an
    index while usearch is not installed: its rows are exact then, and slow.
    """
    search = search or Search()
    began = clock()
    if table.n_items > search.approximate_above:
        if find_spec("usearch") is not None:
            return _approximate(table, m, search, clock, began)
        _log.warning(
            "nearest items are looked for one with all others, which takes minutes for so many; usearch is "
            f"faster, {to_install('ann')}",
            items=table.n_items,
            approximate_above=search.approximate_above,
        )
    rows, everyone = empty_table(table.n_items, m), np.arange(table.n_items, dtype=np.int32)
    for items, products in _products(table, np.arange(table.n_items, dtype=np.int32)):
        for item, own in zip(items.tolist(), products, strict=True):
            keep_strongest(rows, item, everyone, own)
    return Nearest(rows, "exact", 1.0, 0, clock() - began)


def _products(table: VectorTable | CompressedTable, items: Nums) -> Iterator[tuple[Nums, Singles]]:
    """Yield some of the items at a time, and the products of each with all others, ``(item, other)``."""
    step = max(_BLOCK_CELLS // max(table.n_items, 1), 1)
    for start in range(0, len(items), step):
        some = items[start : start + step]
        given = table.given_rows(some)
        products = np.empty((len(some), table.n_items), np.float32)
        for first in range(0, table.n_items, _BLOCK_ROWS):
            block = slice(first, first + _BLOCK_ROWS)
            products[:, block] = given @ table.found_rows(block).T
        yield some, products


def _approximate(
    table: VectorTable | CompressedTable,
    m: int,
    search: Search,
    clock: Callable[[], float],
    began: float,
) -> Nearest:
    index = _index(table, search.threads)
    rows = empty_table(table.n_items, m)
    rng = np.random.default_rng(search.seed)
    sample = rng.permutation(table.n_items)[: search.sample].astype(np.int32)
    everyone = np.arange(table.n_items, dtype=np.int32)
    exact = [
        strongest(item, everyone, own, rows.item.shape[1])[0]
        for items, products in _products(table, sample)
        for item, own in zip(items.tolist(), products, strict=True)
    ]
    width = max(_FIRST_WIDTH, 2 * m)
    while True:
        index.expansion_search = width
        _fill_from(index, rows, table, sample, search.threads)
        recall = recall_of(rows, sample, exact)
        if recall >= search.recall or width >= _MOST_WIDTH:
            break
        width *= 2
    for start in range(0, table.n_items, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, table.n_items)
        _fill_from(index, rows, table, np.arange(start, stop, dtype=np.int32), search.threads)
    found = Nearest(rows, "usearch", recall, len(sample), clock() - began)
    said = {"items": table.n_items, "width": width, "seconds": round(found.seconds, 1)}
    if recall < search.recall:
        _log.warning(
            "an index misses neighbours: raise approximate_above in Search so that all products are taken, "
            "or lower the recall that is wanted",
            wanted=search.recall,
            **found.about(),
            **said,
        )
    else:
        _log.info("nearest items found by an index", **found.about(), **said)
    return found


def _index(table: VectorTable | CompressedTable, threads: int) -> Any:
    """Return an index over what items are found by; what is 0 can be near to nothing and stays out."""
    from usearch.index import Index

    blocks = [slice(start, start + _BLOCK_ROWS) for start in range(0, table.n_items, _BLOCK_ROWS)]
    largest = max(float(np.abs(table.found_rows(block)).max(initial=0.0)) for block in blocks) or 1.0
    index = Index(ndim=table.found_rows(slice(0, 1)).shape[1], metric="ip", dtype="f16")
    for block in blocks:
        vectors = table.found_rows(block) / np.float32(largest)  # float16 holds it, and no order changes
        there = np.flatnonzero(vectors.any(axis=1))
        if len(there):
            index.add((block.start + there).astype(np.uint64), vectors[there], threads=threads)
    return index


def _fill_from(
    index: Any,
    rows: NeighbourTable,
    table: VectorTable | CompressedTable,
    items: Nums,
    threads: int,
) -> None:
    """Fill the rows of some items with what the index finds near them, weighed exactly."""
    if not len(index):
        return
    given = table.given_rows(items)
    largest = np.maximum(np.abs(given).max(axis=1, keepdims=True), np.float32(1e-30))
    n_wanted = min(rows.item.shape[1] + 1, len(index))  # it may find the item itself
    matches = index.search(given / largest, n_wanted, threads=threads)
    near = matches.keys.reshape(len(items), n_wanted)
    n_found = np.broadcast_to(getattr(matches, "counts", n_wanted), len(items))
    for place, item in enumerate(items.tolist()):
        others = near[place, : n_found[place]].astype(np.int32)
        keep_strongest(rows, item, others, table.found_rows(others) @ given[place])


def recall_of(rows: NeighbourTable, items: Nums, exact: Sequence[npt.NDArray[np.integer]]) -> float:
    """Return the share of the ``exact`` neighbours of some items that ``rows`` has; 1 if there are none."""
    n_exact = sum(map(len, exact))
    n_found = sum(
        int(np.isin(wanted, rows.item[item, : rows.size[item]]).sum())
        for item, wanted in zip(items.tolist(), exact, strict=True)
    )
    return n_found / n_exact if n_exact else 1.0
