"""What if: replay the last events under other settings, from a snapshot, without touching the live state.

A replay is a pure function of state, settings and events: it runs as a Dask task, one a variant. Both
variants go through the
same events with the same cuts, so every difference between them is the change's doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtrec.engine.exchange import Agreement, agree, cut_up
from rtrec.engine.shard import Shard
from rtrec.models.base import Ranks
from rtrec.models.ranker import Ranker, new_ranker
from rtrec.settings import Settings
from rtrec.types import NumberedEvents


def replay(
    states: Sequence[Mapping[str, np.ndarray]] | None,
    before: Mapping[str, Any],
    settings: Mapping[str, Any],
    cuts: Sequence[Sequence[NumberedEvents]],
    n_shards: int,
) -> Ranks:
    """Return the default model's rank of every event, in the common order, shape ``(event,)``.

    Parameters
    ----------
    states
        Each shard's arrays to start from; None starts with nothing.
    before
        The settings those arrays were learned under.
    settings
        The settings to go on under, from the first event on.
    cuts
        Each cut's events by shard.
    """
    shards = [Shard(i, n_shards, before, states[i] if states is not None else None) for i in range(n_shards)]
    ranker = new_ranker()
    if states is not None:
        ranker = Ranker(*(np.array(states[0][f"ranker/{name}"]) for name in Ranker._fields))
    changed: Settings | None = Settings(**settings)
    agreement: Agreement | None = None
    ranks = []
    for seq, parts in enumerate(cuts, start=1):
        batches, order = cut_up(seq, parts, 0, settings=changed, agreement=agreement)
        outcomes = [shard.step(batch) for shard, batch in zip(shards, batches, strict=True)]
        changed = None
        if n_shards > 1:
            agreement = agree(seq, ranker, outcomes, order)
            ranker = agreement.ranker
        ranks.append(np.concatenate([each.ranks[:, 0] for each in outcomes])[order])
    return np.concatenate(ranks) if ranks else np.zeros(0, np.int16)
