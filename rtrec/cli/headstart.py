"""A feed whose first events come at once, and the others at their pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from rtrec.events.feeds import Fed, Feed


class HeadStart:
    """Another feed, with everything before a position handed out as fast as it is taken.

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

    def n_events(self) -> int | None:
        """Return how many events there will be in all, None if it never ends."""
        return self._feed.n_events()

    def start(
        self,
        position: int,
        *,
        speed: float | None,
        n_more: int | None,
        counts: Mapping[str, int],
        recent_ids: Iterable[str],
        sleep: Callable[[float], object],
    ) -> Iterator[Fed]:
        """See :class:`rtrec.events.feeds.Feed`."""

        def go_on(speed: float | None) -> Iterator[Fed]:
            return self._feed.start(
                position, speed=speed, n_more=n_more, counts=counts, recent_ids=recent_ids, sleep=sleep
            )

        while position < self._until:
            for fed in go_on(None):
                yield fed
                position, counts = fed.position, fed.counts
                n_more = None if n_more is None else n_more - fed.events.num_rows
                if position >= self._until:
                    break
            else:
                return
        yield from go_on(speed)
