"""Arithmetic over candidates against numpy's own."""

import numpy as np
import pytest

from rtrec.models.sums import add_weighted, fill_exponential, product, squares_about, total_of

N = 37


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(11, N + 5)).astype(np.float32)


def test_sums_of_the_first_n_values(rows: np.ndarray) -> None:
    one, other = rows[0], rows[1]
    assert total_of(one, N) == pytest.approx(one[:N].sum(), rel=1e-5)
    assert product(one, other, N) == pytest.approx(one[:N] @ other[:N], rel=1e-5)
    assert squares_about(one, np.float32(0.5), N) == pytest.approx(((one[:N] - 0.5) ** 2).sum(), rel=1e-5)


@pytest.mark.parametrize("n_active", range(12))
def test_every_active_row_is_added_once_and_no_other(rows: np.ndarray, n_active: int) -> None:
    rng = np.random.default_rng(n_active)
    active, weight = np.zeros(len(rows), np.bool_), rng.normal(size=len(rows)).astype(np.float32)
    active[rng.permutation(len(rows))[:n_active]] = True
    total = rng.normal(size=N + 5).astype(np.float32)
    expected = total[:N] + (weight[active, None] * rows[active, :N]).sum(axis=0)
    after = total[N:].copy()
    add_weighted(weight, rows, active, N, total)
    assert total[:N] == pytest.approx(expected, abs=1e-5)
    assert (total[N:] == after).all()


def test_the_exponential_is_off_by_a_few_millionths() -> None:
    values = np.linspace(-80.0, 3.0, 50_001, dtype=np.float32)
    found = np.full(len(values) + 1, 7.0, np.float32)
    fill_exponential(values, np.float32(3.0), len(values), found)
    assert found[:-1] == pytest.approx(np.exp(values.astype(np.float64) - 3.0), rel=4e-6)
    assert found[-2] == 1.0
    assert found[-1] == 7.0
    assert (np.diff(found[:-1]) >= 0.0).all()  # nothing changes places


def test_what_is_far_below_is_next_to_nothing() -> None:
    found = np.empty(3, np.float32)
    fill_exponential(np.array([0.0, -1e6, -np.inf], np.float32), np.float32(0.0), 3, found)
    assert found[0] == 1.0
    assert (found[1:] >= 0.0).all()
    assert (found[1:] < 1e-37).all()
