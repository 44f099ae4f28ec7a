"""Which events are tested: all of them, or, while a source is too fast, a share.

A share is set and lifted by controls of the log, like every other change of how a run works, and which events
it takes follows from their numbers alone. So every replay tests the same ones, wherever the stream is cut,
and comes to the same state. An event that is not tested is learned like any other: by the tables, by its user
and by all counters. What it cannot do is teach the ranker, which learns from answers, and there was none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from rtrec.engine.status import Notice, Stretch
from rtrec.errors import CorruptionError
from rtrec.events.log import Control

SAMPLE = "sample"
#: So many stretches are remembered.
_REMEMBERED = 20
#: SplitMix64 (Steele, Lea, Flood 2014), of which event n takes the n-th number.
_STEP, _FIRST, _SECOND = (
    np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)

Asked = npt.NDArray[np.bool_]


def sample(share: float, reason: str) -> dict[str, Any]:
    """Return the control that has a share of the events tested from now on, and says why."""
    return {"control": SAMPLE, "share": share, "reason": reason}


def lift() -> dict[str, Any]:
    """Return the control that has all events tested again."""
    return {"control": SAMPLE, "share": 1.0, "reason": ""}


def is_tested(offsets: npt.NDArray[np.int64], share: float) -> Asked:
    """Say of each event, by its number, whether it is among the share that is tested.

    What a smaller share takes a larger one takes too.

    >>> is_tested(np.arange(5), 0.5).tolist()
    [False, True, True, False, True]
    """
    return _numbers(offsets) < share


def _numbers(offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return a number from 0 to below 1 for each event."""
    z = (offsets.astype(np.uint64) + np.uint64(1)) * _STEP
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class Sampling:
    """The state that these controls leave; a new value each time.

    Attributes
    ----------
    share
        The share of the events that is tested now.
    stretches
        Where less than all was tested, the last ones, oldest first; one without an end goes on.
    taken
        The offset of the last of these controls; -1 before any.
    """

    share: float = 1.0
    stretches: tuple[Stretch, ...] = ()
    taken: int = -1

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Return the stretches as something a person should know of."""
        return tuple(Notice(each.start, each.began, SAMPLE, each.words()) for each in self.stretches)

    def asked(self, n_before: int, n_events: int) -> Asked | None:
        """Say which of the events behind the first ``n_before`` are tested; None if all are."""
        if self.share >= 1.0:
            return None
        return is_tested(n_before + np.arange(n_events), self.share)

    def take(self, control: Control, n_events: int) -> Sampling:
        """Return the state behind one of these controls, taken before event ``n_events``.

        Raises
        ------
        CorruptionError
            If its share is none.
        """
        share, reason = control.body.get("share"), str(control.body.get("reason", ""))
        if not isinstance(share, float) or not 0.0 < share <= 1.0:
            raise CorruptionError(
                f"control {control.offset}: a share of events that is tested lies above 0 and is at most 1; "
                f"got {share!r}: written by another version of rtrec"
            )
        stretches = tuple(
            each if each.end is not None else each.until(n_events, control.time)
            for each in self.stretches
            if each.end is not None or each.start < n_events  # nothing came in an empty one
        )
        if share < 1.0:
            stretches = (*stretches, Stretch(share, reason, n_events, control.time))[-_REMEMBERED:]
        return Sampling(share, stretches, control.offset)

    def to_manifest(self) -> dict[str, Any]:
        """Return it as a JSON object, for a snapshot."""
        stretches = [
            asdict(each) | {name: _text(getattr(each, name)) for name in _TIMES} for each in self.stretches
        ]
        return {"share": self.share, "stretches": stretches, "taken": self.taken}

    @classmethod
    def from_manifest(cls, written: Mapping[str, Any]) -> Sampling:
        """Return what :meth:`to_manifest` wrote down."""
        stretches = [
            Stretch(**each | {name: _moment(each[name]) for name in _TIMES}) for each in written["stretches"]
        ]
        return cls(written["share"], tuple(stretches), written["taken"])


_TIMES = ("began", "ended")


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
