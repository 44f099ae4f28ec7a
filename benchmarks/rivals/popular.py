"""Popularity over all time: the baseline that every peer falls back on."""

from __future__ import annotations

from rivals.base import Peer


class AllTime(Peer):
    """Recommend what had most events since the beginning: the fill-up of all peers, alone."""

    def propose(self, user: int, k: int) -> list[int]:
        """Leave every place to popularity."""
        return []
