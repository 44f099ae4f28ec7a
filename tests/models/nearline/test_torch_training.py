"""Adam by rows, growth, chance and replay, redone by hand."""

from __future__ import annotations

import subprocess
import sys
from math import sqrt

import numpy as np
import pytest

from rtrec.errors import CorruptionError, InputError
from rtrec.models.nearline.deep import Training
from rtrec.models.nearline.replay import Reservoir, joined
from rtrec.models.nearline.torch_training import Weights
from tests.models.nearline.deep_contract import one_thread  # noqa: F401  (a fixture that runs by itself)

torch = pytest.importorskip("torch")


def weights_with_item_table(n_rows: int = 3, *, scale: float = 1.0) -> Weights:
    weights = Weights(learning_rate=0.1, seed=1)
    weights.add_table("item", width=2, scale=scale)
    weights.grow("item", n_rows)
    weights.add("bias", torch.zeros(2))
    return weights


def test_adam_moves_as_its_paper_says():
    weights = weights_with_item_table(scale=0.0)

    # The gradient of row 0 is 2 at the first step and 1 at the second.
    weights.step((2.0 * weights.rows("item", np.array([0]))).sum())
    weights.step(weights.rows("item", np.array([0])).sum())

    first_step = 0.1 * 2 / sqrt(4)
    m, v = 0.9 * (0.1 * 2) + 0.1 * 1, 0.999 * (0.001 * 4) + 0.001 * 1
    second_step = 0.1 * (m / (1 - 0.9**2)) / sqrt(v / (1 - 0.999**2))
    assert weights["item"][0].tolist() == pytest.approx([-first_step - second_step] * 2, rel=1e-5)


