"""Trails: what came before and after the latest visits of each item.

Users who now come by an item go on as those did who came the same way. Each item remembers its latest visits:
the items its visitor had just before, and those taken after. Asked for a user, a visit of one of their last
items votes for what came after it,

    vote = ring_decay ** age * (1 + overlap) ** 2 / distance

with age the place of the visited item in the user's ring, overlap how many of the items before the visit are
in that ring as well, and distance how many steps after the visit the item was taken. Where a transition table
only sees pairs, a trail sees the way that led there. It is a neighbourhood of sequences (V-SKNN: Ludewig and
Jannach 2018; STAN: Garg, Gupta, Malhotra, Vig, Shroff 2019) that learns with every event and is bounded: the
newest visits are the ones kept, so it follows drift without a half-life.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtrec.models.jit import kernel
from rtrec.types import Nums

#: Visits an item remembers. On films 16 gave more than 8 or 64: the newest visitors are the best guides.
VISITS = 16
#: Items remembered before a visit, and after it.
BEFORE, AFTER = 9, 5
NOBODY = -1


class Trails(NamedTuple):
    """The latest visits of each item; visit v of an item is kept in place ``v % VISITS`` of its row."""

    before: Nums  # (item, visit, step) items had just before, newest first, -1 where there were none
    after: Nums  # (item, visit, step) items taken since, in that order, -1 where there are none yet
    n_visits: Nums  # (item,) visits so far


def empty_trails(capacity: int) -> Trails:
    """Return room for ``capacity`` items that nobody visited."""
    return Trails(
        before=np.full((capacity, VISITS, BEFORE), NOBODY, np.int32),
        after=np.full((capacity, VISITS, AFTER), NOBODY, np.int32),
        n_visits=np.zeros(capacity, np.int32),
    )


@kernel
def learn_visit(before, after, n_visits, last_item, last_visit, item, came_by):
    """Learn a visit of ``item`` by a user who had ``came_by`` before, newest first.

    ``last_item`` and ``last_visit`` hold that user's latest visits, newest first: of which item, and the
    number it had there.
    """
    for step in range(AFTER):
        other = last_item[step]
        if other == NOBODY:
            break
        visit = last_visit[step]
        if visit >= n_visits[other] - VISITS:  # still remembered
            after[other, visit % VISITS, step] = item
    visit = n_visits[item]
    n_visits[item] = visit + 1
    place = visit % VISITS
    for step in range(BEFORE):
        before[item, place, step] = came_by[step]
    after[item, place, :] = NOBODY
    for step in range(AFTER - 1, 0, -1):
        last_item[step] = last_item[step - 1]
        last_visit[step] = last_visit[step - 1]
    last_item[0] = item
    last_visit[0] = visit


@kernel
def add_votes(
    before, after, n_visits, decay, request, is_recent, stamp, slot, item, counts, votes, support, newest, n
):
    """Add what the visits of one item vote for to ``votes``; return the number of candidates.

    ``support`` gets the root of each vote, which says how many there were, and ``newest`` the vote itself,
    where they are among what ``counts``.

    Parameters
    ----------
    before, after, n_visits
        The item's own visits.
    decay
        What a vote is multiplied with, for the item's place in the user's ring.
    is_recent
        ``(item,)``: equals ``request`` for the items in that ring.
    """
    in_support, is_new = counts
    for place in range(min(n_visits, VISITS)):
        if after[place, 0] == NOBODY:
            continue
        alike = np.float32(1.0)
        for step in range(BEFORE):
            other = before[place, step]
            if other == NOBODY:
                break
            if is_recent[other] == request:
                alike += np.float32(1.0)
        vote = decay * alike * alike
        for step in range(AFTER):
            other = after[place, step]
            if other == NOBODY:
                break
            if stamp[other] != request:
                stamp[other] = request
                slot[other] = n
                item[n] = other
                n += 1
            one = vote / np.float32(step + 1)
            votes[slot[other]] += one
            if in_support:
                support[slot[other]] += np.sqrt(one)
            if is_new:
                newest[slot[other]] += one
    return n
