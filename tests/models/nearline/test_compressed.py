"""Vectors in fewer bytes: by hand, within their bounds, and as good at ranking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rtrec.errors import CorruptionError
from rtrec.models.nearline.compressed import PRECISIONS, compress, memory_share
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.ials import IALS
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.nearest import nearest_rows
from rtrec.models.nearline.stored import compressed_arrays, stored_compressed
from rtrec.models.nearline.tables import VectorTable

NO_USERS = np.zeros((0, 3), np.float32)
ITEMS, WEIGHTS = np.array([4, 2, 99], np.int32), np.array([1.0, 0.5, 9.0])


def random_table(n_items: int = 300, d: int = 64, n_users: int = 5, *, apart: bool = True) -> VectorTable:
    rng = np.random.default_rng(3)
    found, given = (rng.normal(size=(n_items, d)).astype(np.float32) for _ in range(2))
    found *= rng.lognormal(0.0, 1.0, (n_items, 1)).astype(np.float32)
    user = rng.normal(size=(n_users, d)).astype(np.float32)
    user[1:2] = np.nan
    return VectorTable(found, given if apart else found, user)


def test_int8_of_two_rows_by_hand():
    rows = np.array([[2.0, -4.0, 1.0], [0.0, 0.5, -0.25]], np.float32)
    packed = compress(VectorTable(rows, rows, NO_USERS), "int8").found

    # The unit is 4 / 127, the step of the first row; the second row's is an eighth of it.
    assert packed.unit[0] == pytest.approx(4 / 127)
    assert packed.step.tolist() == pytest.approx([1.0, 0.125], rel=1e-3)
    # 2 x 127 / 4 = 63.5 and 1 x 127 / 4 = 31.75; 0.25 x 127 / 0.5 = 63.5: half steps go to the even number,
    # or where the unit's rounding sends them.
    assert packed.code[0].tolist() in ([64, -127, 32], [63, -127, 32])
    assert packed.code[1].tolist() in ([0, 127, -64], [0, 127, -63], [0, 126, -63])
    assert packed.rows(slice(None)) == pytest.approx(rows, abs=4 / 127 / 2 * 1.001)


def test_float16_keeps_eleven_bits():
    rows = np.array([[2049.0, 0.1, -3.0]], np.float32)
    table = compress(VectorTable(rows, rows, NO_USERS), "float16")

    # Between 2048 and 4096 every second whole number is there; a tie goes to the even one.
    assert table.expanded().found[0, 0] == 2048.0
    assert table.expanded().found[0, 1] == pytest.approx(0.1, rel=2**-11)
    assert table.expanded().found[0, 2] == -3.0


@given(arrays.arrays(np.float32, st.tuples(st.integers(0, 6), st.integers(1, 5)), elements=st.floats(
    -(2.0**100), 2.0**100, width=32)))  # fmt: skip
def test_int8_is_off_by_at_most_half_a_step_of_its_row(vectors):
    packed = compress(VectorTable(vectors, vectors, vectors[:0]), "int8").found
    back = packed.rows(slice(None)).astype(np.float64)

    step = packed.step.astype(np.float64) * float(packed.unit[0])
    # A step is that of a hundred-and-twenty-seventh, but for float16's rounding up: by at most 1/1024, or by
    # the least number there is for a row sixteen thousand times smaller than the largest.
    wanted = np.abs(vectors.astype(np.float64)).max(axis=1, initial=0.0) / 127
    assert (step <= wanted * (1 + 2**-9) + 2**-23 * float(packed.unit[0]) + 1e-43).all()
    assert np.abs(packed.code.astype(int)).max(initial=0) <= 127
    error = np.abs(back - vectors)
    assert (error <= step[:, None] * 0.5 * (1 + 1e-5) + np.abs(vectors) * 1e-6 + 1e-37).all()


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(
    -6e4, 6e4, width=32)))  # fmt: skip
def test_float16_is_off_by_at_most_a_two_thousandth(vectors):
    back = compress(VectorTable(vectors, vectors, vectors[:0]), "float16").found.rows(slice(None))

    assert (np.abs(back - vectors) <= np.abs(vectors) * 2**-11 + 2**-25).all()


@pytest.mark.parametrize(("precision", "most"), [("int8", 0.27), ("float16", 0.5)])
def test_memory_with_all_that_belongs_to_it(precision, most):
    table = random_table(10_000, n_users=0)
    whole = table.found.nbytes + table.given.nbytes

    assert compress(table, precision).nbytes <= most * whole + 16  # and two units of 4 bytes, rounded up
    shared = compress(random_table(10_000, n_users=0, apart=False), precision)
    assert shared.given is shared.found
    assert shared.nbytes <= most * whole / 2 + 16


def test_short_vectors_save_less():
    assert memory_share(25, "int8") == 0.27
    assert memory_share(24, "int8") > 0.27


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_answers_as_its_expansion_does(precision, apart, monkeypatch):
    monkeypatch.setattr("rtrec.models.nearline.compressed._BLOCK", 70)
    packed = compress(random_table(apart=apart), precision)
    whole = packed.expanded()
    nothing = np.zeros(0, np.int32), np.zeros(0)

    requests = [(ITEMS, WEIGHTS, 0), (*nothing, 0), (*nothing, 1), (*nothing, 77)]
    for request in requests:
        np.testing.assert_allclose(packed.score(*request), whole.score(*request), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        packed.score_many(Histories.of(requests)),
        whole.score_many(Histories.of(requests)),
        rtol=1e-4,
        atol=1e-4,
    )
    assert not packed.score(*nothing, 1).any()  # a row of NaN is no learned vector
    rows, expected = nearest_rows(packed, 5), nearest_rows(whole, 5)
    np.testing.assert_array_equal(rows.item, expected.item)
    np.testing.assert_allclose(rows.weight, expected.weight, rtol=1e-4)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_state_survives_a_round_trip(precision, apart):
    packed = compress(random_table(apart=apart), precision)
    stored = compressed_arrays(packed)
    again = stored_compressed(stored, "mine")

    assert ("vectors/given/code" in stored) == apart
    assert again.precision == precision
    assert again.nbytes == packed.nbytes
    np.testing.assert_array_equal(again.score(ITEMS, WEIGHTS, 0), packed.score(ITEMS, WEIGHTS, 0))
    for name in stored:
        with pytest.raises(CorruptionError, match="mine: no array"):
            stored_compressed({other: stored[other] for other in stored if other != name}, "mine")


def test_damaged_state_is_refused():
    stored = compressed_arrays(compress(random_table(), "int8"))
    with pytest.raises(CorruptionError, match=r"expected vectors/found .* got \(300, 64\) int8, 299 steps"):
        stored_compressed(stored | {"vectors/found/step": stored["vectors/found/step"][1:]}, "mine")
    with pytest.raises(CorruptionError, match=r"float32"):
        stored_compressed(stored | {"vectors/found/code": np.zeros((300, 64), np.float32)}, "mine")


def test_what_cannot_be_held_is_refused():
    big = np.full((2, 3), 70_000.0, np.float32)
    with pytest.raises(ValueError, match=r"'found': float16 holds numbers up to 65,504, got 70,000; divide"):
        compress(VectorTable(big, big, NO_USERS), "float16")
    with pytest.raises(ValueError, match="expected finite numbers; row 1 has others"):
        compress(VectorTable(np.array([[1.0], [np.inf]], np.float32), big[:, :1], big[:0, :1]), "int8")
    with pytest.raises(ValueError, match=r"precision is one of float16, int8; got 'int16'; did you mean"):
        compress(VectorTable(big, big, NO_USERS), "int16")


def planted(n_users: int = 600, n_items: int = 400) -> tuple[Interactions, np.ndarray]:
    """Users take items near them in a space of tastes; a fifth of what they took is held back."""
    rng = np.random.default_rng(11)
    user, item = rng.normal(size=(n_users, 3)), rng.normal(size=(n_items, 3))
    near = np.exp(-1.5 * ((user[:, None] - item) ** 2).sum(axis=2))
    taken = rng.random(near.shape) < 0.6 * near
    held = taken & (rng.random(near.shape) < 0.2)
    users, items = np.nonzero(taken & ~held)
    n = len(users)
    history = Interactions(
        users.astype(np.int32), items.astype(np.int32), np.arange(n) * 1.0, np.ones(n),
        np.full(n, np.nan, np.float32), n_users, n_items,
    )  # fmt: skip
    return history, held


def ndcg(scores: np.ndarray, held: np.ndarray, taken: np.ndarray) -> float:
    """Mean over users of the discounted hits among the ten best, over the best there could be."""
    best = np.argsort(np.where(taken, np.inf, -scores), axis=1, kind="stable")[:, :10]
    discount = 1 / np.log2(np.arange(2, 12))
    gained = np.take_along_axis(held, best, axis=1) @ discount
    ideal = np.array([discount[: min(n, 10)].sum() for n in held.sum(axis=1)])
    return float((gained[ideal > 0] / ideal[ideal > 0]).mean())


def test_planted_tastes_are_ranked_as_well():
    history, held = planted()
    model = IALS(n_factors=64, sweeps=5)
    model.fit(history)
    table, taken = model.table(), history.matrix().toarray() > 0
    had = [history.item_num[history.user_num == user] for user in range(history.n_users)]
    requests = Histories.of((items, np.ones(len(items)), user) for user, items in enumerate(had))
    whole = ndcg(table.score_many(requests), held, taken)

    assert whole > 3 * ndcg(np.tile(taken.sum(axis=0), (len(taken), 1)), held, taken)  # than popularity
    for precision, most in (("int8", 0.005), ("float16", 0.001)):
        found = ndcg(compress(table, precision).score_many(requests), held, taken)
        assert found >= whole * (1.0 - most), f"{precision}: {found:.5f} against {whole:.5f}"
