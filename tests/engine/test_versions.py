"""Going back to a snapshot: as if what came behind it had never been said; the events are learned again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtrec.engine import versions
from rtrec.engine.deployment import Deployment
from rtrec.engine.refits import RefitPlan
from rtrec.engine.versions import clear_undone, describe, find, prune, roll_back
from rtrec.errors import CorruptionError, DeploymentInUse, InputError
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.snapshot import list_snapshots, write_snapshot
from rtrec.models.table_store import TableStore
from tests.engine.live_runs import assert_same, finished, start, state, until, vocabulary_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PLAN = RefitPlan({"history": Recipe("ease")}, every=2000, wait=True)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a deployment at rest, in which settings were changed and a table was published on the way."""
    home = tmp_path_factory.mktemp("changed")
    with start(home, limit=500) as run:
        finished(run)
    with start(home, limit=1500, snapshot_every=400, refits=PLAN, keep_snapshots=9) as run:
        run.apply({"ring_length": 3, "learning_rate": 0.2})
        finished(run)
        run.apply({"ring_length": 4})
    return home


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the state of a run in which nobody said anything, and its figures."""
    home = tmp_path_factory.mktemp("unchanged")
    with start(home, limit=1500) as run:
        summary = finished(run).summary()
    return {"state": state(home), "hr@10": summary["hr@10"], "models": summary["models"]}


@pytest.fixture
def home(changed: Path, tmp_path: Path) -> Path:
    shutil.copytree(changed, tmp_path / "home")
    return tmp_path / "home"


def first_of(home: Path) -> str:
    return list_snapshots(home / "snapshots")[0].name


def caught_up(home: Path, unchanged: dict[str, Any]) -> None:
    with start(home, limit=1500) as run:
        finished(run)
        assert run.changes() == []
        assert run.status().tables == ()
        assert run.summary()["hr@10"] == unchanged["hr@10"]
        assert run.summary()["models"] == unchanged["models"]  # all of the history of metrics is that of then
    assert_same(unchanged["state"], state(home))


def test_back_at_a_snapshot_all_is_as_if_nothing_had_been_said(home: Path, unchanged: dict[str, Any]) -> None:
    deployment = Deployment(home)
    n_before = len(list_snapshots(deployment.snapshots))
    assert n_before > 2
    undone = roll_back(deployment, first_of(home))
    assert [each.body["control"] for each in undone.controls] == [
        "settings",
        "publish",
        "settings",
    ]
    assert [path.name for path in list_snapshots(deployment.snapshots)] == [undone.to]
    store = TableStore(home)
    assert store.versions("history") == []
    assert list_snapshots(store.models / "history") == []
    log = deployment.open_log(mode="read")
    assert (sum(log.ends()), len(log.controls()), log.rolled_back()) == (2500, 0, [undone])
    log.close()
    caught_up(home, unchanged)
    assert describe(deployment, undone.to).about["rolled_back_to"] == [undone.time.isoformat()]


def test_behind_a_rollback_settings_may_be_changed_and_models_fitted_as_ever(home: Path) -> None:
    roll_back(Deployment(home), first_of(home))
    with start(home, limit=1500, refits=PLAN) as run:
        change = run.apply({"ring_length": 6})
        finished(run)
        assert change.offset in (0, 1)  # numbers that were void are given again
        until(lambda: run.status().settings.ring_length == 6)
        assert [each.slot for each in run.status().tables] == ["history"]
        assert run.preview({"ring_length": 2}, n_events=300).result(60).n_tested == 300
    expected = state(home)
    for path in list_snapshots(home / "snapshots")[1:]:
        shutil.rmtree(path)
    with start(home, limit=1500) as run:  # a replay of all behind it
        finished(run)
    assert_same(expected, state(home))


def test_two_shards_go_back_together_and_learn_the_same_events_again(tmp_path: Path) -> None:
    """The steps behind the snapshot are cut anew, which may move a ranker's weights, but no count."""

    def counts() -> dict[str, float]:
        arrays = state(tmp_path)
        total = arrays["items/total"]
        names = Vocabulary.from_arrays(vocabulary_of(arrays)).ids(range(len(total)))
        return dict(zip(names, total.tolist(), strict=True))

    with start(tmp_path, limit=700, shards=2, snapshot_every=400, keep_snapshots=9) as run:
        finished(run)
        before = list_snapshots(tmp_path / "snapshots")[-1].name
    with start(tmp_path, limit=1500, shards=2, snapshot_every=400, keep_snapshots=9) as run:
        finished(run)
        expected = run.status()
        run.apply({"ring_length": 3})
    learned = counts()

    undone = roll_back(Deployment(tmp_path), before)
    assert [each.body["control"] for each in undone.controls] == ["settings"]
    with start(tmp_path, shards=2, limit=1500) as run:
        status = finished(run).status()
        assert run.changes() == []
    assert (status.events, status.tested, status.users) == (expected.events, expected.tested, expected.users)
    assert counts() == learned


