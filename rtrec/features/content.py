"""What of an item is compared with another's: rows of words, categories, numbers or vectors.

Rows x_i, shape ``(feature,)``, are of unit length, so that their products are cosines:

- text: (1 + log tf) * idf of its words, idf = 1 + log((1 + n) / (1 + df)), over n texts of which df have the
  word (Salton and Buckley 1988). Words are hashed into columns, so that no vocabulary has to be kept
  (Weinberger et al. 2009). Or what an ``encoder`` makes of the text;
- categories: the idf of each category the item is in;
- vectors: as they were given.

Numbers have no angle. They are standardised by rank: whatever is counted, rank / n has a standard deviation
of 1 / sqrt(12), and one dear article does not press all others together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from rtrec.features.catalogue import Catalogue
from rtrec.types import Floats, Singles

#: Sparse rows, empty where an item has nothing, or dense ones, NaN where something is missing.
Features: TypeAlias = "sp.csr_array[Any, Any] | npt.NDArray[Any]"
#: From texts, none of them empty, to a vector each, ``(text, d)``.
Encoder: TypeAlias = Callable[[list[str]], npt.NDArray[Any]]

#: A million columns: of 50,000 different words one in twenty shares its column with another.
N_HASHED = 1 << 20
_BLOCK_ROWS = 1000


def features_of(
    catalogue: Catalogue, modality: str, names: Sequence[str] | None = None, encoder: Encoder | None = None
) -> Features:
    """Return a row for each item of a catalogue, ``(item, feature)``.

    Parameters
    ----------
    modality, names
        What of the catalogue, and which columns of that; all if not said.
    encoder
        A sentence model, for texts; without one, words are counted.
    """
    if modality == "numbers":
        return standardised(catalogue.numbers(names))
    if modality == "vectors":
        return unit_rows(catalogue.vectors(names[0] if names else None))
    if modality == "categories":
        return weighted(catalogue.categories(names)[0])
    texts = catalogue.texts(names)
    return weighted(hashed_words(texts)) if encoder is None else encoded(texts, encoder)


def hashed_words(texts: Sequence[str]) -> sp.csr_array:
    """Return how often each word is in each text, ``(text, column)``; accents and case do not count."""
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(
        n_features=N_HASHED, alternate_sign=False, norm=None, strip_accents="unicode", dtype=np.float64
    )
    counts = sp.csr_array(words.transform(texts))
    used, columns = np.unique(counts.indices, return_inverse=True)
    return sp.csr_array((counts.data, columns, counts.indptr), shape=(len(texts), len(used)))


def weighted(counts: sp.csr_array) -> sp.csr_array:
    """Return rows of unit length of (1 + log tf) * idf, ``(row, column)``; an empty row stays empty.

    Parameters
    ----------
    counts
        tf, how often each column is in each row. Rows without any are not counted among the n of the idf.
    """
    n_rows = np.count_nonzero(np.diff(counts.indptr))
    df = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = 1.0 + np.log((1.0 + n_rows) / (1.0 + df))
    rows = counts.astype(np.float64)
    rows.data = (1.0 + np.log(rows.data)) * idf[rows.indices]
    length = np.sqrt((rows**2).sum(axis=1))
    rows.data /= np.repeat(length, np.diff(rows.indptr))
    return rows


def encoded(texts: Sequence[str], encoder: Encoder) -> Singles:
    """Return what a sentence model makes of each text, of unit length; NaN where there is no text."""
    written = [row for row, text in enumerate(texts) if text]
    if not written:  # of no text no model says how long its vectors are
        return np.full((len(texts), 1), np.nan, np.float32)
    vectors = np.asarray(encoder([texts[row] for row in written]), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(written):
        raise ValueError(
            f"encoder: expected a vector for each of {len(written)} texts; got shape {vectors.shape}"
        )
    rows = np.full((len(texts), vectors.shape[1]), np.nan, np.float32)
    rows[written] = vectors
    return unit_rows(rows)


def standardised(numbers: Floats) -> Floats:
    """Return each column by rank, with mean 0 and a standard deviation of about 1; NaN stays NaN.

    >>> standardised(np.array([[10.0], [np.nan], [1000.0], [10.0]])).round(3).ravel().tolist()
    [-0.577, nan, 1.155, -0.577]
    """
    from scipy.stats import rankdata

    n = (~np.isnan(numbers)).sum(axis=0)
    middle = (n + 1) / 2.0
    return np.sqrt(12.0) * (rankdata(numbers, axis=0, nan_policy="omit") - middle) / np.maximum(n, 1)


def unit_rows(vectors: Singles) -> Singles:
    """Return vectors of length 1; one without a direction, or with a gap, becomes NaN."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (vectors / np.where(length > 0.0, length, np.nan)).astype(np.float32)


def there(features: Features) -> npt.NDArray[np.bool_]:
    """Return which rows say anything."""
    if isinstance(features, sp.csr_array):
        return np.diff(features.indptr) > 0
    return np.asarray((~np.isnan(features)).any(axis=1), np.bool_)


def reduced(features: Features, d: int, *, seed: int, dask: bool = False) -> Singles:
    """Return rows in the ``d`` directions that keep most of them, of unit length; 0 if none is left.

    Latent semantic analysis (Deerwester et al. 1990) by randomised SVD (Halko, Martinsson, Tropp 2011). With
    ``dask``, as Dask tasks over blocks of rows; they are dense then, each only while a task works on it.
    """
    # dask-ml leaves out a direction at least; where none may be, columns are few and a block is all there is.
    dask = dask and d < features.shape[1]
    if dask:
        from dask_ml.decomposition import TruncatedSVD
    else:
        from sklearn.decomposition import TruncatedSVD
    if features.shape[1] == 1:  # there is one direction, which they have already, and scikit-learn takes two
        return np.nan_to_num(unit_rows(np.asarray(_dense(features), np.float32)))
    svd = TruncatedSVD(d, algorithm="randomized", random_state=seed)
    with np.errstate(invalid="ignore"):  # of what is all alike, no variance is explained: 0 / 0
        rows = svd.fit_transform(_in_blocks(features) if dask else features)
    return np.nan_to_num(unit_rows(np.asarray(rows, np.float32)))


def _in_blocks(features: Features) -> Any:
    """Return a Dask array of dense rows."""
    import dask.array as da
    from dask import delayed

    blocks = [features[start : start + _BLOCK_ROWS] for start in range(0, features.shape[0], _BLOCK_ROWS)]
    return da.concatenate([da.from_delayed(delayed(_dense)(each), each.shape, each.dtype) for each in blocks])


def _dense(rows: Features) -> npt.NDArray[Any]:
    return rows.toarray() if isinstance(rows, sp.csr_array) else rows
