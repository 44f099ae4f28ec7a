"""The versions of a deployment: its snapshots, to look at, to go back to, and to let go of.

To *roll back* makes the state, the settings and the place in the log of a snapshot the present again. What
was cut and commanded behind it is void; the events stay in the log, and the next run learns them again, under
the settings of then. It goes in four steps, and a crash between any two of them leaves a deployment that
makes sense:

1. The snapshot is read, every byte, and held against the journal. Nothing has changed yet.
2. Newer snapshots are removed. Without them the journal still says what happened: a run that started now
   would replay it, and come to the state there was. The rollback has not happened.
3. The journal is taken back, in one transaction (:mod:`rtrec.events.rewind`). The rollback has happened: the
   newest snapshot and the end of the journal are the same place.
4. Tables, models and features that were made behind that place are removed. Left there they have no effect,
   for no record names them; but one made later could come to have the same name. So every run that starts
   looks for such ones first (:func:`clear_undone`).

The order of 2 and 3 matters: a snapshot beyond the end of the journal would be a state that nobody can
explain. So does that of 3 and 4: the journal before names the tables.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtrec.declared import PLACES
from rtrec.engine.deployment import SNAPSHOT_NAME, Deployment
from rtrec.engine.gauges import model_scores
from rtrec.engine.publications import prune_tables
from rtrec.errors import CorruptionError, InputError
from rtrec.evaluation.history import MetricHistory
from rtrec.events.log import Cut, EventLog
from rtrec.events.rewind import RolledBack
from rtrec.failpoints import failpoint
from rtrec.models.snapshot import (
    Snapshot,
    list_snapshots,
    prune_snapshots,
    read_snapshot,
    remove_snapshot,
)
from rtrec.models.table_store import TableStore


@dataclass(frozen=True)
class Version:
    """A snapshot as somebody sees it who has to choose one; ``state`` is what is wrong with it, if anything.

    ``about`` says what is in it, and is empty where it cannot be read.
    """

    name: str
    state: str
    good: bool
    size_mb: float
    about: dict[str, Any]


def versions(deployment: Deployment, *, verify: bool = False) -> list[Version]:
    """Return the snapshots of a deployment, oldest first; ``verify`` reads every byte of them."""
    return [
        _version(path, verify=verify) for path in list_snapshots(deployment.snapshots, named=SNAPSHOT_NAME)
    ]


def find(deployment: Deployment, name: str) -> Path:
    """Return the snapshot of that name; leading zeros may be left out.

    Raises
    ------
    InputError
        If there is none; those that there are are named.
    """
    paths = list_snapshots(deployment.snapshots, named=SNAPSHOT_NAME)
    for path in paths:
        if path.name == name or (name.isdecimal() and int(path.name) == int(name)):
            return path
    there = ", ".join(path.name for path in paths) or "none"
    raise InputError(f"{deployment.snapshots}: no snapshot {name!r}; there are {there}")


def describe(deployment: Deployment, name: str) -> Version:
    """Return all there is to say about one snapshot, every byte of it checked.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    path = find(deployment, name)
    version = _version(path, verify=True)
    if not version.good:
        return version
    snapshot = read_snapshot(path, mmap=True, verify=False)
    manifest = snapshot.manifest
    with closing(deployment.open_log(mode="read")) as log:
        n_cuts, n_controls = len(log.cuts(manifest["seq"])), len(log.controls(manifest["n_controls"]))
        n_events = sum(log.ends()) - manifest["n_events"]
        undone = [each for each in log.rolled_back() if each.to == path.name]
    history = MetricHistory.from_arrays(snapshot.arrays("history/"))
    scores = {
        each.model: {f"hr@{history.k}": each.hit_rate, f"ndcg@{history.k}": each.ndcg}
        for each in model_scores(history.total(), {})
    }
    about = version.about | {
        "tested": history.n_tested,
        "models": scores,
        "behind": {"cuts": n_cuts, "controls": n_controls, "events": n_events},
        "rolled_back_to": [each.time.isoformat() for each in undone],
    }
    return Version(version.name, version.state, True, version.size_mb, about)


