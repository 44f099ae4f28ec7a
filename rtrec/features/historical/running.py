"""Sums that run along a stream, group by group, and where they stood at any place of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rtrec.types import Floats, Ints

Keys: TypeAlias = "npt.NDArray[np.integer[Any]]"


def running(how: np.ufunc, values: Floats, key: Keys) -> Floats:
    """Accumulate values, anew wherever the key changes."""
    result = np.empty(len(values))
    starts = np.flatnonzero(np.diff(key, prepend=key[:1] - 1))
    for start, stop in pairwise([*starts.tolist(), len(values)]):
        how.accumulate(values[start:stop], out=result[start:stop])
    return result


def last_before(key: Keys, place: Ints, asked_key: Keys, asked_place: Ints) -> Ints:
    """Return the row of the last event of each asked key before its asked place; -1 where there is none.

    Parameters
    ----------
    key, place
        Of events in order of key, then place.
    """
    if not len(key):
        return np.full(len(asked_key), -1, np.int64)
    keys, first = np.unique(key, return_index=True)
    number = np.minimum(np.searchsorted(keys, asked_key), len(keys) - 1)
    there = keys[number] == asked_key
    width = int(max(place.max(), asked_place.max(initial=0))) + 1
    group = np.repeat(np.arange(len(keys)), np.diff(np.r_[first, len(key)]))
    row = np.searchsorted(group * width + place, number * width + asked_place, side="left") - 1
    return np.where(there & (row >= first[number]), row, -1)
