"""The live run in threads of this process: the same code as in processes, and quick to start."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.declared import FEATURE_NAMES
from rtrec.engine.live import LiveRun
from rtrec.engine.status import Phase
from rtrec.errors import CorruptionError, DeploymentError, InputError
from rtrec.evaluation.prequential import evaluate
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.blend import Blend
from rtrec.models.snapshot import latest_snapshot, list_snapshots
from rtrec.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
N_WARM, N_TESTED = 1000, 3000


def feed(**config: Any) -> SyntheticFeed:
    return SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=300, n_items=200, **config)))


#: Of the items that are there from the start; more are born later. Their words go with what they are.
TITLES = feed().stream.item_titles()
#: One item in five is in none.
CATEGORIES = {
    item: [f"group-{feed().stream.truth.item_group(item)}", f"shelf-{place % 5}"]
    for place, item in enumerate(TITLES)
    if place % 5
}


def start(home: Path, **options: Any) -> LiveRun:
    options = {"warmup": N_WARM, "limit": N_TESTED, "processes": False, "snapshot_every": 1500} | options
    options = {"titles": TITLES, "categories": CATEGORIES} | options
    return LiveRun.start(home, options.pop("feed", feed()), **options)


def finished(run: LiveRun) -> LiveRun:
    run.result(120)
    return run


def until(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def state(home: Path) -> dict[str, np.ndarray]:
    snapshot = latest_snapshot(home / "snapshots")
    assert snapshot is not None
    return snapshot.arrays()


def vocabulary_of(arrays: dict[str, np.ndarray], of: str = "items") -> dict[str, np.ndarray]:
    prefix = f"vocabulary/{of}/"
    return {name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    with start(tmp_path_factory.mktemp("undisturbed")) as run:
        yield finished(run)


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


def test_a_change_is_live_at_its_offset_and_can_be_undone(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        finished(run)
        change = run.apply({"ring_length": 20})
        # At once, before the next status: what is compared with must be what is live now.
        same = run.preview({"ring_length": 20}, n_events=500).result(60)
        assert same.difference("hit_rate").value == 0.0
        assert (change.live_from, change.previous) == (N_WARM + N_TESTED, {"ring_length": 10})
        until(lambda: run.status().settings.ring_length == 20)
        undone = run.undo(change.offset)
        assert undone.changes == {"ring_length": 10}
        until(lambda: run.status().settings.ring_length == 10)
    with start(tmp_path) as run:
        finished(run)
        assert [each.changes for each in run.changes()] == [{"ring_length": 20}, {"ring_length": 10}]


def test_a_feature_goes_and_comes_back_in_a_run(tmp_path: Path) -> None:
    """What a log and a snapshot write as lists is compared, shown and undone as settings have it."""
    with start(tmp_path, limit=N_TESTED) as run:
        finished(run)
        better = run.preview({"without": ["near_ring", "near_ring"]}, n_events=500).result(60)
        assert better.n_tested == 500
        blind = run.preview({"without": list(FEATURE_NAMES)}, n_events=500).result(60)
        assert blind.difference("hit_rate").high < 0.0  # candidates without scores come by their numbers
        change = run.apply({"without": "heat_now,near_ring"})
        assert (change.changes, change.previous) == ({"without": ("near_ring", "heat_now")}, {"without": ()})
        until(lambda: run.status().settings.without == ("near_ring", "heat_now"))
    with start(tmp_path, limit=N_TESTED) as run:
        finished(run)
        assert run.changes() == [change]
        same = run.preview({"without": ["heat_now", "near_ring"]}, n_events=500).result(60)
        assert same.difference("hit_rate").value == 0.0
        undone = run.undo(change.offset)
        assert undone.changes == {"without": ()}
        until(lambda: run.status().settings.without == ())


def test_undo_leaves_alone_what_a_later_change_has_set(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
        both = run.apply({"ring_length": 20, "learning_rate": 0.1})
        later = run.apply({"learning_rate": 0.2})
        assert run.undo(both.offset).changes == {"ring_length": 10}
        with pytest.raises(InputError, match="later changes have replaced all of it"):
            run.undo(both.offset)
        assert run.undo(later.offset).changes == {"learning_rate": 0.1}
        with pytest.raises(InputError, match="no change with offset 99; there are 0, 1, 2, 3"):
            run.undo(99)


def test_preview_compares_on_the_same_events_and_changes_nothing(undisturbed: LiveRun) -> None:
    before = undisturbed.summary()
    same = undisturbed.preview({"learning_rate": 0.05}, n_events=1000).result(60)
    assert same.n_tested == 1000
    assert same.difference("hit_rate").value == 0.0
    worse = undisturbed.preview({"use_transitions": False, "use_cooccurrence": False}, n_events=1000).result(
        60
    )
    assert worse.difference("hit_rate").high < 0.0
    assert undisturbed.summary()["hr@10"] == before["hr@10"]


def test_what_if_the_categories_had_no_say(undisturbed: LiveRun) -> None:
    change = undisturbed.preview({"use_category": False}, n_events=N_TESTED).result(60)
    table = feed().stream.events(N_WARM + N_TESTED)
    found = [
        evaluate(
            table,
            models="default",
            warmup=N_WARM / (N_WARM + N_TESTED),
            texts=TITLES,
            categories=CATEGORIES,
            settings=Settings(use_category=is_on),
        )["default"].hit_rate
        for is_on in (False, True)
    ]
    # A change holds from the first event replayed, so these two come to the same.
    assert change.difference("hit_rate").value == pytest.approx(found[0] - found[1])


def test_folders_beside_the_snapshots_are_none_and_left_alone(tmp_path: Path) -> None:
    snapshots = tmp_path / "snapshots"
    with start(tmp_path, limit=200) as run:
        finished(run)
    [only] = list_snapshots(snapshots)
    others = {f"{only.name}-copy", "99-later", "backup"}
    for name in others:
        shutil.copytree(only, snapshots / name)
    with start(tmp_path, snapshot_every=300) as run:  # some are deleted meanwhile, so the log is compacted
        assert finished(run).status().phase is Phase.FINISHED
    assert not only.exists()
    assert others < {path.name for path in snapshots.iterdir()}


def test_preview_passes_over_a_damaged_snapshot(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        finished(run)
        second_newest = list_snapshots(run.deployment.snapshots)[-2]
        array = second_newest / "items" / "total.npy"
        array.write_bytes(array.read_bytes()[:-1] + b"?")
        assert run.preview({"ring_length": 5}, n_events=1000).result(60).n_tested == 1000


def test_preview_leaves_out_what_only_warmed_up(tmp_path: Path) -> None:
    with start(tmp_path, limit=500, snapshot_every=100_000) as run:
        finished(run)
        assert run.preview({"ring_length": 5}, n_events=1200).result(60).n_tested == 500


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


def test_a_stranger_is_answered(undisturbed: LiveRun) -> None:
    answer = undisturbed.recommend("nobody yet")
    assert not answer.known
    assert answer.history == ()
    assert len(answer.items) == 10


def test_a_fixed_or_unknown_setting_is_refused(undisturbed: LiveRun) -> None:
    with pytest.raises(InputError, match="'row_length' is fixed"):
        undisturbed.apply({"row_length": 50})
    with pytest.raises(InputError, match="did you mean 'ring_length'"):
        undisturbed.preview({"ring_lenght": 5})


def test_a_second_run_on_the_same_home_is_refused(undisturbed: LiveRun) -> None:
    with pytest.raises(DeploymentError, match="another run is active"):
        start(undisturbed.deployment.home)


def test_another_number_of_shards_is_refused(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    with pytest.raises(DeploymentError, match="made with 1 shards, asked for 2"):
        start(tmp_path, shards=2)


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


def test_a_log_that_cannot_be_opened_lets_go_of_the_deployment(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    log = tmp_path / "log" / "events.sqlite"
    whole = log.read_bytes()
    log.write_bytes(b"no log" + whole[6:])
    with pytest.raises(CorruptionError), start(tmp_path, limit=10) as run:
        run.result(60)
    log.write_bytes(whole)
    with start(tmp_path, limit=20) as run:
        assert finished(run).summary()["tested"] == 20


def test_a_deployment_that_was_only_half_made_is_made_anew(tmp_path: Path) -> None:
    EmbeddedLog(tmp_path / "log" / "events.sqlite", partitions=3).close()  # and then the power went
    with start(tmp_path, limit=10) as run:
        assert finished(run).summary()["tested"] == 10


def test_looking_at_a_deployment_shows_its_titles_counts_and_last_users(tmp_path: Path) -> None:
    titles = feed().stream.item_titles()
    with start(tmp_path, limit=10, titles=titles) as run:
        users, counts = finished(run).recent_users(), run.summary()["counts"]
    with start(tmp_path, feed=None) as run:
        finished(run)
        assert run.recent_users() == users
        assert run.summary()["counts"] == counts
        assert run.recommend(users[0]).items[0].title in titles.values()


def test_a_log_without_its_manifest_is_refused(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    (tmp_path / "deployment.json").unlink()
    with pytest.raises(DeploymentError, match=r"a log with 1,010 events, but no deployment\.json"):
        start(tmp_path, limit=10)
    with start(tmp_path, limit=20, fresh=True) as run:
        assert finished(run).summary()["tested"] == 20


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda text: text.replace('"warmup_events": 1000', '"warmup_events": 7'),
            CorruptionError,
            "checksum",
        ),
        (lambda text: text[:-20], CorruptionError, "cannot be read"),
        (lambda _: "[1, 2]", DeploymentError, "expected format 5, got None"),
    ],
    ids=["edited", "cut", "a list"],
)
def test_a_manifest_that_is_not_what_was_written_is_refused(tmp_path: Path, spoil, error, words) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    manifest = tmp_path / "deployment.json"
    manifest.write_text(spoil(manifest.read_text()))
    with pytest.raises(error, match=words):
        start(tmp_path, limit=10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0}, "limit is a whole number from 1 on; got 0"),
        ({"batch_events": 0}, "batch_events is a whole number"),
        ({"shards": 1.5}, "shards is a whole number from 1 on; got 1.5"),
        ({"speed": -1.0}, "speed is above zero"),
        ({"speed": float("nan")}, "speed is above zero"),
        ({"warmup": -1}, "warmup is a share"),
        ({"warmup": float("nan")}, "warmup is a share"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_at_once(tmp_path: Path, options, words) -> None:
    with pytest.raises(InputError, match=words):
        start(tmp_path / "home", **options)
    assert not (tmp_path / "home" / "deployment.json").exists()


def test_what_is_no_feed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected a FileFeed"):
        start(tmp_path / "home", feed="events.csv")
    with pytest.raises(DeploymentError, match="no deployment here"):
        start(tmp_path / "home", feed=None)
    assert not (tmp_path / "home").exists()


def test_to_start_afresh_without_a_source_removes_nothing(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    with pytest.raises(InputError, match="say what to read"):
        start(tmp_path, feed=None, fresh=True)
    with start(tmp_path, feed=None) as run:
        assert finished(run).summary()["tested"] == 10


def test_categories_that_are_none_are_refused_and_nothing_is_removed(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    with pytest.raises(InputError, match="categories of item 'a': expected a name or several"):
        start(tmp_path, fresh=True, categories={"a": None})
    with start(tmp_path, feed=None) as run:
        assert finished(run).summary()["tested"] == 10


def test_a_feed_that_is_another_is_refused(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    with pytest.raises(DeploymentError, match="its n_items was 200, now 201"):
        start(tmp_path, feed=SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=300, n_items=201))))
