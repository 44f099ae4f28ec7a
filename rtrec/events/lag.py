"""How far a source is ahead of what was read of it."""

from __future__ import annotations

from typing import NamedTuple


class SourceLag(NamedTuple):
    """What waits outside, where somebody else decides how fast events come.

    A source that waits for whoever reads it, such as a file that is read as fast as it goes, has neither.

    Attributes
    ----------
    behind_s
        For how many seconds the next event is overdue; None where no pace is kept.
    n_unread
        How many rows (messages) nobody has read; None where nobody counts them.
    """

    behind_s: float | None = None
    n_unread: int | None = None
