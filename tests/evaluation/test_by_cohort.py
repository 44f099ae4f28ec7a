"""Prequential figures cut by groups of users."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rtrec
from rtrec.errors import InputError
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.types import Columns

N_WARM = 200


@pytest.fixture(scope="module")
def events():
    return SyntheticStream(SyntheticConfig(n_users=40, n_items=30, seed=2)).events(1000)


@pytest.fixture(scope="module")
def evaluation(events):
    return rtrec.evaluate(events, models=["popularity", "transitions"], warmup=0.2)


def test_figures_are_means_over_the_events_of_the_groups_users(events, evaluation):
    users = sorted(set(events[Columns.USER_ID].to_pylist()))
    groups = {user: "even" if place % 2 == 0 else "odd" for place, user in enumerate(users[:20])}
    found = evaluation.by_cohort(groups)
    assert found["cohort"].values.tolist() == ["even", "odd", "new"]
    asked = events[Columns.USER_ID].to_pylist()[N_WARM:]
    label = np.array([groups.get(user, "new") for user in asked])
    for name in ("even", "odd", "new"):
        ranks = evaluation["transitions"].ranks[label == name]
        assert found["events"].sel(cohort=name) == len(ranks) > 0
        cell = found.sel(cohort=name, model="transitions", metric="hr@10")
        assert cell["value"] == pytest.approx(sum(rank > 0 for rank in ranks) / len(ranks))
        assert cell["low"] < cell["value"] < cell["high"]
        ndcg = sum(1 / np.log2(1 + rank) for rank in ranks.tolist() if rank > 0) / len(ranks)
        assert found["value"].sel(cohort=name, model="transitions", metric="ndcg@10") == pytest.approx(ndcg)


def test_a_group_without_tested_events_has_no_figure(events, evaluation):
    user = events[Columns.USER_ID][N_WARM].as_py()
    found = evaluation.by_cohort({user: "one", "nobody": "none"})
    assert found["events"].sel(cohort="none") == 0
    assert np.isnan(found["value"].sel(cohort="none")).all()


def test_groups_of_nobody_tested_are_refused(evaluation):
    with pytest.raises(InputError, match="none of the 1 users in groups was tested; the first is 'stranger'"):
        evaluation.by_cohort({"stranger": "one"})


def test_an_evaluation_must_know_who_was_asked(evaluation):
    with pytest.raises(InputError, match="does not say whose events were tested"):
        replace(evaluation, users=None).by_cohort({})
