"""Historical features in a run: recomputed beside it, published by the log, and the same in every replay."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.declared import (
    COHORT_LIFT,
    FEATURE_NAMES,
    FIRST_PAST,
    HISTORICAL,
    PAST,
    PAST_VALUE,
    PAST_VALUE_GAP,
)
from rtrec.engine.deployment import Deployment
from rtrec.engine.driver import shard_arrays
from rtrec.engine.fitting import FEATURES
from rtrec.engine.live import LiveRun
from rtrec.engine.refits import RefitPlan
from rtrec.errors import CorruptionError, InputError
from rtrec.evaluation.prequential import evaluate
from rtrec.features.historical.declared import ITEM_FEATURES
from rtrec.models.blend import Blend
from rtrec.models.historical import latest_features
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.snapshot import latest_snapshot, list_snapshots
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings
from tests.engine.live_runs import (
    CATEGORIES,
    N_TESTED,
    N_WARM,
    assert_same,
    feed,
    finished,
    start,
    state,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WAITING = RefitPlan({HISTORICAL: FEATURES}, every=1300, wait=True)
ON = Settings(use_historical=True)


def live(home: Path, **options: Any) -> LiveRun:
    return start(home, **{"refits": WAITING, "titles": None, "settings": ON} | options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory):
    plan = dataclasses.replace(WAITING, every=1500)  # so that items are met behind the last version
    home = tmp_path_factory.mktemp("undisturbed")
    with live(home, shards=2, refits=plan, batch_events=100) as run:
        yield finished(run)


def test_it_counts_from_where_it_fell_due(undisturbed: LiveRun) -> None:
    assert [each for each in undisturbed.status().alarms if each.kind == "refit"] == []
    [table] = undisturbed.status().tables
    latest = latest_features(undisturbed.deployment.features)
    assert (table.slot, table.model, latest.version) == (HISTORICAL, "features", 2)
    assert table.n_events == latest.n_events == table.live_from


@pytest.mark.parametrize("settings", [ON, ON.changed(most_users=120, most_items=100)], ids=["", "few"])
def test_run_finds_what_evaluate_finds(tmp_path: Path, settings: Settings) -> None:
    known = {"categories": dict(list(CATEGORIES.items())[:60])}
    with live(tmp_path, settings=settings, **known) as run:
        summary = finished(run).summary()
        assert len(list_snapshots(run.deployment.features)) == 3
    table = feed().stream.events(N_WARM + N_TESTED)
    options = {"models": "default", "warmup": N_WARM / (N_WARM + N_TESTED), "settings": settings} | known
    found = evaluate(table, historical=1300, **options)["default"]
    assert (found.hit_rate, found.ndcg, found.coverage) == (
        summary["hr@10"],
        summary["ndcg@10"],
        summary["coverage@10"],
    )
    assert (summary["forgotten"] > 200) == (settings.most_items == 100)
    for historical in (None, 1200):
        assert evaluate(table, historical=historical, **options)["default"].ndcg != found.ndcg


def test_batch_and_online_agree_row_by_row(undisturbed: LiveRun) -> None:
    """Of users of both shards and all their candidates: what is in the version, by their ids."""
    features = latest_features(undisturbed.deployment.features)
    ledger = undisturbed._session._driver.ledger
    snapshot = latest_snapshot(undisturbed.deployment.snapshots)
    columns = [[each.name for each in ITEM_FEATURES].index(name) for name in PAST]
    missing = np.array([ITEM_FEATURES[column].missing for column in columns], np.float32)
    n_compared = n_unknown = 0
    for shard, users in enumerate(ledger.numbering.users):
        blend = Blend.from_arrays(shard_arrays(snapshot, shard), ON, shard=shard, n_shards=2)
        for user in (*range(0, len(users), 9), -1):
            [row] = features.users.lookup([users.id_of(user) if user >= 0 else "a stranger"])
            cohort = features.user_cohort[row] if row >= 0 else -1
            level = features.column("user", "value_level")[row] if row >= 0 else np.nan
            level = 0.5 if np.isnan(level) else level
            answer, _, _, work, _ = blend.answer(user, ledger.last_time, k=10)
            items = work.item[: answer.n_candidates]
            item_rows = features.items.lookup([ledger.items.id_of(item) for item in items.tolist()])
            for place, item_row in enumerate(item_rows.tolist()):
                said = work.features[:, place]
                expected, lift = missing, 0.0
                if item_row >= 0:
                    expected = features.item[item_row, columns]
                    expected = np.where(np.isnan(expected), missing, expected)
                    lift = features.cohort_lift[cohort, item_row] if cohort >= 0 else 0.0
                np.testing.assert_array_equal(said[FIRST_PAST : FIRST_PAST + len(PAST)], expected)
                assert said[COHORT_LIFT] == np.float32(lift)
                assert said[PAST_VALUE_GAP] == pytest.approx(abs(expected[PAST_VALUE] - level), abs=1e-6)
                n_compared += 1
                n_unknown += item_row < 0
    assert n_compared > 1000
    assert n_unknown > 0  # items that were born after the last version


@pytest.mark.parametrize("shards", [1, 2])
def test_replays_from_before_and_after_come_to_the_same_state(tmp_path: Path, shards: int) -> None:
    with live(tmp_path, shards=shards, batch_events=130, snapshot_every=1500) as run:
        expected = finished(run).summary()
    before = state(tmp_path)
    assert len(before["items/nearline/historical/user_cohort"]) > 200
    past = [FEATURE_NAMES.index(f"past_{name}") for name in PAST]
    assert np.abs(before["shard0/ranker/weight"][past]).max() > 1e-3
    for n_left in (2, 1, 0):
        for newer in list_snapshots(tmp_path / "snapshots")[n_left:]:
            shutil.rmtree(newer)
        with live(tmp_path, refits=None, shards=shards) as again:
            summary = finished(again).summary()
        assert_same(before, state(tmp_path))
        assert summary["models"] == expected["models"]
        assert summary["tables"] == expected["tables"]


def test_stopped_and_started_again_ends_as_if_undisturbed(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with live(whole) as run:
        finished(run)
    for limit, batch_events in ((250, 170), (1601, 90), (N_TESTED, 1000)):
        with live(parts, limit=limit, batch_events=batch_events) as run:
            finished(run)
    assert_same(state(whole), state(parts))


@pytest.mark.parametrize("n_events", [2000, 4000])
def test_what_if_has_the_version_of_its_time(tmp_path: Path, n_events: int) -> None:
    with live(tmp_path, snapshot_every=1200) as run:
        finished(run)
        same = run.preview({"learning_rate": 0.05}, n_events=n_events).result(120)
        off = run.preview({"use_historical": False}, n_events=n_events).result(120)
        hit_rate = run.summary()["hr@10"]
    assert off.difference("hit_rate").value != 0.0
    if n_events == 4000:
        assert same.totals.hit_rate().tolist() == [hit_rate, hit_rate]


def test_off_it_changes_nothing_and_is_switched_on_live(tmp_path: Path) -> None:
    with live(tmp_path / "without", refits=None, settings=Settings()) as run:
        expected = finished(run).summary()["models"]
    with live(tmp_path / "off", settings=Settings()) as run:
        assert finished(run).summary()["models"] == expected
        on = run.preview({"use_historical": True}, n_events=2000).result(120)
        assert on.difference("hit_rate").value != 0.0
        run.apply({"use_historical": True})
        until(lambda: run.status().settings.use_historical)
        same = run.preview({"use_historical": True}, n_events=2000).result(120)
        assert same.difference("hit_rate").value == 0.0


def test_a_damaged_version_ends_the_run_by_name(tmp_path: Path) -> None:
    with live(tmp_path) as run:
        finished(run)
    shutil.rmtree(tmp_path / "snapshots")
    [first, *_] = TableStore(tmp_path).versions(HISTORICAL)
    array = first / "table" / "item_value.npy"
    array.write_bytes(array.read_bytes()[:-2] + b"??")
    with pytest.raises(CorruptionError, match=rf"table {first}: .*expected checksum"), live(tmp_path) as run:
        run.result(60)
    shutil.rmtree(first)
    with pytest.raises(CorruptionError, match=rf"table {first}: .* missing"), live(tmp_path) as run:
        run.result(60)


def test_two_paces_beside_each_other(tmp_path: Path) -> None:
    plan = RefitPlan(
        {"history": Recipe("ease", {"ridge": 20.0}), HISTORICAL: FEATURES},
        every=1000,
        wait=True,
        every_of={HISTORICAL: 1500},
    )
    with live(tmp_path, refits=plan) as run:
        finished(run)
        with closing(Deployment(tmp_path).open_log(mode="read")) as log:
            said = [(each.body["slot"], each.body["n_events"]) for each in log.controls()]
    assert said == [
        ("history", 1000),
        (HISTORICAL, 1500),
        ("history", 2000),
        ("history", 3000),
        (HISTORICAL, 3000),
        ("history", 4000),
    ]


@pytest.mark.parametrize(
    ("slot", "recipe", "words"),
    [
        (HISTORICAL, Recipe("ease"), "slot 'historical' does not take 'ease'"),
        ("own", FEATURES, "slot 'own' does not take 'features': slot 'historical' takes 'features'"),
        (HISTORICAL, Recipe("features", {"days": 3}), "features: has no options; got days"),
    ],
)
def test_only_its_place_takes_it(tmp_path: Path, slot: str, recipe: Recipe, words: str) -> None:
    with pytest.raises(InputError, match=words):
        live(tmp_path, refits=RefitPlan({slot: recipe}))


def test_withdrawn_beside_a_run_nothing_of_it_is_left(tmp_path: Path) -> None:
    with live(tmp_path) as run:
        finished(run)
        assert run.status().tables
        Deployment(tmp_path).append_control({"control": "withdraw", "slot": HISTORICAL})
        until(lambda: not run.status().tables)
    assert not [name for name in state(tmp_path) if name.startswith("items/nearline/historical/")]
