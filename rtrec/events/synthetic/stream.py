"""The synthetic stream: event tables out of the make-believe world, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import pyarrow as pa

from rtrec.events.schema import EVENT_SCHEMA, empty_events
from rtrec.events.synthetic.catalogue import Catalogue, People
from rtrec.events.synthetic.config import SyntheticConfig
from rtrec.events.synthetic.titles import make_title
from rtrec.events.synthetic.world import Happening, World
from rtrec.types import Floats, Ints

_USER, _ITEM = "user-", "item-"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SyntheticStream:
    """Events without end, the same for the same config, whatever the chunks and wherever they begin.

    >>> stream = SyntheticStream(SyntheticConfig(seed=7))
    >>> stream.events(1000).equals(stream.events(2000).slice(0, 1000))
    True
    """

    def __init__(self, config: SyntheticConfig | None = None) -> None:
        self.config = config or SyntheticConfig()
        self.name = f"synthetic-{self.config.seed}"
        self.truth = Truth(self.config)

    def events(self, n: int) -> pa.Table:
        """Return the first ``n`` events as an event table."""
        if n < 1:
            return empty_events()
        return next(self.chunks(n))

    def chunks(self, chunk_rows: int, start_row: int = 0) -> Iterator[pa.Table]:
        """Yield event tables of ``chunk_rows`` from row ``start_row`` on, for ever.

        Rows before the start are lived through again, since what a user does next depends on what they did:
        ten to fifteen seconds for a million.

        Raises
        ------
        ValueError
            If ``chunk_rows`` is less than one or ``start_row`` is negative, or once everybody in a small
            world has had everything.
        """
        if chunk_rows < 1 or start_row < 0:
            raise ValueError(
                f"chunk_rows must be at least 1 and start_row 0; got {chunk_rows} and {start_row}"
            )
        world = World(self.config)
        happenings = (happening for happening, _ in world.happenings())
        next(islice(happenings, start_row, start_row), None)
        row = start_row
        while True:
            yield self._table(list(islice(happenings, chunk_rows)), row)
            row += chunk_rows

    def hit_chances(self, n: int, *, k: int = 10, repeat: bool = False) -> Floats:
        """Return the best anybody could do on each of the first ``n`` events, shape ``(event,)``.

        Entry r is the chance that event r is among the ``k`` likeliest items, for somebody who knows the
        tastes, the mood of the sitting, what follows what and what bursts. Without ``repeat`` the list leaves
        out what the user has had, so an event on such an item is lost on everybody.
        """
        world = World(self.config)
        chances = np.zeros(n)
        for row, (_, sitting) in enumerate(islice(world.happenings(), n)):
            by_item = world.chances(sitting)
            if not repeat:
                by_item[world.seen(sitting)] = 0.0
            likeliest = np.partition(by_item, -k)[-k:] if k < len(by_item) else by_item
            chances[row] = likeliest.sum()
        return chances

    def best_hit_rate(self, n: int, *, k: int = 10, after: int = 0, repeat: bool = False) -> float:
        """Return the mean of :meth:`hit_chances` over rows ``after`` to ``n - 1``: the hr@k nobody beats."""
        return float(self.hit_chances(n, k=k, repeat=repeat)[after:].mean())

    def item_titles(self, n_events: int = 0) -> dict[str, str]:
        """Return the title of each item that is there when the event of row ``n_events`` happens, by id."""
        return self.truth.item_titles(self.config.n_items_at(n_events))

    def _table(self, happenings: list[Happening], first_row: int) -> pa.Table:
        times, users, items, kinds = zip(*happenings, strict=True)
        kind_names = [kind for kind, _ in self.config.kinds]
        start_us = (self.config.start - _EPOCH).total_seconds() * 1e6
        timestamps = (start_us + np.asarray(times) * 1e6).astype(np.int64)
        columns = [
            pa.array(
                [f"{self.name}:{row}" for row in range(first_row + 1, first_row + 1 + len(times))],
                pa.string(),
            ),
            pa.array([f"{_USER}{user:05d}" for user in users], pa.string()),
            pa.array([f"{_ITEM}{item:04d}" for item in items], pa.string()),
            pa.array(timestamps, pa.timestamp("us", tz="UTC")),
            pa.array([kind_names[kind] for kind in kinds], pa.string()),
            self._values(np.asarray(items), np.asarray(kinds), first_row),
            pa.nulls(len(times), pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)

    def _values(self, items: Ints, kinds: Ints, first_row: int) -> pa.Array:
        """Return the price of what was bought, stars for a rating, null for the rest."""
        values = np.full(len(items), np.nan, np.float32)
        for code, (kind, _) in enumerate(self.config.kinds):
            chosen = kinds == code
            if kind == "buy":
                values[chosen] = self.truth.prices(items[chosen])
            elif kind == "rating":
                # People rate what they chose, so most are content; the row decides, to repeat on a restart.
                rows = first_row + np.flatnonzero(chosen)
                values[chosen] = np.array([5, 4, 3, 5, 4, 2, 4, 5, 1, 3])[
                    (rows * 7919 + self.config.seed) % 10
                ]
        return pa.array(values, from_pandas=True)


class Truth:
    """What the stream does not say: tastes, groups, and when they change.

    Items and users are known by id however late they are born.
    """

    def __init__(self, config: SyntheticConfig) -> None:
        self._catalogue = Catalogue(config)
        self._people = People(config)
        self._permuted: Catalogue | None = None
        self._config = config

    @property
    def drift_row(self) -> int | None:
        """Return the first row (from 0) after the drift, or None if there is none."""
        return self._config.drift_at

    def user_groups(self, user_id: str) -> tuple[int, int]:
        """Return the main and the second taste group of a user."""
        number = _number(user_id, _USER)
        self._people.grow(number + 1)
        return self._people.main[number], self._people.second[number]

    def item_group(self, item_id: str, row: int = 0) -> int:
        """Return the taste group an item belongs to when the event of ``row`` happens."""
        number = _number(item_id, _ITEM)
        self._grow(number + 1)
        drift = self._config.drift_at
        if drift is None or row < drift or number >= self._config.n_items_at(drift):
            return self._catalogue.group[number]
        if self._permuted is None:
            self._permuted = Catalogue(self._config)
            self._permuted.grow(self._config.n_items_at(drift))
            self._permuted.drift()
        return self._permuted.group[self._permuted.place_of[number]]

    def item_titles(self, n_items: int) -> dict[str, str]:
        """Return the titles of the first ``n_items`` items by id; their words go with the group of birth."""
        self._grow(n_items)
        group, number = self._catalogue.group, self._catalogue.number_in_group
        return {f"{_ITEM}{item:04d}": make_title(group[item], number[item]) for item in range(n_items)}

    def prices(self, items: Ints) -> Floats:
        """Return what items cost, by their numbers, shape ``(item,)``."""
        if len(items):
            self._grow(int(items.max()) + 1)
        return np.array([self._catalogue.price[item] for item in items])

    def _grow(self, n_items: int) -> None:
        self._catalogue.grow(max(n_items, len(self._catalogue)))


def _number(name: str, prefix: str) -> int:
    digits = name.removeprefix(prefix)
    if not name.startswith(prefix) or not digits.isdecimal():
        raise ValueError(f"no such id in the synthetic stream: {name!r}; ids look like {prefix}0042")
    return int(digits)
