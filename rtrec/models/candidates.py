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
    DAYPART,
    FEATURES,
    FIRST_BEST,
    FIRST_ROOT,
    FIRST_SLOT,
    HAD,
    HAD_IDLE,
    HEAT_LONG,
    HEAT_NOW,
    HEAT_SHORT,
    IDLE,
    N_DISCOUNTED,
    N_FEATURES,
    N_ROOTED,
    N_SUMS,
    NEAR_LAST,
    NEAR_RING,
    NEAR_SUPPORT,
    NEXT_LAST,
    NEXT_RING,
    NEXT_SUPPORT,
    SLOTS,
    TRAIL_RING,
    TRAIL_SUPPORT,
    VALUE,
    VALUE_GAP,
)
from rtrec.models.crosses import Together, empty_together
from rtrec.models.dayparts import DAY_S, WEEK_S, daypart_of
from rtrec.models.jit import kernel
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.models.params import Params
from rtrec.models.tables import HOUR_S, LONG, N_HALF_LIVES, NOW, SHORT, SMOOTHING, SOURCE_POWER
from rtrec.models.trails import AFTER, VISITS, add_votes
from rtrec.models.users import RING_CAPACITY, SITTING_S, may_get, pair_slot
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
    correction: np.ndarray  # (candidate,) float32, what the crosses added to the score
    together: Together


def active_features(params: Params, nearline: tuple[NeighbourTable, ...]) -> np.ndarray:
    """Return which features can say anything at all, ``(feature,)``; the others cost no time."""
    speaks = {
        "cooccurrence": params.use_cooccurrence,
        "transitions": params.use_transitions,
        "trails": params.use_trails,
        "popularity": params.use_trending,
        "user": params.repeat,
        "value": params.use_value,
        "daypart": params.use_daypart,
        "catalogue": params.use_catalogue,
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
        correction=np.zeros(n_candidates, np.float32),
        together=empty_together(),
    )


@kernel
def add_row(
    row_item,
    row_weight,
    size,
    norm,
    decay,
    request,
    stamp,
    slot,
    item,
    ring_sum,
    support,
    last_sum,
    is_last,
    n,
):
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
        support[candidate] += decay * np.sqrt(opinion)
        if is_last:
            last_sum[candidate] += opinion
    return n


