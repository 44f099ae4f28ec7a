"""Number ids by their first appearance: the bridge between the two id spaces."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rtrec.types import Nums

#: What is accepted as ids. The Arrow kinds are mapped by their distinct values, the others one by one.
Ids: TypeAlias = "Sequence[str] | pa.StringArray | pa.ChunkedArray"

UNKNOWN = -1
Id = TypeVar("Id", bound=Hashable)


class Numbered(Generic[Id]):
    """Ids that have a number, and who has which."""

    what = "ids"

    def __init__(self) -> None:
        self._nums: dict[Id, int] = {}
        self._ids: list[Id | None] = []  # by number; None: nobody has it

    def __len__(self) -> int:
        return len(self._nums)

    def __contains__(self, each: object) -> bool:
        return each in self._nums

    def lookup(self, ids: Sequence[Id] | pa.StringArray | pa.ChunkedArray) -> Nums:
        """Return the number of each id, shape ``(id,)``, with -1 for those without; nothing changes."""
        if isinstance(ids, pa.Array | pa.ChunkedArray):
            distinct, codes = _distinct(ids)
            return self.lookup(distinct)[codes]
        known = self._nums.get
        return np.fromiter((known(each, UNKNOWN) for each in ids), np.int32, count=len(ids))

    def id_of(self, num: int) -> Id:
        """Return the id that has a number.

        Raises
        ------
        IndexError
            If none has it.
        """
        each = self._ids[num] if 0 <= num < len(self._ids) else None
        if each is None:
            raise IndexError(f"number {num}: none of the {len(self):,} {self.what} has it")
        return each


class Vocabulary(Numbered[str]):
    """Ids in order of first appearance; an id keeps its number for ever.

    A number is a row of the arrays that belong to the ids, so the numbers are dense and start at 0. Reading
    from several threads is safe, adding is for one thread at a time.

    Examples
    --------
    >>> items = Vocabulary()
    >>> items.numbers(["b", "a", "b"])
    array([0, 1, 0], dtype=int32)
    >>> items.lookup(["a", "z"])
    array([ 1, -1], dtype=int32)
    >>> items.id_of(0)
    'b'
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        super().__init__()
        for each in ids:
            self._add(each)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} ids)"

    def numbers(self, ids: Ids) -> Nums:
        """Return the number of each id, shape ``(id,)``; unknown ids are added in order of appearance.

        Raises
        ------
        TypeError
            If an id to be added is no string (an id that came as 17 and as "17" would be two items).
        ValueError
            If an Arrow array holds a null.
        """
        if isinstance(ids, pa.Array | pa.ChunkedArray):
            distinct, codes = _distinct(ids)
            return self.numbers(distinct)[codes]
        known = self._nums.get
        nums = np.empty(len(ids), np.int32)
        for row, each in enumerate(ids):
            num = known(each)
            nums[row] = self._add(each) if num is None else num
        return nums

    def ids(self, nums: Iterable[int] | npt.NDArray[np.integer[Any]]) -> list[str]:
        """Return the ids behind ``nums``, in their order."""
        return [self.id_of(num) for num in nums]

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the ids as arrays for a snapshot: see :func:`packed`."""
        return packed(self.ids(range(len(self))))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Vocabulary:
        """Build the vocabulary that :meth:`to_arrays` wrote down.

        Raises
        ------
        ValueError
            If the arrays do not describe distinct ids one after the other.
        """
        ids = unpacked(arrays)
        vocabulary = cls(ids)
        if len(vocabulary) != len(ids):
            raise ValueError(f"vocabulary arrays: {len(ids)} ids of which {len(vocabulary)} are distinct")
        return vocabulary

    def _add(self, each: str) -> int:
        if not isinstance(each, str):
            raise TypeError(f"an id must be a string, got {each!r} ({type(each).__name__}); write str(id)")
        num = self._nums.get(each)
        if num is None:
            num = len(self._ids)
            self._ids.append(each)  # first, for whoever reads meanwhile: a number that is known has its id
            self._nums[each] = num
        return num


def check_no_null(ids: pa.Array | pa.ChunkedArray) -> None:
    """Raise if an id is missing.

    Raises
    ------
    ValueError
        Saying how many are.
    """
    if ids.null_count:
        raise ValueError(f"{ids.null_count} of {len(ids)} ids are null; every event needs one")


def packed(ids: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return ids as two arrays: their UTF-8 ``bytes`` one after the other, and where each ``ends``."""
    encoded = [each.encode() for each in ids]
    return {
        "bytes": np.frombuffer(b"".join(encoded), np.uint8),
        "ends": np.cumsum([len(each) for each in encoded], dtype=np.int64),
    }


def unpacked(arrays: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    """Return the ids that :func:`packed` made arrays of.

    Raises
    ------
    ValueError
        If the arrays do not describe ids one after the other.
    """
    text, ends = arrays["bytes"].tobytes(), arrays["ends"].tolist()
    starts = [0, *ends[:-1]] if ends else []
    if (ends[-1] if ends else 0) != len(text) or any(a > b for a, b in zip(starts, ends, strict=True)):
        raise ValueError(
            f"vocabulary arrays: ends {ends[-1:]} do not rise to the {len(text)} bytes there are"
        )
    return [text[start:end].decode() for start, end in zip(starts, ends, strict=True)]


def _distinct(ids: pa.Array | pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the distinct ids in order of first appearance, and the place among them of each id."""
    check_no_null(ids)
    array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if pa.types.is_dictionary(array.type):
        # A dictionary from outside may be in any order, and hold ids that no event has.
        array = array.dictionary_decode()
    encoded = array.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
