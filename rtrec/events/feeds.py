"""Feeds: what a run is fed with, ready to be appended to the log.

A feed hands out clean events together with the place it has come to. The log stores that place in the same
transaction as the events, so a restarted run goes on exactly behind the last event it accepted.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa

from rtrec.clock import SteadyClock
from rtrec.events.cleaning import CleanBatch, Cleaner
from rtrec.events.lag import SourceLag
from rtrec.events.letters import DeadLetter
from rtrec.events.pacing import Pace, paced
from rtrec.events.sources import FileSource
from rtrec.events.synthetic import SyntheticStream
from rtrec.events.verdicts import ACCEPTED
from rtrec.events.watermark import Watermark

#: A pace is kept in steps of this length: event by event, each would be a commit of its own.
STEP_S = 0.05
#: Files of years have weeks without an event; nobody watches a replay that stands still for longer.
LONGEST_WAIT_S = 2.0


@dataclass(frozen=True)
class Fed:
    """Clean events, dead letters, and how far the feed has come.

    A position is whatever of :data:`rtrec.events.log.Position` the feed can start again from. ``counts`` and
    ``watermark`` are those of the source so far, for the log to keep; ``flood`` is what there is to say if
    too many of the last rows could not be events.
    """

    events: pa.Table
    position: Any
    counts: Mapping[str, int] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    watermark: Mapping[str, Any] = field(default_factory=dict)
    flood: str | None = None

    @classmethod
    def cleaned(cls, batch: CleanBatch, position: Any, cleaner: Cleaner) -> Fed:
        """Return what a cleaner made of the rows up to ``position``."""
        return cls(
            batch.events,
            position,
            dict(cleaner.counts),
            batch.dead_letters,
            cleaner.watermark.stored(),
            cleaner.flood,
        )


class Feed(Protocol):
    """A source of events that can start again anywhere."""

    @property
    def name(self) -> str:
        """Return the name the log knows the source by."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return what tells this feed from any other, as a JSON object."""
        ...

    def difference(self, identity: Mapping[str, Any], position: Any) -> str | None:
        """Return why ``position`` in the feed of ``identity`` means nothing in this one; None if it does."""
        ...

    def n_events(self) -> int | None:
        """Return how many events there will be in all, None if it never ends; may read the whole source."""
        ...

    def start(
        self,
        position: Any,
        *,
        speed: float | None,
        n_more: int | None,
        counts: Mapping[str, int],
        recent_ids: Iterable[str],
        watermark: Mapping[str, Any],
        sleep: Callable[[float], object],
    ) -> Iterator[Fed]:
        """Yield what comes behind ``position`` (0: all there is), at ``speed`` times the recorded pace.

        A ``speed`` of None is as fast as it goes. It ends after ``n_more`` events exactly, at once, standing
        right behind the last of them. ``counts``, ``recent_ids`` and ``watermark`` are what the log remembers
        of the rows before; ``sleep`` waits, and ends the feed by returning true.
        """
        ...

    def remember(self, event_ids: Sequence[str]) -> None:
        """Count these ids as seen from now on: they came into the log by another way. From any thread."""
        ...

    def lag(self) -> SourceLag:
        """Return how far the source is ahead of what was handed out; may take a moment, from any thread."""
        ...


