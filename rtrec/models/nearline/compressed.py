"""Vector tables in a quarter or half of the memory, answered from as they are.

*float16* rounds each number to 11 significant bits. *int8* gives each row r a step s_r and holds whole
multiples of it (symmetric, so that 0 stays 0),

    s_r = unit * h_r >= max_c |x_rc| / 127,    q_rc = round(x_rc / s_r),    |x_rc - s_r q_rc| <= s_r / 2

with h_r a float16 between 0 and 1, rounded up, and one float32 ``unit`` for the table: a row costs d + 2
bytes where float32 takes 4 d. That is 25.8% at d = 64, at most 27% from d = 25 on, and 37.5% at d = 4. Scores
are float32 products over a block of rows at a time, multiplied by the step afterwards; nothing is ever
expanded as a whole.

Scalar quantisation a row is what Jacob et al. 2018, "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", call symmetric and per channel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.errors import nearest
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.tables import VectorTable
from rtrec.types import Floats, Nums, Singles

#: What the numbers of a table may be stored as.
PRECISIONS = ("float16", "int8")
#: Steps on either side of 0; -128 is left out, so that a row and its negative are stored alike.
STEPS = 127
#: Rows that are float32 at a time.
_BLOCK = 4096
_MOST_HALF = float(np.finfo(np.float16).max)


class Packed(NamedTuple):
    """Some vectors, as float16 or as int8 with a step a row."""

    code: npt.NDArray[Any]  # (row, d) float16 or int8
    step: npt.NDArray[np.float16]  # (row,) in units of `unit`; (0,) with float16
    unit: npt.NDArray[np.float32]  # (1,)

    @property
    def nbytes(self) -> int:
        """Return the bytes of memory this takes."""
        return self.code.nbytes + self.step.nbytes + self.unit.nbytes

    def rows(self, rows: slice | Nums) -> Singles:
        """Return some vectors as float32, ``(row, d)``."""
        numbers = self.code[rows].astype(np.float32)
        if self.code.dtype == np.int8:
            numbers *= self._steps(rows)[:, None]
        return numbers

    def products(self, vector: Floats) -> Floats:
        """Return the product of each row with ``vector``, ``(row,)``."""
        single, products = vector.astype(np.float32), np.empty(len(self.code))
        for start in range(0, len(self.code), _BLOCK):
            block = slice(start, start + _BLOCK)
            products[block] = self.code[block].astype(np.float32) @ single
        if self.code.dtype == np.int8:
            products *= self._steps(slice(None))
        return products

    def _steps(self, rows: slice | Nums) -> Singles:
        return self.step[rows].astype(np.float32) * self.unit


class CompressedTable(NamedTuple):
    """A :class:`VectorTable` of packed vectors, which answers the same questions."""

    found: Packed
    given: Packed  # often the very same as `found`, and then no memory of its own
    user: Packed  # code of no rows: no learned vectors
    has_user: npt.NDArray[np.bool_]  # (user,) whether there is a learned vector

    @property
    def n_items(self) -> int:
        """Return how many items have a row."""
        return len(self.found.code)

    @property
    def precision(self) -> str:
        """Return ``float16`` or ``int8``."""
        return str(self.found.code.dtype)

    @property
    def nbytes(self) -> int:
        """Return the bytes of memory this takes."""
        own = self.found.nbytes + self.user.nbytes + self.has_user.nbytes
        return own if self.given is self.found else own + self.given.nbytes

    def expanded(self) -> VectorTable:
        """Return the table as float32; what was rounded away stays away."""
        found, user = self.found.rows(slice(None)), self.user.rows(slice(None))
        user[~self.has_user] = np.nan
        given = found if self.given is self.found else self.given.rows(slice(None))
        return VectorTable(found, given, user)

    def user_vector(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """See :meth:`VectorTable.user_vector`."""
        known = items < self.n_items
        total = weights[known].sum()
        if total > 0.0:
            return weights[known] @ self.given.rows(items[known]).astype(np.float64) / total
        if 0 <= user_num < len(self.has_user) and self.has_user[user_num]:
            return self.user.rows(slice(user_num, user_num + 1))[0].astype(np.float64)
        return np.zeros(self.given.code.shape[1])

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """Return the product of the user's vector with each item's, ``(item,)``."""
        return self.found.products(self.user_vector(items, weights, user_num))

    def score_many(self, histories: Histories) -> Floats:
        """Return what :meth:`score` says to each history, ``(request, item)``."""
        users = [self.user_vector(*histories.one(request)) for request in range(histories.n_requests)]
        vectors = np.array(users, np.float32).reshape(histories.n_requests, self.given.code.shape[1])
        scores = np.empty((histories.n_requests, self.n_items))
        for start in range(0, self.n_items, _BLOCK):
            block = slice(start, start + _BLOCK)
            scores[:, block] = vectors @ self.found.rows(block).T
        return scores

    def found_rows(self, items: slice | Nums) -> Singles:
        """Return what some items are found by, as float32, ``(item, d)``."""
        return self.found.rows(items)

    def given_rows(self, items: slice | Nums) -> Singles:
        """Return what some items give, as float32, ``(item, d)``."""
        return self.given.rows(items)


def compress(table: VectorTable, precision: str) -> CompressedTable:
    """Return a table that says nearly the same, in a quarter (``int8``) or half (``float16``) of the memory.

    >>> row = np.array([[127.0, -63.4]], np.float32)
    >>> compress(VectorTable(row, row, row[:0]), "int8").found.code
    array([[127, -63]], dtype=int8)

    Raises
    ------
    ValueError
        If the precision is unknown, a vector is not finite, or a number is more than float16 holds.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision is one of {', '.join(PRECISIONS)}; got {precision!r}{nearest(precision, PRECISIONS)}"
        )
    pack = _as_int8 if precision == "int8" else _as_float16
    has_user: npt.NDArray[np.bool_] = np.invert(np.isnan(table.user).any(axis=1))
    found = pack("found", table.found)
    given = found if table.given is table.found else pack("given", table.given)
    return CompressedTable(
        found, given, pack("user", np.where(has_user[:, None], table.user, np.float32(0.0))), has_user
    )


