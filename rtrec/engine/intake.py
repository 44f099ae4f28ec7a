"""Whether a run reads its source: a flood of bad rows pauses it, and a word lets it go on.

Pause and resume are controls of the log, like every other change of how a run works. So a pause outlives a
kill, and `rtrec log resume` works beside a run and without one. A third control says that dead letters were
redriven: their events are in the log, and the run that takes it learns them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rtrec.engine.status import Notice
from rtrec.events.log import Control, EventLog
from rtrec.types import Columns

PAUSE, RESUME, REDRIVEN = "pause", "resume", "redriven"
#: How often a feed that is held looks whether it may go on.
_LOOK_S = 0.05
#: So many pauses are remembered as alarms.
_REMEMBERED = 20


def pause(sentence: str) -> dict[str, Any]:
    """Return the control that pauses the source, and says why."""
    return {"control": PAUSE, "sentence": sentence}


def resume() -> dict[str, Any]:
    """Return the control that lets a paused source go on."""
    return {"control": RESUME}


@dataclass(frozen=True)
class Intake:
    """The state that these controls leave; a new value each time.

    Attributes
    ----------
    paused
        Why nothing is read; empty while it is.
    notices
        The pauses so far, as alarms.
    taken
        The offset of the last of these controls; -1 before any.
    """

    paused: str = ""
    notices: tuple[Notice, ...] = ()
    taken: int = -1

    def take(self, control: Control, n_events: int) -> Intake:
        """Return the state behind one of these controls, taken before event ``n_events``."""
        kind = control.body["control"]
        if kind == PAUSE:
            sentence = str(control.body["sentence"])
            notice = Notice(n_events, control.time, PAUSE, sentence)
            notices = (*self.notices, notice)[-_REMEMBERED:]
            return Intake(sentence, notices, control.offset)
        return Intake("" if kind == RESUME else self.paused, self.notices, control.offset)

    def to_manifest(self) -> dict[str, Any]:
        """Return it as a JSON object, for a snapshot."""
        notices = [
            {"offset": each.offset, "time": each.time.isoformat(), "sentence": each.sentence}
            for each in self.notices
        ]
        return {"paused": self.paused, "notices": notices, "taken": self.taken}

    @classmethod
    def from_manifest(cls, written: Mapping[str, Any]) -> Intake:
        """Return what :meth:`to_manifest` wrote down."""
        notices = [
            Notice(each["offset"], datetime.fromisoformat(each["time"]), PAUSE, each["sentence"])
            for each in written["notices"]
        ]
        return cls(written["paused"], tuple(notices), written["taken"])


def redriven_ids(log: EventLog, start: int, stop: int) -> list[str]:
    """Return the ids of the events that controls ``start`` to ``stop - 1`` say were redriven."""
    bodies = [each.body for each in log.controls(start, stop) if each.body.get("control") == REDRIVEN]
    return [
        event_id
        for body in bodies
        for partition, (first, end) in enumerate(zip(body["starts"], body["ends"], strict=True))
        for event_id in log.read(partition, first, end)[Columns.EVENT_ID].to_pylist()
    ]


class Gate:
    """Holds the thread that feeds a run while its source is paused.

    Parameters
    ----------
    log
        Takes the controls.
    intake
        Returns what the run has taken of them.
    sleep
        Waits for some seconds; if it returns true the run ends.
    accept_bad
        Let every flood through.
    """

    def __init__(
        self,
        log: EventLog,
        intake: Callable[[], Intake],
        sleep: Callable[[float], object],
        *,
        accept_bad: bool = False,
    ) -> None:
        self._log, self._intake, self._sleep = log, intake, sleep
        self._accept_bad = accept_bad
        self._taken = -1

    def open(self) -> bool:
        """Return once rows may be read that come first in this run; false if it ends before."""
        return self._wait(self._may_read)

    def behind(self, flood: str | None) -> bool:
        """Return once rows may be read behind those of which there is ``flood`` to say."""
        if flood is None or self._accept_bad:
            return True
        control = self._log.append_control(pause(flood))
        return self._wait(lambda: self._intake().taken >= control.offset) and self.open()

    def _may_read(self) -> bool:
        intake = self._intake()
        # A run that has lost a worker goes back to a snapshot, which may be from before the pause.
        self._taken = max(self._taken, intake.taken)
        return intake.taken == self._taken and not intake.paused

    def _wait(self, condition: Callable[[], bool]) -> bool:
        while not condition():
            if self._sleep(_LOOK_S):
                return False
        return True
