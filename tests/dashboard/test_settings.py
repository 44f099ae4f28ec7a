"""Turn a knob, replay, apply, undo: without a browser."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from rtrec.dashboard.session import Session
from rtrec.dashboard.store import RunStore
from rtrec.dashboard.views.changes import N_CHANGES, change_markup
from rtrec.dashboard.views.knobs import Knob
from rtrec.dashboard.views.settings import SettingsView
from rtrec.dashboard.views.whatif import averaging, differences, picture, verdict
from rtrec.declared import FEATURE_NAMES
from rtrec.settings import Settings, declarations
from tests.dashboard.scripted_run import ScriptedRun


@pytest.fixture
def view(session):
    return SettingsView(session)


def knob(name: str, heard: list[str] | None = None) -> Knob:
    declared = next(each for each in declarations() if each.name == name)
    heard = [] if heard is None else heard
    return Knob(declared, declared.default, lambda: heard.append(name))


def test_every_live_setting_has_a_knob_and_no_other(view):
    assert set(view._knobs) == {each.name for each in declarations() if each.live}
    fixed = {each.name for each in declarations() if not each.live}
    assert fixed
    assert fixed.isdisjoint(view._knobs)
    assert fixed | set(view._knobs) == set(Settings.model_fields)


def test_every_knob_shows_its_sentence(view):
    for each in view._knobs.values():
        assert each.declaration.sentence.split("'")[0].split(";")[0] in each._text.markup


def test_a_slider_moves_the_field_and_tells_once():
    heard: list[str] = []
    turned = knob("ring_length", heard)
    slider, field = turned._controls
    slider.value = 20
    assert (turned.value, field.value, heard) == (20, "20", ["ring_length"])
    assert turned.is_changed
    assert turned.panel.css_classes == ["changed"]
    assert "live: 10" in turned._unit.markup


def test_a_field_moves_the_slider():
    turned = knob("ring_length")
    slider, field = turned._controls
    field.value = "7"
    assert (turned.value, slider.value) == (7, 7)


def test_a_value_out_of_bounds_is_refused_in_place():
    turned = knob("ring_length")
    field = turned._controls[1]
    field.value = "99"
    assert turned.value == 10
    assert field.error_state
    assert "from 1 to 32" in turned._unit.markup
    turned.reset()
    assert not field.error_state
    assert field.value == "10"


@pytest.mark.parametrize("refused", ["99", "seven", "7.5", "nan"])
def test_the_value_it_had_ends_a_refusal(refused):
    turned = knob("ring_length")
    field = turned._controls[1]
    field.value = refused
    assert field.error_state
    field.value = "10"
    assert not field.error_state
    assert "refused" not in turned._unit.markup
    field.value = "12"
    assert turned.value == 12


def test_an_emptied_field_goes_back():
    turned = knob("ring_length")
    turned._controls[1].value = ""
    assert turned._controls[1].value == "10"
    assert not turned.is_changed


def test_a_wide_range_has_round_steps_but_takes_any_value():
    turned = knob("half_life_short_h")
    slider, field = turned._controls
    assert turned._steps[slider.value] == 24.0
    slider.value = slider.value + 1
    assert turned.value == 50.0
    assert "hours (2.1 days)" in turned._unit.markup
    field.value = "36.5"
    assert turned.value == 36.5


def test_a_switch_says_on_and_off():
    turned = knob("use_trending")
    assert ">on<" in turned._unit.markup
    turned._controls[0].value = False
    assert turned.value is False
    assert ">off<" in turned._unit.markup


def test_features_to_leave_out_are_chosen_from_a_list_by_what_they_say():
    heard: list[str] = []
    turned = knob("without", heard)
    (chosen,) = turned._controls
    assert list(chosen.options.values()) == list(FEATURE_NAMES)
    assert "heat_now: is popular this very hour" in chosen.options
    chosen.value = ["heat_now", "near_ring"]
    assert turned.value == ("near_ring", "heat_now")  # as declared, in whatever order they were chosen
    assert heard == ["without"]
    assert turned.is_changed
    assert f"2 of {len(FEATURE_NAMES)}" in turned._unit.markup
    assert "live: none" in turned._unit.markup
    turned.follow(("near_ring", "heat_now"))
    assert not turned.is_changed
    turned.follow(("count",))
    assert chosen.value == ["count"]


def test_leaving_features_out_is_replayed_applied_and_undone(view, session, scripted_run, until):
    view._knobs["without"]._controls[0].value = ["heat_now"]
    assert view.trial.edits() == {"without": ("heat_now",)}
    assert "Features left out" in view.trial.edits_shown.markup
    assert "heat_now" in view.trial.edits_shown.markup
    view.trial.replay.clicks += 1
    until(lambda: view.trial.result_card.visible)
    assert scripted_run.previewed == [{"without": ("heat_now",)}]
    view.trial.apply.clicks += 1
    until(lambda: scripted_run.settings.without == ("heat_now",) and not view.trial.edits())
    view.refresh(session.store.read())
    undo = view.changes.rows[0][1]
    undo.clicks += 1
    until(lambda: scripted_run.settings.without == () and view._knobs["without"].value == ())
    view.refresh(session.store.read())
    assert "heat_now" in view.changes.rows[0][0].markup
    assert view._knobs["without"]._controls[0].value == []


def test_an_untouched_knob_follows_the_run_and_a_touched_one_stays():
    follows, stays = knob("ring_length"), knob("ring_length")
    stays._controls[0].value = 20
    for each in (follows, stays):
        each.follow(15)
    assert (follows.value, stays.value) == (15, 20)
    assert not follows.is_changed
    stays.follow(20)
    assert not stays.is_changed


def test_nothing_can_be_done_before_something_is_changed(view):
    assert not view.trial.actions.visible
    assert "Nothing changed yet" in view.trial.edits_shown.markup
    view._knobs["ring_length"]._controls[0].value = 20
    assert view.trial.actions.visible
    assert "20 events" in view.trial.edits_shown.markup


def test_a_replay_shows_progress_then_words_and_picture(view, session, scripted_run, until):
    scripted_run.preview_gate.clear()
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.replay.clicks += 1
    until(lambda: scripted_run.previewed)
    view.refresh(session.reading)
    assert "Replaying 20,000 events" in view.trial.progress.markup
    assert not view.trial.replay.visible
    scripted_run.preview_gate.set()
    until(lambda: view.trial.result_card.visible)
    assert scripted_run.previewed == [{"ring_length": 20}]
    assert "Better by" in view.trial.result[0].markup
    assert "95% intervals" in view.trial.result[1].markup
    assert not view.trial.progress.markup


def test_a_result_goes_when_its_settings_are_changed(view, until):
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.replay.clicks += 1
    until(lambda: view.trial.result_card.visible)
    view._knobs["ring_length"]._controls[0].value = 21
    assert not view.trial.result_card.visible


def test_a_result_goes_when_the_live_settings_change_under_it(view, session, scripted_run, until):
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.replay.clicks += 1
    until(lambda: view.trial.result_card.visible)
    scripted_run.apply({"use_trending": False})  # on another page
    view.refresh(session.store.read())
    assert not view.trial.result_card.visible
    assert "live settings have changed since the replay" in view.trial.problem.markup
    assert view.trial.edits() == {"ring_length": 20}


@pytest.fixture
def applied(view, session, until):
    """Return the page after a change was tried, and then applied."""
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.replay.clicks += 1
    until(lambda: view.trial.result_card.visible)
    view.trial.apply.clicks += 1
    until(lambda: len(view.trial.result) == 5)
    return view


@pytest.mark.parametrize("is_seen_first", [False, True])
def test_the_result_of_a_change_stays_as_its_record_once_it_is_applied(
    view, session, scripted_run, until, is_seen_first, monkeypatch
):
    gate = threading.Event()
    apply = scripted_run.apply

    def answer_late(changes):
        done = apply(changes)
        assert gate.wait(30.0)
        return done

    monkeypatch.setattr(scripted_run, "apply", answer_late)
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.replay.clicks += 1
    until(lambda: view.trial.result_card.visible)
    view.trial.apply.clicks += 1
    until(lambda: scripted_run.settings.ring_length == 20)
    if is_seen_first:  # the new settings are live before the run has answered
        view.refresh(session.store.read())
    gate.set()
    until(lambda: len(view.trial.result) == 5)  # the note of the change, above what there was
    view.refresh(session.store.read())
    assert view.trial.result_card.visible
    assert not view.trial.problem.markup
    assert not view.trial.edits()
    assert "Applied: live from event 70,000" in view.trial.result[0].markup
    assert "with the settings before it" in view.trial.result[1].markup


def test_the_record_of_an_applied_change_goes_with_the_next_change_and_not_before(
    applied, session, scripted_run
):
    applied.refresh(session.store.read())
    applied._knobs["ring_length"]._controls[0].value = 25
    assert applied.trial.result_card.visible
    scripted_run.apply({"use_trending": False})  # on another page
    applied.refresh(session.store.read())
    assert not applied.trial.result_card.visible
    assert "live settings have changed since the replay" in applied.trial.problem.markup


@pytest.mark.parametrize("is_seen", [False, True])
def test_the_record_of_an_applied_change_goes_when_it_is_undone(
    applied, session, scripted_run, until, is_seen
):
    if is_seen:  # else the page still has the settings before
        applied.refresh(session.store.read())
    applied.trial.undo(scripted_run.changes()[0])
    until(lambda: "live settings have changed since the replay" in applied.trial.problem.markup)
    assert not applied.trial.result_card.visible


def test_a_change_that_was_not_tried_makes_the_last_record_void(applied, session, scripted_run, until):
    applied.refresh(session.store.read())
    applied._knobs["use_trending"]._controls[0].value = False
    applied.trial.apply.clicks += 1
    until(lambda: "live settings have changed since the replay" in applied.trial.problem.markup)
    assert not applied.trial.result_card.visible


def test_a_replay_that_ends_after_the_live_settings_changed_is_not_shown(view, session, scripted_run, until):
    scripted_run.preview_gate.clear()
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.replay.clicks += 1
    until(lambda: scripted_run.previewed)
    scripted_run.apply({"use_trending": False})
    view.refresh(session.store.read())
    scripted_run.preview_gate.set()
    until(lambda: "live settings have changed since the replay" in view.trial.problem.markup)
    assert not view.trial.result_card.visible


def test_a_replay_of_a_short_run_is_of_all_its_events():
    store = RunStore(ScriptedRun(tested=300))
    store.read()
    assert SettingsView(Session(store)).trial.replay.label == "Replay all events so far"


def test_a_replay_of_other_settings_is_not_shown(view, scripted_run, until):
    scripted_run.preview_gate.clear()
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.replay.clicks += 1
    until(lambda: scripted_run.previewed)
    view._knobs["ring_length"]._controls[0].value = 21
    scripted_run.preview_gate.set()
    until(lambda: "Settings changed during the replay" in view.trial.problem.markup)
    assert not view.trial.result_card.visible


def test_apply_then_undo(view, session, scripted_run, until):
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.apply.clicks += 1
    until(lambda: scripted_run.settings.ring_length == 20 and not view.trial.edits())
    view.refresh(session.store.read())
    assert len(view.changes.rows) == 1
    undo = view.changes.rows[0][1]
    undo.clicks += 1
    until(lambda: scripted_run.settings.ring_length == 10 and view._knobs["ring_length"].value == 10)
    view.refresh(session.store.read())
    assert len(view.changes.rows) == 2
    assert "replaced since" in view.changes.rows[1][0].markup
    assert len(view.changes.rows[1]) == 1  # nothing of the first change is left to take back


def test_published_and_withdrawn_tables_stand_among_the_changes(view, session, scripted_run):
    scripted_run.publish("ease")
    scripted_run.apply({"ring_length": 20})
    scripted_run.publish("ease", withdrawn=True)
    view.refresh(session.store.read())
    withdrawn, applied, published = view.changes.rows
    assert "Table published for history: ease, fitted on 69,900 events" in published[0].markup
    assert "live from event 70,000 \u00b7 record 0 \u00b7 17 Mar 2024, 12:53 UTC" in published[0].markup
    assert "Table withdrawn from history: ease" in withdrawn[0].markup
    assert "record 2" in withdrawn[0].markup
    assert len(published) == len(withdrawn) == 1  # there is no way back but to fit it again
    assert len(applied) == 2


def test_tables_do_not_push_out_what_can_be_undone(view, session, scripted_run):
    scripted_run.apply({"ring_length": 20})
    for _ in range(N_CHANGES + 3):
        scripted_run.publish("ease")
    view.refresh(session.store.read())
    assert len(view.changes.rows) == N_CHANGES + 1
    assert len(view.changes.rows[-1]) == 2


def test_the_larger_difference_stands_first(scripted_run):
    comparison = scripted_run.preview({"ring_length": 20}).result()
    in_hits, in_ndcg = comparison.difference("hit_rate"), comparison.difference("ndcg")
    said = differences(comparison)
    assert abs(in_hits.value) > abs(in_ndcg.value)
    assert said.index("Hit rate") < said.index("NDCG")
    turned = {"hit_rate": in_ndcg, "ndcg": in_hits}
    said = differences(SimpleNamespace(k=10, difference=turned.__getitem__))
    assert said.index("NDCG") < said.index("Hit rate")
    assert "the largest difference first" in said


def test_the_actions_stay_in_reach(view):
    """Stretched to the height of the knobs a column has no way to go along with them."""
    beside = view.panel[1]
    assert beside.styles["position"] == "sticky"
    assert beside.styles["align-self"] == "flex-start"
    assert view.trial.card.css_classes == []
    view._knobs["ring_length"]._controls[0].value = 20
    assert view.trial.card.css_classes == ["wanted"]


def test_an_error_is_shown_in_place_and_the_change_is_kept(view, scripted_run, until, monkeypatch):
    def refuse(changes: dict[str, object]) -> None:
        raise RuntimeError("the log is read-only")

    monkeypatch.setattr(scripted_run, "apply", refuse)
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.apply.clicks += 1
    until(lambda: "the log is read-only" in view.trial.problem.markup)
    assert view.trial.edits() == {"ring_length": 20}
    assert view.trial.actions.visible


def test_a_replay_that_fails_says_why(view, scripted_run, until, monkeypatch):
    def refuse(changes: dict[str, object], *, n_events: int) -> None:
        raise RuntimeError("no snapshot to fork yet")

    monkeypatch.setattr(scripted_run, "preview", refuse)
    view._knobs["ring_length"]._controls[0].value = 20
    view.trial.replay.clicks += 1
    until(lambda: "no snapshot to fork yet" in view.trial.problem.markup)
    assert view.trial.replay.visible


def test_discard_goes_back_to_the_live_settings(view):
    view._knobs["use_trending"]._controls[0].value = False
    view.trial.discard.clicks += 1
    assert view.trial.edits() == {}
    assert view._knobs["use_trending"]._controls[0].value is True


def test_a_change_says_what_when_and_from_where(scripted_run):
    change = scripted_run.apply({"ring_length": 20})
    assert "live from event 70,000" in change_markup(change)
    assert "20 events" in change_markup(change)
    assert "Weight of buy" in change_markup(scripted_run.apply({"weight_buy": 2.0}))


def test_a_comparison_in_words_and_picture(scripted_run):
    comparison = scripted_run.preview({"ring_length": 20}).result()
    gap = comparison.difference("hit_rate")
    assert f"Better by {gap.value:.4f}" in verdict(comparison)
    assert f"{gap.low:+.4f} to {gap.high:+.4f}" in differences(comparison)
    drawn = picture(comparison).object
    assert drawn.yaxis.axis_label == "Hit rate @10"
    assert drawn.y_range.start == 0
    # 20,000 events have windows of 400, and a point is taken over ten of them
    assert "the mean of up to 4,000 events" in averaging(comparison)
