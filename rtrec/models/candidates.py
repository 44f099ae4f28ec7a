"""From a user and a moment to candidates, each with its features.

Candidates are the neighbours of the user's last items in each neighbour table, what their trails lead to,
and the hottest items at each half-life, less what the user may not get. Gathering one is a few adds into its
column: the item's *slot* is stamped with the number of the request, so that only the columns of the last
request are cleared.

Hot functions take single arrays, not whole tables: numba passes a named tuple field by field with every
call that it does not inline, which cost ten times the work itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtrec.features.declared import (
    AGE,
    AGE_GAP_LAST,
    AGE_GAP_RING,
    COUNT,
    COUNT_GAP_LAST,
    COUNT_GAP_RING,
    FEATURES,
    FIRST_SLOT,
    HAD,
    HAD_IDLE,
    HEAT_LONG,
    HEAT_SHORT,
    IDLE,
    N_DISCOUNTED,
    N_FEATURES,
    N_SUMS,
    NEAR_LAST,
    NEAR_RING,
    NEXT_LAST,
    NEXT_RING,
    SLOTS,
    TRAIL_RING,
)
from rtrec.models.jit import kernel
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.models.params import Params
from rtrec.models.tables import HOUR_S, LONG, N_HALF_LIVES, SHORT, SMOOTHING, SOURCE_POWER
from rtrec.models.trails import AFTER, VISITS, add_votes
from rtrec.models.users import RING_CAPACITY, may_get, pair_slot
from rtrec.types import Ints, Nums

#: Below one sixteenth of an event left, an item counts as cold as any: log2 of a decayed count stops here.
COLDEST = np.float32(-4.0)
N_SLOTS = len(SLOTS)
TO_HOURS = np.float32(1.0 / HOUR_S)


class Workspace(NamedTuple):
    """Room for one request at a time; nothing in it outlives the request."""

    active: np.ndarray  # (feature,) bool; the rows of all other features hold nothing
    request: Ints  # (2,) number of the request, and how many candidates it met
    stamp: Ints  # (item,) the last request that met the item
    is_recent: Ints  # (item,) the last request of a user who had just had the item
    slot: Nums  # (item,) its candidate number in that request, -1 if it was taken out
    item: Nums  # (candidate,)
    features: np.ndarray  # (feature, candidate) float32
    score: np.ndarray  # (candidate,) float32
    chance: np.ndarray  # (candidate,) float32, softmax of the scores


def active_features(params: Params, nearline: tuple[NeighbourTable, ...]) -> np.ndarray:
    """Return which features can say anything at all, ``(feature,)``; the others cost no time."""
    speaks = {
        "cooccurrence": params.use_cooccurrence,
        "transitions": params.use_transitions,
        "trails": params.use_trails,
        "popularity": params.use_trending,
        "user": params.repeat,
        "catalogue": True,
    }
    for slot, is_on, table in zip(SLOTS, params.use_slot, nearline, strict=True):
        speaks[slot] = is_on and table.n_items > 0
    return np.array([speaks[feature.source] for feature in FEATURES])


def empty_workspace(
    item_capacity: int, params: Params, row_length: int, nearline: tuple[NeighbourTable, ...]
) -> Workspace:
    """Return room for every candidate that ``params`` can bring."""
    in_rows = 2 * row_length + sum(table.item.shape[1] for table in nearline)
    n_candidates = params.ring_length * (in_rows + VISITS * AFTER + 1)
    n_candidates += N_HALF_LIVES * params.trending_candidates
    return Workspace(
        active=active_features(params, nearline),
        request=np.zeros(2, np.int64),
        stamp=np.zeros(item_capacity, np.int64),
        is_recent=np.zeros(item_capacity, np.int64),
        slot=np.zeros(item_capacity, np.int32),
        item=np.zeros(n_candidates, np.int32),
        features=np.zeros((N_FEATURES, n_candidates), np.float32),
        score=np.zeros(n_candidates, np.float32),
        chance=np.zeros(n_candidates, np.float32),
    )


@kernel
def add_row(row_item, row_weight, size, norm, request, stamp, slot, item, ring_sum, last_sum, is_last, n):
    """Add a neighbour row's weights, times ``norm``, to its items' sums; return the number of candidates."""
    for place in range(size):
        neighbour = row_item[place]
        opinion = norm * row_weight[place]
        if stamp[neighbour] != request:
            stamp[neighbour] = request
            slot[neighbour] = n
            item[n] = neighbour
            n += 1
        candidate = slot[neighbour]
        ring_sum[candidate] += opinion
        if is_last:
            last_sum[candidate] += opinion
    return n


@kernel
def add_nearline(row_item, row_weight, size, norm, total, cold, request, stamp, slot, item, ring_sum, n):
    """Add a published row as :func:`add_row` does; without ``cold`` only items that had an event."""
    for place in range(size):
        neighbour = row_item[place]
        if total[neighbour] == 0.0 and not cold:
            continue
        if stamp[neighbour] != request:
            stamp[neighbour] = request
            slot[neighbour] = n
            item[n] = neighbour
            n += 1
        ring_sum[slot[neighbour]] += norm * row_weight[place]
    return n


@kernel
def add_item(item_num, request, stamp, slot, item, n):
    """Make one item a candidate that no table has an opinion on yet."""
    if stamp[item_num] != request:
        stamp[item_num] = request
        slot[item_num] = n
        item[n] = item_num
        n += 1
    return n


@kernel
def drop_barred(pair, pair_count, repeat, user, slot, item, features, active, n):
    """Take out what the user may not get, closing the gaps; return how many candidates are left."""
    kept = 0
    for candidate in range(n):
        item_num = item[candidate]
        if not may_get(pair, pair_count, repeat, user, item_num):
            slot[item_num] = -1
            continue
        slot[item_num] = kept
        item[kept] = item_num
        for feature in range(N_SUMS):
            if active[feature]:
                features[feature, kept] = features[feature, candidate]
        kept += 1
    clear_sums(features, active, kept, n)
    return kept


@kernel
def clear_sums(features, active, start, stop):
    """Set the sums of candidates ``start`` to ``stop - 1`` to zero."""
    for feature in range(N_SUMS):
        if active[feature]:
            features[feature, start:stop] = 0.0


@kernel
def add_trending(trend, size, wanted, pair, pair_count, repeat, user, request, stamp, slot, item, n):
    """Make the ``wanted`` hottest items that the user may get candidates."""
    taken = 0
    for rank in range(size):
        if taken == wanted:
            break
        item_num = trend[rank]
        if stamp[item_num] != request:
            if not may_get(pair, pair_count, repeat, user, item_num):
                continue
            stamp[item_num] = request
            slot[item_num] = n
            item[n] = item_num
            n += 1
        elif slot[item_num] < 0:
            continue
        taken += 1
    return n


@kernel
def gather(work, tables, nearline, users, params, user):
    """Gather the user's candidates with their table sums; return how many they are."""
    work.request[0] += 1
    request, stamp, slot, item = work.request[0], work.stamp, work.slot, work.item
    sums, active = work.features, work.active
    clear_sums(sums, active, 0, work.request[1])
    ring = users.ring[user]
    length = 0
    while length < min(params.ring_length, RING_CAPACITY) and ring[length] >= 0:
        work.is_recent[ring[length]] = request
        length += 1
    n = 0
    decay = 1.0
    for age in range(length):
        last = ring[age]
        if params.repeat:
            n = add_item(last, request, stamp, slot, item, n)
        if params.use_cooccurrence:
            norm = np.float32(decay * (tables.total[last] + SMOOTHING) ** -SOURCE_POWER)
            row, weight, size = tables.near_item[last], tables.near_weight[last], tables.near_size[last]
            ring_sum, last_sum = sums[NEAR_RING], sums[NEAR_LAST]
            n = add_row(row, weight, size, norm, request, stamp, slot, item, ring_sum, last_sum, age == 0, n)
        if params.use_transitions:
            norm = np.float32(decay * (tables.next_total[last] + SMOOTHING) ** -SOURCE_POWER)
            row, weight, size = tables.next_item[last], tables.next_weight[last], tables.next_size[last]
            ring_sum, last_sum = sums[NEXT_RING], sums[NEXT_LAST]
            n = add_row(row, weight, size, norm, request, stamp, slot, item, ring_sum, last_sum, age == 0, n)
        if params.use_trails:
            norm, trails, votes = np.float32(decay), tables.trails, sums[TRAIL_RING]
            before, after, visits = trails.before[last], trails.after[last], trails.n_visits[last]
            n = add_votes(before, after, visits, norm, request, work.is_recent, stamp, slot, item, votes, n)
        for number in range(N_SLOTS):
            table = nearline[number]
            if active[FIRST_SLOT + number] and last < len(table.size):
                row, weight, size = table.item[last], table.weight[last], table.size[last]
                total, cold, ring_sum = tables.total, params.cold_items, sums[FIRST_SLOT + number]
                norm = np.float32(decay)
                n = add_nearline(
                    row, weight, size, norm, total, cold, request, stamp, slot, item, ring_sum, n
                )
        decay *= params.ring_decay
    pair, count, repeat = users.pair, users.pair_count, params.repeat
    n = drop_barred(pair, count, repeat, user, slot, item, sums, active, n)
    if params.use_trending:
        for half_life in range(N_HALF_LIVES):
            trend, size = tables.trend_item[half_life], tables.trend_size[half_life]
            wanted = params.trending_candidates
            n = add_trending(trend, size, wanted, pair, count, repeat, user, request, stamp, slot, item, n)
    work.request[1] = n
    return n


