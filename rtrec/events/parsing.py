"""Read raw columns of any type as text, numbers and times, without ever raising on a value.

A raw column may be text (CSV), typed (Parquet) or a mixture of Python objects (JSON Lines). What one cell
reads as never depends on its neighbours, so the result is the same however the rows are cut into chunks.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rtrec.events.mapping import TIME_UNITS, ColumnMapping
from rtrec.types import Floats

Mask = npt.NDArray[np.bool_]

#: Texts that mean "nothing here" in files written by pandas, R and databases.
MISSING_TEXTS = ("", "NaN", "nan", "NA", "N/A", "<NA>", "NULL", "null", "None")

# An offset or Z after a time of day; "2024-05-01" ends in "-01" too, so the day must end before.
_WITH_OFFSET = re.compile(r"[Tt\s]\d[\d:.,]*\s*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$")
_EXACT_INTEGER = 2.0**53
# Units of a timestamp that reach further than microseconds do; a day is left for time zones.
_UNIT_S = {"s": 1.0, "ms": 1e-3}
_MOST_MICROSECONDS = 2.0**63 - 86_400e6
_ODD = object()
_PLAIN = ("string", "integer", "floating")


class RawColumn:
    """One column as it came, and the ways to read it; each reading has one entry a row.

    >>> column = RawColumn(pd.Series(["7", "NaN", "seven"]))
    >>> column.given.tolist(), column.numbers.tolist()
    ([True, False, True], [7.0, nan, nan])
    """

    def __init__(self, cells: pd.Series) -> None:
        self._cells = cells
        self._is_number = pd.api.types.is_numeric_dtype(cells.dtype)
        self._is_time = cells.dtype.kind == "M"

    @cached_property
    def text(self) -> pa.StringArray:
        """Trimmed text, null where missing or odd; whole numbers have no point.

        A float column with gaps is how pandas holds ids with gaps, so 17850.0 reads ``"17850"``.
        """
        return self._text_and_odd[0]

    @property
    def odd(self) -> Mask:
        """Mark cells that are no text at all: lists, objects, broken characters."""
        return self._text_and_odd[1]

    @cached_property
    def given(self) -> Mask:
        """Mark cells that hold anything; the texts in :data:`MISSING_TEXTS` hold nothing."""
        if self._is_number or self._is_time:
            return np.asarray(self._cells.notna(), np.bool_)
        return ~null_mask(self.text) | self.odd

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Length of each text in bytes; 0 for typed numbers and times."""
        if self._is_number or self._is_time:
            return np.zeros(len(self._cells), np.int64)
        return np.asarray(
            pc.fill_null(pc.binary_length(self.text), 0).to_numpy(zero_copy_only=False), np.int64
        )

    @cached_property
    def numbers(self) -> Floats:
        """Numbers as float64, NaN where there is none."""
        if self._is_number:
            return np.asarray(self._cells.to_numpy(np.float64, na_value=np.nan), np.float64)
        return _spelt_numbers(self.text)

    def microseconds(self, mapping: ColumnMapping) -> Floats:
        """Return times as microseconds since 1970 UTC, NaN where there is none.

        Float64 holds a microsecond exactly until the year 2255. Numbers are read in ``mapping.time_unit``,
        times without an offset in ``mapping.timezone``; of an hour that a clock change repeats, the first is
        meant.
        """
        if self._is_time:
            return _moments(self._cells, mapping.timezone)
        if mapping.time_format is not None:
            return _written_times(_objects(self.text), mapping.time_format, mapping.timezone)
        times = _number_times(self.numbers, mapping.time_unit)
        if not self._is_number:
            written = np.flatnonzero(np.isnan(self.numbers) & ~null_mask(self.text))
            if len(written):
                cells = _objects(self.text.take(pa.array(written)))
                times[written] = _written_times(cells, "ISO8601", mapping.timezone)
        return times

    @cached_property
    def _text_and_odd(self) -> tuple[pa.StringArray, Mask]:
        array = as_arrow(self._cells)
        if array is not None and pa.types.is_floating(array.type):
            return _float_text(array), np.isinf(array.cast(pa.float64()).to_numpy(zero_copy_only=False))
        if array is not None and _casts_to_text(array.type):
            return _tidy(array.cast(pa.string())), np.zeros(len(array), np.bool_)
        cells = [_cell_text(cell) for cell in self._cells]
        odd = np.fromiter((cell is _ODD for cell in cells), np.bool_, count=len(cells))
        return _tidy(pa.array([None if cell is _ODD else cell for cell in cells], pa.string())), odd


def as_arrow(cells: pd.Series) -> pa.Array | None:
    """Return a pandas column as one Arrow array, or None if it has to be read cell by cell."""
    # Arrow would find a common type for most mixtures, and so let a cell's neighbours change how it reads.
    if cells.dtype == object and pd.api.types.infer_dtype(cells, skipna=True) not in _PLAIN:
        return None
    try:
        array = pa.array(cells, from_pandas=True)
    except (UnicodeEncodeError, OverflowError):
        return None  # a lone surrogate, which JSON may spell, or an integer of more than 64 bits
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def null_mask(array: pa.Array) -> Mask:
    """Return where an Arrow array is null, as a NumPy mask."""
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), np.bool_)


