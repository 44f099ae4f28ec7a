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

    def words(self) -> str:
        """Say it, nothing where the source waits or keeps its pace.

        >>> SourceLag(behind_s=12.3).words(), SourceLag(n_unread=1200).words()
        ('source 12 s ahead', '1,200 messages unread')
        """
        said = []
        if self.behind_s is not None and self.behind_s >= 1.0:
            said.append(f"source {self.behind_s:,.0f} s ahead")
        if self.n_unread is not None:
            said.append(f"{self.n_unread:,} messages unread")
        return ", ".join(said)