@kernel
def fill_features(work, tables, users, params, user, now, n):
    """Turn the sums of ``n`` gathered candidates into all their features at time ``now``."""
    features, item = work.features, work.item
    age_short = now / params.half_life_s[SHORT]
    age_long = now / params.half_life_s[LONG]
    heat_short, heat_long = tables.heat[SHORT], tables.heat[LONG]
    discount, log_count = tables.discount, tables.log_count
    first_time, last_time = tables.first_time, tables.last_time
    for candidate in range(n):
        item_num = item[candidate]
        for feature in range(N_DISCOUNTED):
            features[feature, candidate] *= discount[item_num]
        if params.use_trending:
            features[HEAT_SHORT, candidate] = max(np.float32(heat_short[item_num] - age_short), COLDEST)
            features[HEAT_LONG, candidate] = max(np.float32(heat_long[item_num] - age_long), COLDEST)
            features[COUNT, candidate] = log_count[item_num]
        if tables.total[item_num] > 0.0:
            features[AGE, candidate] = now - first_time[item_num]
            features[IDLE, candidate] = now - last_time[item_num]
        else:  # a cold item: as new as can be
            features[AGE, candidate] = 0.0
            features[IDLE, candidate] = 0.0
    for feature in range(N_SUMS):
        if not work.active[feature]:
            continue
        for candidate in range(n):
            features[N_SUMS + feature, candidate] = np.sqrt(features[feature, candidate])
    for feature in (AGE, IDLE):
        for candidate in range(n):
            hours = max(features[feature, candidate], np.float32(0.0)) * TO_HOURS
            features[feature, candidate] = np.sqrt(np.sqrt(np.float32(1.0) + hours))
    fill_gaps(features, item, users.ring[user], params.ring_length, log_count, first_time, now, n)
    fill_had(features, item, users.pair, users.pair_count, users.pair_time, params.repeat, user, now, n)


