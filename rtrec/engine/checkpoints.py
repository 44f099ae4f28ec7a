"""Snapshots of a run, written in a thread while the stream goes on; what cannot be written is an alarm."""

from __future__ import annotations

import asyncio
import time
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
from rtrec.models.snapshot import remove_snapshot, write_snapshot

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
    last_s
        How many seconds it took to write it.
    """

    def __init__(self, deployment: Deployment, log: EventLog, *, keep: int, storage: Storage) -> None:
        self.newest, self.newest_events = "", 0
        self.last_s = 0.0
        self._deployment = deployment
        self._log = log
        self._keep = keep
        self._storage = storage
        self._writing: asyncio.Task[None] | None = None
        self._passing: list[str] = []  # names of those that are on disk and are not to stay

    def begin(
        self,
        name: str,
        arrays: _Arrays,
        more: Callable[[], _Arrays],
        manifest: Mapping[str, Any],
        *,
        passing: bool = False,
    ) -> None:
        """Begin to write one, behind the one before.

        Parameters
        ----------
        more
            Makes the rest of its arrays, in the thread.
        passing
            Let go of it once two newer ones are there; it takes the place of none that stays.
        """
        self._writing = asyncio.create_task(
            asyncio.to_thread(self._write, name, arrays, more, manifest, passing)
        )

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
        self,
        name: str,
        arrays: _Arrays,
        more: Callable[[], _Arrays],
        manifest: Mapping[str, Any],
        passing: bool,
    ) -> None:
        """Write a snapshot, then let go of what no kept one needs."""
        began = time.perf_counter()
        check_finite(f"snapshot {name}", of_a_state(arrays))
        write_snapshot(self._deployment.snapshots, name, arrays | more(), manifest)
        before, self.newest, self.newest_events = self.newest, name, int(manifest["n_events"])
        self.last_s = time.perf_counter() - began
        try:
            self._pass_on(before, name if passing else None)
            tidy(self._deployment, self._log, self._keep + len(self._passing))
        except (OSError, StorageUnavailable) as error:  # what is left undone is done behind the next one
            _log.error("old snapshots and events could not be tidied up", error=str(error))
            self._storage.tell(f"Old snapshots and events could not be tidied up: {error}")

    def _pass_on(self, before: str, name: str | None) -> None:
        """Remove those that are not to stay, but for the one before: somebody may just begin to read it."""
        for old in [each for each in self._passing if each != before]:
            remove_snapshot(self._deployment.snapshots / old)
            self._passing.remove(old)
        if name is not None:
            self._passing.append(name)
