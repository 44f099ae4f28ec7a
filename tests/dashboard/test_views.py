"""Pages without a browser: what they say, and what they do when a reader acts."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from bokeh.models import ColumnDataSource

from rtrec.dashboard.markup import message
from rtrec.dashboard.session import Session
from rtrec.dashboard.state import Level, Reading
from rtrec.dashboard.store import RunStore
from rtrec.dashboard.views import live_markup
from rtrec.dashboard.views.header import header_markup, state_text, strip_markup
from rtrec.dashboard.views.live import LiveView
from rtrec.dashboard.views.pieces import MarkupPane
from rtrec.dashboard.views.recommendations import RecommendationsView
from rtrec.dashboard.views.recommendations_markup import (
    N_FOUND,
    changes_between,
    history_list,
    recommended_list,
)
from rtrec.engine.recommendation import Reason, Recommendation, RecommendedItem
from rtrec.engine.status import Notice, Phase, PublishedTable, Status, Stretch
from rtrec.events.lag import SourceLag
from tests.dashboard.scripted_run import HOSTILE, ScriptedRun


def items(*ids: str) -> Recommendation:
    listed = tuple(RecommendedItem(each, f"title of {each}", 1.0, ()) for each in ids)
    return Recommendation("u1", True, (), listed, offset=0)


def test_header_says_how_fast_how_far_behind_and_how_old(session):
    text = header_markup(session.reading)
    for part in (
        "Events/s",
        "Lag",
        "Freshness p95",
        "Data age",
        "Last snapshot",
        "at 60,000",
        "k = 10",
        "Live",
    ):
        assert part in text
    strip = strip_markup(session.reading)  # what a narrow window has of it
    for part in ("Events/s", "Lag", "Data age", "Last snapshot"):
        assert part in strip


@pytest.mark.parametrize(
    ("phase", "run_events", "age_s", "said", "css"),
    [
        (Phase.RUNNING, 5, 9.0, "9 s", "good"),
        (Phase.RUNNING, 5, 11.0, "11 s", "stale"),
        (Phase.RUNNING, 5, 61.0, "61 s", "stuck"),
        (Phase.FINISHED, 5, 61.0, "61 s", "idle"),
        # Its newest event is of another day: how old, nobody knows here.
        (Phase.RUNNING, 0, 11.0, "\u2013", "good"),
        (Phase.RECOVERING, 5, 1.0, "\u2013", "idle"),
    ],
)
def test_the_age_of_the_data_is_that_of_what_this_run_learned_and_is_coloured_by_it(
    phase, run_events, age_s, said, css
):
    status = Status(phase=phase, message="", events=5, run_events=run_events, logged=5)
    markup = header_markup(Reading(status=status, age_s=age_s))
    assert re.search(f'class="fact {css}">[^/]*Data age</div><div class="fact-value" title="{said}"', markup)


def test_an_engine_that_has_stopped_to_say_how_it_is_is_not_called_quiet():
    status = Status(phase=Phase.RUNNING, message="", events=5, logged=5)
    reading = Reading(status=status, age_s=130.0, silent_s=20.0)
    assert state_text(reading) == "No word for 20 s"
    assert reading.level is Level.STALE
    assert replace(reading, silent_s=61.0).level is Level.STUCK


def test_the_page_says_that_somebody_was_forgotten(session):
    assert "forgotten" not in live_markup.quality(session.reading)
    status = replace(session.reading.status, forgotten=1200)
    assert "1,200 forgotten" in live_markup.quality(replace(session.reading, status=status))


def test_header_says_which_models_were_fitted_and_how_far(session):
    assert "Fitted" not in header_markup(session.reading)
    table = PublishedTable(
        "history", "v", "s", "ease", "m", 3900, 60, 1.0, 0, datetime(2026, 1, 1, tzinfo=UTC), 4000
    )
    status = replace(session.reading.status, tables=(table,), fitting=("own",))
    text = header_markup(replace(session.reading, status=status))
    assert "Fitted" in text
    assert "ease at 3,900, fitting" in text


@pytest.mark.parametrize(
    ("age_s", "waiting", "text"),
    [
        (1.0, 1, "Live"),
        (25.0, 1, "Stale for 25 s"),
        (130.0, 1, "Stuck for 2 min"),
        (130.0, 0, "Quiet for 2 min"),
    ],
)
def test_an_engine_that_stands_still_is_never_shown_as_live(age_s, waiting, text):
    status = Status(phase=Phase.RUNNING, message="", events=5, logged=5 + waiting)
    assert state_text(Reading(status=status, age_s=age_s)) == text


def test_the_starting_page_says_what_it_waits_for():
    said = live_markup.notice(Reading(status=Status(Phase.STARTING, "Compiling the kernels"), phase_s=7.0))
    assert said is not None
    assert "Starting: 7 s so far" in said
    assert "Compiling the kernels" in said


def test_a_running_page_has_no_notice(session):
    assert live_markup.notice(session.reading) is None


def test_model_table_has_intervals_and_lift(session):
    table = live_markup.model_table(session.reading)
    own, base = session.reading.status.scores[:2]
    assert f"{own.hit_rate:.3f}" in table
    assert f"{own.hit_rate_low:.3f} to {own.hit_rate_high:.3f}" in table
    assert f"{own.hit_rate / base.hit_rate:.2f}\u00d7" in table
    assert "1.00\u00d7" in table
    assert "as a multiple of that of popularity of 7 days" in table
    assert "popularity of 7 days" in live_markup.quality(session.reading)


def test_reasons_of_refused_rows_are_listed_by_number(session):
    listed = live_markup.refused_list(session.reading)
    assert listed.index("no customer") < listed.index("missing user") < listed.index("far future")
    assert "3 dead letters" in listed


def test_every_card_has_an_empty_state():
    nothing = Reading()
    for make, words in (
        (live_markup.model_table, "No model has answered yet"),
        (live_markup.alarm_list, "No alarm"),
        (live_markup.refused_list, "Nothing was refused"),
    ):
        assert words in make(nothing)


def test_live_view_draws_curves_and_marks_alarms_and_changes(session, scripted_run):
    view = LiveView(session)
    view.refresh(session.reading)
    assert len(view._points.data["offset"]) == 70
    assert view._alarms.data["offset"].tolist() == [9_000.0, 62_000.0]
    scripted_run.apply({"ring_length": 20})
    session.store.read()
    view.refresh(session.reading)
    assert view._changes.data["offset"].tolist() == [70_000.0]
    assert "Ring length 20 events" in view._changes.data["sentence"][0]


def test_live_view_streams_what_is_new(session, scripted_run, monkeypatch):
    view = LiveView(session)
    view.refresh(session.reading)
    scripted_run.advance(3_000)
    monkeypatch.setattr(session.store, "_slow_due", 0.0)
    streamed = []

    def stream(source: ColumnDataSource, rows, **_) -> None:
        if source is view._points:
            streamed.append(len(rows["offset"]))

    monkeypatch.setattr(ColumnDataSource, "stream", stream)
    view.refresh(session.store.read())
    assert streamed == [3]


def test_live_view_of_a_run_that_has_not_begun_shows_no_plot():
    session = Session(RunStore(ScriptedRun(phase=Phase.STARTING)))
    view = LiveView(session)
    view.refresh(session.store.read())
    assert not view._curves.visible
    assert "No curve yet" in view._curves_empty.markup
    assert "Compiling the kernels" in view._notice.markup


def test_new_and_moved_items_are_marked():
    marks = changes_between(items("a", "b", "c"), items("b", "a", "d"))
    assert {item: mark.split(">")[1].split("<")[0] for item, mark in marks.items()} == {
        "b": "up 1",
        "a": "down 1",
        "d": "new",
    }
    assert changes_between(items("a"), items("a")) == {}
    assert changes_between(None, items("a")) == {}


def test_the_newest_alarm_stands_first_and_then_the_largest_change(session):
    when = datetime(2026, 1, 1, tzinfo=UTC)
    alarms = [
        Notice(offset, when, "improvement" if size > 0 else "accuracy", f"moved {size}", size)
        for offset, size in ((1, 0.02), (2, -0.30), (3, 0.40), (4, -0.01), (5, 0.05))
    ]
    status = replace(session.reading.status, alarms=tuple(alarms))
    listed = live_markup.alarm_list(replace(session.reading, status=status))
    assert re.findall(r"moved (-?[0-9.]+)", listed) == ["0.05", "0.4", "-0.3", "0.02", "-0.01"]
    assert "the largest first" in listed
    assert "improvement" not in listed


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RECOVERING, Phase.RUNNING, Phase.FINISHED])
def test_the_marks_of_the_curves_are_explained_whenever_there_are_curves(phase):
    """Also on a run that was opened again, which draws its curves before it runs."""
    session = Session(RunStore(ScriptedRun(tested=70_000, phase=phase)))
    view = LiveView(session)
    view.refresh(session.store.read())
    assert view._moments.is_shown
    legend = view._moments.markup
    for name in ("Fall of", "Rise of", "Fit that failed", "Settings applied", "Table published or withdrawn"):
        assert name in legend


def test_published_and_withdrawn_tables_are_marked_on_the_curves(session, scripted_run):
    scripted_run.publish("ease")
    scripted_run.advance(1_000)
    scripted_run.publish("ease", withdrawn=True)
    view = LiveView(session)
    view.refresh(session.store.read())
    assert view._tables.data["offset"].tolist() == [70_000.0, 71_000.0]
    published, withdrawn = view._tables.data["sentence"]
    assert "published for history: ease" in published
    assert "withdrawn from history" in withdrawn
    assert set(view._tables.data["colour"]).isdisjoint(view._alarms.data["colour"])
    drawn = [each for each in view._curves[0].object.renderers if each.data_source is view._tables]
    assert len(drawn) == 1


def test_a_fit_that_failed_is_not_marked_as_a_fall(session):
    failed = Notice(9, datetime(2026, 1, 1, tzinfo=UTC), "refit", "fitting ease failed")
    status = replace(session.reading.status, alarms=(*session.reading.status.alarms, failed))
    view = LiveView(session)
    view.refresh(replace(session.reading, status=status))
    colours = view._alarms.data["colour"].tolist()
    assert len(set(colours)) == 3
    assert all(colour in view._moments.markup for colour in colours)


def test_a_small_plot_waits_for_a_second_point(session, scripted_run):
    view = LiveView(session)
    first = session.reading
    view.refresh(first)
    assert [len(each) for each in view._pulse_cards] == [1, 1, 1]
    view.refresh(replace(first, pulse=(*first.pulse, first.sample())))
    assert [len(each) for each in view._pulse_cards] == [2, 2, 2]


@pytest.fixture
def searching(session, until, monkeypatch):
    """Return the page, and what types into its picker and waits for the answer."""
    view = RecommendationsView(session)
    view.refresh(session.reading)
    until(lambda: view._shown is not None and not view._asking)

    def type_in(text: str) -> None:
        view._picker.value_input = text
        until(lambda: not view._is_searching)

    return view, type_in


def test_a_part_of_an_id_finds_users_that_were_not_seen_lately(searching, session):
    view, type_in = searching
    assert "u1234" not in view._picker.options
    type_in("U123")
    assert view._picker.options[:3] == ["u123", "u1230", "u1231"]
    assert view._picker.options[-1] == "U123"  # what is typed can be asked for as it is
    assert "11 users have \u201cU123\u201d in the id" in view._found_note.markup
    type_in("")
    assert view._picker.options == list(session.reading.users)
    assert not view._found_note.markup


def test_a_search_offers_no_more_than_can_be_read(searching):
    view, type_in = searching
    type_in("u")
    assert "More than 50 users" in view._found_note.markup
    # The users seen last are among the first 50 here, and what is typed can be asked for as it is.
    assert view._picker.options == [*(f"u{number}" for number in range(1, N_FOUND + 1)), "u"]


def test_a_search_without_a_find_says_so(searching):
    view, type_in = searching
    type_in("<nobody>")
    assert "knows no user with \u201c&lt;nobody&gt;\u201d in the id" in view._found_note.markup
    view._picker.value = "<nobody>"
    assert not view._found_note.markup


def test_of_searches_in_one_go_the_last_one_counts(searching, scripted_run, until, monkeypatch):
    view, _ = searching
    gate, find = threading.Event(), scripted_run.find_users
    monkeypatch.setattr(scripted_run, "find_users", lambda *ask: gate.wait(10.0) and find(*ask))
    view._picker.value_input = "u22"
    view._picker.value_input = "u2299"
    gate.set()
    until(lambda: "1 user has \u201cu2299\u201d" in view._found_note.markup)
    assert view._picker.options[0] == "u2299"


def numbers(markup: str) -> list[float]:
    """Return the figures of a list in order; the last of each item is its score."""
    found = re.findall(r'class="number[^"]*">([+\u2212][0-9.]+)<', markup)
    return [float(each.replace("\u2212", "-")) for each in found]


def test_the_parts_shown_add_up_to_the_score(scripted_run):
    known = scripted_run.recommend("u1")
    for item in known.items[:-1]:
        *parts, total = numbers(recommended_list(replace(known, items=(item,)), {}))
        assert sum(parts[:4]) == pytest.approx(total, abs=1e-9)  # three reasons and all else
        assert sum(parts[4:]) == pytest.approx(parts[3], abs=1e-9)  # what that unfolds into
        assert total == round(item.score, 2)


def test_all_else_unfolds_into_the_parts_it_is_the_sum_of(scripted_run):
    known = scripted_run.recommend("u1")
    item = known.items[0]
    folded = recommended_list(replace(known, items=(item,)), {})
    folded = folded[folded.index("<details") : folded.index("</details>")]
    assert f'data-key="{item.item_id}"' in folded
    assert "All else, 2 more" in folded[: folded.index("</summary>")]
    for sentence in ("Goes with the last item", "Popular in the last 7 days"):
        assert sentence in folded[folded.index("</summary>") :]


def test_parts_that_rounding_would_pull_apart_still_add_up():
    reasons = tuple(Reason(name, name, 0.334) for name in ("a", "b", "c"))
    item = RecommendedItem("x", "x", 1.002, reasons)
    *parts, total = numbers(recommended_list(Recommendation("u1", True, (), (item,), 0), {}))
    assert parts == [0.33, 0.33, 0.33, 0.01]
    assert total == 1.0


def test_what_only_fills_up_the_list_says_so(scripted_run):
    known = scripted_run.recommend("u1")
    shown = recommended_list(replace(known, items=known.items[-1:]), {})
    assert "Fills up the list because it is popular" in shown
    assert not numbers(shown)


def test_the_list_of_another_user_goes_at_once(session, scripted_run, until, monkeypatch):
    view = RecommendationsView(session)
    view.refresh(session.reading)
    until(lambda: view._shown is not None and not view._asking)
    assert "Recommended to u1 now" in view._list.markup
    gate = threading.Event()
    recommend = scripted_run.recommend
    monkeypatch.setattr(scripted_run, "recommend", lambda *ask: gate.wait(10.0) and recommend(*ask))
    view._picker.value = "u2"
    assert "Recommended to u2 now" in view._list.markup
    assert "One moment" in view._list.markup
    assert "History of u2" in view._history.markup
    assert not view._state.markup
    gate.set()
    until(lambda: view._shown is not None and view._shown.user_id == "u2" and not view._asking)
    assert "One moment" not in view._list.markup


def test_titles_are_text_everywhere(scripted_run):
    known = scripted_run.recommend("u1")
    titles = {item.title for item in known.items} | {title for _, title in known.history}
    assert HOSTILE in titles
    shown = recommended_list(known, {}) + history_list(known)
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown


def test_a_user_id_is_text_too(scripted_run):
    shown = recommended_list(scripted_run.recommend("<script>x</script>"), {})
    assert "<script" not in shown
    assert "&lt;script&gt;x&lt;/script&gt; is unknown" in shown


def test_reasons_name_what_made_them(scripted_run):
    known = scripted_run.recommend("u1")
    shown = recommended_list(known, {})
    assert "Often had together with your last items" in shown
    assert known.items[0].reasons[0].because_of[0] in shown


def test_the_page_starts_with_a_recent_user_and_follows_learning(session, scripted_run, until, monkeypatch):
    view = RecommendationsView(session)
    view.refresh(session.reading)
    until(lambda: view._shown is not None and not view._asking)
    assert view._picker.value == "u1"
    assert "As of event 70,000" in view._state.markup
    scripted_run.advance(20_000)
    monkeypatch.setattr(view, "_asked_at", None)
    view.refresh(session.store.read())
    until(lambda: "As of event 90,000" in view._state.markup)
    assert "Last change: " in view._list.markup


def test_a_page_that_does_not_follow_stands_still(session, scripted_run, until, monkeypatch):
    view = RecommendationsView(session)
    view.refresh(session.reading)
    until(lambda: view._shown is not None and not view._asking)
    view._follow.value = False
    scripted_run.advance(20_000)
    monkeypatch.setattr(view, "_asked_at", None)
    view.refresh(session.store.read())
    assert not view._asking


def test_a_pane_is_seen_with_its_first_words_and_not_without():
    pane = MarkupPane()
    for words in (message("bad", "No list", "why"), None, message("bad", "No list", "why"), None):
        pane.show(words)
        assert pane.is_shown is (words is not None)
        assert pane.visible is pane.object.visible is True  # Panel's model throws where it becomes so early


def test_a_user_that_cannot_be_answered_says_why_in_place(session, scripted_run, until, monkeypatch):
    def refuse(user_id: str, k: int = 10) -> Recommendation:
        raise RuntimeError("shard 1 is being recovered")

    monkeypatch.setattr(scripted_run, "recommend", refuse)
    view = RecommendationsView(session)
    assert not view._problem.is_shown
    view._picker.value = "u2"
    until(lambda: "the message above says why" in view._list.markup)
    assert view._problem.is_shown
    assert "No recommendations for u2" in view._problem.markup
    assert "shard 1 is being recovered" in view._problem.markup
    assert "History of u2" in view._history.markup
    assert "One moment" not in view._history.markup + view._list.markup
    monkeypatch.undo()
    view._picker.value = "u3"
    until(lambda: "Recommended to u3 now" in view._list.markup and "One moment" not in view._list.markup)
    assert not view._problem.is_shown


def test_a_paused_source_is_the_first_thing_said_and_can_be_read_on(session, scripted_run, until):
    view = LiveView(session)
    view.refresh(session.reading)
    assert not view._resume.visible
    scripted_run.phase = Phase.PAUSED
    status = replace(session.reading.status, phase=Phase.PAUSED, message="201 of the last 1,000 rows are bad")
    reading = replace(session.reading, status=status)
    view.refresh(reading)
    assert "201 of the last 1,000 rows are bad" in live_markup.notice(reading)
    assert state_text(reading) == "Paused"
    assert view._resume.visible
    view._resume.clicks += 1
    until(lambda: scripted_run.phase is Phase.RUNNING)


def test_how_late_events_came_is_said_beside_the_lag(session):
    status = replace(session.reading.status, most_late_s=90.0, counts={"late": 3})
    reading = replace(session.reading, status=status)
    assert "Up to 90 s out of order" in live_markup.lag(reading)
    bounded = replace(status, watermark=status.event_time)
    assert "3 too late" in live_markup.lag(replace(reading, status=bounded))


def test_how_far_the_source_is_ahead_and_what_waits_is_said_beside_the_lag(session):
    calm = live_markup.lag(session.reading)
    assert "ahead" not in calm
    assert "wait in the log" not in calm
    lag = SourceLag(behind_s=12.3, n_unread=4000)
    status = replace(session.reading.status, source_lag=lag, waiting_bytes=1_240_000)
    said = live_markup.lag(replace(session.reading, status=status))
    assert "Source 12 s ahead, 4,000 messages unread" in said
    assert "1.2 MB wait in the log" in said


def test_that_a_share_is_tested_is_the_first_thing_said_and_stays_among_the_alarms(session):
    stretch = Stretch(0.1, "the source was 12 s ahead", 8000, datetime(2026, 5, 1, 12, tzinfo=UTC))
    alarm = Notice(8000, stretch.began, "sample", stretch.words())
    status = replace(session.reading.status, tested_share=0.1, stretches=(stretch,), alarms=(alarm,))
    reading = replace(session.reading, status=status)
    assert live_markup.notice(session.reading) is None
    assert "10% of the events from 8,000 on are tested" in live_markup.notice(reading)
    over = replace(reading, status=replace(status, tested_share=1.0))
    assert live_markup.notice(over) is None
    assert "sampled" in live_markup.alarm_list(over)