@kernel
def add_nearline(
    row_item, row_weight, size, norm, total, cold, request, stamp, slot, item, ring_sum, best, n
):
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
        candidate, opinion = slot[neighbour], norm * row_weight[place]
        ring_sum[candidate] += opinion
        best[candidate] = max(best[candidate], opinion)
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
            ring_sum, support, last_sum = sums[NEAR_RING], sums[NEAR_SUPPORT], sums[NEAR_LAST]
            n = add_row(
                row,
                weight,
                size,
                norm,
                np.float32(decay),
                request,
                stamp,
                slot,
                item,
                ring_sum,
                support,
                last_sum,
                age == 0,
                n,
            )
        if params.use_transitions:
            norm = np.float32(decay * (tables.next_total[last] + SMOOTHING) ** -SOURCE_POWER)
            row, weight, size = tables.next_item[last], tables.next_weight[last], tables.next_size[last]
            ring_sum, support, last_sum = sums[NEXT_RING], sums[NEXT_SUPPORT], sums[NEXT_LAST]
            n = add_row(
                row,
                weight,
                size,
                norm,
                np.float32(decay),
                request,
                stamp,
                slot,
                item,
                ring_sum,
                support,
                last_sum,
                age == 0,
                n,
            )
        if params.use_trails:
            norm, trails = np.float32(decay), tables.trails
            votes, support = sums[TRAIL_RING], sums[TRAIL_SUPPORT]
            before, after, visits = trails.before[last], trails.after[last], trails.n_visits[last]
            recent = work.is_recent
            n = add_votes(before, after, visits, norm, request, recent, stamp, slot, item, votes, support, n)
        for number in range(N_SLOTS):
            table = nearline[number]
            if active[FIRST_SLOT + number] and last < len(table.size):
                row, weight, size = table.item[last], table.weight[last], table.size[last]
                total, cold = tables.total, params.cold_items
                ring_sum, best = sums[FIRST_SLOT + number], sums[FIRST_BEST + number]
                norm = np.float32(decay)
                n = add_nearline(
                    row, weight, size, norm, total, cold, request, stamp, slot, item, ring_sum, best, n
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
    age_now = now / params.half_life_s[NOW]
    age_short = now / params.half_life_s[SHORT]
    age_long = now / params.half_life_s[LONG]
    heat_now, heat_short, heat_long = tables.heat[NOW], tables.heat[SHORT], tables.heat[LONG]
    discount, log_count = tables.discount, tables.log_count
    first_time, last_time = tables.first_time, tables.last_time
    for candidate in range(n):
        item_num = item[candidate]
        for feature in range(N_DISCOUNTED):
            features[feature, candidate] *= discount[item_num]
        root = np.sqrt(discount[item_num])
        features[NEAR_SUPPORT, candidate] *= root
        features[NEXT_SUPPORT, candidate] *= root
        if params.use_trending:
            features[HEAT_NOW, candidate] = max(np.float32(heat_now[item_num] - age_now), COLDEST)
            features[HEAT_SHORT, candidate] = max(np.float32(heat_short[item_num] - age_short), COLDEST)
            features[HEAT_LONG, candidate] = max(np.float32(heat_long[item_num] - age_long), COLDEST)
            features[COUNT, candidate] = log_count[item_num]
        if tables.total[item_num] > 0.0:
            features[AGE, candidate] = now - first_time[item_num]
            features[IDLE, candidate] = now - last_time[item_num]
        else:  # a cold item: as new as can be
            features[AGE, candidate] = 0.0
            features[IDLE, candidate] = 0.0
    for feature in range(N_ROOTED):
        if not work.active[feature]:
            continue
        for candidate in range(n):
            features[FIRST_ROOT + feature, candidate] = np.sqrt(features[feature, candidate])
    for feature in (AGE, IDLE):
        for candidate in range(n):
            hours = max(features[feature, candidate], np.float32(0.0)) * TO_HOURS
            features[feature, candidate] = np.sqrt(np.sqrt(np.float32(1.0) + hours))
    fill_gaps(features, item, users.ring[user], params.ring_length, log_count, first_time, now, n)
    if params.use_value:
        own = users.value_sum[user], users.n_values[user]
        fill_values(features[VALUE], features[VALUE_GAP], item, tables.value_sum, tables.n_values, own, n)
    if params.use_daypart:
        part = daypart_of(now)
        fill_daypart(features[DAYPART], item, tables.daypart, tables.daypart_total, part, tables.total, n)
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
def fill_values(level, gap, item, value_sum, n_values, own, n):
    """Fill the mean value level of each candidate and its distance from the user's; none where unknown."""
    own_sum, n_own = own
    mean = np.float32(own_sum / n_own) if n_own > 0.0 else np.float32(0.0)
    for candidate in range(n):
        item_num = item[candidate]
        if n_values[item_num] > 0.0:
            level[candidate] = value_sum[item_num] / n_values[item_num]
            gap[candidate] = abs(level[candidate] - mean) if n_own > 0.0 else np.float32(0.0)
        else:
            level[candidate] = mean
            gap[candidate] = 0.0


@kernel
def fill_daypart(lift, item, daypart, daypart_total, part, total, n):
    """Fill the share of each candidate's events that came at such a time over the share of all events.

    Both counts get :data:`SMOOTHING` events spread as all events are, so that a new item says 1.
    """
    everything = 0.0
    for each in range(len(daypart_total)):
        everything += daypart_total[each]
    share = daypart_total[part] / everything if everything > 0.0 else 0.0
    if share == 0.0:
        lift[:n] = 1.0
        return
    for candidate in range(n):
        item_num = item[candidate]
        expected = share * (total[item_num] + SMOOTHING)
        lift[candidate] = np.sqrt(np.float32((daypart[item_num, part] + share * SMOOTHING) / expected))


@kernel
def fill_context(context, tables, users, params, user, now):
    """Fill what the moment is like (:data:`rtrec.features.declared.CONTEXT`), each about between -1 and 1."""
    context[:] = 0.0
    n_events = users.n_events[user]
    if n_events > 0.0:
        gap = max(now - users.last_time[user], 0.0)
        context[0] = (1.0 + gap / HOUR_S) ** 0.25 / 4.0
        context[1] = np.log1p(n_events) / 4.0
        if gap < SITTING_S:
            context[2] = np.log1p(users.sitting[user]) / 4.0
        for half_life in range(N_HALF_LIVES):
            left = 0.5 ** (gap / params.half_life_s[half_life])
            context[3 + half_life] = np.log1p(users.pace[user, half_life] * left) / 4.0
    last = users.ring[user, 0]
    if last >= 0:
        context[6] = tables.log_count[last] / 4.0
        context[7] = root_age(now, tables.first_time[last]) / 4.0
    day, week = 2.0 * np.pi * (now % DAY_S) / DAY_S, 2.0 * np.pi * (now % WEEK_S) / WEEK_S
    context[8], context[9] = np.sin(day), np.cos(day)
    context[10], context[11] = np.sin(week), np.cos(week)


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
