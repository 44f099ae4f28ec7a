"""The benchmark of augmentation: figures and differences by hand, and the real model on a ring of items."""

from __future__ import annotations

from math import log2
from typing import Any

import augmentation as benchmark
import numpy as np
import pandas as pd
import pytest
from augmentation import WAYS, Trial, as_markdown, kept, measure, over_seeds, race, summary

from rtrec.events.loading import LoadedEvents, load_events
from rtrec.events.mapping import ColumnMapping
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.tables import NeighbourTable


def log(*rows: tuple[str, str]) -> LoadedEvents:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"])
    return load_events(
        frame.assign(timestamp=range(1, len(frame) + 1)), ColumnMapping("user_id", "item_id", "timestamp")
    )


#: Items are numbered as they come: a 0, b 1, c 2. The last of each user: c, b and a.
LOG = log(("u", "a"), ("u", "b"), ("v", "c"), ("w", "b"), ("u", "c"), ("v", "b"), ("w", "a"))


class ByNumber(NearlineModel):
    """Scores that fall with an item's number, or with noise injected rise; and what it was taught."""

    def __init__(self, augmentation: tuple[str, ...], seed: int) -> None:
        self.sign = 1.0 if "noise" in augmentation else -1.0
        self.n_items, self.learned = 0, []

    def fit(self, history: Interactions) -> None:
        self.n_items = history.n_items
        self.learned.append(list(zip(history.user_num.tolist(), history.item_num.tolist(), strict=True)))

    def table(self) -> NeighbourTable:
        raise NotImplementedError

    def score(self, items: Any, weights: Any, user_num: int = -1) -> np.ndarray:
        return self.sign * np.arange(self.n_items)

    def score_many(self, histories: Any) -> np.ndarray:
        return np.tile(self.score(None, None), (histories.n_requests, 1))

    def to_arrays(self) -> dict[str, Any]:
        return {}

    def restore(self, arrays: Any) -> None:
        pass


def test_the_last_event_of_each_user_is_looked_for_among_all_items():
    # Without what they had: u c | v a b | w a c. So c is first, b is second and a is first.
    trial = measure(LOG, (), 0, ByNumber)
    assert trial.hits == [1.0, 1.0, 1.0]
    assert trial.gains == pytest.approx([1.0, 1.0 / log2(3), 1.0])
    # The other way round: u c | v b a | w c a.
    assert measure(LOG, ("noise",), 0, ByNumber).gains == pytest.approx([1.0, 1.0, 1.0 / log2(3)])


def test_the_last_event_of_a_user_is_not_learned():
    model = ByNumber((), 0)
    measure(LOG, (), 0, lambda augmentation, seed: model)
    assert model.learned == [[(0, 0), (0, 1), (1, 2), (2, 1)]]


def test_interval_over_seeds_by_hand():
    # Differences 1 to 5: mean 3, variance 10 / 4, and t of 4 degrees of freedom is 2.776.
    mean, low, high = over_seeds([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3.0
    assert (low, high) == pytest.approx((3.0 - 2.776 * 0.5**0.5, 3.0 + 2.776 * 0.5**0.5), abs=1e-3)


def test_differences_are_paired_by_seed_and_by_user():
    without = [Trial([1.0, 0.0], [0.5, 0.0], 1.0), Trial([0.0, 0.0], [0.0, 0.0], 1.0)]
    mine = [Trial([1.0, 1.0], [0.5, 1.0], 2.0), Trial([0.0, 1.0], [0.0, 1.0], 4.0)]
    row = summary("mask", mine, without)
    assert (row["hr@10"], row["ndcg@10"], row["learn_seconds"]) == (3 / 4, 2.5 / 4, 3.0)
    # With both seeds the second user gains 1 and the first nothing: seeds agree, users do not.
    assert (row["ndcg@10_difference"], row["ndcg@10_low"], row["ndcg@10_high"]) == (0.5, 0.5, 0.5)
    assert (row["ndcg@10_users_low"], row["ndcg@10_users_high"]) == (0.0, 1.0)
    assert (row["seeds"], row["users"]) == (2, 2)


def test_a_kept_trial_is_not_measured_again(tmp_path):
    trial = Trial([1.0], [0.5], 3.0)
    assert kept(tmp_path / "folder" / "one.json", lambda: trial) == trial
    assert kept(tmp_path / "folder" / "one.json", lambda: pytest.fail("measured again")) == trial
    assert kept(None, lambda: trial) == trial


def test_every_way_runs_with_every_seed_on_the_first_events(monkeypatch):
    asked = []

    def measured(loaded: LoadedEvents, augmentation: tuple[str, ...], seed: int) -> Trial:
        asked.append((loaded.events.num_rows, augmentation, seed))
        return measure(loaded, augmentation, seed, ByNumber)

    monkeypatch.setattr(benchmark, "measure", measured)
    rows = race(LOG, "walks", n_seeds=2, limit=6, keep=None)
    assert asked == [(6, augmentation, seed) for seed in (0, 1) for augmentation in WAYS.values()]
    # Without its last event w has one alone, which is learned: c is u's, and b of v is second or first.
    gaps = {row["augmentation"]: row["ndcg@10_difference"] for row in rows}
    gain = pytest.approx((1.0 - 1.0 / log2(3)) / 2)
    assert gaps == {
        "none": 0.0,
        "mask": 0.0,
        "crop": 0.0,
        "reorder": 0.0,
        "noise": gain,
        "all together": gain,
    }
    lines = as_markdown(rows).splitlines()
    assert len(lines) == 8
    assert "+0.1845 (+0.1845 to +0.1845)" in lines[6]
    assert len({line.count("|") for line in lines}) == 1


def test_the_sequence_model_finds_the_next_of_a_ring_with_every_augmentation():
    pytest.importorskip("torch")
    from rtrec.models.nearline.deep import Training
    from rtrec.models.nearline.sequence import SequenceModel

    def small(augmentation: tuple[str, ...], seed: int) -> SequenceModel:
        training = Training(epochs=1, batch_size=20, learning_rate=0.01, seed=seed, device="cpu")
        options = {"embedding_size": 16, "blocks": 1, "n_negatives": 64, "most_history": 10}
        return SequenceModel(**options, augmentation=augmentation, training=training)

    ring = log(*[(f"user{user}", f"item{(user + step) % 40}") for user in range(80) for step in range(9)])
    trials = {way: measure(ring, augmentation, 0, small) for way, augmentation in WAYS.items()}
    for trial in trials.values():
        # By chance 10 of the 32 items that a user had not would hit: 0.31.
        assert len(trial.hits) == 80
        assert np.mean(trial.hits) > 0.8
    assert len({tuple(trial.gains) for trial in trials.values()}) == len(WAYS)
    assert measure(ring, WAYS["all together"], 0, small).gains == trials["all together"].gains
    assert measure(ring, WAYS["all together"], 1, small).gains != trials["all together"].gains
