"""What a run knows beside its shards: numbers, place in the log, settings, metrics.

All of it follows from the log alone, in order. So it is written into the same snapshot as the shards, and
replaying the cuts behind a snapshot gives it back bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from rtrec.engine.intake import PAUSE, REDRIVEN, RESUME, Intake
from rtrec.engine.publications import PUBLISH, WITHDRAW, table_change, take_publication
from rtrec.engine.quarantine import THAW, Quarantine
from rtrec.engine.sampling import SAMPLE, Sampling
from rtrec.engine.status import AppliedChange, PublishedTable, Served, TableChange
from rtrec.errors import CorruptionError
from rtrec.evaluation.drift import HitDrift
from rtrec.evaluation.history import MetricHistory
from rtrec.events.log import Control, Cut
from rtrec.events.numbering import Numbering
from rtrec.events.roster import Roster
from rtrec.models.base import Ranks
from rtrec.models.kernel import DEFAULT, RACERS, UNTESTED
from rtrec.models.snapshot import Snapshot
from rtrec.settings import Settings
from rtrec.types import Floats, Forgetting, NumberedEvents, Nums

#: Refits publish for as long as a run lives, so only the newest of these records are remembered.
MAX_TABLE_CHANGES = 100


class Ledger:
    """The ordered state of a run.

    Attributes
    ----------
    seq, ends, n_controls, n_events
        Where in the log the state stands: last cut, its ends and controls, and events learned.
    numbering
        Users and items by number.
    n_items
        How many of the items that are known had an event.
    first_time, last_time
        Earliest and latest event time so far, in seconds since 1970; NaN before any event.
    tables
        Those published by a control, by slot.
    table_changes
        The newest records that published or withdrew one, oldest first.
    served
        How often one was published for each slot, and for how many events one was live.
    quarantine
        What the guard kept from the ranker.
    intake
        Whether the source is read.
    sampling
        Which events are tested.
    """

    def __init__(
        self, n_shards: int, settings: Settings, *, n_warm: int, first_items: Sequence[str] = ()
    ) -> None:
        self.n_warm = n_warm
        self.settings = settings
        self.numbering = Numbering(n_shards, settings, first_items)
        self.n_items = 0
        self._had_event = np.zeros(0, np.bool_)  # (item,)
        self.history = MetricHistory(RACERS, settings.list_length)
        self.drift = HitDrift()
        self.changes: list[AppliedChange] = []
        self.tables: dict[str, PublishedTable] = {}
        self.table_changes: tuple[TableChange, ...] = ()
        self.served: dict[str, Served] = {}
        self.quarantine = Quarantine()
        self.intake = Intake()
        self.sampling = Sampling()
        self.seq = 0
        self.ends: tuple[int, ...] = (0,) * n_shards
        self.n_controls = 0
        self.n_events = 0
        self.first_time = self.last_time = float("nan")

    @property
    def n_users(self) -> int:
        """Return how many users are known."""
        return self.numbering.n_users

    @property
    def items(self) -> Roster[str]:
        """Return the items that are known."""
        return self.numbering.items

    def number(self, tables: Sequence[pa.Table]) -> tuple[list[NumberedEvents], list[tuple[Forgetting, ...]]]:
        """Return each partition's events as its shard reads them, and what it has to forget before which.

        New ids get numbers, so this is called once for a cut, before :meth:`take`.
        """
        return self.numbering.number(tables, self.n_events)

    def _count_items(self, item_num: Nums) -> None:
        missing = self.items.n_numbers - len(self._had_event)
        if missing > 0:
            self._had_event = np.pad(self._had_event, (0, 2 * missing))
        self._had_event[item_num[item_num >= 0]] = True
        if self.items.n_forgotten:
            self._had_event[self.items.free_numbers()] = False
        self.n_items = int(np.count_nonzero(self._had_event))

    def change(self, controls: Sequence[Control]) -> Settings | None:
        """Take the controls of a cut; return the settings they leave, None if shards need not be told.

        Told its settings, a shard's ranker is frozen no longer.
        """
        to_tell = False
        for control in controls:
            if control.body.get("control") == THAW:
                to_tell = True
                continue
            if control.body.get("control") in (PUBLISH, WITHDRAW):
                tables = take_publication(self.tables, control, self.n_events)
                change = table_change(self.tables, control, self.n_events)
                self.tables = tables
                self.table_changes = (*self.table_changes, change)[-MAX_TABLE_CHANGES:]
                if control.body["control"] == PUBLISH:
                    self._serve(control.body["slot"], n_published=1)
                continue
            if control.body.get("control") in (PAUSE, RESUME, REDRIVEN):
                self.intake = self.intake.take(control, self.n_events)
                continue
            if control.body.get("control") == SAMPLE:
                self.sampling = self.sampling.take(control, self.n_events)
                continue
            if control.body.get("control") != "settings":
                raise CorruptionError(
                    f"control {control.offset}: {control.body.get('control')!r} is none that this version "
                    "of rtrec knows: use the one that wrote it"
                )
            before, self.settings = self.settings, self.settings.changed(**control.body["changes"])
            # As settings have them: a record in the log knows no tuples, and may hold numbers as texts.
            changes, previous = (
                {name: getattr(each, name) for name in control.body["changes"]}
                for each in (self.settings, before)
            )
            self.changes.append(AppliedChange(control.offset, control.time, changes, previous, self.n_events))
            to_tell = True
        return self.settings if to_tell else None

    def take(self, cut: Cut, ranks: Ranks, timestamps: Floats, item_num: Nums) -> None:
        """Book a cut that the shards have learned, its events in their common order."""
        self._count_items(item_num)
        tested = np.flatnonzero(ranks[:, DEFAULT] != UNTESTED)
        offsets = self.n_events + tested
        self.history.add(ranks[tested], timestamps[tested], offsets)
        self.drift.update(ranks[tested, DEFAULT] > 0, offsets, timestamps[tested])
        self.n_events += len(timestamps)
        for slot in self.tables:
            self._serve(slot, n_events=len(timestamps))
        if len(timestamps):
            self.first_time = float(np.fmin(self.first_time, timestamps.min()))
            self.last_time = float(np.fmax(self.last_time, timestamps.max()))
        self.seq, self.ends, self.n_controls = cut.seq, cut.ends, cut.controls

    def _serve(self, slot: str, *, n_published: int = 0, n_events: int = 0) -> None:
        before = self.served.get(slot, Served())
        self.served[slot] = Served(before.n_published + n_published, before.n_events + n_events)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the part of the state that is arrays."""
        return self.arrays_as_of_now()()

    def arrays_as_of_now(self) -> Callable[[], dict[str, np.ndarray]]:
        """Return what gives the arrays of this moment, in any thread, while the ledger goes on.

        Of a million users the ids alone take a fifth of a second to encode.
        """
        numbering = self.numbering.frozen()
        arrays = {"ledger/had_event": np.flatnonzero(self._had_event)}
        arrays |= {f"history/{name}": array for name, array in self.history.to_arrays().items()}
        arrays |= {f"drift/{name}": array for name, array in self.drift.to_arrays().items()}
        return lambda: arrays | {f"vocabulary/{name}": array for name, array in numbering.to_arrays().items()}

    def to_manifest(self) -> dict[str, Any]:
        """Return the part of the state that is short values."""
        return {
            "seq": self.seq,
            "ends": list(self.ends),
            "n_controls": self.n_controls,
            "n_events": self.n_events,
            "n_warm": self.n_warm,
            "first_time": self.first_time if self.n_events else None,
            "last_time": self.last_time if self.n_events else None,
            "settings": self.settings.model_dump(),
            "changes": [asdict(each) | {"time": each.time.isoformat()} for each in self.changes],
            "quarantine": self.quarantine.to_manifest(),
            "intake": self.intake.to_manifest(),
            "sampling": self.sampling.to_manifest(),
            "tables": [asdict(each) | {"time": each.time.isoformat()} for each in self.tables.values()],
            "served": {slot: asdict(each) for slot, each in self.served.items()},
            "table_changes": [asdict(each) | {"time": each.time.isoformat()} for each in self.table_changes],
        }

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Ledger:
        """Return the ledger that a snapshot holds."""
        manifest: Mapping[str, Any] = snapshot.manifest
        ledger = cls(len(manifest["ends"]), Settings(**manifest["settings"]), n_warm=manifest["n_warm"])
        ledger.numbering.restore(snapshot.arrays("vocabulary/"))
        ledger._count_items(snapshot.arrays("ledger/")["had_event"])
        ledger.history = MetricHistory.from_arrays(snapshot.arrays("history/"))
        ledger.drift = HitDrift.from_arrays(snapshot.arrays("drift/"))
        ledger.quarantine = Quarantine.from_manifest(manifest["quarantine"])
        ledger.changes = [_read_change(each) for each in manifest["changes"]]
        for each in manifest.get("tables", ()):
            table = PublishedTable(**each | {"time": datetime.fromisoformat(each["time"])})
            ledger.tables[table.slot] = table
        ledger.served = {slot: Served(**each) for slot, each in manifest["served"].items()}
        ledger.intake = Intake.from_manifest(manifest["intake"])
        ledger.sampling = Sampling.from_manifest(manifest["sampling"])
        ledger.table_changes = tuple(
            TableChange(**each | {"time": datetime.fromisoformat(each["time"])})
            for each in manifest["table_changes"]
        )
        ledger.seq, ledger.ends = manifest["seq"], tuple(manifest["ends"])
        ledger.n_controls, ledger.n_events = manifest["n_controls"], manifest["n_events"]
        if manifest["last_time"] is not None:
            ledger.last_time = manifest["last_time"]
        if manifest["first_time"] is not None:
            ledger.first_time = manifest["first_time"]
        return ledger


def _read_change(written: Mapping[str, Any]) -> AppliedChange:
    """Return a change from a manifest, in which tuples have become lists."""
    values = {
        field: {name: tuple(value) if isinstance(value, list) else value for name, value in each.items()}
        for field, each in written.items()
        if field in ("changes", "previous")
    }
    return AppliedChange(**{**written, **values, "time": datetime.fromisoformat(written["time"])})
