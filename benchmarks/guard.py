"""How long it takes to put the ranker back when what it was to learn is not sane.

    python benchmarks/guard.py [--events 2000] [--json]

One event at a time is tested and learned. Every other lesson is spoiled: the spread of a feature is set to
what makes its weights explode. The ranker is then put back bit by bit before the event is done, so all the
time of such an event is how long a bad number can be in it. The exit status is 1 if that is a second.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
from turns import config, show

from rtrec.declared import FEATURE_NAMES
from rtrec.events.numbering import number_events
from rtrec.events.synthetic import SyntheticStream
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.blend import Blend
from rtrec.models.guard import SOUND, fault_in, thaw
from rtrec.settings import Settings

#: The bound of what is promised.
MOST_S = 1.0
_WARM = 5000
_HEAT = FEATURE_NAMES.index("heat_long")


def measure(n_events: int) -> dict[str, Any]:
    """Time events whose lessons are learned, and those whose lessons are refused, in turns."""
    events = number_events(SyntheticStream(config()).events(_WARM + n_events), Vocabulary(), Vocabulary())
    blend = Blend(Settings())
    blend.step(events.part(0, _WARM))
    taken: dict[bool, list[float]] = {True: [], False: []}
    for place in range(_WARM, _WARM + n_events):
        if place % 2:
            blend.ranker.variance[_HEAT] = 2e-12
        began = time.perf_counter()
        learned = blend.step(events.part(place, place + 1))
        seconds = time.perf_counter() - began
        taken[bool(learned.faults[0])].append(seconds)
        assert fault_in(blend.ranker) == SOUND, "a number that is not sane is left in the ranker"
        thaw(blend.ranker)
    refused, sound = np.array(taken[True]), np.array(taken[False])
    return {
        "refused": len(refused),
        "refused p50 us": round(1e6 * float(np.median(refused)), 1),
        "refused most us": round(1e6 * float(refused.max()), 1),
        "learned p50 us": round(1e6 * float(np.median(sound)), 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = measure(options.events)
    show([found], as_json=options.json)
    sys.exit(not (found["refused"] and found["refused most us"] < 1e6 * MOST_S))


if __name__ == "__main__":
    main()
