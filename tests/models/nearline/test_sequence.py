"""The sequence model: causality, losses by hand, windows, augmentation."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from rtrec.models.nearline import sequence
from rtrec.models.nearline.augmentation import crop, mask, reorder
from rtrec.models.nearline.deep import Training
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.nearline.sequence import SequenceModel, gbce_beta
from tests.models.nearline.contract import ITEMS, history
from tests.models.nearline.deep_contract import DeepContract, one_thread  # noqa: F401

torch = pytest.importorskip("torch")


def small(**options) -> SequenceModel:
    training = {"epochs": 40, "update_epochs": 15, "batch_size": 40, "learning_rate": 0.01}
    training |= {name: options.pop(name) for name in list(options) if name in training}
    return SequenceModel(
        **{"embedding_size": 16, "most_history": 20, "blocks": 1, "n_negatives": 64} | options,
        training=Training(**training),
    )


class TestSequence(DeepContract):
    def make(self):
        return small()


def events(*sequences: list[int], n_items: int = 10) -> Interactions:
    """Return events of one user after the other."""
    user = np.repeat(np.arange(len(sequences)), [len(each) for each in sequences]).astype(np.int32)
    item = np.concatenate(sequences).astype(np.int32)
    n = len(item)
    return Interactions(
        user, item, np.arange(float(n)), np.ones(n), np.full(n, np.nan, np.float32), len(sequences), n_items
    )


@pytest.fixture(scope="module")
def fitted() -> SequenceModel:
    model = small(epochs=5)
    model.fit(history(300))
    return model


def test_a_later_item_changes_no_earlier_state(fitted):
    with torch.no_grad():
        one = fitted._states(np.array([[1, 2, 3, 4]], np.int32)).numpy()
        other = fitted._states(np.array([[1, 2, 9, 7]], np.int32)).numpy()
    np.testing.assert_allclose(one[0, :3], other[0, :3], atol=1e-6)  # start, 1, 2
    assert np.abs(one[0, 3:] - other[0, 3:]).max(axis=1).min() > 1e-3


def test_an_end_past_a_shorter_sequence_changes_nothing(fitted):
    with torch.no_grad():
        alone = fitted._states(np.array([[5, 6]], np.int32)).numpy()
        padded = fitted._states(np.array([[5, 6, -1, -1]], np.int32)).numpy()
    np.testing.assert_allclose(alone[0], padded[0, :3], atol=1e-6)


def test_many_sequences_of_all_lengths_are_scored_as_one_by_one(fitted, monkeypatch):
    monkeypatch.setattr(sequence, "_SEQUENCES_AT_ONCE", 4)
    rng = np.random.default_rng(3)
    requests = [(rng.integers(0, 40, n).astype(np.int32), np.ones(n), -1) for n in rng.permutation(30)]
    many = fitted.score_many(Histories.of(requests))
    one_by_one = np.array([fitted.score(*request) for request in requests])
    np.testing.assert_allclose(many, one_by_one, rtol=1e-4, atol=1e-5)


def test_order_matters_to_the_score(fitted):
    weights = np.ones(3)
    assert not np.allclose(fitted.score(ITEMS, weights), fitted.score(ITEMS[::-1].copy(), weights))


def test_only_the_last_items_are_looked_at(fitted):
    long = np.tile(np.arange(10, dtype=np.int32), 5)
    np.testing.assert_array_equal(fitted.score(long, np.ones(50)), fitted.score(long[:20], np.ones(20)))


def test_table_says_what_one_item_says(fitted):
    table = fitted.table()
    np.testing.assert_allclose(
        table.score(np.array([4], np.int32), np.ones(1)),
        fitted.score(np.array([4], np.int32), np.ones(1)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_next_step_of_a_walk_is_learned():
    walks = [[(start + step) % 10 for step in range(12)] for start in range(10)] * 3
    model = small(epochs=40)
    model.fit(events(*walks))
    for last in range(10):
        past = np.array([last, (last - 1) % 10, (last - 2) % 10], np.int32)
        assert np.argmax(model.score(past, np.ones(3))) == (last + 1) % 10


def test_sampled_softmax_by_hand():
    model = small(loss="softmax")
    loss = model._losses(torch.tensor([2.0]), torch.tensor([[1.0, -torch.inf]]), np.log([0.5, 3.0]))
    # What is expected half a time counts double; the negative that is the target counts nothing.
    assert loss.item() == pytest.approx(-log(exp(2) / (exp(2) + exp(1) / 0.5)), rel=1e-5)


def test_negatives_come_as_often_as_expected():
    model = small(n_negatives=4000)
    model._note(events([0, 0, 0, 1, 2]), 0)
    model._targets, model._share = np.array([0, 0, 0, 1, 2]), np.array([0.6, 0.2, 0.2] + [0.0] * 7)
    negative, log_expected = model._negatives()
    expected = np.array([2000 / 3 + 2000 * share for share in (0.6, 0.2, 0.2)])
    np.testing.assert_allclose(np.exp(log_expected), expected[negative])
    # The spread of each count is below sqrt(4000 / 4) = 32.
    np.testing.assert_allclose(np.bincount(negative), expected, atol=4 * 32)


def test_attention_fades_with_age():
    bias = small(heads=2)._recency_bias(3).numpy()
    assert bias[0, 2].tolist() == pytest.approx([-2 * log(2) / 2.5, -log(2) / 2.5, 0.0])
    assert bias[1, 2, 1] == pytest.approx(-log(2) / 15.0)
    assert (bias[:, 0, 1:] == -np.inf).all()


def test_gbce_by_hand():
    model = small(loss="gbce", calibration=0.5)
    model._known = np.ones(11, bool)
    loss = model._losses(torch.tensor([2.0]), torch.tensor([[1.0, -3.0]]), np.zeros(2))
    # alpha = 2/10, so beta = 0.2 (0.5 (1 - 5) + 5) = 0.6.
    by_hand = 0.6 * log(1 + exp(-2)) + log(1 + exp(1)) + log(1 + exp(-3))
    assert loss.item() == pytest.approx(by_hand / 3, rel=1e-5)


def test_gbce_beta_by_hand():
    assert gbce_beta(2, 11, 0.5) == pytest.approx(0.6)
    assert gbce_beta(2, 11, 0.0) == pytest.approx(1.0)
    assert gbce_beta(2, 11, 1.0) == pytest.approx(0.2)
    assert gbce_beta(256, 11, 0.75) == 1.0  # more negatives than items undo nothing


def test_gbce_learns_too():
    model = small(loss="gbce")
    model.fit(history())
    scores = model.score(np.arange(3, dtype=np.int32), np.ones(3))
    assert scores[:15].mean() > scores[15:].mean()


def test_windows_cover_a_sequence_from_its_end():
    model = small(most_history=3)
    columns = model._examples(events([0, 1, 2, 3, 4, 5], [7, 8]), 0)
    assert columns["item"].tolist() == [[0, 1, -1, -1], [2, 3, 4, 5], [7, 8, -1, -1]]
    assert columns["weight"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]]


def test_windows_of_an_update_reach_back_to_the_first_new_event():
    model = small(most_history=3)
    given = events([0, 1, 2, 3, 4, 5], [7, 8])
    assert model._examples(given, 7)["item"].tolist() == [[7, 8, -1, -1]]
    assert model._examples(given, 5)["item"].tolist() == [[2, 3, 4, 5], [7, 8, -1, -1]]
    assert model._examples(given, 8)["item"].shape == (0, 4)


def test_mask_hides_the_items_whose_draw_is_low():
    rows = np.array([[0, 1, 2, -1]])
    hidden = mask(rows, np.array([[0.1, 0.3, 0.19, 0.0]]), share=0.2)
    assert hidden.tolist() == [[True, False, True, False]]


def test_crop_keeps_a_stretch():
    rows = np.array([[0, 1, 2, 3, 4], [0, 1, -1, -1, -1], [0, -1, -1, -1, -1], [-1] * 5])
    cropped = crop(rows, np.array([0.99, 0.0, 0.5, 0.5]), share=0.6)
    # Three of five from place floor(0.99 x 3) = 2; one of two; never less than one; nothing of nothing.
    assert cropped.tolist() == [[2, 3, 4, -1, -1], [0, -1, -1, -1, -1], [0, -1, -1, -1, -1], [-1] * 5]


def test_reorder_shuffles_a_stretch_and_nothing_else():
    rows = np.array([[0, 1, 2, 3, 4, -1]])
    order = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]])
    # Three of five from place floor(0.4 x 3) = 1: places 1 to 3, turned round.
    assert reorder(rows, order, np.array([0.4]), share=0.6).tolist() == [[0, 3, 2, 1, 4, -1]]


@pytest.mark.parametrize("name", ["mask", "crop", "reorder", "noise"])
def test_each_augmentation_does_its_own_to_half_of_the_rows(name):
    model = small(augmentation=(name,))
    item = np.tile(np.arange(20, dtype=np.int32), (400, 1))
    weight = np.ones(item.shape, np.float32)
    augmented, counts, hidden, noise = model._augmented(item, weight)
    changed = {
        "mask": hidden.any(axis=1),
        "crop": (augmented >= 0).sum(axis=1) == 12,  # 0.6 of 20
        "reorder": (augmented != item).any(axis=1),
        "noise": noise if noise is not None else np.zeros(400, bool),
    }
    for each, rows in changed.items():
        if each == name:
            # Binomial(400, 1/2) has a standard deviation of 10; a mask may rarely hide nothing.
            assert rows.sum() == pytest.approx(200, abs=45)
        elif each != "reorder" or name not in ("crop",):  # what is cropped differs from what was
            assert not rows.any()
    np.testing.assert_array_equal(counts > 0, augmented >= 0)
    if name == "reorder":
        np.testing.assert_array_equal(np.sort(augmented, axis=1), item)
    np.testing.assert_array_equal(item, np.tile(np.arange(20), (400, 1)))


def test_noise_moves_only_its_rows(fitted):
    items = np.array([[1, 2], [1, 2]], np.int32)
    with torch.no_grad():
        states = fitted._states(items, noise=np.array([True, False])).numpy()
        plain = fitted._states(items).numpy()
    np.testing.assert_allclose(states[1], plain[1], atol=1e-6)
    assert np.abs(states[0] - plain[0]).max() > 1e-3


def test_noise_by_hand():
    model, twin = small(), small()  # of one seed: they draw the same
    values = torch.tensor([[[3.0, 4.0], [9.0, 9.0]], [[0.0, 1.0], [2.0, 4.0]]])
    real = np.array([[True, False], [True, True]])
    noisy = model._with_noise(values, np.array([True, False]), real)
    # Over the real places the mean square is (9 + 16 + 0 + 1 + 4 + 16) / 6 = 46 / 6; the 9s are past an end.
    spread = 0.3 * (46 / 6) ** 0.5
    draws = twin.weights.normal(2, 2, 2, scale=1.0)
    np.testing.assert_allclose((noisy - values)[0], spread * draws[0], atol=1e-5)
    np.testing.assert_array_equal(noisy[1], values[1])


def test_noise_has_the_spread_it_is_said_to_have():
    model = small()
    values = 2.0 * torch.ones(50, 40, 16)
    noise = model._with_noise(values, np.ones(50, bool), np.ones((50, 40), bool)) - values
    # 0.3 x 2, from 32,000 draws: standard errors of 0.6 / sqrt(32,000) = 0.0034, and 0.0024 of the spread.
    assert noise.mean().item() == pytest.approx(0.0, abs=0.014)
    assert noise.std().item() == pytest.approx(0.6, abs=0.01)


def test_the_seed_decides_what_augmentation_does():
    everything = ("mask", "crop", "reorder", "noise")
    item, weight = np.tile(np.arange(20, dtype=np.int32), (30, 1)), np.ones((30, 20), np.float32)

    def drawn(seed: int) -> list[np.ndarray]:
        model = SequenceModel(augmentation=everything, training=Training(seed=seed))
        return [each for each in model._augmented(item, weight) if each is not None]

    for one, other in zip(drawn(1), drawn(1), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (drawn(1)[0] != drawn(2)[0]).any()


def test_a_hidden_item_is_not_seen(fitted):
    hidden = np.array([[False, True]])
    with torch.no_grad():
        one = fitted._states(np.array([[1, 2]], np.int32), hidden).numpy()
        other = fitted._states(np.array([[1, 9]], np.int32), hidden).numpy()
    np.testing.assert_array_equal(one, other)


def test_augmentation_off_draws_nothing():
    item = np.zeros((3, 5), np.int32)
    model, other = small(), small()
    model._augmented(item, np.ones((3, 5), np.float32))
    np.testing.assert_array_equal(model.weights.uniform(4), other.weights.uniform(4))


@pytest.mark.parametrize(
    ("given", "taken"),
    [("", ()), ((), ()), ("noise", ("noise",)), ("noise+mask", ("mask", "noise")), (("crop",), ("crop",))],
)
def test_augmentations_are_named_one_by_one_or_in_a_text(given, taken):
    assert SequenceModel(augmentation=given).augmentation == taken


def test_a_line_switches_augmentation_on():
    model = Recipe.parse("sequence:augmentation=mask+reorder").make()
    assert isinstance(model, SequenceModel)
    assert model.augmentation == ("mask", "reorder")


def test_all_augmentations_together_still_learn():
    model = small(augmentation=("mask", "crop", "reorder", "noise"))
    model.fit(history())
    scores = model.score(np.arange(5, dtype=np.int32), np.ones(5))
    assert scores[:15].mean() > scores[15:].mean()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "gbec"}, "'gbec'; did you mean 'gbce'"),
        ({"augmentation": ("crops",)}, "'crops'; did you mean 'crop'"),
        ({"augmentation": "mask+crops"}, "'crops'; did you mean 'crop'"),
        ({"embedding_size": 15}, "multiple of heads"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        SequenceModel(**options)
