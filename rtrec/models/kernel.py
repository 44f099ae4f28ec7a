"""Test, then learn: the loop that answers every event before it learns it.

For each event the racing models each make their list of k from the state before the event; what is returned
is the rank of the event's item in each list (1 to k, 0 for a miss, -1 where nothing was asked). Then the
ranker, the user and the item tables learn. Five models race on the same tables:

- ``default``: all candidates, ordered by the ranker;
- ``popularity``: all items, ordered by decayed popularity at the long half-life;
- ``cooccurrence``, ``transitions``, ``trails``: one table alone, its list filled up by popularity.

Arrays go in and out; what they mean is said where they are made (``tables``, ``users``, ``ranker``,
``candidates``, ``published``).
"""

from __future__ import annotations

import numpy as np

from rtrec.declared import NEAR_RING, NEXT_RING, TRAIL_RING
from rtrec.models.candidates import gather
from rtrec.models.crosses import choose, correct, fill_inputs, fill_pull, take_cross_gradient
from rtrec.models.filling import fill_context, fill_features
from rtrec.models.guard import teach_ranker
from rtrec.models.jit import kernel
from rtrec.models.lowering import lower_item
from rtrec.models.momentum import fill_momentum
from rtrec.models.past import fill_past
from rtrec.models.products import fill_products
from rtrec.models.ranker import (
    fill_scale,
    moment_of,
    score,
    see_spread,
    take_gradient,
    weights_at,
)
from rtrec.models.tables import LONG, hotter, learn_item
from rtrec.models.tastes import fill_tastes
from rtrec.models.users import has_room_for, learn_user, may_get
from rtrec.types import KINDS

RACERS: tuple[str, ...] = ("default", "popularity", "cooccurrence", "transitions", "trails")
DEFAULT, POPULARITY, COOCCURRENCE, TRANSITIONS, TRAILS = range(len(RACERS))
#: An event of this kind is learned but never asked for: nobody wants to be recommended it.
DISLIKE = KINDS.index("dislike")
UNTESTED = -1


@kernel
def step(
    tables,
    nearline,
    users,
    ranker,
    spare,
    work,
    shown,
    params,
    events,
    asked,
    lessons,
    operations,
    ranks,
    faults,
    racing,
    shard,
    start,
    batch,
    defer,
):
    """Test, then learn events from ``start`` on; return the number of the first one not taken.

    ``batch`` events at a time are answered with the state before all of them; one that is not ``asked`` of
    is only learned, and teaches the ranker nothing. With ``defer`` the item tables are left alone and
    ``operations`` holds what they have to learn. ``shard`` is which one of how many: it makes the user's
    number one among those of all shards. ``faults`` gets what was wrong with a batch that the ranker
    (``spare`` is room for a copy) was not allowed to learn. It stops early only when the set of (user, item)
    pairs has to grow before the next batch.
    """
    n_events = len(events.user_num)
    scale, weights = np.empty(len(ranker.weight)), np.empty(len(ranker.weight))
    lists = np.empty((len(racing), params.list_length), np.int32)
    categories = nearline.categories.number
    while start < n_events:
        stop = min(start + batch, n_events)
        if not has_room_for(users, stop - start):
            return start
        fill_scale(ranker, scale)
        for event in range(start, stop):
            user, item, now = events.user_num[event], events.item_num[event], events.timestamp[event]
            if events.kind[event] == DISLIKE or not asked[event]:
                ranks[event] = UNTESTED
                lessons.kind[event - start] = 0
            else:
                moment = moment_of(users.n_events[user], users.last_time[user], now)
                weights_at(ranker, moment, weights)
                crosses = ranker.crosses
                walker = user * shard[1] + shard[0]
                n = answer(
                    work,
                    tables,
                    nearline,
                    users,
                    weights,
                    crosses,
                    params,
                    scale,
                    user,
                    walker,
                    now,
                    racing,
                    lists,
                )
                lessons.moment[event - start] = moment
                for racer in range(len(racing)):
                    ranks[event, racer] = UNTESTED
                    if racing[racer]:
                        ranks[event, racer] = rank_of(item, lists[racer]) if item >= 0 else 0
                        mark(shown[racer], lists[racer])
                take_lesson(work, scale, params, item, n, racing[DEFAULT], lessons, event - start)
        faults[start:stop] = teach_ranker(ranker, spare, params, lessons, events.kind, start, stop)
        for event in range(start, stop):
            weight = params.kind_weight[events.kind[event]]
            user, item, now = events.user_num[event], events.item_num[event], events.timestamp[event]
            operations.timestamp[event] = now
            operations.item_num[event] = item
            if item < 0:  # not admitted: a miss for everybody, and nothing to learn
                operations.weight[event] = 0.0
                continue
            value = np.float64(events.value[event])  # as operations have it: the same tables to the bit
            operations.weight[event] = weight
            operations.value[event] = value
            walker = user * shard[1] + shard[0]
            operations.walker[event] = walker
            before = operations.before[event]
            for age in range(len(before)):
                before[age] = users.ring[user, age]
            learn_user(users, params.half_life_s, now, user, item, weight, value, categories)
            if not defer:
                teach_item(tables, params, now, item, weight, value, walker, before)
        start = stop
    return start