def _casts_to_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
    )


def _cell_text(cell: object) -> object:
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return None
    if isinstance(cell, float | np.floating):
        if not np.isfinite(cell):
            return None if np.isnan(cell) else _ODD
        return str(int(cell)) if float(cell).is_integer() else repr(float(cell))
    if isinstance(cell, Decimal):
        if not cell.is_finite():
            return None
        # Written out, 1E+999999 would take a megabyte.
        whole = cell.adjusted() < 100 and cell == cell.to_integral_value()
        return str(int(cell)) if whole else str(cell.normalize())
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "surrogateescape")
    if isinstance(cell, dict | list | tuple | set | np.ndarray):
        return _ODD
    text = str(cell)
    return _ODD if any("\ud800" <= sign <= "\udfff" for sign in text) else text


def _float_text(array: pa.Array) -> pa.StringArray:
    numbers = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    whole = np.isfinite(numbers) & (np.abs(numbers) < _EXACT_INTEGER) & (np.trunc(numbers) == numbers)
    text = pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole).cast(pa.string())
    others = np.flatnonzero(np.isfinite(numbers) & ~whole)
    if len(others) == 0:
        return text
    cells = text.to_pylist()
    for index in others:
        cells[index] = _cell_text(numbers[index])
    return pa.array(cells, pa.string())


def _tidy(text: pa.StringArray) -> pa.StringArray:
    text = pc.utf8_trim_whitespace(text)
    missing = pc.is_in(text, value_set=pa.array(MISSING_TEXTS))
    return pc.if_else(missing, pa.scalar(None, pa.string()), text)


def _objects(text: pa.StringArray) -> pd.Series:
    return pd.Series(text.to_numpy(zero_copy_only=False), dtype=object)


def _spelt_numbers(text: pa.StringArray) -> Floats:
    try:
        return np.array(text.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        # One text that is no number fails the whole cast; pandas reads the others all the same.
        return np.array(pd.to_numeric(_objects(text), errors="coerce"), np.float64)


def _number_times(numbers: Floats, unit: str | None) -> Floats:
    if unit is not None:
        scale: float | Floats = TIME_UNITS[unit]
    else:
        size = np.abs(numbers)
        scale = np.select([size < 1e11, size < 1e14, size < 1e17], [1e6, 1e3, 1.0], 1e-3)
        numbers = np.where(_reads_as_date(numbers), np.nan, numbers)
    with np.errstate(over="ignore", invalid="ignore"):
        times = np.round(numbers * scale)
    return np.where(np.isfinite(times), times, np.nan)


def _reads_as_date(numbers: Floats) -> Mask:
    in_range = (numbers >= 19500101) & (numbers <= 20991231) & (np.trunc(numbers) == numbers)
    digits = np.where(in_range, numbers, 0).astype(np.int64)
    month, day = digits // 100 % 100, digits % 100
    return np.asarray(in_range & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31), np.bool_)


def _written_times(cells: pd.Series, time_format: str, timezone: str) -> Floats:
    if time_format == "ISO8601":
        aware = np.fromiter((bool(_WITH_OFFSET.search(cell)) for cell in cells), np.bool_, count=len(cells))
    else:
        aware = np.full(len(cells), "%z" in time_format or "%Z" in time_format)
    times = np.full(len(cells), np.nan)
    for with_offset in (True, False):
        chosen = np.flatnonzero(aware == with_offset)
        if len(chosen):
            times[chosen] = _alike_times(cells.iloc[chosen], time_format, timezone, with_offset=with_offset)
    return times


def _alike_times(cells: pd.Series, time_format: str, timezone: str, *, with_offset: bool) -> Floats:
    """Read times that all have an offset, or all have none; one that belies this is read alone."""
    try:
        return _moments(pd.to_datetime(cells, format=time_format, errors="coerce", utc=with_offset), timezone)
    except ValueError:
        if len(cells) == 1:
            aware = pd.to_datetime(cells, format=time_format, errors="coerce", utc=True)
            return _moments(aware, timezone)
        alone = [
            _alike_times(cells.iloc[row : row + 1], time_format, timezone, with_offset=with_offset)
            for row in range(len(cells))
        ]
        return np.concatenate(alone)


def _moments(times: pd.Series, timezone: str) -> Floats:
    moments: pa.Array = as_arrow(times)
    if pa.types.is_timestamp(moments.type) and moments.type.unit in _UNIT_S:
        # Years that microseconds cannot hold would wrap around into dates like any other.
        size = pc.abs_checked(pc.fill_null(moments.cast(pa.int64()), 0))
        too_far = pc.greater(size, int(_MOST_MICROSECONDS / 1e6 / _UNIT_S[moments.type.unit]))
        moments = pc.if_else(too_far, pa.scalar(None, moments.type), moments)
    if pa.types.is_date(moments.type) or moments.type.tz is None:
        local = moments.cast(pa.timestamp("us"), safe=False)
        moments = pc.assume_timezone(local, timezone, ambiguous="earliest", nonexistent="latest")
    microseconds = moments.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
    return np.array(microseconds.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
