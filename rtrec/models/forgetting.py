"""Clearing what belongs to users and items that are forgotten, so that their numbers can be used again.

Whatever a table says *about* a forgotten item goes, and so does every mention of it: in neighbour rows, in
rings, in trails, in what users had. What it taught the others stays. One pass over the tables clears any
number of them, which is why they are forgotten many at a time (:mod:`rtrec.events.roster`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtrec.features.categories import NO_CATEGORY, ItemCategories
from rtrec.models.arrays import BY_COLUMN, BY_WALKER, WHOLE, leaves
from rtrec.models.jit import kernel
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.models.tables import ItemTables, empty_item_tables
from rtrec.models.trails import NOBODY
from rtrec.models.users import NO_PAIR, UserTables, empty_user_tables, with_pairs
from rtrec.types import Nums


def forget_items(items: ItemTables, users: UserTables, nums: Nums) -> None:
    """Clear the rows of items and every mention of them; the lists of the hottest are left to the caller."""
    gone = marked(nums, len(items.total))
    _clear(items, empty_item_tables(1, 1, 0), nums)
    drop_neighbours(items.near_item, items.near_weight, items.near_size, gone)
    drop_neighbours(items.next_item, items.next_weight, items.next_size, gone)
    for steps in (items.trails.before, items.trails.after):
        rows = steps.reshape(-1, steps.shape[-1])
        drop_steps(rows, rows, gone)
    drop_steps(items.last_item, items.last_visit, gone)
    drop_steps(users.ring, users.ring, gone)


def forget_walkers(items: ItemTables, nums: Nums) -> None:
    """Clear what item tables know of users of any shard."""
    for name in BY_WALKER:
        rows = getattr(items, name)
        rows[nums[nums < len(rows)]] = NOBODY


def forget_users(users: UserTables, nums: Nums) -> None:
    """Clear the rows of users; their pairs are left to :func:`forget_pairs`."""
    _clear(users, empty_user_tables(1, 2, 1), nums)


def forget_pairs(users: UserTables, gone_users: Nums, gone_items: Nums) -> UserTables:
    """Return the tables with a set of pairs that lacks those of users and items that are gone."""
    gone_user = marked(gone_users, int(gone_users.max(initial=-1)) + 1)
    gone_item = marked(gone_items, int(gone_items.max(initial=-1)) + 1)
    return with_pairs(users, len(users.pair), gone_user, gone_item)


def forget_oldest_pairs(users: UserTables) -> UserTables:
    """Return the tables with a set of pairs that lacks the oldest quarter of them.

    Pairs of one age go together, so that it does not depend on where in the set they lie.
    """
    times = np.sort(users.pair_time[users.pair != NO_PAIR])
    return with_pairs(users, len(users.pair), after=float(times[len(times) // 4]))


def without_neighbours(table: NeighbourTable, nums: Nums) -> NeighbourTable:
    """Return a published table that says nothing of some items; a copy, unless it never did."""
    nums = nums[nums < table.n_items]
    if not len(nums):
        return table
    item, weight, size = (np.array(array) for array in table)
    item[nums], weight[nums], size[nums] = 0, 0.0, 0
    drop_neighbours(item, weight, size, marked(nums, int(max(item.max(initial=0) + 1, table.n_items))))
    return NeighbourTable(item, weight, size)


def without_categories(categories: ItemCategories, nums: Nums) -> ItemCategories:
    """Return the categories of all but some items; a copy, unless these had none."""
    nums = nums[nums < len(categories.number)]
    if not (categories.number[nums] != NO_CATEGORY).any():
        return categories
    number = categories.number.copy()
    number[nums] = NO_CATEGORY
    return categories._replace(number=number)


def marked(nums: Nums, n: int) -> np.ndarray:
    """Return a truth value for each of ``n`` numbers: whether it is one of ``nums``."""
    gone = np.zeros(n, np.bool_)
    gone[nums[nums < n]] = True
    return gone


def _clear(table: Any, empty: Any, nums: Nums) -> None:
    """Set the rows of a table to those of an empty one."""
    for (name, array), (_, blank) in zip(leaves(table), leaves(empty), strict=True):
        if name in WHOLE or name in BY_WALKER:
            continue
        if name in BY_COLUMN:
            array[:, nums] = blank[:, :1]
        else:
            array[nums] = blank[0] if array.ndim == 1 else blank[0].flat[0]


@kernel
def drop_neighbours(items, weights, sizes, gone):
    """Take items that are gone out of all neighbour rows, closing the gaps."""
    for row in range(len(sizes)):
        kept = 0
        for place in range(sizes[row]):
            if not gone[items[row, place]]:
                items[row, kept] = items[row, place]
                weights[row, kept] = weights[row, place]
                kept += 1
        sizes[row] = kept


@kernel
def drop_steps(rows, beside, gone):
    """Take items that are gone out of rows that end at the first -1, and what stands in the same places."""
    for row in range(len(rows)):
        kept = 0
        for step in range(rows.shape[1]):
            item = rows[row, step]
            if item == NOBODY:
                break
            if not gone[item]:
                rows[row, kept] = item
                beside[row, kept] = beside[row, step]
                kept += 1
        for step in range(kept, rows.shape[1]):
            if rows[row, step] == NOBODY:
                break
            rows[row, step] = NOBODY
            beside[row, step] = NOBODY
