"""What is accepted and not learned yet: bounded, so that a source that is too fast has to wait.

The events themselves are in the log. What is bounded is how far the log may run ahead of learning: that is
how old a list can be, and what a run that is asked to stop has to learn before its end.
"""

from __future__ import annotations

import asyncio
from collections import deque

#: Bytes of accepted events (as Arrow has them) that may wait, and one chunk more.
MOST_WAITING_BYTES = 16 << 20


class Backlog:
    """Accepted chunks that are not learned; all methods are called in one event loop.

    Parameters
    ----------
    most_bytes
        So many may wait; a chunk that is larger than that waits alone.

    Attributes
    ----------
    n_bytes
        How many wait now.
    """

    def __init__(self, most_bytes: int = MOST_WAITING_BYTES) -> None:
        self.most_bytes = most_bytes
        self.n_bytes = 0
        self._chunks: deque[tuple[int, int]] = deque()  # events in the log behind each, and its bytes
        self._moved = asyncio.Event()
        self._is_open = False

    async def room_for(self, n_bytes: int) -> None:
        """Return once so many more may wait."""
        while not self._is_open and self.n_bytes and self.n_bytes + n_bytes > self.most_bytes:
            self._moved.clear()
            await self._moved.wait()

    def add(self, n_logged: int, n_bytes: int) -> None:
        """Note a chunk that was appended: the log has ``n_logged`` events now."""
        self._chunks.append((n_logged, n_bytes))
        self.n_bytes += n_bytes

    def learn(self, n_events: int) -> None:
        """Note that ``n_events`` of the log are learned."""
        while self._chunks and self._chunks[0][0] <= n_events:
            self.n_bytes -= self._chunks.popleft()[1]
        self._moved.set()

    def open(self) -> None:
        """Hold nobody up any more: the run ends, and may never learn what waits."""
        self._is_open = True
        self._moved.set()
