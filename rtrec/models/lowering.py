"""Negative feedback: an event of negative weight lowers what events of positive weight raised.

The item loses popularity at every half-life, and its ties to what the user had just before get weaker.
Nothing falls below zero, an item that is known stays known (:data:`LEAST` of an event is left to it), and one
that is not does not become known by being disliked. Trails remember what was taken: nothing there to lower.
"""

from __future__ import annotations

import numpy as np

from rtrec.models.jit import kernel
from rtrec.models.tables import N_HALF_LIVES, hotter, set_total

#: What is left of a count that was lowered: as cold as the ranker tells apart.
LEAST = 2.0**-4


@kernel
def lower_item(tables, params, timestamp, item, weight, before):
    """Learn one operation of negative ``weight``; what is unknown stays so."""
    total = tables.total[item]
    if total == 0.0:
        return
    set_total(tables, item, lowered(total, -weight))
    for half_life in range(N_HALF_LIVES):
        heat, age = tables.heat[half_life], timestamp / params.half_life_s[half_life]
        now = heat[item] - age
        if now < 500.0:  # above, one event more or less is lost in the digits
            heat[item] = np.log2(lowered(2.0**now, -weight)) + age
            let_sink(tables, half_life, item)
    near, near_weight, near_size = tables.near_item, tables.near_weight, tables.near_size
    next_item, next_weight, next_size = tables.next_item, tables.next_weight, tables.next_size
    less = -weight
    for age in range(params.ring_length):
        other = before[age]
        if other < 0:
            break
        if other != item:
            lower_neighbour(near, near_weight, near_size, other, item, less)
            lower_neighbour(near, near_weight, near_size, item, other, less)
            if age < params.transition_reach:
                lower_neighbour(next_item, next_weight, next_size, other, item, -weight / (age + 1))
        less *= params.ring_decay


@kernel
def lowered(count, less):
    """Return what is left of a count: at least :data:`LEAST`, unless it was below that before."""
    return max(count - less, min(count, LEAST))


@kernel
def lower_neighbour(items, weights, sizes, row, neighbour, less):
    """Take ``less`` from the weight of a neighbour, if ``row`` has it; at 0 it is the next to make way."""
    for place in range(sizes[row]):
        if items[row, place] == neighbour:
            weights[row, place] = max(weights[row, place] - less, 0.0)
            return


@kernel
def let_sink(tables, half_life, item):
    """Move ``item`` to its place among the hottest after its heat fell; from a full list it may drop out."""
    heat, trend, size = tables.heat[half_life], tables.trend_item[half_life], tables.trend_size[half_life]
    place = 0
    while place < size and trend[place] != item:
        place += 1
    if place == size:
        return
    while place + 1 < size and hotter(heat, trend[place + 1], item):
        trend[place] = trend[place + 1]
        place += 1
    trend[place] = item
    if place + 1 < len(trend):
        return
    # The last of a full list: an item outside may be hotter now. All inside are hotter than those outside.
    last = trend[place - 1]
    for other in range(len(heat)):
        if tables.total[other] > 0.0 and hotter(heat, last, other) and hotter(heat, other, trend[place]):
            trend[place] = other
