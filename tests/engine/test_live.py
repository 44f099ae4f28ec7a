"""The live run in threads of this process: what it finds, how it goes on, what it answers."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.engine.live import LiveRun
from rtrec.engine.status import Phase
from rtrec.errors import InputError
from rtrec.evaluation.prequential import evaluate
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.blend import Blend
from rtrec.models.snapshot import list_snapshots
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
    until,
    vocabulary_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_run_finds_what_evaluate_finds(undisturbed: LiveRun) -> None:
    table = feed().stream.events(N_WARM + N_TESTED)
    warmup = N_WARM / (N_WARM + N_TESTED)
    known = {"texts": TITLES, "categories": CATEGORIES}
    evaluation = evaluate(table, models=["default", "transitions"], warmup=warmup, **known)
    summary = undisturbed.summary()
    assert summary["tested"] == evaluation["default"].events == N_TESTED
    assert summary["hr@10"] == evaluation["default"].hit_rate
    assert summary["ndcg@10"] == evaluation["default"].ndcg
    assert summary["coverage@10"] == evaluation["default"].coverage
    assert summary["models"]["transitions"]["hr@10"] == evaluation["transitions"].hit_rate
    assert summary["items"] == evaluation.data["items"] > 200
    for less in ({}, {"texts": TITLES}, {"categories": CATEGORIES}):
        assert evaluate(table, models="default", warmup=warmup, **less)["default"].ndcg != summary["ndcg@10"]


def test_while_kernels_are_compiled_a_run_says_so_and_is_not_stuck(tmp_path: Path, monkeypatch) -> None:
    compiled = threading.Event()
    monkeypatch.setattr(Blend, "compile", lambda _: compiled.wait(60))
    with start(tmp_path, limit=10) as run:
        until(lambda: "kernels" in run.status().message)
        assert run.status().phase is Phase.STARTING
        compiled.set()
        assert finished(run).status().phase is Phase.FINISHED


def test_titles_and_categories_that_come_later_teach_nothing(tmp_path: Path, undisturbed: LiveRun) -> None:
    with start(tmp_path, limit=700) as first:
        finished(first)
    shutil.rmtree(tmp_path / "snapshots")  # so the second run begins where the deployment did
    same = dict.fromkeys(TITLES, "the same for all")
    with start(tmp_path, titles=same, categories=same) as second:
        finished(second)
        assert second.summary()["hr@10"] == undisturbed.summary()["hr@10"]
        shown = second.recommend(second.recent_users(1)[0]).items[0]
        assert shown.title in ("the same for all", shown.item_id)


def test_stopped_and_started_again_ends_as_if_undisturbed(tmp_path: Path, undisturbed: LiveRun) -> None:
    with start(tmp_path, limit=700, batch_events=170) as first:
        finished(first)
    with start(tmp_path, batch_events=90) as second:
        finished(second)
        assert second.summary()["hr@10"] == undisturbed.summary()["hr@10"]
    undisturbed_arrays, arrays = state(undisturbed.deployment.home), state(tmp_path)
    assert_same(undisturbed_arrays, arrays)


def test_two_shards_agree_on_the_same_item_counts_as_one(tmp_path: Path, undisturbed: LiveRun) -> None:
    with start(tmp_path, shards=2) as run:
        finished(run)
    one, two = state(undisturbed.deployment.home), state(tmp_path)
    ids = [
        Vocabulary.from_arrays(vocabulary_of(each)).ids(range(len(each["items/total"])))
        for each in (one, two)
    ]
    for name in ("items/total", "items/first_time", "items/last_time"):
        by_id = [
            dict(zip(names, each[name].tolist(), strict=True))
            for names, each in zip(ids, (one, two), strict=True)
        ]
        assert by_id[0] == by_id[1], name
    assert len(two["shard0/users/n_events"]) + len(two["shard1/users/n_events"]) == len(
        one["shard0/users/n_events"]
    )
    assert tastes_of(one, 1) == tastes_of(two, 2)


def tastes_of(arrays: dict[str, np.ndarray], n_shards: int) -> dict[str, tuple[list[int], list[Any]]]:
    """Return the categories each user takes, and their counts, by user id."""
    found = {}
    for shard in range(n_shards):
        numbers, counts = (arrays[f"shard{shard}/users/{name}"] for name in ("category", "category_count"))
        users = Vocabulary.from_arrays(vocabulary_of(arrays, f"users{shard}")).ids(range(len(numbers)))
        rows = zip(users, numbers.tolist(), counts.tolist(), strict=True)
        found |= {user: (own, taken) for user, own, taken in rows}
    return found


def test_two_shards_come_back_to_the_same_state_from_an_older_snapshot(tmp_path: Path) -> None:
    """Share the shards' arrays under the same names, and each comes back as the other."""
    with start(tmp_path, shards=2, batch_events=200) as run:
        expected = finished(run).summary()
    before = state(tmp_path)
    for newest in list_snapshots(tmp_path / "snapshots")[-2:]:
        shutil.rmtree(newest)
    with start(tmp_path, shards=2) as again:
        summary = finished(again).summary()
    assert_same(before, state(tmp_path))
    assert [summary[name] for name in ("events", "hr@10", "models")] == [
        expected[name] for name in ("events", "hr@10", "models")
    ]


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_a_list_without_places_is_refused(undisturbed: LiveRun, k: int) -> None:
    with pytest.raises(InputError, match=f"1 to 1,000 places; got k={k}"):
        undisturbed.recommend("user-00001", k=k)


