"""Tuning: what it must find, what it must not see, what it saves, and how it ends early."""

from __future__ import annotations

import json
import os
import signal
import threading

import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

import rtrec
from rtrec.errors import InputError
from rtrec.jobs.tuning import replay
from rtrec.jobs.tuning.replay import replay_rung, rung_ends
from rtrec.jobs.tuning.result import Tuning
from rtrec.jobs.tuning.trials import COMPLETE, FAILED, PRUNED, Trial, best_of, in_order
from rtrec.models.blend import Blend
from rtrec.settings import Settings, load_settings
from tests.jobs.tuning.planted import SLOW, hourly_log

SPACE = "half_life_short_h=0.1:5000,ring_length"


@pytest.fixture(scope="module")
def log():
    return hourly_log()


@pytest.fixture
def tuned(client, log):
    """Return a function that tunes on the planted log, one trial at a time."""

    def run(data=log, **changed) -> Tuning:
        options = {"space": SPACE, "settings": SLOW, "metric": "hr@5", "trials": 12, "workers": 1}
        return rtrec.tune(data, scheduler=client.scheduler.address, **(options | changed))

    return run


class Watched(Blend):
    """The recommender, with an eye on what it is fed."""

    lock = threading.Lock()
    n_events = 0
    last = 0.0

    def step(self, events, **options):
        with Watched.lock:
            Watched.n_events += events.n_events
            Watched.last = max(Watched.last, float(events.timestamp.max()))
        return super().step(events, **options)


@pytest.fixture
def watched(monkeypatch):
    Watched.n_events, Watched.last = 0, 0.0
    monkeypatch.setattr(replay, "Blend", Watched)
    return Watched


def test_what_matters_is_found_and_holds_on_the_events_held_out(tuned):
    found = tuned()
    # An hour has 5 items. With a half-life of an hour or so they lead the list; with thousands of hours all
    # that was ever wanted is as popular as they are, and 10 candidates of up to 200 are a lottery.
    assert found.best.half_life_short_h < 10.0
    assert found.comparison.n_tested == round(1280 * 0.25)
    gap = found.comparison.difference("hit_rate")
    assert gap.low > 0.2
    assert found.is_clear
    assert found.sentence().startswith("The gain holds on events that the search never saw.")
    assert max(found.importances, key=found.importances.get) == "half_life_short_h"
    assert sum(found.importances.values()) == pytest.approx(1.0)


def test_settings_as_good_as_they_get_are_not_called_worse(tuned):
    found = tuned(settings=SLOW.changed(half_life_short_h=1.0), space="ring_length", trials=4)
    # Nobody comes twice, so no ring has anything in it: all trials are alike.
    assert [each.gain(found.trials[0]) for each in found.trials] == [0.0] * 4
    assert found.best == found.start
    assert found.comparison is None
    assert not found.is_clear
    assert "None of 4 trials did better" in found.sentence()


def test_a_complete_trial_has_the_figures_of_an_evaluation(tuned, log):
    found = tuned(trials=2, pruner="none", metric="ndcg@5")
    # 1,600 events: 320 warm up, the last 320 of the other 1,280 are held out.
    for trial in found.trials:
        settings = SLOW.changed(**trial.values)
        alone = rtrec.evaluate(log[:1280], models="default", settings=settings, warmup=0.25, k=5)["default"]
        assert trial.by_rung[-1] == alone.ndcg
        assert trial.n_replayed == 1280
    whole = rtrec.evaluate(log, models="default", settings=SLOW, k=5)["default"]
    if found.comparison is not None:
        assert found.held_out()[1] == pytest.approx(
            np.mean([1 / np.log2(1 + rank) if rank else 0.0 for rank in whole.ranks[-320:].tolist()])
        )


def test_pruned_trials_replay_no_further(tuned, watched):
    found = tuned()
    ends = rung_ends(320, np.ones(1280, bool), 4)
    assert ends == [440, 560, 800, 1280]
    pruned = [each for each in found.trials if each.state == PRUNED]
    assert pruned
    for trial in found.trials:
        assert trial.n_replayed == ends[len(trial.by_rung) - 1]
    assert all(len(each.by_rung) < 4 for each in pruned)
    assert watched.n_events == sum(each.n_replayed for each in found.trials) < 12 * 1280


def test_without_pruning_all_replay_all(tuned, watched):
    found = tuned(trials=3, pruner="none")
    assert watched.n_events == 3 * 1280
    assert [each.state for each in found.trials] == [COMPLETE] * 3


