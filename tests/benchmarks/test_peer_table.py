"""The table of peers: ratios and verdict by hand, and measurements that are kept."""

from __future__ import annotations

import math

import numpy as np
import peers
import pytest
from rivals.measure import Kept, Measured, median
from rivals.table import as_markdown, as_rows, ratio, verdict


def measured(
    family: str, setting: str = "", *, hits: int = 0, seconds: float = 10.0, fits: float = 0.0
) -> Measured:
    """Return a model that found the item of the first ``hits`` of 100 events, at rank 1."""
    ranks = np.zeros(100, np.int16)
    ranks[:hits] = 1
    return Measured(
        family, setting, 100, hits / 100, hits / 100, 0.5, seconds, fits, int(fits > 0), 100.0, ranks
    )


def test_ratio_of_four_events_by_hand():
    found = ratio(np.array([1, 2, 5, 0]), np.array([3, 1, 0, 0]), "hit_rate")
    # x / X - y / Y is -2/3, -2/3, 4/3, 0: variance (4 + 4 + 16) / 9 / 3 = 8 / 9, error sqrt(8 / 9 / 4).
    reach = math.exp(1.959964 * math.sqrt(2 / 9))
    assert found.value == 0.75 / 0.5
    assert found.low == pytest.approx(1.5 / reach, rel=1e-6)
    assert found.high == pytest.approx(1.5 * reach, rel=1e-6)


def test_ratio_of_ndcg_by_hand():
    # (1 + 1 / log2(3)) / 2 over 1 / 2
    assert ratio(np.array([1, 2]), np.array([0, 1]), "ndcg").value == pytest.approx(1 + 1 / math.log2(3))


def test_ratio_to_nothing_is_nan():
    assert math.isnan(ratio(np.array([1, 2]), np.array([0, 0]), "hit_rate").value)


def test_verdict_takes_the_fastest_setting_near_the_best_peer():
    found = verdict(
        [
            measured("default", hits=61, seconds=10.0),
            measured("popularity, all time", hits=50, seconds=0.1),  # a baseline
            measured("river", "a", hits=40, seconds=50.0, fits=20.0),
            measured("river", "b", hits=33, seconds=25.0, fits=5.0),  # 0.83 of the best: near
            measured("FluRS", "c", hits=31, seconds=1.0),  # not near
        ]
    )
    assert (found.best.setting, found.fastest.setting) == ("a", "b")
    assert found.hr.value == pytest.approx(61 / 40)
    assert found.speed == 2.5
    assert found.is_better
    assert not found.is_faster
    better, faster = found.lines()
    assert "Best peer: river (a)" in better
    assert better.endswith("wanted 1.5: reached.")
    assert "2.50 times as many; wanted 3: NOT reached (2.00 times" in faster


def test_no_verdict_without_the_default_or_without_peers():
    assert verdict([measured("river", "a", hits=4)]) is None
    assert verdict([measured("default", hits=4), measured("popularity, all time", hits=4)]) is None


def test_table_shows_the_best_setting_and_lists_all():
    text = as_markdown(
        "films",
        [
            measured("default", hits=60),
            measured("river", "a", hits=30, seconds=50.0, fits=25.0),
            measured("river", "b", hits=20, seconds=25.0, fits=5.0),
        ],
    )
    rows = [line for line in text.splitlines() if line.startswith("| river")]
    assert len(rows) == 1
    assert rows[0].startswith("| river | a | 0.3000 | 0.3000 | 2.00 (")
    assert rows[0].endswith(
        "| 2 | 4 | 5.00 | 100 |"
    )  # 100 events in 50 s, 25 of them fits; the default took 10 s
    assert "- river: a 0.3000; b 0.2000" in text


def test_rows_say_which_setting_is_best():
    rows = as_rows(
        [measured("default", hits=6), measured("river", "a", hits=2), measured("river", "b", hits=3)]
    )
    assert [row["is_best_setting"] for row in rows] == [True, False, True]
    assert rows[1]["default_hr_ratio"][0] == 3.0
    assert "ranks" not in rows[0]


def test_what_is_kept_is_not_measured_again(tmp_path):
    kept, key = Kept(tmp_path / "new"), ("films", "item-kNN, last 10", "L2 0.1/x", "limit None")
    first = kept.get(key, lambda: measured("river", "a", hits=30))
    again = kept.get(key, lambda: pytest.fail("measured again"))
    assert np.array_equal(again.ranks, first.ranks)
    assert again.figures() == first.figures()
    assert kept.get((*key, "other"), lambda: measured("river", "a", hits=1)).hr == 0.01


def test_median_is_one_turn_and_refuses_other_ranks():
    turns = [measured("river", hits=3, seconds=seconds, fits=seconds / 2) for seconds in (9.0, 5.0, 7.0)]
    assert (median(turns).seconds, median(turns).fit_seconds) == (7.0, 3.5)
    with pytest.raises(RuntimeError, match="river: the same events got other ranks"):
        median([*turns, measured("river", hits=4)])


def race(tmp_path, entrants, monkeypatch, measure):
    monkeypatch.setattr(peers, "apart", lambda _, family, setting, *rest: measure(family, setting))
    return peers.race("films", tmp_path, entrants, rounds=2, refit_every=None, limit=None, kept=Kept(None))


def test_a_peer_that_breaks_is_left_out_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def measure(family, setting):
        if setting == "b":
            raise AttributeError("np.float_ was removed")
        return measured(family, setting, hits=5)

    found = race(tmp_path, [("default", ""), ("river", "b"), ("river", "a")], monkeypatch, measure)
    assert [each.name for each in found] == ["default", "river (a)"]
    assert "river b left out: AttributeError: np.float_ was removed" in capsys.readouterr().err


def test_a_model_of_ours_that_breaks_ends_the_run(tmp_path, monkeypatch):
    def measure(family, setting):
        raise AttributeError("ours")

    with pytest.raises(AttributeError, match="ours"):
        race(tmp_path, [("default", "")], monkeypatch, measure)


def test_only_the_best_and_the_near_race_again(tmp_path, monkeypatch):
    turns = []
    hits = {"": 60, "a": 40, "b": 33, "c": 10}

    def measure(family, setting):
        turns.append(setting)
        return measured(family, setting, hits=hits[setting])

    race(tmp_path, [("default", ""), ("river", "a"), ("river", "b"), ("river", "c")], monkeypatch, measure)
    assert turns == ["", "a", "b", "c", "", "a", "b"]
