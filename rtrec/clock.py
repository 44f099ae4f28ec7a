"""The time on the wall; whoever needs it takes it as an argument, so that tests can hold it still."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present, timezone-aware."""
    return datetime.now(UTC)
