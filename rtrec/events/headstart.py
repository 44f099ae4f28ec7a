"""A feed whose beginning comes at once, so that a paced one has something to show from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rtrec.events.feeds import Fed, Feed
from rtrec.events.lag import SourceLag


class HeadStart:
    """Another feed with everything before a position handed out as fast as it is taken.

    Parameters
    ----------
    feed
        The feed.
    until
        Position from which on it keeps its pace.
    """

    def __init__(self, feed: Feed, until: int) -> None:
        self._feed = feed
        self._until = until

    @property
    def name(self) -> str:
        """Return the feed's name."""
        return self._feed.name

    def identity(self) -> dict[str, Any]:
        """Return what tells the feed from any other."""
        return self._feed.identity()

    def difference(self, identity: Mapping[str, Any], position: Any) -> str | None:
        """Return why ``position`` in the feed of ``identity`` means nothing in this one."""
        return self._feed.difference(identity, position)

    def n_events(self) -> int | None:
        """Return how many events there will be in all, None if it never ends."""
        return self._feed.n_events()

    def start(
        self,
        position: Any,
        *,
        speed: float | None,
        n_more: int | None,
        counts: Mapping[str, int],
        recent_ids: Iterable[str],
        watermark: Mapping[str, Any],
        sleep: Callable[[float], object],
    ) -> Iterator[Fed]:
        """See :class:`rtrec.events.feeds.Feed`."""

        def go_on(speed: float | None) -> Iterator[Fed]:
            return self._feed.start(
                position,
                speed=speed,
                n_more=n_more,
                counts=counts,
                recent_ids=recent_ids,
                watermark=watermark,
                sleep=sleep,
            )

        if position < self._until:
            for fed in go_on(None):
                yield fed
                position, counts, watermark = fed.position, fed.counts, fed.watermark
                if n_more is not None:
                    n_more -= fed.events.num_rows
                if position >= self._until:
                    break
            else:
                return  # the feed ended within its head start
        if n_more is None or n_more > 0:
            yield from go_on(speed)

    def remember(self, event_ids: Sequence[str]) -> None:
        """See :class:`rtrec.events.feeds.Feed`."""
        self._feed.remember(event_ids)

    def lag(self) -> SourceLag:
        """See :class:`rtrec.events.feeds.Feed`."""
        return self._feed.lag()
