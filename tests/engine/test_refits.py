"""Tables that are fitted again while a run goes on: when they count, and that every replay has them there."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.engine.deployment import Deployment
from rtrec.engine.live import LiveRun
from rtrec.engine.refits import RefitPlan
from rtrec.engine.status import Phase
from rtrec.errors import CorruptionError, InputError
from rtrec.events.numbering import number_events
from rtrec.events.vocabulary import Vocabulary
from rtrec.failpoints import arm, disarm
from rtrec.models import snapshot as snapshots
from rtrec.models.kernel import UNTESTED
from rtrec.models.nearline.ease import EASE
from rtrec.models.nearline.ials import IALS
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.single import BuiltIn
from rtrec.models.snapshot import list_snapshots, read_snapshot
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings
from tests.engine.live_runs import N_TESTED, N_WARM, assert_same, feed, finished, start, state, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
EASE_HISTORY = {"history": Recipe("ease", {"ridge": 20.0})}
#: Publishes vectors beside rows.
IALS_HISTORY = {"history": Recipe("ials", {"n_factors": 8, "sweeps": 2})}
WAITING = RefitPlan(EASE_HISTORY, every=1300, wait=True)


def live(home: Path, **options: Any) -> LiveRun:
    return start(home, **{"refits": WAITING, "titles": None, "categories": None} | options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory):
    with live(tmp_path_factory.mktemp("undisturbed")) as run:
        yield finished(run)


def test_a_run_that_waits_finds_what_the_same_refits_give_outside(undisturbed: LiveRun) -> None:
    """Publish an event earlier or later, or update from another event on, and hits differ."""
    events = number_events(feed().stream.events(N_WARM + N_TESTED), Vocabulary(), Vocabulary())
    model = BuiltIn("default", Settings(), nearline={"history": EASE(ridge=20.0)}, refit_every=1300)
    model.test_then_learn(events.part(0, N_WARM), k=10)
    ranks = model.test_then_learn(events.part(N_WARM, N_WARM + N_TESTED), k=10)
    tested = ranks[ranks != UNTESTED]
    assert undisturbed.summary()["hr@10"] == np.mean(tested > 0)
    [table] = undisturbed.status().tables
    assert (table.slot, table.model, table.n_events, table.live_from) == ("history", "ease", 3900, 3900)
    arrays = state(undisturbed.deployment.home)
    for name, array in model.blend.nearline["history"]._asdict().items():
        np.testing.assert_array_equal(arrays[f"items/nearline/history/{name}"], array)
    plain = BuiltIn("default", Settings())
    plain.test_then_learn(events.part(0, N_WARM), k=10)
    without = plain.test_then_learn(events.part(N_WARM, N_WARM + N_TESTED), k=10)
    assert not np.array_equal(without, ranks)


def test_a_run_hears_the_vectors_of_a_model_as_well_as_its_rows(tmp_path: Path) -> None:
    with live(tmp_path, refits=RefitPlan(IALS_HISTORY, every=1300, wait=True)) as run:
        summary = finished(run).summary()
        rows_alone = run.preview({"use_vectors": False}, n_events=4000).result(60)
    events = number_events(feed().stream.events(N_WARM + N_TESTED), Vocabulary(), Vocabulary())
    model = IALS(n_factors=8, sweeps=2)
    outside = BuiltIn("default", Settings(), nearline={"history": model}, refit_every=1300)
    outside.test_then_learn(events.part(0, N_WARM), k=10)
    ranks = outside.test_then_learn(events.part(N_WARM, N_WARM + N_TESTED), k=10)
    assert summary["hr@10"] == np.mean(ranks[ranks != UNTESTED] > 0)
    changed, as_it_is = rows_alone.totals.hit_rate().tolist()
    assert as_it_is == summary["hr@10"] != changed
    arrays = state(tmp_path)
    for name, array in model.table()._asdict().items():
        np.testing.assert_array_equal(arrays[f"items/nearline/history/vectors/{name}"], array)


def test_an_update_goes_on_from_the_last_fit(undisturbed: LiveRun) -> None:
    store = TableStore(undisturbed.deployment.home)
    versions = [path.name for path in store.versions("history")]
    said = [store.find("history", each).about for each in versions]
    assert [(each["n_events"], each["how"]) for each in said] == [
        (1300, "fitted"),
        (2600, "updated"),
        (3900, "updated"),
    ]


def test_stopped_and_started_again_ends_as_if_undisturbed(tmp_path: Path, undisturbed: LiveRun) -> None:
    for limit, batch_events in ((250, 170), (1601, 90)):
        with live(tmp_path, limit=limit, batch_events=batch_events) as run:
            finished(run)
    with live(tmp_path) as run:
        finished(run)
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


@pytest.mark.parametrize("missing", ["record", "table"])
def test_killed_between_a_fit_and_its_record_ends_as_if_undisturbed(
    tmp_path: Path, undisturbed: LiveRun, missing: str, monkeypatch
) -> None:
    """What a kill leaves: events up to the refit, and a version, or only a model, that no record names."""
    if missing == "record":
        monkeypatch.setattr("rtrec.engine.refits.Fit", type("Nothing", (), {}))
    else:
        monkeypatch.setattr(TableStore, "write", fail)
    with live(tmp_path, limit=300) as run:
        finished(run)
        assert run.status().tables == ()
        assert [each.kind for each in run.status().alarms] == ["refit"]
    assert len(list_snapshots(tmp_path / "models" / "history")) == 1
    assert len(TableStore(tmp_path).versions("history")) == (missing == "record")
    monkeypatch.undo()
    with live(tmp_path) as run:
        finished(run)
        assert run.status().alarms == ()
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


def fail(*_: Any, **__: Any) -> None:
    raise OSError("the disk is gone")


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize(
    ("recipes", "size", "wait"),
    [(EASE_HISTORY, "size", True), (EASE_HISTORY, "size", False), (IALS_HISTORY, "rows/size", True)],
    ids=["rows", "rows, not waiting", "vectors"],
)
def test_replays_from_before_and_after_a_publication_come_to_the_same_state(
    tmp_path: Path, shards: int, recipes: dict[str, Recipe], size: str, wait: bool
) -> None:
    plan = RefitPlan(recipes, every=700, wait=wait)
    with live(tmp_path, refits=plan, shards=shards, batch_events=130, snapshot_every=1500) as run:
        expected = finished(run).summary()
    with closing(Deployment(tmp_path).open_log(mode="read")) as log:
        # How many are done in time depends on the machine where nobody waits; one at least is.
        assert len(log.controls()) in ([5] if wait else range(1, 6))
    before = state(tmp_path)
    assert before[f"items/nearline/history/{size}"].any()
    for n_left in (2, 1, 0):  # of three: those after 1,500 and 3,000 events, and where it all began
        for newer in list_snapshots(tmp_path / "snapshots")[n_left:]:
            shutil.rmtree(newer)
        with live(tmp_path, refits=None, shards=shards) as again:
            summary = finished(again).summary()
        assert_same(before, state(tmp_path))
        assert [summary[name] for name in ("events", "models", "tables")] == [
            expected[name] for name in ("events", "models", "tables")
        ]


@pytest.mark.cluster
def test_what_workers_in_processes_fitted_threads_replay_to_the_same_state(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a worker starts elsewhere, so a path from here must not reach it
    home = Path("home")
    with live(home, shards=2, processes=True) as run:
        finished(run)
        assert [each.n_events >= 3900 for each in run.status().tables] == [True]
    before = state(home)
    for newer in list_snapshots(home / "snapshots")[1:]:
        shutil.rmtree(newer)
    with live(home, shards=2, refits=None) as again:
        finished(again)
    assert_same(before, state(home))


def test_two_shards_hold_the_same_table(tmp_path: Path) -> None:
    with live(tmp_path, shards=2) as run:
        finished(run)
        shards = [each.actor for each in run._session._driver._shards]
        session = run._session

        async def tables() -> list[dict[str, np.ndarray]]:
            driver = session._driver
            return [
                await driver._call(i, "arrays", driver._agreement, items=True) for i in range(len(shards))
            ]

        one, two = run._ask(lambda _: tables()).result(30)
    names = [name for name in one if name.startswith("items/")]
    assert "items/nearline/history/weight" in names
    for name in names:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_a_missing_or_damaged_version_ends_the_run_by_name(tmp_path: Path) -> None:
    with live(tmp_path) as run:
        finished(run)
    shutil.rmtree(tmp_path / "snapshots")
    [first, *_] = TableStore(tmp_path).versions("history")
    kept = tmp_path / "kept"
    first.rename(kept)
    with (
        pytest.raises(CorruptionError, match=rf"table {first}: .* missing; restore the folder"),
        live(tmp_path) as run,
    ):
        run.result(60)
    shutil.copytree(kept, first)
    weight = first / "table" / "weight.npy"
    weight.write_bytes(weight.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptionError, match=rf"table {first}: .*expected checksum"), live(tmp_path) as run:
        run.result(60)
    shutil.rmtree(first)
    shutil.copytree(TableStore(tmp_path).versions("history")[0], first)
    with pytest.raises(CorruptionError, match="expected the seal"), live(tmp_path) as run:
        run.result(60)
    shutil.rmtree(first)
    kept.rename(first)
    with live(tmp_path) as run:
        assert finished(run).status().phase is Phase.FINISHED


@pytest.mark.parametrize("wait", [True, False])
def test_a_fit_that_fails_is_told_and_the_run_goes_on(tmp_path: Path, monkeypatch, wait: bool) -> None:
    def not_finite(model: EASE, *_: Any) -> None:
        model._inverse = np.full((2, 2), np.nan)

    monkeypatch.setattr(EASE, "fit", not_finite)
    monkeypatch.setattr(EASE, "update", not_finite)
    with live(tmp_path, refits=dataclasses.replace(WAITING, wait=wait)) as run:
        summary = finished(run).summary()
        alarms = [each for each in run.status().alarms if each.kind == "refit"]
    assert summary["tested"] == N_TESTED
    assert summary["tables"] == {}
    assert alarms
    assert alarms[0].offset == 1300
    assert "fitting ease for 'history' failed: NotFinite: ease: what it learned: 4 of 4" in alarms[0].sentence
    assert TableStore(tmp_path).versions("history") == []


@pytest.mark.parametrize("action", ["raise", "raise-after"])
def test_what_a_disk_in_trouble_does_not_take_comes_again_and_counts_once(
    tmp_path: Path, undisturbed: LiveRun, action: str
) -> None:
    """Of three publications the first version, the second record and the third line of the log fail once."""
    for number, name in enumerate(("table.write", "table.publish", "log.control"), start=1):
        arm(name, action, at=number)
    try:
        with live(tmp_path) as run:
            alarms = list(finished(run).status().alarms)
    finally:
        disarm()
    assert [each.kind for each in alarms] == ["storage"] * 3
    assert [each.sentence.split(" for ")[0] for each in alarms] == [
        "Fitting ease",
        "Publishing ease",
        "Publishing ease",
    ]
    assert all("had to wait for about 0 s, and goes on" in each.sentence for each in alarms)
    with closing(Deployment(tmp_path).open_log(mode="read")) as log:
        assert [each.body["n_events"] for each in log.controls()] == [1300, 2600, 3900]
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


@pytest.mark.parametrize("folder", ["models", "tables"])
def test_a_fit_that_finds_no_room_waits_for_it(
    tmp_path: Path, undisturbed: LiveRun, monkeypatch, folder: str
) -> None:
    left, write = [3], snapshots._write_array

    def full(path: Path, array: np.ndarray) -> dict[str, Any]:
        if left[0] and path.is_relative_to(tmp_path / folder):
            left[0] -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, array)

    monkeypatch.setattr(snapshots, "_write_array", full)
    with live(tmp_path) as run:
        [alarm] = finished(run).status().alarms
    assert alarm.kind == "storage"
    assert alarm.sentence.startswith("Fitting ease for 'history' had to wait for about 1 s, and goes on")
    assert not list((tmp_path / folder / "history").glob(".*"))
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


def test_a_stop_while_there_is_no_room_for_a_fit_is_a_stop(
    tmp_path: Path, undisturbed: LiveRun, monkeypatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(TableStore, "write", full)
    with live(tmp_path) as run:
        until(lambda: any("Fitting ease" in each.sentence for each in run.status().alarms))
    assert (run.error, run.status().phase, run.status().events) == (None, Phase.STOPPED, 1300)
    monkeypatch.undo()
    with live(tmp_path) as run:
        finished(run)
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


def test_a_slot_that_another_fit_holds_is_waited_for(tmp_path: Path, undisturbed: LiveRun) -> None:
    """Take it for a fit that failed, and the stream goes on without the table it should have waited for."""
    with live(tmp_path, limit=200) as run:
        finished(run)
    with TableStore(tmp_path).fitting("history"):
        run = live(tmp_path)
        until(lambda: any("Fitting ease" in each.sentence for each in run.status().alarms))
        [alarm] = [each.sentence for each in run.status().alarms if "has to wait" in each.sentence]
        assert "another fit for this slot is at work" in alarm
        assert "MB free" not in alarm, "room would not help"
        assert run.status().events == 1300
    with run:
        finished(run)
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


def test_a_slow_fit_holds_nothing_up_and_is_published_where_it_is_done(tmp_path: Path, monkeypatch) -> None:
    go_on = threading.Event()
    fit = EASE.fit

    def slowly(model: EASE, history: Any) -> None:
        assert go_on.wait(60)
        fit(model, history)

    monkeypatch.setattr(EASE, "fit", slowly)
    plan = dataclasses.replace(WAITING, wait=False)
    with live(tmp_path, refits=plan) as run:
        until(lambda: run.status().events == N_WARM + N_TESTED)
        assert run.status().fitting == ("history",)
        assert run.status().phase is Phase.RUNNING
        go_on.set()
        finished(run)
        [table] = run.status().tables
    # Fitted on what was learned when it fell due; what fell due meanwhile was left out.
    assert (table.n_events, table.live_from) == (1300, N_WARM + N_TESTED)


def test_a_stop_gives_up_the_fit_that_the_stream_waits_for(
    tmp_path: Path, undisturbed: LiveRun, monkeypatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    fit = EASE.fit

    def slowly(model: EASE, history: Any) -> None:
        at_work.set()
        go_on.wait(60)
        fit(model, history)

    monkeypatch.setattr(EASE, "fit", slowly)
    run = live(tmp_path)
    assert at_work.wait(60)
    until(lambda: run.status().events == 1300)
    run._loop.call_soon_threadsafe(run._session.request_stop)
    go_on.set()
    run.stop()
    assert run.error is None
    assert run.status().events == 1300
    monkeypatch.undo()
    with live(tmp_path) as run:
        finished(run)
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


@pytest.mark.parametrize("n_events", [2000, 4000])
def test_what_if_has_the_tables_of_its_time(tmp_path: Path, n_events: int) -> None:
    """The replay begins before the first publication, from a snapshot or from the start of all."""
    with live(tmp_path, snapshot_every=1200) as run:
        finished(run)
        same = run.preview({"learning_rate": 0.05}, n_events=n_events).result(60)
        off = run.preview({"use_history": False}, n_events=n_events).result(60)
        hit_rate = run.summary()["hr@10"]
    assert off.difference("hit_rate").value != 0.0  # so the table is there
    if n_events == 4000:  # and since when it should: the same hits as the run had
        assert same.totals.hit_rate().tolist() == [hit_rate, hit_rate]


def test_a_table_can_be_withdrawn_beside_a_run(tmp_path: Path) -> None:
    with live(tmp_path) as run:
        finished(run)
        assert run.status().tables
        Deployment(tmp_path).append_control({"control": "withdraw", "slot": "history"})
        until(lambda: not run.status().tables)
        *_, published, withdrawn = run.status().table_changes
        assert (published.withdrawn, published.model, published.live_from) == (False, "ease", 3900)
        assert (withdrawn.withdrawn, withdrawn.model, withdrawn.live_from) == (True, "ease", 4000)
    assert not [name for name in state(tmp_path) if name.startswith("items/nearline/")]
    Deployment(tmp_path).append_control({"control": "withdraw", "slot": "nowhere"})
    with (
        pytest.raises(CorruptionError, match="slot 'nowhere': expected one of content, history, own"),
        live(tmp_path) as run,
    ):
        run.result(60)


def test_versions_that_no_replay_needs_are_deleted(tmp_path: Path) -> None:
    with live(tmp_path, refits=dataclasses.replace(WAITING, every=300), snapshot_every=400) as run:
        finished(run)
        oldest = list_snapshots(tmp_path / "snapshots")[0]
        left = [int(path.name.split("-")[0]) for path in TableStore(tmp_path).versions("history")]
    n_events = read_snapshot(oldest).manifest["n_events"]
    assert left[-1] == 3900
    assert left[0] > n_events - 900
    assert len(left) < 13
    with live(tmp_path, refits=None) as run:
        finished(run)
        with pytest.raises(InputError, match="which is deleted"):
            run.preview({"ring_length": 5}, n_events=4000).result(60)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (RefitPlan({"histroy": Recipe("ease")}), "no slot 'histroy'; did you mean 'history'"),
        (RefitPlan({"history": Recipe("easy")}), "no fitted model 'easy'; did you mean 'ease'"),
        (
            RefitPlan({"history": Recipe("ease", {"rigde": 3})}),
            "ease: no option 'rigde'; did you mean 'ridge'",
        ),
        (RefitPlan({"history": Recipe("ease", {"ridge": -3})}), "expected a ridge above 0"),
        (RefitPlan(every=0), "at least 1; got 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_at_once(tmp_path: Path, plan: RefitPlan, words: str) -> None:
    with pytest.raises(InputError, match=words):
        live(tmp_path / "home", refits=plan)
    assert not (tmp_path / "home").exists()
