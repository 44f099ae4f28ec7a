"""What a live run says of itself: plain values for the dashboard, the command line and the notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from rtrec.settings import Settings


class Phase(StrEnum):
    """Where a run is in its life."""

    STARTING = "starting"
    RECOVERING = "recovering"
    RUNNING = "running"
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
    """An alarm of the drift watch, a fit that failed, or a cluster that is not safe, with its moment."""

    offset: int
    time: datetime
    kind: str
    sentence: str


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
class Status:
    """A run at one moment; a new value each time, never changed afterwards."""

    phase: Phase
    message: str
    events: int = 0
    tested: int = 0
    logged: int = 0
    rate_per_s: float = 0.0
    freshness_p50_ms: float = float("nan")
    freshness_p95_ms: float = float("nan")
    event_time: datetime | None = None
    users: int = 0
    items: int = 0
    forgotten: int = 0  # users and items, since there were more than settings allow
    dead_letters: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    scores: tuple[ModelScore, ...] = ()
    k: int = 10
    settings: Settings = field(default_factory=Settings)
    alarms: tuple[Notice, ...] = ()
    tables: tuple[PublishedTable, ...] = ()
    fitting: tuple[str, ...] = ()  # slots for which a model is being fitted
    snapshot: str = ""
    shards: int = 1
    seconds: float = 0.0
    source: str = ""
    run_events: int = 0
    recoveries: int = 0

    @property
    def lag(self) -> int:
        """Return how many accepted events are not learned yet."""
        return self.logged - self.events


@dataclass(frozen=True)
class Reason:
    """One exact part of a score: the parts of an item sum to its score relative to the average candidate."""

    feature: str
    sentence: str
    part: float
    because_of: tuple[str, ...] = ()  # titles of the user's items that made it


@dataclass(frozen=True)
class RecommendedItem:
    """One place of a list, with its reasons, strongest first.

    What only fills up the list has NaN for a score, and no reasons.
    """

    item_id: str
    title: str
    score: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Recommendation:
    """A user's last items and what is recommended now."""

    user_id: str
    known: bool
    history: tuple[tuple[str, str], ...]  # (item_id, title), newest first
    items: tuple[RecommendedItem, ...]
    offset: int