def roll_back(deployment: Deployment, name: str) -> RolledBack:
    """Make a snapshot the present again, and return what that undid; see above.

    Raises
    ------
    InputError
        If there is no such snapshot.
    CorruptionError
        If it is damaged, or belongs to another log.
    DeploymentInUse
        If a run is active.
    """
    with deployment.lock(), closing(deployment.open_log()) as log:
        snapshot = read_snapshot(find(deployment, name))
        cut = _cut_of(snapshot, log)
        for path in reversed(list_snapshots(deployment.snapshots, named=SNAPSHOT_NAME)):
            if int(path.name) > cut.seq:
                remove_snapshot(path)
        undone = log.rewind(cut, snapshot.path.name)
        clear_undone(deployment, cut.seq)
    return undone


def prune(deployment: Deployment, keep: int) -> list[str]:
    """Delete all but the newest ``keep`` good snapshots, and what only they needed; return their names.

    Raises
    ------
    DeploymentInUse
        If a run is active: that one prunes as it goes.
    """
    with deployment.lock(), closing(deployment.open_log()) as log:
        return tidy(deployment, log, keep)


def tidy(deployment: Deployment, log: EventLog, keep: int) -> list[str]:
    """Do what :func:`prune` does, for whoever holds the deployment."""
    with failpoint("snapshot.prune"):
        deleted = prune_snapshots(deployment.snapshots, keep, named=SNAPSHOT_NAME)
    if deleted:
        [first, *_] = list_snapshots(deployment.snapshots, named=SNAPSHOT_NAME)
        oldest = read_snapshot(first, mmap=True, verify=False).manifest
        log.compact(oldest["ends"], oldest["seq"])
        prune_tables(TableStore(deployment.home), log.controls(), oldest["n_controls"])
    return [path.name for path in deleted]


def clear_undone(deployment: Deployment, seq: int) -> list[Path]:
    """Remove what was made from cuts behind ``seq``, the last one there is; return where it was.

    Nobody makes anything from a cut that is not journaled, so only a rollback leaves such a thing.
    """
    store, removed = TableStore(deployment.home), []
    folders = [root / slot for root in (store.tables, store.models) for slot in PLACES]
    for folder in (*folders, deployment.features):
        for path in list_snapshots(folder):
            try:
                manifest = read_snapshot(path, mmap=True, verify=False).manifest
            except CorruptionError:  # whoever comes to need it says so
                continue
            made_at = manifest.get("about", manifest).get("seq", 0)
            if made_at > seq:
                remove_snapshot(path)
                removed.append(path)
    return removed


def _cut_of(snapshot: Snapshot, log: EventLog) -> Cut:
    """Return the cut behind which a snapshot was taken.

    Raises
    ------
    CorruptionError
        If the log has no such cut, or another one of that number.
    """
    manifest = snapshot.manifest
    expected = Cut(manifest["seq"], tuple(manifest["ends"]), manifest["n_controls"])
    try:
        [found, *_] = log.cuts(expected.seq - 1)
    except ValueError:
        found = None
    if found != expected:
        raise CorruptionError(
            f"snapshot {snapshot.path}: it was taken behind {expected}, where the log has "
            f"{found or 'no such cut'}: they do not belong together; restore both from one copy"
        )
    return found


def _version(path: Path, *, verify: bool) -> Version:
    size_mb = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
    try:
        snapshot = read_snapshot(path, mmap=True, verify=verify)
    except CorruptionError as error:
        return Version(path.name, str(error), False, round(size_mb, 1), {})
    said = {
        "format_version": snapshot.format_version,
        "written_by": snapshot.written_by,
        "n_arrays": len(snapshot.array_names),
    }
    state = "good" if verify else "complete"
    return Version(path.name, state, True, round(size_mb, 1), said | snapshot.manifest)