def killed_at(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, killed)


@pytest.mark.parametrize(
    ("step", "has_happened"),
    [
        ("rtrec.engine.versions.remove_snapshot", False),
        ("rtrec.events.journaled_log.rewind", False),
        ("rtrec.engine.versions.clear_undone", True),
    ],
    ids=["newer snapshots", "the journal", "tables"],
)
def test_a_rollback_that_dies_has_happened_or_has_not(
    home: Path, changed: Path, unchanged: dict[str, Any], monkeypatch, step: str, has_happened: bool
) -> None:
    killed_at(monkeypatch, step)
    with pytest.raises(KeyboardInterrupt):
        roll_back(Deployment(home), first_of(home))
    monkeypatch.undo()
    if has_happened:
        assert TableStore(home).versions("history") != []
        caught_up(home, unchanged)
        assert TableStore(home).versions("history") == []
    else:
        with start(home, limit=1500) as run:
            finished(run)
            assert len(run.changes()) == 2
        assert_same(state(changed), state(home))
        roll_back(Deployment(home), first_of(home))
        caught_up(home, unchanged)


def test_half_of_the_newer_snapshots_removed_is_still_the_old_truth(
    home: Path, changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []
    remove: Callable[[Path], None] = versions.remove_snapshot

    def once(path: Path) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        remove(path)

    monkeypatch.setattr(versions, "remove_snapshot", once)
    with pytest.raises(KeyboardInterrupt):
        roll_back(Deployment(home), first_of(home))
    assert removed == [home / "snapshots" / list_snapshots(changed / "snapshots")[-1].name]
    with start(home, limit=1500) as run:
        finished(run)
    assert_same(state(changed), state(home))


def test_a_damaged_snapshot_is_not_gone_back_to_and_nothing_is_changed(home: Path) -> None:
    path = list_snapshots(home / "snapshots")[0]
    file = path / "shard0" / "ranker" / "weight.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptionError, match=r"weight\.npy: expected checksum"):
        roll_back(Deployment(home), path.name)
    assert len(list_snapshots(home / "snapshots")) > 2


def test_a_snapshot_of_another_log_is_refused(home: Path, tmp_path: Path) -> None:
    with start(tmp_path / "other", limit=100, batch_events=50) as run:
        finished(run)
    [foreign] = list_snapshots(tmp_path / "other" / "snapshots")
    shutil.copytree(foreign, home / "snapshots" / "000000000001")
    with pytest.raises(CorruptionError, match="they do not belong together"):
        roll_back(Deployment(home), "1")


def test_a_journal_that_ends_before_the_snapshot_is_refused_by_name(home: Path) -> None:
    """As where the end of the log is lost, but what was made of it is there."""
    log = Deployment(home).open_log()
    log.rewind(log.cuts()[0], "by hand")
    log.close()
    newest = list_snapshots(home / "snapshots")[-1]
    with (
        pytest.raises(CorruptionError, match=f"snapshot {newest}: .* the end of the log is lost"),
        start(home) as run,
    ):
        run.result(60)


def test_a_live_run_is_to_be_stopped_first(home: Path) -> None:
    with start(home, feed=None) as run:
        finished(run)
        with pytest.raises(DeploymentInUse, match="stop it first"):
            roll_back(Deployment(home), first_of(home))
        with pytest.raises(DeploymentInUse):
            prune(Deployment(home), 1)


def test_a_name_that_there_is_not_names_those_that_there_are(home: Path) -> None:
    name = first_of(home)
    assert find(Deployment(home), str(int(name))).name == name
    with pytest.raises(InputError, match=f"no snapshot '99999'; there are {name}, "):
        find(Deployment(home), "99999")


def test_what_is_pruned_takes_its_events_to_the_history(home: Path) -> None:
    deployment = Deployment(home)
    names = [path.name for path in list_snapshots(deployment.snapshots)]
    assert prune(deployment, 1) == names[:-1]
    log = deployment.open_log(mode="read")
    assert log.history()
    assert log.read(0, 0).num_rows == 2500
    log.close()
    assert prune(deployment, 1) == []


def test_what_was_made_from_cuts_that_there_are_is_left_alone(home: Path) -> None:
    store = TableStore(home)
    kept = store.versions("history")
    log = Deployment(home).open_log(mode="read")
    seq = log.cuts()[-1].seq
    log.close()
    features = home / "features"
    for name, about in (("version-1", {"seq": seq}), ("version-2", {"seq": seq + 1}), ("version-3", {})):
        write_snapshot(features, name, {}, {"about": about})
    assert clear_undone(Deployment(home), seq) == [features / "version-2"]
    assert clear_undone(Deployment(home), seq) == []
    assert store.versions("history") == kept != []
