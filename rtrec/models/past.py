"""What all of history says of a candidate: published historical features, and how the kernel reads them.

They are computed every so often (:mod:`rtrec.features.historical`) and published as any table is, so between
two versions only the user's own cohort and level tell one request from another. They bring no candidates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtrec.declared import COHORT_LIFT, FIRST_PAST, N_PAST, PAST_VALUE, PAST_VALUE_GAP
from rtrec.models.arrays import copied
from rtrec.models.jit import kernel
from rtrec.types import Nums, Singles


class Past(NamedTuple):
    """One version; the last row of an item or a user stands for all that history does not know."""

    item_value: Singles  # (item, feature) columns as in rtrec.declared.PAST
    cohort_lift: Singles  # (cohort, item)
    user_cohort: Nums  # (user,) by their number over all shards; -1 for one without history
    user_level: Singles  # (user,) the mean quantile of the values of what the user had

    @property
    def n_items(self) -> int:
        """Return how many items there are rows for."""
        return len(self.item_value) - 1


def no_past() -> Past:
    """Return a version that knows nobody."""
    return Past(
        item_value=np.zeros((1, N_PAST), np.float32),
        cohort_lift=np.zeros((1, 1), np.float32),
        user_cohort=np.full(1, -1, np.int32),
        user_level=np.zeros(1, np.float32),
    )


def misfit_of(past: Past) -> str:
    """Say what in a version does not fit together; empty if all does."""
    (n_items, n_columns), (n_cohorts, n_lifted) = past.item_value.shape, past.cohort_lift.shape
    if n_columns != N_PAST or n_lifted != n_items or not n_items:
        return (
            f"expected {N_PAST} features and a lift of each item, at least one; got {past.item_value.shape} "
            f"and {past.cohort_lift.shape}"
        )
    if past.user_cohort.shape != past.user_level.shape or not len(past.user_cohort):
        return (
            "expected a cohort and a level of each user, at least one; got "
            f"{past.user_cohort.shape} and {past.user_level.shape}"
        )
    if past.user_cohort.min() < -1 or past.user_cohort.max() >= n_cohorts:
        return f"expected cohorts from -1 to {n_cohorts - 1}; got {past.user_cohort.max()}"
    return ""


def without_known(past: Past, items: Nums, walkers: Nums) -> Past:
    """Return a version to which some items and users are not known; a copy, unless they never were."""
    items, walkers = items[items < past.n_items], walkers[walkers < len(past.user_cohort) - 1]
    if not len(items) and not len(walkers):
        return past
    own = copied(past)
    own.item_value[items], own.cohort_lift[:, items] = own.item_value[-1], own.cohort_lift[:, -1:]
    own.user_cohort[walkers], own.user_level[walkers] = own.user_cohort[-1], own.user_level[-1]
    return own


@kernel
def fill_past(work, nearline, walker, n):
    """Fill what history says of ``n`` gathered candidates, feature by feature, where it may say anything.

    ``walker`` is the user's number among those of all shards, -1 for a stranger.
    """
    past, active, features, item = nearline.past, work.active, work.features, work.item
    item_value, last = past.item_value, len(past.item_value) - 1
    known = len(past.user_cohort) - 1
    row = walker if 0 <= walker < known else known
    cohort, level = past.user_cohort[row], past.user_level[row]
    for column in range(N_PAST):
        if active[FIRST_PAST + column]:
            fill_column(features[FIRST_PAST + column], item, item_value[:, column], n)
    if active[PAST_VALUE_GAP]:
        gap = features[PAST_VALUE_GAP]
        for candidate in range(n):
            gap[candidate] = abs(item_value[min(item[candidate], last), PAST_VALUE] - level)
    if active[COHORT_LIFT]:
        if cohort >= 0:
            fill_column(features[COHORT_LIFT], item, past.cohort_lift[cohort], n)
        else:
            features[COHORT_LIFT, :n] = 0.0


@kernel
def fill_column(said, item, of_item, n):
    """Fill what is known of each candidate; the last stands for all items that are not known."""
    last = len(of_item) - 1
    for candidate in range(n):
        said[candidate] = of_item[min(item[candidate], last)]
