"""From a user to candidates, each with what the tables say of it.

Candidates are the neighbours of the user's last items in each neighbour table, what their trails lead to,
and the hottest items at each half-life, less what the user may not get. Gathering one is a few adds into its
column: the item's *slot* is stamped with the number of the request, so that only the columns of the last
request are cleared.

Hot functions take single arrays, not whole tables: numba passes a named tuple field by field with every
call that it does not inline, which cost ten times the work itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtrec.declared import (
    FEATURE_NAMES,
    FEATURES,
    FIRST_BEST,
    FIRST_LAST,
    FIRST_SLOT,
    HISTORICAL,
    N_FEATURES,
    N_SUMS,
    NEAR_LAST,
    NEAR_RING,
    NEAR_SUPPORT,
    NEXT_LAST,
    NEXT_RING,
    NEXT_SUPPORT,
    SLOTS,
    TRAIL_LAST,
    TRAIL_RING,
    TRAIL_SUPPORT,
    vector_source,
)
from rtrec.models.crosses import Together, empty_together
from rtrec.models.jit import kernel
from rtrec.models.params import Params
from rtrec.models.published import Nearline
from rtrec.models.tables import N_HALF_LIVES, SMOOTHING, SOURCE_POWER
from rtrec.models.tastes import N_SHARES
from rtrec.models.trails import AFTER, VISITS, add_votes
from rtrec.models.users import RING_CAPACITY, may_get
from rtrec.types import Ints, Nums, Singles

N_SLOTS = len(SLOTS)


class Workspace(NamedTuple):
    """Room for one request at a time; nothing in it outlives the request."""

    active: np.ndarray  # (feature,) bool: which have an opinion
    gathered: np.ndarray  # (feature,) bool: which are filled; the rows of all others mean nothing
    request: Ints  # (2,) number of the request, and how many candidates it met
    stamp: Ints  # (item,) the last request that met the item
    is_recent: Ints  # (item,) the last request of a user who had just had the item
    slot: Nums  # (item,) its candidate number in that request, -1 if it was taken out
    item: Nums  # (candidate,)
    features: np.ndarray  # (feature, candidate) float32
    score: np.ndarray  # (candidate,) float32
    chance: np.ndarray  # (candidate,) float32, softmax of the scores
    vector: Singles  # (axis,) of the user, in the table at hand
    shares: Singles  # (category, share) what the user takes of each; zero between requests
    momentum: Singles  # (row, candidate) room for what rtrec.models.momentum works with
    together: Together


def active_features(params: Params, without: Sequence[str], nearline: Nearline) -> np.ndarray:
    """Return which features have an opinion, ``(feature,)``; the others cost no time.

    Parameters
    ----------
    without
        Names of features that have none whatever their source says.
    """
    speaks = {
        "cooccurrence": params.use_cooccurrence,
        "transitions": params.use_transitions,
        "trails": params.use_trails,
        "popularity": params.use_trending,
        "momentum": params.use_momentum,
        "user": params.repeat,
        "value": params.use_value,
        "daypart": params.use_daypart,
        "catalogue": params.use_catalogue,
        "category": params.use_category and nearline.categories.n_categories > 0,
    }
    for place, (slot, is_on) in enumerate(zip(SLOTS, params.use_slot, strict=True)):
        speaks[slot] = is_on and nearline.rows[place].n_items > 0
        speaks[vector_source(slot)] = is_on and params.use_vectors and nearline.vectors[place].n_items > 0
    speaks[HISTORICAL] = params.use_historical and nearline.past.n_items > 0
    return np.array([speaks[feature.source] and feature.name not in without for feature in FEATURES])


def gathered_features(params: Params, active: np.ndarray) -> np.ndarray:
    """Return which features are filled, ``(feature,)``: those active, and what these are made of.

    The sums that racing models order by are filled wherever their table is on.
    """
    gathered = active.copy()
    for is_on, feature in zip(active, FEATURES, strict=True):
        if is_on and feature.made_of:
            gathered[FEATURE_NAMES.index(feature.made_of)] = True
    gathered[NEAR_RING] = params.use_cooccurrence
    gathered[NEXT_RING] = params.use_transitions
    gathered[TRAIL_RING] = params.use_trails
    return gathered


def empty_workspace(
    item_capacity: int,
    params: Params,
    row_length: int,
    nearline: Nearline,
    without: Sequence[str] = (),
) -> Workspace:
    """Return room for every candidate that ``params`` can bring."""
    in_rows = 2 * row_length + sum(table.item.shape[1] for table in nearline.rows)
    n_candidates = params.ring_length * (in_rows + VISITS * AFTER + 1)
    n_candidates += N_HALF_LIVES * params.trending_candidates
    active = active_features(params, without, nearline)
    return Workspace(
        active=active,
        gathered=gathered_features(params, active),
        request=np.zeros(2, np.int64),
        stamp=np.zeros(item_capacity, np.int64),
        is_recent=np.zeros(item_capacity, np.int64),
        slot=np.zeros(item_capacity, np.int32),
        item=np.zeros(n_candidates, np.int32),
        features=np.zeros((N_FEATURES, n_candidates), np.float32),
        score=np.zeros(n_candidates, np.float32),
        chance=np.zeros(n_candidates, np.float32),
        vector=np.zeros(max(table.found.shape[1] for table in nearline.vectors), np.float32),
        shares=np.zeros((nearline.categories.n_categories, N_SHARES), np.float32),
        momentum=np.zeros((2 * N_HALF_LIVES + 2, n_candidates), np.float32),
        together=empty_together(),
    )


@kernel
def add_row(
    row_item,
    row_weight,
    size,
    total,
    decay,
    is_new,
    counts,
    whole,
    support,
    newest,
    request,
    stamp,
    slot,
    item,
    n,
):
    """Add a neighbour row to the sums of its items; return the number of candidates.

    Parameters
    ----------
    total
        What the source of the row is divided by, before it is raised to :data:`SOURCE_POWER`.
    is_new, counts
        Whether to add to ``newest``, and to ``support``.
    whole, support, newest
        The sums over the ring, of weights and of their roots, and over its newest item alone.
    """
    norm, fresh = np.float32(decay * (total + SMOOTHING) ** -SOURCE_POWER), np.float32(decay)
    for place in range(size):
        neighbour = row_item[place]
        opinion = norm * row_weight[place]
        if stamp[neighbour] != request:
            stamp[neighbour] = request
            slot[neighbour] = n
            item[n] = neighbour
            n += 1
        candidate = slot[neighbour]
        whole[candidate] += opinion
        if counts:
            support[candidate] += fresh * np.sqrt(opinion)
        if is_new:
            newest[candidate] += opinion
    return n


@kernel
def add_nearline(
    row_item,
    row_weight,
    size,
    norm,
    total,
    cold,
    request,
    stamp,
    slot,
    item,
    counts,
    ring_sum,
    best,
    newest,
    n,
):
    """Add a published row as :func:`add_row` does; without ``cold`` only items that had an event.

    ``counts`` says whether to add to ``ring_sum``, to ``best``, and to ``newest``.
    """
    in_sum, in_best, is_new = counts
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
        if in_sum:
            ring_sum[candidate] += opinion
        if in_best:
            best[candidate] = max(best[candidate], opinion)
        if is_new:
            newest[candidate] = opinion
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
def drop_barred(had, repeat, user, slot, item, features, gathered, n):
    """Take out what the user may not get, the last moving into its place; return how many are left."""
    kept, candidate = n, 0
    while candidate < kept:
        if may_get(had, repeat, user, item[candidate]):
            candidate += 1
            continue
        kept -= 1
        slot[item[kept]] = candidate
        slot[item[candidate]] = -1  # which may be the last itself
        item[candidate] = item[kept]
        for feature in range(N_SUMS):
            if gathered[feature]:
                features[feature, candidate] = features[feature, kept]
    clear_sums(features, gathered, kept, n)
    return kept


@kernel
def clear_sums(features, gathered, start, stop):
    """Set the sums of candidates ``start`` to ``stop - 1`` to zero."""
    for feature in range(N_SUMS):
        if gathered[feature]:
            features[feature, start:stop] = 0.0


@kernel
def add_trending(trend, size, wanted, had, repeat, user, request, stamp, slot, item, n):
    """Make the ``wanted`` hottest items that the user may get candidates."""
    taken = 0
    for rank in range(size):
        if taken == wanted:
            break
        item_num = trend[rank]
        if stamp[item_num] != request:
            if not may_get(had, repeat, user, item_num):
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
    sums, gathered = work.features, work.gathered
    clear_sums(sums, gathered, 0, work.request[1])
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
            row, weight, size = tables.near_item[last], tables.near_weight[last], tables.near_size[last]
            whole, support, newest = sums[NEAR_RING], sums[NEAR_SUPPORT], sums[NEAR_LAST]
            total, is_new = tables.total[last], age == 0 and gathered[NEAR_LAST]
            counts = gathered[NEAR_SUPPORT]
            n = add_row(
                row,
                weight,
                size,
                total,
                decay,
                is_new,
                counts,
                whole,
                support,
                newest,
                request,
                stamp,
                slot,
                item,
                n,
            )
        if params.use_transitions:
            row, weight, size = tables.next_item[last], tables.next_weight[last], tables.next_size[last]
            whole, support, newest = sums[NEXT_RING], sums[NEXT_SUPPORT], sums[NEXT_LAST]
            total, is_new = tables.next_total[last], age == 0 and gathered[NEXT_LAST]
            counts = gathered[NEXT_SUPPORT]
            n = add_row(
                row,
                weight,
                size,
                total,
                decay,
                is_new,
                counts,
                whole,
                support,
                newest,
                request,
                stamp,
                slot,
                item,
                n,
            )
        if params.use_trails:
            norm, trails = np.float32(decay), tables.trails
            votes, support, newest = sums[TRAIL_RING], sums[TRAIL_SUPPORT], sums[TRAIL_LAST]
            before, after, visits = trails.before[last], trails.after[last], trails.n_visits[last]
            recent = work.is_recent
            counts = gathered[TRAIL_SUPPORT], age == 0 and gathered[TRAIL_LAST]
            n = add_votes(
                before,
                after,
                visits,
                norm,
                request,
                recent,
                stamp,
                slot,
                item,
                counts,
                votes,
                support,
                newest,
                n,
            )
        for number in range(N_SLOTS):
            table = nearline.rows[number]
            if params.use_slot[number] and last < len(table.size):
                row, weight, size = table.item[last], table.weight[last], table.size[last]
                total, cold = tables.total, params.cold_items
                in_sum, in_best, in_last = FIRST_SLOT + number, FIRST_BEST + number, FIRST_LAST + number
                counts = gathered[in_sum], gathered[in_best], age == 0 and gathered[in_last]
                norm = np.float32(decay)
                n = add_nearline(
                    row,
                    weight,
                    size,
                    norm,
                    total,
                    cold,
                    request,
                    stamp,
                    slot,
                    item,
                    counts,
                    sums[in_sum],
                    sums[in_best],
                    sums[in_last],
                    n,
                )
        decay *= params.ring_decay
    had, repeat = (users.pair, users.pair_hint, users.pair_count), params.repeat
    n = drop_barred(had, repeat, user, slot, item, sums, gathered, n)
    if params.use_trending:
        for half_life in range(N_HALF_LIVES):
            trend, size = tables.trend_item[half_life], tables.trend_size[half_life]
            wanted = params.trending_candidates
            n = add_trending(trend, size, wanted, had, repeat, user, request, stamp, slot, item, n)
    work.request[1] = n
    return n