@kernel
def fill_gaps(features, item, ring, ring_length, log_count, first_time, now, n):
    """Fill how far each candidate is from the user's last items in popularity and in age."""
    features[COUNT_GAP_LAST, :n] = 0.0
    features[COUNT_GAP_RING, :n] = 0.0
    features[AGE_GAP_LAST, :n] = 0.0
    features[AGE_GAP_RING, :n] = 0.0
    length = 0
    mean_count, mean_age = np.float32(0.0), np.float32(0.0)
    while length < min(ring_length, RING_CAPACITY) and ring[length] >= 0:
        mean_count += log_count[ring[length]]
        mean_age += root_age(now, first_time[ring[length]])
        length += 1
    if length == 0:
        return
    mean_count /= np.float32(length)
    mean_age /= np.float32(length)
    last_count, last_age = log_count[ring[0]], root_age(now, first_time[ring[0]])
    for candidate in range(n):
        count = log_count[item[candidate]]
        features[COUNT_GAP_LAST, candidate] = abs(count - last_count)
        features[COUNT_GAP_RING, candidate] = abs(count - mean_count)
    for candidate in range(n):
        age = features[AGE, candidate]
        features[AGE_GAP_LAST, candidate] = np.sqrt(abs(age - last_age))
        features[AGE_GAP_RING, candidate] = np.sqrt(abs(age - mean_age))


@kernel
def root_age(now, first_time):
    """Return the fourth root of an age in hours, as the feature of that name has it."""
    hours = max(np.float32(now - first_time), np.float32(0.0)) * TO_HOURS
    return np.sqrt(np.sqrt(np.float32(1.0) + hours))


@kernel
def fill_had(features, item, pair, pair_count, pair_time, repeat, user, now, n):
    """Fill what the user's own past says of each candidate; without repeats it says nothing."""
    if not repeat:
        return
    features[HAD, :n] = 0.0
    features[HAD_IDLE, :n] = 0.0
    for candidate in range(n):
        slot = pair_slot(pair, user, item[candidate])
        count = pair_count[slot]
        if count > 0:
            hours = np.float32(max(now - pair_time[slot], 0.0)) * TO_HOURS
            features[HAD, candidate] = np.sqrt(count)
            features[HAD_IDLE, candidate] = np.sqrt(np.sqrt(np.float32(1.0) + hours))
