"""The report: what it says, and that it says it without asking anybody."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.dashboard import style
from rtrec.evaluation.history import MetricHistory
from rtrec.evaluation.model_result import ModelResult
from rtrec.evaluation.result import Evaluation
from rtrec.events.log import StoredDeadLetter
from rtrec.features.historical.cohorts import Cohort, Cohorts
from rtrec.jobs.findings import Findings, LogContents
from rtrec.jobs.report import _curves, headline, render
from rtrec.jobs.report_figures import COLOURS, DASHES, SPARE, cohort_figure
from tests.jobs.conftest import NOW

HOSTILE = '"><img src="https://example.org/x" onerror="document.title=1">$$\\alpha$$'


def result(model: str, ranks: np.ndarray) -> ModelResult:
    windows = MetricHistory([model], 10, window=100)
    windows.add(ranks[:, None], timestamps=np.arange(len(ranks)) * 60.0, offsets=np.arange(len(ranks)))
    return ModelResult(
        model=model,
        events=len(ranks),
        k=10,
        rank_counts=windows.total(),
        coverage=0.5,
        seconds=2.0,
        events_per_s=len(ranks) / 2.0,
        compile_seconds=0.0,
        peak_rss_mb=200.0,
        ranks=ranks,
        windows=windows,
    )


def made(events: Any, **ranks: np.ndarray) -> Findings:
    results = [result(model, each) for model, each in ranks.items()]
    about = {"data": HOSTILE, "events": events.num_rows, "users": 2, "items": 60, "warm-up": 500}
    letter = StoredDeadLetter(1, NOW, HOSTILE, 3, "not a number", HOSTILE, HOSTILE * 10)
    return Findings(
        contents=LogContents(
            HOSTILE,
            events,
            (900, 600),
            counts={"accepted": 1500, HOSTILE: 1},
            dead_letter_counts={"not a number": 1},
            dead_letters=(letter,),
        ),
        evaluation=Evaluation(results, data=about),
        cohorts=Cohorts(
            (Cohort("light", "few events", 1), Cohort("heavy", "many events", 1), Cohort("idle", "none", 0)),
            np.array([0, 1], np.int32),
        ),
        tested_cohort=np.arange(1000) % 2,
        time=NOW,
        command=f"rtrec jobs run evaluate --home {HOSTILE}",
    )


@pytest.fixture
def findings(events) -> Findings:
    place = np.arange(1000)
    return made(
        events,
        default=np.where(place % 4 == 0, 1, 0).astype(np.int16),  # 250 of 1,000
        popularity=np.where(place % 10 == 0, 2, 0).astype(np.int16),  # 100 of 1,000
    )


def test_the_headline_names_the_best_model_and_how_far_it_is_above_popularity(findings):
    assert headline(findings.evaluation) == (
        "On 1,000 events, each answered before it was learned, the best model (default) had the right item "
        "in its list of 10 in 25.0% of cases (95% interval 22.4% to 27.8%). "
        "That is 2.50 \u00d7 what popularity alone reached."
    )


def test_a_lead_within_the_noise_is_called_that(events):
    ranks = np.zeros(1000, np.int16)
    one, other = ranks.copy(), ranks.copy()
    one[:11], other[100:110] = 1, 1
    text = headline(made(events, default=one, popularity=other).evaluation)
    assert text.endswith("That is not clearly more than popularity alone (1.0%).")


def test_popularity_without_a_hit_is_no_multiple(events):
    ranks = np.ones(1000, np.int16)
    text = headline(made(events, default=ranks, popularity=0 * ranks).evaluation)
    assert text.endswith("Popularity alone had none right.")


def test_a_point_is_never_the_mean_of_more_events_than_were_tested(findings):
    findings.evaluation.results[:] = [
        result(each.model, each.ranks[:300]) for each in findings.evaluation.results
    ]
    assert "the mean of the last 300 events tested" in _curves(findings.evaluation, {"hr": "", "ndcg": ""})


def test_a_click_in_the_legend_hides_a_bar_with_its_whisker():
    ones = np.ones((1, 2))
    plot = cohort_figure(["all"], ["default", "popularity"], ones, ones, ones, "hr@10")
    assert [[type(each.glyph).__name__ for each in item.renderers] for item in plot.legend[0].items] == [
        ["VBar", "Segment"]
    ] * 2


def test_models_look_as_they_do_in_the_dashboard():
    assert (COLOURS, SPARE, DASHES) == (style.MODEL_COLOURS, style.SPARE_COLOURS, style.MODEL_DASHES)


def test_popularity_alone_needs_no_comparison(events):
    ranks = np.ones(1000, np.int16)
    assert headline(made(events, popularity=ranks).evaluation).endswith("(95% interval 99.6% to 100.0%).")
    assert "Models" in render(made(events, popularity=ranks))


def test_figures_of_models_and_of_users_are_in_the_tables(findings):
    page = render(findings)
    assert "2.50 \u00d7" in page
    # Every fourth event is a hit, and light users have the even ones: 250 of 500.
    assert ">0.5000</span>" in page
    assert ">0.0000</span>" in page
    assert "light: few events." in page
    assert "1 row could not become an event" in page


def test_what_comes_from_outside_is_escaped(findings):
    page = render(findings)
    assert "<img" not in page
    assert "&lt;img" in page


def test_the_page_forbids_the_browser_to_load_anything(findings):
    assert '"Content-Security-Policy" content="default-src \'none\'; ' in render(findings)


def test_without_dead_letters_it_says_so(findings, events):
    plain = LogContents("made", events, (1500,))
    page = render(Findings(**(vars(findings) | {"contents": plain})))
    assert "None: every row of the source became an event or was left out by a rule." in page


def test_a_browser_shows_the_curves_and_asks_for_nothing(findings, chromium: Path, tmp_path: Path):
    playwright = pytest.importorskip("playwright.sync_api")
    importlib.import_module("panel")  # which adds itself to what Bokeh calls its resources
    file = tmp_path / "report.html"
    file.write_text(render(findings), encoding="utf-8")
    requests, problems = [], []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.goto(file.as_uri())
        page.wait_for_function("document.querySelectorAll('.bk-Figure').length === 3")
        page.wait_for_function("Bokeh.documents[0].is_idle")
        assert page.get_by_role("heading", name="Over time").is_visible()
        title = page.title()
        browser.close()
    assert requests == [file.as_uri()]
    assert problems == []
    assert title == f"Evaluation of {HOSTILE}"
