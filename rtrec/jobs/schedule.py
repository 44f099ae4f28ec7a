"""Start a job again and again until somebody stops it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.schedulers.blocking import BlockingScheduler

from rtrec.errors import InputError

_log = structlog.get_logger(__name__)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_interval(text: str) -> timedelta:
    """Read ``90s``, ``30m``, ``1h`` or ``1d``.

    >>> parse_interval("90s")
    datetime.timedelta(seconds=90)

    Raises
    ------
    InputError
        If the text is nothing of the kind, or less than a second.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*([smhd])", text.strip())
    interval = timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else timedelta()
    if interval < timedelta(seconds=1):
        raise InputError(f"interval {text!r}: expected a number and s, m, h or d, for example 30m or 1h")
    return interval


def run_every(
    interval: timedelta,
    action: Callable[[], object],
    *,
    scheduler: BaseScheduler | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Call ``action`` now and every ``interval`` from now, until interrupted (Ctrl-C).

    Two calls never overlap: a start that comes while the one before is still at work is left out, and starts
    missed while the machine slept become one. An action that raises is logged, and called again when its time
    comes. An interrupt lets a call that is under way finish.

    Parameters
    ----------
    interval
        From start to start.
    action
        What to do.
    scheduler
        What keeps the time; one of its own by default.
    clock
        Returns the present, in UTC.
    """
    if scheduler is None:
        scheduler = BlockingScheduler(timezone=UTC)
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # what it would say, the listener says
    scheduler.add_listener(_tell, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
    scheduler.add_job(
        action,
        "interval",
        seconds=interval.total_seconds(),
        next_run_time=clock(),
        coalesce=True,
        max_instances=1,
        # However late a start is noticed, it is still made: a report that comes late beats none.
        misfire_grace_time=None,
    )
    try:
        scheduler.start()
    except KeyboardInterrupt:
        scheduler.shutdown(wait=True)


def _tell(event: Any) -> None:
    if isinstance(event, JobExecutionEvent):
        _log.error("job failed; it is tried again when its time comes", error=str(event.exception))
    else:
        _log.warning("job is still at work; this start is left out")
