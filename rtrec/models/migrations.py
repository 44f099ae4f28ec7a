"""From older formats of a snapshot to the present one, a step a version.

Whoever changes what a snapshot holds raises :data:`rtrec.models.snapshot.FORMAT_VERSION` and adds the step
here; a snapshot is brought up to date whenever it is opened, and what lies on disk stays as it was written. A
published table has the same format: a step leaves alone what it is not about.

=======  =========================================================================================
version  what came with it
=======  =========================================================================================
1        arrays and manifest
2        the guard: strikes against each shard's ranker, and a book of quarantined events; when the
         first event was, whether the source is paused, and when which tables came, went and served
3        velocity and acceleration among the features
4        which share of the events is tested
=======  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.errors import CorruptionError

Arrays = dict[str, npt.NDArray[Any]]


#: What the books of a run say that began to keep them with version 2.
EMPTY_BOOKS: Mapping[str, Any] = {
    "quarantine": {"n_events": 0, "frozen_at": None, "cuts": []},
    "first_time": None,
    "intake": {"paused": "", "notices": [], "taken": -1},
    "served": {},
    "table_changes": [],
}


class Content(NamedTuple):
    """What a snapshot holds; the arrays may be views of files, which are not changed."""

    arrays: Arrays
    manifest: dict[str, Any]


def add_guard_and_books(content: Content) -> Content:
    """Bring a state of version 1 to version 2.

    Raises
    ------
    CorruptionError
        If a ranker in it has numbers that are not finite: there was no guard then.
    """
    arrays = dict(content.arrays)
    for name, array in content.arrays.items():
        shard, ranker, of = name.partition("ranker/")
        if ranker and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CorruptionError(f"array {name!r} is not finite: written by a rtrec that had no guard")
        if ranker and of == "n_seen":
            arrays[f"{shard}ranker/strikes"] = np.zeros(1)
    is_state = len(arrays) > len(content.arrays)
    return Content(arrays, content.manifest | (dict(EMPTY_BOOKS) if is_state else {}))


#: The last features of a candidate since version 3.
MOMENTUM = ("velocity", "acceleration")


def add_momentum(content: Content) -> Content:
    """Bring a state of version 2 to version 3: its rankers have learned nothing yet of the new features."""
    from rtrec.models import crosses, ranker  # with numba, which takes a second to import

    arrays = dict(content.arrays)
    for name, written in content.arrays.items():
        shard, is_list, rest = name.rpartition("features")
        if not is_list or rest or f"{shard}ranker/weight" not in arrays:
            continue
        arrays[name] = np.append(written, MOMENTUM)
        factors = crosses.first_factors(MOMENTUM)
        for of, start in (
            ("weight", 0.0),
            ("squared_gradient", ranker.FIRST_SQUARES),
            ("moment_weight", 0.0),
            ("moment_squared_gradient", ranker.FIRST_SQUARES),
            ("variance", 0.0),
            ("crosses/factor", np.stack([np.zeros_like(factors), factors])),
            ("crosses/squared_gradient", crosses.FIRST_SQUARES),
        ):
            array = arrays[f"{shard}ranker/{of}"]  # features come first on its last axis
            new = np.broadcast_to(start, (*array.shape[:-1], len(MOMENTUM))).astype(array.dtype)
            features, others = np.split(array, [len(written)], axis=-1)
            arrays[f"{shard}ranker/{of}"] = np.concatenate([features, new, others], axis=-1)
    return Content(arrays, content.manifest)


def add_sampling(content: Content) -> Content:
    """Bring a state of version 3 to version 4: until then every event was tested."""
    if "intake" not in content.manifest:  # no books of a run
        return content
    all_tested = {"share": 1.0, "stretches": [], "taken": -1}
    return Content(content.arrays, content.manifest | {"sampling": all_tested})


#: By the version that a step begins with.
MIGRATIONS: Mapping[int, Callable[[Content], Content]] = {
    1: add_guard_and_books,
    2: add_momentum,
    3: add_sampling,
}
