"""A table that nobody can learn from: what it would have taught is in quarantine, and the run goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rtrec.engine.deployment import Deployment
from rtrec.engine.live import LiveRun
from rtrec.engine.quarantine import THAW, Quarantine, events_of
from rtrec.engine.versions import find
from rtrec.events.log import Cut
from rtrec.models.guard import SOUND, fault_in
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.models.ranker import ranker_of
from rtrec.models.snapshot import latest_snapshot, list_snapshots
from rtrec.models.table_store import TableStore
from tests.engine.live_runs import assert_same, finished, start, state

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(180)]
N_ITEMS = 60


def publish(home: Path, version: str, weight: float) -> None:
    """Publish a table that ties each item to the next few ones, for the events to come."""
    item = (np.arange(N_ITEMS)[:, None] + np.arange(1, 6)).astype(np.int32) % N_ITEMS
    weights = np.full(item.shape, weight, np.float32) * np.arange(1, 6, dtype=np.float32)
    table = NeighbourTable(item, weights, np.full(N_ITEMS, 5, np.int32))
    stored = TableStore(home).write("own", version, table, {"model": "mine", "n_events": 0})
    Deployment(home).append_control(
        {
            "control": "publish",
            "slot": "own",
            "version": version,
            "seal": stored.seal,
            "model": "mine",
            "made_by": "hand",
            "n_events": 1000,
            "n_items": N_ITEMS,
            "seconds": 0.0,
        }
    )


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a deployment in which a table is replaced by one on a scale that is larger by far."""
    home = tmp_path_factory.mktemp("poisoned")
    with start(home, limit=300) as run:
        finished(run)
    publish(home, "1", 1e-5)
    with start(home, limit=900, snapshot_every=400) as run:
        finished(run)
        assert run.status().quarantined == 0
    publish(home, "2", 1e13)
    with start(home, limit=2000, snapshot_every=400) as run:
        finished(run)
        yield home


def book_of(home: Path) -> Quarantine:
    snapshot = latest_snapshot(home / "snapshots")
    assert snapshot is not None
    return Quarantine.from_manifest(snapshot.manifest["quarantine"])


def test_events_in_quarantine_are_learned_by_all_but_the_ranker(poisoned: Path) -> None:
    book, arrays = book_of(poisoned), state(poisoned)
    assert 0 < book.n_events < 100
    assert not book.frozen
    ranker = ranker_of({name.removeprefix("shard0/"): array for name, array in arrays.items()})
    assert fault_in(ranker) == SOUND
    assert arrays["items/total"].sum() == 3000.0


def test_it_is_an_alarm_that_says_why(poisoned: Path) -> None:
    [first, *_] = book_of(poisoned).notices
    assert first.kind == "quarantine"
    assert "would not be finite, or beyond" in first.sentence
    assert first.offset >= 1900
    [cut, *_] = book_of(poisoned).cuts
    log = Deployment(poisoned).open_log(mode="read")
    [event, *_] = events_of(log, cut)
    log.close()
    assert event["batch"] == cut.seq
    assert event["user"].startswith("user-")


def test_the_log_alone_gives_the_same_quarantine_again(poisoned: Path, tmp_path: Path) -> None:
    """As after a kill: the newest snapshots are not there, so all behind an older one is replayed."""
    home = tmp_path / "killed"
    shutil.copytree(poisoned, home)
    (home / "lock").unlink()
    paths = list_snapshots(home / "snapshots")
    for path in paths[1:]:
        shutil.rmtree(path)
    with start(home, limit=2000) as run:
        finished(run)
        assert run.status().quarantined == book_of(poisoned).n_events
    assert_same(state(poisoned), state(home))
    assert book_of(home).to_manifest() == book_of(poisoned).to_manifest()


def test_two_shards_come_to_a_sane_ranker_as_well(tmp_path: Path) -> None:
    with start(tmp_path, limit=300, shards=2) as run:
        finished(run)
    publish(tmp_path, "1", 1e-5)
    with start(tmp_path, limit=900, shards=2) as run:
        finished(run)
    publish(tmp_path, "2", 1e13)
    with start(tmp_path, limit=1500, shards=2) as run:
        finished(run)
        assert run.status().quarantined > 0
    arrays = state(tmp_path)
    for shard in ("shard0/", "shard1/"):
        ranker = ranker_of({name.removeprefix(shard): array for name, array in arrays.items()})
        assert fault_in(ranker) == SOUND


def faults(*found: int) -> np.ndarray:
    return np.array(found, np.uint8)


def test_the_book_names_partitions_and_offsets_and_comes_back_from_a_manifest() -> None:
    book = Quarantine()
    book.take(
        Cut(7, (14, 22), 0),
        (10, 20),
        [faults(0, 0, 1, 0), faults(2, 0)],
        frozen=False,
        together=False,
        n_before=30,
        time=1e9,
    )
    book.take(
        Cut(8, (15, 22), 0),
        (14, 22),
        [faults(0), faults()],
        frozen=True,
        together=False,
        n_before=36,
        time=2e9,
    )
    [only] = book.cuts
    assert (only.seq, only.offsets, only.n_events) == (7, ((12,), (20,)), 2)
    assert "'weight'" in only.why
    assert [each.kind for each in book.notices] == ["quarantine", "frozen"]
    assert "since event 36" in book.notices[1].sentence
    again = Quarantine.from_manifest(book.to_manifest())
    assert (again.cuts, again.n_events, again.frozen, again.notices) == (
        book.cuts,
        2,
        True,
        book.notices,
    )
    again.take(
        Cut(9, (16, 22), 1),
        (15, 22),
        [faults(0), faults()],
        frozen=False,
        together=False,
        n_before=37,
        time=2e9,
    )
    assert [each.kind for each in again.notices] == ["quarantine"]


def test_a_cut_that_is_only_insane_together_is_in_quarantine_as_a_whole() -> None:
    book = Quarantine()
    book.take(
        Cut(1, (2, 1), 0),
        (0, 0),
        [faults(0, 0), faults(0)],
        frozen=False,
        together=True,
        n_before=0,
        time=1.0,
    )
    assert book.cuts[0].offsets == ((0, 1), (0,))
    assert "put together" in book.cuts[0].sentence


def test_a_frozen_ranker_learns_again_once_somebody_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strikes() -> float:
        return float(state(tmp_path)["shard0/ranker/strikes"][0])

    def frozen(run: LiveRun) -> bool:
        return finished(run).status().frozen

    with start(tmp_path, limit=100) as run:
        assert not frozen(run)
    plant_strikes(tmp_path, 10.0)
    with start(tmp_path, limit=200) as run:
        assert frozen(run)
        assert [each.kind for each in run.status().alarms] == ["frozen"]
    before = state(tmp_path)["shard0/ranker/weight"]
    assert strikes() == 10.0
    Deployment(tmp_path).append_control({"control": THAW})
    with start(tmp_path, limit=300) as run:
        assert not frozen(run)
        assert run.changes() == []
    assert strikes() == 0.0
    assert (state(tmp_path)["shard0/ranker/weight"] != before).any()


def plant_strikes(home: Path, strikes: float) -> None:
    """Write the newest snapshot anew, with so many strikes against its ranker."""
    from rtrec.models.snapshot import read_snapshot, write_snapshot

    path = find(Deployment(home), list_snapshots(home / "snapshots")[-1].name)
    snapshot = read_snapshot(path)
    arrays = snapshot.arrays() | {"shard0/ranker/strikes": np.array([strikes])}
    write_snapshot(path.parent, path.name, arrays, snapshot.manifest)
