"""From gathered candidates to their features, and from a moment to its context.

Hot functions take single arrays, as those of :mod:`rtrec.models.candidates` do.
"""

from __future__ import annotations

import numpy as np

from rtrec.declared import (
    AGE,
    AGE_GAP_LAST,
    AGE_GAP_RING,
    COUNT,
    COUNT_GAP_LAST,
    COUNT_GAP_RING,
    DAY_COSINE,
    DAY_SINE,
    DAYPART,
    FIRST_ROOT,
    FIRST_TASTE,
    GAP,
    HAD,
    HAD_IDLE,
    HEAT_LONG,
    HEAT_NOW,
    HEAT_SHORT,
    IDLE,
    LAST_AGE,
    LAST_COUNT,
    N_DISCOUNTED,
    N_EVENTS,
    N_ROOTED,
    NEAR_SUPPORT,
    NEXT_SUPPORT,
    PACE_LONG,
    PACE_NOW,
    PACE_SHORT,
    SITTING,
    VALUE,
    VALUE_GAP,
    WEEK_COSINE,
    WEEK_SINE,
)
from rtrec.models.dayparts import DAY_S, WEEK_S, daypart_of
from rtrec.models.jit import kernel
from rtrec.models.tables import HOUR_S, LONG, NOW, SHORT, SMOOTHING
from rtrec.models.tastes import N_SHARES, categories_of, clear_shares, fill_tastes, spread_shares
from rtrec.models.users import RING_CAPACITY, SITTING_S, pair_slot

#: Below one sixteenth of an event left, an item counts as cold as any: log2 of a decayed count stops here.
COLDEST = np.float32(-4.0)
TO_HOURS = np.float32(1.0 / HOUR_S)
#: Logarithms and fourth roots of what occurs lie between 0 and 8; divided by this they are small numbers.
CONTEXT_UNIT = 4.0


@kernel
def fill_features(work, tables, nearline, users, params, user, now, n):
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
    if work.active[FIRST_TASTE]:
        categories, shares, half_life_s = nearline.categories.number, work.shares, params.half_life_s
        own, count, gap = users.category[user], users.category_count[user], now - users.last_time[user]
        last = categories_of(categories, users.ring[user, 0])
        spread_shares(shares, own, count, last, half_life_s, max(gap, 0.0))
        fill_tastes(features[FIRST_TASTE : FIRST_TASTE + N_SHARES], item, categories, shares, n)
        clear_shares(shares, own, last)
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
    """Fill what the moment is like (:data:`rtrec.declared.CONTEXT`), each about between -1 and 2."""
    context[:] = 0.0
    n_events = users.n_events[user]
    if n_events > 0.0:
        gap = max(now - users.last_time[user], 0.0)
        context[GAP] = (1.0 + gap / HOUR_S) ** 0.25 / CONTEXT_UNIT
        context[N_EVENTS] = np.log1p(n_events) / CONTEXT_UNIT
        if gap < SITTING_S:
            context[SITTING] = np.log1p(users.sitting[user]) / CONTEXT_UNIT
        for half_life, pace in ((NOW, PACE_NOW), (SHORT, PACE_SHORT), (LONG, PACE_LONG)):
            left = 0.5 ** (gap / params.half_life_s[half_life])
            context[pace] = np.log1p(users.pace[user, half_life] * left) / CONTEXT_UNIT
    last = users.ring[user, 0]
    if last >= 0:
        context[LAST_COUNT] = tables.log_count[last] / CONTEXT_UNIT
        context[LAST_AGE] = root_age(now, tables.first_time[last]) / CONTEXT_UNIT
    day, week = 2.0 * np.pi * (now % DAY_S) / DAY_S, 2.0 * np.pi * (now % WEEK_S) / WEEK_S
    context[DAY_SINE], context[DAY_COSINE] = np.sin(day), np.cos(day)
    context[WEEK_SINE], context[WEEK_COSINE] = np.sin(week), np.cos(week)


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
