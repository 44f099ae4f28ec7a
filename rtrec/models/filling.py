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
from rtrec.models.users import RING_CAPACITY, SITTING_S, pair_slot

#: Below one sixteenth of an event left, an item counts as cold as any: log2 of a decayed count stops here.
COLDEST = np.float32(-4.0)
TO_HOURS = np.float32(1.0 / HOUR_S)
#: Logarithms and fourth roots of what occurs lie between 0 and 8; divided by this they are small numbers.
CONTEXT_UNIT = 4.0


@kernel
def fill_features(work, tables, users, params, user, now, n):
    """Turn the sums of ``n`` gathered candidates into all their features at time ``now``."""
    features, item = work.features, work.item
    active, gathered = work.active, work.gathered
    discount, log_count, total = tables.discount, tables.log_count, tables.total
    factor = work.score  # which is not needed yet
    for candidate in range(n):
        factor[candidate] = discount[item[candidate]]
    for feature in range(N_DISCOUNTED):
        if gathered[feature]:
            scale_by(features[feature], factor, n)
    if active[NEAR_SUPPORT] or active[NEXT_SUPPORT]:
        for candidate in range(n):
            factor[candidate] = np.sqrt(factor[candidate])
        scale_by(features[NEAR_SUPPORT], factor, n)
        scale_by(features[NEXT_SUPPORT], factor, n)
    for feature in range(N_ROOTED):
        if active[FIRST_ROOT + feature]:
            for candidate in range(n):
                features[FIRST_ROOT + feature, candidate] = np.sqrt(features[feature, candidate])
    for half_life, feature in ((NOW, HEAT_NOW), (SHORT, HEAT_SHORT), (LONG, HEAT_LONG)):
        if active[feature]:
            age = now / params.half_life_s[half_life]
            fill_heat(features[feature], item, tables.heat[half_life], age, n)
    if active[COUNT]:
        for candidate in range(n):
            features[COUNT, candidate] = log_count[item[candidate]]
    if gathered[AGE]:
        fill_root_hours(features[AGE], item, tables.first_time, now, n)
    if active[IDLE]:
        fill_root_hours(features[IDLE], item, tables.last_time, now, n)
    fill_gaps(
        features, active, item, users.ring[user], params.ring_length, log_count, tables.first_time, now, n
    )
    if gathered[VALUE]:
        own = users.value_sum[user], users.n_values[user]
        fill_values(features[VALUE], features[VALUE_GAP], item, tables.value_level, own, n)
    if active[DAYPART]:
        part = daypart_of(now)
        fill_daypart(features[DAYPART], item, tables.daypart, tables.daypart_total, part, total, n)
    if active[HAD] or active[HAD_IDLE]:
        fill_had(features, item, users.pair, users.pair_count, users.pair_time, user, now, n)


@kernel
def fill_heat(row, item, heat, age, n):
    """Fill the logarithm of each candidate's decayed count; ``age`` is the present in half-lives."""
    for candidate in range(n):
        row[candidate] = max(np.float32(heat[item[candidate]] - age), COLDEST)


@kernel
def scale_by(row, factor, n):
    """Multiply a feature of each candidate by its factor."""
    for candidate in range(n):
        row[candidate] *= factor[candidate]


@kernel
def fill_root_hours(row, item, since, now, n):
    """Fill the fourth root of the hours ``since`` a time of each candidate; a cold item is as new as any."""
    for candidate in range(n):
        row[candidate] = now - since[item[candidate]]
    for candidate in range(n):
        hours = max(row[candidate], np.float32(0.0)) * TO_HOURS
        row[candidate] = np.sqrt(np.sqrt(np.float32(1.0) + hours))


@kernel
def fill_gaps(features, active, item, ring, ring_length, log_count, first_time, now, n):
    """Fill how far each candidate is from the user's last items in popularity and in age."""
    by_count = active[COUNT_GAP_LAST] or active[COUNT_GAP_RING]
    by_age = active[AGE_GAP_LAST] or active[AGE_GAP_RING]
    if by_count:
        features[COUNT_GAP_LAST, :n] = 0.0
        features[COUNT_GAP_RING, :n] = 0.0
    if by_age:
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
    if by_count:
        for candidate in range(n):
            count = log_count[item[candidate]]
            features[COUNT_GAP_LAST, candidate] = abs(count - last_count)
            features[COUNT_GAP_RING, candidate] = abs(count - mean_count)
    if by_age:
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
def fill_values(level, gap, item, value_level, own, n):
    """Fill the mean value level of each candidate and its distance from the user's; none where unknown."""
    own_sum, n_own = own
    mean = np.float32(own_sum / n_own) if n_own > 0.0 else np.float32(0.0)
    for candidate in range(n):
        each = value_level[item[candidate]]
        is_known = each == each  # not NaN
        level[candidate] = each if is_known else mean
        gap[candidate] = abs(each - mean) if is_known and n_own > 0.0 else np.float32(0.0)


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
def fill_had(features, item, pair, pair_count, pair_time, user, now, n):
    """Fill what the user's own past says of each candidate."""
    features[HAD, :n] = 0.0
    features[HAD_IDLE, :n] = 0.0
    for candidate in range(n):
        slot = pair_slot(pair, user, item[candidate])
        count = pair_count[slot]
        if count > 0:
            hours = np.float32(max(now - pair_time[slot], 0.0)) * TO_HOURS
            features[HAD, candidate] = np.sqrt(count)
            features[HAD_IDLE, candidate] = np.sqrt(np.sqrt(np.float32(1.0) + hours))