def test_the_search_sees_no_event_that_is_held_out(tuned, watched, log):
    found = tuned(trials=6)
    assert watched.last == log["timestamp"][1279]
    other = log.copy()
    other.loc[1280:, "item_id"] = "something else"
    again = tuned(other, trials=6)
    assert same(again) == same(found)


def same(tuning: Tuning) -> list:
    """Return all of the trials but how long they took."""
    return [each.as_json() | {"seconds": 0} for each in tuning.trials]


def test_one_at_a_time_the_same_seed_makes_the_same_search(tuned):
    first, second, other = tuned(trials=5), tuned(trials=5), tuned(trials=5, seed=1)
    assert same(first) == same(second) != same(other)


def test_several_at_a_time_have_the_figures_of_each_alone(tuned, log):
    found = tuned(trials=5, workers=2)
    assert len(found.trials) == 5
    for trial in (each for each in found.trials if each.state == COMPLETE):
        settings = SLOW.changed(**trial.values)
        alone = rtrec.evaluate(log[:1280], models="default", settings=settings, warmup=0.25, k=5)["default"]
        assert trial.value == alone.hit_rate


def test_texts_and_categories_are_published_and_rungs_carry_them_on(tuned, log):
    texts = {item: f"of {item.split('-')[0]}" for item in log["item_id"].unique()}
    known = {"texts": texts, "categories": {item: name.split() for item, name in texts.items()}}
    found = tuned(trials=2, pruner="none", **known)
    settings = SLOW.changed(**found.trials[1].values)
    alone = rtrec.evaluate(log[:1280], models="default", settings=settings, warmup=0.25, k=5, **known)
    assert found.trials[1].value == alone["default"].hit_rate


def test_trials_know_no_more_users_and_items_than_a_run_may(tuned, log):
    few = SLOW.changed(most_users=100)
    texts = {f"h{hour}-0": f"hour {hour}" for hour in range(20)}  # they have numbers before the first event
    found = tuned(settings=few, space="most_items=100:120", trials=3, pruner="none", texts=texts)
    for trial in found.trials[1:]:
        settings = few.changed(**trial.values)
        alone, roomy = (
            rtrec.evaluate(log[:1280], models="default", settings=each, warmup=0.25, k=5, texts=texts)
            for each in (settings, SLOW)
        )
        assert trial.value == alone["default"].hit_rate != roomy["default"].hit_rate


def test_a_trial_that_fails_is_recorded_and_the_others_go_on(tuned, monkeypatch):
    class Broken(Blend):
        def step(self, events, **options):
            if self.settings.ring_length > 16:
                raise FloatingPointError(f"ring of {self.settings.ring_length}")
            return super().step(events, **options)

    monkeypatch.setattr(replay, "Blend", Broken)
    found = tuned()
    failed = [each for each in found.trials if each.state == FAILED]
    assert failed
    for trial in failed:
        assert trial.reason == f"FloatingPointError: ring of {trial.values['ring_length']}"
    assert {each.state for each in found.trials} >= {COMPLETE, FAILED}
    assert found.best.ring_length <= 16
    assert found.as_json()["failed"] == len(failed)


def test_settings_outside_the_space_are_tried_first_and_never_proposed(tuned):
    found = tuned(space="half_life_short_h=0.5:2", trials=4)
    assert found.trials[0].values == {"half_life_short_h": 5000.0}
    assert all(0.5 <= each.values["half_life_short_h"] <= 2.0 for each in found.trials[1:])
    assert found.best.half_life_short_h <= 2.0


def stop_after(n_trials: int):
    def progress(what: str, done: int, total: int) -> None:
        if done == n_trials:
            raise KeyboardInterrupt

    return progress


def test_ctrl_c_keeps_what_was_found_and_a_later_run_goes_on(tuned, tmp_path):
    found = tuned(out=tmp_path, progress=stop_after(3))
    assert found.interrupted
    assert found.comparison is None
    assert [each.number for each in found.trials if each.state in (COMPLETE, PRUNED)] == [0, 1, 2]
    assert "Not confirmed" in found.sentence() or not found.changes
    stored = json.loads((tmp_path / "trials.json").read_text())
    assert len(stored["trials"]) == len(found.trials)

    later = tuned(out=tmp_path, resume=True, trials=6)
    assert not later.interrupted
    assert len(later.trials) == 6
    assert same(later)[:3] == same(found)[:3]
    assert all(each.state in (COMPLETE, PRUNED) for each in later.trials)


