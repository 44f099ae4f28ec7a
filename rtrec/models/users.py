"""What a shard knows about its users: their last events, and everything they have had.

The ring holds a user's last items, newest first. What a user has *had* is a hash set of (user, item) pairs
with open addressing, one for the whole shard: growing is one pass. Growth happens at an exact fill, never at
the end of a batch, so that state does not depend on batches. Once it may not grow, the oldest quarter makes
way instead. "Has she had it?" is asked of every candidate, and most she has not: a byte for each slot, with
one bit of every pair whose search begins there (Bloom 1970), says so without a search 19 times in 20.

Events may come late. What is counted here, as in the item tables, does not depend on the order of arrival: an
event that is older than the latest adds what is left of it by then, so decayed counts differ by rounding at
most. What is about order follows arrival: the ring, what is learned from it (neighbours, transitions,
trails), and the sitting. So does what has bounds: the places of categories once all are taken, and what
dislikes lower, which stops short of zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.features.categories import NO_CATEGORY
from rtrec.models.arrays import WHOLE
from rtrec.models.jit import kernel
from rtrec.models.tables import N_HALF_LIVES, level_of
from rtrec.models.tastes import categories_of, learn_tastes
from rtrec.types import Floats, Ints, Nums, Singles

#: Room in every user's ring: the upper bound of ``ring_length``.
RING_CAPACITY = 32
NO_PAIR = -1
Bools = npt.NDArray[np.bool_]
_NOBODY: Bools = np.zeros(0, np.bool_)
#: A gap of up to half an hour is the same sitting, one of up to a day the same visit (both customary).
SITTING_S, VISIT_S = 1800.0, 86400.0


class UserTables(NamedTuple):
    """User state of one shard; axis ``user`` has room for more users than are known."""

    ring: Nums  # (user, age) last items, newest first, -1 where there are none
    n_events: Floats  # (user,) events so far, of any weight
    last_time: Floats  # (user,) latest time of one of them
    sitting: Floats  # (user,) how many of them were in the latest sitting
    pace: Floats  # (user, half-life) decayed count of them as of the latest
    value_sum: Floats  # (user,) of the levels of those that had a value
    n_values: Floats  # (user,)
    category: Nums  # (user, place) categories of her events, -1 where there is room; no place at first
    category_count: Singles  # (user, place, half-life) decayed counts of them as of the latest event
    pair: Ints  # (slot,) user_num << 32 | item_num, or -1
    pair_count: np.ndarray  # (slot,) float32: events of that user with that item, negative if hidden
    pair_time: Floats  # (slot,) latest time of one of them
    pair_hint: np.ndarray  # (slot,) uint8: a bit of each pair whose search begins here
    n_pairs: Ints  # (1,)


def empty_user_tables(capacity: int, pair_capacity: int, n_places: int = 0) -> UserTables:
    """Return tables with room for ``capacity`` users, with so many places for categories each.

    ``pair_capacity`` must be a power of two.
    """
    return UserTables(
        ring=np.full((capacity, RING_CAPACITY), -1, np.int32),
        n_events=np.zeros(capacity),
        last_time=np.zeros(capacity),
        sitting=np.zeros(capacity),
        pace=np.zeros((capacity, N_HALF_LIVES)),
        value_sum=np.zeros(capacity),
        n_values=np.zeros(capacity),
        category=np.full((capacity, n_places), NO_CATEGORY, np.int32),
        category_count=np.zeros((capacity, n_places, N_HALF_LIVES), np.float32),
        pair=np.full(pair_capacity, NO_PAIR, np.int64),
        pair_count=np.zeros(pair_capacity, np.float32),
        pair_time=np.zeros(pair_capacity),
        pair_hint=np.zeros(pair_capacity, np.uint8),
        n_pairs=np.zeros(1, np.int64),
    )


@kernel
def pair_key(user, item):
    """Return the one number that stands for (user, item)."""
    return (np.int64(user) << 32) | np.int64(item)


@kernel
def search_start(key, n_slots):
    """Return the slot at which the search for a pair begins, and its bit in the hint of that slot."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing (Knuth 1973)
    bit = np.uint8(1) << np.uint8(mixed >> np.uint64(61))
    return (mixed >> np.uint64(32)) & np.uint64(n_slots - 1), bit


@kernel
def search(pair, key, slot):
    """Return the slot that holds a pair, from where its search begins, or the free one where it belongs."""
    mask = np.uint64(len(pair) - 1)
    while pair[slot] != key and pair[slot] != NO_PAIR:
        slot = (slot + np.uint64(1)) & mask
    return slot


