"""Settings changed, tried and undone while a run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtrec.declared import FEATURE_NAMES
from rtrec.engine.live import LiveRun
from rtrec.errors import InputError
from rtrec.evaluation.prequential import evaluate
from rtrec.models.snapshot import list_snapshots
from rtrec.settings import Settings
from tests.engine.live_runs import CATEGORIES, N_TESTED, N_WARM, TITLES, feed, finished, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


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


def test_a_fixed_or_unknown_setting_is_refused(undisturbed: LiveRun) -> None:
    with pytest.raises(InputError, match="'row_length' is fixed"):
        undisturbed.apply({"row_length": 50})
    with pytest.raises(InputError, match="did you mean 'ring_length'"):
        undisturbed.preview({"ring_lenght": 5})
