"""Snapshots of a run, written in a thread while the stream goes on; what cannot be written is an alarm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import structlog

from rtrec.engine.deployment import Deployment
from rtrec.engine.storage import Storage
from rtrec.engine.versions import tidy
from rtrec.errors import NotFinite, StorageUnavailable
from rtrec.events.log import EventLog
from rtrec.models.finite import check_finite, of_a_state
from rtrec.models.snapshot import write_snapshot

_log = structlog.get_logger(__name__)
_Arrays = dict[str, np.ndarray]


class Checkpoints:
    """The one who writes snapshots, one at a time.

    Parameters
    ----------
    keep
        How many stay.
    storage
        Is told what was not written.

    Attributes
    ----------
    newest, newest_events
        The name of the last one that is on disk (empty before any), and how many events are learned in it.
    """

    def __init__(self, deployment: Deployment, log: EventLog, *, keep: int, storage: Storage) -> None:
        self.newest, self.newest_events = "", 0
        self._deployment = deployment
        self._log = log
        self._keep = keep
        self._storage = storage
        self._writing: asyncio.Task[None] | None = None

    def begin(
        self, name: str, arrays: _Arrays, more: Callable[[], _Arrays], manifest: Mapping[str, Any]
    ) -> None:
        """Begin to write one, behind the one before; ``more`` makes the rest of its arrays in the thread."""
        self._writing = asyncio.create_task(asyncio.to_thread(self._write, name, arrays, more, manifest))

    async def written(self) -> None:
        """Wait until the last one is on disk, or given up.

        That is no error: the log holds all that is in it, and the next one comes at its time.
        """
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            await writing
        except (OSError, NotFinite) as error:
            _log.error("a snapshot was not written", error=str(error))
            room = f" {self._storage.room()}." if isinstance(error, OSError) else ""
            self._storage.tell(
                f"A snapshot was not written: {error}.{room} The one before stays, so a restart has more to "
                "replay; the next one comes at its time."
            )

    def _write(
        self, name: str, arrays: _Arrays, more: Callable[[], _Arrays], manifest: Mapping[str, Any]
    ) -> None:
        """Write a snapshot, then let go of what no kept one needs."""
        check_finite(f"snapshot {name}", of_a_state(arrays))
        write_snapshot(self._deployment.snapshots, name, arrays | more(), manifest)
        self.newest, self.newest_events = name, int(manifest["n_events"])
        try:
            tidy(self._deployment, self._log, self._keep)
        except (OSError, StorageUnavailable) as error:  # what is left undone is done behind the next one
            _log.error("old snapshots and events could not be tidied up", error=str(error))
            self._storage.tell(f"Old snapshots and events could not be tidied up: {error}")