def test_recommendation_has_reasons_that_sum_to_the_score(undisturbed: LiveRun) -> None:
    user = undisturbed.recent_users()[0]
    answer = undisturbed.recommend(user, k=5)
    assert answer.known
    assert len(answer.items) == 5
    assert not {item for item, _ in answer.history} & {each.item_id for each in answer.items}
    for each in answer.items:
        assert sum(reason.part for reason in each.reasons) == pytest.approx(each.score)
        assert "is in a category this user took these days" in {each.sentence for each in each.reasons}
        for reason in each.reasons:
            own = {
                title for _, title in (answer.history[:1] if "_last" in reason.feature else answer.history)
            }
            assert set(reason.because_of) <= own


def test_a_user_who_was_not_seen_lately_is_found_by_a_part_of_the_id(undisturbed: LiveRun) -> None:
    first_of_all = undisturbed._session._driver.ledger.numbering.users[0].id_of(0)
    assert undisturbed.find_users(first_of_all.upper())[0] == first_of_all
    assert first_of_all in undisturbed.find_users(first_of_all[:-1])
    assert undisturbed.find_users("nobody of this name") == []
    assert len(undisturbed.find_users("user", limit=3)) == 3


def test_the_last_snapshot_is_said_with_its_place(undisturbed: LiveRun) -> None:
    status = undisturbed.status()
    assert status.snapshot
    assert status.snapshot_events == N_WARM + N_TESTED  # taken at the end


def test_a_stranger_is_answered(undisturbed: LiveRun) -> None:
    answer = undisturbed.recommend("nobody yet")
    assert not answer.known
    assert answer.history == ()
    assert len(answer.items) == 10


def test_drift_of_the_stream_raises_an_alarm(tmp_path: Path) -> None:
    with start(tmp_path, feed=feed(drift_at=8000), limit=11_000) as run:
        finished(run)
        alarms = [each for each in run.status().alarms if each.kind == "accuracy"]
    assert any(8000 <= each.offset < 11_000 for each in alarms)
    with start(tmp_path, feed=feed(drift_at=8000), limit=11_000) as again:
        finished(again)
        assert [each for each in again.status().alarms if each.kind == "accuracy"] == alarms


def test_a_failing_feed_fails_the_run_with_its_error(tmp_path: Path) -> None:
    class Failing(SyntheticFeed):
        def start(self, position: int, **options: Any) -> Iterator[Any]:
            yield next(super().start(position, **options))
            raise InputError("the source went away")

    run = start(tmp_path, feed=Failing(SyntheticStream(SyntheticConfig(n_users=300, n_items=200))))
    until(lambda: run.error is not None)
    with pytest.raises(InputError, match="the source went away"):
        run.result()
    assert run.status().phase is Phase.FAILED
    assert run.summary()["events"] == 500  # what was accepted before is learned, and still said
