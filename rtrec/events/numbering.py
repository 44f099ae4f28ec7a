"""From event tables to the numbered events that kernels read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rtrec.events.roster import Forgotten, Roster
from rtrec.events.schema import unknown_kinds
from rtrec.events.vocabulary import Id, Vocabulary, check_no_null
from rtrec.settings import Settings
from rtrec.types import KINDS, Columns, Forgetting, NumberedEvents, Nums

_KINDS = pa.array(KINDS)
#: At which of its events an item gets a number once the numbers are taken. A user gets one at once, or
#: nothing could be learned of a newcomer's first session.
ADMIT_ITEM_AT = 2
#: So many events at most are handed to a model at a time.
_CHUNK = 8192


def number_events(events: pa.Table, users: Vocabulary, items: Vocabulary) -> NumberedEvents:
    """Return the events of a table as arrays; new users and items join the vocabularies.

    Raises
    ------
    ValueError
        If a kind is none of :data:`rtrec.types.KINDS`.
    """
    kinds = _kinds(events)  # what cannot be learned gets no number
    return _numbered(
        events, kinds, users.numbers(events[Columns.USER_ID]), items.numbers(events[Columns.ITEM_ID])
    )


class Piece(NamedTuple):
    """Events of a log from the one numbered ``start`` on, and what to forget before them."""

    start: int
    events: NumberedEvents
    forgetting: Forgetting | None


class NumberedLog(NamedTuple):
    """A whole log in numbers, and what a model that goes by them has to forget on the way."""

    events: NumberedEvents
    forgetting: tuple[Forgetting, ...] = ()

    def pieces(self, start: int, stop: int, *, batch: int = 1, every: int | None = None) -> Iterator[Piece]:
        """Yield events ``start`` to ``stop - 1`` in whole batches, so many that nothing happens within.

        Parameters
        ----------
        every
            Begin a piece also at each multiple of so many events, or with the next batch.
        """
        gone = {each.position: each for each in self.forgetting}
        step = max(_CHUNK // batch, 1) * batch
        marks = range(start // every * every, stop, every) if every is not None else ()
        ends = {start - (start - mark) // batch * batch for mark in marks} | gone.keys()
        ends = {each for each in ends if start < each < stop} | {*range(start, stop, step), stop}
        for first, last in pairwise(sorted(ends)):
            yield Piece(first, self.events.part(first, last), gone.get(first))


def within_bounds(
    events: NumberedEvents, settings: Settings, *, n_first_items: int = 0, unit: int = 1
) -> NumberedLog:
    """Give a log that vocabularies numbered the numbers that it has in a run of one shard under ``settings``.

    They are the same as long as all users and items may be known at a time.

    Parameters
    ----------
    n_first_items
        How many items had a number before the first event.
    unit
        How many events are learned together.

    Raises
    ------
    InputError
        As :class:`Numbering` and :meth:`Numbering.number`.
    """
    n_users = int(events.user_num.max(initial=-1)) + 1
    n_items = max(int(events.item_num.max(initial=-1)) + 1, n_first_items)
    if n_users <= settings.most_users and n_items <= settings.most_items:
        return NumberedLog(events)
    users, items = _new_users(settings), _new_items(settings, range(n_first_items))
    user_num, users_gone = users.number(events.user_num.tolist(), events.timestamp, unit=unit)
    item_num, items_gone = items.number(events.item_num.tolist(), events.timestamp, unit=unit)
    numbered = events._replace(user_num=user_num, item_num=item_num)
    return NumberedLog(numbered, _together(0, [users_gone], items_gone))


class Numbering:
    """The users of each shard and the items of all, by number, never more than settings allow.

    Parameters
    ----------
    n_shards
        How many shards there are; each numbers users of its own.
    settings
        ``most_users`` of a shard and ``most_items`` are the bounds.
    first_items
        Ids that have a number before the first event.

    Raises
    ------
    InputError
        If there are more first items than ``most_items``.
    """

    def __init__(self, n_shards: int, settings: Settings, first_items: Iterable[str] = ()) -> None:
        self.users: list[Roster[str]] = [_new_users(settings) for _ in range(n_shards)]
        self.items = _new_items(settings, first_items)

    @property
    def n_users(self) -> int:
        """Return how many users are known."""
        return sum(len(users) for users in self.users)

    @property
    def n_forgotten(self) -> int:
        """Return how many users and items have been forgotten so far."""
        return sum(each.n_forgotten for each in (*self.users, self.items))

    @property
    def forgotten_at(self) -> int:
        """Return how many events had been numbered when one last was; -1: never."""
        return max(each.forgotten_at for each in (*self.users, self.items))

    def number(
        self, tables: Sequence[pa.Table], n_before: int, *, unit: int = 1
    ) -> tuple[list[NumberedEvents], list[tuple[Forgetting, ...]]]:
        """Return each shard's events as arrays, with what each shard has to forget before which of them.

        An event of an item that is not admitted has ``item_num`` -1.

        Parameters
        ----------
        tables
            The next events of each shard.
        n_before
            How many events were numbered before these.
        unit
            How many events are learned together where there is one shard; of several shards, all are.

        Raises
        ------
        InputError
            If events that are learned together have more users or items than may be known.
        ValueError
            If a kind is none of :data:`rtrec.types.KINDS`.
        """
        n_shards = len(tables)
        kinds = [_kinds(table) for table in tables]
        user_ids, item_ids = (
            [_ids(table, column) for table in tables] for column in (Columns.USER_ID, Columns.ITEM_ID)
        )
        items_gone: list[Forgotten] = []
        if n_shards > 1:
            everything = [each for ids in item_ids for each in ids]
            items_gone = [Forgotten(0, self.items.make_room(everything, n_before))]
        parts, gone = [], []
        for table, kind, users, of_user, of_item in zip(
            tables, kinds, self.users, user_ids, item_ids, strict=True
        ):
            together = unit if n_shards == 1 else max(len(of_item), 1)
            timestamps = _seconds(table)
            user_num, users_gone = users.number(of_user, timestamps, unit=together, n_before=n_before)
            item_num, more = self.items.number(
                of_item, timestamps, unit=together, n_before=n_before, forget=n_shards == 1
            )
            items_gone += more
            parts.append(_numbered(table, kind, user_num, item_num))
            gone.append(users_gone)
        return parts, [_together(shard, gone, items_gone) for shard in range(n_shards)]

    def stale(self, n_events: int) -> tuple[Nums, Nums]:
        """Return the numbers of items, and of users over all shards, that meant others at so many events.

        Or nobody yet, where they were given for the first time since.
        """
        n_shards = len(self.users)
        walkers = [
            users.stale(n_events) * np.int32(n_shards) + np.int32(shard)
            for shard, users in enumerate(self.users)
        ]
        return self.items.stale(n_events), np.concatenate(walkers)

    def frozen(self) -> Numbering:
        """Return all of it as it is now, for :meth:`to_arrays` in another thread while this one goes on."""
        still = copy(self)
        still.users, still.items = [users.frozen() for users in self.users], self.items.frozen()
        return still

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all of it as arrays, for a snapshot."""
        arrays = {f"items/{name}": array for name, array in self.items.to_arrays().items()}
        for shard, users in enumerate(self.users):
            arrays |= {f"users{shard}/{name}": array for name, array in users.to_arrays().items()}
        return arrays

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Become what :meth:`to_arrays` wrote down."""

        def under(prefix: str) -> dict[str, npt.NDArray[Any]]:
            return {
                name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)
            }

        self.items.restore(under("items/"))
        for shard, users in enumerate(self.users):
            users.restore(under(f"users{shard}/"))


def _together(
    shard: int, users_gone: Sequence[Sequence[Forgotten]], items_gone: Sequence[Forgotten]
) -> tuple[Forgetting, ...]:
    """Return what a shard forgets, one for each position: users of all shards, and items."""
    n_shards, nothing = len(users_gone), np.zeros(0, np.int32)
    positions = {each.position for each in items_gone if len(each.nums)}
    positions |= {each.position for gone in users_gone for each in gone}
    found = []
    for position in sorted(positions):
        users = [
            np.concatenate([nothing, *(each.nums for each in gone if each.position == position)])
            for gone in users_gone
        ]
        walkers = [nums * np.int32(n_shards) + np.int32(owner) for owner, nums in enumerate(users)]
        items = [nothing, *(each.nums for each in items_gone if each.position == position)]
        found.append(Forgetting(position, users[shard], np.concatenate(walkers), np.concatenate(items)))
    return tuple(found)


def _new_users(settings: Settings) -> Roster[Any]:
    return Roster("users", settings.most_users)


def _new_items(settings: Settings, first: Iterable[Id]) -> Roster[Id]:
    return Roster("items", settings.most_items, admit_at=ADMIT_ITEM_AT, first=first)


def _ids(events: pa.Table, column: str) -> list[str]:
    check_no_null(events[column])
    ids: list[str] = events[column].to_pylist()
    return ids


def _seconds(events: pa.Table) -> npt.NDArray[np.float64]:
    seconds: npt.NDArray[np.float64] = events[Columns.TIMESTAMP].cast(pa.int64()).to_numpy() / 1e6
    return seconds


def _kinds(events: pa.Table) -> npt.NDArray[np.uint8]:
    kinds = pc.index_in(events[Columns.KIND], _KINDS)
    if kinds.null_count:
        raise ValueError(
            f"events of an unknown kind: {unknown_kinds(events)}; the kinds are {', '.join(KINDS)}"
        )
    return np.asarray(kinds.to_numpy(), np.uint8)


def _numbered(
    events: pa.Table, kind: npt.NDArray[np.uint8], user_num: Nums, item_num: Nums
) -> NumberedEvents:
    value = np.asarray(events[Columns.VALUE].to_numpy(), np.float32)
    return NumberedEvents(user_num, item_num, _seconds(events), kind, value)
