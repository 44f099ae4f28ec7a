"""The time on the wall; whoever needs it takes it as an argument, so that tests can hold it still."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present, timezone-aware."""
    return datetime.now(UTC)


def moment(timestamp: float) -> datetime | None:
    """Return seconds since 1970 as a time in UTC; None for NaN."""
    return datetime.fromtimestamp(timestamp, UTC) if math.isfinite(timestamp) else None
