"""Answers from the last snapshot, while the shards that hold the newest state come back.

A recovery takes seconds, and a scheduler that is gone may take minutes. Who asks for a list meanwhile gets
that of the last snapshot, and is told so, rather than an error or a wait.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from rtrec.engine.deployment import SNAPSHOT_NAME, Deployment
from rtrec.engine.driver import shard_arrays
from rtrec.engine.ledger import Ledger
from rtrec.engine.shard import Shard
from rtrec.events.schema import shard_of
from rtrec.models.explain import Answer
from rtrec.models.snapshot import Snapshot, latest_snapshot


class StandbyAnswer(NamedTuple):
    """A list, whether its user is known, and the state behind it."""

    answer: Answer
    known: bool
    ledger: Ledger


class Standby:
    """The newest good snapshot of a deployment, opened; it never learns.

    Takes as much memory as the item tables and the users of those shards that were asked, so it is dropped
    once the shards are back.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.ledger = Ledger.from_snapshot(snapshot)
        self._snapshot = snapshot
        self._shards: dict[int, Shard] = {}
        self._one_at_a_time = threading.Lock()  # an answer is worked out in the room of its shard

    @classmethod
    def of(cls, deployment: Deployment) -> Standby | None:
        """Open the newest good snapshot; None if there is none yet."""
        snapshot = latest_snapshot(deployment.snapshots, named=SNAPSHOT_NAME)
        return None if snapshot is None else cls(snapshot)

    def answer(self, user_id: str, k: int) -> StandbyAnswer:
        """Answer a user as of the snapshot, from any thread; a shard's first answer takes a second or two."""
        ledger = self.ledger
        n_shards = len(ledger.ends)
        index = int(shard_of([user_id], n_shards)[0])
        user = int(ledger.numbering.users[index].lookup([user_id])[0])
        now = ledger.last_time if ledger.n_events else 0.0
        with self._one_at_a_time:
            if index not in self._shards:
                self._shards[index] = self._open(index, n_shards)
            answer = self._shards[index].answer(None, user, now, k)
        return StandbyAnswer(answer, user >= 0, ledger)

    def _open(self, index: int, n_shards: int) -> Shard:
        settings, arrays = self.ledger.settings.model_dump(), shard_arrays(self._snapshot, index)
        return Shard(index, n_shards, settings, arrays, self.ledger.seq)