def test_ctrl_c_before_the_first_trial_ended_is_passed_on(tuned, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tuned(out=tmp_path, progress=stop_after(0))
    assert not (tmp_path / "best.yaml").exists()


def test_a_search_in_which_all_failed_chooses_nothing_and_can_be_read(tuned, monkeypatch, tmp_path):
    def broken(*_, **__):
        raise ValueError("no")

    monkeypatch.setattr(Watched, "step", broken)
    monkeypatch.setattr(replay, "Blend", Watched)
    found = tuned(out=tmp_path, trials=3)
    assert found.best == found.start
    assert "No trial was complete" in found.sentence()
    assert found.as_json()["search_best"] is None
    assert found.as_json()["search_as_it_was"] is None
    assert "ValueError: no" in (tmp_path / "tuning.html").read_text()


def test_trials_of_another_search_are_not_gone_on_with(tuned, tmp_path):
    tuned(out=tmp_path, trials=2)
    with pytest.raises(InputError, match="trials of another search: metric was hr@5, now it is hr@10"):
        tuned(out=tmp_path, trials=3, metric="hr@10", resume=True)


TRIAL = Trial(0, {"half_life_short_h": 1.0, "ring_length": 9}, COMPLETE, [0.25], 440, 0.5).as_json()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"search": {"data": "x"', "all of it: Invalid JSON: EOF while parsing"),
        (b"\x00\xff", "all of it: Invalid JSON"),
        ([], "all of it: Input should be an object; got '[]'"),
        ({}, "search: Field required"),
        ({"trials": "none"}, "trials: Input should be a valid array; got 'none'"),
        ({"trials": [TRIAL, 7]}, "trials.1: Input should be an object; got '7'"),
        ({"trials": [TRIAL | {"state": "done"}]}, "trials.0.state: String should match pattern '^(complete|"),
        ({"trials": [TRIAL | {"by_rung": ["high"]}]}, "trials.0.by_rung.0: Input should be a valid number"),
        ({"trials": [TRIAL | {"by_rung": []}]}, "trials.0: expected figures of a trial that is complete"),
        ({"trials": [TRIAL | {"values": {"ring_length": 9}}]}, "trials.0: expected a value of each of"),
    ],
)
def test_damaged_trials_are_named_with_what_was_expected_and_what_to_do(tuned, tmp_path, content, said):
    if isinstance(content, dict) and content:
        content = {"search": {"space": dict.fromkeys(TRIAL["values"], "a range")}} | content
    path = tmp_path / "trials.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    before = path.read_bytes()
    with pytest.raises(InputError) as raised:
        tuned(out=tmp_path, trials=3, resume=True)
    assert str(raised.value).startswith(f"{path}: cannot be read as the trials of a search: {said}")
    assert str(raised.value).endswith(
        "; restore the file from a copy, or leave out --resume and search from the start"
    )
    assert path.read_bytes() == before


def test_what_is_saved_can_be_used(tuned, tmp_path):
    found = tuned(out=tmp_path)
    settings = load_settings(tmp_path / "best.yaml")
    assert settings == found.best
    stored = json.loads((tmp_path / "trials.json").read_text())
    assert [each["values"] for each in stored["trials"]] == [each.values for each in found.trials]
    page = (tmp_path / "tuning.html").read_text()
    for anchor in ("trials", "held-out", "best", "settings", "importances", "again"):
        assert f'<section id="{anchor}"' in page
    assert "http" not in page.split("</script>")[-1]
    assert "default-src 'none'" in page


def test_a_name_from_outside_is_escaped_and_stays_a_comment(tuned, tmp_path):
    file = tmp_path / "<b>x\ny.csv"
    hourly_log(4).to_csv(file, index=False)
    found = tuned(file, trials=2, out=tmp_path / "out")
    assert "<b>x" not in (tmp_path / "out" / "tuning.html").read_text()
    assert load_settings(tmp_path / "out" / "best.yaml") == found.best


