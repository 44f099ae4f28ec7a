"""What becomes of sound events as they arrive: taken, known already, or too late.

Events are judged one after the other: an id that was taken before is a repeat, whatever its time; what is not
may be late; only what is taken is remembered and moves the watermark. So the outcome does not depend on where
a stream is cut into batches, nor on a restart in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.events.recent import RecentIds
from rtrec.events.watermark import Sighting, Watermark
from rtrec.types import Floats, Ints

Mask = npt.NDArray[np.bool_]


class Arrival(NamedTuple):
    """The outcome for some events, in the order they arrived; masks and ``behind`` have shape ``(event,)``.

    ``behind`` is how many microseconds each was older than the newest before it; ``sighting`` is what the
    watermark takes of those that are no repeats.
    """

    repeated: Mask
    late: Mask
    behind: Floats
    sighting: Sighting

    def among(self, n_rows: int, places: Ints) -> Arrival:
        """Return it over ``n_rows`` rows, of which these events stand at ``places``."""
        repeated, late, behind = np.zeros(n_rows, np.bool_), np.zeros(n_rows, np.bool_), np.zeros(n_rows)
        repeated[places], late[places], behind[places] = self.repeated, self.late, self.behind
        return Arrival(repeated, late, behind, self.sighting)


def arrive(
    times: Floats, ids: Sequence[str] | None, *, window: RecentIds, watermark: Watermark, latest: float
) -> Arrival:
    """Judge events in the order they arrive; neither the window nor the watermark changes.

    Parameters
    ----------
    times
        Event times in microseconds since 1970, shape ``(event,)``.
    ids
        Of the events; None where none can repeat.
    latest
        See :meth:`~rtrec.events.watermark.Watermark.sight`.
    """
    repeated = np.zeros(len(times), np.bool_)
    if ids is not None:
        known = window.holds(ids)
        repeated = known | _repeats(ids)
    sighting = watermark.sight(times[~repeated], latest=latest)
    if ids is not None and sighting.is_late.any() and (repeated & ~known).any():
        # What repeats a late event repeats nothing that was taken.
        repeated = _one_by_one(times, ids, known, watermark, latest)
        sighting = watermark.sight(times[~repeated], latest=latest)
    late, behind = np.zeros(len(times), np.bool_), np.zeros(len(times))
    late[~repeated], behind[~repeated] = sighting.is_late, sighting.behind
    return Arrival(repeated, late, behind, sighting)


def _repeats(ids: Sequence[str]) -> Mask:
    """Say of each id whether it stands there before."""
    repeats = np.zeros(len(ids), np.bool_)
    if len(set(ids)) == len(ids):
        return repeats
    seen: set[str] = set()
    for place, each in enumerate(ids):
        repeats[place] = each in seen
        seen.add(each)
    return repeats


def _one_by_one(times: Floats, ids: Sequence[str], known: Mask, watermark: Watermark, latest: float) -> Mask:
    """Return which events repeat one that was taken."""
    taken: set[str] = set()
    newest: list[float] = []
    repeated = known.copy()
    for place, each in enumerate(ids):
        if known[place] or each in taken:
            repeated[place] = True
            continue
        seen = np.array([*newest, times[place]])
        if not watermark.sight(seen, latest=latest).is_late[-1]:
            taken.add(each)
            newest = [seen.max()]
    return repeated
