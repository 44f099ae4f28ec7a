"""Sequences made a little different, so that a model cannot learn them by heart.

The operators of CL4SRec (Xie, Sun, Liu, Wu, Zhang, Gao, Ding, Cui 2022) as plain augmentation of what a model
is trained on: *mask* hides items behind a token, *crop* keeps a stretch, *reorder* shuffles a stretch. Chance
comes in as uniform draws. A sequence is a row of places in it, oldest first, -1 past its end:

>>> import numpy as np
>>> rows = np.array([[0, 1, 2, 3, -1]])
>>> crop(rows, np.array([0.5]), share=0.5)  # two of four, from place floor(0.5 x 3) = 1
array([[ 1,  2, -1, -1, -1]])
>>> reorder(rows, np.array([[0.9, 0.8, 0.2, 0.1, 0.0]]), np.array([0.5]), share=0.5)
array([[ 0,  2,  1,  3, -1]])
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtrec.types import Floats, Ints

AUGMENTATIONS = ("mask", "crop", "reorder", "noise")


def lengths(rows: npt.NDArray[Any]) -> Ints:
    """Return how long each sequence is, ``(row,)``."""
    return (rows >= 0).sum(axis=1)


def mask(rows: npt.NDArray[Any], draws: Floats, *, share: float) -> npt.NDArray[np.bool_]:
    """Say which items to hide, ``(row, place)``; ``draws`` has the same shape."""
    return (draws < share) & (rows >= 0)


def crop(rows: npt.NDArray[Any], draws: Floats, *, share: float) -> npt.NDArray[Any]:
    """Keep a stretch of ``share`` of each sequence, at least one item; ``draws``, ``(row,)``, say where."""
    size, kept, start = _stretch(rows, draws, share)
    places = np.arange(rows.shape[1])
    moved = np.take_along_axis(rows, np.minimum(start[:, None] + places, rows.shape[1] - 1), axis=1)
    return np.where(places < np.minimum(kept, size)[:, None], moved, -1)


def reorder(rows: npt.NDArray[Any], order: Floats, draws: Floats, *, share: float) -> npt.NDArray[Any]:
    """Shuffle a stretch of ``share`` of each sequence.

    ``draws``, ``(row,)``, say where it is; within it items stand by rising ``order``, ``(row, place)``.
    """
    _, kept, start = _stretch(rows, draws, share)
    places = np.arange(rows.shape[1], dtype=np.float64)
    inside = (places >= start[:, None]) & (places < (start + kept)[:, None])
    # Within the stretch keys lie from its start to below its end, so it stays where it is.
    keys = np.where(inside, start[:, None] + order * kept[:, None], places)
    return np.take_along_axis(rows, np.argsort(keys, axis=1, kind="stable"), axis=1)


def _stretch(rows: npt.NDArray[Any], draws: Floats, share: float) -> tuple[Ints, Ints, Ints]:
    """Return the length of each sequence, the length of its stretch, and where that starts."""
    size = lengths(rows)
    kept = np.maximum(np.floor(share * size).astype(np.int64), np.minimum(size, 1))
    return size, kept, (draws * (size - kept + 1)).astype(np.int64)
