"""Take what a feed hands out into the log: from then on it is durable, and its place in the source kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from rtrec.engine.backlog import Backlog
from rtrec.engine.gauges import Gauges
from rtrec.engine.intake import redriven_ids
from rtrec.engine.storage import Storage
from rtrec.errors import StorageUnavailable
from rtrec.events.cleaning import DEDUP_WINDOW
from rtrec.events.feeds import Fed, Feed
from rtrec.events.log import EventLog
from rtrec.events.schema import shard_of
from rtrec.events.watermark import Watermark
from rtrec.types import Columns


class Accepting:
    """Appends to the log, when there is room for it; all methods are called in the event loop of a run.

    Parameters
    ----------
    log, feed
        From where to where; None looks only at what is there.
    storage
        Waits for the disk.
    backlog
        Waits until enough is learned.
    gauges
        Are told what came.
    is_stopping
        Says whether somebody has asked for the end.

    Attributes
    ----------
    n_logged, n_dead
        How many events, and how many dead letters that wait, the log has.
    counts, watermark
        What became of the rows of the source so far, and what counts as late.
    """

    def __init__(
        self,
        log: EventLog,
        feed: Feed | None,
        storage: Storage,
        backlog: Backlog,
        gauges: Gauges,
        is_stopping: Callable[[], bool],
    ) -> None:
        self.n_logged = self.n_dead = 0
        self.counts: dict[str, int] = {}
        self.watermark = Watermark()
        self._log = log
        self._feed = feed
        self._storage = storage
        self._backlog = backlog
        self._gauges = gauges
        self._is_stopping = is_stopping
        self._in_doubt = False  # whether it is not known if the last append came through
        # The last control that need not be looked at for redriven dead letters: their ids are in the log when
        # the feed asks for the last ones.
        self._redriven_at = len(log.controls()) - 1

    def count(self) -> None:
        """Look how much the log has."""
        self.n_logged = sum(self._log.ends())

    def resume(self, source: str) -> None:
        """Go on where the log stands with its source."""
        self.counts = self._log.cleaning_counts(source)
        self.watermark = Watermark.resumed(self._log.watermark(source))
        self.n_dead = sum(self._log.dead_letter_counts().values())

    async def accept(self, fed: Fed) -> None:
        """Append to the log; what returns from here is durable."""
        await self._backlog.room_for(fed.events.nbytes)
        n_shards = self._log.partitions
        parts = [fed.events]
        if n_shards > 1:
            shards = shard_of(fed.events[Columns.USER_ID], n_shards)
            parts = [fed.events.filter(pa.array(shards == shard)) for shard in range(n_shards)]
        try:
            ends = await self._storage.keep_trying("Accepting events", partial(self._append, fed, parts))
        except StorageUnavailable:
            if not self._is_stopping():
                raise
            return  # not accepted: a later run reads it again
        self.n_logged = sum(ends)
        self._backlog.add(self.n_logged, fed.events.nbytes)
        self._gauges.accept(self.n_logged)
        self._gauges.see(fed.events[Columns.USER_ID].to_pylist())
        self.counts, self.n_dead = dict(fed.counts), self.n_dead + len(fed.dead_letters)
        self.watermark = Watermark.resumed(fed.watermark)

    def _append(self, fed: Fed, parts: list[pa.Table]) -> tuple[int, ...]:
        """Append to the log; the second time only if it is not there, for an error may hide that it is."""
        assert self._feed is not None
        if self._in_doubt and self._log.position(self._feed.name) == fed.position:
            ends = self._log.ends()
        else:
            self._in_doubt = True
            ends = self._log.append(
                parts,
                source=self._feed.name,
                position=fed.position,
                counts=fed.counts,
                watermark=fed.watermark,
                dead_letters=fed.dead_letters,
            )
        self._in_doubt = False
        return ends

    async def hear_of_redriven(self, taken: int) -> None:
        """Tell the feed which ids came into the log as redriven dead letters, and count those that wait.

        ``taken`` is the last control that a run has taken of those that may say so.
        """
        if taken <= self._redriven_at:
            return
        first, self._redriven_at = self._redriven_at + 1, taken
        ids = await asyncio.to_thread(redriven_ids, self._log, first, taken + 1)
        if self._feed is not None:
            self._feed.remember(ids)
        self.count()
        self.n_dead = sum((await asyncio.to_thread(self._log.dead_letter_counts)).values())


def recent_ids(log: EventLog) -> Iterator[str]:
    """Yield the ids of the last events; they are read only if the feed asks, which few do."""
    yield from log.recent_event_ids(DEDUP_WINDOW)
