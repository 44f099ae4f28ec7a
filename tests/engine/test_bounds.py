"""Users and items that are forgotten in a live run: the same in every replay, and nothing left of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.engine.live import LiveRun
from rtrec.engine.refits import RefitPlan
from rtrec.errors import InputError
from rtrec.evaluation.prequential import evaluate
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.snapshot import list_snapshots
from rtrec.settings import Settings
from tests.engine.live_runs import (
    CATEGORIES,
    N_TESTED,
    N_WARM,
    TITLES,
    assert_same,
    feed,
    finished,
    start,
    state,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
#: The stream has 300 users, and 200 items with more to come.
FEW = Settings(most_users=120, most_items=100)
SOME = dict(list(CATEGORIES.items())[:60])
REFITS = RefitPlan({"history": Recipe("ease", {"ridge": 20.0})}, every=700, wait=True)


def live(home: Path, **options: Any) -> LiveRun:
    return start(home, **{"settings": FEW, "titles": None, "categories": SOME} | options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory):
    with live(tmp_path_factory.mktemp("undisturbed")) as run:
        yield finished(run)


def test_run_finds_what_evaluate_finds_and_holds_no_more_than_it_may(undisturbed: LiveRun) -> None:
    table = feed().stream.events(N_WARM + N_TESTED)
    warmup = N_WARM / (N_WARM + N_TESTED)
    few, all_of_them = (
        evaluate(table, models=["default"], warmup=warmup, settings=each, categories=SOME)["default"]
        for each in (FEW, Settings())
    )
    summary = undisturbed.summary()
    assert summary["hr@10"] == few.hit_rate != all_of_them.hit_rate
    assert summary["ndcg@10"] == few.ndcg
    assert few.hit_rate > 0.5 * all_of_them.hit_rate  # a third of the users, half of the items
    arrays = state(undisturbed.deployment.home)
    assert len(arrays["items/total"]) == 100
    assert len(arrays["shard0/users/n_events"]) == len(arrays["items/last_visit"]) == 120
    assert summary["users"] <= 120
    assert summary["items"] <= 100
    assert summary["forgotten"] > 200


def test_nothing_mentions_an_item_that_nobody_is(undisturbed: LiveRun) -> None:
    arrays = state(undisturbed.deployment.home)
    free = arrays["vocabulary/items/free"]
    assert len(free) > 0
    assert not arrays["items/total"][free].any()
    assert (arrays["items/nearline/categories/number"][free[free < len(SOME)]] == -1).all()
    assert (arrays["shard0/users/category"][arrays["vocabulary/users0/free"]] == -1).all()
    for name in ("near", "next"):
        size = arrays[f"items/{name}_size"]
        filled = np.arange(arrays[f"items/{name}_item"].shape[1]) < size[:, None]
        assert not np.isin(arrays[f"items/{name}_item"][filled], free).any()
    for name in ("items/trails/before", "items/trails/after", "items/last_item", "shard0/users/ring"):
        assert not np.isin(arrays[name], free).any(), name
    pairs = arrays["shard0/users/pair"]
    assert not np.isin(pairs[pairs >= 0] & 0xFFFFFFFF, free).any()
    assert not np.isin(pairs[pairs >= 0] >> 32, arrays["vocabulary/users0/free"]).any()


def test_everybody_who_is_known_is_answered_by_names(undisturbed: LiveRun) -> None:
    answered = [undisturbed.recommend(user) for user in undisturbed.recent_users(50)]
    assert all(len(each.items) == 10 for each in answered)
    assert all(item.item_id for each in answered for item in each.items)


def test_stopped_and_started_again_ends_as_if_undisturbed(tmp_path: Path, undisturbed: LiveRun) -> None:
    for limit, batch_events in ((250, 170), (1601, 90)):
        with live(tmp_path, limit=limit, batch_events=batch_events) as run:
            finished(run)
    with live(tmp_path) as run:
        assert finished(run).summary()["models"] == undisturbed.summary()["models"]
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


@pytest.mark.parametrize("shards", [1, 2])
def test_replays_come_to_the_same_state_with_tables_that_are_older_than_some_items(
    tmp_path: Path, shards: int
) -> None:
    with live(tmp_path, refits=REFITS, shards=shards, batch_events=60, snapshot_every=1500) as run:
        expected = finished(run).summary()
        hit_rate = (
            run.preview({"learning_rate": 0.05}, n_events=N_WARM + N_TESTED).result(60).totals.hit_rate()
        )
    assert hit_rate.tolist() == [expected["hr@10"]] * 2
    assert expected["forgotten"] > 100
    before = state(tmp_path)
    table = {name: before[f"items/nearline/history/{name}"] for name in ("item", "size")}
    filled = np.arange(table["item"].shape[1]) < table["size"][:, None]
    assert filled.any()
    assert not np.isin(table["item"][filled], before["vocabulary/items/free"]).any()
    for n_left in (2, 1, 0):
        for newer in list_snapshots(tmp_path / "snapshots")[n_left:]:
            shutil.rmtree(newer)
        with live(tmp_path, shards=shards) as again:
            summary = finished(again).summary()
        assert_same(before, state(tmp_path))
        assert [summary[name] for name in ("events", "models", "tables", "forgotten")] == [
            expected[name] for name in ("events", "models", "tables", "forgotten")
        ]


def test_a_model_is_fitted_anew_once_numbers_mean_others(tmp_path: Path) -> None:
    from rtrec.models.table_store import TableStore

    with live(tmp_path, refits=REFITS) as run:
        finished(run)
    store = TableStore(tmp_path)
    said = [store.find("history", path.name).about for path in store.versions("history")]
    assert {each["how"] for each in said} == {"fitted"}  # somebody was forgotten between any two of them
    assert [each["n_learned"] < each["n_events"] for each in said] == [True] * len(said)


def test_more_titles_than_items_may_be_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"200 items are known .* 'most_items' is 100; raise it"):
        live(tmp_path, titles=TITLES).result(60)
