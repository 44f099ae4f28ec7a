"""Items that are alike by what a catalogue says of them, before anybody had them.

Each modality is a table of its own, so that the ranker can weigh words, categories, prices and pictures each
for itself. Items are alike by the cosine of their rows x_i (:mod:`rtrec.features.content`),

    w_ij = x_i . x_j

and by numbers as w_ij = exp(-d_ij^2 / 2), where d_ij^2 is the mean squared difference of the numbers that
both have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from rtrec.errors import nearest
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.catalogue import MODALITIES, Catalogue
from rtrec.features.content import Encoder, Features, features_of, reduced, there
from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.item_knn import column_products
from rtrec.models.nearline.stored import stored, stored_table, table_arrays
from rtrec.models.nearline.tables import Table, VectorTable, empty_table, keep_strongest
from rtrec.types import Floats, Nums

#: Which item has which number: a vocabulary, which may grow, or a function that returns the ids in order.
ItemIds: TypeAlias = Vocabulary | Callable[[], Sequence[str]]
#: A word that more items have is no reason to look at them all: it adds next to nothing to a cosine, and the
#: work grows with its square. Only catalogues of several ten thousand items have such words.
COMMON = 10_000
#: Similarities held at a time, so that no memory grows with the square of the items.
_BLOCK_CELLS = 10_000_000


class ContentModel(NearlineModel):
    """Nearest items by one modality of a catalogue.

    Parameters
    ----------
    catalogue
        What is known of the items. Replace :attr:`catalogue` by an extended one at any time; the next
        :meth:`update` takes it in.
    ids
        Which number is which item, asked at each fit. All items that have a number by then get a row, those
        without an event too: number the whole catalogue (``vocabulary.numbers(catalogue.ids)``) to have new
        items recommended before their first event.
    modality
        ``text``, ``categories``, ``numbers`` or ``vectors``.
    names
        Which columns of it; all if not said. Of vectors there is one at a time.
    neighbours
        M, the most neighbours a row keeps.
    least
        Neighbours weaker than this are left out: two titles that share no more than "the".
    svd
        Publish vectors of at most this many dimensions instead of neighbours: latent semantic analysis.
    dask
        Do that as Dask tasks over blocks of items (dask-ml), on whichever cluster is at hand; on one machine
        scikit-learn, which takes sparse rows as they are, is faster.
    encoder
        A sentence model of your own, from texts to vectors, in place of the words of ``text``.
    cold_items
        Give rows to items beyond those of the history. False suits a test on a log that was numbered as a
        whole, where the ids of later events are known too early.
    seed
        Of the SVD.

    Examples
    --------
    >>> import pandas as pd
    >>> films = pd.DataFrame({"film": ["a", "b", "c"], "genres": ["Crime|Drama", "Crime", "Comedy"]})
    >>> catalogue = Catalogue.of(films, item="film", categories=["genres"])
    >>> items = Vocabulary(["c", "b", "a"])
    >>> model = ContentModel(catalogue, items, modality="categories")
    >>> model.fit(Interactions(*np.zeros((5, 0)), n_users=0, n_items=0))  # nobody had anything yet
    >>> model.score(np.array([1]), np.ones(1)).argmax()  # who had b gets a
    np.int64(2)
    """

    def __init__(
        self,
        catalogue: Catalogue,
        ids: ItemIds,
        *,
        modality: str = "text",
        names: Sequence[str] | None = None,
        neighbours: int = 100,
        least: float = 0.05,
        svd: int | None = None,
        dask: bool = False,
        encoder: Encoder | None = None,
        cold_items: bool = True,
        seed: int = 0,
    ) -> None:
        if modality not in MODALITIES:
            raise ValueError(
                f"modality {modality!r} is unknown{nearest(modality, MODALITIES)}; "
                f"known: {', '.join(MODALITIES)}"
            )
        if neighbours < 1 or not least >= 0.0 or (svd is not None and svd < 1):
            raise ValueError(
                "content: expected neighbours and svd of at least 1, and least of at least 0; "
                f"got {neighbours}, {svd}, {least}"
            )
        if svd is not None and modality == "numbers":
            raise ValueError("numbers have no directions to reduce; leave out svd to have their neighbours")
        if encoder is not None and modality != "text":
            raise ValueError(f"an encoder reads texts; got modality {modality!r}; leave one of them out")
        chosen = catalogue.require(modality, names)
        if modality == "vectors" and len(chosen) > 1:
            raise ValueError(f"one table holds one vector an item; name one of {', '.join(chosen)}")
        self.catalogue = catalogue
        self.ids = ids
        self.modality = modality
        self.names = names
        self.neighbours = neighbours
        self.least = least
        self.svd = svd
        self.dask = dask
        self.encoder = encoder
        self.cold_items = cold_items
        self.seed = seed
        self._features: tuple[Catalogue, Features] | None = None
        self._fitted: tuple[Catalogue, int, int] | None = None
        self._table: Table = self._no_rows(0)

    def fit(self, history: Interactions) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`; the history only says how many items."""
        self._fitted = None
        self.update(history, 0)

    def update(self, history: Interactions, start: int) -> None:
        """Make the table anew if there are new items or another catalogue; no event changes what is known."""
        ids = self.ids.ids(range(len(self.ids))) if isinstance(self.ids, Vocabulary) else list(self.ids())
        n_items = max(history.n_items, len(ids)) if self.cold_items else history.n_items
        state = (self.catalogue, len(ids), n_items)
        if self._fitted is not None and self._fitted[0] is self.catalogue and self._fitted[1:] == state[1:]:
            return
        self._fitted = state
        features = self._read_features()
        rows = self.catalogue.rows(ids[:n_items])
        items = np.flatnonzero(rows >= 0)
        items = items[there(features[rows[items]])]
        of_items = features[rows[items]]
        if not len(items):
            self._table = self._no_rows(n_items)
        elif self.svd is not None:
            found = np.zeros((n_items, min(self.svd, *of_items.shape)), np.float32)
            found[items] = reduced(of_items, found.shape[1], seed=self.seed, dask=self.dask)
            self._table = VectorTable(found, found, np.zeros((0, found.shape[1]), np.float32))
        else:
            self._table = table = empty_table(n_items, self.neighbours)
            for place, others, similar in _similarities(of_items, self.modality):
                strong = similar > self.least
                keep_strongest(table, int(items[place]), items[others[strong]], similar[strong])

    def table(self) -> Table:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        return self._table

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`; of an item without a vector, no opinion."""
        if isinstance(self._table, VectorTable):
            scores = self._table.score(items, weights)
            return np.where(self._table.found.any(axis=1), scores, np.nan)
        return self._table.score(items, weights)

    def score_many(self, histories: Histories) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        scores = self._table.score_many(histories)
        if isinstance(self._table, VectorTable):
            scores[:, ~self._table.found.any(axis=1)] = np.nan
        return scores

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        if isinstance(self._table, VectorTable):
            return {"vector": self._table.found}
        return table_arrays(self._table)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        self._fitted = None
        if self.svd is None:
            self._table = stored_table(arrays, "content")
            return
        found = stored(arrays, "vector", 2, "content")
        self._table = VectorTable(found, found, np.zeros((0, found.shape[1]), np.float32))

    def _no_rows(self, n_items: int) -> Table:
        if self.svd is None:
            return empty_table(n_items, self.neighbours)
        return VectorTable(*(np.zeros((n, self.svd), np.float32) for n in (n_items, n_items, 0)))

    def _read_features(self) -> Features:
        """Return what is compared of each item of the catalogue, kept for as long as that is the same."""
        if self._features is None or self._features[0] is not self.catalogue:
            self._features = (
                self.catalogue,
                features_of(self.catalogue, self.modality, self.names, self.encoder),
            )
        return self._features[1]


def _similarities(features: Features, modality: str) -> Iterator[tuple[int, npt.NDArray[np.integer], Floats]]:
    """Yield for each row those it may be similar to, itself too, and how much, a block of rows at a time."""
    if isinstance(features, sp.csr_array):
        columns = features.T.tocsr()
        if modality == "text":
            columns = columns[np.diff(columns.indptr) <= COMMON]
        yield from column_products(columns)
        return
    everything = np.arange(len(features))
    step = max(_BLOCK_CELLS // len(features), 1)
    for start in range(0, len(features), step):
        block = features[start : start + step]
        similar = _closeness(block, features) if modality == "numbers" else block @ features.T
        for place, row in enumerate(similar, start):
            yield place, everything, row


def _closeness(block: Floats, features: Floats) -> Floats:
    """Return exp(-d^2 / 2), d^2 the mean squared difference of the numbers two rows share; 0 if none."""
    of_block, of_all = ((~np.isnan(each)).astype(np.float64) for each in (block, features))
    shared = of_block @ of_all.T
    x, y = np.nan_to_num(block), np.nan_to_num(features)
    squared = (x**2) @ of_all.T - 2.0 * x @ y.T + of_block @ (y**2).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(shared > 0.0, np.exp(-np.maximum(squared, 0.0) / shared / 2.0), 0.0)
