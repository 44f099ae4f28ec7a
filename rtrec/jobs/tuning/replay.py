"""One rung of a trial: a Dask task that goes on where the rung below stopped.

A rung is a pure function of the state below it, the settings and the events. The state goes from rung to rung
as arrays (:meth:`rtrec.models.blend.Blend.to_arrays`) and stays on the worker that made it, where Dask starts
the next rung; only the counts of ranks come to the driver. So a trial that is stopped costs nothing more, no
task waits for a word from the driver, and the rungs of a lost worker are made again. The other way, one task
a trial that asks now and then whether to go on, would hold a worker while it waits for the answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rtrec.evaluation.metrics import RankCounts
from rtrec.evaluation.ranking_metrics import Bools
from rtrec.events.numbering import within_bounds
from rtrec.models import kernel
from rtrec.models.blend import Blend
from rtrec.models.published import Published
from rtrec.settings import Settings
from rtrec.types import Ints, NumberedEvents


class SearchPart(NamedTuple):
    """The part of a log that trials may see, and the tables published for it by slot.

    ``n_first_items`` is how many items had a number before the first event. How many may have one at a time
    is for each trial's settings to say.
    """

    events: NumberedEvents
    n_warm: int
    published: Mapping[str, Published]
    n_first_items: int = 0


class Rung(NamedTuple):
    """What a trial has reached: its state (None behind the last rung), ranks so far, and this rung's cost.

    ``counts`` has shape ``(rank,)``: how often each rank came since testing began.
    """

    state: Mapping[str, np.ndarray] | None
    counts: Ints
    n_replayed: int
    seconds: float


def rung_ends(n_warm: int, is_tested: Bools, n_rungs: int) -> list[int]:
    """Return behind which event each rung ends: the last has all, each below it half the events of the next.

    A rung in which nothing was tested yet would say nothing of a trial and is left out.

    Parameters
    ----------
    is_tested
        Which of all events are no dislikes, ``(event,)``.

    >>> rung_ends(100, np.ones(900, bool), 4)
    [200, 300, 500, 900]
    >>> rung_ends(0, np.ones(3, bool), 4)  # too few events for four
    [1, 3]
    """
    n_events = len(is_tested)
    ends = {n_warm + (n_events - n_warm) // 2**above for above in range(n_rungs)}
    return sorted(end for end in ends if is_tested[n_warm:end].any())


def replay_rung(below: Rung | None, part: SearchPart, settings: Settings, stop: int, is_last: bool) -> Rung:
    """Test and learn the events up to ``stop`` behind those of the rung ``below`` (None: from the first).

    The ranks are those of :func:`rtrec.evaluate` for the model ``default``.
    """
    began = time.perf_counter()
    counts = RankCounts(1, settings.list_length)
    racers = (kernel.RACERS[kernel.DEFAULT],)
    if below is None:
        start = 0
        blend = Blend(settings, racers=racers)
        for slot, table in part.published.items():
            blend.publish(slot, table)
    else:
        assert below.state is not None
        start = int(below.state["n_learned"])
        blend = Blend.from_arrays(below.state, settings, racers=racers)
        counts.merge(RankCounts.from_array(below.counts[None, :]))
    log = within_bounds(part.events.part(0, stop), settings, n_first_items=part.n_first_items)
    for piece in log.pieces(start, stop):
        if piece.forgetting is not None:
            blend.forget(piece.forgetting)
        ranks = blend.step(piece.events).ranks[max(part.n_warm - piece.start, 0) :, kernel.DEFAULT]
        counts.add(ranks[ranks != kernel.UNTESTED, None])
    state = None if is_last else {**blend.to_arrays(), "n_learned": np.array(stop)}
    return Rung(state, counts.counts[0], stop - start, time.perf_counter() - began)


def without_state(rung: Rung) -> Rung:
    """Return what the driver wants to know of a rung; its state stays where it is."""
    return rung._replace(state=None)
