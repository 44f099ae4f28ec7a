"""What published vectors say exactly of every candidate, whichever table brought it.

With g_j what item j gives and f_c what candidate c is found by
(:class:`~rtrec.models.nearline.tables.VectorTable`), a user whose last items are j_0, j_1, ... (newest
first) is

    u = sum over a of d^a g_(j_a) / sum over a of d^a

with d the decay of the ring, and the candidate's feature is u . f_c. Items that are not in the table bring
nothing and get 0. Without a single item that is, u is the vector the model learned for the user, if it did.

Neighbour rows say the same as far as they reach: of the nearest items of each j_a, and what is above zero.
"""

from __future__ import annotations

import numpy as np

from rtrec.declared import FIRST_PRODUCT
from rtrec.models.candidates import N_SLOTS
from rtrec.models.jit import kernel, sum_kernel
from rtrec.models.users import RING_CAPACITY


@kernel
def fill_products(work, nearline, users, params, user, walker, n):
    """Fill what the vectors of each slot say of ``n`` gathered candidates.

    Parameters
    ----------
    walker
        The user's number among those of all shards, by which models learn users; -1 for a stranger.
    """
    for number in range(N_SLOTS):
        if work.active[FIRST_PRODUCT + number]:
            table = nearline.vectors[number]
            found, given, learned = table.found, table.given, table.user
            vector = work.vector[: found.shape[1]]
            if not fill_mean(given, users.ring[user], params.ring_length, params.ring_decay, vector):
                fill_learned(learned, walker, vector)
            multiply(found, vector, work.item, n, work.features[FIRST_PRODUCT + number])


@kernel
def fill_mean(given, ring, ring_length, decay, vector):
    """Write the weighted mean of what the last items give; say whether any of them has a row."""
    vector[:] = 0.0
    weight, total = np.float32(1.0), np.float32(0.0)
    for age in range(min(ring_length, RING_CAPACITY)):
        last = ring[age]
        if last < 0:
            break
        if last < len(given):
            row = given[last]
            for axis in range(len(vector)):
                vector[axis] += weight * row[axis]
            total += weight
        weight *= np.float32(decay)
    if total == 0.0:
        return False
    share = np.float32(1.0) / total
    for axis in range(len(vector)):
        vector[axis] *= share
    return True


@kernel
def fill_learned(learned, walker, vector):
    """Write the learned vector of a user over zeros, where there is one."""
    if 0 <= walker < len(learned) and not np.isnan(learned[walker, 0]):
        vector[:] = learned[walker]


@sum_kernel
def multiply(found, vector, item, n, products):
    """Write the product of ``vector`` with the row of each candidate, 0 where it has none.

    The loop over candidates is in here too: a call for each row would cost as much as its product.
    """
    for candidate in range(n):
        item_num = item[candidate]
        total = np.float32(0.0)
        if item_num < len(found):
            for axis in range(len(vector)):
                total += found[item_num, axis] * vector[axis]
        products[candidate] = total
