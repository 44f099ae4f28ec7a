"""What is said of models fitted beside a run, once it is over."""

from __future__ import annotations

import json

import pytest

from rtrec.cli.refits import outcomes
from rtrec.engine.refits import RefitPlan
from rtrec.engine.status import Phase, Served, Status
from rtrec.models.nearline.recipe import Recipe
from tests.cli.samples import COLUMNS, write_events

RECIPES = {"history": Recipe("ease")}


@pytest.mark.parametrize(
    ("served", "wait", "late"),
    [
        (Served(), False, True),  # it fell due, and nothing came of it
        (Served(1, 1999), False, True),
        (Served(1, 1999), True, False),  # it waits already
        (Served(4, 2000), False, False),
    ],
)
def test_to_wait_is_advised_where_less_than_half_of_what_could_be_was_live(served, wait, late):
    # Of 5,000 events the fit at 1,000 could have been live for 4,000.
    status = Status(Phase.FINISHED, "", events=5000, run_events=5000, served={"history": served})
    [sentence] = outcomes(RefitPlan(RECIPES, every=1000, wait=wait), status)
    assert f"live for {served.n_events:,} of the 5,000 events of this run" in sentence
    assert ("--refit-wait" in sentence) == late


def test_a_run_that_comes_by_no_refit_says_where_the_next_one_is():
    status = Status(Phase.FINISHED, "", events=5900, run_events=800)
    assert outcomes(RefitPlan(RECIPES, every=1000), status) == [
        "history: no refit fell due; the next one comes at event 6,000"
    ]
    assert outcomes(RefitPlan(RECIPES, every=1000), Status(Phase.FINISHED, "", events=5900)) == []


def test_a_run_says_when_its_models_were_live(rtrec, tmp_path, in_threads):
    events = write_events(tmp_path / "events.csv")
    words = ("--nearline", "history=item-knn", "--refit-every", 90, "--refit-wait", "--headless", "--json")
    result = rtrec("run", events, *COLUMNS, *words)
    # Of 200 events those from 90 on; the second fit, at 180, takes the place of the first.
    assert "history: item-knn was published 2 times, and live for 110 of the 200 events" in result.stderr
    summary = json.loads(result.stdout)
    assert summary["served"] == {"history": {"published": 2, "events": 110}}
    assert summary["tables"]["history"]["live_from"] == 180
    again = rtrec("run", events, *COLUMNS, *words)
    assert json.loads(again.stdout)["served"] == {"history": {"published": 0, "events": 0}}
