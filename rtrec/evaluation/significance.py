"""Whether one model is better than another on the same users, or it was chance.

Users are the unit: what one user takes hangs together, so figures are first made per user, and users are
drawn again (with repetition) to see how far a mean could have come out elsewhere. Differences are paired by
user, which takes out what makes a user easy or hard for both models. For figures per event see
:class:`rtrec.evaluation.metrics.PairedCounts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtrec.evaluation.metrics import Difference, checked_level, sign_test, z_score
from rtrec.types import Floats

N_RESAMPLES = 1000
#: Resampled users are counted this many numbers at a time, which bounds memory.
_BLOCK_CELLS = 4_000_000


def bootstrap_means(values: Floats, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Floats:
    """Return the mean of each column over users drawn with repetition, ``(resample, column)``.

    All columns see the same draws. NaN is no figure and is left out of its column.

    Parameters
    ----------
    values
        A figure of each user, ``(user, column)``.
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples is at least 1; got {n_resamples}")
    n_users = len(values)
    known = ~np.isnan(values)
    whole = bool(known.all())
    filled = values if whole else np.where(known, values, 0.0)
    rng = np.random.default_rng(seed)
    means = np.empty((n_resamples, values.shape[1]))
    block = max(1, _BLOCK_CELLS // max(n_users, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        for start in range(0, n_resamples, block):
            size = min(block, n_resamples - start)
            times = np.empty((size, n_users))
            for row in times:
                row[:] = np.bincount(rng.integers(0, n_users, n_users), minlength=n_users)
            counted = float(n_users) if whole else times @ known
            means[start : start + size] = times @ filled / counted
    return means


def bootstrap_interval(
    values: Floats, *, level: float = 0.95, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return the low and high end of the percentile interval of each column's mean (Efron 1979).

    NaN where fewer than two users have a figure.

    >>> low, high = bootstrap_interval(np.array([[0.0, 5.0], [1.0, 5.0], [1.0, 5.0]]))
    >>> (low[1], high[1])  # nothing varies, so no draw does
    (np.float64(5.0), np.float64(5.0))
    """
    tail = (1.0 - checked_level(level)) / 2.0
    low, high = np.full((2, values.shape[1]), np.nan)
    some = (~np.isnan(values)).sum(axis=0) >= 2
    if some.any():
        means = bootstrap_means(values[:, some], n_resamples=n_resamples, seed=seed)
        low[some], high[some] = np.nanquantile(means, [tail, 1.0 - tail], axis=0)
    return low, high


def jackknife_interval(
    value: float, without: Floats, *, level: float = 0.95, within: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float]:
    """Return the normal interval of a figure from its values with each user left out (Tukey 1958).

    The squared standard error is (n - 1) / n times the sum of squared deviations of ``without``, ``(user,)``.
    For figures that are no mean over users, such as coverage.

    >>> values = np.array([1.0, 2.0, 4.0, 5.0])  # for a mean, the textbook's standard error: sqrt(10/3/4)
    >>> low, high = jackknife_interval(3.0, (12.0 - values) / 3.0, within=(-9.0, 9.0))
    >>> round((high - low) / 2 / 1.959964, 6) == round((10 / 3 / 4) ** 0.5, 6)
    True
    """
    n_users = len(without)
    z = z_score(level)
    if n_users < 2:
        return float("nan"), float("nan")
    half = z * float(np.sqrt((n_users - 1.0) / n_users * ((without - without.mean()) ** 2).sum()))
    low, high = within
    return max(value - half, low), min(value + half, high)


@dataclass(frozen=True)
class PairedTest:
    """Model A minus model B on the same users.

    Attributes
    ----------
    difference
        The mean difference with its bootstrap interval.
    p_bootstrap
        How often chance alone would give a mean at least as far from zero: draws of the differences, shifted
        to a mean of zero (Sakai 2006).
    a_wins, b_wins
        On how many users A did better, and B.
    p_sign
        Two-sided p-value of the exact sign test on these wins; ties are left out.
    n_users
        How many users have a figure of both.
    """

    difference: Difference
    p_bootstrap: float
    a_wins: int
    b_wins: int
    p_sign: float
    n_users: int


def paired_test(
    a: Floats, b: Floats, *, level: float = 0.95, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> PairedTest:
    """Compare two models by a figure of each user, both of shape ``(user,)``; NaN: no figure.

    >>> both = paired_test(np.array([1.0, 0.5, 1.0, 0.0]), np.array([0.0, 0.5, 0.0, 0.0]))
    >>> both.difference.value, both.a_wins, both.b_wins, both.p_sign  # two wins of two: 2 x 1/4
    (0.5, 2, 0, 0.5)

    Raises
    ------
    ValueError
        If the figures are not of the same users.
    """
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            f"paired figures: expected one of each user from both models; got {a.shape} and {b.shape}"
        )
    gaps = a - b
    gaps = gaps[~np.isnan(gaps)]
    n_users = len(gaps)
    a_wins, b_wins = int((gaps > 0.0).sum()), int((gaps < 0.0).sum())
    if not n_users:
        return PairedTest(Difference(np.nan, np.nan, np.nan), 1.0, 0, 0, 1.0, 0)
    mean = float(gaps.mean())
    tail = (1.0 - checked_level(level)) / 2.0
    means = bootstrap_means(gaps[:, None], n_resamples=n_resamples, seed=seed)[:, 0]
    low, high = np.quantile(means, [tail, 1.0 - tail]) if n_users > 1 else (np.nan, np.nan)
    # The draw that was observed counts as one of them, so that no p-value is zero; a hair's breadth of
    # rounding decides nothing.
    as_far = np.abs(means - mean) >= abs(mean) - 1e-12
    p_bootstrap = (1.0 + as_far.sum()) / (1.0 + n_resamples) if n_users > 1 else 1.0
    difference = Difference(mean, float(low), float(high))
    return PairedTest(difference, float(p_bootstrap), a_wins, b_wins, sign_test(a_wins, b_wins), n_users)
