"""What a report is made from: the log as it stood, and what testing models on it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rtrec.errors import InputError
from rtrec.evaluation.result import Evaluation
from rtrec.events.log import EventLog, StoredDeadLetter
from rtrec.features.categories import Categories
from rtrec.features.historical.cohorts import Cohorts
from rtrec.settings import Settings, make_settings
from rtrec.types import Columns, Ints

#: The report shows this many of the last dead letters; all of them are counted.
SHOWN_DEAD_LETTERS = 20


@dataclass(frozen=True)
class LogContents:
    """What a log held at one moment.

    Attributes
    ----------
    name
        The source its events came from.
    events
        All of them, in order of event time (ties: by partition, then by offset).
    ends
        The offset behind the last event of each partition.
    n_controls
        How many changes of settings and other controls there were.
    counts
        What cleaning did with the rows of the source.
    texts, categories
        Of items by id, which the deployment was made with.
    dead_letter_counts, dead_letters
        How many rows could not become events, by reason, and the last few of them.
    """

    name: str
    events: pa.Table
    ends: tuple[int, ...]
    n_controls: int = 0
    texts: Mapping[str, str] = field(default_factory=dict)
    categories: Categories = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    dead_letter_counts: Mapping[str, int] = field(default_factory=dict)
    dead_letters: tuple[StoredDeadLetter, ...] = ()


@dataclass(frozen=True)
class Findings:
    """Everything a report says.

    Attributes
    ----------
    contents
        What was tested on.
    evaluation
        What each model reached.
    cohorts, tested_cohort
        Groups of users, and the group of each tested event's user, shape ``(event,)``.
    time
        When the log was read, UTC.
    command
        What writes such a report again.
    """

    contents: LogContents
    evaluation: Evaluation
    cohorts: Cohorts
    tested_cohort: Ints
    time: datetime
    command: str


def read_log(
    log: EventLog,
    *,
    source: str,
    texts: Mapping[str, str] | None = None,
    categories: Categories | None = None,
) -> LogContents:
    """Read a log as it stands; whoever writes it may go on meanwhile.

    Raises
    ------
    InputError
        If there is no event in it yet.
    """
    ends = log.ends()
    if not any(ends):
        raise InputError("the log has no events yet: start `rtrec run` on this home first")
    events = pa.concat_tables([log.read(partition, 0, end) for partition, end in enumerate(ends)])
    in_order = pc.sort_indices(events[Columns.TIMESTAMP])  # stable
    return LogContents(
        name=source,
        events=events.take(in_order).combine_chunks(),
        ends=ends,
        n_controls=len(log.controls()),
        texts=texts or {},
        categories=categories or {},
        counts=log.cleaning_counts(source),
        dead_letter_counts=log.dead_letter_counts(),
        dead_letters=tuple(log.dead_letters(limit=SHOWN_DEAD_LETTERS)),
    )


def settings_now(log: EventLog, at_first: Mapping[str, Any]) -> Settings:
    """Return the settings a deployment was created with, and every change in its log since."""
    settings = make_settings(at_first)
    for control in log.controls():
        if control.body.get("control") == "settings":
            settings = settings.changed(**control.body["changes"])
    return settings
