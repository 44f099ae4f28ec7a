"""Numbers that must be numbers: the second line behind the guard, for all that is written down."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rtrec.errors import NotFinite

#: Arrays of items in which an infinity, or NaN, says that nothing is known yet. What is published has rows of
#: NaN for users without a vector, and was looked at when it was (:func:`rtrec.models.published.misfit_of`).
_OPEN = ("items/first_time", "items/last_time", "items/value_level", "items/nearline/")


def of_a_state(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return those arrays of a snapshot of a run in which every number must be finite.

    That is all that answers are made from: the rankers, and what is known of items and users.
    """
    return {
        name: array
        for name, array in arrays.items()
        if (name.startswith("items/") and not name.startswith(_OPEN))
        or "/ranker/" in name
        or "/users/" in name
    }


def check_finite(what: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise if an array holds NaN or an infinity.

    Raises
    ------
    NotFinite
        Naming the array, and the first such place in it.
    """
    for name, array in arrays.items():
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        bad = ~np.isfinite(array)
        place = tuple(map(int, np.argwhere(bad)[0]))
        n_bad = int(np.count_nonzero(bad))
        raise NotFinite(
            f"{what}: {n_bad:,} of {array.size:,} numbers in {name!r} are not finite; "
            f"the first is {array[place]} at {list(place)}"
        )
