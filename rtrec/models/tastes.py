"""What a user takes of each category lately: decayed counts, and the share of them that a candidate is in.

A user has :data:`N_PLACES` places, each with a category and its decayed count at each half-life; all counts
are as of the latest event. An event of positive weight w adds w to every category of its item; one that came
late adds what is left of w by then. Where no place is free the category with the weakest count at the long
half-life makes way, so a user takes 16 x (4 + 3 x 4) = 256 bytes, and none where no item has a category.

With n_g the count of category g that is left now, and C the categories of a candidate, it gets

    mean over g in C of n_g / (1 + sum over all g of n_g)

so the one event of somebody new says half as much as many do, and what is long ago says nothing. The mean
brings forward what is wholly of a kind; on films it gave 3.1% more hits, where the sum gave 1.9%.
"""

from __future__ import annotations

import numpy as np

from rtrec.declared import FIRST_TASTE
from rtrec.features.categories import NO_CATEGORY
from rtrec.models.jit import kernel
from rtrec.models.tables import LONG, N_HALF_LIVES

N_PLACES = 16
#: Everybody's events are divided by so many more than they are.
PRIOR = np.float32(1.0)
#: What an answer knows of a category: the user's share at each half-life, and whether the last item is in it.
N_SHARES = N_HALF_LIVES + 1
OF_LAST = N_HALF_LIVES


@kernel
def learn_tastes(category, count, own, half_life_s, gap, weight):
    """Let a user's counts cool down to the time of an event, and raise those of its item's categories.

    Parameters
    ----------
    category, count
        The user's: ``(place,)`` and ``(place, half-life)``.
    own
        Categories of the item, -1 past the last.
    gap
        Seconds since the user's latest event, negative for an event that came late.
    """
    late = gap < 0.0
    if not late:
        for half_life in range(N_HALF_LIVES):
            left = np.float32(0.5 ** (gap / half_life_s[half_life]))
            for place in range(len(category)):
                count[place, half_life] *= left
    if not weight > 0.0:
        return
    for each in own:
        if each == NO_CATEGORY:
            break
        place = place_of(category, count, each)
        if category[place] != each:
            category[place] = each
            count[place] = 0.0
        for half_life in range(N_HALF_LIVES):
            share = 0.5 ** (-gap / half_life_s[half_life]) if late else 1.0
            count[place, half_life] += np.float32(weight * share)


@kernel
def categories_of(categories, item):
    """Return the categories of an item, none of one that is not there (or -1)."""
    return categories[item] if 0 <= item < len(categories) else np.empty(0, np.int32)


@kernel
def place_of(category, count, wanted):
    """Return the place of a category; if it has none a free one, or else that of the weakest."""
    weakest = 0
    for place in range(len(category)):
        if category[place] == wanted or category[place] == NO_CATEGORY:
            return place  # free ones come last
        if count[place, LONG] < count[weakest, LONG]:
            weakest = place
    return weakest


@kernel
def spread_shares(shares, category, count, last, half_life_s, gap):
    """Write what an answer needs to know of categories into ``shares``, ``(category, share)``, zero before.

    Parameters
    ----------
    category, count
        The user's: ``(place,)`` and ``(place, half-life)``.
    last
        Categories of the user's very last item, -1 past the last.
    gap
        Seconds since the user's latest event.
    """
    for half_life in range(N_HALF_LIVES):
        left = np.float32(0.5 ** (gap / half_life_s[half_life]))
        total = PRIOR
        for place in range(len(category)):
            total += left * count[place, half_life]
        for place in range(len(category)):
            if category[place] == NO_CATEGORY:
                break
            shares[category[place], half_life] = left * count[place, half_life] / total
    for each in last:
        if each == NO_CATEGORY:
            break
        shares[each, OF_LAST] = 1.0


@kernel
def clear_shares(shares, category, last):
    """Undo :func:`spread_shares`."""
    for each in category:
        if each != NO_CATEGORY:
            shares[each] = 0.0
    for each in last:
        if each != NO_CATEGORY:
            shares[each] = 0.0


@kernel
def fill_tastes(work, nearline, users, params, user, now, n):
    """Fill what a user's categories say of ``n`` gathered candidates, where they may say anything."""
    is_active = False
    for feature in range(FIRST_TASTE, FIRST_TASTE + N_SHARES):
        is_active = is_active or work.active[feature]
    if not is_active:
        return
    categories, shares = nearline.categories.number, work.shares
    own, count = users.category[user], users.category_count[user]
    last, gap = categories_of(categories, users.ring[user, 0]), max(now - users.last_time[user], 0.0)
    spread_shares(shares, own, count, last, params.half_life_s, gap)
    fill_mean_shares(work.features[FIRST_TASTE : FIRST_TASTE + N_SHARES], work.item, categories, shares, n)
    clear_shares(shares, own, last)


@kernel
def fill_mean_shares(features, item, categories, shares, n):
    """Fill the mean share that each candidate's categories have of the user's events, at each half-life.

    Parameters
    ----------
    features
        Of shape ``(4, candidate)``: by half-life, and whether a category is shared with the very last item.
    categories
        Of items, ``(item, place)``.
    """
    for candidate in range(n):
        item_num = item[candidate]
        now, short, long, of_last = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
        n_own = np.float32(0.0)
        if item_num < len(categories):
            for place in range(categories.shape[1]):
                each = categories[item_num, place]
                if each == NO_CATEGORY:
                    break
                n_own += np.float32(1.0)
                now += shares[each, 0]
                short += shares[each, 1]
                long += shares[each, 2]
                of_last = max(of_last, shares[each, OF_LAST])
        each_one = np.float32(1.0) / max(n_own, np.float32(1.0))
        features[0, candidate] = now * each_one
        features[1, candidate] = short * each_one
        features[2, candidate] = long * each_one
        features[OF_LAST, candidate] = of_last