class FileFeed:
    """A file's rows, cleaned.

    Parameters
    ----------
    source
        The file.
    longest_wait_s
        See :func:`rtrec.events.pacing.paced`; how long a replay at some speed waits for its next row at most.
    clock
        Returns the present; events from the future are dead letters.
    lateness
        How much older than the newest event before it one may be; later ones are dead letters. None is as
        before in a source that is gone on with, and without a bound in a new one: a file that is not sorted
        is no stream that is late.
    """

    def __init__(
        self,
        source: FileSource,
        *,
        longest_wait_s: float = LONGEST_WAIT_S,
        clock: Callable[[], datetime] | None = None,
        lateness: timedelta | None = None,
    ) -> None:
        self.source = source
        self._longest_wait_s = longest_wait_s
        self._clock = SteadyClock() if clock is None else clock
        self._lateness = lateness
        self._told: deque[Sequence[str]] = deque()
        self._pace = Pace()

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.source.name

    def identity(self) -> dict[str, Any]:
        """See :meth:`rtrec.events.sources.FileSource.identity`."""
        return self.source.identity()

    def difference(self, identity: Mapping[str, Any], position: Any) -> str | None:
        """See :meth:`rtrec.events.sources.FileSource.difference`."""
        return self.source.difference(identity, position)

    def n_events(self) -> int:
        """Return how many events the file has, found by cleaning it once for nothing else.

        Raises
        ------
        InputError
            If not a single row is an event.
        """
        cleaner = self._cleaner({})
        n_events = sum(
            cleaner.clean(chunk.frame, chunk.first_row).events.num_rows for chunk in self.source.chunks()
        )
        cleaner.require_accepted()
        return n_events

    def start(
        self,
        position: int,
        *,
        speed: float | None = None,
        n_more: int | None = None,
        counts: Mapping[str, int] | None = None,
        recent_ids: Iterable[str] = (),
        watermark: Mapping[str, Any] | None = None,
        sleep: Callable[[float], object] = lambda _: None,
    ) -> Iterator[Fed]:
        """See :class:`Feed`.

        Raises
        ------
        InputError
            At the end, if not a single row was an event.
        """
        cleaner = self._cleaner(watermark or {})
        cleaner.counts.update(counts or {})
        if self.source.mapping.event_id is not None:  # ids we make ourselves cannot repeat
            cleaner.remember(recent_ids)
        for chunk in paced(
            self._chunks(position, sleep),
            speed=speed,
            longest_wait_s=self._longest_wait_s,
            pace=self._pace,
            sleep=_in_steps(sleep),
            now=self._clock,
        ):
            start = 0
            while start < len(chunk.frame):
                # As many rows as events are wanted can never be too many, however few of them are events.
                stop = len(chunk.frame) if n_more is None else min(start + n_more, len(chunk.frame))
                part = chunk.part(start, stop)
                while self._told:
                    cleaner.remember(self._told.popleft())
                fed = Fed.cleaned(self._clean(cleaner, part), part.position, cleaner)
                if self._ends_with(part) or ACCEPTED not in cleaner.counts:
                    # Behind the last row there is nothing to hold; a file that is misread says so at its end.
                    fed = replace(fed, flood=None)
                yield fed
                if n_more is not None:
                    n_more -= fed.events.num_rows
                    if n_more <= 0:
                        return  # before the next row is waited for
                start = stop
        self._finish(cleaner)

    def _chunks(self, position: Any, sleep: Callable[[float], object]) -> Iterator[Any]:
        """Yield raw chunks behind a position; a source that never ends has to heed ``sleep``."""
        return self.source.chunks(position)

    def _ends_with(self, part: Any) -> bool:
        """Say whether nothing comes behind a part."""
        return bool(part.position >= self.source.n_rows)

    def _clean(self, cleaner: Cleaner, part: Any) -> CleanBatch:
        return cleaner.clean(part.frame, part.first_row)

    def _finish(self, cleaner: Cleaner) -> None:
        cleaner.require_accepted()

    def remember(self, event_ids: Sequence[str]) -> None:
        """See :class:`Feed`."""
        if self.source.mapping.event_id is not None:
            self._told.append(event_ids)

    def lag(self) -> SourceLag:
        """See :class:`Feed`; a file waits for whoever reads it, and only a pace can leave it behind."""
        return SourceLag(behind_s=self._pace.behind_s())

    def _cleaner(self, watermark: Mapping[str, Any]) -> Cleaner:
        return Cleaner(
            self.source.mapping,
            source=self.name,
            clock=self._clock,
            rules=self.source.rules,
            watermark=Watermark.resumed(watermark, self._lateness),
        )


class SyntheticFeed:
    """The synthetic stream, which never ends and needs no cleaning."""

    def __init__(self, stream: SyntheticStream, *, chunk_rows: int = 500) -> None:
        self.stream = stream
        self._chunk_rows = chunk_rows
        self._pace = Pace()

    @property
    def name(self) -> str:
        """Return the stream's name."""
        return self.stream.name

    def identity(self) -> dict[str, Any]:
        """Return the name and every property of the synthetic world."""
        return {"stream": self.stream.name, **json.loads(json.dumps(asdict(self.stream.config), default=str))}

    def difference(self, identity: Mapping[str, Any], position: Any) -> str | None:
        """Name the property of the world that differs; where the stream stands makes no difference."""
        mine = self.identity()
        for name in sorted(mine.keys() | identity.keys()):
            if mine.get(name) != identity.get(name):
                return f"its {name} was {identity.get(name)!r}, now {mine.get(name)!r}"
        return None

    def n_events(self) -> None:
        """Return None: it never ends."""
        return None

    def start(
        self,
        position: int,
        *,
        speed: float | None = None,
        n_more: int | None = None,
        counts: Mapping[str, int] | None = None,
        recent_ids: Iterable[str] = (),
        watermark: Mapping[str, Any] | None = None,
        sleep: Callable[[float], object] = lambda _: None,
    ) -> Iterator[Fed]:
        """See :class:`Feed`; nothing has to be remembered of the rows before."""
        chunks = self.stream.chunks(self._chunk_rows, position)
        for events in paced(chunks, speed=speed, pace=self._pace, sleep=_in_steps(sleep)):
            events = events.slice(0, n_more)
            position += events.num_rows
            yield Fed(events, position, {"accepted": position})
            if n_more is not None:
                n_more -= events.num_rows
                if n_more <= 0:
                    return

    def remember(self, event_ids: Sequence[str]) -> None:
        """See :class:`Feed`; its ids are its own and never repeat."""

    def lag(self) -> SourceLag:
        """See :class:`Feed`; it makes events when they are asked for, and only a pace can leave it behind."""
        return SourceLag(behind_s=self._pace.behind_s())


def _in_steps(sleep: Callable[[float], object]) -> Callable[[float], object]:
    return lambda seconds: sleep(max(seconds, STEP_S))
