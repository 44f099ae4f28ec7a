"""What is known of items besides events: texts, categories, numbers and vectors.

Each of the four is a *modality*, and every one may be missing for an item. An item may be here that never had
an event: that is how a new one can be recommended. Ids are read as the ids of events are, so item 17 of a
catalogue is item 17 of a log, whether it came as 17, as 17.0 or as "17".
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

from rtrec.errors import InputError, nearest
from rtrec.events.cleaning import with_names
from rtrec.events.mapping import require_columns
from rtrec.events.parsing import RawColumn
from rtrec.events.rawrows import UNREADABLE_REASON
from rtrec.events.readers import DELIMITED, PARQUET, open_reader
from rtrec.events.textfile import Lines, open_lines
from rtrec.events.vocabulary import Ids, Vocabulary
from rtrec.types import Floats, Nums, Singles

MODALITIES = ("text", "categories", "numbers", "vectors")
#: A vector is a column of lists, all columns that begin alike (``"image_"``), or columns by name.
VectorColumns: TypeAlias = str | Sequence[str]

_ID = "id"
_CHUNK_ROWS = 65_536
_DELIMITERS = ",\t;|"
_LISTS = (list, tuple, set, np.ndarray)


class _Columns(NamedTuple):
    """Which column of a frame is what."""

    item: str
    text: tuple[str, ...]
    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    vectors: dict[str, list[str]]
    separator: str

    @classmethod
    def chosen(
        cls,
        item: str,
        text: Sequence[str],
        categories: Sequence[str],
        numbers: Sequence[str],
        vectors: Sequence[VectorColumns],
        separator: str,
        existing: Sequence[str],
    ) -> _Columns:
        """Check what was asked for, and find the columns of each vector."""
        if not (text or categories or numbers or vectors):
            raise InputError(f"item {item!r} and no other column; name some for {', '.join(MODALITIES)}")
        if not separator:
            raise InputError("separator of categories: expected at least one character, such as '|'; got ''")
        each_vector = [vectors] if isinstance(vectors, str) else vectors
        parts = dict(_vector_columns(each, existing) for each in each_vector)
        return cls(item, _names(text), _names(categories), _names(numbers), parts, separator)

    @property
    def names(self) -> list[str]:
        """Return the names of all columns, each once."""
        parts = (name for names in self.vectors.values() for name in names)
        return list(dict.fromkeys((self.item, *self.text, *self.categories, *self.numbers, *parts)))


class Catalogue:
    """Items by id, with what is known of each; a value that never changes.

    Of an item that comes twice the last row holds, whole. ``counts`` says how many rows there were, and how
    many of them were ``repeated`` (an earlier row of an item), had ``no id`` or were ``unreadable``.

    Examples
    --------
    >>> films = pd.DataFrame({"film": [1, 2, 2], "title": ["Heat", "Jumanji", "Jumanji (1995)"],
    ...                       "genres": ["Action|Crime", "Adventure", None], "year": [1995, None, 1995]})
    >>> catalogue = Catalogue.of(films, item="film", text=["title"], categories=["genres"], numbers=["year"])
    >>> catalogue
    Catalogue(2 items: text title; categories genres; numbers year)
    >>> catalogue.texts(), catalogue.counts["repeated"]
    (['Heat', 'Jumanji (1995)'], 1)
    >>> catalogue.rows(["2", "77"])
    array([ 1, -1], dtype=int32)
    """

    def __init__(self, table: pa.Table, counts: Mapping[str, int]) -> None:
        self._ids = Vocabulary()
        nums = self._ids.numbers(table[_ID])
        last = np.zeros(len(self._ids), np.int64)
        np.maximum.at(last, nums, np.arange(len(nums)))
        self._table: pa.Table = table.take(pa.array(last)).combine_chunks()
        repeated = counts.get("repeated", 0) + len(nums) - len(last)
        self.counts: Mapping[str, int] = MappingProxyType({**counts, "repeated": repeated})

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame | pa.Table,
        *,
        item: str,
        text: Sequence[str] = (),
        categories: Sequence[str] = (),
        numbers: Sequence[str] = (),
        vectors: Sequence[VectorColumns] = (),
        separator: str = "|",
    ) -> Catalogue:
        """Take items from a frame or an Arrow table, one a row.

        Parameters
        ----------
        item
            Column of the ids.
        text
            Columns of words; an item's texts are read as one.
        categories
            Columns of categories, several in a cell: a list, or a text that ``separator`` cuts. A column may
            be text as well.
        numbers
            Columns of numbers; what is no number is missing.
        vectors
            Embeddings, each a column of lists, the prefix its columns share, or its columns by name (then
            called by the first of them). A vector that lacks one of its numbers is missing as a whole.

        Raises
        ------
        InputError
            If a column does not exist, or does not hold what it should.
        """
        named = with_names(frame)
        existing = list(named.columns)
        columns = _Columns.chosen(item, text, categories, numbers, vectors, separator, existing)
        require_columns(columns.names, existing, where="frame")
        return cls._built(named, columns, where="frame")

    @classmethod
    def read(
        cls,
        path: Path | str,
        *,
        item: str,
        text: Sequence[str] = (),
        categories: Sequence[str] = (),
        numbers: Sequence[str] = (),
        vectors: Sequence[VectorColumns] = (),
        separator: str = "|",
        encoding: str = "utf-8",
    ) -> Catalogue:
        """Take items from a CSV, Parquet or JSON Lines file; see :meth:`of`.

        JSON Lines have no common header, so their vectors are lists or columns by name, not by prefix.

        Raises
        ------
        InputError
            If the file cannot be read, a column does not exist, or does not hold what it should.
        """
        path = Path(path)
        reader = open_reader(path, encoding=encoding)
        existing = _column_names(path, encoding)
        columns = _Columns.chosen(item, text, categories, numbers, vectors, separator, existing)
        reader.require(columns.names)
        frames = list(reader.frames(columns.names, chunk_rows=_CHUNK_ROWS, start_row=0))
        return cls._built(pd.concat(frames), columns, where=str(path))

    @classmethod
    def _built(cls, frame: pd.DataFrame, columns: _Columns, *, where: str) -> Catalogue:
        counts = {"rows": len(frame), "unreadable": 0}
        if UNREADABLE_REASON in frame:
            readable = frame[UNREADABLE_REASON].isna().to_numpy()
            counts["unreadable"] = int((~readable).sum())
            frame = frame[readable]
        ids = RawColumn(frame[columns.item]).text
        has_id = ids.is_valid()
        counts["no id"] = ids.null_count
        frame = frame[has_id.to_numpy(zero_copy_only=False)]
        if not len(frame):
            raise InputError(f"{where}: no row has an id in column {columns.item!r}; expected one item a row")
        taken: dict[str, pa.Array] = {_ID: ids.filter(has_id)}
        for name in columns.text:
            taken[f"text:{name}"] = RawColumn(frame[name]).text
        for name in columns.categories:
            lists = list(_categories(frame[name], columns.separator))
            taken[f"categories:{name}"] = pa.array(lists, pa.list_(pa.string()))
        for name in columns.numbers:
            taken[f"numbers:{name}"] = pa.array(_numbers(frame[name], where))
        for name, parts in columns.vectors.items():
            taken[f"vectors:{name}"] = _vectors(frame[parts], taken[_ID], where)
        return cls(pa.table(taken), counts)

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        known = [f"{each} {', '.join(self.names(each))}" for each in MODALITIES if self.names(each)]
        return f"Catalogue({len(self):,} items: {'; '.join(known)})"

    @property
    def ids(self) -> list[str]:
        """Return the ids in order of their rows."""
        return self._ids.ids(range(len(self._ids)))

    def rows(self, item_ids: Ids) -> Nums:
        """Return the row of each id, shape ``(id,)``; -1 for an item that is not here."""
        return self._ids.lookup(item_ids)

    def names(self, modality: str) -> tuple[str, ...]:
        """Return what there is of a modality, by the names of its columns (or their prefix)."""
        if modality not in MODALITIES:
            raise ValueError(
                f"modality {modality!r} is unknown{nearest(modality, MODALITIES)}; "
                f"known: {', '.join(MODALITIES)}"
            )
        columns = (name.partition(":") for name in self._table.column_names)
        return tuple(name for kind, _, name in columns if kind == modality)

    def extended(self, more: Catalogue) -> Catalogue:
        """Return a catalogue with the items of both; rows stay, and of an item in both ``more`` holds.

        Raises
        ------
        InputError
            If a vector has another length there.
        """
        for name in sorted({*self.names("vectors")} & {*more.names("vectors")}):
            d, d_more = (each._column("vectors", name).type.list_size for each in (self, more))
            if d != d_more:
                raise InputError(
                    f"vectors {name!r}: expected {d} numbers as in the items here; got {d_more}; "
                    "embed all items with the same model"
                )
        table = pa.concat_tables([self._table, more._table], promote_options="default")
        return Catalogue(table, {name: self.counts[name] + more.counts[name] for name in self.counts})

    def texts(self, names: Sequence[str] | None = None) -> list[str]:
        """Return the texts of each item as one, ``(item,)``; empty where there is none."""
        columns = [pc.fill_null(self._column("text", name), "") for name in self.require("text", names)]
        return [text.strip() for text in pc.binary_join_element_wise(*columns, " ").to_pylist()]

    def categories(self, names: Sequence[str] | None = None) -> tuple[sp.csr_array, list[str]]:
        """Return what belongs to what, ``(item, category)`` float32 of ones, and the categories' names.

        A category is named with its column, so that a colour and a brand of the same name are two.
        """
        rows, columns, known = [], [], Vocabulary()
        for name in self.require("categories", names):
            lists = self._column("categories", name)
            rows.append(pc.list_parent_indices(lists).to_numpy())
            columns.append(known.numbers([f"{name}={each}" for each in pc.list_flatten(lists).to_pylist()]))
        row, column = np.concatenate(rows), np.concatenate(columns)
        shape = (len(self), len(known))
        return sp.coo_array((np.ones(len(row), np.float32), (row, column)), shape=shape).tocsr(), known.ids(
            range(len(known))
        )

    def category_names(self, names: Sequence[str] | None = None) -> list[list[str]]:
        """Return the names of each item's categories, as :meth:`categories` names them, ``(item,)``."""
        matrix, known = self.categories(names)
        ends = matrix.indptr.tolist()
        return [[known[column] for column in matrix.indices[start:end]] for start, end in pairwise(ends)]

    def numbers(self, names: Sequence[str] | None = None) -> Floats:
        """Return the numbers of each item, ``(item, number)``; NaN where one is missing."""
        columns = [
            pc.fill_null(self._column("numbers", each), np.nan) for each in self.require("numbers", names)
        ]
        return np.column_stack([np.asarray(column.to_numpy(), np.float64) for column in columns])

    def vectors(self, name: str | None = None) -> Singles:
        """Return a vector of each item, ``(item, d)``; a row of NaN where it is missing.

        Raises
        ------
        ValueError
            If there are several, and ``name`` does not say which.
        """
        chosen = self.require("vectors", None if name is None else [name])
        if len(chosen) > 1:
            raise ValueError(f"there are several vectors: {', '.join(chosen)}; name one")
        column = self._column("vectors", chosen[0])
        vectors = np.full((len(column), column.type.list_size), np.nan, np.float32)
        there = column.is_valid().to_numpy(zero_copy_only=False)
        vectors[there] = column.drop_null().flatten().to_numpy().reshape(-1, vectors.shape[1])
        return vectors

    def _column(self, modality: str, name: str) -> pa.Array:
        column = self._table[f"{modality}:{name}"]
        return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)

    def require(self, modality: str, names: Sequence[str] | None = None) -> Sequence[str]:
        """Return ``names``, or all there are of a modality.

        Raises
        ------
        ValueError
            If there is nothing of it here, or not what is named.
        """
        known = self.names(modality)
        if not known:
            raise ValueError(
                f"this catalogue has no {modality}; name columns of it: Catalogue.of(..., {modality}=[...])"
            )
        for name in names or ():
            if name not in known:
                raise ValueError(
                    f"{modality}: no {name!r}{nearest(name, known)}; there are {', '.join(known)}"
                )
        return known if names is None else names


