"""What the log says of published tables: records that put a version in a slot, or take it out again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from rtrec.declared import PLACES
from rtrec.engine.status import PublishedTable, TableChange
from rtrec.errors import CorruptionError
from rtrec.events.log import Control, EventLog
from rtrec.events.numbering import Numbering
from rtrec.models.published import Published, nothing_for, without
from rtrec.models.table_store import TableStore

PUBLISH, WITHDRAW = "publish", "withdraw"
#: Versions of a slot that stay even where no replay needs them.
_KEPT = 2


def take_publication(
    tables: Mapping[str, PublishedTable], control: Control, n_events: int
) -> dict[str, PublishedTable]:
    """Return the tables that are live after a control, which is one of the two; ``n_events`` come before it.

    Raises
    ------
    CorruptionError
        If the control names no slot of this version of rtrec, or lacks what it should say.
    """
    body = control.body
    if body.get("slot") not in PLACES:
        raise CorruptionError(
            f"control {control.offset}: slot {body.get('slot')!r}: expected one of {', '.join(PLACES)}: "
            "written by another version of rtrec"
        )
    left = {slot: table for slot, table in tables.items() if slot != body["slot"]}
    if body["control"] == WITHDRAW:
        return left
    said = {name: value for name, value in body.items() if name != "control"}
    try:
        table = PublishedTable(**said, offset=control.offset, time=control.time, live_from=n_events)
    except TypeError as error:
        raise CorruptionError(
            f"control {control.offset}: {error}: written by another version of rtrec"
        ) from error
    return left | {table.slot: table}


def table_change(tables: Mapping[str, PublishedTable], control: Control, n_events: int) -> TableChange:
    """Return what a control, which is one of the two, does to the ``tables`` that were live before it."""
    body = control.body
    withdrawn = body["control"] == WITHDRAW
    gone = tables.get(body["slot"])
    if withdrawn:
        model, fitted_on = (gone.model, gone.n_events) if gone is not None else ("", 0)
    else:
        model, fitted_on = body["model"], body["n_events"]
    return TableChange(control.offset, control.time, body["slot"], withdrawn, model, fitted_on, n_events)


def read_publications(
    store: TableStore, controls: Iterable[Control], numbering: Numbering
) -> dict[str, Published]:
    """Return what controls put in place, by slot; a slot that is cleared gets an empty one.

    Where several name a slot the last one counts, and only its version must be there. A table says nothing
    of an item or a user forgotten since the fit: another one may have that number by now.

    Raises
    ------
    CorruptionError
        If a version is missing or damaged.
    """
    last = {
        control.body["slot"]: control.body
        for control in controls
        if control.body.get("control") in (PUBLISH, WITHDRAW)
    }
    found = {}
    for slot, body in last.items():
        if body["control"] == WITHDRAW:
            found[slot] = nothing_for(slot)
        else:
            value = store.read(slot, body["version"], body["seal"])
            found[slot] = without(value, *numbering.stale(body["n_events"]))
    return found


class Publication(NamedTuple):
    """A record that published a table, as the log has it; ``state`` is live, replaced or withdrawn."""

    slot: str
    state: str
    time: datetime
    body: dict[str, Any]


def publications(log: EventLog) -> list[Publication]:
    """Return all that was published, oldest first, whether a run has taken it yet or not."""
    found: list[Publication] = []
    for control in log.controls():
        kind, slot = control.body.get("control"), control.body.get("slot", "")
        if kind in (PUBLISH, WITHDRAW):
            state = "replaced" if kind == PUBLISH else "withdrawn"
            found = [
                each._replace(state=state) if (each.slot, each.state) == (slot, "live") else each
                for each in found
            ]
        if kind == PUBLISH:
            found.append(Publication(slot, "live", control.time, control.body))
    return found


def publishing(log: EventLog, body: Mapping[str, Any]) -> Callable[[], None]:
    """Return a call that appends a control; made again it looks first whether the time before did."""
    before: int | None = None

    def publish() -> None:
        nonlocal before
        if before is None:
            before = len(log.controls())
        elif any(each.body == body for each in log.controls(before)):
            return
        log.append_control(body)

    return publish


def withdrawal(slot: str) -> dict[str, Any]:
    """Return the control record that empties a slot."""
    return {"control": WITHDRAW, "slot": slot}


def prune_tables(store: TableStore, controls: Sequence[Control], applied: int) -> list[Path]:
    """Delete versions that no replay from a kept snapshot comes by; return where they were.

    Parameters
    ----------
    controls
        All there are.
    applied
        How many of them the oldest kept snapshot has taken.
    """
    deleted = []
    for slot in PLACES:
        records = [
            each for each in controls if each.body.get("control") == PUBLISH and each.body.get("slot") == slot
        ]
        published = [str(each.body["version"]) for each in records]
        ahead = {str(each.body["version"]) for each in records if each.offset >= applied}
        needed = ahead | set(published[-_KEPT:])
        names = store.prune(slot, published=set(published), needed=needed)
        deleted += [store.path(slot, name) for name in names]
    return deleted
