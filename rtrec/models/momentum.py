"""How the popularity of a candidate changes: its velocity, and its acceleration.

Where events come at a steady pace, a count that decays with half-life h holds so many hours of them once they
have come for a hours:

    W(h, a) = (1 - 2 ** (-a / h)) * h / ln 2

So a count at one half-life times the W of a shorter one over its own is what that one would hold had the pace
been the same, and what is young is not taken for what rises. With n, s, l the counts at the three half-lives,
s' what l leads to expect of s, and n' what s leads to expect of n,

    velocity     = sqrt((s + 1) / (s' + 1))
    acceleration = sqrt((n + 1) / (n' + 1)) - velocity

The first is above 1 where an item rises, the second above 0 where it rises faster than it did. One event more
on either side (:data:`PRIOR`) lets no events say nothing and few of them little: the differences that the
ranker makes of logarithms by itself trust one event as much as many.

After a change of a half-life its count is as it was, so these are wrong until it has forgotten that.

In 60,000 events of the synthetic stream, where items burst, they give 0.5% more hits, on shop orders 0.3%; on
tags none, and on films 0.6% fewer. So they are off by default. Logarithms in place of roots, no regard to
age, a smaller or a larger prior, or the growth of all candidates taken off, gave no more.
"""

from __future__ import annotations

import numpy as np

from rtrec.declared import ACCELERATION, VELOCITY
from rtrec.models.jit import kernel
from rtrec.models.sums import fill_exponential
from rtrec.models.tables import LONG, N_HALF_LIVES, NOW, SHORT

#: Events that both sides get beyond what they are.
PRIOR = np.float32(1.0)
#: No item is younger: at its first event it would hold none of any window.
YOUNGEST_S = np.float32(1.0)
#: More than any event is late by; an item without an event has none that could be.
_LATEST_S = np.float32(1e9)
#: Below this 1 - e^-x is a series, as the difference has too few digits left.
_SMALL = np.float32(0.03)
_LN_2 = np.log(2.0)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_HALF, _THIRD, _FOURTH = (_ONE / np.float32(n) for n in (2, 3, 4))


@kernel
def fill_momentum(work, tables, params, now, n):
    """Fill how the popularity of ``n`` gathered candidates changes, as of time ``now``."""
    if not work.gathered[VELOCITY]:
        return
    features, item, room = work.features, work.item, work.momentum
    count, window, late, age = room[:N_HALF_LIVES], room[N_HALF_LIVES:-2], room[-2], room[-1]
    fill_late(late, item, tables.last_time, now, n)
    fill_age(age, late, item, tables.first_time, now, n)
    for half_life in range(N_HALF_LIVES):
        each = params.half_life_s[half_life]
        power, rate = work.score, np.float32(_LN_2 / each)  # no score is needed yet
        fill_power(power, item, tables.heat[half_life], now / each, late, rate, n)
        fill_exponential(power, _ZERO, n, count[half_life])
        for candidate in range(n):
            power[candidate] = -rate * age[candidate]
        fill_exponential(power, _ZERO, n, window[half_life])
        fill_window(window[half_life], power, np.float32(each), n)
    velocity, acceleration = features[VELOCITY], features[ACCELERATION]
    fill_growth(velocity, count[SHORT], window[SHORT], count[LONG], window[LONG], n)
    if work.active[ACCELERATION]:
        fill_growth(acceleration, count[NOW], window[NOW], count[SHORT], window[SHORT], n)
        for candidate in range(n):
            acceleration[candidate] -= velocity[candidate]


@kernel
def fill_late(late, item, last_time, now, n):
    """Fill by how much each candidate's latest event came after ``now``: that is when it is asked about."""
    for candidate in range(n):
        late[candidate] = min(max(last_time[item[candidate]] - now, 0.0), _LATEST_S)


@kernel
def fill_age(age, late, item, first_time, now, n):
    """Fill the seconds since each candidate's first event."""
    for candidate in range(n):
        age[candidate] = max(now - first_time[item[candidate]], -_LATEST_S)
    for candidate in range(n):
        age[candidate] = max(age[candidate] + late[candidate], YOUNGEST_S)


@kernel
def fill_power(power, item, heat, age, late, rate, n):
    """Fill the logarithm of each candidate's decayed count; ``age`` is the present in half-lives."""
    for candidate in range(n):
        power[candidate] = (heat[item[candidate]] - age) * _LN_2
    for candidate in range(n):
        power[candidate] -= rate * late[candidate]


@kernel
def fill_window(window, power, unit, n):
    """Turn e^``power`` in ``window`` into W of each candidate, times ln 2: only quotients of these count."""
    for candidate in range(n):
        x = -power[candidate]
        series = x * (_ONE - x * _HALF * (_ONE - x * _THIRD * (_ONE - x * _FOURTH)))
        window[candidate] = unit * (series if x < _SMALL else _ONE - window[candidate])


@kernel
def fill_growth(row, shorter, its_window, longer, other_window, n):
    """Fill the root of what each candidate has at a half-life over what a longer one leads to expect."""
    for candidate in range(n):
        had = (shorter[candidate] + PRIOR) * other_window[candidate]
        expected = longer[candidate] * its_window[candidate] + PRIOR * other_window[candidate]
        # A plain division is asked each time whether it is by zero, one at a time.
        row[candidate] = np.sqrt(np.divide(had, expected))