def memory_share(n_dimensions: int, precision: str) -> float:
    """Return the size of a row of ``n_dimensions`` numbers relative to float32.

    >>> memory_share(64, "int8"), memory_share(25, "int8"), memory_share(64, "float16")
    (0.2578125, 0.27, 0.5)
    """
    return 0.5 if precision == "float16" else (n_dimensions + 2) / (4 * n_dimensions)


def _as_float16(name: str, vectors: Singles) -> Packed:
    most = _largest(name, vectors).max(initial=0.0)
    if most > _MOST_HALF:
        raise ValueError(
            f"vectors {name!r}: float16 holds numbers up to {_MOST_HALF:,.0f}, got {most:,.0f}; divide all "
            "of them by one number, which changes no order, or use int8"
        )
    return Packed(vectors.astype(np.float16), np.zeros(0, np.float16), np.ones(1, np.float32))


def _as_int8(name: str, vectors: Singles) -> Packed:
    wanted = _largest(name, vectors).astype(np.float64) / STEPS
    # Rounded up, here and below, or the largest number of a row would need a 128th step.
    unit = np.array([wanted.max(initial=0.0)], np.float32)
    if unit[0] < wanted.max(initial=0.0):
        unit = np.nextafter(unit, np.float32(np.inf))
    relative = np.divide(wanted, unit[0], out=np.zeros_like(wanted), where=unit[0] > 0.0)
    step = relative.astype(np.float16)
    step = np.where(step < relative, np.nextafter(step, np.float16(np.inf)), step)
    exact = step.astype(np.float64) * float(unit[0])
    code = np.empty(vectors.shape, np.int8)
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        steps = np.where(exact[block] > 0.0, exact[block], 1.0)[:, None]
        code[block] = np.rint(vectors[block] / steps)
    return Packed(code, step, unit)


def _largest(name: str, vectors: Singles) -> Singles:
    """Return the largest number of each row, without its sign, ``(row,)``."""
    largest = np.maximum(vectors.max(axis=1, initial=0.0), -vectors.min(axis=1, initial=0.0))
    if not np.isfinite(largest).all():
        row = int(np.flatnonzero(~np.isfinite(largest))[0])
        raise ValueError(f"vectors {name!r}: expected finite numbers; row {row} has others")
    return largest
