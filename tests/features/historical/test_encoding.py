"""Quantiles, codes and buckets: as dask-ml fits them, applied by NumPy, and what comes unseen."""

from __future__ import annotations

import os
import subprocess
import sys

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from rtrec.features.historical.encoding import (
    UNSEEN,
    CategoryCodes,
    Cross,
    bucket_of,
    fit_codes,
    fit_quantiles,
    log_lift,
)


def test_quantiles_by_hand():
    scale = fit_quantiles(np.array([[10.0], [20.0], [30.0], [50.0], [np.nan]]), n_quantiles=4)
    np.testing.assert_allclose(scale.values[:, 0], [10, 20, 30, 50])
    found = scale.apply(np.array([[10.0], [25.0], [50.0], [99.0], [-1.0], [np.nan]]))
    np.testing.assert_allclose(found[:, 0], [0, 1.5 / 3, 1, 1, 0, np.nan])


def test_quantiles_are_those_of_dask_ml():
    from dask_ml.preprocessing import QuantileTransformer

    numbers = np.random.default_rng(0).lognormal(size=(3000, 1)).round(1)  # with ties
    theirs = QuantileTransformer(n_quantiles=1000, subsample=3000)
    expected = theirs.fit_transform(da.from_array(numbers, chunks=(3000, 1))).compute()
    np.testing.assert_allclose(fit_quantiles(numbers).apply(numbers), expected, atol=1e-9)


def test_equal_numbers_get_the_middle_of_what_they_span():
    scale = fit_quantiles(np.array([[0.0], [1.0], [1.0], [1.0], [3.0]]), n_quantiles=5)
    assert scale.apply(np.array([[1.0]])).item() == pytest.approx((1 / 4 + 3 / 4) / 2)


def test_a_column_without_numbers_and_one_of_a_single_number():
    scale = fit_quantiles(np.array([[np.nan, 7.0], [np.nan, np.nan]]))
    found = scale.apply(np.array([[3.0, 7.0], [np.nan, np.nan]]))
    assert found[0].tolist() == [0.5, 0.5]
    assert np.isnan(found[1]).all()


def test_codes_are_those_of_dask_ml_and_the_unseen_have_their_own():
    frame = pd.DataFrame({"colour": ["red", "blue", "red", "green"], "size": ["s", "m", "m", "s"]})
    codes, own = fit_codes(dd.from_pandas(frame, npartitions=2))
    assert codes == CategoryCodes(("colour", "size"), (("blue", "green", "red"), ("m", "s")))
    assert own.tolist() == [[3, 2], [1, 1], [3, 1], [2, 2]]
    assert codes.encode(frame).tolist() == own.tolist()
    unseen = pd.DataFrame({"colour": ["pink", None], "size": ["s", "xxl"]})
    assert codes.encode(unseen).tolist() == [[UNSEEN, 2], [UNSEEN, UNSEEN]]


def test_a_bucket_is_the_same_in_every_process():
    code = (
        "from rtrec.features.historical.encoding import *; "
        "print(bucket_of(Cross('cohort', 'band'), ['heavy', 'light'], ['dear', 'cheap'], 10**6).tolist())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    here = bucket_of(Cross("cohort", "band"), ["heavy", "light"], ["dear", "cheap"], 10**6)
    assert printed == {f"{here.tolist()}\n"}


def test_buckets_are_spread_and_differ_from_cross_to_cross():
    left, right = [f"u{n // 50}" for n in range(2500)], [f"i{n % 50}" for n in range(2500)]
    buckets = bucket_of(Cross("a", "b"), left, right, 4096)
    assert (buckets >= 0).all()
    assert (buckets < 4096).all()
    # Of 2,500 in 4,096 places, 4096 * (1 - exp(-2500 / 4096)) = 1,871 are taken at random.
    assert len(np.unique(buckets)) == pytest.approx(1871, abs=60)
    assert (bucket_of(Cross("a", "c"), left, right, 4096) == buckets).mean() < 0.01


def test_where_a_text_ends_matters():
    assert bucket_of(Cross("a", "b"), ["xy"], ["z"], 10**9) != bucket_of(
        Cross("a", "b"), ["x"], ["yz"], 10**9
    )


def test_no_bucket_at_all_is_refused():
    with pytest.raises(ValueError, match="n_buckets must be at least 1; got 0"):
        bucket_of(Cross("a", "b"), ["x"], ["y"], 0)


def test_a_lift_of_little_is_little():
    # Twice what was expected: of 1 event hardly anything, of 1000 nearly log 2.
    found = log_lift(np.array([2.0, 2000.0]), np.array([1.0, 1000.0]), 5.0)
    np.testing.assert_allclose(found, [np.log(7 / 6), np.log(2005 / 1005)])