@kernel
def learn_items(tables, params, operations):
    """Learn deferred operations in order."""
    for event in range(len(operations.item_num)):
        now, item, weight = (
            operations.timestamp[event],
            operations.item_num[event],
            operations.weight[event],
        )
        value, walker, before = operations.value[event], operations.walker[event], operations.before[event]
        teach_item(tables, params, now, item, weight, value, walker, before)


@kernel
def teach_item(tables, params, now, item, weight, value, walker, before):
    """Raise or lower what the tables say of an item, by the sign of the event's weight."""
    if weight > 0.0:
        learn_item(tables, params, now, item, weight, value, walker, before)
    elif weight < 0.0:
        lower_item(tables, params, now, item, weight, before)


@kernel
def answer(work, tables, nearline, users, weights, crosses, params, scale, user, walker, now, racing, lists):
    """Write each racer's list for ``user``, -1 past its end; return the number of candidates.

    ``walker`` is the user's number among those of all shards, -1 for a stranger.
    """
    n = 0
    if racing[DEFAULT] or racing[COOCCURRENCE] or racing[TRANSITIONS] or racing[TRAILS]:
        n = gather(work, tables, nearline, users, params, user)
    trend, size, heat = tables.trend_item[LONG], tables.trend_size[LONG], tables.heat[LONG]
    had, repeat = (users.pair, users.pair_hint, users.pair_count), params.repeat
    if racing[DEFAULT]:
        fill_features(work, tables, users, params, user, now, n)
        fill_products(work, nearline, users, params, user, walker, n)
        fill_tastes(work, nearline, users, params, user, now, n)
        fill_past(work, nearline, walker, n)
        fill_momentum(work, tables, params, now, n)
        score(weights, scale, work.features, work.active, work.score, n)
        if params.use_crosses:
            fill_context(work.together.context, tables, users, params, user, now)
            see_together(work, crosses.factor, scale, n)
        length = take_best(work.score, work.item, n, -np.inf, lists[DEFAULT])
        fill_up(lists[DEFAULT], length, trend, size, heat, tables.total, had, repeat, user)
    if racing[POPULARITY]:
        fill_up(lists[POPULARITY], 0, trend, size, heat, tables.total, had, repeat, user)
    for racer, feature in ((COOCCURRENCE, NEAR_RING), (TRANSITIONS, NEXT_RING), (TRAILS, TRAIL_RING)):
        if racing[racer]:
            if not racing[DEFAULT] and racer != TRAILS:
                discount_sums(work.features[feature], tables.discount, work.item, n)
            length = take_best(work.features[feature], work.item, n, 0.0, lists[racer])
            fill_up(lists[racer], length, trend, size, heat, tables.total, had, repeat, user)
    return n