def test_the_summary_in_a_notebook_and_as_frame(tuned):
    found = tuned(trials=4)
    assert repr(found).startswith("Tuning(4 trials, hr@5: ")
    frame = found.to_frame()
    assert list(frame.index) == [0, 1, 2, 3]
    assert {"half_life_short_h", "state", "hr@5", "gain", "events"} <= set(frame.columns)
    assert frame["gain"][0] == 0.0
    assert "The best of 4 trials" in found._repr_html_()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metric": "ndgc@10"}, "metric 'ndgc@10'; did you mean 'ndcg@10'?"),
        ({"metric": "ndcg"}, "metric 'ndcg'"),
        ({"metric": "hr@0"}, "metric 'hr@0'"),
        ({"trials": 1}, "trials are at least 2"),
        ({"holdout": 0.0}, "holdout one between 0 and 1"),
        ({"holdout": 1.0}, "holdout one between 0 and 1"),
        ({"warmup": 1.0}, "warmup is a share"),
        ({"workers": 0}, "workers at least 1"),
        ({"limit": 12}, "(dislikes are only learned); got 9 and 3"),
        ({"seed": -1}, "seed is a whole number from 0 to 4,294,967,295; got -1"),
        ({"pruner": "median"}, "pruner 'median': expected one of halving, none"),
        ({"resume": True}, "say which: out="),
        ({"space": "ring_lenght"}, "did you mean 'ring_length'?"),
    ],
)
def test_what_cannot_be_is_said_at_once(tuned, changed, message):
    with pytest.raises(InputError) as raised:
        tuned(**changed)
    assert message in str(raised.value)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_killed_worker_costs_the_trials_on_it_and_no_more(log):
    pids: list[int] = []
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def kill_once(what: str, done: int, total: int) -> None:
            if done == 1 and not pids:
                pids.extend(client.run(os.getpid).values())
                os.kill(pids[0], signal.SIGKILL)

        found = rtrec.tune(
            log, space=SPACE, settings=SLOW, metric="hr@5", trials=5, workers=1,
            scheduler=client.scheduler.address, progress=kill_once,
        )  # fmt: skip
    states = [each.state for each in found.trials]
    assert len(states) == 5
    assert states.count(FAILED) <= 1
    assert all(each.reason for each in found.trials if each.state == FAILED)
    assert states[-1] in (COMPLETE, PRUNED)


def test_few_events_have_fewer_rungs():
    assert rung_ends(0, np.ones(8, bool), 4) == [1, 2, 4, 8]
    assert rung_ends(5, np.ones(6, bool), 4) == [6]


def test_a_rung_of_dislikes_alone_says_nothing_and_is_left_out():
    is_tested = np.array([True, True, False, False, False, False, False, True, True, True])
    assert rung_ends(2, is_tested, 4) == [10]  # to 3, 4 and 6 there would be dislikes only


def test_a_trial_that_begins_among_dislikes_has_figures_all_the_way(tuned, log, tmp_path):
    kinds = np.where(np.arange(len(log)) < 500, "dislike", "view")  # the first 180 events behind the warm-up
    found = tuned(log.assign(kind=kinds), kind="kind", trials=2, out=tmp_path)
    assert all(np.isfinite(each.by_rung).all() for each in found.trials)
    assert json.loads((tmp_path / "trials.json").read_text())["trials"][0]["by_rung"]


def test_a_log_of_dislikes_has_nothing_to_tune_by(tuned, log):
    with pytest.raises(InputError, match=r"at least 10 events .*\(dislikes are only learned\); got 0 and 0"):
        tuned(log.assign(kind="dislike"), kind="kind")


def test_a_rung_made_again_is_the_same_and_leaves_the_one_below_as_it_was(events):
    from rtrec.events.numbering import number_events
    from rtrec.events.vocabulary import Vocabulary

    part = replay.SearchPart(number_events(events, Vocabulary(), Vocabulary()), 300, {})
    below = replay_rung(None, part, Settings(), 700, False)
    before = {name: array.copy() for name, array in below.state.items()}
    first, again = (replay_rung(below, part, Settings(), 1500, True) for _ in range(2))
    assert first.counts.tolist() == again.counts.tolist()
    for name in before:
        np.testing.assert_array_equal(before[name], below.state[name], err_msg=name)
    at_once = replay_rung(None, part, Settings(), 1500, True)
    assert at_once.counts.tolist() == first.counts.tolist()


def test_trials_are_held_against_the_first_over_the_same_events():
    start = Trial(0, {}, COMPLETE, [0.3, 0.2])
    early, late = Trial(1, {}, PRUNED, [0.25]), Trial(2, {}, COMPLETE, [0.3, 0.3])
    failed = Trial(3, {}, FAILED, reason="no")
    assert early.gain(start) == pytest.approx(0.25 - 0.3)
    assert late.gain(start) == pytest.approx(0.3 - 0.2)
    assert best_of([start, early, late, failed]) is late
    assert [each.number for each in in_order([start, early, late, failed], start)] == [2, 0, 1, 3]
    assert best_of([failed]) is None
