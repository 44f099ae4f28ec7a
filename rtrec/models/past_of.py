"""From a version of historical features to what kernels read of it, in the numbers of a run or a test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtrec.events.vocabulary import Vocabulary
from rtrec.features.historical.features import HistoricalFeatures
from rtrec.features.historical.inputs import kernel_inputs_at
from rtrec.models.past import Past
from rtrec.types import Nums

_NOBODY = np.int32(-1)


def past_of(
    features: HistoricalFeatures, items: Sequence[str | None], users: Sequence[Sequence[str | None]]
) -> Past:
    """Return what kernels read of a version; the last rows are those of who is not known.

    Parameters
    ----------
    items
        The id behind each number, None where nobody has it.
    users
        The same of each shard.
    """
    item_row = np.append(_rows(features.items, items), _NOBODY)
    n_shards = len(users)
    by_shard = [_rows(features.users, ids) for ids in users]
    size = max((len(rows) - 1) * n_shards + shard + 1 for shard, rows in enumerate(by_shard))
    user_row: Nums = np.full(max(size, 0) + 1, _NOBODY, np.int32)
    for shard, rows in enumerate(by_shard):
        user_row[shard : shard + len(rows) * n_shards : n_shards] = rows
    inputs = kernel_inputs_at(features, item_row, user_row)
    return Past(inputs.item_value, inputs.cohort_lift, inputs.user_cohort, inputs.user_value_quantile)


def _rows(known: Vocabulary, ids: Sequence[str | None]) -> Nums:
    """Return for each number which row of the features is its own, -1 for none."""
    rows = known.lookup([each or "" for each in ids])
    rows[[each is None for each in ids]] = _NOBODY
    return rows
