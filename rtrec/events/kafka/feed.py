"""The feed of a topic: its messages, cleaned as the rows of a file are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from rtrec.events.cleaning import CleanBatch, Cleaner
from rtrec.events.feeds import Fed, FileFeed
from rtrec.events.kafka.source import KafkaSource
from rtrec.events.lag import SourceLag
from rtrec.events.packing import cells_kept
from rtrec.events.payloads import Payload


class KafkaFeed(FileFeed):
    """A topic's messages, cleaned; it never ends.

    A message that cannot be an event is a dead letter of ``topic:partition``, and its row is the offset. It
    keeps the whole message; of one that is too large, if it can, the keys that the mapping names.

    Parameters
    ----------
    source
        The topic.
    clock
        Returns the present; events from the future are dead letters.
    lateness
        As of :class:`rtrec.events.feeds.FileFeed`.
    """

    source: KafkaSource  # type: ignore[assignment]

    def __init__(
        self,
        source: KafkaSource,
        *,
        clock: Callable[[], datetime] | None = None,
        lateness: timedelta | None = None,
    ) -> None:
        super().__init__(source, clock=clock, lateness=lateness)  # type: ignore[arg-type]

    def n_events(self) -> None:  # type: ignore[override]
        """Return None: it never ends."""
        return None

    def start(self, position: Any, *, recent_ids: Iterable[str] = (), **options: Any) -> Iterator[Fed]:
        """See :class:`rtrec.events.feeds.Feed`; ids that we make of offsets cannot repeat."""
        ids = recent_ids if self.source.has_ids else ()
        return super().start(position, recent_ids=ids, **options)

    def lag(self) -> SourceLag:
        """See :class:`rtrec.events.feeds.Feed`; how far it is behind its brokers, at whatever pace."""
        return SourceLag(n_unread=self.source.n_unread())

    def _chunks(self, position: Any, sleep: Callable[[float], object]) -> Iterator[Any]:
        return self.source.chunks(position, sleep=sleep)

    def _ends_with(self, part: Any) -> bool:
        return False

    def _clean(self, cleaner: Cleaner, part: Any) -> CleanBatch:
        batch = super()._clean(cleaner, part)
        letters = []
        for letter in batch.dead_letters:
            message = part.messages[letter.row]
            where = f"{self.name}:{message.partition}"
            kept = Payload(letter.payload, letter.kept)
            if message.fault is None:
                # A key that is not read now may be what a redrive is told to read.
                whole = cells_kept(part.row(letter.row))
                kept = kept if whole.kept == "part" else whole
            letters.append(
                replace(letter, source=where, row=message.offset, payload=kept.text, kept=kept.kept)
            )
        return batch._replace(dead_letters=letters)

    def _finish(self, cleaner: Cleaner) -> None:
        """Say nothing at the end: that there was no event yet is no fault of a stream."""
