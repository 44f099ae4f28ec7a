"""A recommendation where it is printed, shown in a notebook, and written in full."""

from __future__ import annotations

import json

from rtrec.engine.recommendation import Reason, Recommendation, RecommendedItem
from rtrec.engine.status import ModelScore, Phase, Status

REASONS = tuple(Reason(f"feature_{n}", f"reason {n}", 1.0 / (n + 1), ("Alien",)) for n in range(40))


def made(n_items: int = 10, size: int = 1) -> Recommendation:
    items = [RecommendedItem("i" * size + str(n), "t" * size, 2.0 - n, REASONS) for n in range(n_items)]
    last = RecommendedItem("filled", "<b>", float("nan"), ())
    history = (("a", "Alien"), ("b", "Brazil"), ("c", "Cube"), ("d", "Dune"))
    return Recommendation("u" * size, True, history, (*items, last), 1234)


def test_it_is_short_in_a_terminal_however_long_its_names_are():
    for size in (1, 500):
        assert len(repr(made(100, size))) <= 120
        assert len(repr(made(1, size).items[0])) <= 120
        assert max(map(len, str(made(100, size)).splitlines())) <= 200
    assert len(repr(Status(Phase.RUNNING, "x" * 500, scores=(ModelScore("default", *[0.5] * 7),)))) <= 120


def test_printed_it_has_a_line_an_item_with_its_two_strongest_reasons():
    head, first, *_, last = str(made()).splitlines()
    assert head == "u after 1,234 events; had last: Alien, Brazil, Cube"
    assert first == " 1. t (i0) +2.00 reason 0 +1.00; reason 1 +0.50"
    assert last.split() == ["11.", "<b>", "(filled)"]
    assert "<b>" not in made()._repr_html_()
    assert "reason 1" in made()._repr_html_()
    assert "reason 2" not in made()._repr_html_()


def test_json_has_all_of_it():
    said = json.loads(json.dumps(made().as_json(), allow_nan=False))
    assert len(said["items"][0]["reasons"]) == 40
    assert said["items"][0]["reasons"][1] == {
        "feature": "feature_1",
        "sentence": "reason 1",
        "part": 0.5,
        "because_of": ["Alien"],
    }
    assert said["items"][-1]["score"] is None
    assert said["history"][0] == {"item": "a", "title": "Alien"}