@kernel
def see_together(work, factor, scale, n):
    """Correct the linear scores of the best candidates by what their features say together."""
    room = work.together
    size = choose(work.score, n, room.steps, room.candidate)
    room.size[0] = size
    if size == 0:
        return
    fill_inputs(work.features, work.active, scale, room.candidate, size, room.inputs)
    correct(
        factor,
        room.inputs,
        room.context,
        work.active,
        room.candidate,
        size,
        room.side,
        room.correction,
        work.score,
    )


@kernel
def discount_sums(sums, discount, item, n):
    """Divide one table's sums by the candidates' popularity, which all features get in ``fill_features``."""
    for candidate in range(n):
        sums[candidate] *= discount[item[candidate]]


@kernel
def take_best(scores, item, n, above, best):
    """Write the items with the highest scores over ``above`` into ``best``; return how many."""
    length = 0
    place_of = np.empty(len(best), np.int32)
    for candidate in range(n):
        if not scores[candidate] > above:
            continue
        if length == len(best) and not ahead(scores, item, candidate, place_of[length - 1]):
            continue
        place = min(length, len(best) - 1)
        while place > 0 and ahead(scores, item, candidate, place_of[place - 1]):
            place_of[place] = place_of[place - 1]
            place -= 1
        place_of[place] = candidate
        length = min(length + 1, len(best))
    for place in range(length):
        best[place] = item[place_of[place]]
    return length


@kernel
def ahead(scores, item, one, other):
    """Say whether candidate ``one`` comes first: higher score, or the same and the lower number."""
    return scores[one] > scores[other] or (scores[one] == scores[other] and item[one] < item[other])


@kernel
def fill_up(best, length, trend, size, heat, total, had, repeat, user):
    """Fill ``best`` from ``length`` on with the hottest items that are not in it; -1 if none are left."""
    own = length
    for rank in range(size):
        if length == len(best):
            return
        item = trend[rank]
        if not is_among(item, best, own) and may_get(had, repeat, user, item):
            best[length] = item
            length += 1
    if length < len(best):
        # Everything in the list of the hottest is taken: only now look at every item there is.
        length = own
        for item in range(len(total)):
            if total[item] == 0.0 or is_among(item, best, own):
                continue
            if length == len(best) and not hotter(heat, item, best[length - 1]):
                continue
            if not may_get(had, repeat, user, item):
                continue
            place = min(length, len(best) - 1)
            while place > own and hotter(heat, item, best[place - 1]):
                best[place] = best[place - 1]
                place -= 1
            best[place] = item
            length = min(length + 1, len(best))
        best[length:] = -1


@kernel
def is_among(item, best, length):
    """Say whether ``item`` is one of the first ``length`` of ``best``."""
    return rank_of(item, best[:length]) > 0


@kernel
def rank_of(item, best):
    """Return the place of ``item`` in the list, counted from 1; 0 if it is not there."""
    for place in range(len(best)):
        if best[place] == item:
            return place + 1
    return 0


@kernel
def mark(shown, best):
    """Remember that these items have been recommended."""
    for item in best:
        if item >= 0:
            shown[item] = 1


@kernel
def take_lesson(work, scale, params, item, n, ranked, lessons, event):
    """Write down what the ranker can learn from the answer just given, if the event is for it."""
    lessons.kind[event] = 0
    if ranked and n > 1:
        see_spread(work.features, work.active, n, lessons.variance[event])
        lessons.kind[event] = 1
        if item >= 0 and work.stamp[item] == work.request[0] and work.slot[item] >= 0:
            target, gradient = work.slot[item], lessons.gradient[event]
            total = take_gradient(
                scale, work.features, work.active, work.score, work.chance, n, target, gradient
            )
            if params.use_crosses:
                room = work.together
                fill_pull(work.chance, total, room.candidate, room.size[0], target, room.pull[0])
                take_cross_gradient(
                    room.inputs,
                    room.context,
                    work.active,
                    room.size[0],
                    room.side,
                    room.pull,
                    lessons.cross[event],
                )
            lessons.kind[event] = 2
