"""What a live run says of itself: plain values for the dashboard, the command line and the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from rtrec.events.lag import SourceLag
from rtrec.events.letters import LATE
from rtrec.settings import Settings


class Phase(StrEnum):
    """Where a run is in its life."""

    STARTING = "starting"
    RECOVERING = "recovering"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class ModelScore:
    """Prequential figures of one racing model, with 95% intervals; NaN for coverage until it is known."""

    model: str
    hit_rate: float
    hit_rate_low: float
    hit_rate_high: float
    ndcg: float
    ndcg_low: float
    ndcg_high: float
    coverage: float


@dataclass(frozen=True)
class Notice:
    """Something a person should know of, with its moment: ``kind`` says what.

    ``accuracy`` and ``improvement`` come from the drift watch, ``refit`` is a fit that failed, ``quarantine``
    and ``frozen`` come from the guard of the ranker, ``storage`` is what the disk did not take, ``pause`` a
    source that is not read on, ``sample`` a stretch that was not tested in full, ``cluster`` one that is not
    safe.

    ``size`` is how far the hit rate fell (below 0) or rose; 0 for all others.
    """

    offset: int
    time: datetime
    kind: str
    sentence: str
    size: float = 0.0


@dataclass(frozen=True)
class AppliedChange:
    """A change of settings: a control record in the log, live from ``live_from`` on.

    ``live_from`` is the number of events learned before it.
    """

    offset: int
    time: datetime
    changes: dict[str, Any]
    previous: dict[str, Any]
    live_from: int


@dataclass(frozen=True)
class Stretch:
    """Events of which only a share was tested: ``start`` to ``end - 1``, or all from ``start`` on so far."""

    share: float
    reason: str
    start: int
    began: datetime
    end: int | None = None
    ended: datetime | None = None

    def until(self, end: int, ended: datetime) -> Stretch:
        """Return it with its end."""
        return replace(self, end=end, ended=ended)

    def words(self) -> str:
        """Say from when to when a share was tested, and why.

        >>> from datetime import UTC
        >>> began, ended = (datetime(2026, 5, 1, 12, 3, second, tzinfo=UTC) for second in (4, 50))
        >>> stretch = Stretch(0.1, "the source was 9 s ahead", 800, began)
        >>> stretch.words()
        '10% of the events from 800 on are tested, all learned (since 12:03:04 UTC): the source was 9 s ahead'
        >>> stretch.until(95_000, ended).words()
        '10% of the events 800 to 94,999 were tested (12:03:04 to 12:03:50 UTC): the source was 9 s ahead'
        """
        share, began = f"{100.0 * self.share:.3g}%", f"{self.began:%H:%M:%S}"
        if self.end is None or self.ended is None:
            said = f"{share} of the events from {self.start:,} on are tested, all learned (since {began} UTC)"
        else:
            said = (
                f"{share} of the events {self.start:,} to {self.end - 1:,} were tested "
                f"({began} to {self.ended:%H:%M:%S} UTC)"
            )
        return f"{said}: {self.reason}" if self.reason else said


@dataclass(frozen=True)
class PublishedTable:
    """A table that was made outside the stream, and has an opinion since a record in the log.

    Attributes
    ----------
    slot, version, seal
        Which place it took, and which folder under ``tables`` it is, with the checksum of its manifest.
    model, made_by
        What was fitted, and what tells its options from others.
    n_events, n_items
        How many events of the log it was fitted on, and how many items it knows.
    seconds
        What the fit took.
    offset, time
        Of the control record.
    live_from
        How many events were learned before it.
    """

    slot: str
    version: str
    seal: str
    model: str
    made_by: str
    n_events: int
    n_items: int
    seconds: float
    offset: int
    time: datetime
    live_from: int


@dataclass(frozen=True)
class Served:
    """How often a table was published for a slot, and how many events were learned while one was live."""

    n_published: int = 0
    n_events: int = 0


def served_since(before: Mapping[str, Served], now: Mapping[str, Served]) -> dict[str, Served]:
    """Return by slot what came after ``before``."""
    return {
        slot: Served(
            each.n_published - before.get(slot, Served()).n_published,
            each.n_events - before.get(slot, Served()).n_events,
        )
        for slot, each in now.items()
    }


@dataclass(frozen=True)
class TableChange:
    """A record of the log that put a table into a slot, or took it out again, live from ``live_from`` on.

    ``model`` and ``n_events`` are of the table that came, or went; a table of titles alone has none of both.
    """

    offset: int
    time: datetime
    slot: str
    withdrawn: bool
    model: str
    n_events: int
    live_from: int


@dataclass(frozen=True)
class Delivery:
    """How a sink is doing: lists delivered and dropped in all, users that wait, and what went wrong last."""

    sink: str
    delivered: int = 0
    dropped: int = 0
    waiting: int = 0
    problem: str = ""


@dataclass(frozen=True, repr=False)
class Status:
    """A run at one moment; a new value each time, never changed afterwards."""

    phase: Phase
    message: str
    events: int = 0
    tested: int = 0
    logged: int = 0
    waiting_bytes: int = 0  # of events that are accepted and not learned
    source_lag: SourceLag = field(default_factory=SourceLag)
    rate_per_s: float = 0.0
    freshness_p50_ms: float = float("nan")
    freshness_p95_ms: float = float("nan")
    first_time: datetime | None = None  # of the earliest event learned
    event_time: datetime | None = None  # of the latest
    users: int = 0
    items: int = 0
    forgotten: int = 0  # users and items, since there were more than settings allow
    dead_letters: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    watermark: datetime | None = None  # events older than this are late; None where none is
    most_late_s: float = 0.0  # the most that an event was older than the newest before it
    scores: tuple[ModelScore, ...] = ()
    k: int = 10
    settings: Settings = field(default_factory=Settings)
    alarms: tuple[Notice, ...] = ()
    quarantined: int = 0  # events that the guard kept from the ranker
    frozen: bool = False  # whether the ranker learns nothing any more
    tested_share: float = 1.0  # of the events, from now on
    stretches: tuple[Stretch, ...] = ()  # where it was less, the last ones
    tables: tuple[PublishedTable, ...] = ()
    served: dict[str, Served] = field(default_factory=dict)  # in this run, by slot
    table_changes: tuple[TableChange, ...] = ()  # the newest ones, oldest first
    fitting: tuple[str, ...] = ()  # slots for which a model is being fitted
    snapshot: str = ""
    snapshot_events: int = 0  # learned when the last snapshot was taken
    shards: int = 1
    seconds: float = 0.0
    source: str = ""
    run_events: int = 0
    recoveries: int = 0
    recovery_s: float = float("nan")  # of the last one
    delivery: Delivery | None = None  # of the sink, if there is one

    def __repr__(self) -> str:
        default = next((each for each in self.scores if each.model == "default"), None)
        figures = f", hr@{self.k} {default.hit_rate:.4f}" if default else ""
        return f"Status({self.phase}, {self.events:,} events, lag {self.lag:,}{figures})"[:120]

    @property
    def late(self) -> int:
        """Return how many events came too late, and became dead letters."""
        return self.counts.get(LATE, 0)

    @property
    def lag(self) -> int:
        """Return how many accepted events are not learned yet."""
        return self.logged - self.events