@kernel
def pair_slot(pair, user, item):
    """Return the slot that holds (user, item), or the free one where it belongs."""
    key = pair_key(user, item)
    start, _ = search_start(key, len(pair))
    return search(pair, key, start)


@kernel
def put_pair(pair, hint, key):
    """Return the slot of a pair, which is put there if it is not, and whether it was not."""
    start, bit = search_start(key, len(pair))
    slot = search(pair, key, start)
    is_new = pair[slot] == NO_PAIR
    pair[slot] = key
    hint[start] |= bit
    return slot, is_new


@kernel
def may_get(had, repeat, user, item):
    """Say whether ``item`` may be recommended: it is new to ``user``, or with ``repeat`` not hidden.

    ``had`` are the arrays ``pair``, ``pair_hint`` and ``pair_count``.
    """
    pair, hint, count = had
    key = pair_key(user, item)
    start, bit = search_start(key, len(pair))
    if not hint[start] & bit:
        return True
    slot = search(pair, key, start)
    return pair[slot] == NO_PAIR or (repeat and count[slot] > 0.0)


@kernel
def has_room_for(users, n_pairs):
    """Say whether ``n_pairs`` more keep the hash set at most half full."""
    return 2 * (users.n_pairs[0] + n_pairs) <= len(users.pair)


def with_pairs(
    users: UserTables,
    capacity: int,
    gone_user: Bools = _NOBODY,
    gone_item: Bools = _NOBODY,
    after: float = -np.inf,
) -> UserTables:
    """Return the tables with a set of pairs of another capacity, which must be a power of two.

    Parameters
    ----------
    gone_user, gone_item
        ``(user,)`` and ``(item,)``, or shorter: whose pairs are left out.
    after
        Only pairs later than this are kept.
    """
    by_user = {name: array for name, array in users._asdict().items() if name not in WHOLE}
    other = empty_user_tables(1, capacity)._replace(**by_user)
    move_pairs(users, other, gone_user, gone_item, after)
    return other


@kernel
def move_pairs(old, new, gone_user, gone_item, after):
    """Copy pairs into an empty set; see :func:`with_pairs`."""
    kept = 0
    for slot in range(len(old.pair)):
        key = old.pair[slot]
        if key == NO_PAIR or not old.pair_time[slot] > after:
            continue
        user, item = key >> 32, key & 0xFFFFFFFF
        if (user < len(gone_user) and gone_user[user]) or (item < len(gone_item) and gone_item[item]):
            continue
        place, _ = put_pair(new.pair, new.pair_hint, key)
        new.pair_count[place] = old.pair_count[slot]
        new.pair_time[place] = old.pair_time[slot]
        kept += 1
    new.n_pairs[0] = kept


@kernel
def learn_user(users, half_life_s, timestamp, user, item, weight, value, categories):
    """Remember that ``user`` had ``item``; an event of positive weight enters the ring.

    An event of zero or negative weight hides the item from the user until one of positive weight; of events
    that come out of order the latest in event time has the last word (of equal times the one that came last).
    ``categories`` are those of all items, ``(item, place)``.
    """
    gap = timestamp - users.last_time[user] if users.n_events[user] > 0.0 else np.inf
    if gap >= SITTING_S:
        users.sitting[user] = 0.0
    users.sitting[user] += 1.0
    for half_life in range(N_HALF_LIVES):
        left = 0.5 ** (abs(gap) / half_life_s[half_life])
        pace = users.pace[user, half_life]
        users.pace[user, half_life] = pace * left + 1.0 if gap >= 0.0 else pace + left
    if users.category.shape[1] > 0:
        own = categories_of(categories, item)
        learn_tastes(users.category[user], users.category_count[user], own, half_life_s, gap, weight)
    if np.isfinite(value):
        users.value_sum[user] += level_of(value)
        users.n_values[user] += 1.0
    is_first = users.n_events[user] == 0.0
    users.n_events[user] += 1.0
    users.last_time[user] = timestamp if is_first else max(users.last_time[user], timestamp)
    slot, is_new = put_pair(users.pair, users.pair_hint, pair_key(user, item))
    if is_new:
        users.pair_time[slot] = timestamp
        users.n_pairs[0] += 1
    count = abs(users.pair_count[slot]) + np.float32(1.0)
    is_hidden = users.pair_count[slot] < 0.0
    if timestamp >= users.pair_time[slot]:
        users.pair_time[slot] = timestamp
        is_hidden = not weight > 0.0
    users.pair_count[slot] = -count if is_hidden else count
    if weight > 0.0:
        ring = users.ring[user]
        for age in range(RING_CAPACITY - 1, 0, -1):
            ring[age] = ring[age - 1]
        ring[0] = item
