"""What the guard kept from the ranker: which events, of which cut, and why; and whether it learns at all.

:mod:`rtrec.models.guard` decides, as shards learn; here it is booked. All of it follows from the log, so it
goes into snapshots, and a replay books the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import structlog

from rtrec.engine.status import Notice
from rtrec.events.log import Cut, EventLog
from rtrec.models.guard import words_for
from rtrec.types import Columns

_log = structlog.get_logger(__name__)
#: The control record that lets a frozen ranker learn again.
THAW = "thaw"
#: The newest cuts with quarantined events that are remembered; their number never ends.
_REMEMBERED = 100
#: The ranker that several shards learned together was not sane, though that of each was.
TOGETHER = "what the shards learned, put together, is not sane"


@dataclass(frozen=True)
class Quarantined:
    """Events of one cut that have taught the ranker nothing.

    Attributes
    ----------
    seq
        The cut.
    n_before
        How many events were learned before it.
    time
        The latest event time so far.
    offsets
        By partition of the log, where its quarantined events are.
    why
        What the first of them would have done.
    """

    seq: int
    n_before: int
    time: datetime
    offsets: tuple[tuple[int, ...], ...]
    why: str

    @property
    def n_events(self) -> int:
        """Return how many events these are."""
        return sum(map(len, self.offsets))

    @property
    def sentence(self) -> str:
        """Say what happened, for people."""
        n_events = self.n_events
        are = "1 event is" if n_events == 1 else f"{n_events:,} events are"
        return (
            f"{are} quarantined: learned from them, the ranker would not be sane ({self.why}). It was put "
            f"back; `rtrec log quarantined` shows them."
        )


def events_of(log: EventLog, cut: Quarantined) -> list[dict[str, Any]]:
    """Return the quarantined events of a cut as the log has them, one a JSON object, with where and why."""
    found = []
    for partition, offsets in enumerate(cut.offsets):
        for offset in offsets:
            [event] = log.read(partition, offset, offset + 1).to_pylist()
            found.append(
                {
                    "batch": cut.seq,
                    "partition": partition,
                    "offset": offset,
                    "user": event[Columns.USER_ID],
                    "item": event[Columns.ITEM_ID],
                    "time": event[Columns.TIMESTAMP].isoformat(),
                    "kind": event[Columns.KIND],
                    "value": event[Columns.VALUE],
                    "why": cut.why,
                }
            )
    return found


class Quarantine:
    """The book of all quarantined events of a run.

    Attributes
    ----------
    n_events
        How many there are.
    frozen
        Whether the ranker learns nothing any more, since there were too many.
    """

    def __init__(self) -> None:
        self.n_events = 0
        self.frozen = False
        self._cuts: tuple[Quarantined, ...] = ()
        self._frozen_at: tuple[int, datetime] | None = None

    @property
    def cuts(self) -> tuple[Quarantined, ...]:
        """Return the newest cuts with quarantined events, oldest first."""
        return self._cuts

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Return an alarm for each cut, and one while the ranker is frozen."""
        alarms = [Notice(each.n_before, each.time, "quarantine", each.sentence) for each in self._cuts]
        if self._frozen_at is not None:
            n_before, time = self._frozen_at
            sentence = (
                f"The ranker is frozen since event {n_before:,}: too much that it was to learn had to be put "
                "in quarantine. Answers go on with what it knows; find the cause, then change a setting, or "
                "call `rtrec log thaw`, and it learns again."
            )
            alarms.append(Notice(n_before, time, "frozen", sentence))
        return tuple(alarms)

    def take(
        self,
        cut: Cut,
        starts: Sequence[int],
        faults: Sequence[np.ndarray],
        *,
        frozen: bool,
        together: bool,
        n_before: int,
        time: float,
    ) -> None:
        """Book what became of a cut.

        Parameters
        ----------
        starts
            Where it begins, in each partition.
        faults
            What the guard found, by partition and event.
        frozen
            Whether the ranker is, after it.
        together
            Whether nothing that the shards learned of it counts, for what it came to.
        n_before, time
            How many events came before it, and the latest event time with it, in seconds since 1970.
        """
        if not (together or frozen or self.frozen or any(each.any() for each in faults)):
            return
        moment = datetime.fromtimestamp(time, UTC)
        offsets = tuple(
            tuple((start + np.flatnonzero(each if not together else np.ones_like(each))).tolist())
            for start, each in zip(starts, faults, strict=True)
        )
        if any(offsets):
            first = next((int(each[each > 0][0]) for each in faults if each.any()), 0)
            why = words_for(first) if first else TOGETHER
            entry = Quarantined(cut.seq, n_before, moment, offsets, why)
            self.n_events += entry.n_events
            _log.warning("events are in quarantine", batch=cut.seq, events=entry.n_events, why=why)
            self._cuts = (*self._cuts, entry)[-_REMEMBERED:]
        if frozen and not self.frozen:
            self._frozen_at = (n_before, moment)
            _log.error("the ranker is frozen: it learns nothing until a setting is changed", batch=cut.seq)
        elif not frozen:
            self._frozen_at = None
        self.frozen = frozen

    def to_manifest(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return {
            "n_events": self.n_events,
            "frozen_at": None
            if self._frozen_at is None
            else [self._frozen_at[0], self._frozen_at[1].isoformat()],
            "cuts": [
                {
                    "seq": each.seq,
                    "n_before": each.n_before,
                    "time": each.time.isoformat(),
                    "offsets": [list(own) for own in each.offsets],
                    "why": each.why,
                }
                for each in self._cuts
            ],
        }

    @classmethod
    def from_manifest(cls, written: Mapping[str, Any]) -> Quarantine:
        """Return what :meth:`to_manifest` wrote down."""
        book = cls()
        book.n_events = written["n_events"]
        if written["frozen_at"] is not None:
            n_before, time = written["frozen_at"]
            book._frozen_at, book.frozen = (n_before, datetime.fromisoformat(time)), True
        book._cuts = tuple(
            Quarantined(
                each["seq"],
                each["n_before"],
                datetime.fromisoformat(each["time"]),
                tuple(map(tuple, each["offsets"])),
                each["why"],
            )
            for each in written["cuts"]
        )
        return book