def test_rows_agree_with_torchs_adam_where_all_rows_move():
    weights = weights_with_item_table()
    reference = weights["item"].clone().requires_grad_()
    adam = torch.optim.Adam([reference], lr=0.1)
    factor = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.1]])
    for _ in range(5):
        weights.step((weights.rows("item", np.arange(3)) * factor).square().sum())
        adam.zero_grad()
        (reference * factor).square().sum().backward()
        adam.step()
    np.testing.assert_allclose(weights["item"].numpy(), reference.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_only_rows_of_the_batch_move_and_each_counts_its_steps():
    weights = weights_with_item_table()
    before = weights["item"].clone()

    weights.step(weights.rows("item", np.array([2, 2])).sum() + weights["bias"].sum())
    weights.step(weights.rows("item", np.array([[1, 2]])).sum())

    assert torch.equal(weights["item"][0], before[0])
    arrays = weights.to_arrays()
    assert arrays["weights/item/steps"].tolist() == [0, 1, 2]
    assert arrays["weights/dense/steps"].tolist() == [1]


def test_a_row_looked_up_twice_gets_the_sum_of_its_gradients():
    once, twice = weights_with_item_table(), weights_with_item_table()
    once.step((3.0 * once.rows("item", np.array([0]))).sum())
    one, other = twice.rows("item", np.array([0, 0])), twice.rows("item", np.array([[0]]))
    twice.step(one.sum() + other.sum())
    for part in ("value", "first", "second"):
        np.testing.assert_allclose(
            twice.to_arrays()[f"weights/item/{part}"], once.to_arrays()[f"weights/item/{part}"], rtol=1e-6
        )


def test_growth_keeps_old_rows_and_their_moments():
    weights = weights_with_item_table()
    weights.step(weights.rows("item", np.arange(3)).square().sum())
    before = weights.to_arrays()

    weights.grow("item", 5)
    weights.grow("item", 4)  # fewer than there are: nothing to do

    for part in ("value", "first", "second", "steps"):
        name = f"weights/item/{part}"
        grown = weights.to_arrays()[name]
        assert len(grown) == 5
        np.testing.assert_array_equal(grown[:3], before[name])
        assert (grown[3:] != 0).all() == (part == "value")


def test_a_late_row_starts_as_every_row_did():
    weights = weights_with_item_table(1, scale=0.0)
    for _ in range(50):
        weights.step(weights.rows("item", np.array([0])).sum())
    weights.grow("item", 2)
    weights.step(weights.rows("item", np.array([1])).sum())
    assert weights["item"][1].tolist() == pytest.approx([-0.1, -0.1], rel=1e-4)


def test_a_look_up_without_training_leaves_no_trace():
    weights = weights_with_item_table()
    with torch.no_grad():
        weights.rows("item", np.array([0]))
    before = weights["item"].clone()
    weights.step(weights["bias"].sum())
    assert torch.equal(weights["item"], before)


def test_the_generator_goes_on_from_a_state():
    weights, other = weights_with_item_table(), weights_with_item_table()
    weights.uniform(7)
    other.restore(weights.to_arrays())
    np.testing.assert_array_equal(weights.uniform(3), other.uniform(3))


def test_a_state_is_a_copy():
    weights = weights_with_item_table()
    arrays = weights.to_arrays()
    before = arrays["weights/item/value"].copy()
    weights.step(weights.rows("item", np.arange(3)).sum())
    np.testing.assert_array_equal(arrays["weights/item/value"], before)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("generator", np.zeros(3, np.uint8), "generator"),
        ("weights/item/steps", np.zeros(2, np.int64), "expected 3 rows, got 2"),
        ("weights/dense/value", np.zeros(2), "expected float32"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(name, array, words):
    weights = weights_with_item_table()
    before = weights.to_arrays()
    with pytest.raises(CorruptionError, match=words):
        weights_with_item_table().restore(before | {name: array})
    with pytest.raises(CorruptionError, match=words):
        weights.restore({key: value * 0 for key, value in before.items()} | {name: array})
    np.testing.assert_array_equal(weights.to_arrays()["weights/item/value"], before["weights/item/value"])


def test_every_epoch_meets_every_example_once():
    batches = list(Weights(learning_rate=0.1, seed=0).batches(10, size=4, epochs=2))
    assert [len(each) for each in batches] == [4, 4, 2] * 2
    for epoch in (batches[:3], batches[3:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(10))
    assert not np.array_equal(np.concatenate(batches[:3]), np.concatenate(batches[3:]))


def test_dropout_keeps_the_mean():
    weights = Weights(learning_rate=0.1, seed=0)
    dropped = weights.dropped(torch.ones(20_000), 0.2)
    assert sorted(set(dropped.tolist())) == pytest.approx([0.0, 1 / 0.8])
    assert dropped.mean().item() == pytest.approx(1.0, abs=4 * 0.5 / sqrt(20_000))


def test_reservoir_is_a_uniform_sample():
    """Each of 30 examples should be among the kept 6 in a fifth of 4,000 runs, whenever it came."""
    rng, n_runs = np.random.default_rng(3), 4000
    kept = np.zeros(30)
    for _ in range(n_runs):
        reservoir = Reservoir(6, {"number": np.zeros(0, np.int64)})
        for part in np.split(np.arange(30), [4, 5, 17]):
            reservoir.offer({"number": part}, rng.random(len(part)))
        assert len(set(reservoir.columns["number"].tolist())) == 6
        kept[reservoir.columns["number"]] += 1
    # Binomial(4000, 1/5): standard deviation sqrt(4000 x 0.16) = 25.3; 30 draws stay within 4 of them.
    np.testing.assert_allclose(kept, n_runs / 5, atol=4 * sqrt(n_runs * 0.16))


def test_reservoir_gives_back_whole_examples():
    reservoir = Reservoir(5, {"a": np.zeros(0, np.int64), "b": np.zeros((0, 2), np.float32)})
    numbers = np.arange(100)
    examples = {"a": numbers, "b": np.stack([numbers, -numbers], axis=1).astype(np.float32)}
    reservoir.offer(examples, np.random.default_rng(0).random(100))

    taken = reservoir.taken(np.array([0.0, 0.999, 0.5]))

    assert taken["a"].tolist() == reservoir.columns["a"][[0, 4, 2]].tolist()
    np.testing.assert_array_equal(taken["b"], np.stack([taken["a"], -taken["a"]], axis=1))
    assert len(joined(taken, examples)["a"]) == 103


def test_empty_reservoir_gives_nothing():
    reservoir = Reservoir(5, {"a": np.zeros(0, np.int64)})
    assert len(reservoir.taken(np.array([0.3, 0.6]))["a"]) == 0


def test_reservoir_survives_a_round_trip():
    reservoir, other = (Reservoir(4, {"a": np.zeros(0, np.int64)}) for _ in range(2))
    reservoir.offer({"a": np.arange(9)}, np.random.default_rng(0).random(9))
    other.restore(reservoir.to_arrays())
    for each in (reservoir, other):
        each.offer({"a": np.arange(9, 20)}, np.random.default_rng(1).random(11))
    assert reservoir.columns["a"].tolist() == other.columns["a"].tolist()


def test_reservoir_refuses_a_state_of_another_size():
    reservoir = Reservoir(4, {"a": np.zeros(0, np.int64)})
    with pytest.raises(CorruptionError, match=r"replay/a.*expected 4 rows, got 2"):
        reservoir.restore({"replay/a": np.arange(2), "replay/n_seen": np.array([9])})


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"learning_rate": 0.0}, {"replay": -1.0}])
def test_training_refuses_what_makes_no_sense(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Training(**bad)


def test_without_torch_modules_import_and_models_say_what_to_install():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from rtrec.errors import InputError\n"
        "from rtrec.models.nearline.embedding import EmbeddingModel\n"
        "from rtrec.models.nearline.sequence import SequenceModel\n"
        "from rtrec.models.nearline.two_tower import TwoTowerModel\n"
        "for model in (EmbeddingModel, SequenceModel, TwoTowerModel):\n"
        "    try: model()\n"
        "    except InputError as error: assert \"-c constraints.txt -e '.[deep]'\" in str(error)\n"
        "    else: raise SystemExit('made without torch')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install -c constraints.txt -e '\.\[deep\]'"):
        Weights(learning_rate=0.1, seed=0)
