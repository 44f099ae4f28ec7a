"""Historical features as the plain arrays a kernel reads, in the kernel's own numbering."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtrec.events.vocabulary import Ids, Vocabulary
from rtrec.features.historical.cohorts import NEW
from rtrec.features.historical.declared import ITEM_FEATURES, RANKED, HistoricalFeature, names
from rtrec.features.historical.features import HistoricalFeatures
from rtrec.types import Nums, Singles

#: The declared features behind the columns of ``item_value``, in order.
KERNEL_FEATURES: tuple[HistoricalFeature, ...] = tuple(
    feature for name in RANKED for feature in ITEM_FEATURES if feature.name == name
)
#: The column of ``item_value`` that a user's own level is compared with.
VALUE_COLUMN = RANKED.index("value_mean")


class KernelInputs(NamedTuple):
    """What a kernel reads of one version; contiguous, and no NaN anywhere."""

    item_value: Singles  # (item, feature) columns as in KERNEL_FEATURES
    user_cohort: Nums  # (user,) -1 for one without history
    cohort_lift: Singles  # (cohort, item) 0 for an item without history
    user_value_quantile: Singles  # (user,) 0 to 1, 0.5 for one whose level is not known


def kernel_inputs(
    features: HistoricalFeatures, *, item_ids: Ids | None = None, user_ids: Ids | None = None
) -> KernelInputs:
    """Return the arrays, with a row for each of ``item_ids`` and ``user_ids`` in their order.

    Parameters
    ----------
    item_ids, user_ids
        Ids by the numbers the kernel has for them; those of the features themselves by default. One that
        history does not know gets what its features declare as missing.
    """
    return kernel_inputs_at(features, _rows(features.items, item_ids), _rows(features.users, user_ids))


def kernel_inputs_at(features: HistoricalFeatures, item_row: Nums, user_row: Nums) -> KernelInputs:
    """Return the arrays for rows of the features; -1 stands for one that history does not know."""
    columns = [names(ITEM_FEATURES).index(name) for name in RANKED]
    missing = np.array([feature.missing for feature in KERNEL_FEATURES], np.float32)
    item_value = _taken(features.item[:, columns], item_row, missing)
    lift = _taken(features.cohort_lift.T, item_row, np.zeros(len(features.cohorts), np.float32)).T
    level = _taken(features.column("user", "value_level")[:, None], user_row, np.array([0.5], np.float32))
    cohort = np.full(len(user_row), NEW, np.int32)
    cohort[user_row >= 0] = features.user_cohort[user_row[user_row >= 0]]
    return KernelInputs(item_value, cohort, np.ascontiguousarray(lift), np.ascontiguousarray(level[:, 0]))


def _rows(known: Vocabulary, ids: Ids | None) -> Nums:
    return np.arange(len(known), dtype=np.int32) if ids is None else known.lookup(ids)


def _taken(table: Singles, row: Nums, missing: Singles) -> Singles:
    """Return rows of a table; ``missing`` for row -1, and wherever the table has NaN."""
    taken = np.tile(missing, (len(row), 1))
    there = row >= 0
    found = table[row[there]]
    taken[there] = np.where(np.isfinite(found), found, missing)
    return np.ascontiguousarray(taken, np.float32)