def _names(columns: Sequence[str]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _vector_columns(wanted: VectorColumns, existing: Sequence[str]) -> tuple[str, list[str]]:
    """Return what a vector is called, and its columns."""
    if not isinstance(wanted, str):
        return wanted[0], list(wanted)
    if wanted in existing:
        return wanted, [wanted]
    # Without any, the name itself goes on, to be missed with the nearest one named.
    return wanted, [name for name in existing if name.startswith(wanted)] or [wanted]


def _column_names(path: Path, encoding: str) -> list[str]:
    """Return the columns a file says it has; JSON Lines say nothing."""
    if path.suffix.lower() in PARQUET:
        return list(pq.read_schema(path).names)
    if Path(path.name.removesuffix(".gz")).suffix.lower() not in DELIMITED:
        return []
    with open_lines(path, encoding) as file:
        lines = Lines(file)
        header = next(lines)
        lines.give_back([header])
        return next(csv.reader(lines, delimiter=max(_DELIMITERS, key=header.count)), [])


def _categories(cells: pd.Series, separator: str) -> Iterator[list[str]]:
    """Yield the categories of each row, each once, in order."""
    for cell, text in zip(cells, RawColumn(cells).text.to_pylist(), strict=True):
        if isinstance(cell, _LISTS):
            parts = [str(each) for each in cell if each is not None and each == each]  # NaN is missing
        else:
            parts = (text or "").split(separator)
        yield sorted({part.strip() for part in parts} - {""})


def _numbers(cells: pd.Series, where: str) -> Floats:
    """Return numbers, NaN where there is none; a column without any number is the wrong column."""
    raw = RawColumn(cells)
    numbers = np.where(np.isfinite(raw.numbers), raw.numbers, np.nan)
    if len(numbers) and np.isnan(numbers).all() and raw.given.any():
        first = cells[raw.given].iloc[0]
        raise InputError(
            f"{where}: column {cells.name!r}: expected numbers; got none, but {str(first)[:80]!r}"
        )
    return numbers


def _vectors(parts: pd.DataFrame, ids: pa.StringArray, where: str) -> pa.Array:
    """Return a row of numbers for each item, null where one of them is missing."""
    first = parts.iloc[:, 0]
    if parts.shape[1] > 1 or not any(isinstance(cell, _LISTS) for cell in first):
        vectors = np.column_stack([_numbers(parts[name], where) for name in parts])
    else:
        vectors = _listed_vectors(first, ids, where)
    with np.errstate(over="ignore"):  # what float32 does not hold is no number here
        values = vectors.astype(np.float32)
    missing = ~np.isfinite(values).all(axis=1)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.ravel()), values.shape[1], mask=pa.array(missing)
    )


def _listed_vectors(cells: pd.Series, ids: pa.StringArray, where: str) -> Floats:
    """Return the lists in a column as ``(item, d)``, all NaN for an item without one."""
    column = f"{where}: column {cells.name!r}"
    d = next(len(cell) for cell in cells if isinstance(cell, _LISTS))
    if d == 0:
        raise InputError(f"{column}: expected lists of numbers; the first of them is empty")
    vectors = np.full((len(cells), d), np.nan)
    for row, cell in enumerate(cells):
        if not isinstance(cell, _LISTS):
            continue
        of_item = f"{column}: item {ids[row].as_py()!r}: expected"
        if len(cell) != d:
            raise InputError(f"{of_item} {d} numbers, as in the first vector; got {len(cell)}")
        if any(isinstance(number, _LISTS) for number in cell):
            raise InputError(f"{of_item} a list of numbers; got {str(cell)[:80]}")
        vectors[row] = pd.to_numeric(np.array(list(cell), dtype=object), errors="coerce")
    return vectors
