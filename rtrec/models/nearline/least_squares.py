"""Weighted least squares row by row: the half sweep of :mod:`rtrec.models.nearline.ials`.

Each row of a block is the solution of its own normal equations against all rows of the other side,

    x = (a0 * Y'Y + sum over entries of w y y' + l (sum of w + a0 * n)^p I)^-1 * sum over entries of w y

Y'Y is summed once for all rows, so a row costs its entries times d^2 and one Cholesky factor of d^3 / 3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from rtrec.models.jit import kernel, sum_kernel
from rtrec.types import Floats, Nums

#: Sums of outer products are taken over so many rows, then added in order: a block is a multiple of it, so
#: the size of blocks, and who computes them, does not change a bit of the result.
GRAM_ROWS = 256


class Block(NamedTuple):
    """Some rows of the interaction matrix, users or items, in compressed form."""

    start: Nums  # (row + 1,) where the row's entries begin
    column: Nums  # (entry,)
    weight: Floats  # (entry,)


class Penalty(NamedTuple):
    """What weighs against the fit; see the equation above."""

    unobserved: float  # a0
    regularization: float  # l
    power: float  # p


class Side(NamedTuple):
    """The vectors of all users or all items."""

    vector: Floats  # (row, d)
    gram: Floats  # (d, d) sum of their outer products, lower triangle
    n_rows: int  # how many rows have an event


def blocks_of(matrix: sp.csr_array, n_rows: int) -> list[Block]:
    """Cut a matrix into blocks of ``n_rows`` rows."""
    ends = [*range(n_rows, matrix.shape[0], n_rows), matrix.shape[0]]
    parts = [matrix[start:stop] for start, stop in zip([0, *ends], ends, strict=False)]
    return [Block(part.indptr.astype(np.int64), part.indices.astype(np.int32), part.data) for part in parts]


def solve_block(penalty: Penalty, block: Block, other: Side) -> tuple[Floats, Floats]:
    """Return the best vectors of the rows of a block against the other side, and their outer products."""
    vectors = np.zeros((len(block.start) - 1, other.vector.shape[1]))
    solve_rows(block, other.vector, other.gram, other.n_rows, penalty, vectors)
    return vectors, grams(vectors)


def grams(vectors: Floats) -> Floats:
    """Return the summed outer products of each :data:`GRAM_ROWS` vectors, ``(part, d, d)``."""
    d = vectors.shape[1]
    grams = np.zeros((-(-len(vectors) // GRAM_ROWS), d, d))
    for part, gram in enumerate(grams):
        add_grams(vectors[part * GRAM_ROWS : (part + 1) * GRAM_ROWS], gram)
    return grams


def join_blocks(parts: list[tuple[Floats, Floats]], n_rows: int) -> Side:
    """Put the blocks of a side together again."""
    gram = np.zeros_like(parts[0][1], shape=parts[0][1].shape[1:])
    for _, grams in parts:
        for each in grams:
            gram += each
    return Side(np.concatenate([vectors for vectors, _ in parts]), gram, n_rows)


@kernel
def ridge(penalty: Penalty, weight: float, n_others: int) -> float:
    """Return what holds a row of summed ``weight`` back, against ``n_others`` rows of the other side."""
    return penalty.regularization * (weight + penalty.unobserved * n_others) ** penalty.power


@kernel
def add_outer(gram: Floats, vector: Floats, weight: float) -> None:
    """Add ``weight`` times the outer product of ``vector`` with itself to the lower triangle of ``gram``."""
    for row in range(len(vector)):
        factor = weight * vector[row]
        for column in range(row + 1):  # from 0 on: the processor then takes several at a time
            gram[row, column] += factor * vector[column]


@kernel
def add_grams(vectors: Floats, gram: Floats) -> None:
    """Add the outer products of ``vectors``, one after the other."""
    for row in range(len(vectors)):
        add_outer(gram, vectors[row], 1.0)


@kernel
def solve_rows(
    block: Block, other: Floats, gram: Floats, n_others: int, penalty: Penalty, vectors: Floats
) -> None:
    """Write the solution of the normal equations of each row of ``block`` into ``vectors``, ``(row, d)``.

    Each row is worked out by itself, its entries in order: where blocks begin and end changes nothing. Rows
    without entries keep what they have.
    """
    d = other.shape[1]
    system, target = np.empty((d, d)), np.empty(d)
    for row in range(len(block.start) - 1):
        start, stop = block.start[row], block.start[row + 1]
        if start == stop:
            continue
        for one in range(d):
            target[one] = 0.0
            for two in range(one + 1):
                system[one, two] = penalty.unobserved * gram[one, two]
        total = 0.0
        for entry in range(start, stop):
            weight, vector = block.weight[entry], other[block.column[entry]]
            total += weight
            add_outer(system, vector, weight)
            for one in range(d):
                target[one] += weight * vector[one]
        for one in range(d):
            system[one, one] += ridge(penalty, total, n_others)
        solve_positive(system, target)
        vectors[row] = target


@sum_kernel
def solve_positive(system: Floats, target: Floats) -> None:
    """Solve a positive definite system in place by Cholesky's LL'; only its lower triangle is read."""
    d = len(target)
    for row in range(d):
        for column in range(row):
            rest = system[row, column]
            for before in range(column):
                rest -= system[row, before] * system[column, before]
            system[row, column] = rest / system[column, column]
        square, rest = system[row, row], target[row]
        for before in range(row):
            square -= system[row, before] * system[row, before]
            rest -= system[row, before] * target[before]
        system[row, row] = np.sqrt(square)
        target[row] = rest / system[row, row]
    for row in range(d - 1, -1, -1):
        target[row] /= system[row, row]
        for before in range(row):
            target[before] -= system[row, before] * target[row]
