"""Numbers by quantile, categories as codes, crosses of two categories in buckets; fitted with dask-ml.

What is fitted is a few arrays, so it is stored like everything else, and applied with NumPy alone to whatever
comes later. All three say something of what was not there when they were fitted: a number outside the range
is its nearest end, a category unseen has a code of its own, and a cross has a bucket whatever it is made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from rtrec.types import Floats, Ints, Nums

if TYPE_CHECKING:
    import dask.dataframe as dd

N_QUANTILES = 1000
#: The code of a category that was not there when codes were given, or of none at all.
UNSEEN = 0
N_BUCKETS = 4096
_CHUNK_ROWS = 100_000
_AT_THE_END = 1e-7  # scikit-learn's threshold
_SEPARATOR = "\x1f"  # ASCII's unit separator: no id or name has it


class QuantileScale(NamedTuple):
    """Where numbers lie among those it was fitted on, from 0 to 1; see :func:`fit_quantiles`."""

    levels: Floats  # (quantile,) rising from 0 to 1
    values: Floats  # (quantile, column) the number at each level; NaN for a column without numbers

    def apply(self, numbers: Floats) -> Floats:
        """Return the quantile of each number, ``(row, column)``; NaN stays NaN.

        Equal numbers get the middle of the levels they span, but the least of all is 0 and the largest 1, as
        in dask-ml and scikit-learn.
        """
        scaled = np.full(numbers.shape, np.nan)
        for column, values in enumerate(self.values.T):
            known = np.isfinite(numbers[:, column])
            if not values[0] < values[-1]:  # of one number, or of none, there is no more or less
                scaled[known, column] = 0.5
                continue
            given = numbers[known, column]
            upper = np.interp(given, values, self.levels)
            lower = -np.interp(-given, -values[::-1], -self.levels[::-1])
            middle = (upper + lower) / 2.0
            middle[given > values[-1] - _AT_THE_END] = 1.0
            middle[given < values[0] + _AT_THE_END] = 0.0
            scaled[known, column] = middle
        return scaled


def fit_quantiles(numbers: Floats, *, n_quantiles: int = N_QUANTILES) -> QuantileScale:
    """Fit dask-ml's ``QuantileTransformer`` (uniform) to each column of numbers, NaN left out.

    Parameters
    ----------
    numbers
        ``(row, column)``.
    n_quantiles
        How finely; fewer where a column has fewer numbers.
    """
    import dask
    import dask.array as da
    from dask_ml.preprocessing import QuantileTransformer

    levels = np.linspace(0.0, 1.0, n_quantiles)
    values = np.full((n_quantiles, numbers.shape[1]), np.nan)
    for column in range(numbers.shape[1]):
        known = numbers[np.isfinite(numbers[:, column]), column]
        if not len(known):
            continue
        fitted = QuantileTransformer(n_quantiles=min(n_quantiles, len(known)), subsample=len(known))
        blocks = da.from_array(known[:, None], chunks=(_CHUNK_ROWS, 1))
        with dask.config.set(scheduler="synchronous"):
            fitted.fit(blocks)
        own = np.asarray(fitted.quantiles_, np.float64)[:, 0]
        own_levels = np.linspace(0.0, 1.0, len(own))
        # One number alone is every quantile of itself.
        values[:, column] = np.interp(levels, own_levels, own) if len(own) > 1 else own[0]
    return QuantileScale(levels, values)


class CategoryCodes(NamedTuple):
    """Codes of the categories in some columns: 0 for unseen or none, from 1 on in order of their names."""

    columns: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]  # of each column, sorted

    def encode(self, frame: pd.DataFrame) -> Nums:
        """Return codes of shape ``(row, column)``."""
        codes = np.zeros((len(frame), len(self.columns)), np.int32)
        for place, (column, known) in enumerate(zip(self.columns, self.categories, strict=True)):
            number = pd.Index(known, dtype=object).get_indexer(pd.Index(frame[column], dtype=object))
            codes[:, place] = number + 1  # -1 where it is not among them
        return codes


def fit_codes(frame: dd.DataFrame) -> tuple[CategoryCodes, Nums]:
    """Give codes to the categories in a Dask frame of texts, with dask-ml's ``Categorizer``.

    Returns
    -------
    The codes, and those of the frame itself by dask-ml's ``OrdinalEncoder``, ``(row, column)``.
    """
    import dask
    from dask_ml.preprocessing import Categorizer, OrdinalEncoder

    columns = list(frame.columns)
    if not columns:
        return CategoryCodes((), ()), np.zeros((len(frame), 0), np.int32)
    with dask.config.set(scheduler="synchronous"):  # on a cluster every worker would import dask-ml first
        return _fitted(frame, columns, Categorizer(columns=columns), OrdinalEncoder(columns=columns))


def _fitted(
    frame: dd.DataFrame, columns: list[str], categorizer: Any, encoder: Any
) -> tuple[CategoryCodes, Nums]:
    categorizer.fit(frame)
    categories = tuple(tuple(sorted(categorizer.categories_[each].categories)) for each in columns)
    for column, known in zip(columns, categories, strict=True):
        # Which comes first must not depend on which block of rows was seen first.
        categorizer.categories_[column] = pd.CategoricalDtype(list(known), ordered=False)
    categorical = categorizer.transform(frame)
    codes = encoder.fit(categorical).transform(categorical).compute()
    return CategoryCodes(tuple(columns), categories), codes.to_numpy(np.int32) + 1


class Cross(NamedTuple):
    """Two categories taken as one: a column of users and a column of items."""

    user: str
    item: str

    @property
    def name(self) -> str:
        """Return what the cross is called."""
        return f"{self.user} x {self.item}"


def bucket_of(cross: Cross, left: Sequence[str], right: Sequence[str], n_buckets: int = N_BUCKETS) -> Ints:
    """Return the bucket of each (left, right) pair of texts, ``(pair,)``.

    BLAKE2b of the names and texts, so the same in every process, on every machine, and for texts never seen
    before (``hash`` of a text is none of that). Two pairs may share a bucket; which ones differs from cross
    to cross.

    >>> bucket_of(Cross("cohort", "band"), ["heavy", "light"], ["dear", "dear"], 1).tolist()
    [0, 0]
    """
    if n_buckets < 1:
        raise ValueError(f"n_buckets must be at least 1; got {n_buckets}")
    known: dict[tuple[str, str], int] = {}
    buckets = np.empty(len(left), np.int64)
    for row, pair in enumerate(zip(left, right, strict=True)):
        bucket = known.get(pair)
        if bucket is None:
            text = _SEPARATOR.join((*cross, *pair)).encode()
            digest = hashlib.blake2b(text, digest_size=8).digest()
            bucket = known[pair] = int.from_bytes(digest, "little") % n_buckets
        buckets[row] = bucket
    return buckets


def log_lift(taken: Floats, expected: Floats, smoothing: float) -> Floats:
    """Return ``log((taken + s) / (expected + s))``: 0 where nothing is known, or all is as expected.

    >>> log_lift(np.array([0.0, 15.0]), np.array([0.0, 5.0]), 5.0).round(3).tolist()  # log(20 / 10)
    [0.0, 0.693]
    """
    return np.log((taken + smoothing) / (expected + smoothing))
