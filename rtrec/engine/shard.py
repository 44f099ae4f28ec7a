"""A shard: some users and all items, an actor on a Dask worker (or, in a replay, just an object)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtrec.engine.exchange import Agreement, Batch, Outcome, concatenate
from rtrec.errors import ShardError
from rtrec.failpoints import failpoint
from rtrec.models.arrays import copied
from rtrec.models.blend import Blend, Learned
from rtrec.models.explain import Answer, answer, explain
from rtrec.models.kernel import UNTESTED
from rtrec.settings import Settings


class Shard:
    """Apply batches in order: refuse a gap, answer a repeated one again without learning it twice.

    Parameters
    ----------
    index, n_shards
        Which shard of how many.
    settings
        As plain values, since this travels to a worker.
    arrays
        State to go on from, as :meth:`arrays` gave it; None starts with nothing.
    seq
        The last batch in that state.
    """

    def __init__(
        self,
        index: int,
        n_shards: int,
        settings: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        seq: int = 0,
    ) -> None:
        self.index = index
        self.n_shards = n_shards
        chosen = Settings(**settings)
        self._blend = (
            Blend(chosen, shard=index, n_shards=n_shards)
            if arrays is None
            else Blend.from_arrays(arrays, chosen, shard=index, n_shards=n_shards)
        )
        self._seq = seq
        self._agreed = seq
        self._last: Outcome | None = None

    def compile(self) -> None:
        """Compile all that a batch may call on, so that none waits for it."""
        self._blend.compile()

    def step(self, batch: Batch) -> Outcome:
        """Test, then learn a batch.

        Raises
        ------
        ShardError
            If it is not the next one.
        """
        if batch.seq == self._seq and self._last is not None:
            return self._last
        if batch.seq != self._seq + 1:
            raise ShardError(f"shard {self.index}: expected batch {self._seq + 1}, got {batch.seq}")
        self.settle(batch.agreement)
        if batch.settings is not None:
            self._blend.change(Settings(**batch.settings))
        for slot, value in batch.published.items():
            self._blend.publish(slot, copied(value))
        with failpoint("shard.step"):
            learned = [self._learn(batch, start, stop) for start, stop in _pieces(batch)]
        ranks = np.concatenate([each.ranks for each in learned])
        ranks[: batch.n_warm] = UNTESTED
        operations = concatenate([each.operations for each in learned])
        # The ranker goes on changing in place; what is handed out must not.
        ranker = copied(self._blend.ranker)
        self._seq = batch.seq
        # A shard alone has nobody to tell what its items learned.
        faults = np.concatenate([each.faults for each in learned])
        self._last = Outcome(ranks, operations if self.n_shards > 1 else None, ranker, faults)
        return self._last

    def _learn(self, batch: Batch, start: int, stop: int) -> Learned:
        """Learn a piece of a batch, behind what has to be done before its first event."""
        for forgetting in batch.forgetting:
            if forgetting.position == start:
                self._blend.forget(forgetting)
        if start == batch.n_warm > 0:
            self._blend.start_testing()
        asked = None if batch.asked is None else batch.asked[start:stop]
        return self._blend.step(batch.events.part(start, stop), defer=self.n_shards > 1, asked=asked)

    def settle(self, agreement: Agreement | None) -> None:
        """Apply what all shards agreed on after the last batch, once."""
        if agreement is None or agreement.seq <= self._agreed:
            return
        if agreement.seq != self._seq:
            raise ShardError(
                f"shard {self.index}: expected the agreement on batch {self._seq}, got {agreement.seq}"
            )
        self._blend.learn_items(agreement.operations)
        self._blend.ranker = copied(agreement.ranker)
        self._agreed = agreement.seq

    def answer(self, agreement: Agreement | None, user_num: int, now: float, k: int) -> Answer:
        """Return the k best for a user (-1: a stranger) with exact reasons; nothing is learned."""
        self.settle(agreement)
        return explain(self._blend, user_num, now, k=k)

    def lists(
        self, agreement: Agreement | None, user_nums: Sequence[int], now: float, k: int
    ) -> list[Answer]:
        """Return the k best for each of some users, without reasons; nothing is learned."""
        self.settle(agreement)
        return [answer(self._blend, user_num, now, k=k) for user_num in user_nums]

    def coverage(self) -> tuple[np.ndarray, int]:
        """Return which items each racer has recommended, ``(racer, item)``, and how many are known."""
        return self._blend.shown()

    def arrays(self, agreement: Agreement | None, *, items: bool) -> dict[str, np.ndarray]:
        """Return a copy of the state; item tables, which all shards share, only if wanted."""
        self.settle(agreement)
        return {
            name: array.copy()
            for name, array in self._blend.to_arrays().items()
            if items or not name.startswith("items/")
        }


def _pieces(batch: Batch) -> list[tuple[int, int]]:
    """Return where the pieces of a batch begin and end: something is done between any two of them."""
    n_events = batch.events.n_events
    starts = sorted({0, batch.n_warm, *(each.position for each in batch.forgetting)})
    return list(zip(starts, [*starts[1:], n_events], strict=True))
