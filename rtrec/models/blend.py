"""The built-in recommender: all state of one shard, and the kernel over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.declared import FEATURE_NAMES, SLOTS, vector_source
from rtrec.errors import CorruptionError
from rtrec.models import kernel, published
from rtrec.models.arrays import BY_WALKER, copied, copy_into, fill_from, leaves, stored, used
from rtrec.models.base import Ranks
from rtrec.models.candidates import Workspace, empty_workspace
from rtrec.models.forgetting import (
    forget_items,
    forget_oldest_pairs,
    forget_pairs,
    forget_users,
    forget_walkers,
    marked,
)
from rtrec.models.guard import Faults, thaw
from rtrec.models.nearline.tables import NeighbourTable, VectorTable
from rtrec.models.params import Params, to_params
from rtrec.models.published import Published
from rtrec.models.ranker import empty_lessons, fill_scale, moment_of, new_ranker, ranker_of, weights_at
from rtrec.models.tables import (
    N_HALF_LIVES,
    TREND_LENGTH,
    ItemTables,
    Operations,
    empty_item_tables,
    empty_operations,
)
from rtrec.models.tastes import N_PLACES
from rtrec.models.users import RING_CAPACITY, UserTables, empty_user_tables, with_pairs
from rtrec.settings import FIXED, Settings
from rtrec.types import Floats, Forgetting, NumberedEvents, Nums

#: What the names of published arrays begin with in a state.
_NEARLINE = "items/nearline/"
_FIRST_ITEMS, _FIRST_USERS, _FIRST_PAIRS = 1024, 1024, 1 << 14


class Learned(NamedTuple):
    """What a step did: ranks of shape ``(event, racer)``, and what the item tables must learn.

    ``faults`` says of each event what :mod:`rtrec.models.guard` found, 0 for nothing, shape ``(event,)``.
    """

    ranks: Ranks
    operations: Operations
    faults: Faults


class Best(NamedTuple):
    """An answer as numbers: the items, best first, and among how many candidates they were chosen."""

    best: Nums
    n_candidates: int


class Blend:
    """Streaming tables of items, the users of one shard, and the ranker that blends their opinions.

    Parameters
    ----------
    settings
        How to learn and answer.
    shard, n_shards
        Which shard of how many: item tables also follow the users of the other shards.
    racers
        Which of :data:`rtrec.models.kernel.RACERS` answer each event; the others' ranks stay -1.

    Examples
    --------
    >>> import numpy as np
    >>> from rtrec.types import NumberedEvents, Nums
    >>> blend = Blend(Settings())
    >>> events = NumberedEvents(
    ...     user_num=np.array([0, 0, 1, 1], np.int32),
    ...     item_num=np.array([0, 1, 0, 1], np.int32),
    ...     timestamp=np.array([1.0, 2.0, 3.0, 4.0]),
    ...     kind=np.zeros(4, np.uint8),
    ...     value=np.zeros(4, np.float32),
    ... )
    >>> blend.step(events).ranks[:, 0].tolist()  # user 1's first item is popular, her second goes with it
    [0, 0, 1, 1]
    """

    def __init__(
        self,
        settings: Settings,
        *,
        shard: int = 0,
        n_shards: int = 1,
        racers: Sequence[str] = kernel.RACERS,
    ) -> None:
        self.settings = settings
        self.shard = shard
        self.n_shards = n_shards
        self.racers = tuple(racers)
        self.n_items = 0
        self.n_users = 0
        self._n_walkers = 0  # users of all shards, as far as the item tables met them
        self._racing = np.array([racer in racers for racer in kernel.RACERS])
        self._params = to_params(settings)
        self._nearline = published.empty_nearline()
        self._items = empty_item_tables(_FIRST_ITEMS, settings.row_length, _FIRST_USERS)
        self._users = empty_user_tables(_FIRST_USERS, _FIRST_PAIRS)
        self._shown = np.zeros((len(kernel.RACERS), _FIRST_ITEMS), np.uint8)
        self.ranker, self._spare = new_ranker(), new_ranker()
        self._clear_workspace()

    def step(
        self,
        events: NumberedEvents,
        *,
        batch: int = 1,
        defer: bool = False,
        asked: npt.NDArray[np.bool_] | None = None,
    ) -> Learned:
        """Test, then learn ``events``, ``batch`` at a time; with ``defer`` leave the item tables alone.

        Where ``asked`` is false, shape ``(event,)``, an event is not answered: its rank is -1, and it teaches
        the ranker nothing. What it says of users and items is learned as ever.

        With ``batch=1`` and no ``defer`` the result does not depend on how a stream is cut into calls.
        """
        n_events = events.n_events
        operations = empty_operations(n_events, min(self._params.ring_length, RING_CAPACITY))
        ranks = np.full((n_events, len(kernel.RACERS)), kernel.UNTESTED, np.int16)
        faults = np.zeros(n_events, np.uint8)
        if asked is None:
            asked = np.ones(n_events, np.bool_)
        lessons = empty_lessons(min(batch, n_events))
        if n_events:
            self.make_room(int(events.user_num.max()) + 1, int(events.item_num.max()) + 1)
        start = 0
        while True:
            start = kernel.step(
                self._items,
                self._nearline,
                self._users,
                self.ranker,
                self._spare,
                self._work,
                self._shown,
                self._params,
                events,
                asked,
                lessons,
                operations,
                ranks,
                faults,
                self._racing,
                (self.shard, self.n_shards),
                start,
                batch,
                defer,
            )
            if start >= n_events:
                return Learned(ranks, operations, faults)
            self._make_room_for_pairs(min(batch, n_events - start))

    def publish(self, slot: str, value: Published) -> None:
        """Let what was made outside the stream have an opinion from now on, in place of the last one.

        Raises
        ------
        ValueError
            If there is no such slot (:data:`rtrec.declared.PLACES`), it takes another kind of thing, or what
            is published does not fit together, or into what settings leave room for.
        """
        if misfit := published.misfit_of(value, max(self.settings.most_items, self.n_items)):
            raise ValueError(f"slot {slot!r}: {misfit}")
        self._take(slot, value)

    def _take(self, slot: str, value: Published) -> None:
        self._nearline = published.placed(self._nearline, slot, value)
        self.make_room(0, published.n_items_of(value))
        if slot == published.CATEGORIES:  # numbers that users were counted by mean something else now
            n_places = N_PLACES if self._nearline.categories.n_categories else 0
            anew = empty_user_tables(len(self._users.n_events), 1, n_places)
            self._users = self._users._replace(category=anew.category, category_count=anew.category_count)
        self._clear_workspace()

    def compile(self) -> None:
        """Compile all that a stream may call on: until then the first call of each kernel takes seconds."""
        n_events = 64
        few = NumberedEvents(
            user_num=np.arange(n_events, dtype=np.int32) % 4,
            item_num=np.arange(n_events, dtype=np.int32) % 7,
            timestamp=np.arange(n_events, dtype=np.float64),
            kind=np.zeros(n_events, np.uint8),
            value=np.full(n_events, np.nan, np.float32),
        )
        other = Blend(self.settings, racers=self.racers)
        other.learn_items(other.step(few, defer=True).operations)
        other.forget(Forgetting(0, few.user_num[:1], few.user_num[:1], few.item_num[:1]))

    def learn_items(self, operations: Operations) -> None:
        """Teach the item tables what steps deferred, in the order given."""
        if len(operations.item_num):
            self.make_room(0, int(operations.item_num.max()) + 1)
            self._make_room_for_walkers(int(operations.walker.max()) + 1)
            kernel.learn_items(self._items, self._params, operations)

    def forget(self, forgetting: Forgetting) -> None:
        """Clear all that belongs to users and items whose numbers will mean somebody else.

        Items go for good from every table; what they taught about others stays.
        """
        users = forgetting.users[forgetting.users < self.n_users]
        items = forgetting.items[forgetting.items < self.n_items]
        forget_users(self._users, users)
        forget_walkers(self._items, forgetting.walkers)
        if len(items):
            forget_items(self._items, self._users, items)
            self._shown[:, items] = 0
            gone = marked(items, len(self._items.total))
            for half_life in range(N_HALF_LIVES):
                trend = self._items.trend_item[half_life, : self._items.trend_size[half_life]]
                if gone[trend].any():
                    self._find_hottest(half_life)
        self._nearline = published.forgotten(self._nearline, items, forgetting.walkers)
        self._users = forget_pairs(self._users, users, items)

    def change(self, settings: Settings) -> None:
        """Go on under other live settings, with the state as it is.

        A decayed count keeps its present value and decays at the new half-life from the item's last event on.
        A ranker that was frozen learns again.
        """
        for name in FIXED:
            if getattr(settings, name) != getattr(self.settings, name):
                raise ValueError(f"{name} is fixed for the life of a deployment")
        before, self._params = self._params, to_params(settings)
        self.settings = settings
        thaw(self.ranker)
        for half_life in range(N_HALF_LIVES):
            if before.half_life_s[half_life] != self._params.half_life_s[half_life]:
                self._change_half_life(half_life, before.half_life_s[half_life])
        self._clear_workspace()

    def _clear_workspace(self) -> None:
        capacity, settings = len(self._items.total), self.settings
        self._work = empty_workspace(
            capacity, self._params, settings.row_length, self._nearline, settings.without
        )

    def make_room(self, n_users: int, n_items: int) -> None:
        """Grow the arrays for so many users and items; one more user row stays empty, for strangers."""
        self.n_users = max(self.n_users, n_users)
        self.n_items = max(self.n_items, n_items)
        capacity = len(self._items.total)
        if self.n_items > capacity:
            while capacity < self.n_items:
                capacity *= 2
            n_walkers = len(self._items.last_visit)
            larger = empty_item_tables(capacity, self.settings.row_length, n_walkers)
            self._items = copy_into(larger, self._items)
            shown = np.zeros((len(kernel.RACERS), capacity), np.uint8)
            shown[:, : self._shown.shape[1]] = self._shown
            self._shown = shown
            self._clear_workspace()
        self._make_room_for_walkers((n_users - 1) * self.n_shards + self.shard + 1 if n_users else 0)
        capacity = len(self._users.n_events)
        if self.n_users + 1 > capacity:
            while capacity < self.n_users + 1:
                capacity *= 2
            n_places = self._users.category.shape[1]
            roomy = empty_user_tables(capacity, len(self._users.pair), n_places)
            self._users = copy_into(roomy, self._users)

    def _make_room_for_walkers(self, n_walkers: int) -> None:
        self._n_walkers = max(self._n_walkers, n_walkers)
        capacity = len(self._items.last_visit)
        if self._n_walkers > capacity:
            while capacity < self._n_walkers:
                capacity *= 2
            larger = empty_item_tables(1, 1, capacity)
            for name in BY_WALKER:
                known = getattr(self._items, name)
                getattr(larger, name)[: len(known)] = known
            self._items = self._items._replace(**{name: getattr(larger, name) for name in BY_WALKER})

    def answer(
        self, user_num: int, now: float, *, k: int, racer: str = "default"
    ) -> tuple[Best, ItemTables, UserTables, Workspace, Params]:
        """Answer a user (-1: a stranger) without learning; also return what the answer was made from.

        The workspace holds the candidates with their features until the next step or answer of ``racer``,
        one of :data:`rtrec.models.kernel.RACERS`; those that race beside it have no say.

        Raises
        ------
        ValueError
            If ``k`` is below one.
        """
        if k < 1:
            raise ValueError(f"a list has at least one place; got k={k}")
        user = self.row_of(user_num)
        walker = user_num * self.n_shards + self.shard if user < self.n_users else -1
        scale = np.empty(len(self.ranker.weight))
        fill_scale(self.ranker, scale)
        weights = self.weights_for(user, now)
        lists = np.full((len(kernel.RACERS), k), -1, np.int32)
        place = kernel.RACERS.index(racer)
        racing = np.arange(len(kernel.RACERS)) == place
        items, users, work = self._items, self._users, self._work
        n = kernel.answer(
            work,
            items,
            self._nearline,
            users,
            weights,
            self.ranker.crosses,
            self._params,
            scale,
            # As a step has them: for other types the kernels would be compiled a second time, in the midst of
            # a live run.
            np.int32(user),
            walker,
            float(now),
            racing,
            lists,
        )
        best = lists[place]
        return Best(best[best >= 0], int(n)), items, users, work, self._params

    @property
    def nearline(self) -> dict[str, Published]:
        """Return what is published by slot, without the empty slots."""
        return published.by_slot(self._nearline)

    def neighbours(self, source: str) -> tuple[NeighbourTable, Floats | None] | None:
        """Return the neighbour table behind a feature's source, and what its rows are divided by.

        None for a source that is no neighbour table, or an empty slot.
        """
        items = self._items
        if source == "cooccurrence":
            return NeighbourTable(items.near_item, items.near_weight, items.near_size), items.total
        if source == "transitions":
            return NeighbourTable(items.next_item, items.next_weight, items.next_size), items.next_total
        table = dict(zip(SLOTS, self._nearline.rows, strict=True)).get(source)
        return None if table is None or not table.n_items else (table, None)

    def vectors(self, source: str) -> VectorTable | None:
        """Return the vectors behind a feature's source; None for another source, or where there are none."""
        table = dict(zip(map(vector_source, SLOTS), self._nearline.vectors, strict=True)).get(source)
        return None if table is None or not table.n_items else table

    def weights_for(self, user: int, now: float) -> Floats:
        """Return the ranker's weights as they hold for a row of users at time ``now``, ``(feature,)``."""
        weights = np.empty(len(self.ranker.weight))
        moment = moment_of(self._users.n_events[user], self._users.last_time[user], now)
        weights_at(self.ranker, moment, weights)
        return weights

    def row_of(self, user_num: int) -> int:
        """Return the row of a user's arrays; strangers share one that stays empty."""
        return user_num if 0 <= user_num < self.n_users else self.n_users

    def shown(self) -> tuple[np.ndarray, int]:
        """Return which items each racer has recommended, ``(racer, item)``, and how many are known."""
        return self._shown[:, : self.n_items].copy(), int(np.count_nonzero(self._items.total))

    def start_testing(self) -> None:
        """Forget what was recommended so far: coverage counts from here."""
        self._shown[:] = 0

    def coverage(self) -> dict[str, float]:
        """Return for each racer the share of known items it has recommended."""
        known = max(int(np.count_nonzero(self._items.total)), 1)
        shown = np.count_nonzero(self._shown, axis=1) / known
        return {racer: float(shown[kernel.RACERS.index(racer)]) for racer in self.racers}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the whole state as arrays, as :mod:`rtrec.models.snapshot` stores it; views, not copies."""
        arrays = {
            f"items/{name}": used(name, array, self.n_items, self._n_walkers)
            for name, array in leaves(self._items)
        }
        for slot, value in self.nearline.items():
            arrays |= published.to_arrays(value, f"{_NEARLINE}{slot}/")
        arrays |= {f"users/{name}": used(name, array, self.n_users) for name, array in leaves(self._users)}
        arrays |= {f"ranker/{name}": array for name, array in leaves(self.ranker)}
        return arrays | {"shown": self._shown[:, : self.n_items], "features": np.array(FEATURE_NAMES)}

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        settings: Settings,
        *,
        shard: int = 0,
        n_shards: int = 1,
        racers: Sequence[str] = kernel.RACERS,
    ) -> Blend:
        """Return a blend that goes on exactly where the one behind :meth:`to_arrays` stood.

        Raises
        ------
        CorruptionError
            If the arrays were written with other features or racing models than there are now, are missing,
            or do not fit together.
        """
        written = tuple(stored(arrays, "features", (None,), "state").tolist())
        n_racers, n_items = stored(arrays, "shown", (None, None), "state").shape
        if written != FEATURE_NAMES or n_racers != len(kernel.RACERS):
            raise CorruptionError(
                f"state with features {', '.join(written)} and {n_racers} racing models; expected "
                f"{', '.join(FEATURE_NAMES)} and {len(kernel.RACERS)}: made by another version of rtrec"
            )
        blend = cls(settings, shard=shard, n_shards=n_shards, racers=racers)
        axes = {"users/pair": 1, "users/n_events": 1, "items/last_visit": 2}
        n_pairs, n_users, n_walkers = (
            len(stored(arrays, name, (None,) * n_axes, "state")) for name, n_axes in axes.items()
        )
        blend._users = empty_user_tables(_FIRST_USERS, n_pairs)
        blend.make_room(n_users, n_items)
        blend._make_room_for_walkers(n_walkers)
        fill_from(blend._items, arrays, "items/", blend.n_items, n_walkers)
        slots = {name.split("/")[2] for name in arrays if name.startswith(_NEARLINE)}
        for slot in sorted(slots):
            prefix = f"{_NEARLINE}{slot}/"
            blend._take(slot, copied(published.from_arrays(arrays, prefix, f"state, slot {slot!r}")))
        fill_from(blend._users, arrays, "users/", blend.n_users)
        blend._shown[:, : blend.n_items] = arrays["shown"]
        blend.ranker = ranker_of(arrays)
        return blend

    def _make_room_for_pairs(self, n_more: int) -> None:
        """Let the set of pairs grow, or lose its oldest ones where it may not."""
        capacity = len(self._users.pair)
        while 2 * (int(self._users.n_pairs[0]) + n_more) > len(self._users.pair):
            if capacity <= self.settings.most_pairs or n_more > capacity // 4:
                capacity *= 2
                self._users = with_pairs(self._users, capacity)
            else:
                self._users = forget_oldest_pairs(self._users)

    def _change_half_life(self, half_life: int, before_s: float) -> None:
        heat, known = self._items.heat[half_life], self._items.total > 0
        time = self._items.last_time[known]
        heat[known] += time / self._params.half_life_s[half_life] - time / before_s
        self._find_hottest(half_life)

    def _find_hottest(self, half_life: int) -> None:
        """Make the list of the hottest anew, from all items."""
        heat, known = self._items.heat[half_life], self._items.total > 0
        hottest = np.flatnonzero(known)
        hottest = hottest[np.lexsort((hottest, -heat[hottest]))][:TREND_LENGTH]
        self._items.trend_item[half_life, : len(hottest)] = hottest
        self._items.trend_size[half_life] = len(hottest)
